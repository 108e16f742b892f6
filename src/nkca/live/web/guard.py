"""Access control: only our own pages, and with --token only those that have the token.

A page of another site can send requests here as well, and read the answers if a name of that site leads
here (DNS rebinding). So a request must call the server by one of its own names, and must not come from a
page of another origin; only following a link to the page itself may. (What changes anything also has a
body that forms cannot send; see `nkca.live.web.requests`.)
"""

import ipaddress
import re
import secrets
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nkca.live.web.responses import error_answer

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?")
_NO_TOKEN = "the token is missing or wrong: open the address that nkca-interactive printed"
_PAGE = """<!doctype html>
<html lang="en-GB"><meta charset="utf-8"><title>nkca</title>
<p>This page needs a token: open the address that nkca-interactive printed, with all that follows
the question mark.</p>
<p>If you did just that, <a href="/">go on here</a>.</p>
</html>
"""  # after a link on another site the browser keeps the new cookie back until a click on this page


@dataclass(frozen=True)
class Access:
    """Who may talk to the server.

    Args:
        names: that it may be called by, in lower case, without port (ssh may forward another one).
        by_address: it may also be called by any IP address.
        token: what all must know, if anything.
    """

    names: frozenset[str] = LOOPBACK
    by_address: bool = False
    token: str | None = None

    def knows(self, name: str) -> bool:
        """Whether ``name``, in lower case, is a name of this server."""
        return name in self.names or (self.by_address and _is_address(name))

    def admits(self, token: str) -> bool:
        """Whether this is the token, compared in constant time."""
        expected = (self.token or "").encode()
        return secrets.compare_digest(token.encode("utf-8", "surrogateescape"), expected)


class Guard:
    """Lets through what `Access` allows, and adds the headers that bind the browser."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_bound(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._check(Request(scope)) or self.app
        await answer(scope, receive, send_bound)

    def _check(self, request: Request) -> Response | None:
        """The answer to a request that goes no further."""
        host = request.headers.getlist("host")
        called = _HOST.fullmatch(host[0].lower()) if len(host) == 1 else None
        if called is None or not self.access.knows(called[1]):
            return error_answer(403, "this is not an address of nkca-interactive")
        if not (_is_link(request) or _is_own(request, host[0])):
            return error_answer(403, "pages of other sites may not come here")
        if self.access.token is None:
            return None
        cookie = f"nkca-{called[2] or 80}"
        given = request.query_params.get("token")
        if given is not None and request.method == "GET" and request.scope["path"] == "/":
            return self._greet(request, given, cookie)
        if any(map(self.access.admits, _tokens(request, cookie))):
            return None
        return _unauthorised(request)

    def _greet(self, request: Request, token: str, cookie: str) -> Response:
        if not self.access.admits(token):
            return _unauthorised(request)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(cookie, token, httponly=True, samesite="strict", path="/")
        return answer


def _unauthorised(request: Request) -> Response:
    if request.scope["path"] == "/":
        return HTMLResponse(_PAGE, 401)
    return error_answer(401, _NO_TOKEN)


def _is_own(request: Request, host: str) -> bool:
    """Whether no browser says that a page of another origin sends this."""
    origins = request.headers.getlist("origin")
    own = {f"{scheme}://{host.lower()}" for scheme in ("http", "https")}
    sites = request.headers.getlist("sec-fetch-site")
    return {origin.lower() for origin in origins} <= own and set(sites) <= {"same-origin", "none"}


def _is_link(request: Request) -> bool:
    """Whether a browser opens the page itself, from wherever."""
    followed = [request.headers.getlist(f"sec-fetch-{name}") for name in ("mode", "dest")]
    plain = request.method == "GET" and "origin" not in request.headers
    return plain and request.scope["path"] == "/" and followed == [["navigate"], ["document"]]


def _tokens(request: Request, cookie: str) -> list[str]:
    found = [cookie_parser(header).get(cookie, "") for header in request.headers.getlist("cookie")]
    for header in request.headers.getlist("authorization"):
        scheme, _, token = header.partition(" ")
        if scheme.lower() in ("bearer", "token"):
            found.append(token.strip())
    return found


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
