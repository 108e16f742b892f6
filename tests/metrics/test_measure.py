"""One pass over each set, roles kept apart, and the warnings that numbers of images call for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import (
    NOWHERE,
    ToyExtractor,
    image_files,
    measurement_of,
    random_pictures,
    report_of,
    save_pictures,
    three_sets,
    write_checkpoint,
)

from nkca.errors import InputError
from nkca.metrics.caveats import SAME_IMAGES
from nkca.metrics.collect import Subject
from nkca.metrics.extractors.contract import Array, Description
from nkca.metrics.measure import make_report, measure
from nkca.metrics.report import table
from nkca.metrics.scores.moments import Gaussian
from nkca.metrics.statistics import Statistics

TOY = ToyExtractor().description


def random_features(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).random((count, 12), np.float32)


# one pass


def test_each_set_is_seen_once_samples_last() -> None:
    subjects = three_sets()
    subjects |= {"train": subjects["reference"], "held_out": subjects["samples"]}
    extractor, seen = ToyExtractor(), []
    _, statistics = make_report(
        measurement_of(subjects), extractor, NOWHERE, lambda what, *now: seen.append((what, *now))
    )
    assert extractor.calls == [40, 30]
    assert [(what, total) for what, _, total in seen] == [
        ("features of reference", 40),
        ("features of held-out", 30),
        *[("scores", 6)] * 6,
    ]
    assert statistics["train"] is statistics["reference"]
    assert statistics["held_out"] is statistics["samples"]
    own = three_sets()
    seen.clear()
    make_report(measurement_of(own), ToyExtractor(), NOWHERE, lambda *now: seen.append(now))
    assert [what for what, *_ in seen] == [
        *("features of reference", "features of train", "features of samples"),
        *["scores"] * 6,
    ]


def test_roles_are_not_mixed_up() -> None:
    """Samples are half of the training images, which spread wider than they do."""
    train = random_pictures(40, seed=5)
    subjects: dict[str, Subject] = {
        "samples": image_files(train[:20]),
        "reference": image_files(random_pictures(30, seed=6, low=100, high=120)),
        "train": image_files(train),
        "held_out": image_files(random_pictures(40, seed=7)),
    }
    scores = report_of(subjects).scores
    assert scores.memorisation is not None and scores.manifold is not None
    assert (scores.memorisation.copies, scores.memorisation.nearer_training) == (1, 1)
    assert scores.manifold.precision < 0.2 < 0.8 < scores.manifold.recall


def test_statistics_are_taken_as_they_are() -> None:
    """The extractor sees one picture more, to know its dimensions."""
    known = Statistics(random_features(30, 8))
    extractor = ToyExtractor()
    subjects = {**three_sets(), "reference": known}
    report, statistics = make_report(measurement_of(subjects), extractor, NOWHERE)
    assert statistics["reference"] is known
    assert extractor.calls == [1, 35, 30]
    assert report.extractor == extractor.description


def test_the_extractor_is_that_of_the_samples() -> None:
    other = Description("another", "cd" * 32, "as it likes")
    subjects = {
        role: Statistics(random_features(30, seed), extractor=other)
        for seed, role in enumerate(("samples", "reference"))
    }
    measurement = measurement_of(subjects)
    assert make_report(measurement, None, NOWHERE)[0].extractor == other
    samples_alone = {**subjects, "reference": Statistics(random_features(30, 9))}
    assert make_report(measurement_of(samples_alone), None, NOWHERE)[0].extractor == other


def test_statistics_alone_need_no_extractor() -> None:
    subjects = {role: Statistics(random_features(30, 3)) for role in ("samples", "reference")}
    report, _ = make_report(measurement_of(subjects), None, NOWHERE)
    assert report.scores.fid == pytest.approx(0, abs=1e-12)
    assert report.extractor.name == "unknown"
    assert "does not say" in report.extractor.input


@pytest.mark.parametrize("role", ["reference", "train", "held_out"])
def test_statistics_of_another_extractor_are_refused_before_anything_is_computed(role: str) -> None:
    """Also where those that are seen first do not say whose they are."""
    silent = Statistics(random_features(30, 4))
    other = replace(silent, extractor=replace(TOY, weights_sha256="cd" * 32))
    other_size = Statistics(np.zeros((30, 7), np.float32))
    samples, *_ = three_sets().values()
    base: dict[str, Subject] = {"reference": silent, "train": silent, "held_out": silent}
    for wrong in (other, other_size):
        extractor = ToyExtractor()
        subjects = {**base, role: wrong, "samples": samples}
        with pytest.raises(InputError, match="cannot be compared"):
            make_report(measurement_of(subjects), extractor, NOWHERE)
        assert sum(extractor.calls) <= 1
    extractor = ToyExtractor()
    make_report(measurement_of({**base, "samples": samples}), extractor, NOWHERE)
    assert extractor.calls == [1, 30]


# warnings


def warnings_of(**roles: Statistics) -> tuple[str, ...]:
    return make_report(measurement_of(roles), None, NOWHERE)[0].scores.warnings


def test_fewer_images_than_dimensions() -> None:
    """The toy has 12 dimensions: FID wants 12 images, FID∞ 5 samples for each."""

    def warnings(**counts: int) -> tuple[str, ...]:
        features = {role: random_features(count, count) for role, count in counts.items()}
        return warnings_of(**{r: Statistics(f, extractor=TOY) for r, f in features.items()})

    assert warnings(samples=60, reference=12, train=3, held_out=3) == ()
    (hint,) = warnings(samples=59, reference=12)
    assert hint.startswith("59 samples are fewer than 5 for each of 12 features")
    (one,) = warnings(samples=11, reference=12)
    assert one.startswith("11 samples are few for 12 features: FID is far too high")
    (other,) = warnings(samples=60, reference=11)
    assert other.startswith("11 reference images are few for 12 features")
    (both,) = warnings(samples=2, reference=3)
    assert both.startswith("2 samples and 3 reference images are few for 12 features")
    assert warnings(samples=2) == (), "there is no FID"


def test_moments_of_unknown_origin() -> None:
    gaussian = Gaussian(torch.zeros(12).double(), torch.eye(12).double())
    known = Statistics(random_features(60, 5), extractor=TOY)
    unknown = Statistics(None, moments=gaussian)
    for role, other in (("samples", "reference"), ("reference", "samples")):
        (warning,) = warnings_of(**{role: unknown, other: known})
        assert warning.startswith(f"the statistics file of the {role} does not say which extractor")


def test_what_the_extractor_and_the_measurement_warn_of() -> None:
    measurement = measurement_of(three_sets(), "sizes differ")
    report, _ = make_report(measurement, ToyExtractor("not the standard weights"), NOWHERE)
    assert report.scores.warnings[:2] == ("sizes differ", "not the standard weights")
    said = [f"warning: {warning}" for warning in report.scores.warnings]
    assert table(report).splitlines()[-len(said) :] == said


def test_measure_gives_the_warnings_of_the_report() -> None:
    """12 images are fewer than their 8 x 8 x 3 features, and they are the reference."""
    pictures = random_pictures(12, seed=1)
    warnings = measure(pictures, pictures, features="pixels", device="cpu").warnings
    assert SAME_IMAGES in warnings
    few = "12 samples and 12 reference images are few for 192 features"
    assert any(few in warning for warning in warnings), warnings


def test_measure_takes_arrays_in_this_order() -> None:
    """Samples, reference, training images: half of the samples are copies of training images."""
    train, others = random_pictures(12, seed=8), random_pictures(12, seed=9, low=50, high=90)
    samples = np.concatenate([train[:6], random_pictures(6, seed=10)])
    scores = measure(samples, others, features="pixels", train=train, device="cpu")
    swapped = measure(others, samples, features="pixels", device="cpu")
    assert scores.memorisation is not None
    assert scores.memorisation.copies == 0.5
    assert scores.manifold is not None
    assert swapped.manifold is not None
    assert scores.manifold.precision == swapped.manifold.recall
    assert scores.manifold.precision != scores.manifold.recall
    assert scores.fid == pytest.approx(swapped.fid, rel=1e-9)
    assert "memorisation" in swapped.missing


def test_measure_takes_whatever_the_command_takes(tmp_path: Path) -> None:
    pictures, others = random_pictures(12, seed=1), random_pictures(9, seed=2)
    folder = save_pictures(tmp_path / "others", others)
    of_arrays = measure(pictures, others, features="pixels", device="cpu")
    of_lists = measure(list(pictures), folder, features="pixels", device="cpu")
    of_folder = measure(pictures, folder, features="pixels", device="cpu")
    assert of_folder.fid == pytest.approx(of_arrays.fid, abs=1e-6)
    assert of_lists.fid == of_folder.fid
    model = write_checkpoint(tmp_path / "model.pth")
    drawn = measure(str(model), folder, features="pixels", num_samples=4, device="cpu")
    assert drawn.kid is not None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.zeros((4, 8, 8, 3)), "uint8.*float64"),
        (np.zeros((4, 8, 8, 2), np.uint8), r"1, 3 or 4 channels, got uint8 \(4, 8, 8, 2\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "got"),
        ("no such folder", "no such"),
        ("", "empty"),
    ],
)
def test_measure_says_what_is_wrong(wrong: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        measure(wrong, random_pictures(4, seed=2), features="pixels", device="cpu")


@pytest.mark.parametrize("count", [0, -1])
def test_measure_refuses_counts_that_are_none(count: int) -> None:
    pictures = random_pictures(4, seed=2)
    with pytest.raises(InputError, match=f"num_samples must be 1 or more, got {count}"):
        measure(pictures, pictures, features="pixels", num_samples=count, device="cpu")


def test_measure_shows_arrays_to_the_extractor_as_the_model_sees_them(tmp_path: Path) -> None:
    """As image files are: a categorical model of two levels compares with black and white."""
    pictures = random_pictures(6, seed=4)[..., :1]
    model = write_checkpoint(tmp_path / "two.pth", channels=1, discrete=True, num_classes=2)

    def fid_to(reference: Any) -> float | None:
        return measure(str(model), reference, features="pixels", device="cpu").fid

    folder = save_pictures(tmp_path / "grey", pictures)
    white = np.where(pictures > 127, 255, 0).astype(np.uint8)
    assert fid_to(pictures) == fid_to(white) == pytest.approx(fid_to(folder), rel=1e-9)
    for wrong in (pictures[:, :7], pictures.repeat(3, axis=3)):
        with pytest.raises(InputError, match=r"reference must be \(8, 8, 1\) each, as the model's"):
            fid_to(wrong)
