"""Sets of images: what decides their identity, and that a number is one picture, however it is asked."""

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import image_files, random_pictures, save_pictures, write_checkpoint

from nkca.config.data import DataConfig
from nkca.data.dataset import load_dataset
from nkca.metrics import image_sets
from nkca.metrics.image_sets import (
    ArrayImages,
    ImageFiles,
    ImageSet,
    ImageSubset,
    SampleOptions,
    Samples,
)
from nkca.models.build import load_model
from nkca.pixels import CategoricalPixels, to_rgb
from nkca.sampling.sample import sample
from nkca.sampling.tasks import Schedule

PICTURES = random_pictures(6, seed=1)
FEW_STEPS = SampleOptions(Schedule(num_steps=3))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    discrete = {"channels": 1, "discrete": True, "num_classes": 5}
    return {
        "continuous": write_checkpoint(folder / "continuous.pth"),
        "discrete": write_checkpoint(folder / "discrete.pth", **discrete),
    }


def samples_of(path: Path, count: int = 6, lag: float | None = None, **options: Any) -> Samples:
    model = load_model(path, device="cpu", lag=lag)
    return Samples(model, (str(path), "5a"), count, replace(FEW_STEPS, **options))


# to_rgb


def test_grey_is_shown_three_times() -> None:
    grey = torch.tensor([[[[0, 7], [130, 255]]]], dtype=torch.uint8)
    shown = to_rgb(grey)
    assert shown.shape == (1, 3, 2, 2)
    assert shown.dtype == torch.uint8
    assert [channel.tolist() for channel in shown[0]] == [[[0, 7], [130, 255]]] * 3


def test_colour_stays() -> None:
    images = torch.arange(2 * 3 * 4, dtype=torch.uint8).view(2, 3, 2, 2)
    assert torch.equal(to_rgb(images), images)


def test_alpha_by_hand() -> None:
    """Opaque (alpha 255) is the colour, transparent (0) white; 51 is a fifth.

    100 / 5 + 255 * 4 / 5 = 224; 0 -> 204; 1 / 5 + 204 = 204.2 -> 204; 3 / 5 + 204 = 204.6 -> 205.
    """
    rows = [
        ([10, 20, 30, 255], [10, 20, 30]),
        ([10, 20, 30, 0], [255, 255, 255]),
        ([100, 0, 255, 51], [224, 204, 255]),
        ([1, 3, 2, 51], [204, 205, 204]),
    ]
    for given, expected in rows:
        image = torch.tensor(given, dtype=torch.uint8).view(1, 4, 1, 1)
        assert to_rgb(image).flatten().tolist() == expected


def test_alpha_is_rounded_to_the_nearest_byte() -> None:
    """All 65,536 pairs, exactly; there are no ties: 2 (c a + 255 (255 - a)) is even, 255 odd."""
    color, alpha = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    image = torch.stack([color, color, color, alpha]).to(torch.uint8)[None]
    shown = to_rgb(image)
    assert torch.equal(shown[:, 0], shown[:, 2])
    exact = [
        round(Fraction(c * a + 255 * (255 - a), 255))
        for c, a in zip(color.flatten().tolist(), alpha.flatten().tolist(), strict=True)
    ]
    assert shown[0, 1].flatten().tolist() == exact


# files


def test_images_of_some_numbers_in_their_order() -> None:
    images = image_files(PICTURES)
    ticks: list[float] = []
    found = images.batch([4, 0, 4], ticks.append)
    assert found.dtype == torch.uint8
    assert torch.equal(found, torch.from_numpy(PICTURES[[4, 0, 4]]).permute(0, 3, 1, 2))
    assert ticks == [1.0]
    assert len(images) == 6


def test_a_categorical_model_sees_fewer_levels() -> None:
    """K = 3 has the bytes 0, 128 and 255, with edges at 63.75 and 191.25; K = 2 only 0 and 255."""
    ramp = np.array([0, 63, 64, 191, 192, 255], np.uint8).reshape(1, 1, 6, 1)
    for classes, expected in (
        (3, [0, 0, 128, 128, 255, 255]),
        (2, [0, 0, 0, 255, 255, 255]),
        (256, ramp.flatten().tolist()),
    ):
        seen = image_files(ramp, CategoricalPixels(classes)).batch([0])
        assert seen.dtype == torch.uint8
        assert seen.flatten().tolist() == expected
    assert image_files(ramp).batch([0]).flatten().tolist() == ramp.flatten().tolist()


