"""HTTP around one desk: read a request, let the worker do it, answer. What is asked and answered where:

POST /api/turn, /api/fit, /api/session      what people do
GET  /api/about, and files to take away     what there is; changes nothing
GET  /, /static/...                         the page
"""

import importlib.resources
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nkca.data.decode import MAX_SIDE, probe
from nkca.errors import InputError, out_of_memory_says
from nkca.inputs import fit_content
from nkca.kernels import CategoricalKernel
from nkca.live import events as do
from nkca.live.bodies import JSON, OCTETS, read_body, read_json, watched
from nkca.live.desk import BusyError, Desk, Frame, Turn, parse_turn
from nkca.live.export import animation, kept_png, shelf_grid, shelf_zip
from nkca.live.guard import Access, Guard, refusal
from nkca.live.session import MAX_BYTES, Session, parse_session, to_json
from nkca.live.story import Kept, PassedError, Story
from nkca.live.views import View, name_of, thumbnail
from nkca.live.worker import FullError, Worker
from nkca.pictures import png_bytes
from nkca.pixels import as_pictures
from nkca.version import __version__

T = TypeVar("T")
TURN_BYTES, FIT_BYTES = 8 << 20, 32 << 20
MAX_PIXELS = 64 << 20  # of a picture to be fitted
TYPES = {
    ".css": "text/css",
    ".gif": "image/gif",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": JSON,
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".zip": "application/zip",
}
logger = logging.getLogger("nkca")


@dataclass(frozen=True)
class Snapshot:
    """All that can be taken away after a turn."""

    session: Session
    story: Story


def make_app(
    desk: Desk,
    worker: Worker,
    access: Access,
    view: View | None = None,
    on_change: Callable[[Desk], None] = lambda desk: None,
) -> Starlette:
    """The server of a desk.

    Args:
        worker: of one thread; nothing else touches the desk from now on.
        view: what pages show first.
        on_change: called by the worker when the shelf has changed, and before it becomes another one.
    """
    served = _Served(desk, worker, view or View(), on_change)
    routes = [
        Route("/", served.page),
        Route("/static/{name}", served.static),
        Route("/api/about", served.about),
        Route("/api/turn", served.turn, methods=["POST"]),
        Route("/api/fit", served.fit, methods=["POST"]),
        Route("/api/session", served.load, methods=["POST"]),
        Route("/api/moments/{version}.png", served.moment),
        Route("/api/kept/{item}.png", served.kept),
        *(Route(f"/api/{name}", served.download) for name in DOWNLOADS),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access), Middleware(_Survival)],
        exception_handlers={HTTPException: _answer_http, **dict.fromkeys(_STATUS, _answer_error)},
    )
    app.router.redirect_slashes = False
    return app


class _Served:
    """The endpoints, and what they share."""

    def __init__(
        self, desk: Desk, worker: Worker, view: View, on_change: Callable[[Desk], None]
    ) -> None:
        self.desk, self.worker, self.view, self.on_change = desk, worker, view, on_change
        self.pictures = Worker(threads=2)
        self.files = page_files()
        self.now = Snapshot(desk.session, desk.explorer.story)

    async def page(self, _: Request) -> Response:
        return _file("index.html", self.files["index.html"])

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.files:
            raise HTTPException(404, "there is no such file")
        return _file(name, self.files[name])

    async def about(self, _: Request) -> Response:
        return _json(about(self.desk, self.now, self.view))

    async def turn(self, request: Request) -> Response:
        turn = parse_turn(await read_json(request, TURN_BYTES))
        async with watched(request) as gone:
            frame = await self._on_desk(lambda: self._turn(turn, gone.is_set))
        head = json.dumps(frame.head, allow_nan=False).encode()
        return Response(len(head).to_bytes(4, "big") + head + frame.png, media_type=OCTETS)

    async def fit(self, request: Request) -> Response:
        content = await read_body(request, OCTETS, FIT_BYTES)
        shape = self.desk.model.data_shape
        return _file("", await self.pictures.do(lambda: fitted_png(content, shape)), ".png")

    async def load(self, request: Request) -> Response:
        content = await read_body(request, JSON, MAX_BYTES)
        session = await self.pictures.do(lambda: parse_session(content))
        warning = caveat(session, self.desk)
        await self._on_desk(lambda: self._load(session))
        return _json({"ok": True, "warning": warning})

    async def moment(self, request: Request) -> Response:
        version = request.path_params["version"]
        for entry in self.now.story.history.entries:
            if str(entry.moment.version) == version:
                moment = entry.moment
                return _file("", await self.pictures.do(lambda: thumbnail(moment)), ".png")
        raise HTTPException(404, "that moment is not remembered")

    async def kept(self, request: Request) -> Response:
        item, now = request.path_params["item"], self.now
        for kept in now.story.shelf:
            if str(kept.item) == item:
                origin, found = now.session.origin, kept
                content = await self.pictures.do(lambda: kept_png(origin, found))
                download = request.query_params.get("download") == "1"
                return _file(f"{name_of(kept)}.png", content, download=download)
        raise HTTPException(404, "there is no such picture on the shelf")

    async def download(self, request: Request) -> Response:
        name, now = request.scope["path"].removeprefix("/api/"), self.now
        return _file(name, await self.pictures.do(lambda: DOWNLOADS[name](now)), download=True)

    async def _on_desk(self, work: Callable[[], T]) -> T:
        def done() -> T:
            try:
                with out_of_memory_says("; start again with a smaller --batch-size"):
                    return work()
            finally:
                self.now = Snapshot(self.desk.session, self.desk.explorer.story)

        return await self.worker.do(done)

    def _turn(self, turn: Turn, gone: Callable[[], bool]) -> Frame:
        if gone() and not turn.events:
            return Frame({}, b"")
        frame = self.desk.turn(turn, gone)
        if any(isinstance(event, _SHELVING) for event in turn.events):
            self.on_change(self.desk)
        return frame

    def _load(self, session: Session) -> None:
        self.on_change(self.desk)
        self.desk.load(session)


