"""The HTTP routes of one shared explorer.

POST /api/turn, /api/fit, /api/session      events and steps; an image to the model's size; open a session
GET  /api/sessions, POST /api/sessions/N    the saved sessions; open one
GET  /api/about, and files to download      read only
GET  /, /static/...                         the page
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nkca.config.image_size import MAX_SIDE, describe
from nkca.data.categories import reader_for
from nkca.data.decode import AS_PICTURES, Reader, probe
from nkca.errors import out_of_memory_advice
from nkca.live.chains.decoding import decode
from nkca.live.chains.events import MAX_ANNEAL, MAX_SEED, Keep, Move, Remove, Restore
from nkca.live.session.export import kept_png, name_of
from nkca.live.session.file import Session, caveat, parse_session, read_session
from nkca.live.web.autosave import saved_sessions
from nkca.live.web.downloads import DOWNLOADS, Snapshot, model_facts
from nkca.live.web.errors import ERRORS, UnexpectedErrors
from nkca.live.web.frames import thumbnail
from nkca.live.web.guard import Access, Guard
from nkca.live.web.messages import MAX_EVENTS, About, Limits, Turn, View
from nkca.live.web.page import file_or_unchanged, first_page, page_files
from nkca.live.web.requests import (
    JSON,
    OCTETS,
    SMALL,
    Bodies,
    read_body,
    watch_disconnect,
)
from nkca.live.web.responses import file_response, json_response
from nkca.live.web.shared_explorer import BusyError, Frame, SharedExplorer
from nkca.live.web.worker import Worker
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures
from nkca.sampling.inputs import fit_content
from nkca.system.allocator import release_freed_memory

T = TypeVar("T")
TURN_BYTES, FIT_BYTES, SESSION_BYTES = 8 << 20, 32 << 20, 32 << 20
LIMITS: Limits = {
    "max_upload_bytes": FIT_BYTES,
    "max_session_bytes": SESSION_BYTES,
    "max_anneal": MAX_ANNEAL,
    "max_seed": MAX_SEED,
    "max_events": MAX_EVENTS,
}
MAX_PIXELS = 64_000_000  # of a picture to resize
SHELF_EVENTS = (Keep, Remove, Restore, Move)


def make_app(
    shared: SharedExplorer,
    worker: Worker,
    access: Access,
    view: View | None = None,
    on_change: Callable[[SharedExplorer, bool], None] | None = None,
) -> Starlette:
    """The ASGI app that serves a shared explorer.

    Args:
        worker: of one thread; from now on only this thread may use the explorer.
        view: the initial view of every page.
        on_change: called in the worker with False after the shelf has changed, and with True before
            another session is loaded.
    """
    endpoints = _Endpoints(shared, worker, view or View(), on_change)
    routes = [
        Route("/", endpoints.page),
        Route("/static/{name}", endpoints.static),
        Route("/api/about", endpoints.about),
        Route("/api/turn", endpoints.turn, methods=["POST"]),
        Route("/api/fit", endpoints.fit, methods=["POST"]),
        Route("/api/session", endpoints.load, methods=["POST"]),
        Route("/api/sessions", endpoints.saved),
        Route("/api/sessions/{number}", endpoints.open_saved, methods=["POST"]),
        Route("/api/moments/{version}.png", endpoints.moment),
        Route("/api/kept/{item}.png", endpoints.kept),
        *(Route(f"/api/{name}", endpoints.download) for name in DOWNLOADS),
    ]
    guards = [Middleware(Guard, access), Middleware(UnexpectedErrors)]
    app = Starlette(routes=routes, middleware=guards, exception_handlers=ERRORS)
    app.router.redirect_slashes = False
    return app


class _Endpoints:
    """The endpoints and their shared objects.

    Downloads are made from ``now``, an immutable snapshot, in threads other than the worker's, so that they
    do not wait for a step.
    """

    def __init__(
        self,
        shared: SharedExplorer,
        worker: Worker,
        view: View,
        on_change: Callable[[SharedExplorer, bool], None] | None,
    ) -> None:
        self.shared, self.worker, self.view, self.on_change = shared, worker, view, on_change
        self.encoder = Worker(threads=2)
        self.bodies = Bodies()
        self.files = page_files()
        self.listed: list[Path] = []  # saved sessions; only grows, so that their numbers stay
        self.batch_size = shared.explorer.setup.batch_size
        self.now = Snapshot(shared.session, shared.explorer.state)

    async def page(self, request: Request) -> Response:
        return first_page(request, self.files["index.html"], self._facts())

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.files:
            raise HTTPException(404, "there is no such file")
        return file_or_unchanged(request, self.files[name])

    async def about(self, _: Request) -> Response:
        return json_response(self._facts())

    def _facts(self) -> About:
        facts = model_facts(self.shared.model, self.shared.origin, self.now.session.setup)
        return {**facts, **LIMITS, "show": self.view.show, "rescale": self.view.rescale}

    async def turn(self, request: Request) -> Response:
        async with self.bodies.read(request, JSON, TURN_BYTES) as content:
            turn = decode(content, Turn)
        async with watch_disconnect(request) as gone:
            frame = await self._in_worker(lambda: self._turn(turn, gone.is_set))
        head = json.dumps(frame.head, allow_nan=False).encode()
        return Response(len(head).to_bytes(4, "big") + head + frame.png, media_type=OCTETS)

    async def fit(self, request: Request) -> Response:
        shape, reader = self.shared.model.data_shape, reader_for(self.shared.model.pixels)
        async with self.bodies.read(request, OCTETS, FIT_BYTES) as content:
            png = await self._in_encoder(lambda: fitted_png(content, shape, reader))
        return file_response(".png", png)

    async def load(self, request: Request) -> Response:
        async with self.bodies.read(request, JSON, SESSION_BYTES) as content:
            session = await self._in_encoder(lambda: parse_session(content))
        return await self._open(request, session)

    async def saved(self, _: Request) -> Response:
        digest = self.shared.origin.checkpoint_sha256
        found = await self.encoder.do(lambda: saved_sessions(digest))
        self.listed += [one.path for one in found if one.path not in self.listed]
        number = self.listed.index
        entries = [{"number": number(o.path), "changed": o.changed, "kept": o.kept} for o in found]
        return json_response(entries)

    async def open_saved(self, request: Request) -> Response:
        await read_body(request, JSON, SMALL)
        numbered = {str(number): path for number, path in enumerate(self.listed)}
        path = numbered.get(request.path_params["number"])
        if path is None:
            raise HTTPException(404, "there is no such saved session")
        return await self._open(request, await self._in_encoder(lambda: read_session(path)))

    async def _open(self, request: Request, session: Session) -> Response:
        chains = session.setup.batch_size
        if chains > self.batch_size and request.query_params.get("more") != "1":
            raise BusyError(f"this session has {chains} chains, the command has {self.batch_size}")
        warning = caveat(session.origin, self.shared.origin)
        await self._in_worker(lambda: self._load(session))
        return json_response({"ok": True, "warning": warning})

    async def moment(self, request: Request) -> Response:
        entries = self.now.state.history.stored
        found = {str(entry.moment.version): entry.moment for entry in entries}
        moment = found.get(request.path_params["version"])
        if moment is None:
            raise HTTPException(404, "that moment is no longer in the history")
        return file_response(".png", await self.encoder.do(lambda: thumbnail(moment)))

    async def kept(self, request: Request) -> Response:
        now = self.now
        found = {str(kept.item): kept for kept in now.state.shelf}
        kept = found.get(request.path_params["item"])
        if kept is None:
            raise HTTPException(404, "there is no such picture on the shelf")
        content = await self.encoder.do(
            lambda: kept_png(now.session.origin, kept, self.shared.model.pixels)
        )
        download = request.query_params.get("download") == "1"
        return file_response(f"{name_of(kept)}.png", content, download)

    async def download(self, request: Request) -> Response:
        name, now = request.scope["path"].removeprefix("/api/"), self.now
        pixels = self.shared.model.pixels
        return file_response(
            name, await self.encoder.do(lambda: DOWNLOADS[name](now, pixels)), True
        )

    async def _in_encoder(self, work: Callable[[], T]) -> T:
        """Do what may take much memory, which is then returned to the system."""

        def run() -> T:
            try:
                return work()
            finally:
                release_freed_memory()

        return await self.encoder.do(run)

    async def _in_worker(self, work: Callable[[], T]) -> T:
        def run() -> T:
            try:
                with out_of_memory_advice("(start again with a smaller --batch-size)"):
                    return work()
            finally:
                self.now = Snapshot(self.shared.session, self.shared.explorer.state)

        return await self.worker.do(run)

    def _turn(self, turn: Turn, gone: Callable[[], bool]) -> Frame:
        if gone() and not turn.events:
            return Frame({}, b"")
        frame = self.shared.turn(turn, gone)
        if self.on_change and any(isinstance(event, SHELF_EVENTS) for event in turn.events):
            self.on_change(self.shared, False)
        return frame

    def _load(self, session: Session) -> None:
        if self.on_change:
            self.on_change(self.shared, True)
        self.shared.load(session)


def fitted_png(
    content: bytes, data_shape: tuple[int, int, int], reader: Reader = AS_PICTURES
) -> bytes:
    """Resize an image file to the model's size (C, H, W); returns a PNG.

    Raises:
        HTTPException: if it has too many pixels (413).
        InputError: if it is not an image file.
    """
    found = probe(content)
    if max(found.width, found.height) > MAX_SIDE or found.width * found.height > MAX_PIXELS:
        raise HTTPException(
            413, f"{describe(found.height, found.width)} is more than 64 million pixels"
        )
    with out_of_memory_advice("(the picture is too large)"):
        picture, _ = fit_content(content, data_shape, reader, reduced=True)
    return png_bytes(as_pictures(picture.unsqueeze(0))[0])
