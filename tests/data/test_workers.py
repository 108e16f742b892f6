"""Processes that decode: the same images, the same errors, and nothing left running."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from unsent import answer

from nkca.data import workers as workers_module
from nkca.data.cache import DecodedImages, load_images
from nkca.data.listing import list_images
from nkca.data.reading import LoadOptions
from nkca.data.workers import worker_pool
from nkca.errors import InputError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes for any number of images; all that were started, which must have ended."""
    found: list[subprocess.Popen[bytes]] = []
    start = workers_module._start

    def remember(command: list[str]) -> "subprocess.Popen[bytes]":
        found.append(start(command))
        return found[-1]

    monkeypatch.setattr(workers_module, "_start", remember)
    monkeypatch.setattr(workers_module, "IMAGES_FOR_PROCESSES", 1)
    yield found
    assert all(process.returncode is not None for process in found)


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
    folder: Path, tmp_path: Path, started: list["subprocess.Popen[bytes]"]
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
    monkeypatch.setattr(workers_module, "_start", lambda _: pytest.fail("a process was started"))
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
def test_what_cannot_be_sent_is_told_and_later_calls_get_their_own_answers() -> None:
    with worker_pool(2, 10) as found:
        for kind, error, said in (
            ("error", RuntimeError, "TwoPartError: a.png: odd"),
            ("result", TypeError, "pickle"),
            ("one way", ZeroDivisionError, "zero"),
        ):
            for _ in range(3):
                with pytest.raises(error, match=said):
                    found.call(answer, kind)
        assert [found.call(abs, -number) for number in range(6)] == list(range(6))


def test_a_process_whose_answer_was_not_read_is_not_asked_again(
    started: list["subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with worker_pool(2, 10) as found:
        with monkeypatch.context() as patch:
            patch.setattr(pickle, "load", interrupted)
            for _ in started:
                with pytest.raises(KeyboardInterrupt):
                    found.call(abs, -1)
        with pytest.raises(InputError, match="has ended"):
            found.call(abs, -2)


@pytest.mark.usefixtures("started")
def test_a_working_folder_that_is_gone_is_no_matter(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert str(tmp_path / "gone") in workers_module._search_path()
    (tmp_path / "gone").rmdir()
    loaded = load_images(list_images(folder), LoadOptions(), tmp_path / "cache", 2)
    assert len(loaded) == 38


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
    call: Callable[..., object] = (
        workers_module._call_here if workers == 1 else workers_module._call_in_process
    )

    def count(*arguments: object) -> object:
        files = arguments[-1]
        assert isinstance(files, list)
        asked.append(sum(len(file) for file in files if isinstance(file, bytes)))
        return call(*arguments)

    monkeypatch.setattr(workers_module, "_call_here" if workers == 1 else "_call_in_process", count)
    loaded = load_images(listing, LoadOptions(), None, workers)
    assert sum(asked) > 2 * 39 * 10**6
    assert max(asked) < 6 * 10**6
    assert np.array_equal(loaded.images, expected.images)
    assert loaded.names == expected.names
    assert [name for name, _ in loaded.unreadable] == ["0/03.png", "1/04.png"]


def test_a_process_that_dies_is_told(started: list["subprocess.Popen[bytes]"]) -> None:
    with (
        pytest.raises(InputError, match=r"has ended .*data_workers=1 decodes without"),
        worker_pool(2, 10) as found,
    ):
        for process in started:
            process.send_signal(signal.SIGKILL)
        found.call(abs, -3)


def test_ctrl_c_in_the_middle_leaves_no_process(
    folder: Path, tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    def interrupt(done: int, _: int) -> None:
        if done > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_images(list_images(folder), LoadOptions(), tmp_path / "cache", 2, interrupt)
    assert len(started) == 2
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_process_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", os.devnull)
    with (
        pytest.raises(InputError, match="cannot start a process that decodes"),
        worker_pool(2, 9999),
    ):
        pass
