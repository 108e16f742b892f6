"""The tiles of the live page, one chain each, and every change to them: tiles in, tiles out.

All noise is a function of (seed, draw, tile). `Tiles.draw` counts the versions since the last restart, and
an undo makes a new version: an action repeated after an undo gets new noise, and a session replayed from
its start gets the same noise.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.condition import hold
from nkca.distributions.contracts import Posterior
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.sampling import tasks
from nkca.sampling.tasks import Schedule, draw_task

Value = TypeVar("Value")
START_STEPS = 32  # of the chain, from noise to the first pictures


@dataclass(frozen=True)
class Tiles:
    """The tiles at one moment: all that is needed to continue and to show them; B chains.

    Args:
        version: of this moment; every change increases it, undo included.
        origin: the version at the last restart; -1 before the first.
        step: transitions since the last restart.
        x: noisy states, (B, C, H, W).
        levels: the noise level of each row of x.
        pictures: the mode of p(z|x), uint8 (B, C, H, W) on the CPU; held pixels keep their exact value.
        repaint: bool (B, 1, H, W) on the CPU, True where pixels may change.
        noise_level: the level of the next step, except during an anneal.
        ahead: the remaining levels of an anneal.
        locked: which tiles steps do not change.
        picked: the selected tile, if any.
        change: mean absolute change of the pictures in the last step, 0 to 1; None: no step led here.
        label: the last action, in words.
        labelled: the version at which it happened.
        stepped: the version that the last step led to.
        only: the one tile that it moved; None: all free ones.
        offered: the version at which these tiles were offered for a choice, see `nkca.live.chains.choices`.
        current: the tile with the state from which that offer was made.
        from_prior: tiles begin at the prior where the model samples by its chain: in old sessions.
    """

    version: int
    origin: int
    seed: int
    step: int
    x: Tensor
    levels: tuple[float, ...]
    pictures: Tensor
    repaint: Tensor
    noise_level: float
    locked: tuple[bool, ...]
    ahead: tuple[float, ...] = ()
    picked: int | None = None
    change: float | None = None
    label: str = "start"
    labelled: int = 0
    stepped: int = -1
    only: int | None = None
    offered: int = -1
    current: int | None = None
    from_prior: bool = False

    def __len__(self) -> int:
        return len(self.x)

    @property
    def draw(self) -> int:
        """The index of the noise that the next change draws."""
        return self.version - self.origin

    @property
    def free(self) -> list[int]:
        """The tiles that are not locked."""
        return [tile for tile, locked in enumerate(self.locked) if not locked]

    def walking(self, only: int | None) -> list[int]:
        """The tiles that a step of one tile, or of all if None, moves."""
        return [tile for tile in self.free if only in (None, tile)]

    @property
    def masked(self) -> list[int]:
        """The tiles that hold some pixels."""
        return torch.nonzero(~self.repaint.flatten(1).all(1)).flatten().tolist()

    def nbytes(self) -> int:
        """The bytes of its tensors."""
        return sum(t.nbytes for t in (self.x, self.pictures, self.repaint))


@dataclass(frozen=True)
class Prediction:
    """The denoiser's prediction p(z|x) for some tiles, valid for every moment with this x.

    A new mask always comes with a new x (see `paint`), so masks need not be compared.
    """

    x: Tensor
    rows: list[int]
    p_z: Posterior

    def fits(self, moment: Tiles, rows: list[int]) -> bool:
        """Whether the prediction is valid for these tiles of this moment."""
        return self.x is moment.x and self.rows == rows


def holding(model: Model, chain: Chain, moment: Tiles, rows: list[int]) -> Chain:
    """The chain that keeps the pixels that these tiles hold."""
    held = ~moment.repaint[rows]
    if not held.any():
        return chain
    model.check_full_size("held pixels")
    z = model.pixels.to_state(moment.pictures[rows].to(model.device))
    return chain.conditioned(hold(held.to(model.device), z))


def predict(model: Model, moment: Tiles, rows: list[int]) -> Prediction:
    """Evaluate the denoiser once for these tiles, at least one."""
    levels = torch.tensor([moment.levels[row] for row in rows], device=model.device)
    chain = holding(model, model.chain, moment, rows)
    return Prediction(moment.x, rows, chain.believe(moment.x[rows], levels))


def step(
    model: Model, moment: Tiles, prediction: Prediction | None, only: int | None = None
) -> tuple[Tiles, Prediction | None]:
    """One Markov step of the free tiles, or of ``only`` one if it is free, to the requested level.

    Evaluates the denoiser at the new x, and first at the old x if ``prediction`` does not fit it.
    """
    rows = moment.walking(only)
    target, *ahead = moment.ahead or (moment.noise_level,)
    moved = dataclasses.replace(
        moment,
        step=moment.step + 1,
        noise_level=target,
        ahead=tuple(ahead),
        change=None,
        stepped=moment.version + 1,
        only=only,
    )
    if not rows:
        return moved, None
    if prediction is None or not prediction.fits(moment, rows):
        prediction = predict(model, moment, rows)
    level_y = torch.full((len(rows),), target, device=model.device)
    x = moment.x.clone()
    x[rows] = _next_states(model, moment, only, level_y, prediction)
    moved = dataclasses.replace(moved, x=x, levels=with_value(moment.levels, rows, target))
    prediction = predict(model, moved, rows)
    moved = with_pictures(model, moved, prediction)
    change = (moved.pictures[rows].float() - moment.pictures[rows]).abs().mean().item() / 255
    return dataclasses.replace(moved, change=change), prediction


def _next_states(
    model: Model, moment: Tiles, only: int | None, level_y: Tensor, prediction: Prediction
) -> Tensor:
    """The states of the tiles of ``prediction`` after a step."""
    rows, p_z = prediction.rows, prediction.p_z
    x = moment.x[rows]
    level_x = torch.tensor([moment.levels[row] for row in rows], device=model.device)
    carried = None
    if model.chain.averages_noise and (moment.stepped, moment.only) == (moment.version, only):
        before = dataclasses.replace(moment, version=moment.version - 1)
        carried = _noise(before, rows).normal(x)  # what the step to x drew
    return model.chain.step(x, (level_x, level_y), p_z, _noise(moment, rows), carried)[0]


def with_pictures(model: Model, moment: Tiles, prediction: Prediction) -> Tiles:
    """The moment with new pictures: the mode of p(z|x), and the held pixels unchanged."""
    rows = prediction.rows
    shown = model.pixels.to_uint8(prediction.p_z.mode()).cpu()
    pictures = moment.pictures.clone()
    pictures[rows] = torch.where(moment.repaint[rows], shown, pictures[rows])
    return dataclasses.replace(moment, pictures=pictures)


def first_tiles(
    model: Model,
    batch_size: int,
    seed: int,
    noise_level: float,
    images: Tensor | None,
    from_prior: bool = False,
) -> Tiles:
    """The first moment: every tile started anew, or from uint8 images (batch_size, C, H, W)."""
    channels, height, width = model.data_shape
    blank = torch.zeros(batch_size, channels, height, width, dtype=torch.uint8)
    moment = Tiles(
        version=-1,
        origin=-1,
        seed=seed,
        step=0,
        x=model.pixels.to_state(blank.to(model.device)),
        levels=(1.0,) * batch_size,
        pictures=blank,
        repaint=torch.ones(batch_size, 1, height, width, dtype=torch.bool),
        noise_level=noise_level,
        locked=(False,) * batch_size,
        from_prior=from_prior,
    )
    if images is None:
        started = from_noise(model, moment, moment.free)
    else:
        started = from_images(model, moment, images, range(batch_size))
    return dataclasses.replace(started, version=0)


def reseeded(moment: Tiles, seed: int) -> Tiles:
    """The moment as a restart: all noise from here on depends on the seed alone."""
    return dataclasses.replace(
        moment, seed=seed, origin=moment.version, step=0, ahead=(), change=None
    )


def from_noise(model: Model, moment: Tiles, rows: list[int]) -> Tiles:
    """Start some tiles anew from samples, in at most `START_STEPS` transitions; keep masks and held pixels.

    If one of the tiles holds pixels, they start from the prior at level 1, which costs one evaluation.
    """
    if not rows:
        return moment
    by_chain = model.sampling.sampler == "chain"
    if not (by_chain and moment.from_prior) and not set(rows) & set(moment.masked):
        steps = min(model.sampling.num_sampling_steps, START_STEPS) if by_chain else None
        seeds = [derive_seed("live start", moment.seed, moment.draw, tile) for tile in rows]
        samples = draw_task(model, tasks.from_noise(seeds), Schedule(num_steps=steps))
        return from_images(model, moment, samples, rows)
    prior = model.chain.kernel.prior((len(rows), *model.state_shape))
    x = moment.x.clone()
    x[rows] = prior.sample(_noise(moment, rows)).to(model.device)
    started = dataclasses.replace(moment, x=x, levels=with_value(moment.levels, rows, 1.0))
    return with_pictures(model, started, predict(model, started, rows))


def from_images(model: Model, moment: Tiles, images: Tensor, tiles: Sequence[int]) -> Tiles:
    """Start tiles from uint8 images (len(tiles), C, H, W), without masks.

    The images are shown unchanged; the next step noises them to the level that is set then.
    """
    pictures, repaint, x = moment.pictures.clone(), moment.repaint.clone(), moment.x.clone()
    rows = list(tiles)
    if rows:
        pictures[rows], repaint[rows] = images, True
        z = model.pixels.to_state(images.to(model.device))
        level = torch.full((len(rows),), model.min_noise, device=model.device)
        x[rows] = model.chain.kernel.add_noise(z, level).sample(_noise(moment, rows))
    levels = with_value(moment.levels, rows, model.min_noise)
    return dataclasses.replace(
        moment, x=x, levels=levels, pictures=pictures, repaint=repaint, change=None
    )


def copy_tile(moment: Tiles, tiles: Sequence[int], source: Tiles, tile: int) -> Tiles:
    """Copy a tile of ``source``, with its mask, to tiles of ``moment``."""
    rows = list(tiles)
    x, pictures, repaint = moment.x.clone(), moment.pictures.clone(), moment.repaint.clone()
    x[rows], pictures[rows] = source.x[tile], source.pictures[tile]
    repaint[rows] = source.repaint[tile]
    levels = with_value(moment.levels, rows, source.levels[tile])
    return dataclasses.replace(moment, x=x, pictures=pictures, repaint=repaint, levels=levels)


def paint(model: Model, moment: Tiles, tile: int, repaint: Tensor) -> Tiles:
    """Hold the picture of a tile where ``repaint``, bool (H, W), is False; if none is True, hold nothing.

    The held pixels are noised afresh to the tile's level, as if the chain had held them from its start.
    """
    if not repaint.any():
        repaint = torch.ones_like(repaint)
    masks, x = moment.repaint.clone(), moment.x.clone()
    masks[tile] = repaint
    z = model.pixels.to_state(moment.pictures[tile : tile + 1].to(model.device))
    level = torch.tensor([moment.levels[tile]], device=model.device)
    noised = model.chain.kernel.add_noise(z, level).sample(_noise(moment, [tile]))[0]
    x[tile] = torch.where(repaint.to(model.device), x[tile], noised)
    return dataclasses.replace(moment, x=x, repaint=masks)


def lock(moment: Tiles, tile: int, locked: bool) -> Tiles:
    """Lock or unlock a tile."""
    return dataclasses.replace(moment, locked=with_value(moment.locked, [tile], locked))


def with_value(values: tuple[Value, ...], rows: Sequence[int], value: Value) -> tuple[Value, ...]:
    """The values of all tiles, with another one for some."""
    return tuple(value if row in rows else old for row, old in enumerate(values))


def _noise(moment: Tiles, tiles: Sequence[int]) -> Noise:
    return Noise([derive_seed("live", moment.seed, moment.draw, tile) for tile in tiles])
