"""What nkca-metrics does: prepare a measurement, score, and save."""

import contextlib
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import click

from nkca.cli.metrics_flags import Asked, Keep
from nkca.cli.options import output_directory
from nkca.cli.progress import ProgressBar
from nkca.data.dataset import configured_cache_dir
from nkca.distributed.ranks import Ranks
from nkca.metrics.collect import CollectOptions
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.extractors.contract import Extractor
from nkca.metrics.measure import extract_together, make_report
from nkca.metrics.measurement import Measurement, open_measurement
from nkca.metrics.report import save_closest_pairs, save_report, table
from nkca.metrics.request import MeasureRequest
from nkca.metrics.statistics import save_statistics
from nkca.system.device import choose_device


@dataclass(frozen=True)
class Job:
    """What all kinds of measurement need."""

    request: MeasureRequest
    measurement: Measurement
    extractor: Extractor | None
    collecting: CollectOptions
    directory: Path
    command: str
    show: ProgressBar


def prepare(
    asked: Asked,
    ranks: Ranks,
    show: ProgressBar,
    stack: contextlib.ExitStack,
    has_features: bool = True,
) -> Job:
    """Open all that is asked for; of several ranks each extracts its share of the features, too."""
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
    job = Job(
        request=request,
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


def measure(job: Job, keep: Keep | None) -> tuple[str, list[Path]]:
    """Score and save; returns the table and the files."""
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
