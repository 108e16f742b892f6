"""The tiles of the live page, one chain each, and every change to them: state in, state out.

All randomness is a function of (seed, draw, tile): `Tiles.draw` counts whatever happened since the last
restart and never goes back, so what is done again after an undo comes out differently, and a session
that is repeated from its start comes out the same.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.denoisers.condition import hold
from nkca.distributions.contracts import Posterior
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed


@dataclass(frozen=True)
class Tiles:
    """The tiles at one moment: all that is needed to go on and to show them; B chains.

    Args:
        version: of this moment; it rises with everything that happens, undo included.
        origin: the version at the last restart; of the first moment -1.
        step: transitions from the start to here.
        x: noisy states, (B, C, H, W).
        levels: the noise level of each row of x.
        pictures: the mode of p(z|x), uint8 (B, C, H, W) on the CPU; where a pixel is held, that pixel.
        repaint: bool (B, 1, H, W) on the CPU, True where pixels may change.
        noise_level: where the next step goes, unless an anneal is on.
        ahead: the levels of an anneal that are still to come.
        locked: which tiles are left alone.
        change: mean absolute change of the pictures in the last step, 0 to 1; None: no step was made.
        label: what a person did last, in words.
        labelled: the version when that was.
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

    def __len__(self) -> int:
        return len(self.x)

    @property
    def draw(self) -> int:
        """Names the randomness of what happens next."""
        return self.version - self.origin

    @property
    def free(self) -> list[int]:
        """The tiles that steps move."""
        return [tile for tile, locked in enumerate(self.locked) if not locked]

    @property
    def masked(self) -> list[int]:
        """The tiles of which some pixels are held."""
        return torch.nonzero(~self.repaint.flatten(1).all(1)).flatten().tolist()

    def nbytes(self) -> int:
        """The memory of its tensors."""
        return sum(t.nbytes for t in (self.x, self.pictures, self.repaint))


@dataclass(frozen=True)
class Belief:
    """p(z|x) of the free tiles of every moment that has this x and these locks.

    A new mask comes with a new x: see `paint`.
    """

    x: Tensor
    locked: tuple[bool, ...]
    p_z: Posterior

    def fits(self, moment: Tiles) -> bool:
        """Whether it is what the model believes at this moment."""
        return self.x is moment.x and self.locked == moment.locked


def believe(model: Model, moment: Tiles) -> Belief:
    """Evaluate the denoiser, once, at the free tiles (of which there must be some)."""
    rows = moment.free
    levels = torch.tensor([moment.levels[row] for row in rows], device=model.device)
    chain, held = model.chain, ~moment.repaint[rows]
    if held.any():
        z = model.pixels.to_state(moment.pictures[rows].to(model.device))
        chain = chain.conditioned(hold(held.to(model.device), z))
    return Belief(moment.x, moment.locked, chain.believe(moment.x[rows], levels))


def step(model: Model, moment: Tiles, belief: Belief | None) -> tuple[Tiles, Belief | None]:
    """One Markov step of the free tiles to the level that is asked for.

    One denoiser evaluation, of the new x; another of the old one if ``belief`` is not about it.
    """
    rows = moment.free
    target, *ahead = moment.ahead or (moment.noise_level,)
    moved = dataclasses.replace(
        moment, step=moment.step + 1, noise_level=target, ahead=tuple(ahead), change=None
    )
    if not rows:
        return moved, None
    if belief is None or not belief.fits(moment):
        belief = believe(model, moment)
    level_x = torch.tensor([moment.levels[row] for row in rows], device=model.device)
    level_y = torch.full_like(level_x, target)
    p_y = model.chain.move(moment.x[rows], level_x, level_y, belief.p_z)
    x = moment.x.clone()
    x[rows] = p_y.sample(_noise(moment, rows))
    levels = tuple(
        level if locked else target
        for level, locked in zip(moment.levels, moment.locked, strict=True)
    )
    moved = dataclasses.replace(moved, x=x, levels=levels)
    belief = believe(model, moved)
    moved = picture(model, moved, belief)
    change = (moved.pictures[rows].float() - moment.pictures[rows]).abs().mean().item() / 255
    return dataclasses.replace(moved, change=change), belief


