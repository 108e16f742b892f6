"""Decoded once, mapped ever after, and never a half of anything."""

import json
import multiprocessing
import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spawned_loads
from PIL import Image
from tables import each

from nkca.data import cache, reading
from nkca.data.cache import DecodedImages, load_images
from nkca.data.listing import list_images
from nkca.data.reading import LoadOptions
from nkca.errors import InputError

PLAIN = LoadOptions()


def save(path: Path, value: int, size: tuple[int, int] = (3, 2), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    color: Any = value if mode == "L" else (value, 0, 0)
    Image.new(mode, size, color).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(5):
        save(tmp_path / "images" / f"{index}.png", 10 * index)
    return tmp_path / "images"


def load(folder: Path, options: LoadOptions = PLAIN, workers: int = 2) -> DecodedImages:
    return load_images(list_images(folder), options, folder.parent / "cache", workers)


def entries(folder: Path) -> list[Path]:
    return sorted((folder.parent / "cache").iterdir())


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(reading, "decode", refuse)
    monkeypatch.setattr(reading, "probe", refuse)
    monkeypatch.setattr(cache, "open_source", refuse)


@pytest.mark.parametrize("cached", [True, False])
def test_all_images_in_order_with_their_statistics(cached: bool, folder: Path) -> None:
    where = folder.parent / "cache" if cached else None
    loaded = load_images(list_images(folder), PLAIN, where, 3)
    expected = np.repeat([0, 10, 20, 30, 40], 6).reshape(5, 2, 3, 1)
    assert np.array_equal(loaded.images, expected)
    assert loaded.images.dtype == np.uint8
    assert isinstance(loaded.images, np.memmap) is cached
    assert not loaded.images.flags.writeable
    assert loaded.names == tuple(f"{index}.png" for index in range(5))
    assert loaded.unreadable == ()
    assert not loaded.from_cache
    assert loaded.histogram.tolist() == np.bincount(expected.ravel(), minlength=256).tolist()
    values = expected / 127.5 - 1
    assert loaded.mean == pytest.approx(values.mean(), abs=1e-12)
    assert loaded.std == pytest.approx(values.std(), abs=1e-12)


def test_the_second_load_opens_no_image(folder: Path, request: pytest.FixtureRequest) -> None:
    first = load(folder)
    request.getfixturevalue("no_reading")
    second = load(folder)
    assert second.from_cache
    assert np.array_equal(first.images, second.images)
    assert (second.names, second.mean, second.std) == (first.names, first.mean, first.std)


def test_a_changed_file_is_decoded_again(folder: Path) -> None:
    load(folder)
    time.sleep(0.02)
    save(folder / "1.png", 99)
    again = load(folder)
    assert not again.from_cache
    assert again.images[:, 0, 0, 0].tolist() == [0, 99, 20, 30, 40]


def test_every_option_has_its_own_entry(folder: Path) -> None:
    variants = [
        PLAIN,
        LoadOptions(resize=2),
        LoadOptions(channels=1),
        LoadOptions(channels=3),
        LoadOptions(background=(0, 0, 0)),
    ]
    for options in variants:
        assert not load(folder, options).from_cache
    assert len(entries(folder)) == len(variants)
    for options in variants:
        assert load(folder, replace(options, strict=True)).from_cache


def test_channels_are_those_of_the_most_colourful(folder: Path) -> None:
    assert load(folder).images.shape == (5, 2, 3, 1)
    save(folder / "sub" / "red.png", 200, mode="RGB")
    loaded = load(folder)
    assert loaded.images.shape == (6, 2, 3, 3)
    assert loaded.names[-1] == "sub/red.png"
    assert loaded.images[-1, 0, 0].tolist() == [200, 0, 0]
    assert load(folder, LoadOptions(channels=4)).images[1, 0, 0].tolist() == [10, 10, 10, 255]


def test_different_sizes_are_told_with_the_way_out(folder: Path) -> None:
    save(folder / "wide.png", 0, (30, 20))
    save(folder / "zwide.png", 0, (30, 20))
    save(folder / "tall.png", 0, (4, 9))
    with pytest.raises(InputError) as caught:
        load(folder)
    assert str(caught.value) == (
        "images differ in size (height x width): 5 of 2x3 (0.png), 2 of 20x30 (wide.png), 1 of 9x4 "
        "(tall.png); use resize=2 (cut to that shape), or fit=commonest (5 of 8 images), or fit=pad "
        "(borders, nothing cut)"
    )
    assert entries(folder) == []
    assert load(folder, LoadOptions(resize=2)).images.shape == (8, 2, 2, 1)
    for index in range(5, 10):
        save(folder / f"{index}.png", 0, (index, index))
    with pytest.raises(InputError, match=r", and 3 more sizes; use"):
        load(folder)


def damage(folder: Path) -> None:
    """Make 1.png fail at its header and 3.png only when its pixels are decoded."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)).save(
        folder / "3.png"
    )
    content = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(content[: len(content) // 2])
    (folder / "1.png").write_bytes(b"")


@pytest.mark.parametrize("cached", [True, False])
def test_unreadable_images_are_left_out_and_named(cached: bool, folder: Path) -> None:
    damage(folder)
    options = LoadOptions(resize=2)
    where = folder.parent / "cache" if cached else None
    for attempt in range(2):
        loaded = load_images(list_images(folder), options, where, 2)
        assert loaded.from_cache == (cached and attempt == 1)
        assert loaded.names == ("0.png", "2.png", "4.png")
        assert loaded.images[:, 0, 0, 0].tolist() == [0, 20, 40]
        assert [name for name, _ in loaded.unreadable] == ["1.png", "3.png"]
        assert loaded.unreadable[0][1] == "empty file"
        assert "truncated" in loaded.unreadable[1][1]


def test_strict_refuses_with_or_without_a_cache(folder: Path) -> None:
    damage(folder)
    strict = LoadOptions(resize=2, strict=True)
    with pytest.raises(InputError, match=r"^1 of 5 images unreadable, first 1\.png: empty file$"):
        load(folder, strict)  # refused by the headers, before any pixel
    load(folder, replace(strict, strict=False))
    with pytest.raises(InputError, match=r"^2 of 5 images unreadable, first 1\.png: empty file$"):
        load(folder, strict)
    save(folder / "1.png", 10)
    with pytest.raises(InputError, match=r"^1 of 5 images unreadable, first 3\.png: .*truncated"):
        load(folder, strict)


def test_nothing_readable(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"text")
    for where in (None, folder.parent / "cache"):
        with pytest.raises(InputError, match=r"^5 of 5 images unreadable, first 0\.png: not an im"):
            load_images(list_images(folder), PLAIN, where)
    for path in folder.iterdir():
        save(path, 3, (90, 90))
        path.write_bytes(path.read_bytes()[:-30])
    for where in (None, folder.parent / "cache"):
        with pytest.raises(InputError, match=r"^5 of 5 images unreadable"):
            load_images(list_images(folder), PLAIN, where)
    assert entries(folder) == []


def test_a_damaged_entry_is_built_again(folder: Path) -> None:
    load(folder)
    (entry,) = entries(folder)
    images, meta = entry / "images.u8", entry / "meta.json"
    content = json.loads(meta.read_text())
    actions: dict[str, Any] = {
        "short": lambda: images.write_bytes(images.read_bytes()[:-1]),
        "long": lambda: images.write_bytes(images.read_bytes() + b"x"),
        "no images": images.unlink,
        "no meta": meta.unlink,
        "bad json": lambda: meta.write_text("{"),
        "a list": lambda: meta.write_text("[]"),
        "key": lambda: meta.write_text(json.dumps({**content, "key": "other"})),
        "shape": lambda: meta.write_text(json.dumps({**content, "shape": [30]})),
        "swapped": lambda: meta.replace(images),
    }
    for harm in each(actions):
        actions[harm]()
        again = load(folder)
        assert not again.from_cache
        assert again.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
        assert entries(folder) == [entry]
        assert load(folder).from_cache


def test_a_crashed_build_leaves_no_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            load(folder)
    assert entries(folder) == []
    assert not load(folder).from_cache


def test_only_stale_leftovers_are_removed(folder: Path) -> None:
    old, young = (folder.parent / "cache" / f".{name}.tmp" for name in ("1-old", "2-young"))
    for directory in (old, young):
        (directory / "key").mkdir(parents=True)
        (directory / "key" / "images.u8").write_bytes(b"")
    past = time.time() - 25 * 3600
    for path in (old, old / "key", old / "key" / "images.u8", young, young / "key"):
        os.utime(path, (past, past))  # the young one is still being written to
    load(folder)
    assert not old.exists()
    assert young.exists()


def test_builders_at_once_all_end_well(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: load(folder), range(8)))
    assert all(np.array_equal(result.images, results[0].images) for result in results)
    assert len(entries(folder)) == 1


def test_spawned_builders_and_pickled_results(folder: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        cached = [(name, name.parent / "cache") for name in (folder, folder)]
        built = pool.starmap(spawned_loads.load, cached)
        loaded = load(folder)
        in_memory = load_images(list_images(folder), PLAIN, None)
        assert pool.map(spawned_loads.fourth, [loaded, in_memory]) == [(40, False), (40, False)]
    assert loaded.from_cache
    assert all(np.array_equal(result.images, loaded.images) for result in built)
    assert len(entries(folder)) == 1


def test_a_pickled_map_ships_no_pixels(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", 7, (500, 500))
    loaded = load(tmp_path / "images")
    assert len(pickle.dumps(loaded)) < 10_000
    assert np.array_equal(pickle.loads(pickle.dumps(loaded)).images, loaded.images)


def test_progress_counts_both_passes(folder: Path) -> None:
    damage(folder)
    seen: list[tuple[int, int]] = []
    options = LoadOptions(resize=2)
    load_images(list_images(folder), options, None, 2, lambda *step: seen.append(step))
    assert seen[0] == (5, 10)
    assert seen[-1] == (10, 10)
    assert seen == sorted(seen)


def test_many_batches_keep_their_order(tmp_path: Path) -> None:
    for index in range(700):
        save(tmp_path / "images" / f"{index:03d}.pgm", index % 251, (2, 2))
    loaded = load(tmp_path / "images", workers=4)
    assert loaded.images[:, 1, 1, 0].tolist() == [index % 251 for index in range(700)]


@pytest.mark.parametrize("failure", ["file in the way", "no space"])
def test_a_cache_that_cannot_be_written(
    failure: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if failure == "file in the way":
        (folder.parent / "cache").write_bytes(b"")
    else:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(cache, "write_text", full)
    with pytest.raises(InputError, match=r"cache: cannot write .*cache_dir.*switch the cache off"):
        load(folder)
