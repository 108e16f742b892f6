"""nkca-metrics: scores of samples against images, and tests of the chain."""

import contextlib
from pathlib import Path
from typing import Any

import click

from nkca.cli.command import command, needs
from nkca.cli.metrics_flags import (
    HAS_FEATURES,
    Asked,
    check_stats_file,
    other_work,
    refuse_old_spelling,
    request_of,
)
from nkca.cli.options import computing_options, schedule_options
from nkca.cli.progress import ProgressBar, messages
from nkca.cli.signals import signals_interrupt
from nkca.config.data import FITS
from nkca.config.parsing import OPTIONS
from nkca.system.allocator import keep_freed_memory
from nkca.system.threads import wait_briefly


@command("nkca-metrics")
@click.argument("samples", metavar="CKPT|IMAGES|STATS")
@click.argument("reference", required=False, metavar="[IMAGES|STATS|CKPT]")
@click.argument("others", nargs=-1, metavar="[OTHER]...")
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
    help="How many samples, or images for --likelihood and --anomaly.  "
    "[default: as many as the reference has, of demo:model 64]",
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
    help="Measure the bits per dimension of the images under the model instead.",
)
@click.option(
    "--anomaly",
    is_flag=True,
    help="Measure how well the model tells images of each OTHER from those of the second argument instead.",
)
@click.option(
    "--ppl",
    is_flag=True,
    help="Measure the perceptual path length of the model instead.  [default: --num-samples=500]",
)
@click.option(
    "--equivariance",
    is_flag=True,
    help="Measure whether pictures move with their noise instead.  [default: --num-samples=64]",
)
@click.option("--quiet", "-q", is_flag=True, help="Only warnings and errors; no table.")
def main(
    save_dir: Path,
    features: str | None,
    weights: Path | None,
    save_stats: Path | None,
    stats_only: bool,
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
    nkca-metrics runs/sprites held-out/ --likelihood         bits per dimension of a model
    nkca-metrics runs/photos held-out/ --anomaly others/     what is no such photo?
    nkca-metrics runs/photos --ppl                           how smoothly do pictures change?

    After Ctrl-C the same command continues where it stopped.
    """
    from nkca.cli.metrics_jobs import measure, prepare
    from nkca.cli.metrics_other import OTHER_WORK
    from nkca.distributed.launch import joined
    from nkca.distributed.ranks import ALONE

    needs("scipy", "matplotlib")
    keep_freed_memory()
    wait_briefly()
    keep = check_stats_file(save_stats, stats_only)
    work = other_work(given, keep)  # by one process
    asked = Asked(request_of(given, work), given, features, weights, save_dir)
    advice = "what was done is kept, unless --no-cache was given: the same command goes on"
    with (
        joined(given["device"], advice) as ranks,
        signals_interrupt(),
        messages(quiet, silent=not ranks.is_first),
        ProgressBar(quiet or not ranks.is_first) as show,
        contextlib.ExitStack() as stack,
    ):
        if work and not ranks.is_first:
            return
        job = prepare(asked, ALONE if work else ranks, show, stack, work in HAS_FEATURES)
        if not ranks.is_first:
            return
        text, written = OTHER_WORK[work](job, given) if work else measure(job, keep)
    if not quiet:
        click.echo(text + "\n\n" + "\n".join(map(str, written)))


if __name__ == "__main__":
    main()
