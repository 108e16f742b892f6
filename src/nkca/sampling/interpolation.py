r"""Interpolation between two images.

Continuous states: both are inverted to noise (`nkca.sampling.inversion`), the noise goes along the great
circle between them, and the deterministic flow makes an image of each point. With A, B the two noises, phi
the angle between them and t in [0, 1]:

    x(t) = [sin((1 - t) phi) A + sin(t phi) B] / sin(phi)

On a straight line the middle would be shorter than noise is, and its picture flat. The ends are the
images up to the inversion's error, which is returned.

Categories: pixel i changes from its category in A to that in B at a time of its own, uniform in [0, 1);
the frame at time t is then noised to a low level and walks there, with the same noise in all frames, so
that neighbours suit each other again. The ends are the images exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.errors import InputError, require
from nkca.kernels.continuous import ContinuousKernel
from nkca.levels import expand
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.sampling.inversion import generate, invert
from nkca.sampling.ladders import sigma_ladder

INVERSION_STEPS = 40
SMOOTHING_LEVEL = 0.3
SMOOTHING_STEPS = 8


@dataclass(frozen=True)
class Interpolation:
    """The frames from one image to another.

    Args:
        frames: uint8 (N, C, H, W) on the CPU; the first is A, the last B, up to ``end_errors``.
        end_errors: root mean square of frame - image at both ends, in bytes.
    """

    frames: Tensor
    end_errors: tuple[float, float]


@torch.inference_mode()
def interpolate(
    model: Model,
    ends: Tensor,
    count: int,
    seed: int = 0,
    tick: Callable[[float], None] = lambda _share: None,
) -> Interpolation:
    """Frames from ``ends[0]`` to ``ends[1]``, uint8 (2, C, H, W), ``count`` of them with the ends.

    Args:
        seed: of the times of exchange and the noise of categories; continuous states need none.
        tick: called with the share done so far, in (0, 1].

    Raises:
        InputError: if ``count`` is below 2.
    """
    require(count >= 2, "the number of frames", "at least 2, the images themselves", count)
    z = model.pixels.to_state(ends.to(model.device))
    along = _by_flow if isinstance(model.chain.kernel, ContinuousKernel) else _by_exchanges
    frames = model.pixels.to_uint8(along(model, z, count, seed, tick)).cpu()
    shown = model.pixels.to_uint8(z).cpu()
    apart = (frames[[0, -1]].float() - shown.float()).square().flatten(1).mean(1).sqrt()
    return Interpolation(frames, (apart[0].item(), apart[1].item()))


def great_circle(start: Tensor, end: Tensor, times: Tensor) -> Tensor:
    """The points x(t) for ``times`` (N,) between states of shape (C, H, W): (N, C, H, W).

    Raises:
        InputError: if the states are opposite to each other: then there are many such circles.
    """
    cosine = torch.dot(start.flatten(), end.flatten()) / (start.norm() * end.norm())
    phi = cosine.clamp(-1, 1).acos()
    t = expand(times, start[None])
    if phi < 1e-4:  # the same direction, where the circle is a line
        return (1 - t) * start + t * end
    if phi.sin() < 1e-4:
        raise InputError("the two images are opposite noises: there is no one path between them")
    points: Tensor = (((1 - t) * phi).sin() * start + (t * phi).sin() * end) / phi.sin()
    return points


def _by_flow(
    model: Model, z: Tensor, count: int, _seed: int, tick: Callable[[float], None]
) -> Tensor:
    levels = sigma_ladder(1, model.min_noise, INVERSION_STEPS)
    done = iter(range(1, len(levels)))
    inverted = invert(model.chain, z, levels, lambda: tick(next(done) / len(levels)))
    times = torch.linspace(0, 1, count, device=z.device, dtype=z.dtype)
    frames = generate(
        model.chain, great_circle(inverted.noise[0], inverted.noise[1], times), levels
    )
    tick(1.0)
    return frames


def _by_exchanges(
    model: Model, z: Tensor, count: int, seed: int, tick: Callable[[float], None]
) -> Tensor:
    like = torch.empty(z[:1].shape, device=z.device)
    changes_at = Noise([derive_seed("exchange", seed)]).uniform(like)
    times = expand(torch.linspace(0, 1, count, device=z.device), z)
    frames = torch.where(changes_at < times, z[1:], z[:1])
    frames[1:-1] = _smoothed(model, frames[1:-1], seed)
    tick(1.0)
    return frames


def _smoothed(model: Model, z: Tensor, seed: int) -> Tensor:
    """Clean states (B, C, H, W) after a walk at a low level, with the same noise for all."""
    if not len(z):
        return z
    noise = Noise([derive_seed("smooth", seed)] * len(z))
    level = torch.full((len(z),), max(SMOOTHING_LEVEL, model.min_noise), device=z.device)
    lowest = torch.full_like(level, model.min_noise)
    x, carried = model.chain.kernel.add_noise(z, level).sample(noise), None
    for step in range(SMOOTHING_STEPS):
        goes_to = lowest if step + 1 == SMOOTHING_STEPS else level
        p_z = model.chain.believe(x, level)
        x, carried = model.chain.step(x, (level, goes_to), p_z, noise, carried)
    return model.chain.believe(x, lowest).mode()
