r"""Equivariance under translation: does a picture move with the noise that it is made of?

With t a shift by whole pixels, the mean over pixels that stay within the picture, and bytes of 0 to 255,
this is EQ-T in dB (Karras et al. 2021, arXiv 2106.12423, section 2):

    EQ-T = 10 log10(255² / E[(t(G(x)) - G(t(x)))²])

G is the sampler, x all of its noise; or the denoiser, x a noised picture, G(x) the mode of p(z|x). What of
the noise leaves at one side enters at the other. Infinite is exact; a network that pads its input or works
on patches is not.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.errors import require
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed, sample_noise
from nkca.sampling.tasks import Schedule, from_noise, show_moment

COUNT = 64
LEVELS = (0.1, 0.3, 0.6)
SHARE = 8  # the largest shift is the shorter side divided by it, at least 1
DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0))
Place = tuple[int, int]
"""How many rows and columns a picture is moved by."""


class ShiftedNoise(Noise):
    """The draws of some streams, moved cyclically if they are states (B, C, H, W, ...)."""

    def __init__(self, noise: Noise, places: Sequence[Place]) -> None:
        super().__init__([])
        self._noise, self._places = noise, places

    def __getitem__(self, rows: slice) -> "ShiftedNoise":
        """The streams of some rows."""
        return ShiftedNoise(self._noise[rows], self._places[rows])

    def __len__(self) -> int:
        return len(self._noise)

    def normal(self, like: Tensor) -> Tensor:
        """See `Noise`."""
        return moved(self._noise.normal(like), self._places)

    def uniform(self, like: Tensor) -> Tensor:
        """See `Noise`."""
        return moved(self._noise.uniform(like), self._places)


def moved(states: Tensor, places: Sequence[Place]) -> Tensor:
    """Each of (B, C, H, W, ...) moved cyclically by its place; of fewer dimensions, as they are."""
    if states.ndim < 4:
        return states
    rows = [state.roll(place, (1, 2)) for state, place in zip(states, places, strict=True)]
    return torch.stack(rows)


@dataclass(frozen=True)
class Equivariance:
    """EQ-T in dB of what is named, at each of ``shifts`` pixels; None where nothing differs: infinite."""

    eq_t: Mapping[str, tuple[float | None, ...]]
    shifts: tuple[int, ...]
    pictures: int

    def __str__(self) -> str:
        head = f"EQ-T in dB of {self.pictures:,} pictures, moved by whole pixels; higher is better"
        titles = "".join(f"{shift:>9} px" for shift in self.shifts)
        rows = [
            f"{name:<24}" + "".join(f"{'inf' if dB is None else f'{dB:.2f}':>12}" for dB in values)
            for name, values in self.eq_t.items()
        ]
        return "\n".join([head, f"{'':<24}{titles}", *rows])


@torch.inference_mode()
def equivariance(
    model: Model,
    schedule: Schedule | None = None,
    *,
    count: int = COUNT,
    seed: int = 0,
    batch_size: int = 64,
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> Equivariance:
    """EQ-T of the sampler of new pictures, and of the denoiser of those pictures noised to `LEVELS`.

    Picture number i is moved in direction i mod 4.

    Args:
        schedule: of the pictures.
        tick: called with (done, total), in levels of pictures.

    Raises:
        InputError: if ``count`` is below 1.
    """
    require(count >= 1, "num_samples", "at least 1", count)
    shifts = tuple(range(1, max(min(model.data_shape[1:]) // SHARE, 1) + 1))
    batches = [range(f, min(f + batch_size, count)) for f in range(0, count, batch_size)]
    names = ["sampler", *(f"denoiser, level {level:g}" for level in LEVELS)]
    errors = torch.zeros(len(names), len(shifts), dtype=torch.float64)
    pixels = torch.zeros(len(shifts), dtype=torch.float64)
    schedule, done = schedule or Schedule(), 0
    total = count * (1 + len(shifts)) * (len(schedule.levels(model)) + len(LEVELS))
    tick(done, total)

    def evaluated(x: Tensor) -> None:
        nonlocal done
        done += len(x)
        tick(done, total)

    def pictures(rows: range, places: Sequence[Place], still: Tensor | None = None) -> list[Tensor]:
        seeds = [seed + row for row in rows]
        made = [_sampled(model, schedule, seeds, places, evaluated)]
        for level in LEVELS:
            made.append(_denoised(model, made[0] if still is None else still, level, seeds, places))
            evaluated(made[0])
        return made

    for rows in batches:
        still = pictures(rows, [(0, 0)] * len(rows))
        for column, shift in enumerate(shifts):
            places = [(shift * down, shift * right) for down, right in map(_direction, rows)]
            stays = _stays(still[0], places)
            pixels[column] += stays.sum()
            found = pictures(rows, places, still[0])
            for line, (before, after) in enumerate(zip(still, found, strict=True)):
                difference = moved(before, places).double() - after.double()
                errors[line, column] += (difference.square() * stays).sum()
    values = (errors / pixels).tolist()
    eq_t = {name: tuple(map(decibels, row)) for name, row in zip(names, values, strict=True)}
    return Equivariance(eq_t, shifts, count)


def decibels(squared_error: float) -> float | None:
    """10 log10(255² / squared_error); None for 0."""
    return 10 * math.log10(255**2 / squared_error) if squared_error else None


def _direction(row: int) -> Place:
    return DIRECTIONS[row % len(DIRECTIONS)]


def _stays(pictures: Tensor, places: Sequence[Place]) -> Tensor:
    """Whether each pixel of moved pictures came from within: bool, as pictures (B, C, H, W)."""
    inside = torch.ones_like(pictures, dtype=torch.bool)
    for row, (down, right) in zip(inside, places, strict=True):
        row[:, : max(down, 0)] = row[:, :, : max(right, 0)] = False
        row[:, row.shape[1] + min(down, 0) :] = row[:, :, row.shape[2] + min(right, 0) :] = False
    return inside


def _sampled(
    model: Model,
    schedule: Schedule,
    seeds: Sequence[int],
    places: Sequence[Place],
    evaluated: Callable[[Tensor], None],
) -> Tensor:
    """What the sampler makes of the noise of ``seeds``, moved: uint8, on the CPU."""
    task = from_noise(seeds)
    noise = ShiftedNoise(sample_noise(seeds), places)
    x, levels = task.start(model, schedule, noise), schedule.levels(model)
    chain = model.guided(schedule.strength(model))
    for moment in schedule.sample_with(model)(chain, x, levels, noise):
        evaluated(moment.x)
    return show_moment(model, task, moment)


def _denoised(
    model: Model, pictures: Tensor, level: float, seeds: Sequence[int], places: Sequence[Place]
) -> Tensor:
    """What the denoiser makes of pictures noised to a level and moved: uint8, on the CPU."""
    z = model.pixels.to_state(pictures.to(model.device))
    noise = Noise([derive_seed("equivariance", seed, str(level)) for seed in seeds])
    b = torch.full((len(z),), level, device=model.device)
    x = moved(model.chain.kernel.add_noise(z, b).sample(noise), places)
    return model.pixels.to_uint8(model.chain.believe(x, b).mode()).cpu()
