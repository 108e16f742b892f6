"""The HTTP routes of the page and its chains.

POST /api/turn, /api/fit, /api/session      events and steps; an image to the model's size; open a session
GET  /api/sessions, POST /api/sessions/N    the saved sessions; open one
GET  /api/about, and files to download      read only
GET  /, /static/...                         the page; with a gallery that is at / and the page at /live
/api/trials/...                             see `nkca.live.web.trials`
"""

import json
from collections.abc import Callable
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from nkca.data.categories import reader_for
from nkca.data.listing import Listing
from nkca.live.chains.decoding import decode
from nkca.live.chains.discrimination import MAX_TRIALS
from nkca.live.chains.events import MAX_ANNEAL, MAX_SEED
from nkca.live.session.export import MAX_ANIMATION_PIXELS, kept_png, name_of
from nkca.live.session.file import Session, caveat, parse_session, read_session
from nkca.live.web.downloads import DOWNLOADS, Snapshot, model_facts
from nkca.live.web.errors import ERRORS, UnexpectedErrors
from nkca.live.web.fitting import fitted_png
from nkca.live.web.frames import thumbnail
from nkca.live.web.gallery import Gallery
from nkca.live.web.gallery_routes import GalleryRoutes
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
from nkca.live.web.seat import OnChange, Saves, Seat
from nkca.live.web.shared_explorer import BusyError, SharedExplorer
from nkca.live.web.trials import TrialRoutes
from nkca.live.web.visitors import Visitors
from nkca.live.web.worker import Worker
from nkca.system.allocator import release_freed_memory

T = TypeVar("T")
TURN_BYTES, FIT_BYTES, SESSION_BYTES = 8 << 20, 32 << 20, 32 << 20
LIMITS: Limits = {
    "max_upload_bytes": FIT_BYTES,
    "max_session_bytes": SESSION_BYTES,
    "max_anneal": MAX_ANNEAL,
    "max_recording_pixels": MAX_ANIMATION_PIXELS,
    "max_seed": MAX_SEED,
    "max_trials": MAX_TRIALS,
    "max_events": MAX_EVENTS,
}


def make_app(
    shared: SharedExplorer,
    worker: Worker,
    access: Access,
    view: View | None = None,
    on_change: OnChange | None = None,
    real: Listing | None = None,
) -> Starlette:
    """The ASGI app that serves one explorer to all visitors; arguments as in `Visitors`, `make_server`."""
    visitors = Visitors(worker, None)
    visitors.seat_all(Seat(shared, Saves(on_change)))
    return make_server(visitors, access, view or View(), real)


