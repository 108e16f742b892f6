"""The routes of "Real or made?": each visitor has tests of their own.

POST /api/trials {"count"}                               a new test: {"id", "count"}
GET  /api/trials/ID/N.png                                the pair of trial N, left and right in one picture
POST /api/trials/ID/N {"side", "milliseconds"}           the answer
GET  /api/trials/ID/result.json                          the result of what was answered so far

Nothing tells which is real before the answer: both are pixels of one PNG without metadata, made by one
request, and the reply to an answer is how many there are.
"""

import secrets
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nkca.data.listing import Listing
from nkca.live.chains.decoding import decode
from nkca.live.chains.discrimination import MAX_TRIALS, Answer, Discrimination, new_test
from nkca.live.web.messages import NewTest
from nkca.live.web.requests import JSON, SMALL, read_body
from nkca.live.web.responses import file_response, json_response
from nkca.live.web.seat import Seat
from nkca.live.web.visitors import Visitors
from nkca.models.model import Model
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures

T = TypeVar("T")
MAX_TESTS = 16  # of a visitor; a new one takes the place of the oldest
NUMBERS = {str(number): number for number in range(MAX_TRIALS)}


class TrialRoutes:
    """The endpoints of the tests."""

    def __init__(self, visitors: Visitors, real: Listing) -> None:
        self.visitors, self.real = visitors, real

    @property
    def routes(self) -> list[Route]:
        """The routes for an app."""
        return [
            Route("/api/trials", self.begin, methods=["POST"]),
            Route("/api/trials/{id}/result.json", self.result),
            Route("/api/trials/{id}/{number}.png", self.show),
            Route("/api/trials/{id}/{number}", self.answer, methods=["POST"]),
        ]

    async def begin(self, request: Request) -> Response:
        """POST /api/trials."""
        wanted = decode(await read_body(request, JSON, SMALL), NewTest)
        name, test = secrets.token_urlsafe(12), new_test(self.real, wanted.count)

        def add(seat: Seat) -> None:
            if len(seat.tests) >= MAX_TESTS:
                del seat.tests[next(iter(seat.tests))]
            seat.tests[name] = test

        await self.visitors.use(request, add)
        return json_response({"id": name, "count": test.count})

    async def show(self, request: Request) -> Response:
        """GET /api/trials/ID/N.png."""
        number = _number(request)
        pair = await self._use(request, lambda test, model: test.pair(number, model, self.real))
        side_by_side = np.concatenate(list(as_pictures(pair)), axis=1)
        return file_response("pair.png", png_bytes(side_by_side))

    async def answer(self, request: Request) -> Response:
        """POST /api/trials/ID/N."""
        number, taken = _number(request), decode(await read_body(request, JSON, SMALL), Answer)

        def add(test: Discrimination, _: Model) -> int:
            test.answer(number, taken)
            return len(test.answers)

        return json_response({"answered": await self._use(request, add)})

    async def result(self, request: Request) -> Response:
        """GET /api/trials/ID/result.json."""
        return json_response(await self._use(request, lambda test, _: test.result()))

    async def _use(self, request: Request, work: Callable[[Discrimination, Model], T]) -> T:
        """Do something with the test that the path names, in the worker's thread."""
        name = request.path_params["id"]

        def use(seat: Seat) -> T:
            if name not in seat.tests:
                raise HTTPException(404, "there is no such test; start a new one")
            return work(seat.tests[name], seat.shared.model)

        return await self.visitors.use(request, use)


def _number(request: Request) -> int:
    """The number of a trial in the path, written as pages do."""
    number = NUMBERS.get(request.path_params["number"])
    if number is None:
        raise HTTPException(404, "there is no such trial")
    return number
