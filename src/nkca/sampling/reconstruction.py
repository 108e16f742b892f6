"""Reconstruction: images are noised to a level, and finished from there.

What a level destroys is drawn anew; what it leaves must come back. So an image and its reconstructions from
rising levels show what the model has learned at which level, where samples show all of them together.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.pixels import ContinuousPixels
from nkca.sampling.samplers import DRAW_NOISE
from nkca.sampling.tasks import Schedule, Task, around

STEPS = 4  # evaluations on the way down; with 20 the packaged models' pictures look the same


def finishing(model: Model, level: float) -> Schedule:
    """A short way down from ``level``: deterministic, where states are no categories."""
    continuous, sampler = isinstance(model.pixels, ContinuousPixels), model.sampling.sampler
    if sampler in DRAW_NOISE:
        sampler = "ge" if continuous else "ancestral"
    ladder = "sigma" if continuous else "linear"
    return Schedule(level, num_steps=STEPS - 1, ladder=ladder, sampler=sampler)


def reconstruction(images: Tensor, seeds: Sequence[int]) -> Task:
    """What is finished from uint8 images (B, C, H, W), one a seed, noised to the first level."""
    return replace(around(images, seeds), usual=Schedule())


def noised(model: Model, images: Tensor, level: float, seeds: Sequence[int]) -> Tensor:
    """The states that `reconstruction` begins with, as pictures, uint8 (B, C, H, W) on the CPU."""
    task = reconstruction(images, seeds)
    x = task.start(model, finishing(model, level), sample_noise(seeds))
    return model.pixels.to_uint8(x).cpu()
