"""Threads of the commands sleep soon while they wait, unless the user says how they wait."""

import os
import subprocess
import sys
from collections.abc import Generator, Iterator

import pytest
import torch

from nkca.system import threads


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "PASSIVE 1000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        ({"GOMP_SPINCOUNT": "1000"}, "None 1000"),
    ],
)
def test_a_command_decides_before_pytorch_is_there(given: dict[str, str], expected: str) -> None:
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    script = (
        "import os, sys\n"
        "from nkca.cli import sample\n"
        "assert 'torch' not in sys.modules\n"
        "sys.argv[1:] = ['nothing.pth', '--quiet']\n"
        "try:\n    sample.main()\nexcept SystemExit as error:\n    assert error.code == 2\n"
        "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], env={**environment, **given}, capture_output=True, text=True
    )
    assert run.stdout.strip() == expected, run.stderr


@pytest.fixture
def _eight_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_eight_threads")
def test_the_number_of_threads_follows_the_time_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("nkca.system.threads.time.monotonic", lambda: now)

    def steps() -> Generator[int, None, None]:
        """Two of eight cores are free during the first 100 seconds, then all."""
        nonlocal now
        for _ in range(3000):
            count = torch.get_num_threads()
            free = 2 if now < 100 else 8
            now += 1 / count if count <= free else count / free**2
            yield count

    counts = list(threads.with_fastest_threads(steps()))
    assert len(counts) == 3000
    assert torch.get_num_threads() == 8
    busy = counts[50:150]
    assert busy.count(2) > 0.85 * len(busy)
    assert counts[1000:].count(8) > 0.85 * 2000
    assert set(counts) == {1, 2, 4, 8}


@pytest.mark.usefixtures("_eight_threads")
def test_the_environment_decides_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    steps = (torch.get_num_threads() for _ in range(100))
    assert set(threads.with_fastest_threads(steps)) == {8}


@pytest.mark.usefixtures("_eight_threads")
def test_steps_are_closed_where_the_caller_leaves_them() -> None:
    closed = []

    def steps() -> Generator[int, None, None]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    inner = steps()  # kept here, so that nothing but a call closes it
    taken = threads.with_fastest_threads(inner)
    next(taken)
    taken.close()
    assert closed
    assert torch.get_num_threads() == 8
