"""How the processes that torchrun starts connect, how long they wait, and which of them reports an error.

A process that dies closes its connections: the others fail at once, and torchrun ends those that are
busy with SIGTERM. One that hangs, or whose machine is gone, is given up by the timeout of the process
group, `TIMEOUT_SECONDS` or what the environment variable NKCA_RANK_TIMEOUT says.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from nkca.distributed.ranks import ALONE, Ranks
from nkca.errors import InputError

TIMEOUT_SECONDS = 1800  # PyTorch's own; shares of long chains may end that far apart
PATIENCE = timedelta(days=1)  # for work of one rank: decoding, downloads
_NUMBERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "NKCA_RANK_TIMEOUT")


def is_one_of_many() -> bool:
    """Whether torchrun, or what sets the same variables, started this process and others.

    Raises:
        InputError: if one of the variables is not the number that it must be.
    """
    return _numbers() is not None


def _numbers() -> tuple[int, int, int, int, int] | None:
    """What the environment says, None for a process alone."""
    given = {"NKCA_RANK_TIMEOUT": str(TIMEOUT_SECONDS), **os.environ}
    if not all(name in given for name in (*_NUMBERS, "MASTER_ADDR")):
        return None
    try:
        rank, local, count, port, seconds = (int(given[name]) for name in _NUMBERS)
    except ValueError:
        rank = local = count = port = seconds = -1
    if 0 <= count < 2:
        return None
    if not (0 <= rank < count and 0 <= local < count and 0 < port < 65536 and seconds > 0):
        said = ", ".join(f"{name}={given[name]!r}" for name in _NUMBERS)
        raise InputError(
            f"environment variables {said}: expected whole numbers, as torchrun sets them, and "
            "seconds; without torchrun leave them unset"
        )
    return rank, local, count, port, seconds


@contextlib.contextmanager
def joined(device: str = "auto", advice: str = "the same command tries again") -> Iterator[Ranks]:
    """Work with the other processes while the block runs; `ALONE` where there are none.

    Args:
        device: as options name it; each rank takes the CUDA device of its local number.
        advice: what the message says where the others are lost.

    Raises:
        InputError: if the others cannot be reached or are lost, a machine has more ranks than devices, or
            the process is interrupted, as torchrun does by SIGTERM where another has died.
    """
    numbers = _numbers()
    if numbers is None:
        yield ALONE
        return
    rank, local, count, _, seconds = numbers
    backend = _backend(device, local)
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=seconds))
        patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    except RuntimeError as error:
        raise InputError(f"cannot reach the other processes: {error}") from error
    assert not isinstance(patient, int)  # as it is outside the group
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield Ranks(rank, local, count, patient)
    except KeyboardInterrupt:
        raise InputError(
            f"interrupted, or another process of this run has died; {advice}"
        ) from None
    except RuntimeError as error:  # PyTorch's own kinds, told apart by their words alone
        if not any(word in str(error) for word in ("gloo", "NCCL", "ProcessGroup")):
            raise
        raise InputError(
            "another process of this run has died (killed, or out of memory?), or did not answer for "
            f"{seconds} s (NKCA_RANK_TIMEOUT); {advice}"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)
    dist.destroy_process_group()  # not after an error: others would see it before the message


def reports_failure() -> bool:
    """Whether this process reports the failure of all: the first that asks does, by torchrun's store.

    From here on the process ends, so SIGTERM is ignored.
    """
    try:
        if not is_one_of_many():
            return True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, timeout=timedelta(seconds=20))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return int(store.add(f"nkca/failure/{attempt}", 1)) == 1
    except (InputError, RuntimeError):  # without a store the others cannot be asked
        return True


def _backend(device: str, local: int) -> str:
    """gloo for the CPU and, where there is CUDA, nccl for sums there; not measured on CUDA."""
    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    if local >= torch.cuda.device_count():
        raise InputError(
            f"{local + 1} processes or more on a machine with {torch.cuda.device_count()} CUDA "
            "device(s): start fewer (torchrun --nproc-per-node), or use the device cpu"
        )
    torch.cuda.set_device(local)
    return "cpu:gloo,cuda:nccl"
