"""How a training step fits into memory: an estimate, and the parts and recomputed levels that fit.

Weights, average, gradients and optimizer take a few float32 numbers for each weight. A part of n images
takes s n H W bytes more, s being measured: one and two small crops go forward and backward, no weight
moves. More parts come first, for they cost next to nothing; then levels, outermost first, for a level
that is recomputed costs another forward pass of it.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from nkca.config.schema import RunConfig
from nkca.errors import InputError
from nkca.models.model import Model
from nkca.networks.unet import recompute_levels
from nkca.noise import sample_noise
from nkca.system import memory
from nkca.system.memory import TensorBytes, as_text
from nkca.training.learner import Learner

MARGIN = 1.3  # of what a part takes, where parts and levels are found: the heap of a run has holes
USABLE = 0.9  # of the memory that is available then
SMALL_SIDE = 64  # of the crops that are measured


@dataclass(frozen=True)
class StepPlan:
    """A step in ``parts`` with ``levels`` recomputed: the process holds ``peak`` of ``limit`` bytes."""

    parts: int
    levels: int
    peak: int
    limit: int

    def describe(self, batch: int) -> str:
        """One line for the log."""
        recomputed = f", activations of {self.levels} level(s) recomputed" if self.levels else ""
        return (
            f"steps of {batch} images in {self.parts} part(s){recomputed}: about "
            f"{as_text(self.peak)} of {as_text(self.limit)}"
        )


@dataclass(frozen=True)
class Need:
    """Bytes that the process holds at the peak of a part: ``fixed``, and more for each image."""

    fixed: float
    per_image: float


def check_weights(weights: int, config: RunConfig, device: torch.device, advice: str) -> int:
    """The bytes that training keeps for weights, averages, gradients and optimizer.

    Raises:
        InputError: if they are not available; it ends with ``advice``.
    """
    training = config.training
    moments = 1 if training.optimizer == "muon" else 2
    size = 4 * weights * (3 + bool(training.weak_at) + moments)  # 3: weight, average, gradient
    there = memory.available(device)
    if size > there:
        raise InputError(
            f"{weights:,} weights take {as_text(size)} with averages, gradients and optimizer, of "
            f"{as_text(there)} that are available: {advice}"
        )
    return size


def fit_step(
    learner: Learner, model: Model, config: RunConfig, smaller: str = "use a smaller hidden_size"
) -> tuple[Learner, StepPlan]:
    """The learner with the parts and levels that the config asks for, or those that fit.

    No weight moves.

    Args:
        model: of the same shape; its pixels make states.
        smaller: advice where not even the smallest step fits.

    Raises:
        InputError: if the step, or where it may be divided the smallest one, takes more than there is.
    """
    training, ranks, device = config.training, learner.ranks, model.device
    given = int(training.activation_checkpointing or 0)
    parts = None if training.finds_parts else int(training.accumulate or 1)
    all_levels = range(len(config.model.dim_mults) + 1)
    needs = functools.cache(functools.partial(_need, learner, model, config.model.size_unit))
    fixed = needs(given).fixed
    sharing = int(ranks.max(ranks.local)) + 1 if device.type == "cpu" else 1
    usable = (USABLE if training.fits_memory else 1.0) * memory.available(device) / sharing
    limit = training.max_memory or round(fixed + usable)
    search = _Search(needs, -(-training.batch_size // ranks.count), limit)
    levels = all_levels if training.finds_levels else [given]
    plan = search.first(levels, parts, MARGIN if training.fits_memory else 1.0)
    if ranks.any(plan is None):
        raise InputError(_too_large(config, limit, search.first(all_levels, None, MARGIN), smaller))
    assert plan is not None
    found, chosen, peak = map(int, ranks.maxima(plan.parts, plan.levels, plan.peak))
    learner.weights.zero_grad(set_to_none=found == 1)
    recompute_levels(learner.weights, chosen)
    return replace(learner, parts=found), replace(plan, parts=found, levels=chosen, peak=peak)


@dataclass(frozen=True)
class _Search:
    """For steps of ``batch`` images on this process, of which ``need`` says what they take."""

    need: Callable[[int], Need]
    batch: int
    limit: int

    def first(self, levels: Sequence[int], parts: int | None, margin: float) -> StepPlan | None:
        """The first plan that fits: few levels, then few parts, unless these are given."""
        fewest = 1 if parts is None else -(-self.batch // parts)
        for level in levels:
            need = self.need(level)
            per_image = margin * need.per_image
            fitting = int(max(0.0, self.limit - need.fixed) / per_image)
            if fitting >= fewest:
                found = parts or -(-self.batch // fitting)
                peak = round(need.fixed + per_image * -(-self.batch // found))
                return StepPlan(found, level, peak, self.limit)
        return None


def advice_on_memory(config: RunConfig) -> str:
    """Advice for a run whose memory ran out all the same."""
    tried = "a lower max_memory" if config.training.finds_parts else "accumulate=auto"
    return (
        f"at batch size {config.training.batch_size}: try {tried}, a smaller batch_size, resize or "
        "hidden_size, or precision=bf16"
    )


def _too_large(config: RunConfig, limit: int, other: StepPlan | None, smaller: str) -> str:
    source = "max_memory" if config.training.max_memory else "the memory available"
    advice = smaller
    if other is not None:
        levels = f", activation_checkpointing={other.levels}" if other.levels else ""
        advice = f"use accumulate={other.parts}{levels} (about {as_text(other.peak)})"
    return (
        f"no step of {config.training.batch_size} images fits into {as_text(limit)} ({source}): "
        f"{advice}"
    )


def _need(learner: Learner, model: Model, unit: int, levels: int) -> Need:
    """What parts take with ``levels`` recomputed, from crops of one and two images."""
    recompute_levels(learner.weights, levels)
    side = -(-SMALL_SIDE // unit) * unit
    height, width = model.data_shape[1:]
    rows, columns = min(side, height), min(side, width)
    # the first pass loads libraries and allocates gradients, which stay
    _, one, two = (_part_bytes(learner, model, count, rows, columns) for count in (1, 1, 2))
    slope = max(1, two - one)
    fixed = memory.held(model.device) + max(0, one - slope)
    return Need(fixed, slope * height * width / (rows * columns))


def _part_bytes(learner: Learner, model: Model, images: int, height: int, width: int) -> int:
    """The largest memory of the tensors of a forward and backward pass, without gradients."""
    black = torch.zeros(images, model.data_shape[0], height, width, dtype=torch.uint8)
    z = model.pixels.to_state(black.to(model.device))
    b = torch.full((images,), 0.5, device=model.device)
    weights = list(learner.weights.parameters())
    kept = [*weights, *(weight.grad for weight in weights if weight.grad is not None)]
    with learner.no_gradient_sync(), TensorBytes(kept) as tensors:
        terms = learner.objective(learner.chain, z, b, sample_noise(range(images)))
        torch.autograd.backward(terms.loss.sum())
    return int(tensors.peak)
