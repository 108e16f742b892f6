"""Let the threads of a computation sleep soon while they wait for each other.

OpenMP's threads wait in a loop that keeps their core busy. On a machine with other work each then waits for
a thread that cannot run because another one is waiting: a training step on two busy cores took four times
as long. Where they sleep at once, the next operation begins late: on two free cores a step took 1.5 times
as long. A loop of microseconds has neither fault (docs/training.md). A command, not the library, may
decide this for its process.
"""

import os

_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of OpenMP, GCC's and Intel's
_TURNS = "1000"  # of GCC's loop; PyTorch for Linux brings GCC's OpenMP


def wait_briefly() -> None:
    """Make waiting threads sleep after a moment, unless the environment says how they wait.

    OpenMP reads the environment once, when it is loaded: call this before PyTorch is imported.
    """
    if not any(name in os.environ for name in _SETTINGS):
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT=_TURNS)
