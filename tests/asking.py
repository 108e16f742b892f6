"""HTTP requests to an ASGI app in this process, byte for byte as a client sends them, however bad."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

HOST = "127.0.0.1:8000"
JSON, OCTETS = "application/json", "application/octet-stream"


@dataclass(frozen=True)
class Ask:
    """A request.

    Args:
        path: as on the wire, with a query.
        headers: None is for (header, value) pairs that are not there; a list for one that comes twice.
        chunks: of the body; without a Content-Length if there are several.
        ends: the body is complete; else the client goes away after its last chunk.
    """

    path: str
    method: str = "GET"
    headers: Sequence[tuple[str, str]] = ()
    chunks: Sequence[bytes] = ()
    host: str | None = HOST
    ends: bool = True


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def head(self) -> Any:
        """The head of a frame."""
        return json.loads(self.body[4 : 4 + int.from_bytes(self.body[:4], "big")])

    @property
    def png(self) -> bytes:
        """The PNG of a frame."""
        return self.body[4 + int.from_bytes(self.body[:4], "big") :]


def post(path: str, body: bytes, kind: str = JSON, *headers: tuple[str, str]) -> Ask:
    """A request with a body."""
    length = ("Content-Length", str(len(body)))
    return Ask(path, "POST", [("Content-Type", kind), length, *headers], [body])


def turn(*events: dict[str, Any], **fields: Any) -> Ask:
    """A turn."""
    return post("/api/turn", json.dumps({"events": events, **fields}).encode())


def answer(app: ASGIApp, ask: Ask) -> Answer:
    """Send a request and wait for the answer."""
    return asyncio.run(asking(app, ask))


async def asking(app: ASGIApp, ask: Ask, gone: asyncio.Event | None = None) -> Answer:
    """As `answer`; the client goes away when ``gone`` is set."""
    said: list[Message] = []
    coming = list(ask.chunks) or [b""]

    async def receive() -> Message:
        if coming:
            chunk = coming.pop(0)
            return {
                "type": "http.request",
                "body": chunk,
                "more_body": bool(coming) or not ask.ends,
            }
        if ask.ends or gone is not None:
            await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)

    path, _, query = ask.path.partition("?")
    host = [] if ask.host is None else [("Host", ask.host)]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": ask.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in (*host, *ask.headers)],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
    await app(scope, receive, send)
    start, *parts = said
    headers = {k.decode().lower(): v.decode("latin-1") for k, v in start["headers"]}
    return Answer(start["status"], headers, b"".join(part["body"] for part in parts))
