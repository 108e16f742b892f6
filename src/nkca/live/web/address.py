"""The listening socket, and the addresses that lead to it."""

import contextlib
import ipaddress
import secrets
import socket

from nkca.errors import InputError
from nkca.live.web.guard import LOOPBACK, Access

PORT = 8000
BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is `PORT` or, where that is taken, any that is free.

    Raises:
        InputError: if it cannot be.
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
    # TCP by name: only then does asyncio send small answers at once (TCP_NODELAY), not 40 ms later.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(made)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where reuse means to share a port
            door.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(place)
        door.listen(BACKLOG)
        stack.pop_all()
        return door


def access_at(door: socket.socket, host: str, token: bool) -> Access:
    """Who may come in; from other machines only those with a token.

    Args:
        host: what the socket was made for.
        token: ask those on this machine for it as well.
    """
    here = ipaddress.ip_address(door.getsockname()[0].partition("%")[0]).is_loopback
    secret = secrets.token_urlsafe(24) if token or not here else None
    if here:
        return Access(LOOPBACK | {_in_url(host)}, token=secret)
    own = {socket.gethostname(), socket.getfqdn(), f"{socket.gethostname()}.local", host}
    return Access(LOOPBACK | {_in_url(name) for name in own}, by_address=True, token=secret)


def addresses(door: socket.socket, access: Access) -> list[str]:
    """Where to go on this machine, and, if it listens everywhere, from another one."""
    place, port = door.getsockname()[:2]
    everywhere = ipaddress.ip_address(place.partition("%")[0]).is_unspecified
    hosts = ["127.0.0.1", socket.gethostname()] if everywhere else [_in_url(place)]
    query = f"?token={access.token}" if access.token else ""
    return [f"http://{host}:{port}/{query}" for host in hosts]


def _in_url(host: str) -> str:
    return f"[{host}]".lower() if ":" in host else host.lower()
