"""What a study of a chain observes and records at one noise level.

The states of all chains at all steps are never in memory together: statistics and a few pairs of
successive states of all chains are kept, and some pixels of the tracked chains at every step.
"""

import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.diagnostics.autocorrelation import Autocorrelation, autocorrelation
from nkca.diagnostics.drift import (
    PictureDrift,
    measure_drift,
    measure_picture_drift,
    state_statistics,
)
from nkca.diagnostics.findings import EntropyProduction, LevelReport, StudyOptions
from nkca.diagnostics.reversibility import ClassifierTraining, Pairs, arrow_of_time
from nkca.distributions.contracts import Posterior
from nkca.errors import InputError
from nkca.metrics.extractors.contract import Extractor
from nkca.models.model import Model
from nkca.noise import Noise
from nkca.pixels import to_rgb

PAIRS = 8  # successive states kept of each chain, for the arrow of time
PAIR_SIDE = 48  # pixels: larger images are cropped to their centre
TRACKED_VALUES = 4096  # values of a state whose autocorrelation is measured


@dataclass(frozen=True)
class Judge:
    """Scores pictures, for example by their Fréchet distance to real ones.

    Args:
        score: maps features (N, D) float32 on the CPU to named numbers.
    """

    extractor: Extractor
    score: Callable[[Tensor], Mapping[str, float]]


@dataclass(frozen=True)
class Visit:
    """The states of a batch of chains at one step.

    Args:
        x: the state, (B, C, H, W).
        before: the state one step earlier; None at step 0.
        log_ratio: log p(x|before) - log p(before|x) in nats, (B,) float64; 0 at step 0. None for a chain
            that averages noise, whose steps have no density that is known.
    """

    step: int
    x: Tensor
    p_z: Posterior
    before: Tensor | None
    log_ratio: Tensor | None


def walk(chain: Chain, x: Tensor, level: float, steps: int, noise: Noise) -> Iterator[Visit]:
    """Run ``steps`` transitions at ``level`` from states x (B, C, H, W): yields ``steps + 1`` visits.

    Each takes one denoiser evaluation: p(.|x) gives the next state and the density of the step back.
    """
    b = torch.full((len(x),), level, device=x.device)
    before, carried, log_forward = None, None, torch.zeros(len(x), device=x.device)
    for step in range(steps + 1):
        p_z = chain.believe(x, b)
        p_y = chain.move(x, b, b, p_z)
        log_backward = 0.0 if before is None else p_y.log_prob(before)
        log_ratio = (log_forward - log_backward).cpu().double()
        yield Visit(step, x, p_z, before, None if chain.averages_noise else log_ratio)
        if step < steps:
            y, carried = chain.step(x, (b, b), p_z, noise, carried)
            before, x, log_forward = x, y, p_y.log_prob(y)


