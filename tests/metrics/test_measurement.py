"""What a request means: every pair of places, and the warnings that a reader of scores needs."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tables import each
from toys import ToyExtractor, image_files, random_pictures, save_pictures, write_checkpoint

from nkca.config.data import DataConfig
from nkca.demo import measured_path
from nkca.errors import InputError
from nkca.metrics.caveats import SAME_IMAGES, TRAINED_ON
from nkca.metrics.collect import CollectOptions, Subject, collect
from nkca.metrics.image_sets import ImageFiles, ImageSubset, SampleOptions, Samples
from nkca.metrics.measurement import Measurement, open_measurement
from nkca.metrics.open_checkpoints import is_checkpoint
from nkca.metrics.request import MeasureRequest
from nkca.metrics.statistics import Statistics, load_statistics, save_statistics
from nkca.models.checkpoint import LATEST, digest
from nkca.pixels import CategoricalPixels
from nkca.sampling.tasks import Schedule

TRAINING = random_pictures(12, seed=1)
OTHERS = random_pictures(10, seed=2)


@dataclass(frozen=True)
class Places:
    """Where everything is: 12 training images, 10 others, models, statistics of 9 and of unknown."""

    train: Path
    other: Path
    zip: Path
    model: Path
    run: Path
    discrete: Path
    npz: Path
    moments: Path


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    root = tmp_path_factory.mktemp("places")
    train = save_pictures(root / "train", TRAINING)
    other = save_pictures(root / "other", OTHERS)
    model = write_checkpoint(root / "model.pth", dataset=str(train), lag=0.3)
    (root / "run").mkdir()
    shutil.copy(model, root / "run" / LATEST)
    options: dict[str, Any] = {
        "discrete": True,
        "num_classes": 4,
        "dataset": str(train),
        "background": "black",
    }
    images = image_files(random_pictures(9, seed=3))
    options_of = CollectOptions(torch.device("cpu"), None)
    save_statistics(root / "stats.npz", collect(images, ToyExtractor(), options_of))
    np.savez(root / "moments.npz", mu=np.zeros(12), sigma=np.eye(12))
    return Places(
        train=train,
        other=other,
        zip=Path(shutil.make_archive(str(root / "zipped"), "zip", other)),
        model=model,
        run=root / "run",
        discrete=write_checkpoint(root / "discrete.ckpt", channels=1, **options),
        npz=root / "stats.npz",
        moments=root / "moments.npz",
    )


def count_of(subject: Subject) -> int:
    return subject.count if isinstance(subject, Statistics) else len(subject)


def opened(samples: object, reference: object = None, **options: Any) -> Measurement:
    named = {
        name: None if value is None else str(value)
        for name, value in {"samples": samples, "reference": reference}.items()
    }
    for name in ("train", "held_out"):
        if name in options:
            options[name] = str(options[name])
    assert named["samples"] is not None
    return open_measurement(
        MeasureRequest(named["samples"], named["reference"], device="cpu", **options)
    )


KINDS: dict[str, tuple[type, int]] = {
    "train": (ImageFiles, 12),
    "zip": (ImageFiles, 10),
    "npz": (Statistics, 9),
    "moments": (Statistics, 0),
    "model": (Samples, -1),  # as many as the other has
    "run": (Samples, -1),
}


@pytest.mark.parametrize("samples", KINDS)
def test_every_pair_of_places(samples: str, places: Places) -> None:
    for reference in each([*KINDS, None]):
        check_pair(samples, reference, places)


def check_pair(samples: str, reference: str | None, places: Places) -> None:
    pair = (getattr(places, samples), getattr(places, reference) if reference else None)
    roles = {"samples": samples} | ({"reference": reference} if reference else {})
    known = [count for role in roles.values() if (count := KINDS[role][1]) > 0]
    has_model = bool({"model", "run"} & set(roles.values()))
    if has_model and not known:
        with pytest.raises(InputError, match="number of samples is unknown"):
            opened(*pair)
        known = [5]
        measurement = opened(*pair, num_samples=5)
    else:
        measurement = opened(*pair)
    for role, name in roles.items():
        kind, count = KINDS[name]
        subject = measurement.subjects[role]
        assert type(subject) is kind
        assert count_of(subject) == (known[0] if count == -1 else count)
        if isinstance(subject, Statistics):
            assert subject.images is not None
            assert subject.images["path"] == str(getattr(places, name))
        else:
            assert subject.batch([0]).shape == (1, 3, 8, 8)
    assert (measurement.model is not None) == has_model


# checkpoints


def test_what_a_checkpoint_is(places: Places, tmp_path: Path) -> None:
    for path in (places.model, places.run, places.discrete, tmp_path / "not-there.pt"):
        assert is_checkpoint(str(path)), path
    for path in (places.train, places.zip, places.npz, tmp_path):
        assert not is_checkpoint(str(path)), path
    assert is_checkpoint(measured_path("demo:model"))
    assert not is_checkpoint(measured_path("demo:images"))
    for wrong in (MeasureRequest("demo"), MeasureRequest(str(places.train), "demo")):
        with pytest.raises(InputError, match="demo:model or demo:images"):
            open_measurement(wrong)


def test_the_samples_of_a_checkpoint(places: Places) -> None:
    sampling = SampleOptions(Schedule(num_steps=2), visualize="x", first_seed=7)
    samples = opened(places.run, places.other, sampling=sampling, lag=0.9).subjects["samples"]
    assert isinstance(samples, Samples)
    assert samples.checkpoint == (str(places.run / LATEST), digest(places.model))
    assert samples.options == sampling
    assert samples.model.chain.lag == 0.9
    own = opened(places.run, places.other).subjects["samples"]
    assert isinstance(own, Samples)
    assert own.model.chain.lag == 0.3, "the run's"


def test_a_model_is_asked_for_a_possible_schedule(places: Places, tmp_path: Path) -> None:
    for schedule, message in (
        (Schedule(max_noise=0.5), "start at level 1"),
        (Schedule(min_noise=1.5), "noise levels must"),
    ):
        with pytest.raises(InputError, match=message):
            opened(places.model, places.other, sampling=SampleOptions(schedule))
    with pytest.raises(InputError, match=r"lag must be in \[0, 1\)"):
        opened(places.model, places.other, lag=1.0)
    with pytest.raises(InputError, match="no such checkpoint"):
        opened(tmp_path / "not-there.pth", places.other)


# files as a model sees them


def test_files_beside_a_model_are_of_its_size_and_channels(places: Places, tmp_path: Path) -> None:
    large = save_pictures(tmp_path / "large", random_pictures(5, seed=4, side=24))
    for samples, shape in ((places.model, (1, 3, 8, 8)), (places.discrete, (1, 1, 8, 8))):
        reference = opened(samples, large).subjects["reference"]
        assert isinstance(reference, ImageFiles)
        assert reference.batch([0]).shape == shape
        swapped = opened(large, samples).subjects["samples"]
        assert isinstance(swapped, ImageFiles)
        assert swapped.identity == reference.identity
    assert opened(large).subjects["samples"].batch([0]).shape == (1, 3, 24, 24)  # type: ignore[union-attr]
    resized = opened(large, data=DataConfig(resize=6)).subjects["samples"]
    assert isinstance(resized, ImageFiles)
    assert resized.about["size"] == [6, 6]


def test_files_that_do_not_fit_a_model(places: Places) -> None:
    said = r"train holds images of 6x6, the model makes 8x8: use resize=8$"
    with pytest.raises(InputError, match=said):
        opened(places.model, places.train, data=DataConfig(resize=6))
    opened(places.model, places.train, data=DataConfig(resize=8))


def levels_in(images: ImageFiles) -> set[int]:
    return set(images.batch(range(len(images))).flatten().tolist())


def test_a_categorical_model_is_compared_with_its_own_levels(places: Places) -> None:
    """Four levels are shown as 0, 85, 170 and 255; the files' own are bytes."""
    for names in ((places.discrete, places.train), (places.train, places.discrete)):
        subjects = opened(*names).subjects
        (files,) = {images for images in subjects.values() if isinstance(images, ImageFiles)}
        assert files.model_pixels == CategoricalPixels(4)
        assert levels_in(files) == {0, 85, 170, 255}
    full = opened(places.discrete, places.train, full_depth=True).subjects["reference"]
    assert isinstance(full, ImageFiles)
    assert full.model_pixels is None
    assert len(levels_in(full)) > 100
    continuous = opened(places.model, places.train).subjects["reference"]
    assert isinstance(continuous, ImageFiles)
    assert continuous.model_pixels is None


