"""Collect the features of each set once and score them."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from nkca.config.data import DataConfig
from nkca.distributed.ranks import Ranks
from nkca.errors import InputError
from nkca.metrics.caveats import sample_size_warnings
from nkca.metrics.collect import CollectOptions, Subject, collect, fill_cache
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.extractors.contract import Description, Extractor
from nkca.metrics.image_sets import ArrayImages
from nkca.metrics.measurement import Measurement, open_measurement
from nkca.metrics.report import Report
from nkca.metrics.request import MeasureRequest
from nkca.metrics.scores.score import Scores, check_comparable, score
from nkca.metrics.statistics import Statistics
from nkca.pixels import as_tensor, check_images
from nkca.system.device import choose_device

ROLES = ("samples", "reference", "train", "held_out")
ORDER = ROLES[1:] + ROLES[:1]  # samples last, because they take longest
Source = str | Path | Statistics | npt.ArrayLike
UNKNOWN = Description("unknown", "", "the statistics file does not say")


def measure(
    samples: Source,
    reference: Source,
    *,
    features: str | None = None,
    train: Source | None = None,
    num_samples: int | None = None,
    device: str = "auto",
) -> Scores:
    """All scores of samples against a reference, as in nkca-metrics; nothing is written or cached.

    Args:
        samples, reference: the path of a checkpoint or its run's directory, of a folder, zip or tar of
            images, or of an .npz of statistics; "demo:model" or "demo:images"; `Statistics`; or images,
            uint8 (N, H, W, C), C = 1, 3 or 4, or anything that NumPy reads so. Compared with a
            checkpoint, images must have its size and channels.
        features: the name of the extractor; None: that of given statistics, else inception.
        train: the training images, which samples may copy; given as ``reference`` is.
        num_samples: of a checkpoint; None: as many as the reference has.

    Returns:
        The scores; ``warnings`` says what speaks against them, as the command's report does.

    Raises:
        InputError: if something is missing, of the wrong shape, or does not fit together.
    """
    if num_samples is not None and num_samples < 1:
        raise InputError(f"num_samples must be 1 or more, got {num_samples}")
    where = choose_device(device)
    request = MeasureRequest(
        _as_subject(samples, "samples"),
        _as_subject(reference, "reference"),
        None if train is None else _as_subject(train, "train"),
        num_samples=num_samples,
        device=device,
        data=DataConfig(cache=False),
    )
    measurement = _as_model_sees(open_measurement(request))
    extractor = None
    if not measurement.has_only_statistics:
        extractor = open_extractor(features or measurement.extractor_name or "inception", where)
    report, _ = make_report(measurement, extractor, CollectOptions(where, None))
    return report.scores


def _as_subject(source: Source, role: str) -> str | Subject:
    """What a `MeasureRequest` accepts for this source."""
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, Statistics):
        return source
    return ArrayImages(as_tensor(check_images(source, role)))


def _as_model_sees(measurement: Measurement) -> Measurement:
    """The measurement with arrays rounded to the levels of its model; their size must be the model's."""
    model = measurement.model
    if model is None:
        return measurement
    channels, height, width = model.data_shape
    subjects = dict(measurement.subjects)
    for role, subject in measurement.subjects.items():
        if not isinstance(subject, ArrayImages):
            continue
        if subject.images.shape[1:] != model.data_shape:
            _, *found = subject.images.movedim(1, -1).shape
            raise InputError(
                f"{role} must be ({height}, {width}, {channels}) each, as the model's, got "
                f"{tuple(found)}"
            )
        if not model.pixels.is_lossless:
            seen = model.pixels.to_uint8(model.pixels.to_state(subject.images))
            subjects[role] = replace(subject, images=seen)
    return replace(measurement, subjects=subjects)


def make_report(
    measurement: Measurement,
    extractor: Extractor | None,
    options: CollectOptions,
    progress: Callable[[str, float, int], None] = lambda _what, _done, _total: None,
) -> tuple[Report, dict[str, Statistics]]:
    """Collect the statistics of all subjects and score them.

    Args:
        extractor: None if all subjects are statistics.
        progress: called with (current work, images done, total); not for cached features.

    Returns:
        The report, and the statistics of each role.

    Raises:
        InputError: before anything is computed, if given statistics are of another extractor.
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
    warnings = (*measurement.warnings, *sample_size_warnings(statistics, used))
    protocol = {role: statistics[role].images or {} for role in ROLES if role in statistics}
    return Report(replace(scores, warnings=warnings), used, protocol), statistics


def extract_together(
    measurement: Measurement,
    extractor: Extractor | None,
    options: CollectOptions,
    ranks: Ranks,
    progress: Callable[[str, float, int], None] = lambda _what, _done, _total: None,
) -> None:
    """Compute all features into the cache, shared among ranks; `make_report` on the first reads them.

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
        fill_cache(subject, extractor, options, ranks, tell)
        done.add(id(subject))


def _check_statistics(
    measurement: Measurement, extractor: Extractor | None, options: CollectOptions
) -> None:
    """Check that statistics are comparable with each other and with features of one black image."""
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
