"""Several processes that learn, sample or measure as one; `nkca.distributed.launch` brings them together.

Each of N ranks takes a contiguous share of a range of numbers: images of a batch, samples, images to
measure. Noise depends on those numbers alone, so the result does not depend on N, up to rounding. The
first rank alone writes files and messages. Without torchrun there is one rank, `ALONE`, and no group.
"""

import contextlib
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nkca.errors import InputError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import ProcessGroup

T = TypeVar("T")


class GivenUpError(Exception):
    """The work takes too long, or is no longer wanted."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that work together.

    A message to the others waits for them as long as the process group allows, then PyTorch raises
    RuntimeError, which `nkca.distributed.launch.joined` explains. It does so at once where one has died.

    Args:
        rank: in 0..count-1.
        local: its number among those of its machine.
        patient: a group whose messages wait long, for `barrier`.
    """

    rank: int = 0
    local: int = 0
    count: int = 1
    patient: "ProcessGroup | None" = None

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes files and messages."""
        return self.rank == 0

    def share(self, total: int) -> range:
        """Which of 0..total-1 are this rank's; sizes differ by one at most."""
        return range(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """The rows (len(share(total)), ...) of all ranks in order, (total, ...), on the CPU."""
        if self.count == 1:
            return rows.cpu()
        share = self.share(total)
        assert len(rows) == len(share), f"{len(rows)} rows of {len(share)}"
        whole = torch.zeros(total, *rows.shape[1:], dtype=rows.dtype)
        whole[share.start : share.stop] = rows
        dist.all_reduce(whole)  # exact: the others add zeros
        return whole

    def together(self, make: Callable[[range], Tensor], total: int) -> Tensor | None:
        """What ``make`` makes of 0..total-1, each rank its share: (total, ...) on the CPU, on all ranks.

        A rank without a share makes range(1), which is dropped.

        Returns:
            None where ``make`` raises `GivenUpError` on any rank, or an `InputError` on another one.
        """
        share, made, failure = self.share(total), None, None
        try:
            made = make(share or range(1))[: len(share)]
        except (GivenUpError, InputError) as error:
            failure = error
        if self.any(made is None):
            if isinstance(failure, InputError):
                raise failure
            return None
        assert made is not None
        return self.gather(made, total)

    def maxima(self, *values: float) -> list[float]:
        """The largest of all ranks, of each value."""
        found = torch.tensor(values, dtype=torch.float64)
        if self.count > 1:
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return list(found.tolist())

    def max(self, value: float) -> float:
        """The largest value of all ranks."""
        return self.maxima(value)[0]

    def any(self, here: bool) -> bool:
        """Whether ``here`` is True on any rank."""
        return self.max(here) == 1.0

    def barrier(self) -> None:
        """Wait until all ranks are here, which may take some of them hours."""
        if self.count > 1:
            dist.barrier(self.patient)

    def check_same(self, what: str, value: object) -> None:
        """Raise `InputError` on all ranks unless they have the same ``value``."""
        digest = bytearray(hashlib.sha256(repr(value).encode()).digest())
        found = self.gather(torch.frombuffer(digest, dtype=torch.uint8)[None], self.count)
        if (found != found[0]).any():
            raise InputError(f"the processes of this run do not see the same {what}")

    def first_then_others(self, work: Callable[[], T]) -> T:
        """Do ``work`` on the first rank of each machine, which leaves it in a cache, then on the others."""
        if self.local > 0:
            self.barrier()
        done = work()
        if self.local == 0:
            self.barrier()
        self.barrier()  # without a cache the others take as long
        return done

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
        # of weights with one row, whose strides do not matter
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(network, gradient_as_bucket_view=True)


ALONE = Ranks()


def unwrap(network: nn.Module) -> nn.Module:
    """What `Ranks.parallel` was given."""
    is_wrapped = isinstance(network, DistributedDataParallel)
    return network.get_submodule("module") if is_wrapped else network


def no_gradient_sync(network: nn.Module) -> contextlib.AbstractContextManager[None]:
    """In this block, forward and backward, gradients of `Ranks.parallel` stay on their rank."""
    if isinstance(network, DistributedDataParallel):
        block: contextlib.AbstractContextManager[None] = network.no_sync()
        return block
    return contextlib.nullcontext()
