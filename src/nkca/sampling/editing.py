"""Editing: an image is inverted to noise, from which the flow of a changed model makes a picture.

Without a change that is the image itself, up to the inversion's error, which is logged. Changes are moves
along directions (`nkca.sampling.directions`). After GAN inversion, as StyleGAN-XL does it.
"""

import logging
from collections.abc import Sequence

from torch import Tensor

from nkca.models.model import Model
from nkca.noise import Noise
from nkca.sampling.interpolation import INVERSION_STEPS
from nkca.sampling.inversion import invert
from nkca.sampling.tasks import Schedule, Task

logger = logging.getLogger("nkca")

EDITING = Schedule(num_steps=INVERSION_STEPS, ladder="sigma", sampler="ddim", guidance=1)
"""How images are edited: the way back is that of the inversion."""


def edit(images: Tensor, seeds: Sequence[int], inverted_by: Model) -> Task:
    """What a model makes of the noise of uint8 images (B, C, H, W), one a seed; no noise depends on seeds.

    Args:
        inverted_by: the model before it was changed.

    Raises:
        InputError: where states are categories, or the levels are not those of the sigma ladder.
    """

    def start(model: Model, schedule: Schedule, _noise: Noise) -> Tensor:
        z = model.pixels.to_state(images.to(model.device))
        inverted = invert(inverted_by.chain, z, schedule.levels(model))
        error = 127.5 * inverted.error.max().item()
        logger.info(f"inverted: without a move at most {error:.2f} of 255 (rms) from the image")
        return inverted.noise

    return Task(seeds, start, usual=EDITING)
