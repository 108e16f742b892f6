"""Draw the sheets of a request, for nkca-sample."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nkca.cli.progress import ProgressBar
from nkca.errors import InputError

if TYPE_CHECKING:
    from nkca.models.model import Model
    from nkca.sampling.request import SampleRequest
    from nkca.sampling.sheets import Drawing


def write_sheets(
    model: "Model",
    request: "SampleRequest",
    directory: Callable[[], Path],
    batch_size: int,
    quiet: bool,
) -> None:
    """Draw the sheets that a request asks for, write each, and say where they are.

    Args:
        directory: makes the directory; it is called when the first sheet is drawn, so bad input makes none.
    """
    from nkca.distributed.launch import is_one_of_many
    from nkca.sampling.sheets import SheetJob

    if is_one_of_many():
        raise InputError("sheets are for one process: leave out torchrun")
    name, _, value = (request.sheet or "").partition("=")
    files: list[Path] = []
    remarks: list[str] = []
    with ProgressBar(quiet) as show:
        job = SheetJob(
            model, request, value, batch_size, lambda share: show("", round(100 * share), 100, "%")
        )
        place: Path | None = None
        for sheet in _drawing(name)(job):
            place = place or directory()
            files += sheet.save(place)
            remarks += [sheet.remark] * bool(sheet.remark)
    if not quiet:
        for line in (*files, *remarks):
            click.echo(line)


def _drawing(name: str) -> "Drawing":
    """What draws the sheets of that name."""
    from nkca.errors import named
    from nkca.sampling.sheets import SHEETS

    if name == "select":
        from nkca.metrics.selection_sheet import selection

        return selection
    return named(SHEETS, name, "sheet")
