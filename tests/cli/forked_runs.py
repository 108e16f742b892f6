"""Runs nkca-train again and again, each in a forked child, and kills each after a while.

A line on stdin, ``SECONDS``, starts a child, kills it (SIGKILL) that long after its start unless it
ended before, and is answered on stdout: its exit status as `os.waitpid` gives it. The parent imports
torch once and never computes, so it has no threads that a fork would lose.

    forked_runs.py LOG FLAG...
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
import torch._dynamo  # what Adam imports when it is first made: most of a second
import torch.utils.tensorboard.writer

import nkca.runs.loop
from nkca.cli.train import main


def child(log: Path, flags: list[str]) -> None:
    """Be ``nkca-train FLAG...`` with its output in ``log``; never returns."""
    status = 70
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(target, 1)
        os.dup2(target, 2)
        torch.set_num_threads(1)
        main(flags)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 71
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run_for(seconds: float, log: Path, flags: list[str]) -> int:
    """The exit status of a child that may run this long."""
    deadline = time.monotonic() + seconds
    process = os.fork()
    if process == 0:
        child(log, flags)
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.0005)
    os.kill(process, signal.SIGKILL)
    return os.waitpid(process, 0)[1]


if __name__ == "__main__":
    assert nkca.runs.loop.train is not None
    for line in sys.stdin:
        print(run_for(float(line), Path(sys.argv[1]), sys.argv[2:]), flush=True)
