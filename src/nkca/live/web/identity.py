"""Who sends a request: everyone shares one name, or each browser has one of its own in a cookie."""

import hashlib
import hmac
import secrets
from typing import Protocol

from starlette.requests import Request, cookie_parser
from starlette.responses import Response

from nkca.live.web.guard import port_in


class Identity(Protocol):
    """How visitors are told apart."""

    def of(self, request: Request) -> str | None:
        """The name of the visitor; None: the browser has none yet."""

    def give(self, request: Request, response: Response) -> str:
        """Give the browser a name with this response; returns it."""


class Everyone:
    """All visitors are one."""

    name = "all"

    def of(self, _: Request) -> str | None:
        """The one name."""
        return self.name

    def give(self, _: Request, __: Response) -> str:
        """The one name."""
        return self.name


class ByCookie:
    """Each browser has a random name in a cookie, signed, so that none can be made up and none is stored.

    The secret is new for every server: cookies of an earlier one are worth nothing.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def of(self, request: Request) -> str | None:
        """The name in the first cookie whose signature is right."""
        cookie = _cookie(request)
        for header in request.headers.getlist("cookie"):
            name, _, signature = cookie_parser(header).get(cookie, "").partition(".")
            given, expected = signature.encode("utf-8", "surrogateescape"), self._sign(name)
            if hmac.compare_digest(given, expected.encode()):
                return name
        return None

    def give(self, request: Request, response: Response) -> str:
        """Set a cookie with a new name, which scripts cannot read and other sites do not send."""
        name = secrets.token_urlsafe(18)
        response.set_cookie(
            _cookie(request),
            f"{name}.{self._sign(name)}",
            httponly=True,
            samesite="strict",
            path="/",
        )
        return name

    def _sign(self, name: str) -> str:
        content = name.encode("utf-8", "surrogateescape")
        return hmac.new(self._secret, content, hashlib.sha256).hexdigest()


def _cookie(request: Request) -> str:
    """Browsers send a cookie to every port of a host, so its name has the port."""
    return f"nkca-visitor-{port_in(request)}"