@dataclass
class LevelRecord:
    """What is kept of one noise level, on the CPU, by step; lists have one entry for each batch.

    Args:
        limits: see `nkca.diagnostics.drift.state_statistics`.
    """

    model: Model
    options: StudyOptions
    limits: Tensor
    judge: Judge | None
    _start: list[Tensor] = field(default_factory=list)
    _windows: dict[int, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    _log_ratios: dict[int, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    _pairs: dict[int, list[Pairs]] = field(default_factory=lambda: defaultdict(list))
    _values: dict[int, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    _features: dict[int, list[Tensor]] = field(default_factory=lambda: defaultdict(list))

    def begin(self, x: Sequence[Tensor]) -> None:
        """Record several draws of x_0, each (B, C, H, W), of the chains whose visits are added next."""
        self._start.append(torch.stack([state_statistics(draw, self.limits) for draw in x], 1))

    def add(self, first: int, visit: Visit) -> None:
        """Record a visit of chains ``first``, ``first + 1`` ...; chains and steps come in order.

        Raises:
            InputError: if a state is not finite.
        """
        step, x = visit.step, visit.x
        if not x.isfinite().all():
            raise InputError(f"the chain diverged after {step} steps; study other noise levels")
        if visit.before is not None:
            if visit.log_ratio is not None:
                self._log_ratios[step].append(visit.log_ratio)
            self._add_statistics(step, state_statistics(x, self.limits))
            if step in _pair_steps(self.options.steps):
                self._pairs[step].append(Pairs(_middle(visit.before), _middle(x)))
        tracked = min(len(x), max(0, self.options.tracked - first))
        self._values[step].append(_some_values(x[:tracked]))
        seen = len(x) if step in self.options.checkpoints else tracked
        if self.judge is not None and seen > 0:
            pictures = self.model.pixels.to_uint8(visit.p_z.mode()[:seen])
            features = self.judge.extractor(to_rgb(pictures)).features
            self._features[step].append(features.float().cpu())

    def _add_statistics(self, step: int, values: Tensor) -> None:
        steps = self.options.checkpoints
        end = bisect.bisect_left(steps, step)
        mean = values / (steps[end] - steps[end - 1])
        if step == steps[end - 1] + 1:
            self._windows[steps[end]].append(mean)
        else:
            self._windows[steps[end]][-1] += mean

    def report(self, noise_level: float, dimensions: int) -> LevelReport:
        """The report on this level, once all steps of all chains have been added."""
        steps = self.options.checkpoints
        windows = torch.stack([torch.cat(self._windows[step]) for step in steps[1:]], 1)
        ratios = [torch.cat(parts) for parts in self._log_ratios.values()]
        scores, picture_drift = self._judged(steps)
        return LevelReport(
            noise_level=noise_level,
            drift=measure_drift(steps[1:], torch.cat(self._start), windows),
            entropy_production=_production(ratios, dimensions),
            late_production=_production(ratios[len(ratios) // 2 :], dimensions),
            reversibility=arrow_of_time(
                self._all_pairs(),
                ClassifierTraining(self.options.arrow_steps, seed=self.options.seed),
            ),
            pixels=self._autocorrelation(self._values),
            picture_drift=picture_drift,
            features=None if self.judge is None else self._autocorrelation(self._features),
            score_steps=steps if scores else (),
            scores=scores,
        )

    def _judged(
        self, steps: tuple[int, ...]
    ) -> tuple[dict[str, tuple[float, ...]], PictureDrift | None]:
        """Scores and drift of the shown pictures."""
        if self.judge is None:
            return {}, None
        features = [torch.cat(self._features[step]) for step in steps]
        rows = [self.judge.score(part) for part in features]
        scores = {name: tuple(float(row[name]) for row in rows) for name in rows[0]}
        return scores, measure_picture_drift(steps[1:], torch.stack(features, 1))

    def _all_pairs(self) -> Pairs:
        x = [torch.cat([batch.x for batch in batches]) for batches in self._pairs.values()]
        y = [torch.cat([batch.y for batch in batches]) for batches in self._pairs.values()]
        return Pairs(torch.stack(x, 1), torch.stack(y, 1)).to(self.model.device)

    def _autocorrelation(self, values: dict[int, list[Tensor]]) -> Autocorrelation:
        tracked = self.options.tracked
        rows = [torch.cat(values[step])[:tracked] for step in range(self.options.steps + 1)]
        return autocorrelation(torch.stack(rows))


def _production(ratios: list[Tensor], dimensions: int) -> EntropyProduction | None:
    return EntropyProduction.of(torch.stack(ratios).mean(0) / dimensions) if ratios else None


def _pair_steps(steps: int) -> set[int]:
    """At most `PAIRS` of 1 ... steps, evenly spread."""
    count = min(PAIRS, steps)
    return {steps * (number + 1) // count for number in range(count)}


def _middle(x: Tensor) -> Tensor:
    """The centre of states (B, C, H, W), at most `PAIR_SIDE` wide and high: float32 on the CPU."""
    top, left = (max(0, side - PAIR_SIDE) // 2 for side in x.shape[-2:])
    return x[..., top : top + PAIR_SIDE, left : left + PAIR_SIDE].float().cpu()


def _some_values(x: Tensor) -> Tensor:
    """At most `TRACKED_VALUES` of the values of states (B, C, H, W), evenly spread: float (B, D)."""
    values = x.flatten(1)
    count = min(TRACKED_VALUES, values.shape[1])
    chosen = torch.arange(count, device=x.device) * values.shape[1] // count
    return values[:, chosen].float().cpu()
