"""What carry-over makes exact for categories: facts on images of 2 x 2 pixels, by enumeration."""

import itertools
import math

import pytest
import torch
from oracles import doubles, error_of, random_moves
from torch import Tensor

from nkca.denoisers.exact import ImageListDenoiser
from nkca.distributions.categorical import Categorical
from nkca.distributions.image_list import ImageList
from nkca.kernels.categorical import CategoricalKernel

CLASSES, SIDE = 2, 2
PIXELS = SIDE * SIDE
KERNEL = CategoricalKernel(CLASSES)
MOVES = [m for m in random_moves(40, seed=3) if m.b_x > 1e-3 and m.b_y > 1e-3]
ROUNDING = 1e-12


def grid(values: object) -> Tensor:
    return torch.tensor(values).view(-1, 1, SIDE, SIDE)


STATES = grid(list(itertools.product(range(CLASSES + 1), repeat=PIXELS)))  # (81, 1, 2, 2)
IMAGES = grid(list(itertools.product(range(CLASSES), repeat=PIXELS)))  # (16, 1, 2, 2)
VISIBLE = STATES < CLASSES
LAW = torch.softmax(torch.randn(16, generator=torch.Generator().manual_seed(5)).double(), 0)
"""A law of images with no symmetry: each of the 16 has a positive probability of its own."""


def weighted_posterior(x: Tensor, b: float) -> ImageList:
    """The exact p(z|x) of that law: Bayes' rule."""
    equal = ImageListDenoiser(KERNEL, IMAGES)(x, doubles([b] * len(x)))
    return ImageList((equal.log_weights + LAW.log()).log_softmax(1), equal.images)


def marginals(b: float) -> Categorical:
    """p(z_i|x) of each pixel, exactly."""
    weights = weighted_posterior(STATES, b).log_weights.exp()
    is_level = torch.stack([IMAGES.eq(k).double() for k in range(CLASSES)], -1)
    return Categorical(torch.einsum("sn,nchwk->schwk", weights, is_level).log())


def arbitrary() -> Categorical:
    """A p(z_i|x) that only knows the visible pixels' values, and carries them over."""
    logits = torch.randn(*STATES.shape, CLASSES, generator=torch.Generator().manual_seed(6))
    p_z = Categorical(logits.double().log_softmax(-1))
    return p_z.hold(VISIBLE, STATES.clamp(max=CLASSES - 1))


def matrix(p_z: object, b_x: float, b_y: float, lag: float) -> Tensor:
    """p(y|x) of all states, (81, 81)."""
    level_x, level_y = (doubles([b] * len(STATES)) for b in (b_x, b_y))
    p_y = KERNEL.transition(STATES, level_x, level_y, p_z, lag)  # type: ignore[arg-type]
    return torch.stack([p_y.log_prob(y.expand_as(STATES)) for y in STATES], 1).exp()


def noised(b: float) -> Tensor:
    """p(x) of all states, (81,)."""
    rows = [
        KERNEL.add_noise(z.expand_as(STATES), doubles([b] * len(STATES))).log_prob(STATES)
        for z in IMAGES
    ]
    return (torch.stack(rows, 1).exp() * LAW).sum(1)


def test_a_pixel_that_is_not_scrambled_is_certain() -> None:
    p_z = marginals(0.4)
    held = p_z.hold(VISIBLE, STATES.clamp(max=CLASSES - 1))
    assert error_of(p_z.log_probs.exp(), held.log_probs.exp()) < ROUNDING


def test_the_posterior_does_not_depend_on_the_level() -> None:
    low, high = (weighted_posterior(STATES, b).log_weights.exp() for b in (0.05, 0.9))
    assert error_of(low, high) < ROUNDING


@pytest.mark.parametrize("lag", [0.0, 0.5, 0.95, 1.0])
def test_the_transition_is_that_of_remasking(lag: float) -> None:
    """With alpha = 1 - b and sigma = e, Eq. 27 and carry-over are ReMDM's posterior (arXiv 2503.00307)."""
    for move in MOVES:
        b_x, b_y = move.b_x, move.b_y
        w = min(lag, b_y / b_x)
        sigma = max((b_y - w * b_x) / (1 - w * b_x), 0.0)
        alpha_x, alpha_y = 1 - b_x, 1 - b_y
        z = IMAGES[5:6].expand_as(STATES)
        p_y = KERNEL.transition_given(STATES, doubles([b_x] * 81), doubles([b_y] * 81), z, lag)
        scrambled = p_y.log_prob_per_pixel(torch.full_like(STATES, CLASSES)).exp()
        agrees = VISIBLE & (z == STATES)
        stays = (1 - alpha_y - sigma * alpha_x) / (1 - alpha_x)
        expected = torch.where(VISIBLE, doubles(sigma), doubles(stays))
        assert error_of(scrambled, expected) < ROUNDING, move
        kept = p_y.log_prob_per_pixel(z).exp()
        assert error_of(kept[agrees], 1 - expected[agrees]) < ROUNDING


