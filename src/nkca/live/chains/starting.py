"""Tiles that start anew: from samples, from pictures, or from a mask that holds a part of one."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from nkca.live.chains.tiles import FULL_PACE, Tiles, tile_noise, with_value
from nkca.live.chains.walking import predict, with_pictures
from nkca.models.model import Model
from nkca.noise import derive_seed
from nkca.sampling import tasks
from nkca.sampling.tasks import Schedule, draw_task

START_STEPS = 32  # of the chain, from noise to the first pictures


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
        pace=torch.full((batch_size, 1, height, width), FULL_PACE, dtype=torch.uint8),
        noise_level=noise_level,
        locked=(False,) * batch_size,
        from_prior=from_prior,
    )
    if images is None:
        started = from_noise(model, moment, moment.free)
    else:
        started = from_images(model, moment, images, range(batch_size))
    return dataclasses.replace(started, version=0)


def from_noise(model: Model, moment: Tiles, rows: list[int]) -> Tiles:
    """Start some tiles anew from samples, in at most `START_STEPS` transitions; keep masks and held pixels.

    If one of the tiles holds something, they start from the prior at level 1, which costs one evaluation.
    """
    if not rows:
        return moment
    by_chain = model.sampling.sampler == "chain"
    if not (by_chain and moment.from_prior) and not moment.holds_any(rows):
        steps = min(model.sampling.num_sampling_steps, START_STEPS) if by_chain else None
        seeds = [derive_seed("live start", moment.seed, moment.draw, tile) for tile in rows]
        samples = draw_task(model, tasks.from_noise(seeds), Schedule(num_steps=steps))
        return from_images(model, moment, samples, rows)
    prior = model.chain.kernel.prior((len(rows), *model.state_shape))
    x = moment.x.clone()
    x[rows] = prior.sample(tile_noise(moment, rows)).to(model.device)
    started = dataclasses.replace(moment, x=x, levels=with_value(moment.levels, rows, 1.0))
    return with_pictures(model, started, predict(model, started, rows))


def from_images(model: Model, moment: Tiles, images: Tensor, tiles: Sequence[int]) -> Tiles:
    """Start tiles from uint8 images (len(tiles), C, H, W), without masks.

    The images are shown unchanged; the next step noises them to the level that is set then.
    """
    pictures, pace, x = moment.pictures.clone(), moment.pace.clone(), moment.x.clone()
    rows = list(tiles)
    if rows:
        pictures[rows], pace[rows] = images, FULL_PACE
        x[rows] = noised(model, moment, rows, images, model.min_noise)
    levels = with_value(moment.levels, rows, model.min_noise)
    return dataclasses.replace(
        moment, x=x, levels=levels, pictures=pictures, pace=pace, change=None
    )


def noised(
    model: Model, moment: Tiles, rows: Sequence[int], pictures: Tensor, level: float
) -> Tensor:
    """The states (len(rows), C, H, W) of uint8 pictures, noised to a level by the tiles' next noise."""
    z = model.pixels.to_state(pictures.to(model.device))
    levels = torch.full((len(rows),), level, device=model.device)
    return model.chain.kernel.add_noise(z, levels).sample(tile_noise(moment, rows))


def paint(model: Model, moment: Tiles, tile: int, pace: Tensor) -> Tiles:
    """Hold the picture of a tile where ``pace``, uint8 (H, W), is 0; if it is 0 everywhere, hold nothing.

    The held pixels are noised afresh to the tile's level, as if the chain had held them from its start.
    """
    if not pace.any():
        pace = torch.full_like(pace, FULL_PACE)
    paces, x = moment.pace.clone(), moment.x.clone()
    paces[tile] = pace
    picture = moment.pictures[tile : tile + 1]
    fresh = noised(model, moment, [tile], picture, moment.levels[tile])[0]
    x[tile] = torch.where((pace > 0).to(model.device), x[tile], fresh)
    return dataclasses.replace(moment, x=x, pace=paces)
