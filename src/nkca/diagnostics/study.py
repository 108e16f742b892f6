"""Is the chain stationary, is it reversible, how fast does it mix? Run it from data and measure.

At each noise level b:   z = data,   x_0 ~ p(x|z),   then T transitions x_t -> x_(t+1) at b.

x_0 has the noised data distribution, the one that the chain should keep. If a statistic changes with t, the
chain is not stationary (`nkca.diagnostics.drift`, and scores of the shown pictures); if (x_t, x_(t+1))
differs in law from (x_(t+1), x_t), it is not reversible (`nkca.diagnostics.reversibility`, and entropy
production). All measurements share one denoiser evaluation for each step (`nkca.diagnostics.record.walk`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.diagnostics.drift import thresholds
from nkca.diagnostics.findings import ChainReport, LevelReport, StudyOptions
from nkca.diagnostics.record import Judge, LevelRecord, Visit, walk
from nkca.errors import InputError
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed

STARTS = 8  # draws of x_0 from which drift is measured; they need no denoiser evaluation


@dataclass(frozen=True)
class StudyProgress:
    """``done`` of ``total`` denoiser evaluations; the last one has the report."""

    done: int
    total: int
    report: ChainReport | None = None


@torch.no_grad()
def study_chain(
    model: Model, images: Tensor, options: StudyOptions, judge: Judge | None = None
) -> Iterator[StudyProgress]:
    """Study the chain from ``images``; yields progress, the last with the report.

    Args:
        images: uint8 (N, C, H, W), N >= 4, of the data distribution; ``options.images`` of them are
            drawn. The statistical tests assume that they are independent.
        judge: scores the shown pictures; None: they are not scored.

    Raises:
        InputError: if images do not fit the model, or a level is below the lowest it was trained at.
    """
    _check_study(model, images, options)
    order = torch.Generator().manual_seed(derive_seed("chain study", options.seed))
    chosen = images[torch.randperm(len(images), generator=order)[: options.images]]
    batches = math.ceil(len(chosen) / options.batch_size)
    total = len(options.levels) * batches * (options.steps + 1)
    limits = thresholds(model.pixels.to_state(chosen))
    dimensions = math.prod(model.state_shape)
    reports: list[LevelReport] = []
    done = 0
    for level in map(float, options.levels):
        record = LevelRecord(model, options, limits, judge)
        for first in range(0, len(chosen), options.batch_size):
            for visit in _run_batch(model, chosen, first, level, record):
                record.add(first, visit)
                done += 1
                if done < total:
                    yield StudyProgress(done, total)
        reports.append(record.report(level, dimensions))
    report = ChainReport(
        options=options,
        chains=len(chosen),
        dimensions=dimensions,
        lag=model.chain.lag,
        extractor="" if judge is None else judge.extractor.description.name,
        levels=tuple(reports),
    )
    yield StudyProgress(total, total, report)


def _run_batch(
    model: Model, images: Tensor, first: int, level: float, record: LevelRecord
) -> Iterator[Visit]:
    """The visits of the chains from image ``first`` on; their initial states go to the record."""
    options, kernel = record.options, model.chain.kernel
    z = model.pixels.to_state(images[first : first + options.batch_size].to(model.device))
    keys = ((options.seed, str(level), first + row) for row in range(len(z)))
    noise = Noise([derive_seed("chain study", *key) for key in keys])
    p_x = kernel.add_noise(z, torch.full((len(z),), level, device=model.device))
    record.begin([p_x.sample(noise) for _ in range(STARTS)])
    yield from walk(model.chain, p_x.sample(noise), level, options.steps, noise)


def _check_study(model: Model, images: Tensor, options: StudyOptions) -> None:
    if tuple(images.shape[1:]) != model.data_shape or len(images) < 4:
        raise InputError(
            f"a study needs at least 4 images of shape {model.data_shape}, got "
            f"{len(images)} of shape {tuple(images.shape[1:])}"
        )
    low = min(options.levels)
    if low < model.min_noise:
        raise InputError(f"level {low} is below the model's lowest, {model.min_noise}")
