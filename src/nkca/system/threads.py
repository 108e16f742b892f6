"""Let the threads of a computation sleep while they wait for each other.

OpenMP's threads wait in a loop that keeps their core busy. On a machine with other work each then waits for
a thread that cannot run because another one is waiting: a training step on two busy cores took four times
as long (docs/training.md, Speed). A command, not the library, may decide this for its process.
"""

import os

_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of OpenMP, GCC's and Intel's


def wait_passively() -> None:
    """Make waiting threads sleep, unless the environment says how they wait.

    OpenMP reads the environment once, when it is loaded: call this before PyTorch is imported.
    """
    if not any(name in os.environ for name in _SETTINGS):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
