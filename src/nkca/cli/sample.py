"""nkca-sample: new images, variants of an image, inpainting."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nkca.cli.command import command
from nkca.cli.help_sections import help_all_option
from nkca.cli.options import (
    chosen_directory,
    computing_options,
    output_directory,
    schedule_options,
)
from nkca.cli.progress import ProgressBar, messages
from nkca.cli.sample_flags import refuse_others, request_of
from nkca.cli.sample_options import (
    SampleCommand,
    known_options,
    mending_options,
    new_image_options,
    repeating_options,
    saving_options,
)
from nkca.cli.sample_truth import read_truth, show_likeness
from nkca.cli.sheet_options import sheet_options
from nkca.cli.sheets import write_sheets
from nkca.errors import InputError
from nkca.system.allocator import keep_freed_memory
from nkca.system.threads import wait_briefly

GIB = 1 << 30

if TYPE_CHECKING:
    from nkca.sampling.request import Outputs, SampleRequest
    from nkca.sampling.sample_files import SampleProgress


@command("nkca-sample", cls=SampleCommand)
@help_all_option()
@click.argument("checkpoint", required=False, metavar="CKPT")
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@new_image_options()
@known_options()
@mending_options()
@repeating_options()
@schedule_options()
@sheet_options()
@saving_options()
@computing_options()
def main(
    save_dir: Path,
    overwrite: bool,
    save_grid: bool,
    save_intermediate: bool,
    save_animation: str | None,
    batch_size: int,
    like: Path | None,
    truth: Path | None,
    replay: Path | None,
    export: Path | None,
    device: str,
    compile: str,
    quiet: bool,
    **given: Any,
) -> None:
    """Draw samples from the model in CKPT, a checkpoint file or a run's directory.

    \b
    nkca-sample demo --save-grid                                         from the model in the package
    nkca-sample runs/photos --num-samples=100 --save-grid                new images
    nkca-sample runs/photos cat.png --max-sampling-noise=0.4             a variant of a picture
    nkca-sample runs/photos cat.png --inpainting-mask=mask.png           repaint what is white
    nkca-sample demo noisy.png --denoise=auto                            an image without its noise
    nkca-sample --like samples/seed_000017.png                           that picture again
    nkca-sample runs/photos --export shared/photos                       the model as a folder to share
    """
    from nkca.sampling.request import Outputs

    keep_freed_memory()
    wait_briefly()
    outputs = Outputs(save_grid, save_intermediate, save_animation)
    computing = _Computing(device, compile, batch_size)
    if export is not None:
        _export(given["checkpoint"], export, quiet)
    elif replay is not None:
        _replay(given["checkpoint"], replay, outputs, save_dir, computing, quiet)
    else:
        request, sources = request_of(like, given), _Sources(like, truth)
        _sample(request, sources, outputs, (save_dir, overwrite), computing, quiet)


@dataclass(frozen=True)
class _Computing:
    """Device, compilation and batch size."""

    device: str
    compile: str
    batch_size: int


@dataclass(frozen=True)
class _Sources:
    """The picture whose request is repeated, and that which a denoised one is compared with."""

    like: Path | None
    truth: Path | None


def _sample(
    request: "SampleRequest",
    sources: _Sources,
    outputs: "Outputs",
    place: tuple[Path, bool],
    computing: _Computing,
    quiet: bool,
) -> None:
    """Make the samples of a request, in ``place``: the directory, and whether it may hold something."""
    from nkca.distributed.launch import joined
    from nkca.models.build import restore
    from nkca.models.checkpoint import read_checkpoint
    from nkca.sampling.plan import plan_samples
    from nkca.sampling.sample_files import make_samples

    with joined(computing.device, "the samples so far are written") as ranks:
        silent = not ranks.is_first
        quiet = quiet or silent
        with messages(quiet, silent):
            checkpoint, sha256 = read_checkpoint(request.checkpoint)
            if sources.like is not None and sha256 != request.checkpoint_sha256 and ranks.is_first:
                said = f"warning: {request.checkpoint} is not the file that made {sources.like}"
                click.echo(said, err=True)
            request = replace(request, checkpoint_sha256=sha256)
            model = restore(
                checkpoint,
                request.checkpoint,
                device=computing.device,
                precision=request.precision,
                lag=request.lag,
                compile=computing.compile,
            )
            if request.sheet is not None:
                make = partial(_directory, *place)
                write_sheets(model, request, make, computing.batch_size, quiet)
                return
            plan = plan_samples(model, request, outputs)
            truth = None if sources.truth is None else read_truth(plan, sources.truth)
            directory = _directory(*place) if ranks.is_first else Path()
            many = f"{request.count():,} pictures"
            if not quiet and (size := plan.largest_size()) > GIB:
                click.echo(f"{many} take up to {size / GIB:,.1f} GiB on the disk", err=True)
            steps = make_samples(plan, directory, computing.batch_size, ranks)
            files = _files(
                steps, quiet, f"{many} take about {{}}; Ctrl-C keeps those that are done"
            )
    if not quiet:
        count = request.count()
        click.echo(f"{count} picture{'s' * (count > 1)} in {directory}")
        also = {
            "grid.png": outputs.grid,
            f"animation.{outputs.animation}": outputs.animation,
            "intermediate": outputs.intermediate,
        }
        for name in (name for name, made in also.items() if made):
            click.echo(f"  {directory / name}")
        if truth is not None:
            show_likeness(plan, truth, files)


def _export(checkpoint: str | None, directory: Path, quiet: bool) -> None:
    """Write the model in a checkpoint as a folder."""
    from nkca.models.checkpoint import export_model

    if checkpoint is None:
        raise InputError("no checkpoint given: nkca-sample CKPT --export=DIR")
    because = "--export writes the model and draws nothing"
    refuse_others("checkpoint", "export", "quiet", because=because)
    made = export_model(checkpoint, directory)
    if not quiet:
        click.echo(f"{made}: complete its README.md, the model card, before you share it")


def _replay(
    checkpoint: str | None,
    replay: Path,
    outputs: "Outputs",
    save_dir: Path,
    computing: _Computing,
    quiet: bool,
) -> None:
    """Replay a session."""
    from nkca.distributed.launch import is_one_of_many
    from nkca.live.session.file import caveat, read_session
    from nkca.live.session.replay import replay_origin, replay_to_files
    from nkca.models.build import restore
    from nkca.models.checkpoint import find_checkpoint, read_checkpoint

    if is_one_of_many():
        raise InputError("--replay is for one process: leave out torchrun")
    if checkpoint is None:
        raise InputError("no checkpoint given: nkca-sample CKPT --replay=JSON")
    refuse_others(
        *("checkpoint", "replay", "save_dir", "save_grid", "save_animation"),
        *("device", "compile", "quiet"),
        because="--replay repeats a session as it was",
    )
    session = read_session(replay)
    file = find_checkpoint(checkpoint)
    with messages(quiet), output_directory(save_dir) as directory:
        precision, lag = session.origin.precision, session.origin.lag
        read, sha256 = read_checkpoint(file)
        model = restore(
            read,
            str(file),
            device=computing.device,
            precision=precision,
            lag=lag,
            compile=computing.compile,
        )
        origin = replay_origin(session, file.name, sha256, model.device.type)
        warning = caveat(session.origin, origin)
        if warning:
            click.echo(f"warning: {warning}", err=True)
        files = _files(replay_to_files(model, origin, session, outputs, directory), quiet)
        if not quiet:
            click.echo(f"{len(files)} picture{'s' * (len(files) > 1)} in {directory}")


def _directory(save_dir: Path, overwrite: bool) -> Path:
    if overwrite:
        save_dir.mkdir(parents=True, exist_ok=True)
        return save_dir
    return chosen_directory(save_dir)


def _files(steps: Iterator["SampleProgress"], quiet: bool, long_work: str = "") -> list[Path]:
    """Take the steps, show how far they are; returns the files that they made."""
    files: list[Path] = []
    with ProgressBar(quiet, long_work) as show:
        for step in steps:
            show("", step.done, step.total, "steps")
            files += step.files
    return files


if __name__ == "__main__":
    main()
