"""Files of many sizes become images of one: cut, padded, or only those of the commonest size."""

import io
import itertools
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tables import each
from torchvision.transforms.v2 import functional  # type: ignore[import-untyped]

from nkca.config.data import DataConfig
from nkca.config.image_size import Accepted
from nkca.config.parsing import configure
from nkca.data.cache import DecodedImages, load_images
from nkca.data.dataset import describe_left_out
from nkca.data.decode import DecodeOptions, decode, fit
from nkca.data.fitting import Fitting, cropped, padded
from nkca.data.listing import list_images
from nkca.data.reading import LoadOptions
from nkca.errors import InputError
from nkca.pictures.png import save_png
from nkca.runs.fitted_images import describe_fitting, show_fitting, warnings


def folder_of(place: Path, sizes: list[tuple[int, int]]) -> Path:
    """One grey image for each (height, width), darker to the right; 0.png, 1.png ..."""
    place.mkdir(parents=True, exist_ok=True)
    for number, (height, width) in enumerate(sizes):
        row = np.linspace(200, 0, width).astype(np.uint8)
        Image.fromarray(np.tile(row, (height, 1))).save(place / f"{number}.png")
    return place


def load(place: Path, **options: Any) -> DecodedImages:
    return load_images(list_images(place), LoadOptions(**options), None)


def test_by_hand() -> None:
    """(height, width): of the file, what is kept, what that becomes, the result."""
    for how, size, result, kept, scaled in each(
        [
            (cropped, (10, 10), (5, 5), (10, 10), (5, 5)),
            (cropped, (10, 20), (5, 5), (10, 10), (5, 5)),
            (cropped, (10, 20), (4, 8), (10, 20), (4, 8)),
            (cropped, (16, 16), (64, 32), (16, 8), (64, 32)),
            (padded, (10, 20), (5, 5), (10, 20), (2, 5)),
            (padded, (10, 20), (20, 20), (10, 20), (10, 20)),
            (padded, (1, 1000), (8, 8), (1, 1000), (1, 8)),
            (padded, (16, 16), (64, 32), (16, 16), (16, 16)),
        ]
    ):
        assert how(size, result) == Fitting(size, kept, scaled, result)


def test_what_is_said_of_a_fitting_is_what_happens() -> None:
    sizes = [(height, width) for height in (1, 5, 8, 13) for width in (1, 5, 8, 13)]
    for how, size, result in each(itertools.product((cropped, padded), sizes, sizes)):
        fitting = how(size, result)
        image = Image.new("L", size[::-1], 200)
        got = fitting.apply(image, Image.Resampling.BILINEAR, Image.new("L", result[::-1], 7))
        pixels = np.asarray(got)
        assert pixels.shape == result
        assert (pixels == 200).sum() == fitting.scaled[0] * fitting.scaled[1]
        assert fitting.is_padded == bool((pixels == 7).any())
        if how is padded:
            assert not fitting.is_enlarged
            assert not fitting.is_cut
        else:
            assert not fitting.is_padded


def test_padding_is_the_background_and_pixels_are_kept_as_they_are() -> None:
    small = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    png = io.BytesIO()
    Image.fromarray(small).save(png, "PNG")
    options = DecodeOptions((4, 6), 3, (10, 20, 30), pad=True)
    found = decode(png.getvalue(), options)
    assert np.array_equal(found[1:3, 2:5, 1], small) or np.array_equal(found[1:3, 1:4, 1], small)
    assert found[0, 0].tolist() == [10, 20, 30]
    clear = decode(png.getvalue(), DecodeOptions((4, 6), 4, (10, 20, 30), pad=True))
    assert clear[0, 0].tolist() == [10, 20, 30, 0]
    assert sorted(np.unique(clear[..., 3]).tolist()) == [0, 255]


def test_crops_are_those_of_torchvision_to_the_byte() -> None:
    """Its CenterCrop and antialiased Resize of a Pillow image, in every mode that files become."""
    random = np.random.default_rng(0)
    sizes = [(8, 8), (9, 14), (17, 5), (31, 64)]
    for mode, size, result in each(itertools.product(("L", "RGB", "RGBA"), sizes, sizes)):
        channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
        raw = random.integers(0, 256, (*size, channels), np.uint8)
        image = Image.fromarray(raw[..., 0] if channels == 1 else raw)
        kept = list(cropped(size, result).kept)
        theirs = functional.resize(functional.center_crop(image, kept), list(result))
        assert np.array_equal(np.asarray(fit(image, result)), np.asarray(theirs))