def test_transparent_files_have_the_background_of_the_run(places: Places, tmp_path: Path) -> None:
    """The categorical run's is black, that of the other one white."""
    clear = np.zeros((2, 8, 8, 4), np.uint8)
    folder = save_pictures(tmp_path / "clear", clear)
    for samples, level in ((places.discrete, 0), (places.model, 255)):
        reference = opened(samples, folder).subjects["reference"]
        assert isinstance(reference, ImageFiles)
        assert levels_in(reference) == {level}


# counts


def test_the_first_of_the_files(places: Places) -> None:
    measurement = opened(places.train, places.other, num_samples=4)
    samples = measurement.subjects["samples"]
    assert isinstance(samples, ImageSubset)
    assert len(samples) == 4
    first = torch.from_numpy(TRAINING[:4]).permute(0, 3, 1, 2)
    assert torch.equal(samples.batch(range(4)), first)
    assert count_of(measurement.subjects["reference"]) == 10, "the reference is not cut"
    whole = opened(places.train, num_samples=12).subjects["samples"]
    assert isinstance(whole, ImageFiles)
    with pytest.raises(InputError, match="num_samples=13, but there are only 12 images"):
        opened(places.train, places.other, num_samples=13)


def test_samples_of_a_model_are_as_many_as_are_asked_for(places: Places) -> None:
    assert count_of(opened(places.model, places.other).subjects["samples"]) == 10
    assert count_of(opened(places.model, places.other, num_samples=33).subjects["samples"]) == 33
    assert count_of(opened(places.model, num_samples=3).subjects["samples"]) == 3
    with pytest.raises(InputError, match=r"number of samples is unknown.*num_samples"):
        opened(places.model, train=places.train)


