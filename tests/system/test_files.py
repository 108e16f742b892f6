"""Files that are whole or not there; directories that are never overwritten; locks."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tables import each

from nkca.errors import InputError
from nkca.system.files import atomic_write, fresh_directory, locked, write_text


class StopError(Exception):
    pass


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with atomic_write(path) as file:
        file.write(b"second")
        file.flush()
        assert path.read_bytes() == b"first", "the old file stays until the new one is whole"
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_things_as_they_were(tmp_path: Path) -> None:
    errors = [StopError, KeyboardInterrupt, SystemExit, OSError]
    for error, existed in each(itertools.product(errors, [False, True])):
        path = tmp_path / error.__name__
        if existed:
            path.write_bytes(b"old")
        with pytest.raises(error), atomic_write(path) as file:
            file.write(b"half of")
            raise error
        assert [p.read_bytes() for p in tmp_path.iterdir()] == ([b"old"] if existed else [])
        path.unlink(missing_ok=True)


def test_a_failed_rename_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"), atomic_write(tmp_path / "taken") as file:
        file.write(b"words")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_crash_leaves_the_old_file(tmp_path: Path) -> None:
    """The process ends without any clean-up, after the bytes were written."""
    path = tmp_path / "checkpoint_latest.pth"
    path.write_bytes(b"old")
    code = """
import os, sys
from pathlib import Path
from nkca.system.files import atomic_write
with atomic_write(Path(sys.argv[1])) as file:
    file.write(b"new and not finished")
    file.flush()
    os._exit(9)
"""
    source = str(Path(__file__).resolve().parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    ended = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False)
    assert ended.returncode == 9
    assert path.read_bytes() == b"old"
    left = [p for p in tmp_path.iterdir() if p != path]
    assert len(left) == 1
    assert left[0].name.startswith(".checkpoint_latest.pth.")
    assert list(tmp_path.glob("checkpoint_*.pth")) == [path], "leftovers look like no checkpoint"


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write(b"first" * 1000)
        second.write(b"second")
    assert path.read_bytes() == b"first" * 1000, "the inner one ends first, the outer one last"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "grün\n")
    assert (tmp_path / "file").read_bytes() == b"gr\xc3\xbcn\n"


def test_fresh_directories_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out"
    assert fresh_directory(path) == path
    assert fresh_directory(path) == path, "an empty one is free"
    (path / "file").touch()
    assert fresh_directory(path) == tmp_path / "deep" / "out-2"
    (tmp_path / "deep" / "out-2" / "file").touch()
    (tmp_path / "deep" / "out-3").write_text("a file of that name")
    assert fresh_directory(path) == tmp_path / "deep" / "out-4"
    assert (path / "file").exists()
    assert (tmp_path / "deep" / "out-3").read_text() == "a file of that name"


def test_a_fresh_directory_beside_a_file_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("words")
    assert fresh_directory(tmp_path / "out") == tmp_path / "out-2"


def test_hidden_files_count(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".hidden").touch()
    assert fresh_directory(tmp_path / "out") == tmp_path / "out-2"


def test_a_lock_is_held_once_and_freed(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    message = f"another process is at work in {tmp_path}"
    with locked(path), pytest.raises(InputError, match=message), locked(path):
        pytest.fail("locked twice")
    with pytest.raises(StopError), locked(path):
        raise StopError
    with locked(path):
        assert path.exists()
