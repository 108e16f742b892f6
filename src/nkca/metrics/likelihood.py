"""How many bits a model of categories needs to tell images: a bound on -log2 p(z), per dimension.

If pixels are told in a random order, pixel i costs -log p(z_i|x); the pixels not yet told are scrambled in
x. The mean over orders is the mean over b ~ U(0, 1) of

    (1 / b) sum over scrambled i of -log p(z_i|x)

and at least -log p(z) of the chain that draws pixels in such an order (see `nkca.training.masked`); it is
equal to that of the data if every p(z_i|x) is exact.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.errors import InputError, require
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.pixels import ContinuousPixels
from nkca.training.masked import masked_cross_entropy

DRAWS = 16  # levels of each image


@dataclass(frozen=True)
class CodeLength:
    """Bits per dimension: the mean over ``images``, with ``draws`` levels each, and its standard error."""

    bits_per_dimension: float
    standard_error: float
    images: int
    draws: int

    def __str__(self) -> str:
        return (
            f"{self.bits_per_dimension:.4f} ± {self.standard_error:.4f} bits per dimension, at most: "
            f"{self.images:,} images, {self.draws} levels each; lower is better"
        )


@torch.inference_mode()
def code_length(
    model: Model,
    images: Tensor,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    batch_size: int = 64,
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> CodeLength:
    """The bound for images, uint8 (N, C, H, W), which should not have been trained on.

    Args:
        draws: levels of each image, one in each of so many equal parts of (0, 1].
        tick: called with (done, total), in denoiser evaluations.

    Raises:
        InputError: for a model of continuous pixels, fewer than 2 images, or images of another shape.
    """
    if isinstance(model.pixels, ContinuousPixels):
        raise InputError(
            "this bound is for models of discrete pixels; of continuous ones take variational_bound"
        )
    require(len(images) > 1, "images", "at least 2", len(images))
    require(
        images.shape[1:] == model.data_shape,
        "images",
        f"of {model.data_shape}",
        tuple(images.shape),
    )
    bits = torch.zeros(len(images), dtype=torch.float64)
    total = draws * len(images)
    for first in range(0, len(images), batch_size):
        part = images[first : first + batch_size].to(model.device)
        z, rows = model.pixels.to_state(part), range(first, first + len(part))
        for number in range(draws):
            noise = Noise([derive_seed("likelihood", seed, row, number) for row in rows])
            u = noise.uniform(torch.empty(len(z), device=model.device))
            level = (number + 1 - u) / draws
            terms = masked_cross_entropy(model.chain, z, level, noise)
            bits[rows.start : rows.stop] += terms.shown["bits_per_dimension"].double().cpu() / draws
            tick(draws * first + (number + 1) * len(part), total)
    error = bits.std().item() / math.sqrt(len(bits))
    return CodeLength(bits.mean().item(), error, len(bits), draws)
