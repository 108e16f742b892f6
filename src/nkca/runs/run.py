"""A run and its directory: what is kept there, and how it gets there.

config.yaml             the resolved config (earlier ones: config-until-step-N.yaml)
log.txt                 what happened, all sessions
checkpoint_latest.pth   where the same command resumes; _final, _best and numbered ones beside it
previews/               samples of the average of weights, always from the same seeds
tensorboard/            curves
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from nkca.config.schema import RunConfig, configure, read_yaml, write_yaml
from nkca.data.cache import DecodedImages
from nkca.data.dataset import augment
from nkca.distributed.ranks import ALONE, LostRankError, Ranks
from nkca.distributed.sharing import GivenUpError, together
from nkca.errors import InputError
from nkca.metrics.image_sets import Samples
from nkca.models.build import ModelSpec
from nkca.models.checkpoint import BEST, Checkpoint, save_checkpoint
from nkca.models.model import Model
from nkca.noise import step_noise
from nkca.pictures.grid import contact_sheet
from nkca.pictures.png import save_png
from nkca.pixels import as_pictures, as_tensor
from nkca.runs.curves import Curves
from nkca.runs.scorer import Scorer
from nkca.system.device import send
from nkca.training.learner import Learner, StepReport
from nkca.training.objective import evaluate

logger = logging.getLogger("nkca")

PREVIEW_SAMPLES = 16
EVALUATION_IMAGES = 256


def never() -> bool:
    """What never stops."""
    return False


@dataclass(frozen=True)
class Run:
    """Everything that training needs, in memory.

    Args:
        average: the model with averaged weights, which samples are drawn from.
        scorer: None where nothing is evaluated.
        ranks: who makes it; each has a `Run`, and the first alone writes.
    """

    directory: Path
    config: RunConfig
    images: DecodedImages
    spec: ModelSpec
    learner: Learner
    average: Model
    scorer: Scorer | None = None
    ranks: Ranks = ALONE

    @property
    def total_images(self) -> int:
        """Images seen when the epochs and steps asked for are done."""
        training, done = self.config.training, self.learner.progress
        by_epochs = training.epochs * len(self.images)
        if training.max_steps is None:
            return by_epochs
        left = max(0, training.max_steps - done.step) * training.batch_size
        return min(by_epochs, done.images + left)

    def is_finished(self) -> bool:
        """Whether the epochs, steps or time asked for are done."""
        training, done = self.config.training, self.learner.progress
        late = training.max_time is not None and done.seconds >= training.max_time
        return late or done.images >= self.total_images


def take_step(run: Run, images: Tensor, number: int) -> StepReport:
    """Learn from uint8 images (B, C, H, W), a rank's share, with the randomness of step ``number``."""
    training, model = run.config.training, run.average
    rows = run.ranks.share(training.batch_size)
    noise = step_noise(training.seed, number, rows.start, len(rows))
    images = augment(send(images, model.device), run.config.data.data_augmentation, noise)
    return run.learner.step(model.pixels.to_state(images), noise)


def save(run: Run, name: str) -> None:
    """Write the run's checkpoint ``name``, atomically; on the first rank."""
    if not run.ranks.is_first:
        return
    learner = run.learner
    checkpoint = Checkpoint(
        config=run.config.to_flat(),
        data_shape=run.spec.data_shape,
        data_std=run.spec.data_std,
        progress=asdict(learner.progress),
        model=learner.network.state_dict(),
        ema=learner.average.state_dict(),
        optimizer=learner.optimizer.state(),
    )
    save_checkpoint(run.directory / name, checkpoint)
    logger.info("saved %s at step %d", run.directory / name, learner.progress.step)


def keep_numbered(run: Run) -> None:
    """Save a numbered checkpoint too, and remove the oldest beyond ``keep``."""
    if not run.config.cadence.keep or not run.ranks.is_first:
        return
    save(run, f"checkpoint_{run.learner.progress.step:09d}.pth")
    numbered = sorted(run.directory.glob("checkpoint_[0-9]*.pth"))
    for old in numbered[: -run.config.cadence.keep]:
        old.unlink()


def save_preview(run: Run, curves: Curves, should_stop: Callable[[], bool] = never) -> None:
    """Sample the average from fixed seeds, each rank some: a PNG and an image in TensorBoard.

    Args:
        should_stop: asked again and again; True on any rank ends it without a preview.
    """
    step, began = run.learner.progress.step, time.monotonic()
    pictures = _preview(run, should_stop)
    if pictures is None or not run.ranks.is_first:
        return
    picture = contact_sheet(as_pictures(pictures))
    (run.directory / "previews").mkdir(exist_ok=True)
    save_png(run.directory / "previews" / f"step_{step:09d}.png", picture)
    curves.image("samples", picture, step)
    logger.info("preview at step %d took %.1f s", step, time.monotonic() - began)


def _preview(run: Run, should_stop: Callable[[], bool]) -> Tensor | None:
    """The first samples, uint8 (N, C, H, W), or None."""
    samples = Samples(run.average, ("", ""), PREVIEW_SAMPLES)
    size = min(PREVIEW_SAMPLES, run.learner.part_size)

    def watch(_share: float) -> None:
        if should_stop():
            raise GivenUpError

    def make(rows: range) -> Tensor:
        firsts = range(0, len(rows), size)
        return torch.cat([samples.batch(rows[first : first + size], watch) for first in firsts])

    return together(make, PREVIEW_SAMPLES, run.ranks)


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


def write_config(run: Run) -> None:
    """Write config.yaml; one that says something else is kept beside it."""
    path = run.directory / "config.yaml"
    if path.exists():
        try:
            if configure(read_yaml(path)) == run.config:
                return
        except InputError:
            logger.warning("%s was not a readable config", path)
        kept = run.directory / f"config-until-step-{run.learner.progress.step}.yaml"
        if not kept.exists():
            path.rename(kept)
    write_yaml(path, run.config)


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Append what "nkca" logs to ``path`` while the block runs."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
