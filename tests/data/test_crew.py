"""Processes that decode: the same images, the same errors, and nothing left running."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nkca.data import crew
from nkca.data.cache import DecodedImages, load_images
from nkca.data.crew import hired
from nkca.data.listing import list_images
from nkca.data.reading import LoadOptions
from nkca.errors import InputError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes for any number of images; all that were started, which must have ended."""
    found: list[subprocess.Popen[bytes]] = []
    start = crew._start

    def remember(command: list[str]) -> "subprocess.Popen[bytes]":
        found.append(start(command))
        return found[-1]

    monkeypatch.setattr(crew, "_start", remember)
    monkeypatch.setattr(crew, "IMAGES_FOR_PROCESSES", 1)
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
    monkeypatch.setattr(crew, "_start", lambda _: pytest.fail("a process was started"))
    assert len(load_images(list_images(folder), LoadOptions(), None, 4)) == 38


@pytest.mark.usefixtures("started")
def test_what_a_call_raises_is_raised() -> None:
    with hired(2, 10) as found:
        assert found.call(abs, -3) == 3
        with pytest.raises(ZeroDivisionError):
            found.call(partial(divmod, 1), 0)
        assert list(found.in_order(partial(found.call, abs), iter(range(-50, 0)))) == [
            *range(50, 0, -1)
        ]


def test_a_process_that_dies_is_told(started: list["subprocess.Popen[bytes]"]) -> None:
    with (
        pytest.raises(InputError, match=r"has ended .*--data-workers=1 decodes without"),
        hired(2, 10) as found,
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
    with pytest.raises(InputError, match="cannot start a process that decodes"), hired(2, 9999):
        pass