def make_server(
    visitors: Visitors, access: Access, view: View, real: Listing | None = None
) -> Starlette:
    """The ASGI app that serves chains, and the gallery if there is one, to visitors.

    Args:
        view: the initial view of every page.
        real: real pictures, for "Real or made?" (`nkca.live.web.trials`).
    """
    gallery = visitors.models if isinstance(visitors.models, Gallery) else None
    endpoints = _Endpoints(visitors, view, gallery is not None, 0 if real is None else len(real))
    routes = [
        Route("/live" if gallery else "/", endpoints.page),
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
    if gallery:
        routes += GalleryRoutes(visitors, gallery, endpoints.files["gallery.html"]).routes
    if real:
        routes += TrialRoutes(visitors, real).routes
    guards = [Middleware(Guard, access), Middleware(UnexpectedErrors)]
    app = Starlette(routes=routes, middleware=guards, exception_handlers=ERRORS)
    app.router.redirect_slashes = False
    return app


class _Endpoints:
    """The endpoints and their shared objects.

    Downloads are made from a snapshot of the chains, in threads other than the worker's, so that they do
    not wait for a step.
    """

    def __init__(self, visitors: Visitors, view: View, gallery: bool, real: int) -> None:
        self.visitors, self.view, self.gallery, self.real = visitors, view, gallery, real
        self.encoder = Worker(threads=2)
        self.bodies = Bodies()
        self.files = page_files()

    async def page(self, request: Request) -> Response:
        refused = self.visitors.refusal(request)
        if refused:
            return refused
        now = self._now_or_first(request)
        if now is None:
            return RedirectResponse("/", 303)
        response = first_page(request, self.files["index.html"], self._facts(now))
        return self.visitors.named(request, response)

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.files:
            raise HTTPException(404, "there is no such file")
        return file_or_unchanged(request, self.files[name])

    async def about(self, request: Request) -> Response:
        return json_response(self._facts(self._now_or_first(request) or await self._now(request)))

    def _facts(self, now: Snapshot) -> About:
        facts = model_facts(now.model, now.session.origin, now.session.setup)
        view = self.view
        return {
            **facts,
            **LIMITS,
            "show": view.show,
            "rescale": view.rescale,
            "gallery": self.gallery,
            "real": self.real,
        }

    async def turn(self, request: Request) -> Response:
        async with self.bodies.read(request, JSON, TURN_BYTES) as content:
            turn = decode(content, Turn)
        others_wait = self.visitors.others_wait(request)
        async with watch_disconnect(request) as gone:
            frame = await self.visitors.use(
                request, lambda seat: seat.turn(turn, gone.is_set, others_wait)
            )
        head = json.dumps(frame.head, allow_nan=False).encode()
        return Response(len(head).to_bytes(4, "big") + head + frame.png, media_type=OCTETS)

    async def fit(self, request: Request) -> Response:
        model = (await self._now(request)).model
        shape, reader = model.data_shape, reader_for(model.pixels)
        async with self.bodies.read(request, OCTETS, FIT_BYTES) as content:
            png = await self._in_encoder(lambda: fitted_png(content, shape, reader))
        return file_response(".png", png)

    async def load(self, request: Request) -> Response:
        async with self.bodies.read(request, JSON, SESSION_BYTES) as content:
            session = await self._in_encoder(lambda: parse_session(content))
        return await self._open(request, session)

    async def saved(self, request: Request) -> Response:
        seat = await self._seat(request)
        digest = seat.now.session.origin.checkpoint_sha256
        found = await self.encoder.do(lambda: seat.saves.numbered(digest))
        entries = [
            {"number": number, "changed": one.changed, "kept": one.kept} for number, one in found
        ]
        return json_response(entries)

    async def open_saved(self, request: Request) -> Response:
        await read_body(request, JSON, SMALL)
        listed = (await self._seat(request)).saves.listed
        numbered = {str(number): path for number, path in enumerate(listed)}
        path = numbered.get(request.path_params["number"])
        if path is None:
            raise HTTPException(404, "there is no such saved session")
        return await self._open(request, await self._in_encoder(lambda: read_session(path)))

    async def _open(self, request: Request, session: Session) -> Response:
        more = request.query_params.get("more") == "1"

        def load(seat: Seat) -> str | None:
            chains = session.setup.batch_size
            if chains > seat.batch_size and not more:
                raise BusyError(
                    f"this session has {chains} chains, the command has {seat.batch_size}"
                )
            seat.load(session)
            return caveat(session.origin, seat.shared.origin)

        return json_response({"ok": True, "warning": await self.visitors.use(request, load)})

    async def moment(self, request: Request) -> Response:
        entries = (await self._now(request)).state.history.stored
        found = {str(entry.moment.version): entry.moment for entry in entries}
        moment = found.get(request.path_params["version"])
        if moment is None:
            raise HTTPException(404, "that moment is no longer in the history")
        return file_response(".png", await self.encoder.do(lambda: thumbnail(moment)))

    async def kept(self, request: Request) -> Response:
        now = await self._now(request)
        found = {str(kept.item): kept for kept in now.state.shelf}
        kept = found.get(request.path_params["item"])
        if kept is None:
            raise HTTPException(404, "there is no such picture on the shelf")
        content = await self.encoder.do(
            lambda: kept_png(now.session.origin, kept, now.model.pixels)
        )
        download = request.query_params.get("download") == "1"
        return file_response(f"{name_of(kept)}.png", content, download)

    async def download(self, request: Request) -> Response:
        name, now = request.scope["path"].removeprefix("/api/"), await self._now(request)
        query = request.query_params
        return file_response(name, await self.encoder.do(lambda: DOWNLOADS[name](now, query)), True)

    async def _seat(self, request: Request) -> Seat:
        """The visitor's chains, which are made or taken back if need be; for what other threads may use."""
        seat = self.visitors.seat_of(request)
        return seat if seat else await self.visitors.use(request, lambda made: made)

    async def _now(self, request: Request) -> Snapshot:
        """The newest snapshot of these chains."""
        return (await self._seat(request)).now

    def _now_or_first(self, request: Request) -> Snapshot | None:
        """As `_now`, but no chains are made; those that new visitors begin with, if there are such."""
        seat = self.visitors.seat_of(request)
        return seat.now if seat else self.visitors.first

    async def _in_encoder(self, work: Callable[[], T]) -> T:
        """Do what may take much memory, which is then returned to the system."""

        def run() -> T:
            try:
                return work()
            finally:
                release_freed_memory()

        return await self.encoder.do(run)
