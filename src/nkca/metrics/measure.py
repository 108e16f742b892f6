"""Collect the features of each set once, score them: a report."""

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from nkca.distributed.ranks import Ranks
from nkca.metrics.caveats import too_few
from nkca.metrics.collect import Collecting, collect, fill
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.extractors.contract import Description, Extractor
from nkca.metrics.image_sets import ArrayImages
from nkca.metrics.measurement import Measurement
from nkca.metrics.report import Report
from nkca.metrics.scores.score import Scores, check_comparable, score
from nkca.metrics.statistics import Statistics
from nkca.pixels import as_tensor
from nkca.system.device import choose_device

ROLES = ("samples", "reference", "train", "held_out")
ORDER = ROLES[1:] + ROLES[:1]  # samples last: they take the longest
UNKNOWN = Description("unknown", "", "the statistics file does not say")


def compare(
    samples: npt.NDArray[np.uint8],
    reference: npt.NDArray[np.uint8],
    features: str = "inception",
    train: npt.NDArray[np.uint8] | None = None,
    device: str = "auto",
) -> Scores:
    """All scores of pictures (N, H, W, C) in memory against others, C = 1, 3 or 4.

    Args:
        features: the extractor, as for nkca-metrics.
        train: what the samples may be copies of.

    Raises:
        InputError: if the extractor cannot be had here.
    """
    where = choose_device(device)
    extractor, options = open_extractor(features, where), Collecting(where, None)

    def seen(pictures: npt.NDArray[np.uint8]) -> Statistics:
        return collect(ArrayImages(as_tensor(pictures)), extractor, options)

    return score(seen(samples), seen(reference), None if train is None else seen(train))


def make_report(
    measurement: Measurement,
    extractor: Extractor | None,
    options: Collecting,
    progress: Callable[[str, float, int], None] = lambda _what, _done, _total: None,
) -> tuple[Report, dict[str, Statistics]]:
    """Measure.

    Args:
        extractor: None where everything is statistics already.
        progress: called with (what is done, images done, total) for what is not in the cache.

    Returns:
        The report, and the statistics of each role.

    Raises:
        InputError: before anything is computed, if statistics of another extractor are among them.
    """
    _check_statistics(measurement, extractor, options)
    statistics: dict[str, Statistics] = {}
    collected: dict[int, Statistics] = {}
    for role in ORDER:
        subject = measurement.subjects.get(role)
        if subject is None:
            continue
        if isinstance(subject, Statistics):
            collected[id(subject)] = subject
        elif id(subject) not in collected:
            assert extractor is not None
            tell = partial(progress, f"features of {role.replace('_', '-')}")
            collected[id(subject)] = collect(subject, extractor, options, tell)
        statistics[role] = collected[id(subject)]
    scores = score(
        statistics["samples"],
        statistics.get("reference"),
        statistics.get("train"),
        statistics.get("held_out"),
        partial(progress, "scores"),
    )
    used = UNKNOWN if extractor is None else extractor.description
    used = statistics["samples"].extractor or used
    warnings = (*measurement.warnings, *too_few(statistics, used))
    protocol = {role: statistics[role].images or {} for role in ROLES if role in statistics}
    return Report(scores, used, protocol, warnings), statistics


def extract_together(
    measurement: Measurement,
    extractor: Extractor | None,
    options: Collecting,
    ranks: Ranks,
    progress: Callable[[str, float, int], None] = lambda _what, _done, _total: None,
) -> None:
    """Put all features into the cache, each rank some; `make_report` on the first rank finds them.

    Raises:
        InputError: as `make_report` does.
    """
    _check_statistics(measurement, extractor, options)
    done: set[int] = set()
    for role in ORDER:
        subject = measurement.subjects.get(role)
        if subject is None or isinstance(subject, Statistics) or id(subject) in done:
            continue
        assert extractor is not None
        tell = partial(progress, f"features of {role.replace('_', '-')}")
        fill(subject, extractor, options, ranks, tell)
        done.add(id(subject))


def _check_statistics(
    measurement: Measurement, extractor: Extractor | None, options: Collecting
) -> None:
    """Compare statistics with each other, and with what the extractor makes of one black image."""
    subjects = measurement.subjects.values()
    known = [subject for subject in subjects if isinstance(subject, Statistics)]
    sizes = [s.about["size"] for s in subjects if not isinstance(s, Statistics)]
    if extractor is not None and known and sizes:
        width, height = sizes[0]
        black = torch.zeros(1, 3, height, width, dtype=torch.uint8, device=options.device)
        dimensions = extractor(black).features.shape[1]
        known.append(
            Statistics(np.zeros((1, dimensions), np.float32), extractor=extractor.description)
        )
    for one, other in itertools.combinations(known, 2):
        check_comparable(one, other)
