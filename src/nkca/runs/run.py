"""A run and its directory: what is kept there, and how it gets there.

config.yaml             the resolved config (earlier ones: config-until-step-N.yaml)
log.txt                 what happened, all sessions
checkpoint_latest.pth   where the same command resumes; _final, _best and numbered ones beside it
previews/               samples of the average of weights, always from the same seeds
tensorboard/            curves
"""

import logging
from dataclasses import dataclass
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
from nkca.training.learner import Learner, StepReport

logger = logging.getLogger("nkca")


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
