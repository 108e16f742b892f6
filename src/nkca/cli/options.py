"""What the commands share: one-line errors, options made from the config, output."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from nkca.config.schema import DURATIONS, OPTIONS, SIZES, TYPES
from nkca.errors import InputError
from nkca.networks import compilation
from nkca.system.files import claimed_directory, fresh_directory
from nkca.version import __version__

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Command(click.Command):
    """A command whose bad input is one line on stderr and exit code 2, never a traceback."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> Any:
        """Run and exit: 0 when done, 2 on bad input, 130 when interrupted."""
        name = self.name or "nkca"
        try:
            result = super().main(args, name, standalone_mode=False)
            sys.exit(result if isinstance(result, int) else 0)
        except click.ClickException as error:
            fail(name, error.format_message())
        except InputError as error:
            fail(name, str(error))
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            fail(name, f"{error.strerror or error}{where}")
        except (click.Abort, KeyboardInterrupt):
            if _has_the_word():
                click.echo(f"{name}: interrupted", err=True)
            sys.exit(130)


def fail(name: str, message: str) -> None:
    """Print one line, on one of several processes (see `nkca.distributed.launch`), and exit with code 2."""
    if _has_the_word():
        click.echo(f"{name}: error: {' '.join(message.split())}", err=True)
    sys.exit(2)


def _has_the_word() -> bool:
    if "WORLD_SIZE" not in os.environ:
        return True
    from nkca.distributed.launch import has_the_word

    return has_the_word()


def command(
    name: str, ignore_unknown_options: bool = False
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare one of the four commands."""

    def declare(function: Callable[..., Any]) -> click.Command:
        function = click.version_option(__version__, prog_name=name)(function)
        settings = {
            "help_option_names": ["-h", "--help"],
            "max_content_width": 100,
            "ignore_unknown_options": ignore_unknown_options,
        }
        return click.command(name, cls=Command, context_settings=settings)(function)

    return declare


def config_options() -> Decorator:
    """One flag for each option of the run's config; what is not given is None."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, option in reversed(OPTIONS.items()):
            flag = f"--{name.replace('_', '-')}"
            default = option.default
            text = option.metadata["help"]
            if TYPES[name] is bool:
                declaration, metavar, is_flag = f"{flag}/--no-{flag[2:]}", None, True
            else:
                declaration, metavar, is_flag = flag, _metavar(name), False
            if default not in (None, "", (), False):
                shown = list(default) if isinstance(default, tuple) else default
                text += f"  [default: {shown}]"
            function = click.option(
                declaration, name, metavar=metavar, is_flag=is_flag, default=None, help=text
            )(function)
        return function

    return decorate


def _metavar(name: str) -> str:
    choices = OPTIONS[name].metadata["choices"]
    if choices:
        return "|".join(map(str, choices))
    text = str(TYPES[name])
    if "tuple" in text:
        return "LIST"
    if name in DURATIONS:
        return "TIME"
    if name in SIZES:
        return "SIZE"
    if "Literal" in text:
        return "INT|auto"
    return "INT" if "int" in text else "NUMBER" if "float" in text else "TEXT"


def schedule_options() -> Decorator:
    """The options that say how a chain runs to make samples; what is not given is None."""
    return _options(
        click.option(
            "--max-sampling-noise",
            "--noise-level-max",
            type=float,
            metavar="LEVEL",
            help="Level where the chain starts.  [default: 1; for variants of an image 0.5]",
        ),
        click.option(
            "--min-sampling-noise",
            "--noise-level-min",
            type=float,
            metavar="LEVEL",
            help="Level where the chain ends.  [default: the lowest that was trained]",
        ),
        click.option(
            "--num-sampling-steps",
            type=click.IntRange(min=0),
            metavar="N",
            help="Transitions of the chain.  [default: 100]",
        ),
        click.option("--lag", type=float, metavar="NUMBER", help="Lag w.  [default: the run's]"),
        click.option(
            "--visualize",
            type=click.Choice(["z", "x"]),
            help="Show the denoised picture z or the noisy state x.  [default: z]",
        ),
    )


def computing_options() -> Decorator:
    """Where, how precisely and how much at once."""
    return _options(
        click.option(
            "--batch-size",
            type=click.IntRange(min=1),
            default=64,
            show_default=True,
            metavar="N",
            help="Images at once; does not change the results.",
        ),
        device_options(),
    )


def device_options() -> Decorator:
    """Where and how precisely."""
    return _options(
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda", "mps"]),
            default="auto",
            show_default=True,
            help="Where to compute.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["fp32", "bf16", "fp16"]),
            help="Arithmetic of the network.  [default: fp32]",
        ),
        click.option(
            "--compile",
            type=click.Choice(OPTIONS["compile"].metadata["choices"]),
            default="auto",
            show_default=True,
            expose_value=False,
            callback=lambda _context, _option, choice: compilation.choose(choice),
            help=OPTIONS["compile"].metadata["help"],
        ),
    )


def _options(*options: Decorator) -> Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def chosen_directory(save_dir: Path) -> Path:
    """``save_dir``, or one beside it, with a line on stderr, where it holds something already."""
    directory = fresh_directory(save_dir)
    if directory != save_dir:
        click.echo(f"{save_dir} holds something already; writing to {directory}", err=True)
    return directory


@contextmanager
def output_directory(save_dir: Path) -> Iterator[Path]:
    """As `chosen_directory`; no other process gets it, and what is made and stays empty is removed."""
    with claimed_directory(save_dir) as directory:
        if directory != save_dir:
            click.echo(f"{save_dir} holds something already; writing to {directory}", err=True)
        yield directory


@contextmanager
def messages(quiet: bool = False, silent: bool = False) -> Iterator[None]:
    """Show what the library logs on stderr, above a progress bar if there is one.

    Args:
        quiet: only warnings and errors.
        silent: nothing, as another process shows the same.
    """
    from tqdm import tqdm

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tqdm.write(self.format(record), file=sys.stderr)

    level = logging.WARNING if quiet else logging.INFO
    handler = Handler(logging.CRITICAL + 1 if silent else level)
    logger = logging.getLogger("nkca")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does; what is ignored stays ignored."""

    def receive(number: int, _: FrameType | None) -> None:
        if number != signal.SIGTERM:
            _silence()
        raise KeyboardInterrupt

    with _heard(("SIGTERM", "SIGHUP"), receive):
        yield


@contextmanager
def _heard(
    names: Sequence[str], receive: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Call ``receive`` for these signals while the block runs, but for those that are ignored."""
    numbers = [
        getattr(signal, name) for name in names if hasattr(signal, name)
    ]  # Windows: no SIGHUP
    heard = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, receive) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silence() -> None:
    """The terminal is gone: what would be printed there goes nowhere instead of failing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


@contextmanager
def stop_on_signal(silent: bool = False) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGINT, SIGTERM or SIGHUP came; a second one ends at once.

    What is ignored stays ignored: under nohup, SIGHUP. After SIGHUP the terminal is gone: what would
    be printed there goes nowhere instead of failing.
    """
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        if number not in (signal.SIGINT, signal.SIGTERM):
            _silence()
        if not silent:
            click.echo("\nstopping after this step; once more to stop at once", err=True)

    with _heard(("SIGINT", "SIGTERM", "SIGHUP"), receive):
        yield lambda: bool(received)
