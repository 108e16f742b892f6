"""Fans, mixtures and discarded tiles: legal states, at the levels that are shown."""

import dataclasses

import pytest
import torch
from live_chains import SPACES, exact_model, explorer_of, steps

from nkca.errors import InputError
from nkca.live.chains.arrangements import FAN_LEVELS, mixture
from nkca.live.chains.events import Discard, Event, Fan, Level, Lock, MakeSteps, Mix, Paint, Undo
from nkca.live.chains.explorer import Explorer
from nkca.live.chains.masks import pace_text
from nkca.noise import Noise

TILES = 12


def walked(*events: Event, space: str = "continuous") -> Explorer:
    explorer = explorer_of(space, TILES)
    explorer.apply([Level(0.4), MakeSteps(3), *events])
    return explorer


def test_mixtures_have_the_mean_and_variance_of_noised_mixtures() -> None:
    """Of x = a z + sqrt(b) e and x' alike the mixture is linear: its moments are known to rounding."""
    b, many = 0.3, 5
    u = torch.linspace(0, 1, many, dtype=torch.float64)
    shape = (1, 2, 2)

    class Fixed(Noise):
        """Noise that is 1 in every pixel: shows the factor of the fresh noise."""

        def normal(self, like: torch.Tensor) -> torch.Tensor:
            return torch.ones_like(like)

    noise = Fixed(range(many))
    zero, one = (torch.full(shape, v, dtype=torch.float64) for v in (0.0, 1.0))
    fresh = mixture(zero, zero, u, b, noise)
    of_first = mixture(one, zero, u, b, noise) - fresh
    of_second = mixture(zero, one, u, b, noise) - fresh
    assert (of_first - u.view(-1, 1, 1, 1)).abs().max() < 1e-12
    assert (of_first + of_second - 1).abs().max() < 1e-12, "the mean is a (u z + (1 - u) z')"
    variance = b * (of_first.square() + of_second.square()) + fresh.square()
    assert (variance - b).abs().max() < 1e-12
    without = b * (of_first.square() + of_second.square())
    assert (without - b).abs().max() > 0.1, "the control: without fresh noise it is too small"


def test_a_mixture_of_categories_has_each_pixel_from_one_of_them() -> None:
    one, other = torch.zeros(1, 20, 20, dtype=torch.long), torch.ones(1, 20, 20, dtype=torch.long)
    u = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    mixed = mixture(one, other, u, 0.5, Noise([1, 2, 3])).float().mean((1, 2, 3))
    assert mixed[0] == 1
    assert mixed[2] == 0
    assert abs(mixed[1] - 0.75) < 4 * (0.75 * 0.25 / 400) ** 0.5


@pytest.mark.parametrize("space", SPACES)
def test_a_row_of_mixtures_leads_from_one_tile_to_the_other(space: str) -> None:
    explorer = walked(space=space)
    before = explorer.state.moment
    explorer.apply([Mix(4, 9)])
    moment = explorer.state.moment
    assert torch.allclose(moment.x[0].double(), before.x[4].double(), atol=1e-6)
    assert torch.allclose(moment.x[-1].double(), before.x[9].double(), atol=1e-6)
    assert set(moment.levels) == {0.4}
    steps(explorer, 2)
    explorer.apply([Undo()])
    assert torch.equal(explorer.state.moment.x, before.x)


def test_a_fan_rises_in_level_and_holds_less_of_the_picture() -> None:
    explorer = walked()
    picture = explorer.state.moment.pictures[5]
    explorer.apply([Fan(5)])
    moment = explorer.state.moment
    assert moment.levels == tuple(level for level in FAN_LEVELS for _ in range(2))
    signal = [(x * explorer.model.pixels.to_state(picture)).mean().item() for x in moment.x]
    assert sum(signal[:4]) > sum(signal[-4:])
    steps(explorer, 1)
    assert set(explorer.state.moment.levels) == {0.4}, "the next step is at the level that is set"


@pytest.mark.parametrize("space", SPACES)
def test_discarded_tiles_start_again_and_no_others(space: str) -> None:
    explorer = walked(Lock(1, locked=True), space=space)
    before = explorer.state.moment
    explorer.apply([Discard(3)])
    moment = explorer.state.moment
    changed = [tile for tile in range(TILES) if not torch.equal(moment.x[tile], before.x[tile])]
    assert changed == [3]
    explorer.apply([Discard(3, rest=True)])
    rest = explorer.state.moment
    same = [tile for tile in range(TILES) if torch.equal(rest.x[tile], moment.x[tile])]
    assert same == [1, 3]
    explorer.apply([Discard(7, source=3)])
    assert torch.equal(explorer.state.moment.x[7], moment.x[3])


def test_what_cannot_be_mixed() -> None:
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[0] = True
    cases: list[tuple[list[Event], str]] = [
        ([Fan(0), Mix(0, 11)], "different levels"),
        ([Paint(2, pace_text(255 * mask)), Mix(2, 3)], "hold pixels"),
        ([Lock(tile, locked=True) for tile in range(10)] + [Mix(10, 11)], "needs 3 tiles"),
        ([Lock(tile, locked=True) for tile in range(12)] + [Fan(0)], "needs 1 tile that"),
        ([Mix(0, 12)], "there are 12 tiles"),
        ([Discard(0, source=40)], "there are 12 tiles"),
    ]
    for events, message in cases:
        with pytest.raises(InputError, match=message):
            walked(*events)


def test_a_replay_makes_the_same_arrangements() -> None:
    explorer = walked(Mix(1, 2), MakeSteps(1), Fan(3), Discard(2), Discard(4, rest=True))
    again = Explorer(exact_model(), explorer.setup)
    again.apply(list(explorer.state.record))
    assert torch.equal(again.state.moment.x, explorer.state.moment.x)
    other = Explorer(exact_model(), dataclasses.replace(explorer.setup, seed=1))
    other.apply(list(explorer.state.record))
    assert not torch.equal(other.state.moment.x, explorer.state.moment.x)
