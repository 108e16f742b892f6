"""nkca-metrics: scores of samples against images, and tests of the chain."""

import contextlib
import functools
import json
import shlex
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nkca.cli.command import command, needs
from nkca.cli.metrics_flags import (
    Asked,
    Keep,
    check_stats_file,
    parse_levels,
    refuse_old_spelling,
    request_of,
)
from nkca.cli.options import computing_options, output_directory, schedule_options
from nkca.cli.progress import ProgressBar, messages
from nkca.cli.signals import signals_interrupt
from nkca.config.parsing import OPTIONS
from nkca.config.schema import FITS
from nkca.errors import InputError
from nkca.system.allocator import keep_freed_memory
from nkca.system.files import write_text
from nkca.system.threads import wait_briefly

if TYPE_CHECKING:
    from nkca.distributed.ranks import Ranks
    from nkca.metrics.collect import CollectOptions
    from nkca.metrics.extractors.contract import Extractor
    from nkca.metrics.measurement import Measurement


@command("nkca-metrics")
@click.argument("samples", metavar="CKPT|IMAGES|STATS")
@click.argument("reference", required=False, metavar="[IMAGES|STATS|CKPT]")
@click.option(
    "--save-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("metrics"),
    help="Where metrics.json goes; if that is not empty, DIR-2 ... is made.  [default: metrics]",
)
@click.option(
    "--num-samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many samples.  [default: as many as the reference has, of demo:model 64]",
)
@click.option(
    "--features",
    metavar="NAME|FILE",
    help="inception, efficientnet-lite0, dinov2, clip, pixels, timm:NAME, or a program of torch.export "
    "(.pt2) that you trust.  "
    "[default: inception; of a statistics file, its own; of demo:model, the best that is here]",
)
@click.option(
    "--features-weights",
    "--inception-weights",
    "weights",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Its weights, where they cannot be downloaded.  [default: NKCA_INCEPTION_WEIGHTS, caches]",
)
@click.option("--train", metavar="IMAGES", help="Training images, to find copies of them.")
@click.option(
    "--held-out",
    metavar="IMAGES",
    help="Images not trained on.  [default: the reference, if it is not the training images]",
)
@click.option(
    "--full-depth",
    is_flag=True,
    help="Compare a categorical model with images as they are, not rounded to its levels.",
)
@click.option(
    "--reference",
    "old_spelling",
    is_flag=False,
    flag_value="",
    hidden=True,
    is_eager=True,
    expose_value=False,
    callback=lambda _context, _option, value: refuse_old_spelling(value),
)
@click.option("--resize", metavar="N|HxW", help="Size of files: N x N, or height x width.")
@click.option(
    "--fit",
    type=click.Choice(FITS),
    default="crop",
    show_default=True,
    help=OPTIONS["fit"].metadata["help"],
)
@click.option(
    "--save-stats",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="NPZ",
    help="Also save the statistics of the reference (alone: of the images).",
)
@click.option(
    "--stats-only",
    is_flag=True,
    help="Save no features with --save-stats: a small file, for FID alone.",
)
@schedule_options()
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="INT",
    help="Seed of the first sample.",
)
@computing_options()
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Where decoded images and features are kept.  [default: NKCA_CACHE or the user's cache]",
)
@click.option("--cache/--no-cache", default=True, help="Keep them for later.  [default: on]")
@click.option(
    "--chain",
    is_flag=True,
    help="Study the chain instead: is it stationary and reversible, and how fast does it move?",
)
@click.option(
    "--chain-levels",
    default="0.1,0.3,0.6",
    show_default=True,
    metavar="LIST",
    help="Noise levels at which it runs.",
)
@click.option(
    "--chain-steps",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="N",
    help="Steps at each level.",
)
@click.option(
    "--chain-images",
    type=click.IntRange(min=4),
    default=256,
    show_default=True,
    metavar="N",
    help="Chains, each from another image.",
)
@click.option(
    "--likelihood",
    is_flag=True,
    help="Measure the bits per dimension of the images under a categorical model instead.",
)
@click.option("--quiet", "-q", is_flag=True, help="Only warnings and errors; no table.")
def main(
    save_dir: Path,
    features: str | None,
    weights: Path | None,
    save_stats: Path | None,
    stats_only: bool,
    chain: bool,
    likelihood: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Measure samples against images: FID, IS, KID, precision, recall, density, coverage, copies.

    \b
    nkca-metrics demo:model demo:images                      the model in the package, the images there
    nkca-metrics runs/photos photos/ --save-dir=metrics      a model's samples against a folder
    nkca-metrics photos_a/ photos_b.zip                      two sets of images
    nkca-metrics photos/ --save-stats=ref.npz                statistics, once
    nkca-metrics runs/photos ref.npz                         and used again
    nkca-metrics runs/photos photos/ --chain                 is the chain stationary?
    nkca-metrics runs/sprites held-out/ --likelihood         bits per dimension, of palettes and labels

    After Ctrl-C the same command continues where it stopped.
    """
    from nkca.distributed.launch import joined
    from nkca.distributed.ranks import ALONE

    needs("scipy", "matplotlib")
    keep_freed_memory()
    wait_briefly()
    keep = check_stats_file(save_stats, stats_only)
    for name in ("chain",) * chain + ("likelihood",) * likelihood:
        if keep or not given["reference"] or (chain and likelihood):
            raise InputError(
                f"--{name} needs images, saves no statistics: nkca-metrics CKPT IMAGES --{name}"
            )
    is_of_scores = not chain and not likelihood  # the others are done by one process
    levels = parse_levels(given["chain_levels"])
    request = request_of(given)
    asked = Asked(request, given, features, weights, save_dir)
    advice = "what was done is kept, unless --no-cache was given: the same command goes on"
    with (
        joined(request.device, advice) as ranks,
        signals_interrupt(),
        messages(quiet, silent=not ranks.is_first),
        ProgressBar(quiet or not ranks.is_first) as show,
        contextlib.ExitStack() as stack,
    ):
        if not is_of_scores and not ranks.is_first:
            return
        job = _prepare(asked, ranks if is_of_scores else ALONE, show, stack, not likelihood)
        if not ranks.is_first:
            return
        if likelihood:
            text, written = _count_bits(job, given)
        else:
            text, written = _study(job, levels, given) if chain else _measure(job, keep)
    if not quiet:
        click.echo(text + "\n\n" + "\n".join(map(str, written)))


@dataclass(frozen=True)
class _Job:
    """What both kinds of measurement need."""

    measurement: "Measurement"
    extractor: "Extractor | None"
    collecting: "CollectOptions"
    directory: Path
    command: str
    show: ProgressBar


def _prepare(
    asked: Asked,
    ranks: "Ranks",
    show: ProgressBar,
    stack: contextlib.ExitStack,
    has_features: bool = True,
) -> _Job:
    """Open all that is asked for; of several ranks each extracts its share of the features, too."""
    from nkca.data.dataset import configured_cache_dir
    from nkca.metrics.collect import CollectOptions
    from nkca.metrics.extractors.by_name import open_extractor
    from nkca.metrics.measure import extract_together
    from nkca.metrics.measurement import open_measurement
    from nkca.system.device import choose_device

    request, cache_dir = asked.request, configured_cache_dir(asked.request.data)
    device = choose_device(request.device)
    measurement = ranks.first_then_others(lambda: open_measurement(request, show.on_decode))
    name = asked.features or measurement.extractor_name or "inception"
    extractor = ranks.first_then_others(
        lambda: (
            None
            if measurement.has_only_statistics or not has_features
            else open_extractor(
                name, device, weights=asked.weights, download_progress=not show.quiet
            )
        )
    )
    if ranks.count > 1 and cache_dir is None:
        cache_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nkca-")))
    directory = Path()
    if ranks.is_first:
        directory = stack.enter_context(output_directory(asked.save_dir))
    job = _Job(
        measurement=measurement,
        extractor=extractor,
        collecting=CollectOptions(device, cache_dir, asked.given["batch_size"]),
        directory=directory,
        command=shlex.join(["nkca-metrics", *sys.argv[1:]]),
        show=show,
    )
    if ranks.count > 1:
        extract_together(measurement, extractor, job.collecting, ranks, show)
    return job


def _measure(job: _Job, keep: "Keep | None") -> tuple[str, list[Path]]:
    """Score and save; returns the table and the files."""
    from nkca.metrics.measure import make_report
    from nkca.metrics.report import save_closest_pairs, save_report, table
    from nkca.metrics.statistics import save_statistics

    try:
        report, statistics = make_report(job.measurement, job.extractor, job.collecting, job.show)
    except KeyboardInterrupt:
        if job.collecting.cache_dir is not None:
            click.echo("\nwhat was done is kept; the same command continues from there", err=True)
        raise
    report = replace(report, command=job.command)
    written = save_report(report, job.directory)
    written += save_closest_pairs(report, job.measurement, job.directory)
    if keep is not None:
        kept = statistics.get("reference", statistics["samples"])
        if not keep.features:
            kept = replace(kept, features=None, logits=None, moments=kept.gaussian())
        save_statistics(keep.path, kept)
        written.append(keep.path)
    return table(report), written


def _study(job: _Job, levels: tuple[float, ...], given: dict[str, Any]) -> tuple[str, list[Path]]:
    """Study the chain and save; returns the table and the files."""
    from nkca.diagnostics.findings import StudyOptions
    from nkca.diagnostics.page import study_measurement

    options = StudyOptions(
        levels=levels,
        steps=given["chain_steps"],
        images=given["chain_images"],
        batch_size=given["batch_size"],
        seed=given["seed"],
    )
    page = study_measurement(job.measurement, job.extractor, job.collecting, options, job.show)
    page = replace(page, command=job.command)
    return page.table(), page.save(job.directory)


def _count_bits(job: _Job, given: dict[str, Any]) -> tuple[str, list[Path]]:
    """Measure the bits per dimension and save; returns the line and the file."""
    from nkca.metrics.likelihood import code_length_of

    show = functools.partial(job.show, "bits per dimension", unit="evaluations")
    found = code_length_of(job.measurement, given["seed"], given["batch_size"], show)
    path = job.directory / "likelihood.json"
    write_text(path, json.dumps({**asdict(found), "command": job.command}, indent=2) + "\n")
    lines = [str(found), *(f"warning: {warning}" for warning in job.measurement.warnings)]
    return "\n".join(lines), [path]


if __name__ == "__main__":
    main()