# training and held-out images


COPIED = "the reference is the training images"


def test_a_reference_that_was_trained_on_is_said_to_be(places: Places) -> None:
    measurement = opened(places.model, places.train)
    assert [warning for warning in measurement.warnings if COPIED in warning]
    assert measurement.subjects["train"] is measurement.subjects["reference"]
    assert "held_out" not in measurement.subjects
    other = opened(places.model, places.other)
    assert other.warnings == ()
    assert set(other.subjects) == {"samples", "reference"}


def test_training_images_that_are_named(places: Places, tmp_path: Path) -> None:
    """The same place and a copy of it are the same images; others are held out."""
    copy = shutil.copytree(places.train, tmp_path / "copy")
    for train in (places.train, copy):
        measurement = opened(places.other, places.train, train=train)
        assert any(COPIED in warning for warning in measurement.warnings)
        assert "held_out" not in measurement.subjects
    measurement = opened(places.model, places.other, train=places.train)
    assert measurement.warnings == ()
    assert measurement.subjects["held_out"] is measurement.subjects["reference"]
    assert count_of(measurement.subjects["train"]) == 12


def test_held_out_images_that_are_named(places: Places) -> None:
    measurement = opened(places.model, places.train, held_out=places.other)
    assert count_of(measurement.subjects["held_out"]) == 10
    assert measurement.subjects["train"] is measurement.subjects["reference"]
    named = opened(places.model, places.zip, train=places.train, held_out=places.other)
    assert named.subjects["held_out"] is not named.subjects["reference"]


