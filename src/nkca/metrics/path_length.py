r"""Perceptual path length: how much do pictures change along a path between two starts?

With G the deterministic chain from its start, noise, to the picture, slerp the arc between two starts, and
f the features of an extractor, scaled to length 1 (Karras et al. 2019, arXiv 1812.04948, section 4.1):

    PPL = E[ |f(G(slerp(x_0, x_1; t))) - f(G(slerp(x_0, x_1; t + eps)))|² / eps² ],    t ~ U(0, 1)

with eps = 1e-4. Values below the 1st percentile and above the 99th are left out. Pictures are not rounded
to bytes, which so small a step would not change. The paper's f is LPIPS's VGG network, so numbers compare
only with those of the same extractor.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nkca.errors import InputError, require
from nkca.metrics.extractors.contract import Extractor, SmoothExtractor
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.pixels import ContinuousPixels, to_rgb
from nkca.sampling.samplers import DRAW_NOISE
from nkca.sampling.tasks import Schedule

EPSILON = 1e-4
PERCENTILES = (1, 99)
PAIRS = 500
SMOOTH_ONES = "efficientnet-lite0, dinov2, timm:NAME and pixels"


@dataclass(frozen=True)
class PathLength:
    """The mean over ``kept`` of ``pairs`` steps of ``epsilon``, and its standard error."""

    ppl: float
    standard_error: float
    pairs: int
    kept: int
    epsilon: float
    extractor: str
    sampler: str
    levels: int
    guidance: float

    def __str__(self) -> str:
        return (
            f"perceptual path length {self.ppl:.4g} ± {self.standard_error:.2g}: {self.pairs:,} steps of "
            f"{self.epsilon:g}, features of {self.extractor}; {self.levels} levels of {self.sampler}, "
            f"guidance {self.guidance:g}; lower is smoother"
        )


@torch.inference_mode()
def perceptual_path_length(
    model: Model,
    extractor: Extractor,
    schedule: Schedule | None = None,
    *,
    pairs: int = PAIRS,
    seed: int = 0,
    batch_size: int = 64,
    epsilon: float = EPSILON,
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> PathLength:
    """The path length of a model's pictures, in float32.

    Args:
        schedule: of the pictures; its sampler must be deterministic.
        pairs: how many steps are measured.
        tick: called with (done, total), in levels of pictures.

    Raises:
        InputError: for categories or transparent pictures, a random sampler, an extractor that takes bytes
            only, or fewer than 2 pairs.
    """
    schedule = schedule or Schedule()
    if not isinstance(model.pixels, ContinuousPixels) or model.data_shape[0] > 3:
        raise InputError("the path length is for models of continuous pixels without transparency")
    if not isinstance(extractor, SmoothExtractor):
        name = extractor.description.name
        raise InputError(
            f"the path length needs features of unrounded images: {SMOOTH_ONES}, not {name}"
        )
    sampler = schedule.sampler or model.sampling.sampler
    if sampler in DRAW_NOISE or schedule.corrector_steps:
        raise InputError(
            "the path length needs a deterministic sampler without corrector steps: sampler=ddim, heun, "
            f"dpm2m or ge, got {sampler}"
        )
    require(pairs > 1, "num_samples", "at least 2", pairs)
    found, run = [], schedule.sample_with(model)
    levels, strength = schedule.levels(model), schedule.strength(model)
    chain, done, total = model.guided(strength), 0, 2 * pairs * len(levels)
    tick(done, total)

    def generate(x: Tensor) -> Tensor:
        nonlocal done
        for last in run(chain, x, levels, Noise([])):
            done += len(last.x)
            tick(done, total)
        return ((last.p_z.mode() + 1) * 127.5).clamp(0, 255)

    def distance(pictures: Tensor, others: Tensor) -> Tensor:
        both = extractor.of_unrounded(to_rgb(torch.cat([pictures, others]))).features
        one, other = F.normalize(both, dim=1).chunk(2)
        return (one - other).square().sum(1)

    for first in range(0, pairs, batch_size):
        rows = range(first, min(first + batch_size, pairs))
        noise = Noise([derive_seed("path length", seed, row) for row in rows])
        like = torch.empty(len(rows), *model.state_shape, device=model.device)
        ends, t = (noise.normal(like), noise.normal(like)), noise.uniform(like[:, 0, 0, 0])
        found.append(squared_steps(generate, distance, ends, t, epsilon).double().cpu())
    kept = trimmed(torch.cat(found).numpy())
    return PathLength(
        ppl=float(kept.mean()),
        standard_error=float(kept.std(ddof=1) / math.sqrt(len(kept))),
        pairs=pairs,
        kept=len(kept),
        epsilon=epsilon,
        extractor=extractor.description.name,
        sampler=sampler,
        levels=len(levels),
        guidance=strength,
    )


def squared_steps(
    generate: Callable[[Tensor], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    ends: tuple[Tensor, Tensor],
    t: Tensor,
    epsilon: float = EPSILON,
) -> Tensor:
    """distance / epsilon² of the pictures at t and t + epsilon on the arcs between two starts: (B,).

    Args:
        generate: starts (2 B, ...) -> pictures (2 B, ...).
        distance: two batches of pictures -> squared distances (B,).
        ends: float (B, ...) each.
        t: (B,).
    """
    x = torch.cat([slerp(*ends, t), slerp(*ends, t + epsilon)])
    return distance(*generate(x).chunk(2)) / epsilon**2


def slerp(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """The point at t in [0, 1], (B,), of the arc from x to y, (B, ...), computed in double precision."""
    shape, dtype = x.shape, x.dtype
    x, y, t = x.double().flatten(1), y.double().flatten(1), t.double()[:, None]
    angle = F.cosine_similarity(x, y, dim=1).clamp(-1, 1).acos()[:, None]
    return (
        ((((1 - t) * angle).sin() * x + (t * angle).sin() * y) / angle.sin()).view(shape).to(dtype)
    )


def trimmed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values (N,) from the 1st to the 99th percentile, both among them."""
    low = np.percentile(values, PERCENTILES[0], method="lower")
    high = np.percentile(values, PERCENTILES[1], method="higher")
    return values[(low <= values) & (values <= high)]