class _Survival:
    """Whatever goes wrong becomes an answer, and a line in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
                sentence = f"this went wrong in nkca itself: {type(error).__name__}: {error}"
                await refusal(500, sentence)(scope, receive, send)


def about(desk: Desk, now: Snapshot, view: View) -> dict[str, Any]:
    """What a page wants to know first."""
    model, origin, setup = desk.model, desk.origin, now.session.setup
    return {
        "checkpoint": origin.checkpoint,
        "digest": origin.checkpoint_sha256,
        "data_shape": list(model.data_shape),
        "batch": setup.batch_size,
        "min_level": model.min_noise,
        "seed": setup.seed,
        "show": view.show,
        "rescale": view.rescale,
        "images": 0 if setup.images is None else len(setup.images),
        "categorical": isinstance(model.chain.kernel, CategoricalKernel),
        "mp4": shutil.which("ffmpeg") is not None,
        "gif": True,
        "device": str(model.device),
        "version": __version__,
        "max_upload_bytes": FIT_BYTES,
    }


def caveat(session: Session, desk: Desk) -> str | None:
    """Why the replay of a session may come out differently here, if it may."""
    made, here = session.origin, desk.origin
    if made.checkpoint_sha256 != here.checkpoint_sha256:
        return f"the session was made with another checkpoint, {made.checkpoint}"
    if made.device != here.device:
        return (
            f"the session was made on {made.device}, this is {here.device}: it may differ a little"
        )
    return None


def fitted_png(content: bytes, data_shape: tuple[int, int, int]) -> bytes:
    """A picture file of any size as a PNG of the model's size (C, H, W).

    Raises:
        HTTPException: if it has too many pixels (413).
        InputError: if it is no picture.
    """
    found = probe(content)
    if max(found.width, found.height) > MAX_SIDE or found.width * found.height > MAX_PIXELS:
        raise HTTPException(413, f"{found.width}x{found.height} is too large a picture")
    with out_of_memory_says("; this picture is too large"):
        picture, _ = fit_content(content, data_shape)
    return png_bytes(as_pictures(picture.unsqueeze(0))[0])


def page_files() -> dict[str, bytes]:
    """The parts of the page by name, read once: no name in a request reaches the file system."""
    folder = importlib.resources.files("nkca.live") / "static"
    files = (file for file in folder.iterdir() if file.is_file())
    return {file.name: file.read_bytes() for file in files if _suffix(file.name) in TYPES}


def _recorded(now: Snapshot, kind: str) -> bytes:
    recording = now.story.recording
    if recording is None or not recording.frames:
        raise BusyError("nothing has been recorded yet")
    return animation(recording, kind)


def _shelf(now: Snapshot) -> tuple[Kept, ...]:
    if not now.story.shelf:
        raise BusyError("nothing has been kept yet")
    return now.story.shelf


DOWNLOADS: dict[str, Callable[[Snapshot], bytes]] = {
    "session.json": lambda now: to_json(now.session),
    "shelf.png": lambda now: shelf_grid(_shelf(now)),
    "shelf.zip": lambda now: shelf_zip(now.session, _shelf(now)),
    "recording.gif": lambda now: _recorded(now, "gif"),
    "recording.mp4": lambda now: _recorded(now, "mp4"),
}
_SHELVING = (do.Keep, do.Remove, do.Restore, do.Move)
_STATUS: dict[type[Exception], int] = {
    PassedError: 409,
    BusyError: 409,
    InputError: 422,
    RecursionError: 400,
    FullError: 503,
}


async def _answer_error(_: Request, error: Exception) -> Response:
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    said = {400: "nested too deeply", 503: "too many requests are waiting"}
    answer = refusal(status, said.get(status, str(error)))
    if status == 503:
        answer.headers["Retry-After"] = "1"
    return answer


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = refusal(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer


def _json(value: object) -> Response:
    return Response(json.dumps(value, allow_nan=False), media_type=JSON)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _file(name: str, content: bytes, suffix: str = "", download: bool = False) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'} if download else None
    return Response(content, media_type=TYPES[suffix or _suffix(name)], headers=headers)