def test_moments_alone_are_no_held_out_images(places: Places) -> None:
    """Distances need features: with these as held-out images there would be no row at all."""
    measurement = opened(places.model, places.moments, train=places.train, num_samples=4)
    assert "held_out" not in measurement.subjects
    features = opened(places.model, places.npz, train=places.train)
    assert features.subjects["held_out"] is features.subjects["reference"]


def test_one_place_is_opened_once(places: Places) -> None:
    decoded: list[int] = []
    name = str(places.train)
    data = DataConfig(cache=False)
    request = MeasureRequest(name, name, name, name, device="cpu", data=data)
    measurement = open_measurement(request, lambda done, _: decoded.append(done))
    assert len({id(subject) for subject in measurement.subjects.values()}) == 1
    assert decoded.count(24) == 1, "12 images, two passes, once"


# warnings


def test_files_of_other_sizes(places: Places, tmp_path: Path) -> None:
    wide = save_pictures(tmp_path / "wide", random_pictures(4, seed=5, side=24)[:, :16])
    expected = (
        "samples have 16x24 (height x width) pixels, the reference 8x8: the score measures that "
        "difference too"
    )
    assert opened(wide, places.train).warnings == (expected,)
    expected = (
        "samples have 8x8 pixels, the reference 16x24 (height x width): the score measures that "
        "difference too"
    )
    assert opened(places.train, wide).warnings == (expected,)


def test_files_that_were_compressed(places: Places, tmp_path: Path) -> None:
    jpeg = save_pictures(tmp_path / "jpeg", OTHERS, ".jpg")
    for samples, reference, words in (
        (jpeg, places.other, "100% of the samples and 0% of the reference are lossy"),
        (places.other, jpeg, "0% of the samples and 100% of the reference are lossy"),
        (places.model, jpeg, "0% of the samples and 100% of the reference are lossy"),
    ):
        (warning,) = opened(samples, reference).warnings
        assert warning.startswith(words)
    assert not any("lossy" in warning for warning in opened(jpeg, jpeg).warnings)


def test_nothing_is_said_of_the_compression_of_what_is_not_known(
    places: Places, tmp_path: Path
) -> None:
    """A statistics file of pytorch-fid may be of JPEGs."""
    jpeg = save_pictures(tmp_path / "jpeg", OTHERS, ".jpg")
    for pair in ((jpeg, places.moments), (places.moments, jpeg)):
        assert not any("lossy" in warning for warning in opened(*pair).warnings)


def test_files_that_cannot_be_read(places: Places, tmp_path: Path) -> None:
    broken = shutil.copytree(places.other, tmp_path / "broken")
    (broken / "005.png").write_bytes(b"no picture")
    assert opened(broken, places.train).warnings == (
        "1 unreadable files are left out of the samples",
    )
    assert opened(places.train, broken).warnings == (
        "1 unreadable files are left out of the reference",
    )
    assert count_of(opened(broken).subjects["samples"]) == 9


