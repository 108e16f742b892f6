"""How the processes that torchrun starts connect, and which of them reports an error."""

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from nkca.distributed.ranks import ALONE, Ranks
from nkca.errors import InputError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

SUM_TIMEOUT = timedelta(minutes=5)
_BEAT_SECONDS = 5.0
_REPORT_SECONDS = 1.0  # for the process that reports, before torchrun ends it
_TERMINATED = "ended by SIGTERM: the run was stopped, or another process of it has died"
_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def is_one_of_many() -> bool:
    """Whether torchrun, or what sets the same variables, started this process and others.

    Raises:
        InputError: if one of the variables is not the number that it must be.
    """
    if not all(name in os.environ for name in _VARIABLES):
        return False
    count = _number("WORLD_SIZE", 0, sys.maxsize)
    if count < 2:
        return False
    for name, least, most in (
        ("RANK", 0, count - 1),
        ("LOCAL_RANK", 0, count - 1),
        ("MASTER_PORT", 1, 65535),
    ):
        _number(name, least, most)
    return True


def _number(name: str, least: int, most: int) -> int:
    text = os.environ[name]
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        allowed = f"{least} or more" if most == sys.maxsize else f"{least} to {most}"
        raise InputError(
            f"environment variable {name}={text!r}: expected a whole number, {allowed}; torchrun sets "
            "it, without torchrun leave it unset"
        )
    return value


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """Work with the other processes while the block runs; `ALONE` where there are none.

    Args:
        device: as options name it; each rank takes the CUDA device of its local number.

    Raises:
        InputError: if the others cannot be reached, a machine has more ranks than devices, or the
            process is asked to end (SIGTERM), as torchrun does where another has died.
    """
    if not is_one_of_many():
        yield ALONE
        return
    rank, local, count = (int(os.environ[name]) for name in _VARIABLES[:3])
    backend = _backend(device, local)
    try:
        dist.init_process_group(backend, timeout=SUM_TIMEOUT)
        group = dist.new_group(backend="gloo", timeout=timedelta(days=30))
        store, beats = _open_store(), _open_store()
    except RuntimeError as error:
        raise InputError(f"cannot reach the other processes: {error}") from error
    assert not isinstance(group, int)  # as it is outside the group
    ranks, over = Ranks(rank, local, count, group, store), threading.Event()
    heartbeat = threading.Thread(target=_beat, args=(beats, rank, over), daemon=True)
    heartbeat.start()
    with _ended_by_signal():
        yield ranks
    over.set()
    heartbeat.join()
    dist.destroy_process_group()  # not after an error: others would see it before the message


def reports_failure() -> bool:
    """Whether this process reports the failure of all; the others wait until it has done so.

    From here on the process ends, so SIGTERM is ignored.
    """
    try:
        if not is_one_of_many():
            return True
    except InputError:  # torchrun's variables are wrong, so the others cannot be asked
        return True
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        first = int(_open_store().add("failure", 1)) == 1
    except RuntimeError:  # the store is gone, so no other process is left to report
        return True
    if not first:
        time.sleep(_REPORT_SECONDS)
    return first


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


def _open_store() -> "Store":
    """The key-value store of this attempt: torchrun's, or the first rank's."""
    from torch._C._distributed_c10d import PrefixStore, TCPStore

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(
        address, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=20)
    )
    return PrefixStore(f"nkca/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def _beat(store: "Store", rank: int, over: threading.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the store is gone, and so is the run
        for number in itertools.count():
            store.set(f"beat/{rank}", str(number))
            if over.wait(_BEAT_SECONDS):
                return


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """End the block by an `InputError` at SIGTERM, unless one is on its way already."""
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, receive)
    try:
        yield
    except KeyboardInterrupt as error:
        if not received:
            raise
        cause = error.__context__
        raise (cause if isinstance(cause, InputError) else InputError(_TERMINATED)) from None
    finally:
        signal.signal(signal.SIGTERM, before)