def test_what_is_said_of_files() -> None:
    names = ("a.png", "b.JPG", "c.jpeg", "d.webp", "e.bmp", "f.jpg.png")
    about = image_files(PICTURES[:, :, :5], names=names).about
    assert about["kind"] == "files"
    assert (about["count"], about["size"], about["channels"]) == (6, [5, 8], 3)
    assert about["lossy"] == 0.5
    assert about["depth"] == "the files' own"
    assert about["unreadable"] == 0
    seen = image_files(PICTURES, CategoricalPixels(4)).about
    assert seen["depth"] == "as seen by a model of 4 levels"


def test_the_identity_of_files_is_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = image_files(PICTURES).identity
    assert len(identity) == 64
    other_byte = PICTURES.copy()
    other_byte[5, 7, 7, 2] ^= 1
    turned = PICTURES.reshape(6, 4, 16, 3)  # the same bytes in another shape
    different = [
        image_files(other_byte),
        image_files(PICTURES[::-1].copy()),
        image_files(PICTURES[:5]),
        image_files(turned),
        image_files(PICTURES, CategoricalPixels(4)),
        image_files(PICTURES, CategoricalPixels(5)),
    ]
    assert len({identity, *(images.identity for images in different)}) == 7
    assert image_files(PICTURES.copy(), names=[f"{i}.jpg" for i in range(6)]).identity == identity
    for at_once in (1, 400, 1000):
        monkeypatch.setattr(image_sets, "_BYTES_AT_ONCE", at_once)
        assert image_files(PICTURES).identity == identity


def test_a_copied_folder_is_the_same_set(tmp_path: Path) -> None:
    first = save_pictures(tmp_path / "first", PICTURES)
    copy = shutil.copytree(first, tmp_path / "copy")
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", first)

    def opened(path: Path | str) -> ImageFiles:
        return ImageFiles(load_dataset(DataConfig(dataset=str(path), cache=False)), Path(path))

    one, *others = (opened(path) for path in (first, copy, zipped))
    assert [other.identity for other in others] == [one.identity] * 2
    assert one.identity == image_files(PICTURES).identity
    assert [other.about["path"] for other in others] == [str(copy), zipped]


# samples


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
@pytest.mark.parametrize("visualize", ["z", "x"])
def test_a_number_is_one_sample_in_any_batch(
    kind: str, visualize: str, checkpoints: dict[str, Path]
) -> None:
    """Equal but for one grey level: PyTorch's kernels round otherwise in batches of other sizes."""
    images = samples_of(checkpoints[kind], visualize=visualize)
    whole = images.batch(range(6))
    assert whole.dtype == torch.uint8
    assert whole.shape == (6, 1 if kind == "discrete" else 3, 8, 8)
    for rows in ([0], [5, 2], [3, 4, 5]):
        assert_same(images.batch(rows), whole[rows])
    for a in range(6):
        for b in range(a):
            assert (whole[a].int() - whole[b].int()).abs().max() > 1, "all differ"


def assert_same(one: Tensor, other: Tensor) -> None:
    assert one.shape == other.shape
    assert (one.int() - other.int()).abs().max() <= 1


def test_samples_are_those_of_the_sampler(checkpoints: dict[str, Path]) -> None:
    images = samples_of(checkpoints["continuous"], first_seed=11)
    expected = sample(images.model, range(11, 14), schedule=FEW_STEPS.schedule)
    assert_same(images.batch(range(3)), torch.from_numpy(expected).permute(0, 3, 1, 2))
    assert_same(images.batch([2]), samples_of(checkpoints["continuous"]).batch([13]))


def test_samples_say_how_far_they_are(checkpoints: dict[str, Path]) -> None:
    ticks: list[float] = []
    samples_of(checkpoints["continuous"]).batch([0, 1], ticks.append)
    assert ticks == [0.25, 0.5, 0.75, 1.0]


