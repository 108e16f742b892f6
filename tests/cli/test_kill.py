"""``kill -9`` at any moment of a run that saves all the time loses a few steps and nothing else."""

import itertools
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from nkca.models.checkpoint import FINAL, LATEST, load_checkpoint
from nkca.runs.start import newest_checkpoint

Call = Callable[..., Result]

ROOT = Path(__file__).resolve().parents[2]
KILLS = 30
LONGEST = 0.8  # seconds from the start of a run to its death, to begin with

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@contextmanager
def forked_runs(log: Path, flags: list[str]) -> Iterator[Callable[[float], int]]:
    """Yield a function that runs nkca-train for so many seconds and returns its wait status."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forked_runs.py")), str(log), *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None

        def run_for(seconds: float) -> int:
            assert parent.stdin is not None
            assert parent.stdout is not None
            print(seconds, file=parent.stdin, flush=True)
            return int(parent.stdout.readline())

        yield run_for
        parent.stdin.close()
        assert parent.wait(timeout=60) == 0


@pytest.mark.slow
def test_kill_9_at_30_random_moments(call: Call, photos: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "run", tmp_path / "said.txt"
    flags = [
        *("--hidden-size=8", "--dim-mults=[1]", "--batch-size=4", "--viz-freq=0", "--device=cpu"),
        *("--checkpoint-freq=2", "--keep=2", "--eval-freq=7", "--eval-features=pixels"),
        *("--eval-samples=4", "--eval-sampling-steps=1", f"--dataset={photos}"),
        f"--save-dir={out}",
    ]
    random_moments = random.Random(17)
    last_step, killed_while_saving, resumed, longest = 0, 0, 0, LONGEST
    call("train", *flags, "--max-steps=2", "-q")
    with forked_runs(said, [*flags, "--epochs=1000000", "--max-steps=none"]) as run_for:
        for _ in range(KILLS):
            newest = newest_checkpoint(out)
            assert newest is not None
            step_before = load_checkpoint(newest).progress["step"]
            said.write_text("")
            status = run_for(random_moments.uniform(0, longest))
            assert status == signal.SIGKILL, f"ended by itself: {said.read_text()}"

            # All checkpoints are whole, whatever happened; the temporary ones are not checkpoints.
            for path in out.glob("checkpoint_*.pth"):
                load_checkpoint(path)
            step = load_checkpoint(out / LATEST).progress["step"]
            assert step >= last_step
            last_step = step
            assert "Traceback" not in said.read_text()
            start = re.search(r"resuming .* at step (\d+)", said.read_text())
            if start is not None:
                resumed += 1
                assert int(start[1]) == step_before
            longest *= 1.15 if start is None else 0.95  # on a busy machine runs start late
            left = list(out.glob(".*.tmp"))
            killed_while_saving += bool(left)
            assert len(left) <= 2, f"they pile up: {left}"

    assert resumed > KILLS / 3, "most kills came before training began"
    assert killed_while_saving > 0, "no kill came during a save: this tested little"
    print(f"{resumed=} {killed_while_saving=} {last_step=}")
    call("train", *flags, f"--max-steps={last_step + 3}")
    assert load_checkpoint(out / FINAL).progress["step"] == last_step + 3
    assert list(out.glob(".*.tmp")) == []
    steps = [int(step) for step in re.findall(r"saved .*_latest\.pth at step (\d+)", log_of(out))]
    falls = sum(later < earlier for earlier, later in itertools.pairwise(steps))
    assert falls == 0, "a resume went back beyond the newest checkpoint"


def log_of(directory: Path) -> str:
    return (directory / "log.txt").read_text(encoding="utf-8")
