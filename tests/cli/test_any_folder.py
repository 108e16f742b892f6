"""Folders of pictures as they come: of many sizes, not square, with the sheets that nkca-sample adds."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from tables import each

from nkca.config.parsing import configure
from nkca.models.checkpoint import load_checkpoint

Call = Callable[..., Result]
TINY = ("--hidden-size=8", "--batch-size=4", "--viz-freq=0", "--device=cpu", "--max-steps=1", "-q")


def draw(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    """Colourful images of these (height, width)."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, size in enumerate(sizes):
        pixels = random.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(
        tmp_path_factory.mktemp("mixed") / "images", [(24, 18)] * 5 + [(30, 18), (16, 20), (8, 40)]
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, call: Call, mixed: Path) -> dict[str, Path]:
    """A run of 16 x 12 pixels for each way of fitting; never write there."""
    place = tmp_path_factory.mktemp("runs")
    for fit in ("crop", "pad", "commonest"):
        options = (
            f"--dataset={mixed}",
            "--resize=16x12",
            f"--fit={fit}",
            f"--save-dir={place / fit}",
        )
        call("train", *TINY, "--dim-mults=[1]", *options)
    return {fit: place / fit for fit in ("crop", "pad", "commonest")}


def test_how_images_were_fitted_is_in_the_checkpoint(runs: dict[str, Path]) -> None:
    for fit, run in each(runs.items()):
        checkpoint = load_checkpoint(run)
        data = configure(checkpoint.config).data
        assert checkpoint.data_shape == (3, 16, 12)
        assert (data.resize, data.fit) == ((16, 12), fit)


def test_samples_variants_and_inpainting_of_a_model_that_is_not_square(
    runs: dict[str, Path], call: Call, mixed: Path, tmp_path: Path
) -> None:
    mask = np.zeros((24, 18), np.uint8)
    mask[:12] = 255  # the upper half
    Image.fromarray(mask).save(tmp_path / "mask.png")
    photo, steps = mixed / "0.png", ("--num-sampling-steps=2", "--device=cpu", "-q")
    for name, options in each(
        {
            "new": ("--num-samples=3", "--save-grid"),
            "variants": (photo, "--num-samples=2"),
            "inpainting": (photo, f"--inpainting-mask={tmp_path / 'mask.png'}"),
        }.items()
    ):
        out = tmp_path / name
        call("sample", runs["crop"], *options, *steps, f"--save-dir={out}")
        pictures = [path for path in out.iterdir() if path.name != "grid.png"]
        assert pictures
        assert all(np.asarray(Image.open(path)).shape == (16, 12, 3) for path in pictures)
    (painted,) = (np.asarray(Image.open(p)) for p in (tmp_path / "inpainting").iterdir())
    original = np.asarray(Image.open(photo).resize((12, 16), Image.Resampling.BILINEAR))
    differs = (painted != original).any(-1)
    assert differs[:8].any()
    assert not differs[8:].any()


def test_metrics_of_a_model_that_is_not_square(
    runs: dict[str, Path], call: Call, mixed: Path, tmp_path: Path
) -> None:
    """Its training images are read as in training, others cut to its shape."""
    other = draw(tmp_path / "other", [(40, 40)] * 6)
    for fit, images, count in each(
        [("crop", mixed, 8), ("pad", mixed, 8), ("commonest", mixed, 5), ("pad", other, 6)]
    ):
        out = tmp_path / f"{fit}-{count}"
        options = ("--features=pixels", "--num-sampling-steps=1", "--device=cpu", "-q")
        call("metrics", runs[fit], images, *options, f"--save-dir={out}")
        found = json.loads((out / "metrics.json").read_text())
        assert found["protocol"]["reference"]["size"] == [12, 16]
        assert found["protocol"]["reference"]["count"] == count


def test_metrics_of_two_folders_in_one_size(call: Call, mixed: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "out", ("--features=pixels", "--device=cpu")
    call("metrics", mixed, mixed, "--resize=8x6", "--fit=pad", *options, f"--save-dir={out}")
    assert json.loads((out / "metrics.json").read_text())["protocol"]["samples"]["size"] == [6, 8]
    refused = call("metrics", mixed, mixed, "--resize=8y6", f"--save-dir={out}", code=2)
    assert (
        "resize must be a size such as 64, or 48x64 (height x width), got '8y6'" in refused.stderr
    )


def test_samples_with_their_sheet_are_measured_and_trained_on(
    trained: Path, call: Call, photos: Path, tmp_path: Path
) -> None:
    samples = tmp_path / "samples"
    steps = ("--num-sampling-steps=1", "--device=cpu", "-q")
    also = ("--save-grid", "--save-animation=gif", "--save-intermediate")
    call("sample", trained, "--num-samples=6", *also, *steps, f"--save-dir={samples}")
    out = tmp_path / "metrics"
    result = call(
        "metrics", samples, photos, "--features=pixels", "--device=cpu", f"--save-dir={out}"
    )
    assert result.stderr.count("a sheet of samples (grid.png)") == 1
    found = json.loads((out / "metrics.json").read_text())["protocol"]["samples"]
    assert (found["count"], found["size"]) == (6, [8, 8])
    options = [
        *TINY[:-1],
        "--dim-mults=[1]",
        f"--dataset={samples}",
        f"--save-dir={tmp_path / 'run'}",
    ]
    result = call("train", *options, "--dry-run")
    assert "images       6 of 8x8" in result.stdout
    assert re.search(r"^left out +1 image: a sheet of samples \(grid\.png\)$", result.stdout, re.M)


def test_oddities_are_one_warning_each_in_the_dry_run(call: Call, tmp_path: Path) -> None:
    for name, sizes, flags, words in each(
        [
            ("one", [(8, 8)], (), "there is one image"),
            ("dot", [(1, 1)] * 4, (), "images of one pixel"),
            ("few", [(8, 8)] * 3, (), "a batch of 4 has each of the 3"),
            ("small", [(16, 16)] * 4, ("--resize=64",), "4 of 4 images are enlarged"),
            ("fine", [(8, 8)] * 4, (), ""),
        ]
    ):
        folder = draw(tmp_path / name, sizes)
        options = (*TINY, "--dim-mults=[1]", f"--dataset={folder}", *flags, "--dry-run")
        said = call("train", *options, f"--save-dir={tmp_path / f'run-{name}'}").stdout
        found = re.findall(r"^warning +(.+)$", said, re.M)
        assert [words in warning for warning in found] == ([True] if words else []), said
