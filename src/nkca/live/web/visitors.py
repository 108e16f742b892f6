"""Which visitor has which chains: a bounded number of them in memory, idle ones in files.

Only the worker's thread changes who has which chains; the event loop may look.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from nkca.live.web.downloads import Snapshot
from nkca.live.web.guard import enter, is_own
from nkca.live.web.identity import Everyone, Identity
from nkca.live.web.opened import Opened
from nkca.live.web.parking import size
from nkca.live.web.seat import GoneError, Parked, Saves, Seat
from nkca.live.web.worker import FullError, Worker, retry_after

T = TypeVar("T")
MAX_VISITORS = 8
NO_CHAINS = "this browser has no chains here (any more): reload the page, which needs cookies"
NO_MODEL = "no model is open here: choose one on the first page"
logger = logging.getLogger("nkca")


class Models(Protocol):
    """The models that can be opened, by number."""

    @property
    def first(self) -> int | None:
        """The one that visitors begin with; None: they choose."""

    def open(self, number: int) -> Opened:
        """Open it; raises `InputError` if that cannot be done."""


@dataclass(frozen=True)
class OneModel:
    """The one model of the command."""

    opened: Opened
    first: int | None = 0

    def open(self, number: int) -> Opened:  # noqa: ARG002
        """The model."""
        return self.opened


@dataclass(frozen=True)
class Limits:
    """How much visitors take.

    Args:
        visitors: the most that have chains in memory.
        idle: seconds without a request after which a visitor's chains are put into a file.
        parked: the most in files; the oldest are dropped.
        parked_bytes: of these files.
    """

    visitors: int = MAX_VISITORS
    idle: float = 60.0
    parked: int = 64
    parked_bytes: int = 1 << 30


ALONE = Limits(1, math.inf)


class Visitors:
    """Gives each visitor chains.

    Args:
        worker: of one thread, the only one that uses the chains.
        new_saves: makes the `Saves` of a new visitor.
    """

    def __init__(
        self,
        worker: Worker,
        models: Models | None,
        identity: Identity | None = None,
        limits: Limits = ALONE,
        new_saves: Callable[[], Saves] = Saves,
    ) -> None:
        self.worker, self.models, self.limits = worker, models, limits
        self.identity = identity or Everyone()
        self.new_saves = new_saves
        self._opener = Worker()  # opens models, which takes seconds, beside the chains
        self._seats: dict[str, Seat] = {}
        self._parked: dict[str, Parked] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.first = _first(models)

    def seat_all(self, seat: Seat) -> None:
        """Give all visitors, who must be one, these chains."""
        self._seats[Everyone().name] = seat

    @property
    def seats(self) -> list[Seat]:
        """The chains in memory."""
        return list(self._seats.values())

    def seat_of(self, request: Request) -> Seat | None:
        """This visitor's chains, if they are in memory; only `Seat.now` and `Seat.saves` may be used."""
        return self._seats.get(self.identity.of(request) or "")

    def model_of(self, request: Request) -> int | None:
        """The number of the model of this visitor's chains, wherever they are; None: there are none."""
        visitor = self.identity.of(request) or ""
        found = self._seats.get(visitor) or self._parked.get(visitor)
        return None if found is None else found.number

    def others_wait(self, request: Request) -> Callable[[], bool]:
        """Whether other visitors wait for the worker."""
        visitor = self.identity.of(request) or ""
        return lambda: self.worker.others_wait(visitor)

    def refusal(self, request: Request) -> Response | None:
        """The response to a request for a page if there is no room; None: show the page."""
        visitor = self.identity.of(request)
        if visitor is None and not is_own(request):
            return enter()  # a link from another site came without the cookie that there may be
        try:
            self.check_room(visitor)
        except FullError as error:
            return full_page(error)
        return None

    def named(self, request: Request, response: Response) -> Response:
        """The response with a page, which gives the browser a name if it has none."""
        if self.identity.of(request) is None:
            self.identity.give(request, response)
        return response

    def check_room(self, visitor: str | None) -> None:
        """Raise `FullError` if there is no room for this visitor's chains."""
        if self._is_full(visitor) and self._until_idle() >= 0:
            raise self._full()

    async def use(self, request: Request, work: Callable[[Seat], T]) -> T:
        """Do something with this visitor's chains, which are made or taken back if need be.

        Raises:
            GoneError: if the browser has no name, or no model is open.
            FullError: if too many visitors are here, or too many requests wait.
        """
        visitor = self._visitor(request)
        opened = await self._needed(visitor)
        self._tidy_later()
        return await self.worker.do(lambda: work(self._seat(visitor, opened)), visitor)

    async def open(self, request: Request, number: int) -> None:
        """Open a model for this visitor; chains of another model end, and their session is saved.

        Raises:
            InputError: if it cannot be opened; then nothing has changed. Also as `use` does.
        """
        visitor = self._visitor(request)
        if self.model_of(request) == number:
            return
        self.check_room(visitor)
        opened = await self._open(number)
        self._tidy_later()
        await self.worker.do(lambda: self._replace(visitor, number, opened), visitor)

    def save_all(self) -> None:
        """Save the sessions of the chains in memory; those in files were saved before."""
        for seat in self.seats:
            seat.save(False)

    def park_idle(self) -> None:
        """Put the chains of idle visitors into files; in the worker's thread."""
        for visitor, seat in list(self._seats.items()):
            if time.monotonic() - seat.used <= self.limits.idle:
                continue
            seat.save(False)
            try:
                self._parked[visitor] = seat.park()
            except OSError as error:
                logger.warning("cannot put idle chains into a file: %s", error.strerror or error)
                return
            del self._seats[visitor]
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        parked = list(self._parked.items())
        sizes = [size(chains.state) for _, chains in parked]
        for place, (visitor, chains) in enumerate(parked):
            many = len(parked) - place > self.limits.parked
            if many or sum(sizes[place:]) > self.limits.parked_bytes:
                del self._parked[visitor]
                chains.state.close()

    def _visitor(self, request: Request) -> str:
        visitor = self.identity.of(request)
        if visitor is None:
            raise GoneError(NO_CHAINS)
        return visitor

    async def _needed(self, visitor: str) -> Opened | None:
        """The model that is needed to make or take back this visitor's chains; None: they are there."""
        if visitor in self._seats:
            return None
        parked = self._parked.get(visitor)
        number = parked.number if parked else None if self.models is None else self.models.first
        if number is None:
            raise GoneError(NO_MODEL)
        self.check_room(visitor)
        return await self._open(number)

    async def _open(self, number: int) -> Opened:
        models = self.models
        assert models is not None
        return await self._opener.do(lambda: models.open(number))

    def _seat(self, visitor: str, opened: Opened | None) -> Seat:
        """This visitor's chains, in the worker's thread."""
        seat = self._seats.get(visitor)
        if seat is None:
            if opened is None:  # they were put into a file in this moment
                raise FullError
            parked = self._make_room(visitor)
            if parked:
                seat = parked.resume(opened)
            else:
                seat = Seat(opened.explorer(), self.new_saves(), opened=opened)
            self._seats[visitor] = seat
        seat.used = time.monotonic()
        return seat

    def _replace(self, visitor: str, number: int, opened: Opened) -> None:
        """Give a visitor chains of another model, in the worker's thread."""
        old, parked = self._seats.get(visitor), self._make_room(visitor)
        if old:
            old.save(True)
        if parked:
            parked.state.close()
        found = old or parked
        saves = found.saves if found else self.new_saves()
        self._seats[visitor] = Seat(opened.explorer(), saves, number, opened)

    def _make_room(self, visitor: str) -> Parked | None:
        """Make room in memory for this visitor's chains; those in a file are returned."""
        own = self._parked.pop(visitor, None)
        self.park_idle()
        if self._is_full(visitor):
            if own:
                self._parked[visitor] = own
            raise self._full()
        return own

    def _is_full(self, visitor: str | None) -> bool:
        return visitor not in self._seats and len(self._seats) >= self.limits.visitors

    def _until_idle(self) -> float:
        """Seconds until the first of the visitors in memory is idle; negative: since then."""
        return self.limits.idle - (time.monotonic() - min(seat.used for seat in self.seats))

    def _full(self) -> FullError:
        wait = math.ceil(max(0, self._until_idle()) + 1)
        places = self.limits.visitors
        return FullError(f"all {places} places are taken: come back in {wait} seconds", wait)

    def _tidy_later(self) -> None:
        """Have idle chains put into files even if no request comes."""
        if self._timer is None and self.limits.idle < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.limits.idle / 2, self._tidy)

    def _tidy(self) -> None:
        self._timer = None
        with contextlib.suppress(FullError):
            self.worker.submit(self.park_idle)
        if self._seats:
            self._tidy_later()


def _first(models: Models | None) -> Snapshot | None:
    """What new visitors begin with; None: they choose a model."""
    if models is None or models.first is None:
        return None
    return Seat(models.open(models.first).explorer(), Saves()).now


def full_page(error: FullError) -> Response:
    """A page of one line that says that there is no room."""
    text = f'<!doctype html><html lang="en-GB"><title>nkca</title><p>nkca: {error}</p></html>\n'
    return HTMLResponse(text, 503, {"Retry-After": retry_after(error)})
