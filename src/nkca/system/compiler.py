"""C++ compiled once by the system's own compiler, kept in the cache folder.

A compiler is on most machines that train, and not on all that sample: whoever asks must be able to do
without. Nothing is compiled unless it is asked for. What is loaded is code that runs as the user, so the
folder must belong to the user and be closed to others.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import secrets
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

from nkca.errors import InputError
from nkca.system.cache_dir import default_cache_dir

FLAGS = (
    "-O3",
    "-march=native",
    "-std=c++17",
    "-fno-math-errno",  # rint() becomes an instruction; NaN and infinity keep their meaning
    "-fno-trapping-math",
    "-fopenmp",
    "-fPIC",
    "-shared",
)
_SECONDS = 120
_PASSING = (  # what a compiler says of a failure that may be over next time
    *("No space left on device", "Disk quota exceeded", "Read-only file system"),
    *("Killed", "Cannot allocate memory", "out of memory", "memory exhausted"),
)


class CannotCompileError(Exception):
    """Why there is no compiled code, in one line."""


def compiled(source: Path) -> ctypes.CDLL:
    """The shared library made from ``source``; a damaged one is made again.

    A compiler that failed is not asked again, unless for want of room or memory: its message is kept beside
    the libraries.

    Raises:
        CannotCompileError: if there is no compiler here, it or the loader fails, or others than the user
            may write to the folder.
    """
    command = [*find_compiler(), *FLAGS]
    parts = [source.read_bytes(), repr(command).encode(), _version(command[0]), _machine()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()
    name = f"{source.stem}-{key[:16]}.so"
    try:
        target = _private(default_cache_dir() / "native") / name
        failure = target.with_suffix(".failed")
        if failure.exists():
            raise CannotCompileError(f"{failure.read_text(encoding='utf-8')} (kept in {failure})")
        with contextlib.suppress(OSError):
            return ctypes.CDLL(str(target))
        _compile(command, source, target)
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise CannotCompileError(f"{name}: {error.strerror or error}") from error
    except InputError as error:
        raise CannotCompileError(str(error)) from error


def _private(folder: Path) -> Path:
    """The folder, made if it is missing, which the user owns and nobody else may write to.

    Raises:
        CannotCompileError: if that is not so.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if hasattr(os, "geteuid") and (
        found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise CannotCompileError(
            f"others may write to {folder}: delete it, or chmod 700 as its owner"
        )
    return folder


def find_compiler() -> list[str]:
    """The command in the environment's CXX, else the first of c++, g++, clang++.

    Raises:
        CannotCompileError: if there is none.
    """
    try:
        chosen = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:
        raise CannotCompileError(f"CXX is not a command: {error}") from error
    commands = [chosen] if chosen else [["c++"], ["g++"], ["clang++"]]
    for name, *arguments in commands:
        path = shutil.which(name)
        if path:
            return [path, *arguments]
    raise CannotCompileError(f"no C++ compiler here ({', '.join(c[0] for c in commands)})")


def _version(program: str) -> bytes:
    """What the compiler says about itself: another version makes other code."""
    try:
        return subprocess.run([program, "-v"], capture_output=True, timeout=_SECONDS).stderr
    except (OSError, subprocess.TimeoutExpired):
        return b""


def _compile(command: list[str], source: Path, target: Path) -> None:
    """Compile into ``target``, atomically; keep the message of a compiler that refuses."""
    unique = f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    temporary = target.with_name(unique)
    command = [*command, str(source), "-o", str(temporary)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        if result.returncode:
            first = (result.stderr.strip() or f"exit code {result.returncode}").splitlines()[0]
            message = f"{command[0]} failed: {first[:200]}"
            if result.returncode < 0 or any(words in result.stderr for words in _PASSING):
                raise CannotCompileError(message)
            temporary.write_text(message, encoding="utf-8")
            temporary.replace(target.with_suffix(".failed"))
            raise CannotCompileError(message)
        temporary.replace(target)
    except subprocess.TimeoutExpired:
        raise CannotCompileError(f"{command[0]} took longer than {_SECONDS} s") from None
    finally:
        temporary.unlink(missing_ok=True)


def _machine() -> bytes:
    """What the code depends on besides its text: a cache folder may serve several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    features = [line for line in lines if line.startswith(("model name", "flags", "Features"))][:2]
    return "\n".join(
        [platform.system(), platform.machine(), platform.processor(), *features]
    ).encode()
