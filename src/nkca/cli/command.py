"""A command whose bad input is one line and exit code 2."""

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from nkca.config.other_names import OPTIONS_ELSEWHERE, canonical, instead, names_here
from nkca.errors import InputError, nearest
from nkca.version import __version__

_EXTRAS = {  # packages that some commands need, and the extra that brings them
    **dict.fromkeys(("loky", "psutil", "tensorboard"), "train"),
    **dict.fromkeys(("matplotlib", "scipy"), "metrics"),
    **dict.fromkeys(("msgspec", "starlette", "uvicorn"), "live"),
}


class Command(click.Command):
    """A command whose bad input is one line on stderr and exit code 2, never a traceback."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> Any:
        """Run and exit: 0 when done, 2 on bad input, 130 when interrupted."""
        name = self.name or "nkca"
        try:
            result = super().main(args, name, standalone_mode=False)
            sys.exit(result if isinstance(result, int) else 0)
        except click.NoSuchOption as error:
            fail(name, _no_such_option(self, error.option_name))
        except click.ClickException as error:
            message = error.format_message()
            fail(name, message[:1].lower() + message[1:].rstrip("."))
        except InputError as error:
            fail(name, str(error))
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRAS:
                raise
            fail(name, _not_installed(package))
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            fail(name, f"{error.strerror or error}{where}")
        except (click.Abort, KeyboardInterrupt):
            if _reports_failure():
                click.echo(f"{name}: interrupted", err=True)
            sys.exit(130)


class Choice(click.Choice[str]):
    """A choice whose message says what another program's name for a value is called here."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:  # noqa: ARG002
        """The values there are, and the likeliest of them."""
        known = list(map(str, self.choices))
        return f"{value!r} is not one of {', '.join(known)}{instead(str(value), known)}"


def _no_such_option(command: click.Command, flag: str) -> str:
    """The message for an unknown ``flag``, with the right one where that is clear."""
    said, word = f"no option {flag}", flag.lstrip("-")
    context = click.Context(command, info_name=command.name)
    flags = {
        opt.lstrip("-"): opt
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and not parameter.hidden
        for opt in (*parameter.opts, *parameter.secondary_opts)
    }
    arguments = {
        p.name: p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)
    }
    for ours in names_here(word, OPTIONS_ELSEWHERE):
        name, *value = ours.split("=")
        if name in flags:
            return f"{said}: use {'='.join([flags[name], *value])}"
        if name in arguments:
            return f"{said}: leave it out, {command.name} {' '.join(arguments.values())}"
    lists = "--help-all" if "help-all" in flags else "--help"
    hint = nearest(word, flags).replace("'", "'--", 1)
    return f"{said}{hint or f': {command.name} {lists} lists all'}"


def needs(*packages: str) -> None:
    """Raise `InputError` unless all of these packages of extras are installed; it names the extra."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(_not_installed(package))


def _not_installed(package: str) -> str:
    return f"{package} is not installed: pip install 'nkca[{_EXTRAS[package]}]', or nkca[all]"


def fail(name: str, message: str) -> None:
    """Print one line, on one of several processes (see `nkca.distributed.launch`), and exit with code 2."""
    if _reports_failure():
        click.echo(f"{name}: error: {' '.join(message.split())}", err=True)
    sys.exit(2)


def _reports_failure() -> bool:
    if "WORLD_SIZE" not in os.environ:
        return True
    from nkca.distributed.launch import reports_failure

    return reports_failure()


def command(
    name: str, cls: type[Command] = Command
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare one of the four commands."""

    def declare(function: Callable[..., Any]) -> click.Command:
        function = click.version_option(__version__, prog_name=name)(function)
        settings = {
            "help_option_names": ["-h", "--help"],
            "max_content_width": 100,
            "token_normalize_func": canonical,
        }
        return click.command(name, cls=cls, context_settings=settings)(function)

    return declare
