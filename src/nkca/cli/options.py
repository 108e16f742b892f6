"""What the commands share: options, those made from the config too, and output directories."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from nkca.cli.command import Choice
from nkca.config.parsing import DURATIONS, INTERVALS, OPTIONS, SIZES, TYPES
from nkca.config.recipes import RECOMMENDED, RECOMMENDED_VALUES
from nkca.system.files import claimed_directory, fresh_directory

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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
            if (
                default not in (None, "", ()) and default is not False
            ) or name in RECOMMENDED_VALUES:
                text += f"  [default: {_default(name)}]"
            function = click.option(
                declaration, name, metavar=metavar, is_flag=is_flag, default=None, help=text
            )(function)
        return function

    return decorate


def _default(name: str) -> str:
    """As help shows it; of both recipes where they differ."""
    default = OPTIONS[name].default
    shown = _shown(default)
    if name == "recipe":
        return RECOMMENDED
    if name in ("hidden_size", "dim_mults", "patch_size"):
        return f"chosen; with --recipe=paper {shown}"
    if name not in RECOMMENDED_VALUES:
        return shown
    return f"{_shown(RECOMMENDED_VALUES[name])}; with --recipe=paper {shown}"


def _shown(value: Any) -> str:
    """A default as a person would write it."""
    if isinstance(value, tuple):
        return str(list(value))
    if value is None or isinstance(value, bool):
        return "on" if value else "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _metavar(name: str) -> str:
    choices = OPTIONS[name].metadata["choices"]
    if choices:
        return "|".join(map(str, choices))
    text = str(TYPES[name])
    if name == "resize":
        return "N|HxW"
    if "tuple" in text:
        return "LIST"
    if name in INTERVALS:
        return "STEPS|TIME|IMAGES"
    if name in DURATIONS:
        return "TIME"
    if name in SIZES:
        return "SIZE"
    if "Literal" in text:
        return "INT|auto"
    return "INT" if "int" in text else "NUMBER" if "float" in text else "TEXT"


def schedule_options() -> Decorator:
    """The options that say how a chain runs to make samples; what is not given is None."""
    return group(
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
            help="Transitions on the way from the first level to the last.  [default: the run's]",
        ),
        click.option(
            "--sampler",
            type=Choice(OPTIONS["sampler"].metadata["choices"]),
            help="The chain's transitions, or a deterministic way.  [default: the run's]",
        ),
        click.option(
            "--ladder",
            type=Choice(OPTIONS["ladder"].metadata["choices"]),
            help="Levels on the way: linear, or dense where noise is low.  [default: the run's]",
        ),
        click.option(
            "--guidance",
            type=float,
            metavar="G",
            help="How far to move away from the run's weak model; 1: not at all.  [default: the run's]",
        ),
        click.option(
            "--corrector-steps",
            type=click.IntRange(min=0),
            metavar="K",
            help="K transitions of the chain at one level on the way, in addition.  [default: 0]",
        ),
        click.option("--lag", type=float, metavar="NUMBER", help="Lag w.  [default: the run's]"),
        click.option(
            "--visualize",
            type=Choice(["z", "x"]),
            help="Show the denoised picture z or the noisy state x.  [default: z]",
        ),
    )


def computing_options() -> Decorator:
    """Device, precision, compilation and batch size."""
    return group(
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
    """Device, precision and compilation."""
    return group(
        click.option(
            "--device",
            type=Choice(["auto", "cpu", "cuda", "mps"]),
            default="auto",
            show_default=True,
            help="Device to compute on.",
        ),
        click.option(
            "--precision",
            type=Choice(["fp32", "bf16", "fp16"]),
            help="Arithmetic of the network.  [default: fp32]",
        ),
        click.option(
            "--compile",
            type=Choice(OPTIONS["compile"].metadata["choices"]),
            default="auto",
            show_default=True,
            help=OPTIONS["compile"].metadata["help"],
        ),
    )


def group(*options: Decorator) -> Decorator:
    """One decorator that declares all of these options, in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def as_written(name: str) -> str:
    """What a parameter is on the command line: its flag, but for images."""
    return "the images" if name == "images" else f"--{name.replace('_', '-')}"


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
