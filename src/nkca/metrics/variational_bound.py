r"""How many bits a model of continuous pixels needs to tell images: a bound on -log2 P(z), per dimension.

Down a ladder of levels b_T > ... > b_1, with q the noising and p the model (Sohl-Dickstein et al. 2015,
arXiv 1503.03585; Ho et al. 2020, arXiv 2006.11239, Eq. 5),

    -log P(z) <= KL(q(x_T|z) | N(0, 1)) + sum over t > 1 of E KL(q(x_(t-1)|x_t, z) | p(x_(t-1)|x_t))
                 + E[-log P(z|x_1)],         each x_t drawn from q(x_t|z) = N(a_t z, b_t)

q(y|x, z) is the kernel's p(y|x, z), and p(y|x) its transition, Eq. 19, with the lag of ancestral sampling,

    w = a_x b_y / (a_y b_x)

with which q is the noising run backwards: for data whose p(z|x) are the denoiser's Normals, the bound is
-log P(z) in the mean. All divergences are of Normals, in closed form. In the last step a byte has the
probability that N(mu, s²), the denoiser's p(z|x_1), gives the values that are rounded to it, z ± 1/255, or
all beyond for 0 and 255: the bits are those of bytes.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.distributions.normal import Normal
from nkca.errors import InputError, require
from nkca.kernels.continuous import signal
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.pixels import ContinuousPixels
from nkca.sampling.tasks import Schedule

USUAL = Schedule(num_steps=100, ladder="sigma")
HALF_BYTE = 1 / 255  # half of a byte's step of 1 / 127.5


@dataclass(frozen=True)
class VariationalBound:
    """Bits per dimension: the mean over ``images``, its standard error, and the parts that add up to it.

    Args:
        prior, transitions, last_step: the first, the sum of the middle, and the last term.
        levels: how many the ladder has; ``lowest`` is the last of them.
    """

    bits_per_dimension: float
    standard_error: float
    prior: float
    transitions: float
    last_step: float
    images: int
    levels: int
    lowest: float

    def __str__(self) -> str:
        return (
            f"{self.bits_per_dimension:.4f} ± {self.standard_error:.4f} bits per dimension, at most: "
            f"{self.images:,} images; lower is better\n"
            f"  {self.prior:.4f} for noise, {self.transitions:.4f} for {self.levels - 1} transitions, "
            f"{self.last_step:.4f} for bytes at level {self.lowest:.3g}"
        )


@torch.inference_mode()
def variational_bound(
    model: Model,
    images: Tensor,
    schedule: Schedule = USUAL,
    *,
    seed: int = 0,
    batch_size: int = 64,
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> VariationalBound:
    """The bound for images, uint8 (N, C, H, W), which should not have been trained on.

    Args:
        schedule: its levels are the ladder; the longer, the tighter is the bound.
        tick: called with (done, total), in denoiser evaluations.

    Raises:
        InputError: for a model of discrete pixels, fewer than 2 images, images of another shape, levels
            that do not fall or are out of range, or a p(z|x) that is not `Normal`.
    """
    if not isinstance(model.pixels, ContinuousPixels):
        raise InputError("the variational bound is for models of continuous pixels")
    model.check_full_size("bits per dimension")
    require(len(images) > 1, "images", "at least 2", len(images))
    shape = tuple(images.shape[1:])
    require(shape == model.data_shape, "images", f"of {model.data_shape}", shape)
    levels = schedule.completed(USUAL).levels(model)
    falls = all(x > y for x, y in itertools.pairwise(levels))
    require(falls, "the levels", "falling", "some that repeat")
    parts = torch.zeros(3, len(images), dtype=torch.float64)
    total = len(levels) * len(images)
    tick(0, total)
    for first in range(0, len(images), batch_size):
        z = model.pixels.to_state(images[first : first + batch_size].to(model.device))
        for number in range(len(levels)):
            keys = range(first, first + len(z))
            noise = Noise([derive_seed("bound", seed, row, number) for row in keys])
            nats = _terms(model.chain, z, levels[number : number + 2], noise)
            part = 2 if number + 1 == len(levels) else 1
            parts[part, keys.start : keys.stop] += nats.cpu()
            tick(len(levels) * first + (number + 1) * len(z), total)
        parts[0, first : first + len(z)] = _prior_term(model.chain, z, levels[0]).cpu()
    bits = parts / (math.log(2) * math.prod(shape))
    whole = bits.sum(0)
    prior, transitions, last_step = bits.mean(1).tolist()
    return VariationalBound(
        bits_per_dimension=whole.mean().item(),
        standard_error=whole.std().item() / math.sqrt(len(images)),
        prior=prior,
        transitions=transitions,
        last_step=last_step,
        images=len(images),
        levels=len(levels),
        lowest=levels[-1],
    )


def _prior_term(chain: Chain, z: Tensor, level: float) -> Tensor:
    """KL(q(x_T|z) | N(0, 1)) in nats, (B,)."""
    z = z.double()
    prior = Normal(torch.zeros_like(z), torch.ones_like(z))
    q = chain.kernel.add_noise(z, z.new_full((len(z),), level))
    assert isinstance(q, Normal)
    return divergence(q, prior)


def _terms(chain: Chain, z: Tensor, levels: Sequence[float], noise: Noise) -> Tensor:
    """The term of the step from the first level to the second, or from one level to bytes: nats, (B,)."""
    x = chain.kernel.add_noise(z, z.new_full((len(z),), levels[0])).sample(noise)
    p_z = chain.believe(x, z.new_full((len(z),), levels[0]))
    if not isinstance(p_z, Normal):
        raise InputError(f"the variational bound needs Normal posteriors, not {type(p_z).__name__}")
    p_z, x, z = Normal(p_z.mean.double(), p_z.std.double()), x.double(), z.double()
    if len(levels) == 1:
        return -log_probability_of_byte(p_z, z).flatten(1).sum(1)
    b_x, b_y = (z.new_full((len(z),), level) for level in levels)
    lag = ancestral_lag(*levels)
    q = chain.kernel.transition_given(x, b_x, b_y, z, lag)
    p = chain.kernel.transition(x, b_x, b_y, p_z, lag)
    assert isinstance(q, Normal)
    assert isinstance(p, Normal)
    return divergence(q, p)


def ancestral_lag(level_x: float, level_y: float) -> float:
    """The lag w = a_x b_y / (a_y b_x) with which a step down is the noising run backwards."""
    a_x, a_y = (signal(torch.tensor(b, dtype=torch.float64)) for b in (level_x, level_y))
    return (a_x * level_y / (a_y * level_x)).item()


def divergence(q: Normal, p: Normal) -> Tensor:
    """KL(q | p) in nats, summed over pixels: (B,)."""
    ratio = (q.std / p.std).square()
    nats = 0.5 * (ratio - 1 - ratio.log() + ((q.mean - p.mean) / p.std).square())
    return nats.flatten(1).sum(1)


def log_probability_of_byte(p_z: Normal, z: Tensor) -> Tensor:
    """Log-probability of each byte in nats; z (B, C, H, W) holds bytes as states."""
    low = ((z - HALF_BYTE - p_z.mean) / p_z.std).masked_fill(z <= -1 + HALF_BYTE, -math.inf)
    high = ((z + HALF_BYTE - p_z.mean) / p_z.std).masked_fill(z >= 1 - HALF_BYTE, math.inf)
    flipped = low + high > 0  # take differences of small numbers only: in the lower tail
    low, high = torch.where(flipped, -high, low), torch.where(flipped, -low, high)
    below, above = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    nats: Tensor = above + torch.log(-torch.expm1(below - above))
    return nats
