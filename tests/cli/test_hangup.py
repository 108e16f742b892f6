"""A lost terminal: the run saves and ends, as with Ctrl-C."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nkca.models.checkpoint import LATEST, load_checkpoint

pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")

IN_A_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from nkca.cli.train import main
main(sys.argv[1:])
"""
SECONDS = 60


def test_a_lost_terminal_saves(photos: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    options = ["--hidden-size=8", "--dim-mults=1", "--batch-size=4", "--viz-freq=0", "--device=cpu"]
    options += ["--epochs=1000000", "--checkpoint-freq=50"]
    command = [sys.executable, "-c", IN_A_TERMINAL, *options]
    command += [f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}"]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        seen, until = b"", time.monotonic() + SECONDS
        while b"at step 50" not in seen and time.monotonic() < until:
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 4096)
        assert b"at step 50" in seen, seen
        os.close(ours)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    log = (tmp_path / "run" / "log.txt").read_text().splitlines()
    step = load_checkpoint(tmp_path / "run" / LATEST).progress["step"]
    assert step >= 50
    *_, saved = (line for line in log if " saved " in line)
    assert saved.endswith(f"{LATEST} at step {step}")
