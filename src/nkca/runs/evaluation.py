"""Scores and losses of the averaged weights, for the curves and the choice of the best."""

import logging
import time
from collections.abc import Callable

import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.pixels import as_tensor
from nkca.runs.curves import Curves
from nkca.runs.run import Run
from nkca.system.device import send
from nkca.training.objective import evaluate

logger = logging.getLogger("nkca")

EVALUATION_IMAGES = 256


def save_evaluation(
    run: Run, curves: Curves, should_stop: Callable[[], bool] = lambda: False
) -> float | None:
    """Score the averaged weights by samples and loss, and write both to the curves.

    Args:
        should_stop: called repeatedly; True on any rank ends the evaluation without a score.

    Returns:
        The samples' kernel distance on the first rank; None where there is none, and on the others.
    """
    run = run.at_phase()
    _save_loss(run, curves)
    began = time.monotonic()
    assert run.scorer is not None
    try:
        features = run.scorer.features(run.ema_model, should_stop, run.ranks)
    except InputError as error:  # a failed evaluation does not end the run
        logger.warning("evaluation at step %d failed: %s", run.progress.step, error)
        return None
    if not run.ranks.is_first or (features is None and should_stop()):
        return None
    return _save_score(run, curves, features, began)


def _save_score(run: Run, curves: Curves, features: Tensor | None, began: float) -> float | None:
    """Compare the features of samples, or say why there are none."""
    progress, scorer = run.progress, run.scorer
    assert scorer is not None
    if features is None:
        logger.warning(
            "evaluation at step %d given up after %.0f s: lower eval_samples or "
            "eval_sampling_steps, or raise eval_time",
            progress.step,
            time.monotonic() - began,
        )
        return None
    try:
        score = scorer.compare(features.numpy())
    except InputError as error:
        logger.warning("evaluation at step %d failed: %s", progress.step, error)
        return None
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
    return score.kid


def _save_loss(run: Run, curves: Curves) -> None:
    """Loss and shown values of the averaged weights, on the first images with fixed draws."""
    learner, model = run.learner, run.ema_model
    total = min(EVALUATION_IMAGES, len(run.images))
    size, names = learner.part_size, ["loss"]

    def make(rows: range) -> Tensor:
        parts = []
        for first in range(rows.start, rows.stop, size):
            part = run.images.images[first : min(first + size, rows.stop)]
            z = model.pixels.to_state(send(as_tensor(part.copy()), model.device))
            terms = evaluate(learner.objective_at(run.share), learner.draw, model.chain, z, first)
            names[1:] = terms.shown
            parts.append(torch.stack([terms.loss, *terms.shown.values()], dim=1))
        return torch.cat(parts)

    seen = run.ranks.together(make, total)
    assert seen is not None
    for name, value in zip(names, seen.mean(0).tolist(), strict=True):
        curves.scalar(f"evaluation/{name}", value, run.progress.step)
