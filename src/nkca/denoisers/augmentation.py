"""Augmentation that samples do not show: transformed images, with the transformation as a condition.

A small set of images is learned by heart before a network has learned what they have in common. Transformed
copies put that off, but a network that is not told draws transformed pictures too. Here it is told: the
parameters of each image's transformations are an input of the network, zero for an image that is left as it
is, and zero for samples (Karras et al. 2022, arXiv 2206.00364, section 5).

Each transformation of an image happens with the same probability, independently:

    mirrored                           1
    moved by (x, y)                    x, y ~ N(0, 1/8), in units of the side
    enlarged by 2^s                    s ~ N(0, 0.2²)
    turned by an angle                 cos - 1, sin; uniform
    stretched by 2^s along an axis     s cos 2 phi, s sin 2 phi; s ~ N(0, 0.2²), phi uniform
    brightness, contrast               v ~ N(0, 0.2²) added; c ~ N(0, 0.5²), times 2^c about 0
    hue, saturation (of colours)       cos - 1, sin of a turn about grey; s ~ N(0, 1), times 2^s

The numbers on the right are the parameters. Pixels from beyond the border are mirrored at it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nkca.distributions.contracts import Posterior
from nkca.noise import Noise

GEOMETRY, LIGHT, COLOUR = 8, 2, 3  # numbers of parameters
DRAWS = 14  # of each of uniform and normal numbers, for one image


def parameter_count(channels: int) -> int:
    """How many parameters describe the transformations of an image with so many channels."""
    return GEOMETRY + LIGHT + (COLOUR if channels >= 3 else 0)


@dataclass(frozen=True)
class Told:
    """A network that is told the parameters (B, P) of its images' transformations: a `Denoiser`."""

    denoiser: Callable[..., Posterior]
    parameters: Tensor

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        """Return p(z|x) for states x (B, C, H, W) at levels (B,)."""
        return self.denoiser(x, noise_level, self.parameters)


def augmented(z: Tensor, noise: Noise, probability: float) -> tuple[Tensor, Tensor]:
    """Clean states z, float (B, C, H, W) in about [-1, 1], each transformed; and the parameters, (B, P)."""
    like = torch.empty(len(z), DRAWS, device=z.device)
    uniform, normal = noise.uniform(like), noise.normal(like)
    happens = (noise.uniform(like) < probability).float()
    z, geometry = _moved(z, happens, uniform, normal)
    z, light = _lit(z, happens, normal)
    if z.shape[1] < 3:
        return z, torch.cat([geometry, light], 1)
    z, colour = _coloured(z, happens, uniform, normal)
    return z, torch.cat([geometry, light, colour], 1)


def _moved(z: Tensor, happens: Tensor, uniform: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrored, moved, enlarged, turned, stretched: one resampling; images without any stay as they are."""
    mirror = happens[:, 0]
    shift = happens[:, 1:2] * normal[:, 0:2] / 8
    scale = happens[:, 2] * normal[:, 2] * 0.2
    angle = happens[:, 3] * (2 * uniform[:, 0] - 1) * math.pi
    stretch, axis = happens[:, 4] * normal[:, 3] * 0.2, uniform[:, 1] * math.pi
    parameters = torch.stack(
        [
            *(mirror, shift[:, 0], shift[:, 1], scale, angle.cos() - 1, angle.sin()),
            *(stretch * (2 * axis).cos(), stretch * (2 * axis).sin()),
        ],
        1,
    )
    along = _rotation(axis) @ _diagonal(2**-stretch, 2**stretch) @ _rotation(-axis)
    flip = _diagonal(1 - 2 * mirror, torch.ones_like(mirror))
    back = flip @ along @ _rotation(-angle) * (2**-scale)[:, None, None]
    where = torch.cat([back, -back @ (2 * shift)[:, :, None]], 2)  # from the new picture to the old
    grid = functional.affine_grid(where, list(z.shape), align_corners=False)
    moved = functional.grid_sample(z, grid, padding_mode="reflection", align_corners=False)
    is_moved = parameters.any(1)[:, None, None, None]
    return torch.where(is_moved, moved, z), parameters


def _lit(z: Tensor, happens: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Brighter and of another contrast; of four channels the last is transparency, and stays."""
    brightness, contrast = happens[:, 5] * normal[:, 4] * 0.2, happens[:, 6] * normal[:, 5] * 0.5
    lit = z * (2**contrast)[:, None, None, None] + brightness[:, None, None, None]
    return torch.cat([lit[:, :3], z[:, 3:]], 1), torch.stack([brightness, contrast], 1)


def _coloured(z: Tensor, happens: Tensor, uniform: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Hues turned about the grey axis, colours stronger or weaker."""
    angle = happens[:, 7] * (2 * uniform[:, 2] - 1) * math.pi
    saturation = happens[:, 8] * normal[:, 6]
    grey = torch.full((3, 3), 1 / 3, device=z.device)
    across = (  # the cross product with (1, 1, 1) / sqrt(3)
        torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=z.device) / math.sqrt(3)
    )
    turned = angle.cos()[:, None, None] * (torch.eye(3, device=z.device) - grey)
    turned = turned + angle.sin()[:, None, None] * across
    matrix = grey + (2**saturation)[:, None, None] * turned
    colours = torch.einsum("bij,bjhw->bihw", matrix, z[:, :3])
    is_changed = (angle != 0) | (saturation != 0)
    colours = torch.where(is_changed[:, None, None, None], colours, z[:, :3])
    parameters = torch.stack([angle.cos() - 1, angle.sin(), saturation], 1)
    return torch.cat([colours, z[:, 3:]], 1), parameters


def _rotation(angle: Tensor) -> Tensor:
    """(B,) -> (B, 2, 2)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def _diagonal(first: Tensor, second: Tensor) -> Tensor:
    """(B,), (B,) -> (B, 2, 2)."""
    return torch.diag_embed(torch.stack([first, second], -1))
