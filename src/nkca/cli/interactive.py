"""nkca-interactive: explore the chain live in a browser."""

import contextlib
import logging
import os
import secrets
import shlex
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nkca.cli.command import Choice, command, needs
from nkca.cli.options import as_written, device_options
from nkca.cli.progress import messages
from nkca.cli.signals import signals_interrupt
from nkca.errors import InputError
from nkca.system.allocator import keep_freed_memory
from nkca.system.threads import wait_briefly

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from torch import Tensor

    from nkca.live.session.file import Precision
    from nkca.live.web.autosave import Autosave
    from nkca.live.web.guard import Access
    from nkca.live.web.messages import Show
    from nkca.live.web.shared_explorer import SharedExplorer
    from nkca.models.model import Model

CONNECTIONS = 256
logger = logging.getLogger("nkca")


@command("nkca-interactive")
@click.argument("checkpoint", metavar="CKPT")
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
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@device_options()
def main(
    host: str,
    port: int,
    token: bool,
    no_browser: bool,
    visualize: "Show",
    rescale: bool,
    session: Path | None,
    **given: Any,
) -> None:
    """Explore the chains of the model in CKPT, a checkpoint file or a run's directory, in a browser.

    \b
    nkca-interactive demo                              the model in the package
    nkca-interactive runs/photos                       sixteen chains from noise
    nkca-interactive runs/photos cat.png dog.png       they start from these pictures
    nkca-interactive runs/photos --session=cat.json    a session again
    """
    needs("msgspec", "starlette", "uvicorn")
    from nkca.live.web.address import access_for, listen
    from nkca.live.web.autosave import Autosave
    from nkca.live.web.messages import View
    from nkca.live.web.server import make_app
    from nkca.live.web.worker import Worker

    keep_freed_memory()
    wait_briefly()
    with messages(), signals_interrupt():
        shared = _shared_explorer(session=session, **given)
        listener = listen(host, port)
        access = access_for(listener, host, token)
        saved = Autosave()
        app = make_app(shared, Worker(), access, View(visualize, rescale), saved)
        address = _announce(listener, access)
        opened = None if no_browser else _open_browser(address)
        _serve(app, listener)
        with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
            if opened is not None:
                opened.unlink(missing_ok=True)
            saved(shared)
            _print_saved(saved, given["checkpoint"])
        os._exit(0)  # now, whatever the worker is doing


def _shared_explorer(
    checkpoint: str, session: Path | None, device: str, compile: str, **given: Any
) -> "SharedExplorer":
    from nkca.live.chains.explorer import Setup
    from nkca.live.session.file import MAX_BATCH, Origin, caveat, read_session
    from nkca.live.web.shared_explorer import SharedExplorer
    from nkca.models.build import restore
    from nkca.models.checkpoint import find_checkpoint, read_checkpoint

    if len(given["images"]) > MAX_BATCH:
        raise InputError(f"at most {MAX_BATCH} pictures, got {len(given['images'])}")
    loaded = read_session(session) if session is not None else None
    if loaded is not None:
        for name, value in given.items():
            if value not in (None, ()):
                raise InputError(f"--session has its own settings: leave out {as_written(name)}")
        given |= {"precision": loaded.origin.precision}
    precision: Precision = given["precision"] or "fp32"
    read, sha256 = read_checkpoint(checkpoint)
    model = restore(
        read,
        str(checkpoint),
        device=device,
        precision=precision,
        lag=given["lag"],
        compile=compile,
    )
    file, lag = find_checkpoint(checkpoint), model.chain.lag
    origin = Origin(file.name, sha256, model.data_shape, lag, precision, model.device.type)
    setup = Setup(
        given["batch_size"] or 16, given["seed"] or 0, images=_pictures(model, given["images"])
    )
    shared = SharedExplorer(model, origin, setup, epoch=secrets.randbelow(1 << 30))
    if loaded is not None:
        shared.load(loaded)
        shared.notice = caveat(loaded.origin, origin)
        if shared.notice:
            logger.warning(shared.notice)
    return shared


def _pictures(model: "Model", images: tuple[Path, ...]) -> "Tensor | None":
    import torch

    from nkca.data.categories import reader_for
    from nkca.sampling.inputs import fit_picture

    reader = reader_for(model.pixels)
    fitted = [fit_picture(image, model.data_shape, reader) for image in images]
    for _, done in fitted:
        if done:
            logger.info(done)
    return torch.stack([picture for picture, _ in fitted]) if fitted else None


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
