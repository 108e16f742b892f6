"""Processes that decode: the same images, the same errors, and nothing left running."""

import contextlib
import errno
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loky.backend.process import LokyProcess  # type: ignore[import-untyped]
from PIL import Image

from nkca.data import cache as cache_module
from nkca.data import workers as workers_module
from nkca.data.cache import DecodedImages, load_images
from nkca.data.listing import list_images
from nkca.data.reading import LoadOptions
from nkca.data.workers import WorkerPool, worker_pool
from nkca.errors import InputError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LokyProcess]]:
    """Processes for any number of images; all that were started, which must have ended."""
    found: list[LokyProcess] = []
    start = LokyProcess.start

    def remember(process: LokyProcess) -> None:
        found.append(process)
        start(process)

    monkeypatch.setattr(LokyProcess, "start", remember)
    monkeypatch.setattr(workers_module, "IMAGES_FOR_PROCESSES", 1)
    yield found
    assert not any(process.is_alive() for process in found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number in range(40):
        path = tmp_path / "images" / f"{number % 3}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 7, 3), np.uint8)).save(path)
    (tmp_path / "images/0/03.png").write_bytes(b"")
    broken = (tmp_path / "images/1/04.png").read_bytes()
    (tmp_path / "images/1/04.png").write_bytes(broken[: len(broken) // 2])
    return tmp_path / "images"


def same(left: DecodedImages, right: DecodedImages) -> bool:
    return (
        np.array_equal(left.images, right.images)
        and left.names == right.names
        and left.unreadable == right.unreadable
        and np.array_equal(left.histogram, right.histogram)
    )


def test_processes_find_what_threads_find(
    folder: Path, tmp_path: Path, started: list[LokyProcess]
) -> None:
    for path in (folder, _zipped(folder, tmp_path)):
        alone = load_images(list_images(path), LoadOptions(), None, 1)
        assert not started
        progress: list[tuple[int, int]] = []
        together = load_images(list_images(path), LoadOptions(), None, 2, partial(_note, progress))
        assert len(started) == 2
        assert same(alone, together)
        assert [name for name, _ in together.unreadable] == ["0/03.png", "1/04.png"]
        assert progress[-1] == (80, 80)
        assert progress == sorted(progress)
        started.clear()


def _note(progress: list[tuple[int, int]], done: int, total: int) -> None:
    progress.append((done, total))


def _zipped(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", folder))


def test_few_images_start_no_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LokyProcess, "start", lambda _: pytest.fail("a process was started"))
    assert len(load_images(list_images(folder), LoadOptions(), None, 4)) == 38


@pytest.mark.usefixtures("started")
def test_what_a_call_raises_is_raised() -> None:
    with worker_pool(2, 10) as found:
        assert found.call(abs, -3) == 3
        with pytest.raises(ZeroDivisionError):
            found.call(partial(divmod, 1), 0)
        assert list(found.in_order(partial(found.call, abs), iter(range(-50, 0)))) == [
            *range(50, 0, -1)
        ]


@pytest.mark.usefixtures("started")
def test_a_working_folder_that_is_gone_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match=r"cannot start a process that decodes.*data_workers=1"):
        load_images(list_images(folder), LoadOptions(), tmp_path / "cache", 2)
    assert len(load_images(list_images(folder), LoadOptions(), tmp_path / "cache", 1)) == 38


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("started")
def test_of_an_archive_a_few_images_are_held_at_a_time(
    workers: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the images are once decoded: here 40 files of 1 MB are 40 pixels of 9x7."""
    expected = load_images(list_images(folder), LoadOptions(), None)
    for path in folder.rglob("*.png"):
        path.write_bytes(path.read_bytes() + bytes(10**6))  # Pillow reads to the end of the image
    listing = list_images(_zipped(folder, tmp_path))
    asked: list[int] = []

    @contextlib.contextmanager
    def counting(*arguments: int) -> Iterator[WorkerPool]:
        with worker_pool(*arguments) as pool:

            def call(function: Callable[[Any], Any], files: list[object]) -> Any:
                asked.append(sum(len(file) for file in files if isinstance(file, bytes)))
                return pool.call(function, files)

            yield replace(pool, call=call)

    monkeypatch.setattr(cache_module, "worker_pool", counting)
    loaded = load_images(listing, LoadOptions(), None, workers)
    assert sum(asked) > 2 * 39 * 10**6
    assert max(asked) < 6 * 10**6
    assert np.array_equal(loaded.images, expected.images)
    assert loaded.names == expected.names
    assert [name for name, _ in loaded.unreadable] == ["0/03.png", "1/04.png"]


def test_a_process_that_dies_is_told(started: list[LokyProcess]) -> None:
    with (
        pytest.raises(InputError, match=r"has ended .*data_workers=1 decodes without"),
        worker_pool(2, 10) as found,
    ):
        found.call(abs, -3)
        for process in started:
            os.kill(process.pid, signal.SIGKILL)
        for _ in range(100):  # until its end is noticed
            found.call(abs, -3)
            time.sleep(0.1)


def test_ctrl_c_in_the_middle_leaves_no_process(
    folder: Path, tmp_path: Path, started: list[LokyProcess]
) -> None:
    def interrupt(done: int, _: int) -> None:
        if done > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_images(list_images(folder), LoadOptions(), tmp_path / "cache", 2, interrupt)
    assert len(started) == 2
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.usefixtures("started")
def test_a_process_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: LokyProcess) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(LokyProcess, "start", refuse)
    with (
        pytest.raises(InputError, match=r"cannot start a process that decodes.*data_workers=1"),
        worker_pool(2, 9999) as found,
    ):
        found.call(abs, -3)
