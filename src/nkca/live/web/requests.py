"""Request bodies: checked for type, bounded in size and time."""

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

JSON, OCTETS = "application/json", "application/octet-stream"
SECONDS = 30.0  # for a whole body to come


async def read_body(request: Request, kind: str, limit: int) -> bytes:
    """The body, of the content type ``kind`` and at most ``limit`` bytes.

    Neither type is one that a form of another site could send.

    Raises:
        HTTPException: if it is another type (415), larger (413), slow (408) or cut off (400).
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
                body.write(chunk)
    except TimeoutError:
        raise HTTPException(408, f"the request did not arrive in {SECONDS:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the request was cut off") from None
    return body.getvalue()


async def read_json(request: Request, limit: int) -> Any:
    """What the JSON of a body holds: UTF-8, and no NaN or infinity.

    Raises:
        HTTPException: as `read_body`, and if it is malformed (400).
    """
    content = await read_body(request, JSON, limit)
    try:
        return json.loads(content.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"not JSON: {error}") from None


@contextlib.asynccontextmanager
async def watched(request: Request) -> AsyncIterator[threading.Event]:
    """An event that is set when the client, whose body was read, goes away while the block runs."""
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


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
