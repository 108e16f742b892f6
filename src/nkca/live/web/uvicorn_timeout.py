"""Limits for connections: of time and number for those that send no head of an HTTP request, and of number.

Without the first, idle connections can use up all that the server accepts and block other users.
"""

import asyncio
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from nkca.live.web.guard import HEADERS
from nkca.live.web.responses import error_response

FIRST_SECONDS = 3.0  # to receive the head of the first request of a connection
SECONDS = 10.0  # to receive the rest of a later head
MAX_SILENT = 32  # connections from one address that have not sent a head yet


class HeadTimeoutProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which limits the size of a head, with limits of time and number.

    It refuses requests beyond uvicorn's ``limit_concurrency`` itself, with the security headers.
    """

    _deadline: asyncio.TimerHandle | None = None
    _silent_since: float | None = None

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._served: ASGIApp = self.app
        self.app = self._serve_or_refuse

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request; close the oldest silent connection of too many."""
        super().connection_made(transport)
        self._wait(FIRST_SECONDS)
        self._silent_since = self.loop.time()
        silent = [
            (other._silent_since, id(other), other)
            for other in self.connections
            if isinstance(other, HeadTimeoutProtocol)
            and other._silent_since is not None
            and _address(other) == _address(self)
        ]
        if len(silent) > MAX_SILENT:
            min(silent)[2]._close()

    def data_received(self, data: bytes) -> None:
        """Keep the timer running until the head is complete."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait(SECONDS)
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_waiting()
        super().connection_lost(exc)

    async def _serve_or_refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        many = max(len(self.connections), len(self.tasks) - 1)  # this task is one of them
        if self._most is None or many < self._most:
            await self._served(scope, receive, send)
            return
        response = error_response(503, "too many connections are open")
        response.headers.update({**HEADERS, "Connection": "close", "Retry-After": "1"})
        await response(scope, receive, send)

    def _wait(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self._close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._silent_since = None

    def _close(self) -> None:
        self._stop_waiting()
        self.transport.close()


def _address(connection: H11Protocol) -> str | None:
    return connection.client and connection.client[0]
