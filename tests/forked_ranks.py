"""Runs work of several ranks, each a forked child, as torchrun would: the same variables and store.

A line of JSON on stdin, {"count", "work", "arguments", "log", "kill"}, starts ``count`` ranks that do
``work``, "curve", "signals" or the name of a command, with their output in ``log-RANK.txt``. Where "kill"
is [rank, path, signal], that rank gets the signal once the path is there. The answer on stdout is
[exit codes, seconds from the signal to the end]. A rank that is stopped is killed when those before it
have ended. The parent imports torch once and never computes, so it has no threads that a fork would lose.
"""

import importlib
import json
import os
import pkgutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # what Adam imports when it is first made: most of a second
import torch.utils.tensorboard.writer
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from nkca.distributed.launch import joined
from nkca.errors import InputError
from nkca.runs.loop import train
from nkca.runs.start import open_run


def curve(options: dict[str, Any], directory: str, answer: str) -> None:
    """Train, and write what the reports of the first rank show as JSON."""
    with joined("cpu") as ranks, open_run(options, directory, ranks=ranks) as run:
        seen = [
            {
                "loss": report.loss,
                "gradient_norm": report.gradient_norm,
                "noise_level": report.noise_level.tolist(),
                "loss_above_floor": report.shown["loss_above_floor"].tolist(),
                "entropy_production": report.shown["entropy_production"].tolist(),
            }
            for report in train(run)
        ]
    if ranks.is_first:
        Path(answer).write_text(json.dumps(seen))


def signals(place: str, number: int | None, arguments: list[str]) -> None:
    """Be nkca-train, of which the second rank sends itself a signal at ``place``; a hang costs 5 s.

    Without a signal it raises an error there.

    A place is, for instance, "distributed.ranks.Ranks.parallel".
    """
    os.environ["NKCA_RANK_TIMEOUT"] = "5"
    within, _, last = place.rpartition(".")
    owner = pkgutil.resolve_name(f"nkca.{within}")
    work = getattr(owner, last)

    def signalled(*given: Any, **named: Any) -> Any:
        if os.environ["RANK"] == "1":
            if number is None:
                raise InputError("wrong here alone")
            os.kill(os.getpid(), number)
        return work(*given, **named)

    setattr(owner, last, signalled)
    importlib.import_module("nkca.cli.train").main(arguments)


def child(job: dict[str, Any], rank: int, variables: dict[str, str]) -> None:
    """Be one rank; never returns."""
    status = 70
    try:
        os.environ |= variables
        target = os.open(f"{job['log']}-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        torch.set_num_threads(1)
        if job["work"] == "curve":
            curve(*job["arguments"])
        elif job["work"] == "signals":
            signals(*job["arguments"])
        else:
            importlib.import_module(f"nkca.cli.{job['work']}").main(job["arguments"])
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 71
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run(job: dict[str, Any]) -> tuple[list[int], float]:
    """Exit codes of the ranks, negative for signals."""
    server = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    ranks = []
    for rank in range(job["count"]):
        variables = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": job["count"],
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": server.port,
            "TORCHELASTIC_USE_AGENT_STORE": True,
            "TORCHELASTIC_RESTART_COUNT": 0,
        }
        process = os.fork()
        if process == 0:
            child(job, rank, {name: str(value) for name, value in variables.items()})
        ranks.append(process)
    if job["kill"]:
        victim, path, with_what = job["kill"]
        while not Path(path).exists():
            time.sleep(0.005)
        os.kill(ranks[victim], with_what)
    began = time.monotonic()
    return [_exit_code(process) for process in ranks], time.monotonic() - began


def _exit_code(process: int) -> int:
    status = os.waitpid(process, os.WUNTRACED)[1]
    if os.WIFSTOPPED(status):
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
