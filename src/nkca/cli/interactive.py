"""nkca-interactive: explore the chain live in a browser."""

import contextlib
import logging
import os
import shlex
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nkca.cli.command import Choice, command, needs
from nkca.cli.options import device_options
from nkca.cli.progress import messages
from nkca.cli.signals import signals_interrupt
from nkca.errors import InputError
from nkca.system.allocator import keep_freed_memory
from nkca.system.threads import wait_briefly

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from nkca.live.web.autosave import Autosave
    from nkca.live.web.guard import Access
    from nkca.live.web.messages import Show

CONNECTIONS = 256
logger = logging.getLogger("nkca")


@command("nkca-interactive")
@click.argument("checkpoint", metavar="[CKPT]", required=False)
@click.argument("images", nargs=-1, metavar="[IMAGE]...", type=click.Path(path_type=Path))
@click.option(
    "--visualize",
    type=Choice(["finished", "z", "x", "both"]),
    default="finished",
    show_default=True,
    help="Show where each chain would end, the denoised picture z, the noisy state x, or both.",
)
@click.option("--rescale", is_flag=True, help="Stretch the contrast of each picture.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Chains side by side.  [default: 16]",
)
@click.option("--lag", type=float, metavar="NUMBER", help="Lag w.  [default: the run's]")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**53 - 1),
    metavar="INT",
    help="The same seed and actions give the same pictures.  [default: 0]",
)
@click.option(
    "--session",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Replay a saved session, then continue it.",
)
@click.option(
    "--per-visitor",
    is_flag=True,
    help="Give each browser chains of its own, not all the same ones.",
)
@click.option(
    "--max-visitors",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Browsers at a time with --per-visitor.  [default: 8]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="NKCA_HOST",
    show_envvar=True,
    metavar="NAME",
    help="Address to listen on; with 0.0.0.0 other machines that have the token can connect.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    envvar="NKCA_PORT",
    show_envvar=True,
    help="Port to listen on.  [default: 8000, or another that is free]",
)
@click.option(
    "--token", is_flag=True, help="Admit only browsers that have the address with its token."
)
@click.option(
    "--real",
    metavar="DIR",
    help="Real pictures, such as held-out ones (a folder, zip or tar): the page offers a test whether "
    "a person tells them from the model's.",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@device_options()
def main(
    host: str,
    port: int,
    token: bool,
    no_browser: bool,
    visualize: "Show",
    rescale: bool,
    per_visitor: bool,
    max_visitors: int | None,
    real: str | None,
    **given: Any,
) -> None:
    """Explore the chains of the model in CKPT, a checkpoint file or a run's directory, in a browser.
    Without CKPT the page begins with a gallery: the models in the package and the runs in this folder.

    \b
    nkca-interactive                                   choose a model in the page
    nkca-interactive demo                              the model in the package
    nkca-interactive runs/photos                       sixteen chains from noise
    nkca-interactive runs/photos cat.png dog.png       they start from these pictures
    nkca-interactive runs/photos --session=cat.json    a session again
    """
    needs("msgspec", "starlette", "uvicorn")
    from nkca.cli.interactive_models import Asked, each_visitor, one_visitor
    from nkca.data.listing import list_images
    from nkca.demo import measured_path
    from nkca.live.web.address import access_for, listen
    from nkca.live.web.autosave import Autosave
    from nkca.live.web.messages import View
    from nkca.live.web.server import make_server

    if max_visitors is not None and not per_visitor:
        raise InputError("--max-visitors needs --per-visitor")
    asked = Asked(**given)
    keep_freed_memory()
    wait_briefly()
    with messages(), signals_interrupt():
        pictures = None if real is None else list_images(measured_path(real))
        saved = Autosave()
        visitors = each_visitor(asked, max_visitors) if per_visitor else one_visitor(asked, saved)
        listener = listen(host, port)
        access = access_for(listener, host, token)
        app = make_server(visitors, access, View(visualize, rescale), pictures)
        address = _announce(listener, access)
        opened = None if no_browser else _open_browser(address)
        _serve(app, listener)
        with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
            if opened is not None:
                opened.unlink(missing_ok=True)
            visitors.save_all()
            _print_saved(saved, asked.checkpoint or "CKPT")
        os._exit(0)  # now, whatever the worker is doing


def _announce(listener: socket.socket, access: "Access") -> str:
    """Print where the page is; returns the address on this machine."""
    from nkca.live.web.address import addresses

    here, *elsewhere = addresses(listener, access)
    click.echo(f"nkca-interactive: {here}   (Ctrl-C ends)")
    for address in elsewhere:
        click.echo(f"  from another machine: {address}")
    if "SSH_CONNECTION" in os.environ and not access.by_address:
        port = listener.getsockname()[1]
        there = f"{os.environ.get('USER', 'USER')}@{socket.gethostname()}"
        click.echo(f"  from another machine: ssh -L {port}:127.0.0.1:{port} {there}")
    return here


def _open_browser(address: str) -> Path | None:
    """Open the page, if there is a screen and not just a terminal's browser; never fails.

    Returns the file that was opened instead of an address with a token.
    """
    from nkca.live.web.address import redirect_file

    if sys.platform not in ("win32", "darwin"):
        shown = any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
        if not shown or "SSH_CONNECTION" in os.environ:
            return None
    file = None
    if "?" in address:
        try:
            file = redirect_file(address)
        except OSError as error:
            logger.warning("cannot open a browser, open the address: %s", error.strerror)
            return None
    where = file.as_uri() if file else address
    threading.Thread(target=webbrowser.open, args=[where], daemon=True).start()
    return file


def _serve(app: "ASGIApp", listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; in a thread, so that signals are handled at once."""
    import uvicorn

    from nkca.live.web.uvicorn_timeout import HeadTimeoutProtocol

    config = uvicorn.Config(
        app,
        http=HeadTimeoutProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # its warnings are about malformed requests
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        limit_concurrency=CONNECTIONS,
    )
    server = threading.Thread(target=uvicorn.Server(config).run, args=[[listener]], daemon=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.start()
        while server.is_alive():
            server.join(0.5)
        raise InputError("the server has stopped")


def _print_saved(saved: "Autosave", checkpoint: str) -> None:
    """Print which files were saved, and that the command ends."""
    for path in saved.written:
        click.echo(f"\nThe session is in {path}; to make its pictures again:")
        click.echo(f"  nkca-sample {shlex.quote(checkpoint)} --replay {shlex.quote(str(path))}")
    click.echo("\nnkca-interactive: ended")


if __name__ == "__main__":
    main()
