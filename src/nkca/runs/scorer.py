"""Scores of a model in training: samples of its averaged weights against real images, at intervals.

It is the code of nkca-metrics on few samples. The best weights are those with the lowest kernel
distance (KID), which is unbiased, so that evaluations with different numbers of samples compare.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nkca.config.image_size import image_size
from nkca.config.schema import RunConfig
from nkca.data.cache import DecodedImages
from nkca.data.dataset import configured_cache_dir, load_dataset
from nkca.demo import dataset_path
from nkca.distributed.ranks import ALONE, GivenUpError, Ranks
from nkca.errors import InputError
from nkca.metrics.collect import CollectOptions, collect, extract_features, fill_cache
from nkca.metrics.extractors.by_name import best_extractor, open_extractor
from nkca.metrics.extractors.contract import Array, Extractor
from nkca.metrics.image_sets import ImageFiles, ImageSet, ImageSubset, SampleOptions, Samples
from nkca.metrics.scores.frechet import frechet_distance
from nkca.metrics.scores.kernel_distance import kernel_distance
from nkca.metrics.scores.moments import moments_of
from nkca.metrics.statistics import Statistics
from nkca.models.model import Model
from nkca.sampling.tasks import Schedule

logger = logging.getLogger("nkca")

REFERENCE_IMAGES = 2048
EVAL_BATCH = 64  # images at once, at most; no more than training takes
FEWEST_SAMPLES = 16  # with fewer a score is noise


@dataclass(frozen=True)
class Score:
    """One evaluation: KID and FID of ``samples`` samples."""

    kid: float
    fid: float
    samples: int


@dataclass(frozen=True)
class Scorer:
    """What all evaluations of a run share.

    Args:
        samples: of one evaluation, always from the same seeds.
        seconds: an estimate for one evaluation.
        limit: seconds after which an evaluation is given up; None: never.
    """

    extractor: Extractor
    reference: Statistics
    options: CollectOptions
    schedule: Schedule
    samples: int
    seconds: float
    limit: float | None

    def announcement(self) -> str:
        """What an evaluation is and how long it takes, for the log."""
        limit = "" if self.limit is None else f", given up after {self.limit:g} s"
        return (
            f"each evaluation: {self.samples} samples of {self.schedule.num_steps} steps against "
            f"{self.reference.count} images by {self.extractor.description.name}, about "
            f"{self.seconds:.1f} s{limit}"
        )

    def features(
        self, model: Model, should_stop: Callable[[], bool] = lambda: False, ranks: Ranks = ALONE
    ) -> Tensor | None:
        """Sample and extract, each rank its share: (samples, D) float32 on all of them.

        None where the time limit passed or ``should_stop()`` was True on any rank.
        """
        deadline = None if self.limit is None else time.monotonic() + self.limit

        def watch(_done: float, _total: int) -> None:
            if should_stop() or (deadline is not None and time.monotonic() > deadline):
                raise GivenUpError

        samples = _samples(model, self.schedule, self.samples)

        def make(rows: range) -> Tensor:
            batches = extract_features(
                ImageSubset(samples, rows), self.extractor, self.options, watch
            )
            return torch.cat([batch.features.float().cpu() for batch in batches])

        return ranks.together(make, self.samples)

    def compare(self, features: Array) -> Score:
        """The score of samples' features (N, D).

        Raises:
            InputError: if there are fewer than two, or they are not finite.
        """
        assert self.reference.features is not None
        return Score(
            kid=kernel_distance(features, self.reference.features).mean,
            fid=frechet_distance(moments_of(features).gaussian(), self.reference.gaussian()),
            samples=len(features),
        )


def prepare_scorer(
    model: Model,
    images: DecodedImages,
    config: RunConfig,
    part_size: int,
    ranks: Ranks = ALONE,
) -> Scorer:
    """Read or compute the reference's features, and measure how long an evaluation takes.

    Without a cache each rank takes them all.

    Args:
        part_size: images that training takes at once on this rank, for which there is memory.

    Raises:
        InputError: if the extractor or the images cannot be had, or ``eval_time`` is too short.
    """
    cadence = config.cadence
    height, width = model.data_shape[1:]
    wanted = cadence.eval_features
    name = best_extractor(height, width) if wanted == "auto" else wanted
    extractor = open_extractor(name, model.device)
    batch_size = min(EVAL_BATCH, int(-ranks.max(-part_size)))  # the same on all ranks
    options = CollectOptions(model.device, configured_cache_dir(config.data), batch_size)
    steps = cadence.eval_sampling_steps
    schedule = Schedule(num_steps=model.sampling.num_sampling_steps if steps is None else steps)
    still, moving = ranks.maxima(*_seconds_per_batch(model, extractor, options, schedule))
    at_once = options.batch_size * ranks.count
    samples = _affordable(cadence.eval_samples, at_once, moving, cadence.eval_time)
    reference = _reference(model, images, config, ranks)
    if ranks.count > 1 and options.cache_dir is not None:
        fill_cache(reference, extractor, options, ranks)
    seconds = still * len(reference) / at_once
    logger.info(
        "features of %d images to compare with, by %s: %.0f s, once", len(reference), name, seconds
    )
    scorer = Scorer(
        extractor=extractor,
        reference=ranks.first_then_others(lambda: collect(reference, extractor, options)),
        options=options,
        schedule=schedule,
        samples=samples,
        seconds=moving * samples / at_once,
        limit=cadence.eval_time,
    )
    assert scorer.reference.features is not None
    began = time.monotonic()
    scorer.compare(scorer.reference.features[:samples])
    return replace(scorer, seconds=scorer.seconds + time.monotonic() - began)


def _affordable(wanted: int, batch_size: int, seconds: float, limit: float | None) -> int:
    """As many samples as fit into two thirds of the time, the rest in reserve for slower moments."""
    if limit is None:
        return wanted
    fit = int(limit / 1.5 / seconds * batch_size)
    if fit < min(FEWEST_SAMPLES, wanted):
        raise InputError(
            f"an evaluation of {min(FEWEST_SAMPLES, wanted)} samples takes more than eval_time="
            f"{limit:g} s: raise eval_time or lower eval_sampling_steps"
        )
    return min(wanted, fit)


def _seconds_per_batch(
    model: Model, extractor: Extractor, options: CollectOptions, schedule: Schedule
) -> tuple[float, float]:
    """Seconds for a full batch without any transition, and with those of the schedule.

    Two transitions are timed, after a warm-up.
    """
    times = []
    for steps in (0, 0, 2):
        samples = _samples(model, Schedule(num_steps=steps), options.batch_size)
        began = time.monotonic()
        for batch in extract_features(samples, extractor, options):
            batch.features.cpu()
        times.append(time.monotonic() - began)
    _, still, moving = times
    transitions = len(schedule.levels(model)) - 1
    return still, still + max(0.0, moving - still) / 2 * transitions


def _samples(model: Model, schedule: Schedule, count: int) -> Samples:
    return Samples(model, ("", ""), count, SampleOptions(schedule))


def _reference(model: Model, images: DecodedImages, config: RunConfig, ranks: Ranks) -> ImageSet:
    """At most `REFERENCE_IMAGES`, spread evenly over the set, as the model sees them."""
    name = config.cadence.eval_dataset
    if name:
        channels, height, width = model.data_shape
        size = image_size(height, width)
        data = replace(config.data, dataset=name, resize=size, channels=channels)
        images = ranks.first_then_others(lambda: load_dataset(data))
    pixels = None if model.pixels.is_lossless else model.pixels
    files = ImageFiles(images, dataset_path(name or config.data.dataset), pixels)
    stride = -(-len(files) // REFERENCE_IMAGES)
    return ImageSubset(files, range(0, len(files), stride)) if stride > 1 else files