def test_the_identity_of_samples_is_all_that_decides_them(checkpoints: dict[str, Path]) -> None:
    path = checkpoints["continuous"]
    images = samples_of(path)
    different = [
        samples_of(path, schedule=Schedule(num_steps=4)),
        samples_of(path, schedule=Schedule(num_steps=3, min_noise=0.2)),
        samples_of(path, visualize="x"),
        samples_of(path, first_seed=1),
        samples_of(path, precision="bf16"),
        samples_of(path, lag=0.25),
        replace(images, checkpoint=(images.checkpoint[0], "5b")),
        samples_of(checkpoints["discrete"]),
    ]
    assert len({images.identity, *(other.identity for other in different)}) == 9


def test_the_identity_of_samples_is_not_their_number_or_place(checkpoints: dict[str, Path]) -> None:
    images = samples_of(checkpoints["continuous"])
    assert replace(images, count=60).identity == images.identity
    assert replace(images, checkpoint=("/elsewhere.pth", "5a")).identity == images.identity
    images.batch([0])
    assert samples_of(checkpoints["continuous"]).identity == images.identity


def test_what_is_said_of_samples(checkpoints: dict[str, Path]) -> None:
    about = samples_of(checkpoints["continuous"], first_seed=10, visualize="x", lag=0.25).about
    assert about == {
        "kind": "samples",
        "checkpoint": str(checkpoints["continuous"]),
        "checkpoint_sha256": "5a",
        "count": 6,
        "size": [8, 8],
        "channels": 3,
        "seeds": "10-15",
        "max_sampling_noise": 1.0,
        "min_sampling_noise": pytest.approx(0.01),
        "num_sampling_steps": 3,
        "sampler": "chain",
        "ladder": "linear",
        "guidance": 1.0,
        "lag": 0.25,
        "visualize": "x",
        "precision": "fp32",
    }


# parts and pictures


def test_a_part_has_the_numbers_of_the_whole(checkpoints: dict[str, Path]) -> None:
    for whole in (image_files(PICTURES), samples_of(checkpoints["discrete"])):
        all_of_it = whole.batch(range(6))
        part = ImageSubset(whole, range(1, 6, 2))
        assert len(part) == 3
        assert_same(part.batch([2, 0]), all_of_it[[5, 1]])
        assert_same(ImageSubset(part, range(1, 3)).batch([0, 1]), all_of_it[[3, 5]])
        ticks: list[float] = []
        part.batch([0], ticks.append)
        assert ticks[-1] == 1.0
        assert part.about["count"] == 3
        assert part.about["kind"] == whole.about["kind"]
        assert part.about["part"] == "range(1, 6, 2)"


def test_the_identity_of_a_part() -> None:
    whole, other = image_files(PICTURES), image_files(PICTURES[::-1].copy())
    parts: list[ImageSet] = [
        whole,
        ImageSubset(whole, range(3)),
        ImageSubset(whole, range(3, 6)),
        ImageSubset(whole, range(0, 6, 2)),
        ImageSubset(other, range(3)),
    ]
    assert len({part.identity for part in parts}) == 5
    assert ImageSubset(image_files(PICTURES.copy()), range(3)).identity == parts[1].identity


def test_pictures_in_memory() -> None:
    images = torch.from_numpy(PICTURES[:, :, :5]).permute(0, 3, 1, 2)
    pictures = ArrayImages(images, "step 7")
    assert len(pictures) == 6
    ticks: list[float] = []
    assert torch.equal(pictures.batch([5, 1], ticks.append), images[[5, 1]])
    assert ticks == [1.0]
    about = pictures.about
    assert (about["name"], about["count"], about["size"], about["channels"]) == (
        *("step 7", 6, [5, 8]),
        3,
    )
    assert ArrayImages(images.contiguous(), "another name").identity == pictures.identity
    changed = images.clone()
    changed[5, 2, 7, 4] ^= 1
    different = [
        ArrayImages(changed),
        ArrayImages(images[:5]),
        ArrayImages(images.reshape(6, 3, 5, 8)),
    ]
    assert len({pictures.identity, *(other.identity for other in different)}) == 4