SIZES = [(72, 72)] * 3 + [(64, 80), (80, 64), (16, 16)]


def test_a_folder_a_zip_and_a_tar_are_fitted_alike(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "images", SIZES)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as tar:
        tar.add(folder, "images")
    cases: list[tuple[dict[str, Any], tuple[int, ...]]] = [
        ({"resize": (48, 64)}, (6, 48, 64, 1)),
        ({"resize": (48, 64), "fit": "pad"}, (6, 48, 64, 1)),
        ({"resize": 32, "fit": "commonest"}, (3, 32, 32, 1)),
        ({"fit": "commonest"}, (3, 72, 72, 1)),
        ({"fit": "pad"}, (6, 80, 80, 1)),
    ]
    for options, shape in each(cases):
        found = [load(tmp_path / n, **options) for n in ("images", "images.zip", "images.tar.gz")]
        for images in found:
            assert images.images.shape == shape
            assert np.array_equal(images.images, found[0].images)
            assert len(images.names) == shape[0]
            assert len(images.left_out) == 6 - shape[0]


def test_what_was_left_out_and_the_sizes_are_in_the_cache(tmp_path: Path) -> None:
    listing = list_images(folder_of(tmp_path / "images", SIZES))
    for fit_ in each(("crop", "pad", "commonest")):
        options = LoadOptions(resize=8, fit=fit_)
        first, again = (load_images(listing, options, tmp_path / "cache") for _ in range(2))
        assert (first.from_cache, again.from_cache) == (False, True)
        assert (again.left_out, again.sizes, again.names) == (
            first.left_out, first.sizes, first.names
        )  # fmt: skip
        assert np.array_equal(again.images, first.images)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    assert describe_left_out(again) == ["3 images: not 72x72 (3.png)"]


def test_of_two_sizes_that_are_as_common_the_larger_is_used(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [(8, 8), (8, 8), (9, 9), (9, 9), (99, 99)])
    assert load(folder, fit="commonest").images.shape == (2, 9, 9, 1)


def test_an_entry_of_an_older_version_is_built_again(tmp_path: Path) -> None:
    listing = list_images(folder_of(tmp_path / "images", [(8, 8)]))
    load_images(listing, LoadOptions(), tmp_path / "cache")
    (meta,) = (tmp_path / "cache").glob("*/meta.json")
    meta.write_text(re.sub(r'"sizes": \[\[.*?\]\], ', "", meta.read_text()))
    assert "sizes" not in meta.read_text()
    assert not load_images(listing, LoadOptions(), tmp_path / "cache").from_cache
    assert load_images(listing, LoadOptions(), tmp_path / "cache").from_cache


# What is proposed


def proposals(message: str) -> list[dict[str, str]]:
    """The options of each alternative that a message proposes."""
    _, _, advice = message.partition("; use ")
    return [
        dict(re.findall(r"(resize|fit)=(\w+)", part))
        for part in re.split(r", or ", advice)
        if "=" in part
    ]


MIXED = [
    [(72, 72)] * 9 + [(64, 80), (70, 75)],  # sprites
    [(172, 200), (1000, 172), (999, 640)],  # photographs
    [(92, 112)] * 3 + [(112, 92)],
    [(1, 1), (2, 1), (3, 3)],
    [(5, 7), (7, 5)],
]


def test_every_size_that_is_proposed_is_accepted(tmp_path: Path) -> None:
    for number, sizes in enumerate(MIXED):
        folder_of(tmp_path / str(number), sizes)
    for number, accepted in each(
        itertools.product(
            range(len(MIXED)),
            [Accepted(), Accepted(8), Accepted(3), Accepted(32), Accepted(only=(28, 20))],
        )
    ):
        with pytest.raises(InputError, match="images differ in size") as caught:
            load(tmp_path / str(number), accepted=accepted)
        found = proposals(str(caught.value))
        assert len(found) == 3
        for options in found:
            config = configure(options).data
            images = load(tmp_path / str(number), resize=config.resize, fit=config.fit)
            assert accepted.includes(*images.images.shape[1:3]), options


def test_nothing_is_proposed_where_nothing_is_possible(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [(5, 7), (7, 5)])
    with pytest.raises(InputError, match=r"1 of 5x7 \(0\.png\), 1 of 7x5 \(1\.png\)$"):
        load(folder, accepted=Accepted(20_000))


# What nkca-sample writes beside samples


