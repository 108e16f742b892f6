"""C++ compiled once by the system's own compiler, kept in the cache folder.

A compiler is on most machines that train, and not on all that sample: whoever asks must be able to do
without. Nothing is compiled unless it is asked for.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import secrets
import shlex
import shutil
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


class CannotCompileError(Exception):
    """Why there is no compiled code, in one line."""


def compiled(*sources: Path) -> ctypes.CDLL:
    """The shared library made from ``sources``; a damaged one is made again.

    Raises:
        CannotCompileError: if there is no compiler here, or it or the loader fails.
    """
    command = [*find_compiler(), *FLAGS]
    parts = [*(source.read_bytes() for source in sources), repr(command).encode(), _machine()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()
    name = f"{sources[0].stem}-{key[:16]}.so"
    try:
        target = default_cache_dir() / "native" / name
        with contextlib.suppress(OSError):
            return ctypes.CDLL(str(target))
        _compile(command, sources, target)
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise CannotCompileError(f"{name}: {error.strerror or error}") from error
    except InputError as error:
        raise CannotCompileError(str(error)) from error


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


def _compile(command: list[str], sources: tuple[Path, ...], target: Path) -> None:
    """Compile into ``target``, atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    command = [*command, *map(str, sources), "-o", str(temporary)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        if result.returncode:
            first = (result.stderr.strip() or f"exit code {result.returncode}").splitlines()[0]
            raise CannotCompileError(f"{command[0]} failed: {first[:200]}")
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
