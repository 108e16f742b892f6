"""Walks by choices: their law on chains that can be enumerated, their log, what ends an offer."""

import dataclasses
import itertools
import math

import pytest
import torch
from live_chains import explorer_of
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.exact import ImageListDenoiser
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.live.chains.choices import choices_csv
from nkca.live.chains.events import Choose, Keep, Level, Lock, MakeSteps, Redo, Select, Undo
from nkca.live.chains.explorer import Explorer, Setup
from nkca.models.model import Model
from nkca.noise import Noise
from nkca.pixels import CategoricalPixels

CLASSES, SHAPE, LEVEL, TILES, WALKS = 2, (1, 1, 3), 0.5, 4, 400


def images() -> Tensor:
    """Four images of three pixels, uint8 (4, 1, 1, 3): the data, each a quarter."""
    rows = [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]
    return (torch.tensor(rows) * 255).to(torch.uint8).view(4, *SHAPE)


def tiny_model() -> Model:
    kernel, pixels = CategoricalKernel(CLASSES), CategoricalPixels(CLASSES)
    denoiser = ImageListDenoiser(kernel, pixels.to_state(images()))
    return Model(Chain(kernel, denoiser, 0.6), pixels, SHAPE, 0.05, torch.device("cpu"))


def number_of(x: Tensor) -> int:
    """The state (1, 1, 3), as one of 27."""
    a, b, c = (int(v) for v in x.flatten())
    return 9 * a + 3 * b + c


def liking(x: Tensor) -> float:
    """A taste: four times as much for each pixel that is white, half for each that is scrambled."""
    return float(4.0 ** (x == 1).sum().item() * 0.5 ** (x == CLASSES).sum().item())


def expected_law() -> Tensor:
    """Data x taste at the level, exactly: (27,)."""
    model = tiny_model()
    z = model.pixels.to_state(images())
    law = torch.zeros(27)
    for values in itertools.product(range(CLASSES + 1), repeat=3):
        x = torch.tensor(values).view(1, *SHAPE)
        p_x = model.chain.kernel.add_noise(z, torch.full((4,), LEVEL))
        density = p_x.log_prob(x.expand(4, *SHAPE)).exp().mean().item()
        law[number_of(x)] = density * liking(x)
    return law / law.sum()


