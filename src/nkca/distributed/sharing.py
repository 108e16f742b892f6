"""Work divided among processes: each makes its share, all receive the whole."""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from nkca.distributed.ranks import Ranks
from nkca.errors import InputError

T = TypeVar("T")


class GivenUpError(Exception):
    """The work takes too long, or is no longer wanted."""


def of_share(make: Callable[[range], T], total: int, ranks: Ranks) -> T:
    """Call ``make`` with this rank's share, or range(1), to be dropped later, where that is empty."""
    return make(ranks.share(total) or range(1))


def together(make: Callable[[range], Tensor], total: int, ranks: Ranks) -> Tensor | None:
    """What ``make`` makes of 0..total-1, each rank its share: (total, ...) on the CPU, on all ranks.

    None where it raises `GivenUpError` on any rank, or an `InputError` on another one.
    """
    here: Tensor | None = None
    failure: InputError | None = None
    try:
        here = of_share(make, total, ranks)
    except GivenUpError:
        pass
    except InputError as error:
        failure = error
    given_up = ranks.any(here is None)
    if failure is not None:
        raise failure
    if given_up or here is None:
        return None
    return ranks.gather(here[: len(ranks.share(total))].cpu(), total)
