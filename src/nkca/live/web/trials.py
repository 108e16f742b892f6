"""The routes of "Real or made?".

POST /api/trials {"count"}                               a new test: {"id", "count"}
GET  /api/trials/ID/N.png                                the pair of trial N, left and right in one picture
POST /api/trials/ID/N {"side", "milliseconds"}           the answer
GET  /api/trials/ID/result.json                          the result of what was answered so far

Nothing tells which is real before the answer: both are pixels of one PNG without metadata, made by one
request, and the reply to an answer is how many there are.
"""

import secrets
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nkca.data.listing import Listing
from nkca.errors import InputError
from nkca.live.chains.discrimination import SIDES, Answer, Discrimination
from nkca.live.chains.events import MAX_COUNT
from nkca.live.web.requests import JSON, SMALL, parse_json, read_body
from nkca.live.web.responses import file_response, json_response
from nkca.live.web.worker import Worker
from nkca.models.model import Model
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures

MAX_TESTS = 16  # in memory; a new one takes the place of the oldest


def trial_routes(model: Model, real: Listing, worker: Worker) -> list[Route]:
    """The routes; the worker's thread makes the pictures."""
    tests: dict[str, Discrimination] = {}

    def test_of(request: Request) -> Discrimination:
        found = tests.get(request.path_params["id"])
        if found is None:
            raise HTTPException(404, "there is no such test; start a new one")
        return found

    async def begin(request: Request) -> Response:
        given = _fields(parse_json(await read_body(request, JSON, SMALL)), {"count"})
        test = Discrimination(model, real, _whole("count", given.get("count")))
        if len(tests) >= MAX_TESTS:
            del tests[next(iter(tests))]
        name = secrets.token_urlsafe(12)
        tests[name] = test
        return json_response({"id": name, "count": test.count})

    async def show(request: Request) -> Response:
        test, number = test_of(request), request.path_params["number"]
        pair = await worker.do(lambda: test.pair(number))
        side_by_side = np.concatenate(list(as_pictures(pair)), axis=1)
        return file_response("pair.png", png_bytes(side_by_side))

    async def answer(request: Request) -> Response:
        test, number = test_of(request), request.path_params["number"]
        content = parse_json(await read_body(request, JSON, SMALL))
        given = _fields(content, {"side", "milliseconds"})
        side, time = given.get("side"), given.get("milliseconds")
        if side not in SIDES:
            raise InputError(f"'side' must be {' or '.join(SIDES)}")
        taken = Answer(str(side), None if time is None else _whole("milliseconds", time))
        await worker.do(lambda: test.answer(number, taken))
        return json_response({"answered": len(test.answers)})

    async def result(request: Request) -> Response:
        return json_response(test_of(request).result())

    return [
        Route("/api/trials", begin, methods=["POST"]),
        Route("/api/trials/{id}/result.json", result),
        Route("/api/trials/{id}/{number:int}.png", show),
        Route("/api/trials/{id}/{number:int}", answer, methods=["POST"]),
    ]


def _fields(value: object, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= known:
        raise InputError(f"expected an object with {', '.join(sorted(known))}")
    return value


def _whole(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise InputError(f"'{name}' must be a whole number from 0 to {MAX_COUNT}")
    return value
