"""Commands in forked children, for endurance.py: how they end, and which files are whole."""

import ctypes
import importlib
import json
import os
import re
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from nkca.errors import InputError
from nkca.live.session.file import read_session
from nkca.metrics.statistics import load_statistics
from nkca.models.checkpoint import load_checkpoint

LIMIT = 600.0  # seconds that one command may take on a busy machine
SAID_BEFORE = re.compile(
    r"decoding images: .*|features of .*|scores: .*|compiled for .*|.* holds something .*|saved .*|"
    r"preview at .*|step \d.*|resuming .*|changed option .*|another process is at work in .*|"
    r"[\d,]+ of [\d,]+ steps.*|[\d,]+ images of .*|[\d.]+ m?s a step.*|warning: .*|\s*"
)


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``status`` is an exit code, or minus a signal."""

    status: int
    out: str
    err: str

    def is_one_line(self) -> bool:
        """Whether it ended with code 2, and the only line that is not about progress is its error."""
        lines = [line for line in self.err.splitlines() if not SAID_BEFORE.fullmatch(line)]
        return self.status == 2 and len(lines) == 1 and ": error: " in lines[0]


def start(line: str, log: Path, cache: Path, before: Callable[[], None] | None = None) -> int:
    """Fork a child that is the command; returns its process id."""
    name, *arguments = shlex.split(line)
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        for number, suffix in ((1, ".out"), (2, ".err")):
            os.dup2(os.open(f"{log}{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.environ["NKCA_CACHE"] = str(cache)
        os.chdir(log.parent)
        sys.argv = [name, *arguments]
        if before is not None:
            before()
        importlib.import_module(f"nkca.cli.{name.removeprefix('nkca-')}").main(arguments)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 71
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(process: int, log: Path, limit: float = LIMIT) -> Ended:
    """Wait for a child; one that takes longer than ``limit`` is killed."""
    deadline = time.monotonic() + limit
    ended, status = os.waitpid(process, os.WNOHANG)
    while not ended and time.monotonic() < deadline:
        time.sleep(0.002)
        ended, status = os.waitpid(process, os.WNOHANG)
    if not ended:
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
    out, err = (Path(f"{log}{suffix}").read_text("utf-8", "replace") for suffix in (".out", ".err"))
    return Ended(os.waitstatus_to_exitcode(status), out, err)


def tree(*folders: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files, and the names of all folders."""
    return {
        str(path): (0, 0) if path.is_dir() else (path.stat().st_size, path.stat().st_mtime_ns)
        for folder in folders
        for path in sorted(folder.rglob("*"))
    }


def broken(folder: Path) -> list[str]:
    """The files that are not whole; temporary ones do not count."""
    found = []
    for path in folder.rglob("*"):
        if (
            path.is_dir()
            or path.name.startswith(".")
            or any(p.name.startswith(".") for p in path.parents)
        ):
            continue
        try:
            if path.suffix == ".pth":
                load_checkpoint(path)
            elif path.suffix in (".png", ".gif"):
                with Image.open(path) as image:
                    image.load()
            elif path.parent.name == "sessions":
                read_session(path)
            elif path.suffix == ".json":
                json.loads(path.read_text("utf-8"))
            elif path.suffix == ".npz":
                load_statistics(path)
            elif path.suffix == ".so":
                ctypes.CDLL(str(path))
            elif path.name == "config.yaml" and not path.read_text("utf-8").strip():
                raise InputError("empty")
        except (OSError, ValueError) as error:
            found.append(f"{path}: {error}")
    return found
