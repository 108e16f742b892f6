"""Samples against probabilities, log-probabilities by hand, gradients against a dense formula."""

import math

import pytest
import torch
from oracles import FixedNoise, counts_of, log_normal, z_scores
from torch import Tensor

from nkca.distributions.categorical import Categorical, PointLevels, Scramble
from nkca.distributions.image_list import ImageList, Mixture
from nkca.distributions.normal import Normal
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel, push_affine
from nkca.noise import sample_noise

BOUND = 5.0  # standard errors
PROBS = torch.tensor([0.0, 0.3, 0.0, 0.55, 0.15, 0.0])


def random_logits(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def everywhere(probs: Tensor, size: int = 200) -> Categorical:
    return Categorical(probs.log().expand(1, 1, size, size, len(probs)))


# Sampling


def test_categorical_samples_have_their_probabilities() -> None:
    counts = counts_of(everywhere(PROBS).sample(sample_noise([1])), 6)
    assert z_scores(counts, PROBS.double()).max() < BOUND
    other = torch.tensor([0.0, 0.32, 0.0, 0.53, 0.15, 0.0]).double()
    assert z_scores(counts, other).max() > BOUND  # control: two percent off is seen
    never = torch.tensor([1e-9, 0.3, 0.0, 0.55, 0.15 - 1e-9, 0.0]).double()
    assert z_scores(counts + torch.eye(6)[5].double(), never).max() == math.inf  # the impossible


def naive_sample(p: Categorical, u: Tensor) -> Tensor:
    return (p.log_probs.exp().cumsum(-1) <= u.unsqueeze(-1)).sum(-1)


def test_an_impossible_level_is_never_drawn_whatever_the_rounding() -> None:
    """At the least and the greatest uniform there is, for sums that round to above and below 1."""
    almost_one = 1 - 2.0**-24
    logits = random_logits((1, 1, 64, 64, 9), 3, torch.float32) * 3
    impossible = random_logits((1, 1, 64, 64, 9), 4) < 0
    impossible[..., 4] = False
    assert impossible[..., 0].any()
    assert impossible[..., -1].any()
    p = Categorical(logits.masked_fill(impossible, -math.inf).log_softmax(-1))
    sums = p.log_probs.exp().cumsum(-1)[..., -1]
    assert (sums < 1).any()
    assert (sums > 1).any()
    naive_is_wrong = False
    for u in (0.0, almost_one):
        draws = torch.full((1, 1, 64, 64), u)
        level = p.sample(FixedNoise([draws]))
        assert p.log_prob_per_pixel(level).isfinite().all()
        naive = naive_sample(p, draws)
        naive_is_wrong |= bool((naive == 9).any())
    assert naive_is_wrong  # control: the plain inversion leaves the range


def test_the_first_and_last_possible_levels_are_drawn_at_the_ends() -> None:
    p = everywhere(PROBS, 1)
    assert p.sample(FixedNoise([torch.zeros(1)])).item() == 1
    assert p.sample(FixedNoise([torch.tensor([1 - 2.0**-24])])).item() == 4


def test_normal_samples_have_their_mean_and_variance() -> None:
    p = Normal(torch.full((1, 1, 200, 200), 0.7), torch.tensor(0.3))
    x = p.sample(sample_noise([2])).double()
    n = x.numel()

    def z(mean: float, std: float) -> float:
        of_mean = abs(x.mean().item() - mean) / std * math.sqrt(n)
        of_variance = abs(x.var().item() / std**2 - 1) * math.sqrt(n / 2)
        return max(of_mean, of_variance)

    assert z(0.7, 0.3) < BOUND
    assert z(0.72, 0.3) > BOUND
    assert z(0.7, 0.31) > BOUND


@pytest.mark.parametrize(
    ("e", "w", "x"), [(0.2, 0.6, 3), (0.0, 0.5, 6), (0.3, 0.0, 1), (1.0, 0.95, 6), (0.0, 0.95, 0)]
)
def test_scramble_samples_have_the_probabilities_it_reports(e: float, w: float, x: int) -> None:
    state = torch.full((1, 1, 200, 200), x)
    p = Scramble(torch.tensor([e]), torch.tensor([w]), state, everywhere(PROBS), 6)
    probs = torch.stack(
        [p.log_prob_per_pixel(torch.full_like(state, y))[0, 0, 0, 0] for y in range(7)]
    )
    by_hand = (1 - e) * (1 - w) * torch.cat([PROBS, torch.zeros(1)])
    by_hand[x] += (1 - e) * w
    by_hand[6] += e
    assert torch.allclose(probs.exp(), by_hand, atol=1e-7, rtol=0)
    counts = counts_of(p.sample(sample_noise([7])), 7)
    assert z_scores(counts, by_hand.double()).max() < BOUND
    assert z_scores(counts, by_hand.double().roll(1)).max() > BOUND


def test_mixture_samples_whole_images() -> None:
    images = torch.tensor([[0, 0], [1, 2], [2, 1]]).view(1, 3, 1, 1, 2)
    weights = torch.tensor([0.5, 0.3, 0.2])
    p_z = ImageList(weights.log().expand(3000, 3), images)
    chosen = Mixture(p_z, PointLevels).sample(sample_noise(range(3000))).flatten(1)
    assert {tuple(row) for row in chosen.tolist()} == {(0, 0), (1, 2), (2, 1)}
    counts = counts_of(chosen[:, 0], 3)
    assert z_scores(counts, weights.double()).max() < BOUND
    assert z_scores(counts, weights.double().flip(0)).max() > BOUND


# Log-probabilities


def test_normal_log_prob_is_the_density() -> None:
    mean, x = random_logits((2, 3, 4, 5), 1), random_logits((2, 3, 4, 5), 2)
    std = random_logits((2, 3, 4, 5), 3).exp()
    p = Normal(mean, std)
    per_pixel = log_normal(x, mean, std)
    assert torch.allclose(p.log_prob_per_pixel(x), per_pixel, atol=1e-12, rtol=0)
    assert torch.allclose(p.log_prob(x), per_pixel.sum((1, 2, 3)), atol=1e-11, rtol=0)
    assert p.log_prob(x).shape == (2,)
    assert torch.equal(p.mode(), mean)


def test_normal_affine_by_hand() -> None:
    p = Normal(torch.tensor([2.0]), torch.tensor([3.0]))
    pushed = push_affine(p, torch.tensor([10.0]), torch.tensor([-0.5]), torch.tensor([4.0]))
    assert isinstance(pushed, Normal)
    assert pushed.mean.item() == 9.0
    assert pushed.std.item() == 2.5  # sqrt(4 + 0.25 * 9)


def test_categorical_log_prob_picks_the_level() -> None:
    log_probs = random_logits((2, 3, 4, 5, 7), 1).log_softmax(-1)
    x = torch.randint(7, (2, 3, 4, 5), generator=torch.Generator().manual_seed(2))
    p = Categorical(log_probs)
    one_hot = torch.nn.functional.one_hot(x, 7)
    per_pixel = (log_probs * one_hot).sum(-1)
    assert torch.equal(p.log_prob_per_pixel(x), per_pixel)
    assert torch.allclose(p.log_prob(x), per_pixel.sum((1, 2, 3)), atol=1e-12, rtol=0)
    assert torch.equal(p.mode(), log_probs.max(-1).indices)


def test_mixture_log_prob_by_hand() -> None:
    weights = torch.tensor([[0.25, 0.75], [1.0, 0.0]]).double()
    images = torch.tensor([[0.0, 1.0], [2.0, -1.0]]).double().view(1, 2, 1, 1, 2)
    shift, scale, variance = (torch.tensor(v).double() for v in (0.5, 2.0, 0.09))
    p = push_affine(ImageList(weights.log(), images), shift, scale, variance)
    y = torch.tensor([[0.4, 2.6], [0.7, 2.2]]).double().view(2, 1, 1, 2)

    def density(value: list[float], image: list[float]) -> float:
        parts = zip(value, image, strict=True)
        return math.exp(
            sum(
                -((v - 0.5 - 2 * z) ** 2) / 0.18 - math.log(0.3 * math.sqrt(2 * math.pi))
                for v, z in parts
            )
        )

    first = 0.25 * density([0.4, 2.6], [0, 1]) + 0.75 * density([0.4, 2.6], [2, -1])
    second = density([0.7, 2.2], [0, 1])
    expected = torch.tensor([first, second]).double().log()
    assert torch.allclose(p.log_prob(y), expected, atol=1e-6, rtol=0)


def random_scramble(seed: int, logits: Tensor) -> Scramble:
    """Rows with every extreme of e and w that a kernel makes, and random ones."""
    batch, classes = len(logits), logits.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    e, w = torch.rand(2, batch, 1, 1, 1, generator=generator, dtype=logits.dtype).unbind(0)
    extremes = torch.tensor([[0, 0.5], [0.5, 0], [0, 0], [1, 0.95], [1e-8, 0.999], [0, 0.999]])
    e[:6, 0, 0, 0], w[:6, 0, 0, 0] = extremes.to(logits.dtype).unbind(1)
    x = torch.randint(classes + 1, logits.shape[:-1], generator=generator)
    return Scramble(e, w, x, Categorical(logits.log_softmax(-1)), classes)


def naive_probs(p: Scramble, logits: Tensor) -> Tensor:
    """All K + 1 probabilities of each pixel, densely."""
    classes = logits.shape[-1]
    e, w = p.scrambled.unsqueeze(-1), p.keep.unsqueeze(-1)
    one_hot = torch.nn.functional.one_hot
    z = torch.nn.functional.pad(logits.softmax(-1), (0, 1))
    kept = one_hot(p.x, classes + 1).to(logits.dtype)
    lost = one_hot(torch.tensor(classes), classes + 1).to(logits.dtype)
    return e * lost + (1 - e) * (w * kept + (1 - w) * z)


@pytest.mark.parametrize("classes", [2, 5, 256])
def test_scramble_log_probs_sum_to_one_and_equal_the_dense_formula(classes: int) -> None:
    logits = random_logits((10, 1, 3, 4, classes), classes)
    p = random_scramble(classes, logits)
    all_y = [torch.full_like(p.x, y) for y in range(classes + 1)]
    found = torch.stack([p.log_prob_per_pixel(y) for y in all_y], -1)
    assert (found.exp().sum(-1) - 1).abs().max() < 1e-12
    assert (found.exp() - naive_probs(p, logits)).abs().max() < 1e-12
    assert torch.equal(found == -math.inf, naive_probs(p, logits) == 0)
    wrong = Scramble(p.scrambled, p.keep.sqrt(), p.x, p.p_z, classes)
    other = torch.stack([wrong.log_prob_per_pixel(y) for y in all_y], -1)
    assert (other.exp() - naive_probs(p, logits)).abs().max() > 0.05  # control


@pytest.mark.parametrize("seed", range(4))
def test_scramble_gradients_are_finite_and_those_of_the_dense_formula(seed: int) -> None:
    classes = 5
    logits = random_logits((10, 2, 6, 6, classes), seed).requires_grad_()
    p = random_scramble(seed, logits)
    y = p.sample(sample_noise(range(10)))  # whatever is drawn is possible
    (gradient,) = torch.autograd.grad(p.log_prob(y).sum(), logits)
    dense = naive_probs(p, logits).gather(-1, y.unsqueeze(-1)).log()
    assert dense.isfinite().all()
    (expected,) = torch.autograd.grad(dense.sum(), logits)
    assert gradient.isfinite().all()
    assert (gradient - expected).abs().max() < 1e-12
    assert gradient.abs().max() > 0.1
    assert gradient[y == classes].abs().max() == 0  # a scrambled pixel says nothing of p(z|x)


def test_scramble_in_float32_has_finite_gradients_at_extreme_logits() -> None:
    logits = (100 * random_logits((10, 1, 8, 8, 5), 1, torch.float32)).requires_grad_()
    p = random_scramble(2, logits)
    y = p.sample(sample_noise(range(10)))
    p.log_prob(y).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


# Holding: True is held


def test_hold_is_a_point_mass_where_the_mask_is_true() -> None:
    mask = torch.tensor([[True, False, False]])
    image = torch.tensor([[[[0.125, 0.25, 0.5]]]])
    p = Normal(torch.tensor([[[[-1.0, -2.0, -3.0]]]]), torch.tensor(0.5)).hold(mask, image)
    assert p.mean.flatten().tolist() == [0.125, -2.0, -3.0]
    assert p.std.flatten().tolist() == [0.0, 0.5, 0.5]

    probs = torch.tensor([0.1, 0.2, 0.7])
    levels = torch.tensor([[[[1, 1, 1]]]])
    q = Categorical(probs.log().expand(1, 1, 1, 3, 3)).hold(mask, levels)
    assert q.mode().flatten().tolist() == [1, 2, 2]
    assert q.log_probs[0, 0, 0, 0].tolist() == [-math.inf, 0.0, -math.inf]
    assert torch.allclose(q.log_probs[0, 0, 0, 1].exp(), probs)
    draws = q.sample(sample_noise([1]))
    assert draws.flatten()[0].item() == 1


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 2), (2, 1, 2, 2), (2, 3, 2, 2)])
def test_hold_takes_masks_of_every_shape_that_broadcasts(shape: tuple[int, ...]) -> None:
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[..., 0, :] = True
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(4, (2, 3, 2, 2), generator=generator)
    listed = torch.randint(4, (1, 5, 3, 2, 2), generator=generator)
    weights = torch.tensor([[0.1, 0.2, 0.4, 0.2, 0.1], [0.6, 0.1, 0.1, 0.1, 0.1]]).log()
    free = ImageList(weights, listed)
    for held, mode in (
        (Normal(torch.zeros(2, 3, 2, 2), torch.ones(())).hold(mask, image.float()), None),
        (Categorical(random_logits((2, 3, 2, 2, 4), 1).log_softmax(-1)).hold(mask, image), None),
        (free.hold(mask, image), free.mode()),
    ):
        assert held.mode().shape == image.shape
        assert torch.equal(held.mode()[..., 0, :].long(), image[..., 0, :])
        if mode is not None:
            assert torch.equal(held.mode()[..., 1, :], mode[..., 1, :])
    per_channel = torch.zeros(3, 1, 1, dtype=torch.bool)
    per_channel[1] = True
    shown = free.hold(per_channel, image).mode()
    assert torch.equal(shown[:, 1], image[:, 1])
    assert torch.equal(shown[:, 0], free.mode()[:, 0])


def test_a_kernel_of_the_other_state_space_is_refused() -> None:
    level, x = torch.full((1,), 0.5), torch.ones(1, 1, 1, 1)
    normal, levels = Normal(x, torch.ones(())), everywhere(PROBS, 1)
    with pytest.raises(TypeError, match=r"categorical kernel needs a Categorical .*not a Normal"):
        CategoricalKernel(6).transition(x.long(), level, level, normal, 0.5)
    with pytest.raises(TypeError, match=r"continuous kernel needs a Normal .*not a Categorical"):
        ContinuousKernel().transition(x, level, level, levels, 0.5)
    assert isinstance(ContinuousKernel().transition(x, level, level, normal, 0.5), Normal)
    of_levels = CategoricalKernel(6).transition(x.long(), level, level, levels, 0.5)
    assert isinstance(of_levels, Scramble)
