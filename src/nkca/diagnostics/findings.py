"""The results of a study of a chain, as plain numbers: `dataclasses.asdict` of it is JSON."""

from dataclasses import dataclass, field

from torch import Tensor

from nkca.diagnostics.autocorrelation import Autocorrelation
from nkca.diagnostics.drift import Drift, PictureDrift
from nkca.diagnostics.reversibility import Reversibility
from nkca.diagnostics.significance import combine_p_values, p_value, standard_error, z_scores
from nkca.errors import require


@dataclass(frozen=True)
class StudyOptions:
    """The options of a study; they determine every number of the report, up to float rounding.

    Args:
        levels: noise levels, each in (0, 1]; at each the chain runs on its own.
        steps: transitions T at each level.
        images: number of chains, each from another image; fewer if there are fewer images.
        tracked: number of chains of which all steps are kept, for the autocorrelation.
        arrow_steps: training steps of the classifier of the arrow of time.
        batch_size: chains that run together; affects memory and speed, not the results.
        seed: for the choice of images, the noise, and the classifier of the arrow of time.
    """

    levels: tuple[float, ...] = (0.1, 0.3, 0.6)
    steps: int = 64
    images: int = 256
    tracked: int = 32
    arrow_steps: int = 200
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for level in self.levels:
            require(0 < level <= 1, "levels", "in (0, 1]", level)
        require(len(self.levels) > 0, "levels", "at least one number", list(self.levels))
        least = {"steps": 1, "images": 4, "tracked": 1, "arrow_steps": 1, "batch_size": 1}
        for name, low in least.items():
            require(getattr(self, name) >= low, name, f"at least {low}", getattr(self, name))
        require(0 <= self.seed < 2**63, "seed", "in 0..2^63-1", self.seed)

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The steps at which pictures are scored and windows of drift end: 0, 1, 2, 4 ... and the last."""
        powers = (1 << n for n in range(self.steps.bit_length()))
        return tuple(sorted({0, self.steps, *powers}))


@dataclass(frozen=True)
class EntropyProduction:
    """E[log p(y|x) - log p(x|y)] over successive states x, y: nats per dimension and step.

    0 for a reversible chain in its stationary distribution; None where it is infinite, because some step
    cannot be reversed, or not a number.

    Args:
        standard_error: over chains, which are independent.
        p_value: two-sided probability of a mean that far from 0, if the true one is 0.
    """

    mean: float | None
    standard_error: float | None
    z: float
    p_value: float

    @staticmethod
    def of(production: Tensor) -> "EntropyProduction":
        """From the mean over steps of each chain, float (N,), N >= 2."""
        z = z_scores(production).item()
        is_finite = bool(production.isfinite().all())
        return EntropyProduction(
            mean=production.double().mean().item() if is_finite else None,
            standard_error=standard_error(production).item() if is_finite else None,
            z=z,
            p_value=p_value(z),
        )


@dataclass(frozen=True)
class LevelReport:
    """A chain at one noise level.

    Args:
        drift: of the state.
        entropy_production: None for a chain that averages noise.
        late_production: entropy production of the second half of the steps only. On its way from the
            noised data to its stationary distribution a chain also produces entropy; that part fades.
        pixels: autocorrelation of the state's pixels.
        picture_drift: of features of the shown picture, the mode of p(z|x).
        features: autocorrelation of the extractor's features of the shown picture.
        score_steps: steps at which the shown pictures were scored.
        scores: by name, one for each of ``score_steps``; empty without a `Judge`.
    """

    noise_level: float
    drift: Drift
    entropy_production: EntropyProduction | None
    late_production: EntropyProduction | None
    reversibility: Reversibility
    pixels: Autocorrelation
    picture_drift: PictureDrift | None = None
    features: Autocorrelation | None = None
    score_steps: tuple[int, ...] = ()
    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def stationarity_p_value(self) -> float:
        """Probability of drift that large, if the chain keeps the noised data distribution."""
        if self.picture_drift is None:
            return self.drift.p_value
        return combine_p_values((self.drift.p_value, self.picture_drift.p_value))

    @property
    def reversibility_p_value(self) -> float:
        """Probability of entropy production or an accuracy that large, if the chain is reversible.

        Reversible with respect to the noised data: a chain with another stationary distribution shows
        here too.
        """
        if self.entropy_production is None:
            return self.reversibility.p_value
        return combine_p_values((self.entropy_production.p_value, self.reversibility.p_value))


@dataclass(frozen=True)
class ChainReport:
    """A chain at several noise levels.

    Args:
        chains: number of chains at each level, each from another image.
        dimensions: numbers in a state, C x H x W.
        lag: w of the chain.
        extractor: the name of the extractor of the features; "" where there are none.
    """

    options: StudyOptions
    chains: int
    dimensions: int
    lag: float
    extractor: str
    levels: tuple[LevelReport, ...]
