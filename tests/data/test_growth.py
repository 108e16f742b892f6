"""Nothing about a large folder grows worse than linearly: operations are counted, not seconds."""

import itertools
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nkca.data import cache, dataset, listing, reading
from nkca.data.archives import FileEntry
from nkca.data.cache import load_images
from nkca.data.dataset import batches
from nkca.data.listing import list_images
from nkca.data.reading import LoadOptions


def tree(root: Path, count: int) -> Path:
    """Links to one image, ten in a folder, half of them symbolic."""
    root.mkdir()
    Image.new("L", (2, 2), 7).save(root.with_suffix(".png"))
    for number in range(count):
        folder = root / f"{number // 100}" / f"{number // 10 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:06d}.png"
        if number % 2:
            path.symlink_to(root.with_suffix(".png"))
        else:
            os.link(root.with_suffix(".png"), path)
    return root


def counted(
    monkeypatch: pytest.MonkeyPatch, counts: Counter[str], *places: tuple[Any, str]
) -> None:
    for module, name in places:
        original: Callable[..., Any] = getattr(module, name)

        def count(
            *args: Any, _original: Callable[..., Any] = original, _name: str = name, **named: Any
        ) -> Any:
            counts[_name] += 1
            return _original(*args, **named)

        monkeypatch.setattr(module, name, count)


def test_each_file_is_looked_at_once_in_each_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for size in (100, 400):
        folder = tree(tmp_path / str(size), size)
        counts: Counter[str] = Counter()
        with monkeypatch.context() as patch:
            counted(
                patch,
                counts,
                *((listing, "stat_stamp"), (listing, "_entry_type"), (listing, "_is_image")),
                *((reading, "probe"), (reading, "decode"), (reading, "_report")),
                (cache, "check_unreadable"),
            )
            first = load_images(list_images(folder), LoadOptions(), tmp_path / "cache", 1)
            assert not first.from_cache
            once = Counter(counts)
            again = load_images(list_images(folder), LoadOptions(), tmp_path / "cache", 1)
        assert again.from_cache
        assert once["probe"] == once["decode"] == once["stat_stamp"] == size
        assert once["_is_image"] <= size + 1
        assert once["_report"] <= 2 + size // 100, "progress is told for batches, not images"
        assert counts["stat_stamp"] == 2 * size, "a look-up stats each file once"
        assert counts["decode"] == size
        found[size] = counts
    assert found[400]["_entry_type"] <= 4 * found[100]["_entry_type"]


def test_listing_holds_no_second_list_of_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that are no images are counted, not kept."""
    alive = 0
    most = 0

    class Counted(FileEntry):
        __slots__ = ()

        def __init__(self, *args: Any) -> None:
            nonlocal alive, most
            super().__init__(*args)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    monkeypatch.setattr(listing, "FileEntry", Counted)
    for number in range(200):
        (tmp_path / f"{number}.txt").touch()
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    assert list_images(tmp_path).names == ("a.png",)
    assert 1 <= most <= 4


def test_an_order_is_made_once_for_each_epoch_and_resuming_walks_through_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: Counter[str] = Counter()
    counted(monkeypatch, counts, (dataset, "epoch_order"))
    images = np.zeros((50, 1, 1, 1), np.uint8)
    list(itertools.islice(batches(images, 5, seed=0), 30))
    assert counts["epoch_order"] == 3
    counts.clear()
    next(batches(images, 5, seed=0, first=50 * 1_000_000 + 25))
    assert counts["epoch_order"] == 1


class Rows:
    """Images that say which rows are read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, rows: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
        self.read += list(rows)
        return np.zeros((len(rows), 1, 1, 1), np.uint8)


def test_a_batch_reads_its_own_rows_alone() -> None:
    images = Rows(100_000)
    next(batches(images, 8, seed=0, first=70_000))  # type: ignore[arg-type]
    assert len(images.read) == 8
