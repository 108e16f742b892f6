"""One pass over the images gives every score; how the pass is made changes none of them."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tables import each
from toys import ToyExtractor, image_files, random_pictures

from nkca.errors import InputError
from nkca.metrics.collect import CollectOptions, collect
from nkca.metrics.extractors.contract import Description, Features
from nkca.metrics.image_sets import ImageFiles, ImageSubset
from nkca.metrics.scores.moments import Gaussian, Moments, merge_all
from nkca.metrics.scores.score import Scores, check_comparable, score
from nkca.metrics.statistics import Statistics

CPU = torch.device("cpu")


def nowhere(batch_size: int = 64) -> CollectOptions:
    return CollectOptions(CPU, None, batch_size)


def samples_of(count: int = 60) -> ImageFiles:
    return image_files(random_pictures(count, seed=1, low=60, high=200))


def reference_of(count: int = 80) -> ImageFiles:
    return image_files(random_pictures(count, seed=2))


def numbers(value: Any) -> list[float]:
    """All numbers of a nest of mappings and sequences, in order."""
    if isinstance(value, dict):
        return [number for name in sorted(value) for number in numbers(value[name])]
    if isinstance(value, (list, tuple)):
        return [number for entry in value for number in numbers(entry)]
    return [float(value)] if isinstance(value, (int, float)) else []


def assert_same_scores(found: Scores, expected: Scores) -> None:
    assert found.missing == expected.missing
    assert numbers(asdict(found)) == pytest.approx(numbers(asdict(expected)), rel=1e-6, abs=1e-9)
    assert len(numbers(asdict(found))) > 50


# how the pass is made


def test_the_batch_size_changes_no_score() -> None:
    extractor = ToyExtractor()
    all_images = samples_of(), reference_of(), reference_of(40)
    whole = [collect(images, extractor, nowhere()) for images in all_images]
    expected = score(whole[0], whole[1], whole[2], whole[1])
    assert expected.missing == {}
    for batch_size in each([1, 7, 60, 1000]):
        found = [collect(images, extractor, nowhere(batch_size)) for images in all_images]
        assert_same_scores(score(found[0], found[1], found[2], found[1]), expected)


def assert_same_rows(a: Statistics, b: Statistics) -> None:
    for one, other in ((a.features, b.features), (a.logits, b.logits)):
        assert one is not None and other is not None
        assert np.array_equal(one, other)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    collected = collect(samples_of(), ToyExtractor(), nowhere())
    assert collected.features is not None
    whole, parts = collected.gaussian(), np.array_split(collected.features, 5)
    moments = [Moments.of(torch.from_numpy(part)) for part in parts]
    for order in (moments, moments[::-1]):
        found = merge_all(order).gaussian()
        assert (found.mean - whole.mean).abs().max() < 1e-12
        assert (found.covariance - whole.covariance).abs().max() < 1e-12


def test_grey_and_transparent_images_reach_the_extractor_as_colour() -> None:
    for channels in (1, 4):
        images = image_files(random_pictures(5, seed=3, channels=channels))
        assert collect(images, ToyExtractor(), nowhere()).dimensions == 12


def test_what_is_known_of_the_images_comes_along() -> None:
    images, extractor = samples_of(5), ToyExtractor("only a toy")
    found = collect(images, extractor, nowhere())
    assert (found.extractor, found.images) == (extractor.description, images.about)
    assert found.features is not None and found.logits is not None
    assert found.features.dtype == found.logits.dtype == np.float32
    mean = images.decoded.images[3, :4, 4:, 1].mean() / 255  # green, upper right
    assert found.features[3, 4 + 1] == pytest.approx(mean, rel=1e-6)


def test_progress_ends_with_all_and_never_falls() -> None:
    seen: list[tuple[float, int]] = []
    collect(samples_of(10), ToyExtractor(), nowhere(4), lambda *now: seen.append(now))
    assert [done for done, _ in seen] == [4, 8, 10]
    assert {total for _, total in seen} == {10}


def test_no_image_is_nothing_to_measure() -> None:
    with pytest.raises(InputError, match="no images to measure"):
        collect(ImageSubset(samples_of(3), range(0)), ToyExtractor(), nowhere())


def test_too_little_memory_says_what_to_do() -> None:
    class Greedy(ToyExtractor):
        def __call__(self, images: torch.Tensor) -> Features:
            del images
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with pytest.raises(InputError, match="out of memory at batch size 7: try a smaller batch size"):
        collect(samples_of(10), Greedy(), nowhere(7))


# the cache


def test_the_second_time_nothing_is_computed(tmp_path: Path) -> None:
    extractor, seen = ToyExtractor(), []
    first = collect(samples_of(), extractor, CollectOptions(CPU, tmp_path, 16))
    assert extractor.calls == [16, 16, 16, 12]
    second = collect(
        samples_of(), extractor, CollectOptions(CPU, tmp_path, 5), lambda *now: seen.append(now)
    )
    assert sum(extractor.calls) == 60
    assert seen == []
    assert_same_rows(first, second)


def test_other_images_and_other_extractors_do_not_share_features(tmp_path: Path) -> None:
    options = CollectOptions(CPU, tmp_path)
    collect(samples_of(), ToyExtractor(), options)
    one_byte = random_pictures(60, seed=1, low=60, high=200)
    one_byte[59, 7, 7, 2] ^= 1
    others = [
        (reference_of(), ToyExtractor()),
        (image_files(one_byte), ToyExtractor()),
        (samples_of(), ToyExtractor("of other weights")),
    ]
    for images, extractor in others:
        collect(images, extractor, options)
        assert sum(extractor.calls) == len(images)
    assert len(list((tmp_path / "features").iterdir())) == 4


@pytest.mark.parametrize("batch_size", [10, 7])
def test_after_an_interruption_only_the_rest_is_computed(batch_size: int, tmp_path: Path) -> None:
    images = samples_of(60)
    with pytest.raises(KeyboardInterrupt):
        collect(images, ToyExtractor(stop_at=2), CollectOptions(CPU, tmp_path, 10))
    extractor = ToyExtractor()
    seen: list[float] = []
    resumed = collect(
        images,
        extractor,
        CollectOptions(CPU, tmp_path, batch_size),
        lambda done, _: seen.append(done),
    )
    assert sum(extractor.calls) == 40, "the first two batches were kept"
    assert seen[0] == 20 + batch_size
    assert_same_rows(resumed, collect(images, ToyExtractor(), nowhere()))


def test_without_a_cache_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    extractor = ToyExtractor()
    first = collect(samples_of(20), extractor, nowhere())
    assert list(tmp_path.iterdir()) == []
    assert_same_rows(first, collect(samples_of(20), extractor, nowhere()))
    assert extractor.calls == [20, 20], "nothing was kept"
    with pytest.raises(KeyboardInterrupt):
        collect(samples_of(20), ToyExtractor(stop_at=1), nowhere(5))
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("in the way")
    with pytest.raises(InputError, match=r"cache_dir.*switch the cache off"):
        collect(samples_of(3), ToyExtractor(), CollectOptions(CPU, tmp_path))


# scores


@pytest.fixture(scope="module")
def measured() -> dict[str, Statistics]:
    extractor = ToyExtractor()
    images = {"samples": samples_of(), "reference": reference_of(), "train": reference_of(40)}
    return {role: collect(images[role], extractor, nowhere()) for role in images}


def test_samples_and_reference_have_their_places(measured: dict[str, Statistics]) -> None:
    """The samples' colours are the middle of the reference's: precise, but little is recalled."""
    found = score(measured["samples"], measured["reference"])
    swapped = score(measured["reference"], measured["samples"])
    assert found.manifold is not None and swapped.manifold is not None
    assert found.manifold.precision > found.manifold.recall + 0.15
    assert swapped.manifold.precision == found.manifold.recall
    assert swapped.manifold.recall == found.manifold.precision
    assert swapped.fid == pytest.approx(found.fid, rel=1e-9)
    assert found.inception_score is not None and swapped.inception_score is not None
    assert found.inception_score.mean != swapped.inception_score.mean, "of the samples alone"


def test_training_and_held_out_images_have_their_places(measured: dict[str, Statistics]) -> None:
    """The samples are training images: 1; they are held-out ones: 0."""
    train, other = measured["train"], measured["samples"]
    assert train.features is not None
    copies = replace(train, features=train.features[:20], logits=None)
    found = score(copies, None, train, other).memorisation
    swapped = score(copies, None, other, train).memorisation
    assert found is not None and swapped is not None
    assert (found.nearer_training, found.copies) == (1, 1)
    assert (swapped.nearer_training, swapped.copies) == (0, 0)


def test_every_score_that_is_missing_is_explained(measured: dict[str, Statistics]) -> None:
    samples, reference = measured["samples"], measured["reference"]
    alone = score(samples)
    assert alone.inception_score is not None
    assert set(alone.missing) == {"fid", "fid_line", "kid", "manifold", "memorisation"}
    assert alone.missing["fid"] == "no reference was given"
    assert alone.missing["memorisation"] == "no training images were given"
    assert set(score(samples, reference).missing) == {"memorisation"}
    assert score(samples, reference, measured["train"]).missing == {}


def test_moments_alone_give_fid_alone(measured: dict[str, Statistics]) -> None:
    samples, reference = measured["samples"], measured["reference"]
    moments = Statistics(None, moments=reference.gaussian())
    found, expected = score(samples, moments), score(samples, reference)
    assert found.fid == pytest.approx(expected.fid, rel=1e-12)
    assert found.fid_line == expected.fid_line
    assert (found.kid, found.manifold) == (None, None)
    assert found.missing["kid"] == "the statistics file holds a mean and a covariance, no features"
    swapped = score(moments, samples)
    assert swapped.fid == pytest.approx(expected.fid, rel=1e-9)
    assert set(swapped.missing) == {
        *("fid_line", "kid", "manifold", "memorisation", "inception_score")
    }


def test_an_extractor_that_does_not_classify() -> None:
    statistics = collect(samples_of(), ToyExtractor(classifies=False), nowhere())
    found = score(statistics, statistics)
    assert found.inception_score is None
    assert "without class probabilities" in found.missing["inception_score"]
    assert set(found.missing) == {"inception_score", "memorisation"}


def test_one_image(measured: dict[str, Statistics]) -> None:
    one = collect(samples_of(1), ToyExtractor(), nowhere())
    found = score(one, measured["reference"], measured["train"])
    assert set(found.missing) == {"fid", "fid_line", "kid", "inception_score", "manifold"}
    assert found.missing["fid"].startswith("one image has no covariance")
    assert found.memorisation is not None


def test_features_that_are_not_finite_give_no_score(measured: dict[str, Statistics]) -> None:
    """Of whichever set: no number is made of NaN, and none is NaN."""
    for role in ("samples", "reference", "train"):
        features = np.array(measured[role].features)
        features[3, 2] = np.nan
        broken = {**measured, role: replace(measured[role], features=features)}
        found = score(broken["samples"], broken["reference"], broken["train"])
        assert np.isfinite(numbers(asdict(found))).all(), role
        expected = {
            "samples": {"fid", "fid_line", "kid", "manifold", "memorisation"},
            "reference": {"fid", "fid_line", "kid", "manifold"},
            "train": {"memorisation"},
        }[role]
        assert set(found.missing) == expected
        assert all("not finite" in reason for reason in found.missing.values())


def test_only_features_of_one_extractor_are_compared() -> None:
    a = Statistics(np.zeros((3, 4), np.float32), None, None, Description("a", "12345678aa", ""))
    for other in (
        replace(a, extractor=Description("b", "12345678aa", "")),
        replace(a, extractor=Description("a", "", "")),
        replace(a, extractor=Description("a", "12345678aa", "another resize")),
    ):
        for pair in ((a, other), (other, a)):
            with pytest.raises(InputError, match=r"features of .* and of .* cannot be compared"):
                check_comparable(*pair)
        for places in ((a, other), (a, None, other), (a, None, a, other)):
            with pytest.raises(InputError, match="cannot be compared"):
                score(*places)
        moments = Statistics(None, None, other.gaussian(), other.extractor)
        for places in ((a, moments), (moments, a), (a, None, moments)):
            with pytest.raises(InputError, match="cannot be compared"):
                score(*places)
    check_comparable(a, a)
    check_comparable(a, replace(a, extractor=None))
    named = replace(a, extractor=Description("b", "", ""))
    with pytest.raises(InputError, match=r"of a \(weights 12345678\) and of b \(none\)"):
        check_comparable(a, named)


def test_other_dimensions_are_not_compared() -> None:
    four = Statistics(np.zeros((3, 4), np.float32))
    five = Statistics(None, moments=Gaussian(torch.zeros(5).double(), torch.eye(5).double()))
    with pytest.raises(InputError, match="of 4 and of 5 dimensions cannot be compared"):
        score(four, five)
