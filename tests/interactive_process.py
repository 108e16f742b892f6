"""nkca-interactive in a process of its own, and the browser that opens its page."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"


@contextmanager
def interactive(
    *arguments: object, cwd: Path | None = None, **environment: str
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The running command and the address that it printed; killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "nkca.cli.interactive", *map(str, arguments), "--no-browser"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"nkca-interactive: (http://\S+)   \(Ctrl-C ends\)\n", line)
            assert found, line + process.communicate()[1]
            yield process, found[1]
        finally:
            process.kill()


def find_chromium() -> tuple[str, Any]:
    """Chromium's path and playwright's API; skips the module that asks where one is missing."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(
            "no Chromium on the PATH (Debian: apt-get install chromium)", allow_module_level=True
        )
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    return path, api
