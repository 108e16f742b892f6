"""The HTTP routes around one desk.

POST /api/turn, /api/fit, /api/session      what people do
GET  /api/about, and files to take away     what there is; changes nothing
GET  /, /static/...                         the page
"""

import importlib.resources
import json
from collections.abc import Callable
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nkca.data.decode import MAX_SIDE, probe
from nkca.errors import out_of_memory_advice
from nkca.live.chains import events as do
from nkca.live.session.export import kept_png, name_of
from nkca.live.session.file import MAX_BYTES, Session, caveat, parse_session
from nkca.live.web.desk import Desk, Frame, Turn, parse_turn
from nkca.live.web.downloads import DOWNLOADS, Snapshot, describe
from nkca.live.web.errors import ERRORS, Survival
from nkca.live.web.frames import View, thumbnail
from nkca.live.web.guard import Access, Guard
from nkca.live.web.requests import JSON, OCTETS, read_body, read_json, watched
from nkca.live.web.responses import file_answer, json_answer
from nkca.live.web.worker import Worker
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures
from nkca.sampling.inputs import fit_content

T = TypeVar("T")
TURN_BYTES, FIT_BYTES = 8 << 20, 32 << 20
LIMITS = {"max_upload_bytes": FIT_BYTES, "max_session_bytes": MAX_BYTES}
MAX_PIXELS = 64_000_000  # of a picture to be fitted
SHELVING = (do.Keep, do.Remove, do.Restore, do.Move)


def make_app(
    desk: Desk,
    worker: Worker,
    access: Access,
    view: View | None = None,
    on_change: Callable[[Desk, bool], None] | None = None,
) -> Starlette:
    """The server of a desk.

    Args:
        worker: of one thread; nothing else may touch the desk from now on.
        view: what pages show first.
        on_change: called by the worker when the shelf has changed, and, with True, before another
            session takes the place of this one.
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
    guards = [Middleware(Guard, access), Middleware(Survival)]
    app = Starlette(routes=routes, middleware=guards, exception_handlers=ERRORS)
    app.router.redirect_slashes = False
    return app


class _Served:
    """The endpoints, and what they share.

    What is taken away is made of ``now``, a value, in other threads than the worker's: nobody waits
    for a step who only wants to look.
    """

    def __init__(
        self, desk: Desk, worker: Worker, view: View, on_change: Callable[[Desk, bool], None] | None
    ) -> None:
        self.desk, self.worker, self.view, self.on_change = desk, worker, view, on_change
        self.encoder = Worker(threads=2)
        self.files = page_files()
        self.now = Snapshot(desk.session, desk.explorer.story)

    async def page(self, _: Request) -> Response:
        return file_answer("index.html", self.files["index.html"])

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.files:
            raise HTTPException(404, "there is no such file")
        return file_answer(name, self.files[name])

    async def about(self, _: Request) -> Response:
        about = describe(self.desk.model, self.desk.origin, self.now.session.setup)
        view = {"show": self.view.show, "rescale": self.view.rescale}
        return json_answer(about | view | LIMITS)

    async def turn(self, request: Request) -> Response:
        turn = parse_turn(await read_json(request, TURN_BYTES))
        async with watched(request) as gone:
            frame = await self._on_desk(lambda: self._turn(turn, gone.is_set))
        head = json.dumps(frame.head, allow_nan=False).encode()
        return Response(len(head).to_bytes(4, "big") + head + frame.png, media_type=OCTETS)

    async def fit(self, request: Request) -> Response:
        content = await read_body(request, OCTETS, FIT_BYTES)
        shape = self.desk.model.data_shape
        return file_answer(".png", await self.encoder.do(lambda: fitted_png(content, shape)))

    async def load(self, request: Request) -> Response:
        content = await read_body(request, JSON, MAX_BYTES)
        session = await self.encoder.do(lambda: parse_session(content))
        warning = caveat(session.origin, self.desk.origin)
        await self._on_desk(lambda: self._load(session))
        return json_answer({"ok": True, "warning": warning})

    async def moment(self, request: Request) -> Response:
        entries = self.now.story.history.entries
        found = {str(entry.moment.version): entry.moment for entry in entries}
        moment = found.get(request.path_params["version"])
        if moment is None:
            raise HTTPException(404, "that moment is not remembered")
        return file_answer(".png", await self.encoder.do(lambda: thumbnail(moment)))

    async def kept(self, request: Request) -> Response:
        now = self.now
        found = {str(kept.item): kept for kept in now.story.shelf}
        kept = found.get(request.path_params["item"])
        if kept is None:
            raise HTTPException(404, "there is no such picture on the shelf")
        content = await self.encoder.do(lambda: kept_png(now.session.origin, kept))
        download = request.query_params.get("download") == "1"
        return file_answer(f"{name_of(kept)}.png", content, download)

    async def download(self, request: Request) -> Response:
        name, now = request.scope["path"].removeprefix("/api/"), self.now
        return file_answer(name, await self.encoder.do(lambda: DOWNLOADS[name](now)), True)

    async def _on_desk(self, work: Callable[[], T]) -> T:
        def noted() -> T:
            try:
                with out_of_memory_advice("(start again with a smaller --batch-size)"):
                    return work()
            finally:
                self.now = Snapshot(self.desk.session, self.desk.explorer.story)

        return await self.worker.do(noted)

    def _turn(self, turn: Turn, gone: Callable[[], bool]) -> Frame:
        if gone() and not turn.events:
            return Frame({}, b"")
        frame = self.desk.turn(turn, gone)
        if self.on_change and any(isinstance(event, SHELVING) for event in turn.events):
            self.on_change(self.desk, False)
        return frame

    def _load(self, session: Session) -> None:
        if self.on_change:
            self.on_change(self.desk, True)
        self.desk.load(session)


def fitted_png(content: bytes, data_shape: tuple[int, int, int]) -> bytes:
    """A picture file of any size as a PNG of the model's size (C, H, W).

    Raises:
        HTTPException: if it has too many pixels (413).
        InputError: if it is no picture.
    """
    found = probe(content)
    if max(found.width, found.height) > MAX_SIDE or found.width * found.height > MAX_PIXELS:
        raise HTTPException(413, f"{found.width}x{found.height} is more than 64 million pixels")
    with out_of_memory_advice("(the picture is too large)"):
        picture, _ = fit_content(content, data_shape)
    return png_bytes(as_pictures(picture.unsqueeze(0))[0])


def page_files() -> dict[str, bytes]:
    """The parts of the page by name, read once: no name in a request reaches the file system."""
    folder = importlib.resources.files("nkca.live") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
