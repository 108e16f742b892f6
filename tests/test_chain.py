"""Ten images and no training: a chain with the exact denoiser samples them, equally often."""

import dataclasses

import pytest
import torch
from oracles import counts_of, z_scores
from torch import Tensor

from nkca.chain import Chain, Moment, run
from nkca.denoisers.condition import Conditioned, hold
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser, PixelPriorDenoiser
from nkca.distributions.image_list import ImageList
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.kernels.contract import Kernel
from nkca.levels import anneal
from nkca.noise import sample_noise

SPACES = ["continuous", "categorical"]
CLASSES = 4
BOUND = 4.5  # standard errors; ten classes and a few statistics, all seeded


def kernel_of(space: str) -> Kernel:
    return ContinuousKernel() if space == "continuous" else CategoricalKernel(CLASSES)


def ten_images(space: str) -> Tensor:
    """Ten different images of 1 x 2 x 3 pixels."""
    levels = torch.randint(CLASSES, (10, 1, 2, 3), generator=torch.Generator().manual_seed(2))
    assert len(set(map(str, levels.tolist()))) == 10
    return levels if space == "categorical" else levels / 1.5 - 1


@dataclasses.dataclass(frozen=True)
class Biased:
    """A wrong denoiser: it likes the first image more than the data do."""

    denoiser: ImageListDenoiser

    def __call__(self, x: Tensor, noise_level: Tensor) -> ImageList:
        p_z = self.denoiser(x, noise_level)
        weights = p_z.log_weights + torch.eye(10)[0] * 1.5
        return ImageList(weights.log_softmax(1), p_z.images)


def chain_of(space: str, biased: bool = False) -> Chain:
    kernel = kernel_of(space)
    exact = ImageListDenoiser(kernel, ten_images(space))
    return Chain(kernel, Biased(exact) if biased else exact, kernel.default_lag)


def final(chain: Chain, levels: list[float], count: int, x: Tensor | None = None) -> Moment:
    noise = sample_noise(range(count))
    start = chain.kernel.prior((count, 1, 2, 3)).sample(noise) if x is None else x
    *_, last = run(chain, start, levels, noise)
    return last


def which(space: str, pictures: Tensor) -> Tensor:
    """The number of each picture in the list; fails for a picture that is not in it."""
    same = (pictures[:, None] == ten_images(space)[None]).flatten(2).all(2)
    assert (same.sum(1) == 1).all()
    return same.long().argmax(1)


def z_of_uniform(space: str, state: Moment) -> float:
    counts = counts_of(which(space, state.p_z.mode()), 10)
    assert (counts > 0).all()  # all ten appear
    return float(z_scores(counts, torch.full((10,), 0.1).double()).max())


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("steps", [40, 3])
def test_an_anneal_from_noise_ends_at_the_images_equally_often(space: str, steps: int) -> None:
    last = final(chain_of(space), anneal(1.0, 0.01, steps), 1000)
    assert z_of_uniform(space, last) < BOUND
    # The state itself, not only the mode of p(z|x), is a noised image of the list.
    z = last.p_z.mode()
    if space == "categorical":
        scrambled = last.x == CLASSES
        assert torch.equal(last.x[~scrambled], z[~scrambled])
        counts = counts_of(scrambled.long(), 2)
        assert z_scores(counts, torch.tensor([0.99, 0.01]).double()).max() < BOUND
        assert z_scores(counts, torch.tensor([0.976, 0.024]).double()).max() > BOUND  # control
    else:
        residual = (last.x - 0.99 * z) / 0.1
        n = residual.numel()
        assert abs(residual.mean().item()) * n**0.5 < BOUND
        assert abs(residual.square().mean().item() - 1) * (n / 2) ** 0.5 < BOUND


@pytest.mark.parametrize("space", SPACES)
def test_control_a_biased_denoiser_is_noticed(space: str) -> None:
    last = final(chain_of(space, biased=True), anneal(1.0, 0.01, 40), 1000)
    assert z_of_uniform(space, last) > BOUND


