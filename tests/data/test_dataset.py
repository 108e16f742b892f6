"""Images to batches: each image once in each epoch, in an order that depends on seed and epoch."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tables import each
from torch import Tensor

from nkca.config.data import DataConfig
from nkca.data.dataset import augment, batches, epoch_order, load_dataset, parse_color
from nkca.demo import dataset_path
from nkca.errors import InputError
from nkca.noise import Noise, step_noise


def numbered(size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Images 2x3 of 1 channel; all pixels of image i are i."""
    return np.arange(size, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(3, 2)


def numbers(batch: Tensor) -> list[int]:
    """Which images a batch holds."""
    values: list[int] = batch[:, 0, 0, 0].tolist()
    return values


def test_order_depends_on_seed_and_epoch_only() -> None:
    orders = {(seed, epoch): epoch_order(seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1)}
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 4
    again = epoch_order(1, 1, 50)
    assert np.array_equal(again, orders[1, 1])


def test_each_image_once_in_each_epoch() -> None:
    """Also where batches straddle epochs or exceed the data set."""
    size, epochs = 10, 6
    for batch_size in each([1, 3, 7, 10, 23, 50]):
        flat: list[int] = []
        for batch in itertools.islice(batches(numbered(size), batch_size, seed=4), 100):
            assert batch.shape == (batch_size, 1, 2, 3)
            assert batch.dtype == torch.uint8
            flat += numbers(batch)
            if len(flat) >= size * epochs:
                break
        for epoch in range(epochs):
            part = flat[epoch * size : (epoch + 1) * size]
            assert part == epoch_order(4, epoch, size).tolist()
            assert Counter(part) == Counter(range(size))


def test_batches_go_on_from_any_image() -> None:
    for first in each([0, 1, 9, 10, 11, 35]):
        whole = itertools.chain.from_iterable(map(numbers, batches(numbered(10), 5, seed=1)))
        expected = list(itertools.islice(whole, first, first + 12))
        resumed = itertools.chain.from_iterable(map(numbers, batches(numbered(10), 4, 1, first)))
        assert list(itertools.islice(resumed, 12)) == expected


def test_one_image_is_enough() -> None:
    assert numbers(next(batches(numbered(1), 3, seed=0))) == [0, 0, 0]


IMAGE = torch.tensor([[[1, 2, 3], [4, 5, 6]]], dtype=torch.uint8)
FLIPPED = {
    (): [IMAGE],
    ("fliph",): [IMAGE, torch.tensor([[[3, 2, 1], [6, 5, 4]]])],
    ("flipv",): [IMAGE, torch.tensor([[[4, 5, 6], [1, 2, 3]]])],
    ("fliph", "flipv"): [
        IMAGE,
        torch.tensor([[[3, 2, 1], [6, 5, 4]]]),
        torch.tensor([[[4, 5, 6], [1, 2, 3]]]),
        torch.tensor([[[6, 5, 4], [3, 2, 1]]]),
    ],
}


def test_flips_by_hand() -> None:
    """Each of the possible outcomes about equally often, and nothing else."""
    count = 2000
    for names, wanted in each(FLIPPED.items()):
        out = augment(IMAGE.expand(count, 1, 2, 3), names, step_noise(0, 0, 0, count))
        assert out.dtype == torch.uint8
        shares = [
            (out == image.to(torch.uint8)).all(3).all(2).all(1).double().mean().item()
            for image in wanted
        ]
        assert sum(shares) == pytest.approx(1)
        expected = 1 / len(shares)
        assert shares == pytest.approx([expected] * len(shares), abs=5 * (0.25 / count) ** 0.5)


def test_an_image_is_flipped_by_its_own_stream() -> None:
    """The rest of the batch makes no difference, as resuming and accumulating need."""
    images = torch.arange(8 * 6, dtype=torch.uint8).reshape(8, 1, 2, 3)
    whole = augment(images, ("fliph", "flipv"), Noise(range(8)))
    single = [augment(images[i : i + 1], ("fliph", "flipv"), Noise([i])) for i in range(8)]
    assert torch.equal(whole, torch.cat(single))


COLOURS = {
    "white": (255, 255, 255),
    "Black": (0, 0, 0),
    "#ff8800": (255, 136, 0),
    "#f80": (255, 136, 0),
    "rgb(1, 2, 3)": (1, 2, 3),
    "#11223344": (17, 34, 51),
}


def test_colours_and_what_is_none() -> None:
    for text, expected in each(COLOURS.items()):
        assert parse_color(text) == expected
    for text in each(["", "whit", "#12", "255", "1,2,3"]):
        with pytest.raises(InputError, match="is not a colour; examples: white"):
            parse_color(text)


def test_the_background_is_behind_transparent_pixels(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    for colour, expected in COLOURS.items():
        config = DataConfig(dataset=str(tmp_path), background=colour, cache=False)
        images = load_dataset(config).images
        assert images.reshape(-1, 3).tolist() == [list(expected)] * 16


def test_no_dataset() -> None:
    with pytest.raises(InputError, match="no dataset given: name a folder"):
        load_dataset(DataConfig())


def test_the_demo_is_in_the_package() -> None:
    assert dataset_path("demo").is_file()
    assert dataset_path("demo").name == "demo.zip"
    assert dataset_path("./demo") == Path("demo")
    assert dataset_path("~/images") == Path.home() / "images"


def test_cache_dir_is_used_unless_there_is_no_cache(tmp_path: Path) -> None:
    images, cache = tmp_path / "images", tmp_path / "cache"
    images.mkdir()
    Image.new("L", (4, 4), 5).save(images / "a.png")
    progress: list[tuple[int, int]] = []

    def load(use: bool) -> bool:
        config = DataConfig(dataset=str(images), cache_dir=str(cache), cache=use)
        return load_dataset(config, lambda done, total: progress.append((done, total))).from_cache

    assert not load(False)
    assert not cache.exists()
    assert progress[-1] == (2, 2)
    assert not load(True)
    assert load(True)
    assert any(cache.iterdir())
