"""The flags of nkca-sample: those that go together, and as a request."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nkca.cli.options import as_written
from nkca.errors import InputError
from nkca.version import __version__

if TYPE_CHECKING:
    from nkca.sampling.request import SampleRequest


def given_options() -> set[str]:
    """The names of the parameters that the command line of this command gives."""
    context = click.get_current_context()
    return {
        name
        for name, value in context.params.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE and value != ()
    }


def refuse_others(*allowed: str, because: str) -> None:
    """Raise `InputError` if the command line of this command has an option that is not ``allowed``."""
    given = given_options()
    for parameter in click.get_current_context().command.params:
        name = parameter.name or ""
        if name in given and name not in allowed:
            raise InputError(f"{because}: leave out {as_written(name)}")


def request_of(like: Path | None, given: dict[str, Any]) -> "SampleRequest":
    """The request of ``--like``, if any, changed by the flags; with the hash of the file that made it."""
    from nkca.cli.sheet_options import refuse_files_beside, take_sheet
    from nkca.data.listing import IMAGE_EXTENSIONS
    from nkca.demo import model_name
    from nkca.models.checkpoint import find_checkpoint
    from nkca.sampling.label_masks import names_labels
    from nkca.sampling.request import SampleRequest, read_request_settings

    take_sheet(given)
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if Path(given.get("checkpoint", "")).suffix.lower() in IMAGE_EXTENSIONS:
        raise InputError(f"{given['checkpoint']} is a picture; the checkpoint comes first")
    seeding = {name: given.pop(name, None) for name in ("seeds", "seed", "num_samples")}
    if "checkpoint" in given:
        file = find_checkpoint(given["checkpoint"])
        given["checkpoint"] = model_name(file) or str(file.absolute())
    if "images" in given:
        given["images"] = tuple(str(Path(image).absolute()) for image in given["images"])
    for name in ("inpainting_mask", "coarse_from", "upscale", "grey_from", "directions_file"):
        if name in given and not names_labels(given[name]):
            given[name] = str(Path(given[name]).absolute())
    before = read_request_settings(like) if like else {}
    options = {**before, **given}
    refuse_files_beside(options.get("sheet"))
    if "checkpoint" not in options:
        raise InputError("no checkpoint given: nkca-sample CKPT ... (or --like=PNG)")
    if not like or any(value is not None for value in seeding.values()):
        options["seeds"] = _seeds(**seeding, with_images=bool(options.get("images")))
    return SampleRequest(**{**options, "version": __version__})


def _seeds(seeds: str | None, seed: int | None, num_samples: int | None, with_images: bool) -> str:
    """The seeds of a request: as they were given, or so many from the first one."""
    from nkca.sampling.request import parse_seeds

    if seeds is None:
        first, count = seed or 0, num_samples or (1 if with_images else 16)
        return f"{first}-{first + count - 1}" if count > 1 else str(first)
    if seed is not None:
        raise InputError("give --seeds or --seed, not both")
    count = sum(map(len, parse_seeds(seeds)))
    if num_samples not in (None, count):
        raise InputError(
            f"--seeds names {count}, but --num-samples is {num_samples}: leave that out"
        )
    return seeds
