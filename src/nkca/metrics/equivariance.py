r"""Equivariance under translation: does a picture move with the noise that it is made of?

With t a shift by whole pixels, the mean over pixels that stay within the picture, and bytes of 0 to 255,
this is EQ-T in dB (Karras et al. 2021, arXiv 2106.12423, section 2):

    EQ-T = 10 log10(255² / E[(t(G(x)) - G(t(x)))²])

G is the sampler, x all of its noise; or the denoiser, x a noised picture, G(x) the mode of p(z|x). What of
the noise leaves at one side enters at the other. Infinite is exact; a network that pads its input or works
on patches is not.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
        tick: called with (done, total), in batches of pictures.

    Raises:
        InputError: if ``count`` is below 1.
    """
    require(count >= 1, "num_samples", "at least 1", count)
    shifts = tuple(range(1, max(min(model.data_shape[1:]) // SHARE, 1) + 1))
    batches = [range(f, min(f + batch_size, count)) for f in range(0, count, batch_size)]
    names = ["sampler", *(f"denoiser, level {level:g}" for level in LEVELS)]
    errors, pixels = torch.zeros(len(names), len(shifts)), torch.zeros(len(shifts))
    done = 0
    for rows in batches:
        still = [*_pictures(model, schedule or Schedule(), seed, rows, [(0, 0)] * len(rows))]
        for column, shift in enumerate(shifts):
            places = [(shift * down, shift * right) for down, right in map(_direction, rows)]
            stays = _stays(still[0], places)
            pixels[column] += stays.sum()
            found = _pictures(model, schedule or Schedule(), seed, rows, places, still[0])
            for line, (before, after) in enumerate(zip(still, found, strict=True)):
                difference = moved(before, places).float() - after.float()
                errors[line, column] += (difference.square() * stays).sum()
            done += 1
            tick(done, len(batches) * len(shifts))
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


def _pictures(
    model: Model,
    schedule: Schedule,
    seed: int,
    rows: Sequence[int],
    places: Sequence[Place],
    still: Tensor | None = None,
) -> Iterator[Tensor]:
    """What the sampler makes of moved noise, then the denoiser of moved noised pictures: uint8, on the CPU.

    Args:
        still: the pictures to noise; None: those that were sampled.
    """
    task = from_noise([seed + row for row in rows])
    noise = ShiftedNoise(sample_noise(task.seeds), places)
    x, levels = task.start(model, schedule, noise), schedule.levels(model)
    chain = model.guided(schedule.strength(model))
    *_, last = schedule.sample_with(model)(chain, x, levels, noise)
    sampled = show_moment(model, task, last)
    yield sampled
    z = model.pixels.to_state((sampled if still is None else still).to(model.device))
    for level in LEVELS:
        draws = Noise([derive_seed("equivariance", seed, row, str(level)) for row in rows])
        b = torch.full((len(z),), level, device=model.device)
        x = moved(model.chain.kernel.add_noise(z, b).sample(draws), places)
        yield model.pixels.to_uint8(model.chain.believe(x, b).mode()).cpu()
