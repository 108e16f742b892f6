"""The HTTP routes of the gallery.

GET  /                          the page with all models
GET  /api/models/N.png          a model's picture
POST /api/models/N              open it for this visitor
"""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nkca.live.web.gallery import Card, Gallery, NoPictureError
from nkca.live.web.identity import Everyone
from nkca.live.web.page import PageFile, first_page
from nkca.live.web.requests import JSON, SMALL, read_body
from nkca.live.web.responses import file_response, json_response
from nkca.live.web.visitors import Visitors
from nkca.live.web.worker import Worker


class GalleryRoutes:
    """The endpoints of the gallery.

    Args:
        page: its HTML.
    """

    def __init__(self, visitors: Visitors, gallery: Gallery, page: PageFile) -> None:
        self.visitors, self.gallery, self.file = visitors, gallery, page
        self.looker, self.painter = Worker(), Worker()

    @property
    def routes(self) -> list[Route]:
        """The routes for an app."""
        return [
            Route("/", self.page),
            Route("/api/models/{number}.png", self.picture),
            Route("/api/models/{number}", self.open, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """GET /."""
        refused = self.visitors.refusal(request)
        if refused:
            return refused
        cards = await self.looker.do(self.gallery.look)
        facts = {
            "models": list(map(_fields, cards)),
            "open": self.visitors.model_of(request),
            "shared": isinstance(self.visitors.identity, Everyone),
        }
        return self.visitors.named(request, first_page(request, self.file, facts))

    async def picture(self, request: Request) -> Response:
        """GET /api/models/N.png."""
        number = self._number(request)
        try:
            content = await self.painter.do(lambda: self.gallery.picture(number))
        except NoPictureError as error:
            raise HTTPException(404, str(error)) from None
        return file_response(".png", content)

    async def open(self, request: Request) -> Response:
        """POST /api/models/N."""
        await read_body(request, JSON, SMALL)
        await self.visitors.open(request, self._number(request))
        return json_response({"ok": True})

    def _number(self, request: Request) -> int:
        """The number in the path, written as pages do; no other text names a model."""
        named = request.path_params["number"]
        for number in range(self.gallery.count):
            if str(number) == named:
                return number
        raise HTTPException(404, "there is no such model in the gallery")


def _fields(card: Card) -> dict[str, Any]:
    """A model as the page reads it."""
    name = "".join(letter if letter.isprintable() else "?" for letter in card.model.name)
    fields = {"number": card.number, "name": name, "packaged": card.model.packaged}
    if card.facts is None:
        return fields | {"problem": card.problem}
    channels, height, width = card.facts.data_shape
    return fields | {
        "size": f"{height} × {width}",
        "colour": {1: "grey", 3: "colour", 4: "colour with transparency"}.get(channels, ""),
        "space": card.facts.space,
        "images": card.facts.images,
        "step": card.facts.step,
        "preview": card.preview,
    }
