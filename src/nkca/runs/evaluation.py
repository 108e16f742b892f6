"""Scores and losses of the average, now and then."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from nkca.distributed.ranks import LostRankError
from nkca.distributed.sharing import together
from nkca.errors import InputError
from nkca.models.checkpoint import BEST
from nkca.pixels import as_tensor
from nkca.runs.curves import Curves
from nkca.runs.directory import save
from nkca.runs.run import Run, never
from nkca.system.device import send
from nkca.training.objective import evaluate

logger = logging.getLogger("nkca")

EVALUATION_IMAGES = 256


def save_evaluation(run: Run, curves: Curves, should_stop: Callable[[], bool] = never) -> None:
    """Score the average: its samples, and its loss; keep the checkpoint with the best samples.

    Args:
        should_stop: asked again and again; True on any rank ends the evaluation without a score.
    """
    _save_loss(run, curves)
    began = time.monotonic()
    assert run.scorer is not None
    try:
        features = run.scorer.features(run.average, should_stop, run.ranks)
    except LostRankError:
        raise
    except InputError as error:  # no reason to end a run
        logger.warning("evaluation at step %d failed: %s", run.learner.progress.step, error)
        return
    if features is None and should_stop():
        return
    if run.ranks.is_first:
        _save_score(run, curves, features, began)


def _save_score(run: Run, curves: Curves, features: Tensor | None, began: float) -> None:
    """Compare the features of samples, or say why there are none."""
    progress, scorer = run.learner.progress, run.scorer
    assert scorer is not None
    if features is None:
        logger.warning(
            "evaluation at step %d given up after %.0f s: lower --eval-samples or "
            "--eval-sampling-steps, or raise --eval-time",
            progress.step,
            time.monotonic() - began,
        )
        return
    try:
        score = scorer.compare(features.numpy())
    except InputError as error:  # nor is this
        logger.warning("evaluation at step %d failed: %s", progress.step, error)
        return
    seconds = time.monotonic() - began
    curves.scalar("evaluation/kid", score.kid, progress.step)
    curves.scalar("evaluation/fid", score.fid, progress.step)
    logger.info(
        "evaluation at step %d: KID x 1000 %.3f, FID %.3f of %d samples, %.1f s",
        progress.step,
        1000 * score.kid,
        score.fid,
        score.samples,
        seconds,
    )
    if progress.best_score is None or score.kid < progress.best_score:
        run.learner.progress = replace(progress, best_score=score.kid)
        save(run, BEST)


def _save_loss(run: Run, curves: Curves) -> None:
    """The loss and the entropy production of the average, on the first images with fixed draws."""
    progress, training, model = run.learner.progress, run.config.training, run.average
    total = min(EVALUATION_IMAGES, len(run.images))
    size = run.learner.part_size

    def make(rows: range) -> Tensor:
        parts = []
        for first in range(rows.start, rows.stop, size):
            part = run.images.images[first : min(first + size, rows.stop)]
            z = model.pixels.to_state(send(as_tensor(part.copy()), model.device))
            terms = evaluate(model.chain, z, training.min_noise, first)
            parts.append(torch.stack([terms.loss, terms.entropy_production / z[0].numel()], dim=1))
        return torch.cat(parts)

    seen = together(make, total, run.ranks)
    assert seen is not None
    loss, production = seen.mean(0).tolist()
    curves.scalar("evaluation/loss", loss, progress.step)
    curves.scalar("evaluation/entropy_production", production, progress.step)