def test_the_largest_lag_scrambles_nothing_anew_and_lag_0_redraws_all_noise() -> None:
    p_z = arbitrary()
    ancestral = matrix(p_z, 0.8, 0.3, lag=1.0)
    rows, columns = VISIBLE.flatten(1), VISIBLE.flatten(1)
    loses = (rows[:, None] & ~columns[None]).any(2)
    assert ancestral[loses].max() < ROUNDING
    fresh = KERNEL.transition(STATES, doubles([0.8] * 81), doubles([0.3] * 81), p_z, 0.0)
    scrambled = fresh.log_prob_per_pixel(torch.full_like(STATES, CLASSES)).exp()  # type: ignore[attr-defined]
    assert error_of(scrambled, torch.full_like(scrambled, 0.3)) < ROUNDING


def test_the_contrastive_loss_is_a_constant_plus_cross_entropy_on_pixels_that_y_scrambled() -> None:
    b = doubles([0.4] * len(STATES))
    one, other = arbitrary(), marginals(0.4)
    for number, x in enumerate(STATES[::7]):
        y_of = STATES  # all y that a jump from x can reach: visible pixels are kept or scrambled
        reachable = ((x >= CLASSES) | (y_of >= CLASSES) | (y_of == x)).flatten(1).all(1)
        target = x.expand_as(STATES)
        losses = [-KERNEL.transition(STATES, b, b, p, 0.7).log_prob(target) for p in (one, other)]
        teaches = (STATES == CLASSES) & (target < CLASSES)
        clean = target.clamp(max=CLASSES - 1)
        entropies = [
            -p.log_prob_per_pixel(clean).masked_fill(~teaches, 0.0).flatten(1).sum(1)
            for p in (one, other)
        ]
        found, expected = losses[0] - losses[1], entropies[0] - entropies[1]
        assert error_of(found[reachable], expected[reachable]) < 1e-10, number
        if (x < CLASSES).any():
            assert expected[reachable].abs().max() > 0.1  # the two predictions do differ


def test_the_masked_objective_is_a_bound_and_tight_for_exact_predictions() -> None:
    """The mean over b ~ U(0, 1) of 1 / b times the cross-entropy, integrated exactly."""

    def bound(p_z: Categorical) -> Tensor:
        """For each of the 16 images, in nats: over patterns S of s pixels, Beta(s, pixels - s + 1)."""
        total = torch.zeros(len(IMAGES), dtype=torch.float64)
        index = {tuple(state.flatten().tolist()): row for row, state in enumerate(STATES)}
        for number, z in enumerate(IMAGES):
            for pattern in itertools.product([False, True], repeat=PIXELS):
                scrambled = torch.tensor(pattern).view_as(z)
                s = sum(pattern)
                if s == 0:
                    continue
                row = index[tuple(z.masked_fill(scrambled, CLASSES).flatten().tolist())]
                surprise = -Categorical(p_z.log_probs[row : row + 1]).log_prob_per_pixel(z[None])[0]
                weight = math.gamma(s) * math.gamma(PIXELS - s + 1) / math.gamma(PIXELS + 1)
                total[number] += weight * surprise[scrambled].sum()
        return total

    truth = -LAW.log()
    assert error_of(bound(marginals(0.5)), truth) < 1e-10
    other = (LAW * bound(arbitrary())).sum() - (LAW * truth).sum()
    assert other > 0.05  # on average over the data; another prediction pays for it


def flow_error(p_z: object, law: Tensor, b: float, lag: float) -> float:
    flow = law[:, None] * matrix(p_z, b, b, lag)
    return error_of(flow, flow.T)


def test_detailed_balance_with_the_joint_posterior() -> None:
    for b, lag in itertools.product([0.1, 0.5, 0.9], [0.0, 0.5, 0.95]):
        assert flow_error(weighted_posterior(STATES, b), noised(b), b, lag) < ROUNDING


def test_detailed_balance_is_not_for_any_prediction_that_carries_over() -> None:
    """Refuted for pixels drawn independently: the chain of such a p(z|x) has no reversible law."""
    for p_z in (arbitrary(), marginals(0.5)):
        transitions = matrix(p_z, 0.5, 0.5, 0.5)
        law = torch.linalg.matrix_power(transitions, 4096)[0]
        assert error_of(law @ transitions, law) < 1e-9  # stationary
        assert flow_error(p_z, law, 0.5, 0.5) > 1e-5  # and not reversible


def test_exact_marginals_come_closer_to_balance_with_smaller_steps() -> None:
    lags = (0.9, 0.99, 0.999)
    errors = [flow_error(marginals(0.5), noised(0.5), 0.5, lag) for lag in lags]
    coarse, fine, finest = (error / (1 - lag) for error, lag in zip(errors, lags, strict=True))
    assert coarse > 5 * fine > 25 * finest  # in units of the flow, which is of the order 1 - lag


def test_without_carry_over_an_exact_chain_is_not_exact() -> None:
    """Negative control: a prediction that is merely good at visible pixels changes them unscrambled."""
    blurred = torch.logaddexp(marginals(0.5).log_probs + math.log(0.99), doubles(0.005).log())
    transitions = matrix(Categorical(blurred), 0.5, 0.5, 0.5)
    changes = (VISIBLE.flatten(1)[:, None] & VISIBLE.flatten(1)[None]) & (
        STATES.flatten(1)[:, None] != STATES.flatten(1)[None]
    )
    assert transitions[changes.any(2)].max() > 1e-4
    assert matrix(arbitrary(), 0.5, 0.5, 0.5)[changes.any(2)].max() == 0
