"""The arrow of time: seen where it is there, not seen where it is not."""

import pytest
import torch
from torch import Tensor

from nkca.diagnostics.reversibility import ClassifierTraining, Pairs, arrow_of_time
from nkca.errors import InputError

QUICK = ClassifierTraining(num_steps=50)


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reversible(seed: int, chains: int = 120) -> Pairs:
    """AR(1) in each pixel: a Gaussian chain that keeps N(0, 1), and whose pairs are exchangeable."""
    x = noise(chains, 6, 1, 8, 8, seed=seed)
    return Pairs(x, 0.6 * x + 0.8 * noise(*x.shape, seed=seed + 1000))


def moving(seed: int, chains: int = 120) -> Pairs:
    """The same, but pictures move to the right: N(0, 1) is kept, and time has an arrow."""
    x = noise(chains, 6, 1, 8, 8, seed=seed)
    return Pairs(x, 0.6 * x.roll(1, -1) + 0.8 * noise(*x.shape, seed=seed + 1000))


def as_levels(pairs: Pairs) -> Pairs:
    """States 0..4 of five classes, int64; a function of each pixel keeps what is exchangeable."""
    return Pairs(*((2 * x + 2).round().clamp(0, 4).long() for x in (pairs.x, pairs.y)))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_reversible_chain_has_no_arrow(seed: int) -> None:
    for pairs in (reversible(seed), as_levels(reversible(seed))):
        found = arrow_of_time(pairs, QUICK)
        assert abs(found.accuracy - 0.5) < 4 * found.standard_error
        assert found.p_value > 1e-4
        assert (found.chains, found.pairs) == (60, 360)


def test_control_a_chain_that_moves_pictures_has_one() -> None:
    for pairs in (moving(0), as_levels(moving(0))):
        found = arrow_of_time(pairs, QUICK)
        assert found.accuracy > 0.85
        assert found.p_value < 1e-12


def test_time_run_backwards_is_seen_as_well() -> None:
    pairs = moving(0)
    assert arrow_of_time(Pairs(pairs.y, pairs.x), QUICK).accuracy > 0.85


def test_only_unseen_chains_are_asked_about() -> None:
    """Each chain has a mark of its own that betrays the order: it can be learnt, not generalised."""
    x = torch.zeros(64, 4, 1, 8, 8)
    marks = noise(64, 1, 1, 8, 8, seed=3)
    assert arrow_of_time(Pairs(x - marks, x + marks), QUICK).p_value > 1e-4
    marks = marks[:1]  # control: where all share one, it is
    assert arrow_of_time(Pairs(x - marks, x + marks), QUICK).accuracy == 1


def test_pairs_of_one_chain_are_not_taken_for_independent() -> None:
    one = reversible(5)
    repeated = Pairs(one.x[:, :1].expand_as(one.x), one.y[:, :1].expand_as(one.y))
    found = arrow_of_time(repeated, QUICK)
    assert found.standard_error == pytest.approx(0.5 / 60**0.5, rel=0.05)
    assert arrow_of_time(one, QUICK).standard_error < 0.7 * found.standard_error


def test_states_that_do_not_move_are_half_right() -> None:
    x = noise(8, 2, 3, 5, 4, seed=0)
    found = arrow_of_time(Pairs(x, x), ClassifierTraining(num_steps=3))
    assert found.accuracy == 0.5
    assert found.p_value == 0.5


def test_the_same_seed_gives_the_same_answer_and_nothing_global_moves() -> None:
    pairs = moving(7, chains=24)
    before = torch.get_rng_state()
    first = arrow_of_time(pairs, ClassifierTraining(num_steps=20))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    with torch.inference_mode():
        assert arrow_of_time(pairs, ClassifierTraining(num_steps=20)) == first
    torch.set_rng_state(before)


def test_few_chains_are_an_error() -> None:
    with pytest.raises(InputError, match="at least 4 chains, got 3"):
        arrow_of_time(reversible(0, chains=3))
