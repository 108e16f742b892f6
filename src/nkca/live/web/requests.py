"""Reading request bodies: the content type is checked, size and time are limited."""

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncIterator, Callable

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from nkca.live.web.worker import FullError

JSON, OCTETS = "application/json", "application/octet-stream"
SECONDS = 30.0  # to receive a whole body
ROOM, SMALL = 128 << 20, 64 << 10


class Bodies:
    """Reads the bodies of requests, which have a common room in memory.

    Args:
        room: bytes for all bodies together; the first `SMALL` of each do not count.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._free = room

    @contextlib.asynccontextmanager
    async def read(self, request: Request, kind: str, limit: int) -> AsyncIterator[bytes]:
        """As `read_body`; the body takes room until the block ends.

        Raises:
            FullError: if there is not enough room.
        """
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            more = max(0, size - SMALL) - taken
            if more > self._free:
                raise FullError
            self._free -= more
            taken += more

        try:
            yield await read_body(request, kind, limit, take)
        finally:
            self._free += taken


async def read_body(
    request: Request, kind: str, limit: int, take: Callable[[int], None] = lambda _: None
) -> bytes:
    """Read a body of the content type ``kind`` and of at most ``limit`` bytes.

    `JSON` and `OCTETS` are types that a form of another site cannot send. ``take`` is called with the
    size so far.

    Raises:
        HTTPException: if it is of another type (415), larger (413), slow (408) or incomplete (400).
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != kind:
        raise HTTPException(415, f"expected Content-Type: {kind}")
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise HTTPException(400, "Content-Length is not a number")
    too_large = HTTPException(413, f"larger than {limit >> 20} MiB")
    if len(declared) > 18 or int(declared) > limit:
        raise too_large
    body = io.BytesIO()
    try:
        with anyio.fail_after(SECONDS):
            async for chunk in request.stream():
                if body.tell() + len(chunk) > limit:
                    raise too_large
                take(body.tell() + len(chunk))
                body.write(chunk)
    except TimeoutError:
        raise HTTPException(408, f"the request did not arrive in {SECONDS:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the request is incomplete") from None
    return body.getvalue()


@contextlib.asynccontextmanager
async def watch_disconnect(request: Request) -> AsyncIterator[threading.Event]:
    """An event that is set if the client disconnects while the block runs; its body must have been read."""
    gone = threading.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        yield gone
    finally:
        watching.cancel()
