"""Masked cross-entropy: its mean is the code length of the data, its minimum the truth."""

import math

import pytest
import torch
from torch import Tensor, nn

from nkca.chain import Chain
from nkca.config.parsing import configure
from nkca.config.schema import ModelConfig
from nkca.denoisers.exact import GaussianDenoiser, PixelPriorDenoiser
from nkca.distributions.categorical import Categorical
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.levels import uniform
from nkca.models.build import ModelSpec, new_denoiser
from nkca.noise import sample_noise
from nkca.training.build import method_of
from nkca.training.masked import adjusted_and_masked, masked_cross_entropy
from nkca.training.objective import Objective, Terms, contrastive_adjustment

PROBS = torch.tensor([0.5, 0.2, 0.3])
SHAPE = (1, 2, 2)
COUNT = 6000
ENTROPY = -(PROBS * PROBS.log()).sum().item()  # nats a pixel
KERNEL = CategoricalKernel(3)


def data() -> Tensor:
    noise = sample_noise(range(9000, 9000 + COUNT))
    return Categorical(PROBS.log().expand(COUNT, *SHAPE, 3)).sample(noise)


def terms_of(probs: Tensor, objective: Objective = masked_cross_entropy) -> Terms:
    denoiser = PixelPriorDenoiser(probs.log().expand(*SHAPE, 3))
    noise = sample_noise(range(COUNT))
    levels = uniform(0.0)(noise, torch.device("cpu"))
    return objective(Chain(KERNEL, denoiser, 0.5), data(), levels, noise)


def z_score(values: Tensor, expected: float) -> float:
    return abs(values.mean().item() - expected) / (values.std().item() / math.sqrt(len(values)))


def test_the_mean_loss_of_the_exact_denoiser_is_the_entropy_of_the_data() -> None:
    terms = terms_of(PROBS)
    assert z_score(terms.loss, 4 * ENTROPY) < 4
    assert z_score(terms.shown["bits_per_dimension"], ENTROPY / math.log(2)) < 4


def test_another_denoiser_pays_the_divergence_from_the_truth() -> None:
    wrong = torch.tensor([0.2, 0.2, 0.6])
    cross = -(PROBS * wrong.log()).sum().item()
    assert z_score(terms_of(wrong).loss, 4 * cross) < 4
    assert z_score(terms_of(wrong).loss, 4 * ENTROPY) > 8


def test_beside_contrastive_adjustment_both_losses_add_up_on_the_same_states() -> None:
    both, contrastive = (terms_of(PROBS, adjusted_and_masked(weight)).loss for weight in (0.5, 0.0))
    masked = terms_of(PROBS).loss
    assert torch.allclose(both, contrastive + 0.5 * masked, atol=1e-4)
    alone = terms_of(PROBS, contrastive_adjustment).loss
    assert torch.allclose(contrastive, alone, atol=1e-5)


def network(carry_over: bool) -> nn.Module:
    """A tiny denoiser of three levels, with random weights everywhere."""
    config = ModelConfig(
        hidden_size=8, dim_mults=(1,), discrete=True, num_classes=3, carry_over=carry_over
    )
    denoiser = new_denoiser(ModelSpec(config, SHAPE, 0.5), seed=1)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in denoiser.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=random))
    return denoiser


STATE = torch.tensor([0, 1, 3, 2]).view(1, *SHAPE)  # the third pixel is scrambled


def test_carry_over_keeps_visible_pixels_to_the_bit() -> None:
    with torch.no_grad():
        pixels = network(True)(STATE, torch.tensor([0.4])).log_probs.view(4, 3)
    assert torch.equal(pixels[[0, 1, 3]].exp(), torch.eye(3))
    assert pixels[2].isfinite().all()


def test_gradients_are_finite_with_carry_over() -> None:
    denoiser = network(True)
    z = torch.randint(0, 3, (16, *SHAPE), generator=torch.Generator().manual_seed(1))
    for objective in (contrastive_adjustment, masked_cross_entropy, adjusted_and_masked(1.0)):
        denoiser.zero_grad()
        chain = Chain(KERNEL, denoiser, 0.5)
        terms = objective(chain, z, torch.linspace(0.01, 1, 16), sample_noise(range(16)))
        assert terms.loss.isfinite().all()
        torch.autograd.backward(terms.loss.sum())
        gradients = [w.grad for w in denoiser.parameters() if w.grad is not None]
        assert all(g.isfinite().all() for g in gradients)
        assert any(g.abs().max() > 0 for g in gradients)


def test_with_carry_over_the_level_does_not_matter() -> None:
    for carry_over in (True, False):
        denoiser = network(carry_over)
        low, high = (denoiser(STATE, torch.tensor([b])).log_probs for b in (0.1, 0.9))
        assert torch.equal(low, high) == carry_over


def test_guidance_leaves_what_is_carried_over_certain() -> None:
    strong = PixelPriorDenoiser(PROBS.log().expand(*SHAPE, 3))
    weak = PixelPriorDenoiser(torch.full((3,), 1 / 3).log().expand(*SHAPE, 3))
    x, b = torch.tensor([0, 1, 3, 2]).view(1, *SHAPE), torch.tensor([0.4])
    guided = strong(x, b).away_from(weak(x, b), 1.0)
    squares = PROBS.square() / PROBS.square().sum()
    expected = torch.stack([torch.eye(3)[0], torch.eye(3)[1], squares, torch.eye(3)[2]])
    assert torch.allclose(guided.log_probs.exp().view(4, 3), expected, atol=1e-6)


def test_the_options_choose_the_objective() -> None:
    discrete = {"discrete": True, "carry_over": True}
    assert method_of(configure(discrete), 0.5).objective is contrastive_adjustment
    assert method_of(configure(discrete), 0.5).first is None
    masked = method_of(configure({**discrete, "denoise_first": 1.0}), 0.5)
    assert masked.first == (1.0, masked_cross_entropy)
    both = method_of(configure({**discrete, "denoise_weight": 0.5}), 0.5)
    assert "adjusted_and_masked" in both.objective.__qualname__


def test_continuous_states_are_refused() -> None:
    exact = GaussianDenoiser(torch.tensor(0.0), torch.tensor(0.3))
    chain = Chain(ContinuousKernel(), exact, 0.5)
    with pytest.raises(InputError, match="for discrete pixels"):
        masked_cross_entropy(chain, torch.zeros(1, 1, 2, 2), torch.tensor([0.5]), sample_noise([1]))
