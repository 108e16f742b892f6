"""The options of nkca-sample whose result is a sheet of pictures."""

from collections.abc import Mapping
from typing import Any

import click

from nkca.cli.options import Decorator, group
from nkca.cli.sample_flags import given_options, refuse_others
from nkca.errors import InputError

SHEETS = ("interpolate", "explore", "fan", "directions", "pages", "pick", "select")
ALWAYS = (
    *("checkpoint", "save_dir", "overwrite", "like", "seed", "quiet"),
    *("device", "precision", "compile", "batch_size", *SHEETS),
)
WAY = (
    *("min_sampling_noise", "num_sampling_steps", "sampler", "ladder", "guidance"),
    *("corrector_steps", "lag", "temperature"),
)
ALSO: Mapping[str, tuple[str, ...]] = {  # all that goes with a sheet besides `ALWAYS`
    "interpolate": ("images", "lag"),
    "explore": ("num_samples", "max_sampling_noise", *WAY),
    "directions": WAY,
}
NEVER = ("save_grid", "save_intermediate", "save_animation")  # what goes with no sheet
SEEDED = ("explore", "fan")  # their value is an image or a seed


def sheet_options() -> Decorator:
    """Tasks whose result is a sheet."""
    return group(
        click.option(
            "--interpolate", metavar="N", help="N frames from the first image to the second."
        ),
        click.option(
            "--explore",
            metavar="IMAGE|SEED",
            help="Redraw one band of noise levels in each row.",
        ),
        click.option("--fan", metavar="IMAGE|SEED", help="Variants by level: how far is far."),
        click.option("--pages", metavar="ROWSxCOLUMNS", help="Numbered pages of samples."),
        click.option("--pick", metavar="LIST", help="The samples of these numbers, in this order."),
        click.option(
            "--directions",
            metavar="N",
            help="N main directions of the bottleneck, for --move.",
        ),
        click.option(
            "--move", metavar="K:AMOUNT", help="Move samples along directions: 3:+2 or 1:-1,3:2."
        ),
        click.option("--directions-file", metavar="FILE", help="The file that --directions wrote."),
        click.option("--select", metavar="N", help="The N of --num-samples most like --data."),
        click.option("--data", metavar="DIR", help="Images to select by; or demo, demo-emoji."),
    )


def take_sheet(given: dict[str, Any]) -> None:
    """Turn the option of a sheet in the command line, if there is one, into fields of a request."""
    values = {name: given.pop(name) for name in SHEETS}
    chosen = [name for name in SHEETS if values[name] is not None]
    if (values["select"] is None) != (given.get("data") is None):
        raise InputError("--select=N and --data=DIR, the images to select by, go together")
    if not chosen:
        return
    if len(chosen) > 1:
        raise InputError(f"--{chosen[0]} and --{chosen[1]} are two tasks: give one of them")
    name, value = chosen[0], values[chosen[0]]
    never = ("images",) if name in SEEDED else ()
    allowed = (*ALWAYS, *ALSO[name]) if name in ALSO else given_options() - set(never)
    refuse_others(*allowed, *NEVER, because=f"--{name} makes a sheet of its own kind")
    if name in SEEDED:
        value = _start_of(name, value, given)
    if name == "pick":
        refuse_seeds = ("seeds", "seed", "num_samples")
        if any(given.get(option) is not None for option in refuse_seeds):
            raise InputError("--pick names the seeds: leave out --seeds, --seed and --num-samples")
        given["seeds"], value = value, ""
    given["sheet"] = f"{name}={value}"


def refuse_files_beside(sheet: str | None) -> None:
    """Raise `InputError` if there is a sheet, which `--like` may name, and `NEVER` are given."""
    if sheet is not None:
        allowed = given_options() - set(NEVER)
        refuse_others(*allowed, because="a sheet is one picture, without files of its samples")


def _start_of(name: str, value: str, given: dict[str, Any]) -> str:
    """Put the image or the seed where a request has it; returns the sheet's own value."""
    count = given.get("num_samples") or 6
    if name == "fan":
        given["num_samples"] = None if given.get("seeds") else count
        if value.isdecimal():
            return value
        given["images"] = (value,)
        return ""
    given["num_samples"] = None
    if value.isdecimal():
        if given.get("seed") is not None:
            raise InputError("--explore names the seed: leave out --seed")
        given["seeds"] = value
    else:
        given["images"] = (value,)
    return str(count)