def after_choices(may_stay: bool = True, choices: int = 2) -> Tensor:
    """How often each state is the current one after walks that start in data x taste: (27,).

    Args:
        may_stay: whether the current state is among what can be taken.
    """
    chooser = torch.Generator().manual_seed(1)
    starts = torch.multinomial(expected_law(), WALKS, replacement=True, generator=chooser)
    counts, model = torch.zeros(27), tiny_model()
    for seed, start in enumerate(starts.tolist()):
        explorer = Explorer(model, Setup(TILES, seed, LEVEL, images()))
        x = torch.tensor([start // 9, start // 3 % 3, start % 3]).view(1, *SHAPE)
        at = dataclasses.replace(
            explorer.state.moment, x=x.expand(TILES, *SHAPE), levels=(LEVEL,) * TILES
        )
        explorer.state = dataclasses.replace(explorer.state, recent=(at,))
        explorer.apply([Choose(0, steps=1)])
        for _ in range(choices):
            moment = explorer.state.moment
            weights = torch.tensor([liking(x) for x in moment.x])
            if not may_stay:
                weights[moment.current] = 0
            taken = int(torch.multinomial(weights, 1, generator=chooser))
            current = moment.x[taken]
            explorer.apply([Choose(taken, steps=1)])
        counts[number_of(current)] += 1
    return counts


def statistic(counts: Tensor, law: Tensor) -> float:
    """How many standard deviations chi-square lies above its mean, over states that are expected often."""
    often = law * counts.sum() >= 5
    rest = torch.stack([counts[~often].sum(), law[~often].sum() * counts.sum()])
    observed = torch.cat([counts[often], rest[:1]])
    expected = torch.cat([law[often] * counts.sum(), rest[1:]])
    keep = expected > 0
    square = ((observed - expected).square() / expected)[keep].sum().item()
    degrees = int(keep.sum()) - 1
    return (square - degrees) / math.sqrt(2 * degrees)


def test_choices_of_a_taste_keep_data_times_taste() -> None:
    assert statistic(after_choices(), expected_law()) < 4


def test_without_the_current_state_on_the_table_they_do_not() -> None:
    """The negative control."""
    assert statistic(after_choices(may_stay=False), expected_law()) > 8


def test_without_taste_the_law_is_another() -> None:
    """The second control: the first test would notice that choices are ignored."""
    model, noise = tiny_model(), Noise(list(range(WALKS)))
    z = model.pixels.to_state(images())[torch.arange(WALKS) % 4]
    x = model.chain.kernel.add_noise(z, torch.full((WALKS,), LEVEL)).sample(noise)
    counts = torch.bincount(torch.tensor([number_of(one) for one in x]), minlength=27).float()
    assert statistic(counts, expected_law()) > 8


def chosen(*events: Choose | Lock | Level | Select) -> Explorer:
    explorer = explorer_of("continuous", 5)
    explorer.apply([Level(0.4), MakeSteps(3), *events])
    return explorer


def test_the_current_state_is_offered_once_and_unchanged() -> None:
    explorer = chosen(Select(2))
    before = explorer.state.moment
    explorer.apply([Choose(2)])
    moment = explorer.state.moment
    same = [torch.equal(x, before.x[2]) for x in moment.x]
    assert same == [tile == moment.current for tile in range(5)]
    assert set(moment.levels) == {0.4}
    assert not explorer.state.running
    assert moment.picked is None, "nothing marks a tile of an offer"
    assert explorer.state.choices == (), "the first offer is no choice"


def test_its_place_is_random() -> None:
    explorer = chosen()
    places = []
    for _ in range(40):
        explorer.apply([Choose(0)])
        places.append(explorer.state.moment.current)
    assert set(places) == set(range(5))


def test_choices_are_counted_and_exported() -> None:
    explorer = chosen(Choose(1, steps=2), Choose(3, steps=2, milliseconds=800))
    (choice,) = explorer.state.choices
    assert (choice.taken, choice.offered, choice.steps) == (3, (0, 1, 2, 3, 4), 2)
    lines = choices_csv(explorer.state.choices).decode().splitlines()
    assert lines[0] == "choice,version,level,steps,offered,current,taken,milliseconds"
    assert lines[1].startswith("1,") and lines[1].endswith(",4,800") and ",1 2 3 4 5," in lines[1]


@pytest.mark.parametrize(
    "between",
    [Level(0.3), MakeSteps(1), Undo(), Lock(4, locked=True)],
    ids=lambda e: type(e).__name__,
)
def test_whatever_changes_the_tiles_ends_the_offer(between: object) -> None:
    explorer = chosen(Choose(1))
    explorer.apply([between, Choose(3)])  # type: ignore[list-item]
    assert explorer.state.choices == ()


@pytest.mark.parametrize("between", [Select(2), Keep(1)], ids=lambda e: type(e).__name__)
def test_looking_does_not(between: object) -> None:
    explorer = chosen(Choose(1))
    explorer.apply([between, Choose(3)])  # type: ignore[list-item]
    assert len(explorer.state.choices) == 1


def test_locked_tiles_are_not_offered_and_two_must_be_free() -> None:
    explorer = chosen(Lock(0, locked=True), Choose(0))
    before = explorer.state.moment.x[0]
    explorer.apply([Choose(2)])
    assert torch.equal(explorer.state.moment.x[0], before)
    assert explorer.state.choices[0].offered == (1, 2, 3, 4)
    for tile in (1, 2, 3):
        explorer.apply([Lock(tile, locked=True)])
    with pytest.raises(InputError, match="two tiles that are not locked"):
        explorer.apply([Choose(4)])


def test_a_choice_can_be_undone_and_repeated_with_new_proposals() -> None:
    explorer = chosen(Choose(1))
    offer = explorer.state.moment
    explorer.apply([Choose(2), Undo()])
    assert torch.equal(explorer.state.moment.x, offer.x)
    explorer.apply([Redo()])
    assert not torch.equal(explorer.state.moment.x, offer.x)
    assert len(explorer.state.choices) == 1


def test_a_replay_makes_the_same_offers() -> None:
    explorer = chosen(Choose(1), Choose(2), Choose(0, milliseconds=5))
    again = Explorer(explorer.model, explorer.setup)
    again.apply(list(explorer.state.record))
    assert torch.equal(again.state.moment.x, explorer.state.moment.x)
    assert again.state.choices == explorer.state.choices