def picture(model: Model, moment: Tiles, belief: Belief) -> Tiles:
    """Show what is believed: the mode of p(z|x), and the held pixels bit for bit."""
    rows = moment.free
    shown = model.pixels.to_uint8(belief.p_z.mode()).cpu()
    pictures = moment.pictures.clone()
    pictures[rows] = torch.where(moment.repaint[rows], shown, pictures[rows])
    return dataclasses.replace(moment, pictures=pictures)


def begin(
    model: Model, batch_size: int, seed: int, noise_level: float, images: Tensor | None
) -> Tiles:
    """The first moment: every tile from noise, or from uint8 images (batch_size, C, H, W)."""
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
    )
    if images is None:
        started = from_noise(model, moment)
    else:
        started = from_images(model, moment, images, range(batch_size))
    return dataclasses.replace(started, version=0)


def anew(moment: Tiles, seed: int) -> Tiles:
    """The moment as a new beginning: what is random from here on depends on the seed alone."""
    return dataclasses.replace(
        moment, seed=seed, origin=moment.version, step=0, ahead=(), change=None
    )


def from_noise(model: Model, moment: Tiles) -> Tiles:
    """Start the free tiles from the prior at level 1; masks and what they hold stay. Evaluates once."""
    rows = moment.free
    if not rows:
        return moment
    prior = model.chain.kernel.prior((len(rows), *model.data_shape))
    x = moment.x.clone()
    x[rows] = prior.sample(_noise(moment, rows)).to(model.device)
    started = dataclasses.replace(moment, x=x, levels=_with(moment.levels, rows, 1.0))
    return picture(model, started, believe(model, started))


def from_images(model: Model, moment: Tiles, images: Tensor, tiles: Sequence[int]) -> Tiles:
    """Start tiles from uint8 images (len(tiles), C, H, W), without masks.

    They are shown as they are; the next step noises them to the level that is asked for then.
    """
    pictures, repaint, x = moment.pictures.clone(), moment.repaint.clone(), moment.x.clone()
    rows = list(tiles)
    if rows:
        pictures[rows], repaint[rows] = images, True
        z = model.pixels.to_state(images.to(model.device))
        level = torch.full((len(rows),), model.min_noise, device=model.device)
        x[rows] = model.chain.kernel.add_noise(z, level).sample(_noise(moment, rows))
    levels = _with(moment.levels, rows, model.min_noise)
    return dataclasses.replace(
        moment, x=x, levels=levels, pictures=pictures, repaint=repaint, change=None
    )


def put(moment: Tiles, tiles: Sequence[int], source: Tiles, tile: int) -> Tiles:
    """Put a tile of ``source``, mask and all, into tiles of ``moment``."""
    rows = list(tiles)
    x, pictures, repaint = moment.x.clone(), moment.pictures.clone(), moment.repaint.clone()
    x[rows], pictures[rows] = source.x[tile], source.pictures[tile]
    repaint[rows] = source.repaint[tile]
    levels = _with(moment.levels, rows, source.levels[tile])
    return dataclasses.replace(moment, x=x, pictures=pictures, repaint=repaint, levels=levels)


def paint(model: Model, moment: Tiles, tile: int, repaint: Tensor) -> Tiles:
    """Hold the picture of a tile where ``repaint``, bool (H, W), is False; none or all True: nowhere.

    What is held is noised anew to the level of the tile, as if the chain had always known it.
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
    """Lock a tile or set it free."""
    return dataclasses.replace(moment, locked=_with(moment.locked, [tile], locked))


def _with(values: tuple, rows: Sequence[int], value: object) -> tuple:  # type: ignore[type-arg]
    changed = list(values)
    for row in rows:
        changed[row] = value
    return tuple(changed)


def _noise(moment: Tiles, tiles: Sequence[int]) -> Noise:
    return Noise([derive_seed("live", moment.seed, moment.draw, tile) for tile in tiles])
