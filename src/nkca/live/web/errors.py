"""Errors -> HTTP responses."""

import logging
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nkca.errors import InputError
from nkca.live.chains.decoding import NotJSONError
from nkca.live.chains.state import ExpiredError
from nkca.live.web.responses import error_response
from nkca.live.web.seat import GoneError
from nkca.live.web.shared_explorer import BusyError
from nkca.live.web.worker import FullError, retry_after

logger = logging.getLogger("nkca")


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = error_response(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


async def _malformed(_: Request, error: Exception) -> Response:
    return error_response(400, str(error))


async def _conflict(_: Request, error: Exception) -> Response:
    return error_response(409, str(error))


async def _bad_input(_: Request, error: Exception) -> Response:
    return error_response(422, str(error))


async def _full(_: Request, error: Exception) -> Response:
    assert isinstance(error, FullError)
    response = error_response(503, str(error))
    response.headers["Retry-After"] = retry_after(error)
    return response


async def _gone(_: Request, error: Exception) -> Response:
    return error_response(410, str(error))


ERRORS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: _http,
    NotJSONError: _malformed,
    ExpiredError: _conflict,
    BusyError: _conflict,
    GoneError: _gone,
    InputError: _bad_input,
    FullError: _full,
}


class UnexpectedErrors:
    """Middleware that logs an unexpected exception and responds with status 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            logger.error("%s failed", scope.get("path"), exc_info=error)
            if not started:
                text = f"internal error in nkca: {type(error).__name__}: {error}"
                await error_response(500, text)(scope, receive, send)
