"""A study of chains: exact ones pass every test, and each broken one fails the test that is its own."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import pytest
import torch
from oracles import log_normal
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser, PixelPriorDenoiser
from nkca.diagnostics.findings import ChainReport, EntropyProduction, LevelReport, StudyOptions
from nkca.diagnostics.record import Judge, walk
from nkca.diagnostics.study import StudyProgress, study_chain
from nkca.distributions.contracts import Distribution, Factored, Posterior
from nkca.distributions.image_list import ImageList
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel, push_scramble
from nkca.kernels.continuous import ContinuousKernel, push_affine
from nkca.kernels.contract import Kernel, Lag
from nkca.levels import expand
from nkca.metrics.extractors.contract import Description, Features
from nkca.models.model import Model
from nkca.noise import Noise, sample_noise
from nkca.pixels import CategoricalPixels, ContinuousPixels

SHAPE = (3, 8, 8)
IMAGES = 256
K = 4
PROBS = torch.tensor([0.4, 0.1, 0.2, 0.3])
OPTIONS = StudyOptions(levels=(0.3,), steps=16, images=IMAGES, arrow_steps=60, batch_size=IMAGES)
BRIEF = replace(OPTIONS, images=24, steps=4, arrow_steps=5)
REAL, LEVELS = ContinuousKernel(), CategoricalKernel(K)


# Broken kernels


@dataclass(frozen=True)
class Wrapped:
    """A kernel like ``base``."""

    base: Kernel

    @property
    def default_lag(self) -> float:
        return self.base.default_lag

    def add_noise(self, z: Tensor, noise_level: Tensor) -> Factored:
        return self.base.add_noise(z, noise_level)

    def transition_given(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, z: Tensor, lag: Lag
    ) -> Factored:
        return self.base.transition_given(x, level_x, level_y, z, lag)

    def prior(self, shape: tuple[int, ...]) -> Distribution:
        return self.base.prior(shape)

    def loss_floor(self, noise_level: Tensor, lag: float) -> Tensor:
        return self.base.loss_floor(noise_level, lag)

    def transition(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: Lag
    ) -> Distribution:
        return self.base.transition(x, level_x, level_y, p_z, lag)


@dataclass(frozen=True)
class OtherLag(Wrapped):
    """The transitions without the lag cap, but x is kept with w^power where the noise counts on w."""

    power: float = 1.1

    def transition(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: Lag
    ) -> Distribution:
        b_x, b_y, w, kept = expand(level_x, x), expand(level_y, x), lag, lag**self.power
        if x.is_floating_point():
            scale = (1 - b_y) - (1 - b_x) * w
            return push_affine(p_z, shift=kept * x, scale=scale, variance=b_y - w**2 * b_x)
        e = (b_y - w * b_x) / (1 - w * b_x)
        return push_scramble(p_z, e, kept * torch.ones_like(e), x, K)


@dataclass(frozen=True)
class Shifted:
    """``p``, then the picture moves one pixel to the right."""

    p: Distribution

    def sample(self, noise: Noise) -> Tensor:
        return self.p.sample(noise).roll(1, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.p.log_prob(value.roll(-1, -1))


@dataclass(frozen=True)
class Moving(Wrapped):
    """Pictures move to the right: keeps data that are alike everywhere, but is not reversible."""

    def transition(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: Lag
    ) -> Distribution:
        return Shifted(self.base.transition(x, level_x, level_y, p_z, lag))


# Data, models and what is expected of them


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_images(count: int = IMAGES) -> Tensor:
    """Pixels N(0, 0.25²) in units of [-1, 1]: rounding and clipping are far below what is tested."""
    z = 0.25 * torch.randn(count, *SHAPE, generator=seeded(1))
    return ContinuousPixels().to_uint8(z)


def level_images() -> Tensor:
    levels = torch.multinomial(PROBS, IMAGES * math.prod(SHAPE), True, generator=seeded(2))
    return CategoricalPixels(K).to_uint8(levels.view(IMAGES, *SHAPE))


LIST = torch.randint(256, (6, *SHAPE), generator=seeded(3)).to(torch.uint8)


def gaussian(std: float = 0.25) -> GaussianDenoiser:
    return GaussianDenoiser(torch.tensor(0.0), torch.tensor(std))


def prior(probs: Tensor = PROBS) -> PixelPriorDenoiser:
    return PixelPriorDenoiser(probs.log().expand(*SHAPE, K))


def listed(kernel: Kernel, images: Tensor = LIST) -> ImageListDenoiser:
    return ImageListDenoiser(kernel, pixels_of(kernel).to_state(images))


def pixels_of(kernel: Kernel) -> ContinuousPixels | CategoricalPixels:
    return CategoricalPixels(K) if kernel is LEVELS else ContinuousPixels()


def model_of(base: Kernel, denoiser: Denoiser, kernel: Kernel | None = None) -> Model:
    """A model of the state space of ``base``, whose chain may have another kernel."""
    chain = Chain(kernel or base, denoiser, lag=0.8 if base is LEVELS else 0.5)
    return Model(chain, pixels_of(base), SHAPE, 0.01, torch.device("cpu"))


@dataclass(frozen=True)
class Case:
    model: Model
    images: Tensor
    stationary: bool = True
    reversible: bool = True


NORMALS, PIXELS, PICTURES = gaussian_images(), level_images(), LIST[torch.arange(IMAGES) % 6]
EXACT = {
    "gaussian": Case(model_of(REAL, gaussian()), NORMALS),
    "pixel prior": Case(model_of(LEVELS, prior()), PIXELS),
    "real image list": Case(model_of(REAL, listed(REAL)), PICTURES),
    "level image list": Case(model_of(LEVELS, listed(LEVELS)), PICTURES),
}
UNCAPPED = {  # at equal levels the cap does not bind: w² b <= b, so nothing can be wrong
    "gaussian": Case(model_of(REAL, gaussian(), OtherLag(REAL, power=1)), NORMALS),
}
WRONG_PROBS = torch.tensor([0.34, 0.16, 0.2, 0.3])
BROKEN = {
    "gaussian, wrong w": Case(model_of(REAL, gaussian(), OtherLag(REAL)), NORMALS, False),
    "gaussian, std 20 % too large": Case(model_of(REAL, gaussian(0.3)), NORMALS, False),
    "gaussian, moving": Case(model_of(REAL, gaussian(), Moving(REAL)), NORMALS, True, False),
    "pixel prior, wrong w": Case(model_of(LEVELS, prior(), OtherLag(LEVELS)), PIXELS, False),
    "pixel prior, wrong": Case(model_of(LEVELS, prior(WRONG_PROBS)), PIXELS, False),
    "pixel prior, moving": Case(model_of(LEVELS, prior(), Moving(LEVELS)), PIXELS, True, False),
    "real list, wrong w": Case(model_of(REAL, listed(REAL), OtherLag(REAL)), PICTURES, False),
    "level list, wrong w": Case(
        model_of(LEVELS, listed(LEVELS), OtherLag(LEVELS)), PICTURES, False
    ),
}


def study(case: Case, options: StudyOptions = OPTIONS, judge: Judge | None = None) -> ChainReport:
    *_, last = study_chain(case.model, case.images, options, judge)
    assert last.report is not None
    return last.report


CLEAR, PLAUSIBLE = 1e-6, 1e-3


def verdict(p_value: float) -> bool | None:
    """The one checker: True where a claim stands, False where it is refuted, None in between."""
    return False if p_value < CLEAR else True if p_value > PLAUSIBLE else None


def productions(level: LevelReport) -> tuple[EntropyProduction, EntropyProduction]:
    """Of all steps, and of the later half."""
    assert level.entropy_production is not None
    assert level.late_production is not None
    return level.entropy_production, level.late_production


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_chain_is_stationary_and_reversible(name: str) -> None:
    (level,) = study(EXACT[name]).levels
    assert verdict(level.stationarity_p_value), level.drift.worst
    assert verdict(level.reversibility_p_value), level
    (production, late), arrow = productions(level), level.reversibility
    assert production.mean is not None
    assert production.standard_error is not None
    assert abs(production.z) < 4
    assert abs(late.z) < 4
    assert abs(production.mean) < 4 * production.standard_error
    assert production.standard_error < 2e-3
    assert abs(arrow.accuracy - 0.5) < 4 * arrow.standard_error
    assert (arrow.chains, arrow.pairs) == (IMAGES // 2, IMAGES * 4)


@pytest.mark.parametrize("name", BROKEN)
def test_control_a_broken_chain_is_found_out(name: str) -> None:
    case = BROKEN[name]
    (level,) = study(case).levels
    assert verdict(level.stationarity_p_value) is case.stationary, level.drift.largest
    if case.stationary:  # else it is the drift itself that may look irreversible
        assert verdict(level.reversibility_p_value) is case.reversible
        assert verdict(level.reversibility.p_value) is case.reversible
        for production in productions(level):
            assert verdict(production.p_value) is case.reversible


def test_a_chain_that_averages_noise_needs_no_deviation_and_has_no_densities() -> None:
    model = model_of(REAL, gaussian())
    chain = replace(model.chain, averages_noise=True, lag=0.2)
    case = Case(replace(model, chain=chain), NORMALS)
    (level,) = study(case).levels
    assert verdict(level.stationarity_p_value), level.drift.worst
    assert (level.entropy_production, level.late_production) == (None, None)
    assert level.reversibility_p_value == level.reversibility.p_value
    assert verdict(level.reversibility_p_value)


def test_without_the_lag_cap_a_chain_at_one_level_is_the_same() -> None:
    (level,) = study(UNCAPPED["gaussian"]).levels
    (exact,) = study(EXACT["gaussian"]).levels
    assert verdict(level.stationarity_p_value)
    assert level.drift.largest == pytest.approx(exact.drift.largest, abs=1e-2)


def test_control_images_that_the_denoiser_does_not_know_show_in_entropy_production() -> None:
    """Simple statistics of these images are alike: that the chain forgets half of them is seen here."""
    case = Case(model_of(REAL, listed(REAL, LIST[:3])), PICTURES)
    (level,) = study(case, replace(OPTIONS, levels=(0.5,))).levels
    assert verdict(level.reversibility_p_value) is False
    assert productions(level)[0].z > 8
    early, late = (production.mean for production in productions(level))
    assert early is not None
    assert late is not None
    assert late < 0.5 * early  # it settles on the other half, and is reversible there


# Entropy production


def test_entropy_production_of_a_reversible_step_is_the_gain_in_log_density() -> None:
    """p(x) p(y|x) = p(y) p(x|y) turns log p(y|x) - log p(x|y) into log p(y) - log p(x)."""
    b, std, mean = 0.4, 0.7, -0.3
    denoiser = GaussianDenoiser(torch.tensor(mean).double(), torch.tensor(std).double())
    x = torch.tensor([-1.0, 0.2, 2.0]).double().view(3, 1, 1, 1)
    chain = Chain(REAL, denoiser, 0.5)
    first, *later = walk(chain, x, b, 3, sample_noise([0, 1, 2]))
    assert first.before is None
    assert first.log_ratio is not None
    assert first.log_ratio.tolist() == [0, 0, 0]
    state = x
    for visit in later:
        assert visit.before is state
        assert visit.log_ratio is not None
        state = visit.x
        before, after = (
            log_normal(end.flatten(), (1 - b) * mean, math.sqrt((1 - b) ** 2 * std**2 + b))
            for end in (visit.before, visit.x)
        )
        assert torch.allclose(visit.log_ratio, after - before, atol=1e-6)
        assert visit.log_ratio.abs().min() > 1e-4


def test_a_step_that_cannot_be_undone_produces_infinite_entropy() -> None:
    found = EntropyProduction.of(torch.tensor([0.1, math.inf]))
    assert (found.mean, found.standard_error, found.p_value) == (None, None, 0)
    found = EntropyProduction.of(torch.tensor([1.0, 3.0]))
    assert (found.mean, found.standard_error) == (2, 1)


# Scores, features and shape of the report


@dataclass(frozen=True)
class Corner:
    """An extractor that sees the mean of each channel; it wants RGB."""

    @property
    def description(self) -> Description:
        return Description("means", "", "as they are")

    def __call__(self, images: Tensor) -> Features:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        return Features(images.float().mean((2, 3)))


class Whole(Corner):
    """An extractor that sees all pixels."""

    def __call__(self, images: Tensor) -> Features:
        return Features(images.float().flatten(1))


@dataclass(frozen=True)
class Prefers:
    """A denoiser of the listed images that likes the first more than the data do."""

    denoiser: ImageListDenoiser

    def __call__(self, x: Tensor, noise_level: Tensor) -> ImageList:
        p_z = self.denoiser(x, noise_level)
        liked = torch.eye(len(LIST))[0] * 1.5
        return ImageList((p_z.log_weights + liked).log_softmax(1), p_z.images)


def test_shares_of_kinds_of_pictures_are_followed_along_the_walk() -> None:
    """Six kinds of pictures: the exact chain keeps their shares, a wrong one lets the first take over."""

    def shares(features: Tensor) -> dict[str, float]:
        kinds = torch.cdist(features, LIST.float().flatten(1)).argmin(1)
        return {str(kind): (kinds == kind).float().mean().item() for kind in range(len(LIST))}

    options, judge = replace(OPTIONS, levels=(0.8,), steps=32), Judge(Whole(), shares)
    for denoiser, is_kept in ((listed(REAL), True), (Prefers(listed(REAL)), False)):
        (level,) = study(Case(model_of(REAL, denoiser), PICTURES), options, judge).levels
        moved = [values[-1] - values[0] for values in level.scores.values()]
        assert (max(map(abs, moved)) < 0.12) is is_kept
        assert (moved[0] == max(moved) > 0.15) is not is_kept


def test_pictures_are_scored_where_it_says_and_features_are_followed() -> None:
    seen: list[int] = []

    def score(features: Tensor) -> dict[str, float]:
        seen.append(len(features))
        return {"red": features[:, 0].mean().item(), "count": len(features)}

    options = replace(BRIEF, levels=(0.1, 0.6), steps=6, images=20, tracked=5, batch_size=8)
    report = study(EXACT["gaussian"], options, Judge(Corner(), score))
    assert report.extractor == "means"
    assert report.chains == 20
    assert report.dimensions == 192
    assert report.lag == 0.5
    assert seen == [20] * 2 * 5
    for level in report.levels:
        assert level.picture_drift is not None
        assert level.picture_drift.steps == (1, 2, 4, 6)
        assert level.picture_drift.comparisons == 4 * 3
        assert verdict(level.picture_drift.p_value)
        assert level.score_steps == (0, 1, 2, 4, 6)
        assert level.drift.steps == (1, 2, 4, 6)
        assert level.scores["count"] == (20,) * 5
        assert level.scores["red"] == pytest.approx([127.5] * 5, abs=3)
        for found in (level.pixels, level.features):
            assert found is not None
            assert (found.length, found.chains) == (7, 5)
    plain = study(EXACT["gaussian"], options)
    assert plain.extractor == ""
    assert plain.levels[0].features is None
    assert plain.levels[0].scores == {}
    assert plain.levels[0].drift == report.levels[0].drift


def test_the_report_is_plain_numbers() -> None:
    for name in ("gaussian", "pixel prior, moving"):
        report = study({**EXACT, **BROKEN}[name], BRIEF)
        text = json.dumps(asdict(report), allow_nan=False)
        assert json.loads(text)["levels"][0]["noise_level"] == 0.3


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield float(value)


def test_options_decide_the_report_and_batches_do_not() -> None:
    case, options = EXACT["gaussian"], replace(BRIEF, arrow_steps=20)
    report = study(case, options)
    state = torch.get_rng_state()
    assert study(case, options) == report
    assert torch.equal(torch.get_rng_state(), state)
    small = study(case, replace(options, batch_size=7))
    for a, b in zip(
        numbers(asdict(small.levels[0])), numbers(asdict(report.levels[0])), strict=True
    ):
        assert a == pytest.approx(b, rel=1e-2, abs=1e-3)
    assert study(case, replace(options, seed=1)).levels != report.levels
    both = study(case, replace(options, levels=(0.7, 0.3)))
    assert both.levels[1] == report.levels[0]  # a level does not depend on those before it


@dataclass
class Counting:
    """A denoiser that counts its calls."""

    denoiser: Denoiser
    calls: int = 0

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        self.calls += 1
        return self.denoiser(x, noise_level)


def test_progress_counts_denoiser_evaluations_one_for_each_step() -> None:
    counting = Counting(gaussian())
    model = model_of(REAL, counting)
    options = replace(BRIEF, levels=(0.2, 0.5), steps=3, images=10, batch_size=4)
    seen: list[StudyProgress] = []
    for progress in study_chain(model, NORMALS, options):
        assert counting.calls == progress.done
        assert torch.is_grad_enabled()
        seen.append(progress)
    assert [progress.done for progress in seen] == list(range(1, 25))
    assert {progress.total for progress in seen} == {2 * 3 * 4}
    assert [progress.report is None for progress in seen] == [True] * 23 + [False]


def test_images_are_drawn_from_all_there_are() -> None:
    """Folders are sorted by what they show: the first images alone are not the data."""
    sorted_images = torch.zeros(100, *SHAPE, dtype=torch.uint8)
    sorted_images[50:] = 255
    judge = Judge(Corner(), lambda features: {"share": (features > 128).float().mean().item()})
    case = Case(model_of(REAL, listed(REAL, sorted_images[::50])), sorted_images)
    report = study(case, replace(BRIEF, images=40, steps=1), judge)
    assert 0.2 < report.levels[0].scores["share"][0] < 0.8


# Bad input


def test_what_does_not_fit_is_an_error() -> None:
    model = EXACT["gaussian"].model
    with pytest.raises(InputError, match="at least 4 images of shape"):
        next(study_chain(model, NORMALS[:3], OPTIONS))
    with pytest.raises(InputError, match="at least 4 images of shape"):
        next(study_chain(model, NORMALS[..., :4], OPTIONS))
    with pytest.raises(InputError, match="level 0\\.001 is below the model's lowest"):
        next(study_chain(model, NORMALS, replace(OPTIONS, levels=(0.3, 0.001))))
    for wrong in ({"levels": (0.0,)}, {"levels": ()}, {"steps": 0}, {"images": 3}, {"seed": -1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            replace(OPTIONS, **wrong)


def test_a_chain_that_diverges_says_so() -> None:
    exploding = OtherLag(REAL, power=-100)
    with pytest.raises(InputError, match="the chain diverged after 2 steps"):
        list(study_chain(model_of(REAL, gaussian(), exploding), NORMALS, OPTIONS))


def test_level_report_combines_both_tests_of_reversibility() -> None:
    (level,) = study(EXACT["gaussian"], BRIEF).levels
    assert isinstance(level, LevelReport)
    certain = replace(level, entropy_production=EntropyProduction(0.1, 0.01, 10.0, 1e-20))
    assert certain.reversibility_p_value == pytest.approx(2e-20)