def test_places_that_are_not_there(places: Places, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for options in (
        {"samples": missing},
        {"samples": places.train, "reference": missing},
        {"samples": places.train, "reference": missing.with_suffix(".npz")},
        {"samples": places.train, "train": missing},
        {"samples": places.train, "held_out": missing},
    ):
        with pytest.raises(InputError, match="missing"):
            opened(**options)


def test_statistics_say_where_they_are_and_what_of(places: Places) -> None:
    samples = opened(places.npz).subjects["samples"]
    assert isinstance(samples, Statistics)
    saved = load_statistics(places.npz)
    assert samples.images == {"kind": "statistics", "path": str(places.npz), "of": saved.images}
    assert samples.extractor == saved.extractor
    assert np.array_equal(
        replace(samples, images=None).gaussian().mean.numpy(), saved.gaussian().mean.numpy()
    )


def test_a_bare_demo_names_the_two_things_it_may_be() -> None:
    for role in each(["samples", "reference", "train", "held_out"]):
        names: dict[str, Any] = {"samples": "demo:images", role: "demo"}
        with pytest.raises(InputError, match=r"demo:model or demo:images.*\./demo"):
            open_measurement(MeasureRequest(**names))


@pytest.mark.parametrize("role", ["train", "held_out"])
def test_the_demo_model_is_no_set_of_images(role: str) -> None:
    names: dict[str, Any] = {"samples": "demo:images", role: "demo:model"}
    with pytest.raises(InputError, match="expected a folder"):
        open_measurement(MeasureRequest(**names))


def statistics_of(place: Path, saved: Path, **data: Any) -> Path:
    """The statistics that nkca-metrics saves of a folder."""
    images = opened(place, data=DataConfig(cache=False, **data)).subjects["samples"]
    assert isinstance(images, ImageFiles)
    made = collect(images, ToyExtractor(), CollectOptions(torch.device("cpu"), None))
    save_statistics(saved, made)
    return saved


def test_statistics_of_other_images_than_the_samples(places: Places, tmp_path: Path) -> None:
    """A statistics file says what its images were: the warnings are those of the images."""
    wide = save_pictures(tmp_path / "wide", random_pictures(4, seed=5, side=24)[:, :16])
    jpeg = save_pictures(tmp_path / "jpeg", OTHERS, ".jpg")
    grey = save_pictures(tmp_path / "grey", random_pictures(4, seed=6, channels=1))
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "broken.png").write_bytes(b"no image")
    shutil.copy(places.other / "000.png", tmp_path / "odd" / "a.png")
    shutil.copy(places.other / "001.png", tmp_path / "odd" / "b.png")
    for folder, words in each(
        [
            (wide, "samples have 8x8 pixels, the reference 16x24"),
            (jpeg, "0% of the samples and 100% of the reference are lossy"),
            (grey, "samples have 3 channels, the reference 1: where these hold colours"),
            (tmp_path / "odd", "1 unreadable files are left out of the reference"),
        ]
    ):
        saved = statistics_of(folder, tmp_path / f"{folder.name}.npz")
        for samples in (places.train, places.model):
            (warning,) = opened(samples, saved).warnings
            assert warning.startswith(words)
        (again,) = opened(places.train, folder).warnings
        assert again == warning
    same = statistics_of(places.other, tmp_path / "other.npz")
    assert opened(places.train, same).warnings == ()


def test_statistics_of_the_same_images(places: Places, tmp_path: Path) -> None:
    saved = statistics_of(places.train, tmp_path / "train.npz")
    assert opened(places.train, saved).warnings == (SAME_IMAGES,)
    assert opened(places.model, saved).warnings == (TRAINED_ON,)
    assert opened(places.other, saved, train=places.train).warnings == (TRAINED_ON,)
    assert opened(places.other, saved).warnings == ()


def test_statistics_of_images_of_more_levels_than_the_model(places: Places, tmp_path: Path) -> None:
    grey = save_pictures(tmp_path / "grey", random_pictures(4, seed=6, channels=1))
    saved = statistics_of(grey, tmp_path / "grey.npz")
    (warning,) = opened(places.discrete, saved).warnings
    assert warning.startswith("the statistics are of images of other levels than the model's")
    assert opened(places.discrete, saved, full_depth=True).warnings == ()
    assert opened(places.discrete, grey).warnings == ()


def test_a_damaged_description_in_a_statistics_file(places: Places, tmp_path: Path) -> None:
    with np.load(places.npz) as whole:
        arrays = dict(whole)
    about = json.loads(str(arrays["nkca"]))
    for images in each(
        [
            "words",
            [1],
            {"size": 8},
            {"size": [8, 8, 3]},
            {"size": ["8", 8]},
            {"channels": "3"},
            {"path": 7},
        ]
    ):
        arrays["nkca"] = np.array(json.dumps({**about, "images": images}))
        np.savez(tmp_path / "damaged.npz", **arrays)
        with pytest.raises(InputError, match="its description of the images is damaged"):
            opened(places.train, tmp_path / "damaged.npz")
