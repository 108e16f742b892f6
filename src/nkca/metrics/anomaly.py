r"""Which images are unlike those of a model? Scores of single images, and how well they tell.

The deterministic chain takes an image z up the levels b_0 < ... < b_T, from x_0 = a_0 z, without noise:

    e_t = (x_t - a_t D(x_t)) / sqrt(b_t)        the noise that the model sees in x_t, D the mean of p(z|x)
    x_(t+1) = a_(t+1) D(x_t) + sqrt(b_(t+1)) e_t

Its energy |e_t|² and its change |e_(t+1) - e_t|², means over pixels, say whether the path is that of a
typical image, without any training on others (after DiffPath: Heng et al. 2024, arXiv 2405.11881). Three
scores, the larger the stranger:

    noise path              -log density of the logarithms of both at each level, under a fitted normal
    energy and smoothness   the same of two numbers, their sums over levels
    reconstruction          |D(x) - z|² with x a noised z at level 0.6; nothing is fitted

The normal distributions are fitted to one half of the reference. AUROC is the probability that an image of
another set has a larger score than one of the other half: 0.5 for sets that look alike, 1 where all are
told.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nkca.errors import InputError, require
from nkca.kernels.continuous import ContinuousKernel
from nkca.levels import expand
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.sampling.ladders import sigma_ladder

Array = npt.NDArray[np.float64]
STEPS = 10  # of the path
RECONSTRUCTED_FROM = 0.6
EVALUATIONS = STEPS + 2  # of each image
LEAST = 100  # images of the reference
MOST_FITTED = 500
SMALLEST = 1e-12  # energies are clamped to it before their logarithm


@dataclass(frozen=True)
class Features:
    """What the scores are made of, for N images.

    Args:
        energies: (N, STEPS + 1), |e_t|².
        changes: (N, STEPS), |e_(t+1) - e_t|².
        reconstruction: (N,).
    """

    energies: Tensor
    changes: Tensor
    reconstruction: Tensor

    def of_path(self) -> Array:
        """The logarithms of energies and changes, (N, 2 STEPS + 1)."""
        return _log(torch.cat([self.energies, self.changes], 1))

    def of_sums(self) -> Array:
        """The logarithms of their sums over levels, (N, 2)."""
        return _log(torch.stack([self.energies.sum(1), self.changes.sum(1)], 1))


@dataclass(frozen=True)
class Told:
    """How well images of another set are told from the reference: AUROC by each score."""

    images: int
    noise_path: float
    energy_and_smoothness: float
    reconstruction: float


@dataclass(frozen=True)
class Anomaly:
    """AUROC for each other set; of the reference ``fitted`` images were fitted, ``held_out`` compared."""

    sets: Mapping[str, Told]
    fitted: int
    held_out: int

    def __str__(self) -> str:
        names = [name.replace("_", " ") for name in Told.__dataclass_fields__]
        width = max(map(len, self.sets)) + 2
        rows = [[f"{'AUROC':<{width}}", *(f"{name:>23}" for name in names)]]
        for other, told in self.sets.items():
            count, *scores = asdict(told).values()
            rows.append([f"{other:<{width}}", f"{count:>23,}", *(f"{s:>23.4f}" for s in scores)])
        head = (
            f"{self.held_out:,} images of the reference against others; {self.fitted:,} more were "
            "fitted; 0.5: alike, 1: all are told; noise path is the score to use"
        )
        return "\n".join([head, *("".join(row) for row in rows)])


def told_apart(
    model: Model,
    images: Tensor,
    others: Mapping[str, Tensor],
    *,
    seed: int = 0,
    batch_size: int = 64,
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> Anomaly:
    """How well images of other sets are told from the reference; synthetic ones are added.

    Args:
        images: of the reference, uint8 (N, C, H, W), which should not have been trained on: half of
            them, at most `MOST_FITTED`, are fitted.
        others: uint8 (M, C, H, W) each.
        tick: called with (done, total), in denoiser evaluations.

    Raises:
        InputError: for a model of categories, fewer than `LEAST` images, or images of another shape.
    """
    require(len(images) >= LEAST, "images of the reference", f"at least {LEAST}", len(images))
    order = torch.randperm(len(images), generator=_generator(seed, "halves"))
    count = min(len(images) // 2, MOST_FITTED)
    fitted, held_out = images[order[:count]], images[order[count:]]
    others = {**others, **synthetic_sets(held_out, seed)}
    total = EVALUATIONS * (len(images) + sum(map(len, others.values())))
    done = 0
    tick(0, total)

    def measured(part: Tensor) -> Features:
        nonlocal done
        before, done = done, done + EVALUATIONS * len(part)
        tell = lambda made: tick(before + made, total)  # noqa: E731
        return features_of(model, part, seed=seed, batch_size=batch_size, tick=tell)

    known, real = measured(fitted), measured(held_out)
    told = {}
    for name, part in others.items():
        strange = measured(part)
        told[name] = Told(
            len(part),
            auroc(*strangeness(known.of_path(), real.of_path(), strange.of_path())),
            auroc(*strangeness(known.of_sums(), real.of_sums(), strange.of_sums())),
            auroc(real.reconstruction.numpy(), strange.reconstruction.numpy()),
        )
    return Anomaly(told, count, len(held_out))


@torch.inference_mode()
def features_of(
    model: Model,
    images: Tensor,
    *,
    seed: int = 0,
    batch_size: int = 64,
    tick: Callable[[int], None] = lambda _done: None,
) -> Features:
    """The features of images, uint8 (N, C, H, W); `EVALUATIONS` of the denoiser for each.

    Raises:
        InputError: for a model of categories, or images of another shape.
    """
    if not isinstance(model.chain.kernel, ContinuousKernel):
        raise InputError("scores of anomaly are for models of continuous pixels")
    shape = tuple(images.shape[1:])
    require(shape == model.data_shape, "images", f"of {model.data_shape}", shape)
    parts = []
    for first in range(0, len(images), batch_size):
        z = model.pixels.to_state(images[first : first + batch_size].to(model.device))
        noise = Noise([derive_seed("anomaly", seed, first + row) for row in range(len(z))])
        level = torch.full((len(z),), RECONSTRUCTED_FROM, device=model.device)
        x = model.chain.kernel.add_noise(z, level).sample(noise)
        error = _mean_square(model.chain.believe(x, level).mean - z)
        parts.append((*_path(model, z), error))
        tick(EVALUATIONS * (first + len(z)))
    energies, changes, errors = (
        torch.cat(rows).double().cpu() for rows in zip(*parts, strict=True)
    )
    return Features(energies, changes, errors)


def _path(model: Model, z: Tensor) -> tuple[Tensor, Tensor]:
    """The energies (B, STEPS + 1) and changes (B, STEPS) of the path of clean states z."""
    levels = sigma_ladder(1.0, model.min_noise, STEPS)[::-1]
    x, found = (1 - levels[0]) * z, []
    for step, level in enumerate(levels):
        b = torch.full((len(z),), level, device=z.device)
        mean = model.chain.believe(x, b).mean
        found.append((x - (1 - expand(b, x)) * mean) / math.sqrt(level))
        if step < STEPS:
            x = (1 - levels[step + 1]) * mean + math.sqrt(levels[step + 1]) * found[-1]
    e = torch.stack(found, 1).flatten(2)
    return e.square().mean(2), e.diff(dim=1).square().mean(2)


def synthetic_sets(images: Tensor, seed: int) -> dict[str, Tensor]:
    """As many images as ``images``, uint8 (N, C, H, W), of CF-EBM's three kinds (Zhao et al. 2021).

    Uniform noise; one uniform colour each; means of two of ``images``.
    """
    draw, shape = _generator(seed, "synthetic"), images.shape
    partners = images.roll(1, 0)
    return {
        "uniform noise": torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8),
        "constants": torch.randint(
            0, 256, (*shape[:2], 1, 1), generator=draw, dtype=torch.uint8
        ).expand(shape),
        "interpolations": ((images.int() + partners.int()) // 2).to(torch.uint8),
    }


def strangeness(fitted: Array, *sets: Array) -> list[Array]:
    """-log density of rows (N, D) of ``sets`` under the normal of ``fitted``, up to a constant."""
    center = fitted.mean(0)
    precision = np.linalg.pinv(np.cov(fitted.T))
    return [np.einsum("nd,de,ne->n", x - center, precision, x - center) / 2 for x in sets]


def auroc(real: Array, strange: Array) -> float:
    """The probability that a number of ``strange`` is larger than one of ``real``; ties count half."""
    both = np.concatenate([real, strange])
    _, place, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # from 1, equal numbers share their mean
    above = ranks[len(real) :].sum() - len(strange) * (len(strange) + 1) / 2
    return float(above / (len(real) * len(strange)))


def _log(values: Tensor) -> Array:
    found: Array = values.clamp(min=SMALLEST).log().numpy()
    return found


def _mean_square(values: Tensor) -> Tensor:
    return values.flatten(1).square().mean(1)


def _generator(seed: int, purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed("anomaly", purpose, seed))
