"""Errors -> HTTP responses."""

import logging
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nkca.errors import InputError
from nkca.live.chains.story import PassedError
from nkca.live.web.desk import BusyError
from nkca.live.web.responses import error_answer
from nkca.live.web.worker import FullError

logger = logging.getLogger("nkca")


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = error_answer(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer


async def _conflict(_: Request, error: Exception) -> Response:
    return error_answer(409, str(error))


async def _bad_input(_: Request, error: Exception) -> Response:
    return error_answer(422, str(error))


async def _full(_: Request, __: Exception) -> Response:
    answer = error_answer(503, "too many requests are waiting")
    answer.headers["Retry-After"] = "1"
    return answer


ERRORS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: _http,
    PassedError: _conflict,
    BusyError: _conflict,
    InputError: _bad_input,
    FullError: _full,
}


class Survival:
    """Makes an answer, and a line in the log, of whatever else goes wrong."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except Exception as error:
            logger.error("%s failed", scope.get("path"), exc_info=error)
            if not started:
                said = f"this went wrong in nkca itself: {type(error).__name__}: {error}"
                await error_answer(500, said)(scope, receive, send)
