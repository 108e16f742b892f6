"""Access control: only requests from the server's own page and, with --token, only with the token.

A page of another site can send requests to this server, and can read the responses if its host name
resolves to this server's address (DNS rebinding). So the Host header must be one of the server's names,
and the request must not come from a page of another origin, except a link to the page itself. (Requests
that change anything also need a content type that forms cannot send: `nkca.live.web.requests`.)
"""

import ipaddress
import re
import secrets
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nkca.live.web.responses import error_response

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?")
_NO_TOKEN = "the token is missing or wrong: open the address that nkca-interactive printed"
_PAGE = """<!doctype html>
<html lang="en-GB"><meta charset="utf-8"><title>nkca</title>
<p>This page needs a token: open the complete address that nkca-interactive printed, including the part
after the question mark.</p>
</html>
"""
# After a link from another site, or from a file, a redirect would not carry the new strict cookie.
_ENTER = '<!doctype html><title>nkca</title><meta http-equiv="refresh" content="0; url=/">\n'


@dataclass(frozen=True)
class Access:
    """Which requests the server accepts.

    Args:
        names: accepted host names, in lower case, without port (ssh may forward another port).
        by_address: accept any IP address as host name too.
        token: the required token; None: no token is required.
    """

    names: frozenset[str] = LOOPBACK
    by_address: bool = False
    token: str | None = None

    def accepts_host(self, name: str) -> bool:
        """Whether ``name``, in lower case, is an accepted host name."""
        return name in self.names or (self.by_address and _is_address(name))

    def accepts_token(self, token: str) -> bool:
        """Whether this is the token, compared in constant time."""
        expected = (self.token or "").encode()
        return secrets.compare_digest(token.encode("utf-8", "surrogateescape"), expected)


class Guard:
    """Middleware that refuses what `Access` does not allow and adds security headers to every response."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: refuse it or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        handler = self._check(Request(scope)) or self.app
        await handler(scope, receive, send_with_headers)

    def _check(self, request: Request) -> Response | None:
        """The response that refuses a request, or sets the cookie; None: pass the request on."""
        host = request.headers.getlist("host")
        address = _HOST.fullmatch(host[0].lower()) if len(host) == 1 else None
        if address is None or not self.access.accepts_host(address[1]):
            return error_response(403, "this is not an address of nkca-interactive")
        if not (_is_link(request) or is_own(request)):
            return error_response(403, "requests from pages of other sites are refused")
        if self.access.token is None:
            return None
        cookie = f"nkca-{port_in(request)}"
        given = request.query_params.get("token")
        if given is not None and request.method == "GET" and request.scope["path"] == "/":
            if not self.access.accepts_token(given):
                return _unauthorised(request)
            response = RedirectResponse("/", 303) if is_own(request) else enter()
            response.set_cookie(cookie, given, httponly=True, samesite="strict", path="/")
            return response
        if any(map(self.access.accepts_token, _tokens(request, cookie))):
            return None
        return _unauthorised(request)


def _unauthorised(request: Request) -> Response:
    """Refuse, and close the connection, so that it does not count among those that are accepted."""
    page = request.scope["path"] == "/"
    response = HTMLResponse(_PAGE, 401) if page else error_response(401, _NO_TOKEN)
    response.headers["Connection"] = "close"
    return response


def port_in(request: Request) -> str:
    """The port in the Host header, which the guard has accepted."""
    address = _HOST.fullmatch(request.headers["host"].lower())
    return (address and address[2]) or "80"


def enter() -> Response:
    """A page that leads to the first page, with all cookies, as a redirect from another site would not."""
    return HTMLResponse(_ENTER)


def is_own(request: Request) -> bool:
    """Whether no header says that a page of another origin sent the request."""
    origins, host = request.headers.getlist("origin"), request.headers.get("host", "").lower()
    own = {f"{scheme}://{host}" for scheme in ("http", "https")}
    sites = request.headers.getlist("sec-fetch-site")
    return {origin.lower() for origin in origins} <= own and set(sites) <= {"same-origin", "none"}


def _is_link(request: Request) -> bool:
    """Whether a browser navigates to the page itself, from any site."""
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