def test_sheets_animations_and_steps_beside_samples_are_left_out(tmp_path: Path) -> None:
    sample, sheet = np.full((8, 8, 3), 40, np.uint8), np.full((99, 99, 3), 200, np.uint8)
    folder = tmp_path / "samples"
    step = folder / "intermediate" / "seed_000000"
    step.mkdir(parents=True)
    for seed in range(2):
        save_png(folder / f"seed_{seed:06d}.png", sample, {"seeds": str(seed)})
    save_png(folder / "grid.png", sheet, {"seeds": "0-1"})
    save_png(step / "step_0000_level_1.0000.png", sample)
    Image.fromarray(sheet).save(folder / "animation.gif")
    images = load(folder)
    assert images.images.shape == (2, 8, 8, 3)
    assert images.names == ("seed_000000.png", "seed_000001.png")
    assert describe_left_out(images) == [
        "1 image: an animation of samples (animation.gif)",
        "1 image: a sheet of samples (grid.png)",
        "1 image: a step on the way to a sample (intermediate/seed_000000/step_0000_level_1.0000.png)",
    ]
    assert len(load(folder, strict=True)) == 2, "what is left out is not unreadable"
    assert len(load(folder / "intermediate")) == 1, "who names that folder means it"
    for path in folder.glob("seed*"):
        path.unlink()
    with pytest.raises(InputError, match=r"no image to use: animation\.gif is an animation"):
        load(folder)


def test_a_picture_of_ones_own_that_is_called_grid_is_an_image(tmp_path: Path) -> None:
    folder_of(tmp_path, [(8, 8)])
    (tmp_path / "0.png").rename(tmp_path / "grid.png")
    assert load(tmp_path).names == ("grid.png",)


# What the dry run says


def test_the_dry_run_counts_what_was_done(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, SIZES)
    crop = DataConfig(dataset=str(folder), resize=64)
    pad = DataConfig(dataset=str(folder), resize=80, fit="pad")
    commonest = DataConfig(dataset=str(folder), fit="commonest")
    expected = [
        (crop, ["cut: 2 of 6, up to 20% of an image", "enlarged: 1 of 6, from 16x16"]),
        (pad, ["padded: 6 of 6, borders in the background's colour"]),
        (commonest, ["left out: 3 images: not 72x72 (3.png)"]),
    ]
    for config, said in each(expected):
        images = load(folder, resize=config.resize, fit=config.fit)
        found = [f"{label}: {text}" for label, text in describe_fitting(images, config)]
        assert found == said
    same = DataConfig(dataset=str(folder), resize=72)
    only = folder_of(tmp_path / "same", SIZES[:3])
    assert describe_fitting(load(only, resize=72), same) == []


def test_the_sheet_shows_files_with_what_is_lost_in_red_above_how_they_are_used(
    tmp_path: Path,
) -> None:
    folder = folder_of(tmp_path, [(40, 80), (40, 40)])
    config = DataConfig(dataset=str(folder), resize=40)
    above, below = show_fitting(load(folder, resize=40), config, 4, (80, 80)).reshape(
        2, 4, 80, 80, 3
    )
    red = (above[0, ..., 0].astype(int) - above[0, ..., 1]) > 100
    assert red[:, :20].any()
    assert red[:, 60:].any()
    assert not red[:, 22:58].any()
    assert np.unique(below[0]).size > 10
    assert (above[1:] == 255).all(), "one example; the other file was not changed"
    same = DataConfig(dataset=str(folder_of(tmp_path / "same", [(8, 8)])))
    assert len(show_fitting(load(tmp_path / "same"), same, 4, (80, 80))) == 0


def test_each_oddity_is_one_warning(tmp_path: Path) -> None:
    for name, sizes, resize, batch, words in each(
        [
            ("one", [(8, 8)], None, 32, "there is one image"),
            ("dot", [(1, 1)] * 2, None, 2, "images of one pixel"),
            ("few", [(8, 8)] * 3, None, 4, "a batch of 4 has each of the 3 images more than once"),
            (
                "small",
                [(16, 16), (64, 64)],
                64,
                2,
                "1 of 2 images are enlarged, some from 16x16 to 64x64",
            ),
            ("wide", [(48, 64)] * 2, (64, 48), 2, "resize=64x48 is 64 high and 48 wide"),
            ("fine", [(8, 8)] * 3, None, 3, ""),
            ("high", [(64, 48)] * 2, (32, 24), 2, ""),
        ]
    ):
        config = DataConfig(dataset=str(folder_of(tmp_path / name, sizes)), resize=resize)
        found = list(warnings(load(tmp_path / name, resize=resize), config, batch))
        found = [said for said in found if name != "wide" or "enlarged" not in said]
        assert [words in said for said in found] == ([True] if words else [])
