"""Linear measurements as conditions: the conditional law of normals and of a list of images, by hand."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from oracles import FixedNoise, z_scores
from tables import each
from torch import Tensor
from torch.distributions import MultivariateNormal

from nkca.chain import Chain, run
from nkca.denoisers.condition import Condition, hold
from nkca.denoisers.conditions.block_means import block_means, hold_block_means
from nkca.denoisers.conditions.grey import grey, hold_grey
from nkca.denoisers.conditions.linear import observe
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser, PixelPriorDenoiser
from nkca.distributions import measurement
from nkca.distributions.linear_gaussian import LinearGaussian
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.levels import anneal
from nkca.noise import sample_noise
from nkca.pixels import ContinuousPixels

SHAPE = (3, 4, 4)
SIZE = math.prod(SHAPE)
RANDOM = torch.Generator().manual_seed(1)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=RANDOM, dtype=torch.float64)


PRIOR = Normal(randn(1, *SHAPE), 0.1 + randn(1, *SHAPE).abs())
Z = randn(1, *SHAPE)
MATRIX = randn(5, SIZE)
KERNEL = torch.tensor([[0.1, 0.2, 0.1], [0.0, 0.3, 0.2], [0.0, 0.1, 0.0]], dtype=torch.float64)


def blur(z: Tensor) -> Tensor:
    """A convolution that no symmetry helps, of every other column."""
    return torch.nn.functional.conv2d(
        z, KERNEL.expand(3, 1, 3, 3), groups=3, padding=1, stride=(1, 2)
    )


Linear = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """A condition on Z and its operator."""

    condition: Condition
    operator: Linear
    noise_std: float = 0.0


def case(operator: Linear, noise_std: float = 0.0) -> Case:
    return Case(observe(operator, operator(Z), SHAPE, noise_std), operator, noise_std)


def by_matrix(z: Tensor) -> Tensor:
    return z.flatten(1) @ MATRIX.T


CASES = {
    "block means": Case(hold_block_means(block_means(Z, 2), 2), lambda z: block_means(z, 2)),
    "noisy block means": Case(
        hold_block_means(block_means(Z, 2), 2, 0.3), lambda z: block_means(z, 2), 0.3
    ),
    "grey": Case(hold_grey(grey(Z)), grey),
    "matrix": Case(observe(MATRIX, by_matrix(Z), SHAPE), by_matrix),
    "noisy matrix": Case(observe(MATRIX, by_matrix(Z), SHAPE, 0.7), by_matrix, 0.7),
    "blur": case(blur),
    "noisy blur": case(blur, 0.2),
}


def dense(operator: Linear) -> Tensor:
    """The matrix (M, N) of an operator, column by column."""
    unit = torch.eye(SIZE, dtype=torch.float64).view(SIZE, *SHAPE)
    return operator(unit).flatten(1).T


def conditional(of: Case) -> tuple[Tensor, Tensor]:
    """The mean (N,) and covariance (N, N) of PRIOR, by the formula for joint normals."""
    a, s = dense(of.operator), PRIOR.std.flatten().square().diag()
    joint = a @ s @ a.T + of.noise_std**2 * torch.eye(len(a), dtype=torch.float64)
    gain = s @ a.T @ torch.linalg.inv(joint)
    mean = PRIOR.mean.flatten()
    return mean + gain @ (of.operator(Z).flatten() - a @ mean), s - gain @ a @ s


def law_of_draws(p_z: LinearGaussian) -> tuple[Tensor, Tensor]:
    """The mean and covariance of draws, which are affine in the noise: from unit draws, exactly."""
    value = p_z.measurement.value(p_z.prior.mean)
    rows = value.shape[1]
    nothing = [torch.zeros(1, *SHAPE, dtype=torch.float64), torch.zeros_like(value)]
    at_zero = p_z.sample(FixedNoise(list(nothing))).flatten()
    columns = []
    for index in range(SIZE + rows):
        draws = [draw.clone() for draw in nothing]
        draws[index >= SIZE].view(-1)[index % SIZE if index < SIZE else index - SIZE] = 1
        columns.append(p_z.sample(FixedNoise(draws)).flatten() - at_zero)
    factor = torch.stack(columns, 1)
    return at_zero, factor @ factor.T


def posterior(*conditions: Condition) -> LinearGaussian:
    p_z: object = PRIOR
    for condition in conditions:
        p_z = condition(p_z)  # type: ignore[arg-type]
    assert isinstance(p_z, LinearGaussian)
    return p_z


@pytest.mark.parametrize("solver", ["diagonal or dense", "conjugate gradients"])
@pytest.mark.parametrize("name", CASES)
def test_mean_and_draws_have_the_conditional_law(
    name: str, solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if solver == "conjugate gradients":
        monkeypatch.setattr(measurement.Measurement, "is_diagonal", False)
        monkeypatch.setattr(measurement, "DENSE", 0)
    p_z = posterior(CASES[name].condition)
    mean, covariance = conditional(CASES[name])
    drawn_mean, drawn_covariance = law_of_draws(p_z)
    tolerance = 1e-6 if "blur" in name else 1e-10  # of a condition number of 1e4
    assert (p_z.mean.flatten() - mean).abs().max() < tolerance
    assert (drawn_mean - mean).abs().max() < tolerance
    assert (drawn_covariance - covariance).abs().max() < tolerance
    others = [conditional(other) for label, other in CASES.items() if label != name]
    assert all((other_mean - mean).abs().max() > 1e-3 for other_mean, _ in others)
    assert all((other - covariance).abs().max() > 1e-3 for _, other in others)


@pytest.mark.parametrize("name", [name for name in CASES if "noisy" not in name])
def test_what_is_known_holds_in_mean_mode_and_every_draw(name: str) -> None:
    of = CASES[name]
    p_z = posterior(of.condition)
    draws = p_z.sample(sample_noise([3]))
    for z in (p_z.mean, p_z.mode(), draws):
        assert (of.operator(z) - of.operator(Z)).abs().max() < 1e-9
    assert (of.operator(PRIOR.mean) - of.operator(Z)).abs().max() > 0.05
    assert (draws - p_z.mean).abs().max() > 0.05


def test_density_of_the_next_state_is_the_joint_normal_one() -> None:
    x, y = randn(1, *SHAPE), randn(1, *SHAPE)
    level = torch.tensor([0.4], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    kernel = ContinuousKernel()
    for name, of in each(CASES.items()):
        p_y = kernel.transition(x, *level, posterior(of.condition), 0.5)
        mean, covariance = conditional(of)
        given = [kernel.transition_given(x, *level, torch.full_like(x, z), 0.5) for z in (0.0, 1.0)]
        scale = (given[1].mean - given[0].mean).flatten()[0]
        total = scale**2 * covariance + given[0].std.flatten()[0] ** 2 * torch.eye(SIZE).double()
        joint = MultivariateNormal(given[0].mean.flatten() + scale * mean, total)
        expected: Tensor = joint.log_prob(y.flatten())  # type: ignore[no-untyped-call]
        difference = p_y.log_prob(y) - expected
        assert difference.abs() < (1e-5 if name == "blur" else 1e-8)


def test_measurements_and_held_pixels_compose_in_any_order() -> None:
    mask = torch.zeros(1, *SHAPE, dtype=torch.bool)
    mask[..., :2, :3] = True
    a_block_and_a_half = hold(mask, Z)
    coarse, colours = CASES["block means"], CASES["grey"]

    def both(z: Tensor) -> Tensor:
        return torch.cat([coarse.operator(z).flatten(1), colours.operator(z).flatten(1)], 1)

    rows = torch.cat([dense(both), torch.eye(SIZE, dtype=torch.float64)[mask.flatten()]])
    s = PRIOR.std.flatten().square().diag()
    gain = s @ rows.T @ torch.linalg.pinv(rows @ s @ rows.T, hermitian=True, rtol=1e-12)
    lacking = rows @ (Z.flatten() - PRIOR.mean.flatten())
    expected = PRIOR.mean.flatten() + gain @ lacking
    conditions = coarse.condition, colours.condition, a_block_and_a_half
    for order in each(itertools.permutations(conditions)):
        p_z = posterior(*order)
        assert (p_z.mean.flatten() - expected).abs().max() < 1e-8
        draw = p_z.sample(sample_noise([1]))
        assert (both(draw) - both(Z)).abs().max() < 1e-8
        assert torch.equal(draw[mask], Z[mask])
    assert (posterior(*conditions[:2]).mean - Z)[mask].abs().max() > 0.05


def test_many_rows_are_solved_for_each_image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "DENSE", 0)
    easy = Normal(torch.zeros(1, *SHAPE).double(), torch.ones(1, *SHAPE).double())
    both = Normal(torch.cat([PRIOR.mean, easy.mean]), torch.cat([PRIOR.std, easy.std]))
    condition = case(blur).condition
    together, alone = condition(both), condition(PRIOR)
    assert (together.mean[:1] - alone.mean).abs().max() < 1e-7


def chain_of(condition: Condition | None) -> Chain:
    exact = GaussianDenoiser(PRIOR.mean[0], PRIOR.std[0])
    chain = Chain(ContinuousKernel(), exact, 0.5)
    return chain if condition is None else chain.conditioned(condition)


def test_a_chain_of_normal_data_ends_in_the_conditional_law() -> None:
    count = 2000
    x = sample_noise(range(count)).normal(torch.empty(count, *SHAPE, dtype=torch.float64))
    for name in each(("noisy block means", "grey", "noisy matrix")):
        scores = {}
        for is_told in (True, False):
            chain = chain_of(CASES[name].condition if is_told else None)
            noise = sample_noise(range(count, 2 * count))
            *_, last = run(chain, x, anneal(1, 1e-4, 8), noise)
            a = 1 - 1e-4
            mean, covariance = conditional(CASES[name])
            total = a**2 * covariance + 1e-4 * torch.eye(SIZE).double()
            states = last.x.flatten(1)
            error = (states.mean(0) - a * mean) / (total.diag() / count).sqrt()
            spread = (states.var(0) / total.diag() - 1) / math.sqrt(2 / count)
            scores[is_told] = max(error.abs().max(), spread.abs().max())
        assert scores[True] < 4.5  # of 96 numbers
        assert scores[False] > 12


def test_a_chain_over_a_list_ends_in_the_images_that_agree() -> None:
    images = torch.randint(0, 256, (8, 3, 4, 4), generator=RANDOM).double() / 127.5 - 1
    images = torch.cat([images, images[:4, ..., [1, 0, 3, 2]]])  # these have means that others have
    told = hold_block_means(block_means(images[2:3], 2), 2)
    agreeing = (block_means(images, 2) - block_means(images[2:3], 2)).flatten(1).abs().amax(
        1
    ) < 1e-9
    assert agreeing.sum() == 2
    kernel = ContinuousKernel()
    chain = Chain(kernel, ImageListDenoiser(kernel, images), 0.5)
    count = 300
    x = sample_noise(range(count)).normal(torch.empty(count, *SHAPE, dtype=torch.float64))
    for is_told in (True, False):
        conditioned = chain.conditioned(told) if is_told else chain
        *_, last = run(conditioned, x, anneal(1, 1e-3, 20), sample_noise(range(count)))
        found = (last.p_z.mode()[:, None] - images).flatten(2).abs().amax(2).argmin(1)
        counts = torch.bincount(found, minlength=len(images)).double()
        wanted = agreeing.double() / agreeing.sum()
        assert (z_scores(counts, wanted).max() < 4) == is_told


def test_bad_measurements_are_one_line() -> None:
    wrongs: dict[str, tuple[Callable[[], object], str]] = {
        "not linear": (lambda: observe(lambda z: z + 1, Z, SHAPE), "must map 0 to 0"),
        "too few numbers": (lambda: observe(blur, Z[:, :2], SHAPE), "24 numbers, .* has 32"),
        "matrix of another size": (lambda: observe(MATRIX[:, 1:], Z, SHAPE), r"\(M, 48\)"),
        "not finite": (lambda: observe(blur, blur(Z) / 0, SHAPE), "must be finite"),
        "negative noise": (lambda: observe(blur, blur(Z), SHAPE, -1.0), "0 or more, got -1"),
        "blocks that do not fit": (
            lambda: block_means(Z, 3),
            "do not divide 4x4: use one of 2",
        ),
        "grey of three channels": (lambda: hold_grey(Z), r"\(B, 1, H, W\)"),
    }
    for wrong, says in each(wrongs.values()):
        with pytest.raises(InputError, match=says):
            wrong()


def test_categories_are_refused() -> None:
    log_probs = torch.zeros(1, 4, 4, 3).log_softmax(-1)
    chain = Chain(CategoricalKernel(3), PixelPriorDenoiser(log_probs), 0.9)
    told = chain.conditioned(hold_block_means(torch.zeros(1, 1, 2, 2), 2))
    with pytest.raises(InputError, match="continuous pixels, not of categories"):
        told.believe(torch.zeros(1, 1, 4, 4, dtype=torch.int64), torch.tensor([0.5]))


def test_bytes_and_states_have_the_same_measurements() -> None:
    image = torch.randint(0, 256, (2, 3, 4, 4), generator=RANDOM)
    z = ContinuousPixels().to_state(image).double()
    operators: list[Linear] = [grey, lambda value: block_means(value, 2)]
    for operator in operators:
        assert ((operator(z) + 1) * 127.5 - operator(image.double())).abs().max() < 1e-4
