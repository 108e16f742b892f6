r"""Relative energies: how much likelier is one picture than another, by the chain's own transitions?

A chain at level b that is in detailed balance with pi, the law of the noised data, has for any two states

    log pi(y) - log pi(x) = log p(y|x) - log p(x|y)

so the differences along a path from x to y add up to the same number whichever way it goes; where they do
not, the chain is not reversible. Continuous states have a second estimate, the trapezoid rule of the score,

    log pi(y) - log pi(x) = integral of score(u).du,     score(x) = (a D(x) - x) / b,   D the mean of p(z|x)

which is right where D is, whatever the deviations of p(z|x) are. Two pictures are compared as noised
pictures, with the same noise added to both, on which the result depends; so it is averaged over draws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt
import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.errors import require
from nkca.kernels.categorical import CategoricalKernel
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.pixels import as_tensor, check_image

LEVEL, POINTS, DRAWS = 0.3, 33, 8


@dataclass(frozen=True)
class LogRatio:
    """log pi(A) - log pi(B) in nats: means over draws of the noise, and their standard errors.

    Args:
        transitions: by the transitions.
        scores: by the scores; None for categories.
    """

    transitions: float
    transitions_error: float
    scores: float | None
    scores_error: float | None


@torch.inference_mode()
def log_ratio(
    model: Model,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    level: float = LEVEL,
    points: int = POINTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> LogRatio:
    """How much likelier picture ``a`` is than ``b`` for a model, both noised to ``level``.

    The path between them is straight; of categories it scrambles the pixels that differ and then sets them.

    Args:
        a, b: uint8 (H, W, C), of the model's size.
        level: in [the model's lowest, 1); low levels tell details, high ones the coarse structure.
        points: states of the path, for continuous pixels; ``points`` evaluations for each of the draws.

    Raises:
        InputError: for pictures that do not fit the model, or arguments out of range.
    """
    require(model.min_noise <= level < 1, "level", f"in [{model.min_noise:g}, 1)", level)
    require(points >= 2, "points", "at least 2", points)
    require(draws >= 2, "draws", "at least 2", draws)
    images = [as_tensor(check_image(image, "the pictures")[None]) for image in (a, b)]
    for image in images:
        shape = tuple(image.shape[1:])
        require(shape == model.data_shape, "the pictures", f"of {model.data_shape}", shape)
    levels = torch.full((draws,), level, device=model.device)
    start, end = (
        model.chain.kernel.add_noise(z.expand(draws, *z.shape[1:]), levels).sample(
            Noise([derive_seed("log ratio", seed, draw) for draw in range(draws)])
        )
        for z in (model.pixels.to_state(image.to(model.device)) for image in images)
    )
    if isinstance(model.chain.kernel, CategoricalKernel):
        between = torch.where(start == end, start, model.chain.kernel.num_classes)
        path = [start, between, end]
    else:
        path = [torch.lerp(start, end, n / (points - 1)) for n in range(points)]
    by_transitions, by_scores = log_ratios_along(model.chain, path, level)
    return LogRatio(
        *_mean(by_transitions), *((None, None) if by_scores is None else _mean(by_scores))
    )


def log_ratios_along(
    chain: Chain, path: Sequence[Tensor], level: float
) -> tuple[Tensor, Tensor | None]:
    """log pi(first) - log pi(last) of a path at one level: by transitions, and by scores if continuous.

    Args:
        path: states (B, C, H, W) each; of categories such that each step is possible both ways.

    Returns:
        Two of (B,), in nats.
    """
    x, is_continuous = path[0], path[0].is_floating_point()
    dtype = x.dtype if is_continuous else torch.get_default_dtype()
    b = torch.full((len(x),), level, dtype=dtype, device=x.device)
    p_z = chain.believe(x, b)
    total, by_scores = torch.zeros_like(b), torch.zeros_like(b)
    for y in path[1:]:
        p_z_of_y = chain.believe(y, b)
        there = chain.move(x, b, b, p_z).log_prob(y)
        back = chain.move(y, b, b, p_z_of_y).log_prob(x)
        total = total + back - there
        if is_continuous:
            score = ((1 - level) * (p_z.mean + p_z_of_y.mean) - x - y) / (2 * level)
            by_scores = by_scores - (score * (y - x)).flatten(1).sum(1)
        x, p_z = y, p_z_of_y
    return total, by_scores if is_continuous else None


def _mean(values: Tensor) -> tuple[float, float]:
    """The mean of (N,), and its standard error."""
    values = values.double()
    return values.mean().item(), values.std().item() / math.sqrt(len(values))
