"""The listening socket and its URLs."""

import contextlib
import ipaddress
import secrets
import socket
import tempfile
from pathlib import Path

from nkca.errors import InputError
from nkca.live.web.guard import LOOPBACK, Access

PORT = 8000
BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 means `PORT` or, if it is taken, any free port.

    Raises:
        InputError: if the socket cannot be opened.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot listen on {host}: {error}") from None
    if not port:
        with contextlib.suppress(OSError):
            return _bound(family, (place[0], PORT, *place[2:]))
    try:
        return _bound(family, place)
    except OSError as error:
        where = f"{host}, port {port}" if port else host
        raise InputError(f"cannot listen on {where}: {error.strerror or error}") from None


def _bound(family: int, place: tuple[object, ...]) -> socket.socket:
    # With IPPROTO_TCP named, asyncio sets TCP_NODELAY; otherwise small responses wait for 40 ms.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(made)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # on Windows SO_REUSEADDR would share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
        stack.pop_all()
        return listener


def access_for(listener: socket.socket, host: str, token: bool) -> Access:
    """The access rules for a socket; requests to an address other than loopback need a token.

    Args:
        host: the host that `listen` was called with.
        token: require the token on the loopback address too.
    """
    here = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
    secret = secrets.token_urlsafe(24) if token or not here else None
    if here:
        return Access(LOOPBACK | {_in_url(host)}, token=secret)
    own = {socket.gethostname(), socket.getfqdn(), f"{socket.gethostname()}.local", host}
    return Access(LOOPBACK | {_in_url(name) for name in own}, by_address=True, token=secret)


def addresses(listener: socket.socket, access: Access) -> list[str]:
    """The URL for this machine and, if the socket listens on all addresses, one for other machines."""
    place, port = listener.getsockname()[:2]
    everywhere = ipaddress.ip_address(place.partition("%")[0]).is_unspecified
    hosts = ["127.0.0.1", socket.gethostname()] if everywhere else [_in_url(place)]
    query = f"?token={access.token}" if access.token else ""
    return [f"http://{host}:{port}/{query}" for host in hosts]


def redirect_file(address: str) -> Path:
    """A new file, readable by this user alone, that leads a browser to the address.

    The command line of a browser can be read by every user of the machine, so a token must not be on it.
    """
    with tempfile.NamedTemporaryFile("w", prefix="nkca-", suffix=".html", delete=False) as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">\n')
    return Path(file.name)


def _in_url(host: str) -> str:
    return f"[{host}]".lower() if ":" in host else host.lower()
