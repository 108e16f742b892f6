"""Finished pictures: a function of the tile's state, and no change to any chain."""

import base64
import dataclasses

import pytest
import torch
from live_chains import SPACES, exact_model, explorer_of, steps, ten_pictures
from torch import Tensor

from nkca.live.chains.events import Keep, Level, MakeSteps, Paint, Start
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.chains.finish import finish
from nkca.live.chains.masks import pace_text
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures
from nkca.sampling.reconstruction import STEPS

TILES = 6
ALL = list(range(TILES))


def is_data(pictures: Tensor) -> list[bool]:
    """Which pictures are among the ten images that are the data."""
    return [bool((picture == ten_pictures()).flatten(1).all(1).any()) for picture in pictures]


@pytest.mark.parametrize("space", SPACES)
def test_the_next_hundred_states_are_the_same_to_the_bit(space: str) -> None:
    looked, other = explorer_of(space, TILES), explorer_of(space, TILES)
    for explorer in (looked, other):
        explorer.apply([Level(0.5)])
    for _ in range(100):
        looked.step()
        finish(looked.model, looked.state.moment, ALL)
        other.step()
        assert torch.equal(looked.state.moment.x, other.state.moment.x)


def test_finished_pictures_are_data_where_denoised_ones_are_not() -> None:
    """At level 0.9 the mean of p(z|x) is a mixture of the images; the way down ends at one of them."""
    explorer = explorer_of("continuous", TILES)
    explorer.apply([Level(0.9)])
    steps(explorer, 5)
    moment = explorer.state.moment
    mean = explorer.model.pixels.to_uint8(
        explorer.model.chain.believe(moment.x, torch.full((TILES,), 0.9)).mean
    )
    assert not all(is_data(mean))
    assert all(is_data(finish(explorer.model, moment, ALL)))


@pytest.mark.parametrize("space", SPACES)
def test_each_tile_is_finished_by_itself_at_its_own_level(space: str) -> None:
    explorer = explorer_of(space, TILES)
    explorer.apply([Level(0.6)])
    steps(explorer, 3)
    explorer.apply([Start(1, as_text(ten_pictures()[3]))])
    moment = explorer.state.moment
    together = finish(explorer.model, moment, ALL)
    for tile in ALL:
        assert torch.equal(finish(explorer.model, moment, [tile])[0], together[tile])
    assert torch.equal(together[1], ten_pictures()[3]), "at the lowest level: finished already"
    calls = explorer.model.chain.denoiser.calls  # type: ignore[attr-defined]
    calls.clear()
    finish(explorer.model, moment, ALL)
    assert calls == [TILES - 1] * STEPS


@pytest.mark.parametrize("space", SPACES)
def test_held_pixels_are_those_of_the_picture(space: str) -> None:
    explorer = explorer_of(space, TILES)
    explorer.apply([Level(0.7)])
    steps(explorer, 2)
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[:, 3:] = True
    explorer.apply([Paint(2, pace_text(255 * mask))])
    held = explorer.state.moment.pictures[2, :, :, :3].clone()
    steps(explorer, 3)
    finished = finish(explorer.model, explorer.state.moment, [2])[0]
    assert torch.equal(finished[:, :, :3], held)


def test_the_way_down_is_the_models_own_where_it_takes_no_noise() -> None:
    """With another deterministic sampler the finished pictures of the same states may differ."""
    explorer = explorer_of("continuous", 32)
    explorer.apply([Level(0.95)])
    steps(explorer, 1)
    model, rows = explorer.model, list(range(32))
    found = {}
    for sampler in ("chain", "ge", "ddim"):
        own = dataclasses.replace(model.sampling, sampler=sampler)
        sampled = dataclasses.replace(model, sampling=own)
        found[sampler] = finish(sampled, explorer.state.moment, rows)
    assert torch.equal(found["chain"], found["ge"])
    assert not torch.equal(found["chain"], found["ddim"])


def test_painting_a_finished_picture_holds_its_pixels() -> None:
    explorer = Explorer(exact_model(), Setup(TILES, seed=5))
    explorer.apply([Level(0.95), MakeSteps(3)])
    moment = explorer.state.moment
    finished = finish(explorer.model, moment, ALL)
    differs = (finished != moment.pictures).flatten(1).any(1).tolist()
    tile = differs.index(True)
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[0, 0] = True
    explorer.apply([Paint(tile, pace_text(255 * mask), finished=True)])
    assert torch.equal(explorer.state.moment.pictures[tile], finished[tile])
    explorer.apply([MakeSteps(3)])
    shown = explorer.state.moment.pictures[tile]
    assert torch.equal(shown.flatten()[1:], finished[tile].flatten()[1:])


@pytest.mark.parametrize("space", SPACES)
def test_what_is_kept_finished_is_finished_and_replayed(space: str) -> None:
    explorer = Explorer(exact_model(space), Setup(TILES, seed=5))
    explorer.apply([Level(0.95), MakeSteps(3)])
    moment = explorer.state.moment
    explorer.apply([Keep(tile, finished=True) for tile in ALL])
    kept = [kept.picture for kept in explorer.state.shelf]
    assert torch.equal(torch.stack(kept), finish(explorer.model, moment, ALL))
    assert not torch.equal(torch.stack(kept), moment.pictures)
    again = Explorer(explorer.model, explorer.setup)
    again.apply(list(explorer.state.record))
    for one, other in zip(explorer.state.shelf, again.state.shelf, strict=True):
        assert torch.equal(one.picture, other.picture)


def as_text(picture: Tensor) -> str:
    return base64.b64encode(png_bytes(as_pictures(picture.unsqueeze(0))[0])).decode()
