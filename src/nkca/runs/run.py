"""A training run in memory, and one step of it."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from nkca.config.schema import RunConfig
from nkca.data.cache import DecodedImages
from nkca.data.dataset import augment
from nkca.distributed.ranks import ALONE, Ranks
from nkca.models.build import ModelSpec
from nkca.models.model import Model
from nkca.noise import step_noise
from nkca.runs.scorer import Scorer
from nkca.system.device import send
from nkca.training.coarse_to_fine import pooled_learner, pooling_at, poolings
from nkca.training.learner import Learner, StepReport, TrainingProgress


@dataclass(eq=False)
class Run:
    """Everything that training needs, in memory.

    Args:
        ema_model: the model with averaged weights, which samples are drawn from.
        progress: how far it is; who calls `take_step` sets it, in this package `nkca.runs.loop` alone.
        scorer: None where nothing is evaluated.
        ranks: who makes it; each has a `Run`, and the first alone writes.
    """

    directory: Path
    config: RunConfig
    images: DecodedImages
    spec: ModelSpec
    learner: Learner
    ema_model: Model
    progress: TrainingProgress
    scorer: Scorer | None = None
    ranks: Ranks = ALONE

    @property
    def total_images(self) -> int:
        """Images seen when the epochs and steps asked for are done."""
        training, done = self.config.training, self.progress
        by_epochs = training.epochs * len(self.images)
        if training.max_steps is None:
            return by_epochs
        left = max(0, training.max_steps - done.step) * training.batch_size
        return min(by_epochs, done.images + left)

    @property
    def steps_left(self) -> int:
        """Steps until the epochs or steps asked for are done."""
        left = max(0, self.total_images - self.progress.images)
        return -(-left // self.config.training.batch_size)

    def seconds_left(self, seconds_per_step: float) -> float:
        """Training time until the epochs, steps or time asked for are done."""
        seconds, limit = self.steps_left * seconds_per_step, self.config.training.max_time
        return seconds if limit is None else min(seconds, max(0.0, limit - self.progress.seconds))

    @property
    def share(self) -> float:
        """How much of the epochs, steps or time asked for is done, in [0, 1]: of that which ends first."""
        limit, done = self.config.training.max_time, self.progress
        by_images = done.images / self.total_images
        return min(1.0, by_images if limit is None else max(by_images, done.seconds / limit))

    def at_phase(self) -> "Run":
        """The run on images of the size that it is at, where it is coarse to fine; else this run.

        A finished run that is trained on does not go back to smaller images.
        """
        sizes, (_, height, width) = self.config.training.coarse_to_fine, self.spec.data_shape
        if not sizes:
            return self
        found = poolings(sizes, height, width, self.config.model.patch_size)
        before = self.progress.pooling or (1 if self.progress.step else max(found))
        pooling = min(before, pooling_at(self.share, found))
        return replace(
            self,
            learner=pooled_learner(self.learner, pooling),
            ema_model=self.ema_model.pooled(pooling),
            progress=replace(self.progress, pooling=pooling),
        )

    def is_finished(self) -> bool:
        """Whether the epochs, steps or time asked for are done."""
        return self.share >= 1


def take_step(run: Run, images: Tensor, number: int) -> StepReport:
    """Learn from uint8 images (B, C, H, W), of a rank's share, with the randomness of step ``number``.

    ``run.progress`` does not change; the report has the progress after the step.
    """
    run = run.at_phase()
    training, model = run.config.training, run.ema_model
    rows = run.ranks.share(training.batch_size)
    noise = step_noise(training.seed, number, rows.start, len(images))
    images = augment(send(images, model.device), run.config.data.data_augmentation, noise)
    return run.learner.step(run.progress, model.pixels.to_state(images), noise, run.share)
