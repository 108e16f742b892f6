"""Several processes that learn, sample or measure as one; `nkca.distributed.launch` brings them together.

Each of N ranks takes a contiguous share of a range of numbers: images of a batch, samples, images to
measure. Noise depends on those numbers alone, so the result does not depend on N, up to rounding. The
first rank alone writes files and messages. Without torchrun there is one rank, `ALONE`, and no group.

A rank may take long over its share, so the others wait for it as long as it lives. One that dies is
noticed at once, for its connections close; one whose machine is gone, or that hangs, after
`LOST_SECONDS`: all ranks write heartbeats into a store. A sum of gradients waits at most
`launch.SUM_TIMEOUT`.
"""

import contextlib
import hashlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nkca.errors import InputError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import ProcessGroup, Store, Work

LOST_SECONDS = 60.0
_POLL_SECONDS = 1.0
_LOST = "another process of this run has died (killed, or out of memory?)"
T = TypeVar("T")


class LostRankError(InputError):
    """Another rank is gone."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that work together.

    Args:
        rank: in 0..count-1.
        local: its number among those of its machine.
        group: for messages on the CPU, without a time limit.
        store: holds the heartbeats.
    """

    rank: int = 0
    local: int = 0
    count: int = 1
    group: "ProcessGroup | None" = None
    store: "Store | None" = None

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes files and messages."""
        return self.rank == 0

    def share(self, total: int, rank: int | None = None) -> range:
        """Which of 0..total-1 are this rank's, or another's; sizes differ by one at most."""
        rank = self.rank if rank is None else rank
        return range(total * rank // self.count, total * (rank + 1) // self.count)

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """The rows (len(share(total)), ...) of all ranks in order, (total, ...), on the CPU."""
        if self.count == 1:
            return rows.cpu()
        sizes = [len(self.share(total, rank)) for rank in range(self.count)]
        assert len(rows) == sizes[self.rank], f"{len(rows)} rows of {sizes[self.rank]}"
        mine = torch.zeros(max(sizes), *rows.shape[1:], dtype=rows.dtype)
        mine[: len(rows)] = rows
        parts = [torch.empty_like(mine) for _ in sizes]
        self._wait(dist.all_gather(parts, mine, group=self.group, async_op=True))
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def max(self, value: float) -> float:
        """The largest value of all ranks."""
        return self.maxima(value)[0]

    def maxima(self, *values: float) -> list[float]:
        """The largest of all ranks, of each value."""
        if self.count == 1:
            return list(values)
        found = torch.tensor(values, dtype=torch.float64)
        self._wait(dist.all_reduce(found, dist.ReduceOp.MAX, group=self.group, async_op=True))
        return list(found.tolist())

    def any(self, here: bool) -> bool:
        """Whether ``here`` is True on any rank."""
        return self.max(here) == 1.0

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self.max(0.0)

    def check_same(self, what: str, value: object) -> None:
        """Raise `InputError` on all ranks unless they have the same ``value``."""
        digest = hashlib.sha256(repr(value).encode()).digest()
        found = self.gather(
            torch.frombuffer(bytearray(digest), dtype=torch.uint8)[None], self.count
        )
        if (found != found[0]).any():
            raise InputError(f"the processes of this run do not see the same {what}")

    def first_then_others(self, work: Callable[[], T]) -> T:
        """Do ``work`` on the first rank of each machine, which leaves it in a cache, then on the others."""
        if self.local == 0:
            done = work()
            self.barrier()
            return done
        self.barrier()
        return work()

    def parallel(self, network: nn.Module) -> nn.Module:
        """``network`` such that all ranks have the same weights, and the mean of their gradients.

        Raises:
            InputError: on a device that PyTorch cannot do this on.
        """
        if self.count == 1:
            return network
        device = next(network.parameters()).device.type
        if device not in ("cpu", "cuda"):
            raise InputError(f"several processes cannot learn on {device}; use the device cpu")
        assert not any(True for _ in network.buffers()), "they would be sent at every step"
        return DistributedDataParallel(network, gradient_as_bucket_view=True)

    def _wait(self, work: "Work | None") -> None:
        """Wait for a message as long as all ranks are alive."""
        assert work is not None
        seen, since = None, time.monotonic()
        while True:
            try:
                work.wait(timedelta(seconds=_POLL_SECONDS))
                return
            except RuntimeError as error:
                if work.is_completed():
                    raise LostRankError(_LOST) from error
            if seen is None or time.monotonic() - since > LOST_SECONDS:
                now = self._beats()
                if seen is not None and any(map(bytes.__eq__, seen, now)):
                    raise LostRankError(_LOST)
                seen, since = now, time.monotonic()

    def _beats(self) -> list[bytes]:
        assert self.store is not None
        try:
            return [self.store.get(f"beat/{rank}") for rank in range(self.count)]
        except RuntimeError as error:
            raise LostRankError(_LOST) from error


ALONE = Ranks()


def unwrap(network: nn.Module) -> nn.Module:
    """What `Ranks.parallel` was given."""
    if isinstance(network, DistributedDataParallel):
        module: nn.Module = network.module
        return module
    return network


def no_gradient_sync(network: nn.Module) -> contextlib.AbstractContextManager[None]:
    """In this block, forward and backward, gradients of `Ranks.parallel` stay on their rank."""
    if isinstance(network, DistributedDataParallel):
        block: contextlib.AbstractContextManager[None] = network.no_sync()
        return block
    return contextlib.nullcontext()


@contextlib.contextmanager
def no_stride_warnings(network: nn.Module) -> Iterator[None]:
    """In this block, a backward pass, `Ranks.parallel` warns of no strides.

    They concern the strides of weights with one row, which do not matter.
    """
    if not isinstance(network, DistributedDataParallel):
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        yield


@contextlib.contextmanager
def lost_rank_advice(advice: str) -> Iterator[None]:
    """Turn the loss of another rank, also in a sum of gradients, into a line that ends with ``advice``."""
    try:
        yield
    except LostRankError as error:
        raise LostRankError(f"{_LOST}; {advice}") from error
    except RuntimeError as error:  # PyTorch's own kinds, told apart by their words alone
        if not any(word in str(error) for word in ("gloo", "NCCL", "ProcessGroup")):
            raise
        raise LostRankError(f"{_LOST}; {advice}") from error
