"""Coarse to fine: noise of small images, what the network is told, and when sizes change."""

import pytest
import torch
from oracles import default_dtype
from tables import each
from torch import Tensor

from nkca.chain import Chain
from nkca.config.schema import ModelConfig
from nkca.denoisers.learned import see_pooled
from nkca.errors import InputError
from nkca.kernels.continuous import log_sigma, pooled_levels, signal
from nkca.models.build import ModelSpec, new_denoiser
from nkca.networks.unet import UNet
from nkca.noise import Noise, sample_noise
from nkca.pixels import ContinuousPixels
from nkca.training.coarse_to_fine import pooled_objective, pooling_at, poolings
from nkca.training.objective import Terms

LEVELS = torch.tensor([1e-4, 0.01, 0.3, 0.7, 0.95], dtype=torch.float64)


def test_a_pooled_state_is_a_state_of_pooled_images() -> None:
    """x = a z + N(0, b): its mean over s x s pixels, times a' / a, has signal a' and variance b'."""
    for s in (1, 2, 3, 4):
        there = pooled_levels(LEVELS, s)
        variance = LEVELS / s**2 * (signal(there) / signal(LEVELS)).square()
        torch.testing.assert_close(variance, there, rtol=1e-12, atol=0)
        torch.testing.assert_close(pooled_levels(there, 1 / s), LEVELS, rtol=1e-12, atol=0)
    with pytest.raises(AssertionError):  # control: b / s² is of the variance alone
        torch.testing.assert_close(pooled_levels(LEVELS, 2), LEVELS / 4, rtol=1e-3, atol=0)


def test_pooled_pixels_are_means_and_shown_as_squares() -> None:
    image = torch.randint(0, 256, (2, 3, 6, 4), generator=torch.Generator().manual_seed(0))
    image = image.to(torch.uint8)
    pixels = ContinuousPixels(2)
    state = pixels.to_state(image)
    assert state.shape == (2, 3, 3, 2)
    expected = image[1, 2, 2:4, 2:4].float().mean() / 127.5 - 1
    torch.testing.assert_close(state[1, 2, 1, 1], expected)
    shown = pixels.to_uint8(state)
    assert shown.shape == image.shape
    assert (shown[1, 2, 2:4, 2:4] == shown[1, 2, 2, 2]).all()
    assert torch.equal(
        pixels.to_state(shown), pixels.to_state(pixels.to_uint8(pixels.to_state(shown)))
    )
    assert not pixels.is_lossless
    assert ContinuousPixels() == ContinuousPixels(1)
    assert torch.equal(ContinuousPixels().to_uint8(ContinuousPixels().to_state(image)), image)


@pytest.mark.parametrize("parametrisation", ["paper", "preconditioned"])
def test_the_network_is_told_the_level_of_the_whole_image(parametrisation: str) -> None:
    spec = ModelSpec(
        ModelConfig(hidden_size=8, dim_mults=(1, 1), parametrisation=parametrisation),
        (1, 8, 8),
        0.5,
    )
    with default_dtype(torch.float64):
        network = new_denoiser(spec, 0).double()
    told: list[Tensor] = []
    embedding = network.get_submodule("trunk.level_embedding")
    embedding.register_forward_pre_hook(lambda _module, given: told.append(given[0]))
    network(torch.zeros(5, 1, 8, 8, dtype=torch.float64), LEVELS)
    see_pooled(network, 2)
    small = torch.zeros(5, 1, 4, 4, dtype=torch.float64)
    network(small, pooled_levels(LEVELS, 2))
    network(small, LEVELS)
    torch.testing.assert_close(told[1], told[0], rtol=1e-10, atol=1e-9)
    assert not torch.allclose(told[2], told[0], rtol=1e-3)  # control


def test_the_objective_sees_the_noise_of_small_images_and_counts_whole_ones() -> None:
    seen: list[Tensor] = []

    def objective(_chain: Chain, z: Tensor, b: Tensor, _noise: Noise) -> Terms:
        seen.append(b)
        return Terms(z.sum((1, 2, 3)), {"shown": b})

    chain = Chain(None, None, 0.5)  # type: ignore[arg-type]
    z, b = torch.ones(5, 1, 4, 4), LEVELS.float()
    terms = pooled_objective(objective, 2)(chain, z, b, sample_noise(range(5)))
    torch.testing.assert_close(log_sigma(seen[0]).exp() * 2, log_sigma(b).exp())
    assert (terms.loss == 64).all(), "as many pixels as an image of 8 x 8 has"
    assert torch.equal(terms.shown["shown"], seen[0])


def test_a_unet_takes_maps_of_odd_sides_and_is_a_convolution() -> None:
    """Where it is even nothing changes; the maps of an odd side are as large as those it was given."""
    unet = UNet(8, (1, 1, 1))
    embedding = torch.zeros(2, 8, 1, 1)
    for height, width in ((8, 8), (7, 7), (5, 12), (1, 3)):
        x = torch.randn(2, 8, height, width, generator=torch.Generator().manual_seed(0))
        assert unet(x, embedding).shape == x.shape


def test_phases_by_share_of_the_run() -> None:
    assert poolings((), 28, 28, 2) == (1,)
    assert poolings((7, 14, 28), 28, 28, 1) == (4, 2, 1)
    assert poolings((8, 16), 16, 32, 2) == (2, 1)
    assert pooling_at(0.0, (1,)) == 1
    for share, pooling in ((0, 4), (0.12, 4), (0.125, 2), (0.24, 2), (0.25, 1), (0.6, 1), (1, 1)):
        assert pooling_at(share, (4, 2, 1)) == pooling, share


def test_sizes_that_do_not_fit_are_one_clear_line() -> None:
    cases: list[tuple[str, tuple[int, ...], int, int, int]] = [
        ("must end with the height of the images, 32", (8, 16), 32, 32, 1),
        ("32x32 cannot be pooled to height 12", (12, 32), 32, 32, 1),
        ("28x28 cannot be pooled to height 7 in patches of 2 x 2", (7, 28), 28, 28, 2),
        ("32x50 (height x width) cannot be pooled to height 8", (8, 32), 32, 50, 1),
    ]
    for expected, sizes, height, width, patch_size in each(cases):
        with pytest.raises(InputError) as caught:
            poolings(sizes, height, width, patch_size)
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_best_denoiser_of_pooled_data_is_the_same_at_the_same_told_level() -> None:
    """White data: pooled values have 1 / s² of the variance, so sigma / s is the same share of noise."""
    for s in (2, 4):
        there = pooled_levels(LEVELS, s)
        full = LEVELS / (signal(LEVELS).square() * 1.0 + LEVELS)
        small = there / (signal(there).square() / s**2 + there)
        torch.testing.assert_close(full, small, rtol=1e-12, atol=0)