@pytest.mark.parametrize("space", SPACES)
def test_the_noised_images_stay_as_they_are_at_one_level(space: str) -> None:
    """From noised images of the list, 25 steps at one level; without bias nothing has changed."""
    count, level = 1000, 0.5
    chain = dataclasses.replace(chain_of(space), lag=0.5)
    clean = ten_images(space)[torch.arange(count) % 10]
    noised = chain.kernel.add_noise(clean, torch.full((count,), level))
    x = noised.sample(sample_noise(range(count, 2 * count)))

    def z(chain: Chain) -> float:
        """Of the expected frequencies of the images: the mean of p(z|x) has mean 1/10."""
        last = final(chain, [level] * 26, count, x)
        p_z = chain_of(space).denoiser(last.x, torch.full((count,), level))
        assert isinstance(p_z, ImageList)
        weights = p_z.log_weights.exp().double()
        return float(((weights.mean(0) - 0.1).abs() / (weights.std(0) / count**0.5)).max())

    assert z(chain) < BOUND
    biased = dataclasses.replace(chain, denoiser=chain_of(space, biased=True).denoiser)
    assert z(biased) > BOUND  # control
    moved = final(chain, [level] * 26, count, x).p_z.mode() != clean
    assert moved.flatten(1).any(1).float().mean() > 0.3  # it mixes, it does not stand still


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_states_are_one_more_than_transitions_and_name_their_levels(space: str, steps: int) -> None:
    chain, levels = chain_of(space), anneal(1.0, 0.01, steps)
    noise = sample_noise([1, 2])
    x = chain.kernel.prior((2, 1, 2, 3)).sample(noise)
    states = list(run(chain, x, levels, noise))
    assert [state.step for state in states] == list(range(steps + 1))
    assert [state.noise_level for state in states] == levels
    assert states[0].x is x
    for state in states:
        again = chain.denoiser(state.x, torch.full((2,), state.noise_level))
        assert torch.equal(state.p_z.mode(), again.mode())
    assert torch.equal(states[-1].x, x) == (steps == 0)


def test_each_state_costs_one_denoiser_evaluation_at_its_level() -> None:
    calls: list[list[float]] = []
    exact = chain_of("continuous").denoiser

    def counting(x: Tensor, noise_level: Tensor) -> ImageList:
        calls.append(noise_level.tolist())
        p_z = exact(x, noise_level)
        assert isinstance(p_z, ImageList)
        return p_z

    chain = Chain(ContinuousKernel(), counting, 0.5)
    list(run(chain, torch.zeros(2, 1, 2, 3), [1.0, 0.5, 0.25], sample_noise([1, 2])))
    assert calls == [[1.0, 1.0], [0.5, 0.5], [0.25, 0.25]]


def test_the_last_level_is_not_stepped_from() -> None:
    """The caller may stop early, and no randomness is drawn after the last state."""
    noise, twin = sample_noise([1]), sample_noise([1])
    list(run(chain_of("continuous"), torch.zeros(1, 1, 2, 3), [1.0], noise))
    like = torch.empty(1, 5)
    assert torch.equal(noise.normal(like), twin.normal(like))


@pytest.mark.parametrize("space", SPACES)
def test_a_seed_decides_its_sample_alone(space: str) -> None:
    chain, levels = chain_of(space), anneal(1.0, 0.01, 12)

    def sample(seeds: list[int]) -> Tensor:
        noise = sample_noise(seeds)
        x = chain.kernel.prior((len(seeds), 1, 2, 3)).sample(noise)
        *_, last = run(chain, x, levels, noise)
        return last.x

    three = sample([7, 8, 9])
    assert torch.allclose(sample([8]), three[1:2], atol=1e-6, rtol=0)
    assert torch.equal(sample([7, 8, 9]), three)
    assert not torch.equal(three[0], three[1])


@pytest.mark.parametrize("steps", [1, 2, 5, 33, 1000])
def test_anneals_of_any_length_are_finite(steps: int) -> None:
    """Those below 34 steps are NaN in the original; both state spaces, low levels, every lag."""
    uniform = torch.full((1, 1, 2, CLASSES), 1 / CLASSES).log()
    for lag in (0.0, 0.5, 0.95):
        for kernel, denoiser in (
            (ContinuousKernel(), GaussianDenoiser(torch.tensor(0.1), torch.tensor(0.3))),
            (CategoricalKernel(CLASSES), PixelPriorDenoiser(uniform)),
        ):
            noise = sample_noise([1])
            chain = Chain(kernel, denoiser, lag)
            x = kernel.prior((1, 1, 1, 2)).sample(noise)
            states = list(run(chain, x, anneal(1.0, 1e-4, steps), noise))
            assert len(states) == steps + 1
            for state in states:
                assert state.x.double().isfinite().all()
            if isinstance(kernel, CategoricalKernel):
                assert 0 <= states[-1].x.min() <= states[-1].x.max() <= CLASSES
            else:
                assert states[-1].x.abs().max() < 0.1 + 6 * 0.3


def test_repainting_on_a_list_of_categorical_images_never_loses_its_posterior() -> None:
    """Held pixels of one image beside free pixels of another are in no image of the list."""
    kernel = CategoricalKernel(CLASSES)
    images = torch.tensor([[0, 0, 0], [1, 2, 3]]).view(2, 1, 1, 3)
    first_pixel = hold(torch.tensor([[True, False, False]]), images[:1])
    held = Conditioned(ImageListDenoiser(kernel, images), (first_pixel,))
    noise = sample_noise(range(60))
    x = kernel.prior((60, 1, 1, 3)).sample(noise)
    for state in run(Chain(kernel, held, 0.95), x, anneal(1.0, 0.01, 40), noise):
        assert isinstance(state.p_z, ImageList)
        assert not state.p_z.log_weights.isnan().any(), state.step
        assert (state.p_z.mode()[..., 0] == 0).all()
