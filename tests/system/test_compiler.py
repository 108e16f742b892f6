"""Compiling: what is kept, what is refused."""

import ctypes
import os
from pathlib import Path

import pytest

from nkca.system import compiler
from nkca.system.compiler import CannotCompileError, compiled, find_compiler

SOURCE = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small source and an empty cache."""
    try:
        find_compiler()
    except CannotCompileError as error:
        pytest.skip(f"nothing is compiled here: {error}")
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "answer.cpp"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def made(cache: Path) -> list[str]:
    """Names of what lies in the cache."""
    return sorted(path.name for path in (cache / "native").iterdir())


def test_compiles_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = compiled(source)
    assert isinstance(library, ctypes.CDLL)
    assert library.answer() == 42
    assert len(made(tmp_path / "cache")) == 1
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "_compile", None)  # not called again
        assert compiled(source).answer() == 42
    source.write_text(SOURCE.replace("42", "43"), encoding="utf-8")
    assert compiled(source).answer() == 43
    assert len(made(tmp_path / "cache")) == 2


def test_what_is_damaged_is_made_again(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "_compile", lambda _command, _source, target: names.append(target))
        with pytest.raises(CannotCompileError):
            compiled(source)
    (target,) = names
    target.write_bytes(b"half a li")
    assert compiled(source).answer() == 42


def test_a_broken_source_is_compiled_once(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.write_text("this is not C++\n", encoding="utf-8")
    with pytest.raises(CannotCompileError, match=r"failed: .*answer\.cpp"):
        compiled(source)
    assert [Path(name).suffix for name in made(tmp_path / "cache")] == [".failed"]
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "_compile", None)  # not called again
        with pytest.raises(
            CannotCompileError, match=r"failed: .*answer\.cpp.* \(kept in .*\.failed\)"
        ):
            compiled(source)
    source.write_text(SOURCE, encoding="utf-8")
    assert compiled(source).answer() == 42


@pytest.mark.parametrize(
    "ends", ["echo 'ld: final link failed: No space left on device' >&2; exit 1", "kill -9 $$"]
)
def test_a_failure_that_passes_is_not_kept(
    ends: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "compiler"
    script.write_text(f'#!/bin/sh\n[ "$1" = -v ] && exit 0\n{ends}\n', encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    with pytest.raises(CannotCompileError, match="compiler failed"):
        compiled(source)
    assert made(tmp_path / "cache") == []


def test_another_version_of_the_compiler_compiles_anew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(source)
    monkeypatch.setattr(compiler, "_version", lambda _program: b"99")
    compiled(source)
    assert len(made(tmp_path / "cache")) == 2


def test_the_folder_is_the_users_alone(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(source)
    folder = tmp_path / "cache" / "native"
    assert folder.stat().st_mode & 0o777 == 0o700
    for mode in (0o720, 0o702):
        folder.chmod(mode)
        with pytest.raises(CannotCompileError, match=r"others may write to .*native"):
            compiled(source)
    folder.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(CannotCompileError, match=r"others may write to .*native"):
        compiled(source)


def test_what_is_no_library_is_said(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def garbage(_command: list[str], _source: Path, target: Path) -> None:
        target.write_bytes(b"not a library")

    monkeypatch.setattr(compiler, "_compile", garbage)
    with pytest.raises(CannotCompileError, match=r"answer-\w+\.so"):
        compiled(source)


@pytest.mark.parametrize("name", ["CXX", "PATH"])
def test_no_compiler(
    name: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(name, str(tmp_path / "nothing"))
    with pytest.raises(CannotCompileError, match=r"^no C\+\+ compiler here \("):
        compiled(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(CannotCompileError, match="Permission denied"):
        compiled(source)


def test_a_cache_that_is_a_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("", encoding="utf-8")
    with pytest.raises(CannotCompileError, match="Not a directory"):
        compiled(source)


def test_no_cache_folder(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NKCA_CACHE", "~nobody-of-that-name/cache")
    with pytest.raises(CannotCompileError, match="set NKCA_CACHE"):
        compiled(source)


def test_a_compiler_with_arguments(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source.write_text('extern "C" int answer() { return ANSWER; }\n', encoding="utf-8")
    monkeypatch.setenv("CXX", f"{find_compiler()[0]} -DANSWER=7")
    assert compiled(source).answer() == 7


def test_fails_late(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_SECONDS", 0)
    with pytest.raises(CannotCompileError, match="took longer than 0 s"):
        compiled(source)
    assert made(tmp_path / "cache") == []


def test_a_command_that_is_none(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ '")
    with pytest.raises(CannotCompileError, match=r"^CXX is not a command"):
        compiled(source)
