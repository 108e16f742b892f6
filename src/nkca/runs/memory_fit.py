"""How a training step fits into memory: the number of parts, and of levels that are recomputed.

A part of n images of H x W pixels takes, nearly, a + s n H W bytes beyond what the process holds, which
is weights, gradients and Adam's numbers: a is copies of weights, s activations and the scratch memory of
the layers. Both are measured on two small pieces of work that move no weight: on the CPU few images,
cropped small, as memory is the same for every pixel; on CUDA one and two whole images, then the part
that was chosen, to be sure.

More parts come first, for they cost next to nothing; then levels, outermost first, for a level that is
recomputed costs another forward pass of it.
"""

import contextlib
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nkca.config.schema import RunConfig
from nkca.errors import InputError
from nkca.models.model import Model
from nkca.networks.unet import recompute_levels
from nkca.noise import sample_noise
from nkca.system import memory
from nkca.system.memory import Peak, as_text
from nkca.training.learner import Learner

MARGIN = 1.3  # of what a part takes: the heap of a run has holes, more so with uneven parts
USABLE = 0.9  # of the memory that is available when the run starts
SMALL_SIDE = 64  # of the crops that are measured on the CPU
WANTED_RISE = 128 << 20  # between the two measurements on the CPU: well above what varies


@dataclass(frozen=True)
class StepPlan:
    """A step in ``parts`` with ``levels`` recomputed, and its ``peak`` in bytes."""

    parts: int
    levels: int
    peak: int

    def describe(self, batch: int, limit: int) -> str:
        """One line for the log."""
        recomputed = f", activations of {self.levels} level(s) recomputed" if self.levels else ""
        return (
            f"steps of {batch} images in {self.parts} part(s){recomputed}: about "
            f"{as_text(self.peak)} of {as_text(limit)}"
        )


@dataclass(frozen=True)
class Need:
    """Bytes that the process holds at the peak of a part: ``fixed``, and more for each image."""

    fixed: float
    per_image: float

    def images_within(self, limit: float) -> int:
        """How many images a part may have; 0 if not even one fits."""
        return int(max(0.0, limit - self.fixed) / self.per_image)


def fit_step(learner: Learner, model: Model, config: RunConfig) -> tuple[Learner, list[str]]:
    """The learner with the parts and levels that the config asks for, or those that fit, and a message.

    Where the config names numbers, or nothing, this costs nothing. No weight moves.

    Args:
        model: of the same shape; its pixels make states.

    Raises:
        InputError: if not even the smallest step fits, or memory cannot be measured on the device.
    """
    training, ranks = config.training, learner.ranks
    asked = training.max_memory is not None or training.finds_parts or training.finds_levels
    if not asked:
        recompute_levels(learner.weights, int(training.activation_checkpointing or 0))
        return learner, []
    if not memory.is_measurable(model.device):
        raise InputError(
            f"memory cannot be measured on {model.device.type} here: give accumulate=N and "
            "activation_checkpointing=N, without max_memory"
        )
    limit = training.max_memory or _limit(model.device, int(ranks.max(ranks.local)) + 1)
    unit = config.model.size_unit
    trial = _Trial(learner, model, unit, -(-training.batch_size // ranks.count), limit)
    trial.prepare()
    plan = _search(trial, config)
    if ranks.any(plan is None):
        raise InputError(_too_large(config, limit))
    assert plan is not None
    parts, levels, peak = map(int, ranks.maxima(plan.parts, plan.levels, plan.peak))
    learner.weights.zero_grad(set_to_none=parts == 1)
    memory.release(model.device)
    recompute_levels(learner.weights, levels)
    plan = StepPlan(parts, levels, peak)
    return replace(learner, parts=parts), [plan.describe(training.batch_size, limit)]


def _limit(device: torch.device, processes: int) -> int:
    """What this process may hold, where ``processes`` share what is there."""
    shared = processes if device.type == "cpu" else 1
    return memory.held(device) + int(USABLE * memory.available(device) / shared)


def _search(trial: "_Trial", config: RunConfig) -> StepPlan | None:
    """The first plan that fits: few levels, then few parts; None if there is none."""
    training = config.training
    all_levels = range(len(config.model.dim_mults) + 1)
    levels_given, parts_given = training.activation_checkpointing, training.accumulate
    parts = 1 if parts_given is None or parts_given == "auto" else parts_given
    fewest = 1 if training.finds_parts else -(-trial.batch // parts)
    most = trial.batch if training.finds_parts else fewest
    for levels in all_levels if training.finds_levels else [int(levels_given or 0)]:
        need = trial.need(levels)
        images = min(most, need.images_within(trial.limit)) if need else 0
        if need is None or images < fewest:
            continue
        if training.finds_parts:
            images = trial.confirm(images)
            parts = -(-trial.batch // images)
            images = -(-trial.batch // parts)
        return StepPlan(parts, levels, round(need.fixed + need.per_image * images))
    return None


def advice_on_memory(config: RunConfig) -> str:
    """Advice for a run that does not fit into memory."""
    training = config.training
    parts, levels = training.accumulate, training.activation_checkpointing
    if training.finds_parts:
        said, tried = "a number of parts found at start", "a lower max_memory"
    else:
        parts = parts if isinstance(parts, int) else 1
        said, tried = f"{parts} part(s)", f"accumulate={2 * parts}"
    if not training.finds_levels and levels != len(config.model.dim_mults):
        tried += ", activation_checkpointing=auto"
    return (
        f"at batch size {training.batch_size} in {said}: try {tried}, a smaller batch_size, "
        "resize or hidden_size, or precision=bf16"
    )


def _too_large(config: RunConfig, limit: int) -> str:
    training = config.training
    source = "max_memory" if training.max_memory else "the memory available"
    free = "accumulate=auto, " if not training.finds_parts else ""
    free += "activation_checkpointing=auto, " if not training.finds_levels else ""
    return (
        f"no step of {training.batch_size} images fits into {as_text(limit)} ({source}): try "
        f"{free}a smaller hidden_size or resize, or precision=bf16"
    )


@dataclass(frozen=True)
class _Trial:
    """Parts of steps that move no weight; gradients stay, as between the parts of a step.

    Args:
        unit: what divides the sides of images.
        batch: images of a whole step on this process.
        limit: bytes that trials on the CPU should not exceed.
    """

    learner: Learner
    model: Model
    unit: int
    batch: int
    limit: int

    def prepare(self) -> None:
        """Warm up: load libraries, select algorithms, allocate gradients."""
        recompute_levels(self.learner.weights, 0)
        self._rise(1, *self._small())

    def need(self, levels: int) -> Need | None:
        """What parts take with ``levels`` recomputed; None if not even one image fits."""
        recompute_levels(self.learner.weights, levels)
        height, width = self.model.data_shape[1:]
        small = self._small()
        count, first, second = self._two_points(*small)
        if first is None:
            return None
        if second is None:
            return Need(first.before, max(1.0, MARGIN * first.rise))
        slope = max(1.0, (second.rise - first.rise) / count)
        fixed = first.before + MARGIN * max(0.0, first.rise - count * slope)
        return Need(fixed, MARGIN * slope * height * width / (small[0] * small[1]))

    def confirm(self, images: int) -> int:
        """On CUDA, run a part of full size, with fewer images as long as memory runs out."""
        device = self.model.device
        if device.type == "cuda":
            while images > 1 and self._rise(images, *self.model.data_shape[1:]) is None:
                images = images * 3 // 4
        return images

    def _small(self) -> tuple[int, int]:
        """Height and width of the images that are measured."""
        height, width = self.model.data_shape[1:]
        if self.model.device.type == "cuda":
            return height, width
        side = -(-SMALL_SIDE // self.unit) * self.unit
        return min(height, side), min(width, side)

    def _two_points(self, height: int, width: int) -> tuple[int, Peak | None, Peak | None]:
        """The peaks of ``count`` and 2 ``count`` images, far enough from each other."""
        count, first = 1, self._rise(1, height, width)
        whole = self.batch * self.model.data_shape[1] * self.model.data_shape[2]
        while True:
            second = self._rise(2 * count, height, width)
            if first is None or second is None or self.model.device.type == "cuda":
                return count, first, second
            far = second.rise - first.rise >= WANTED_RISE
            full = second.before + 2 * second.rise > self.limit
            if far or full or 2 * count * height * width >= whole:
                return count, first, second
            count, first = 2 * count, second

    def _rise(self, images: int, height: int, width: int) -> Peak | None:
        device = self.model.device
        black = torch.zeros(images, self.model.data_shape[0], height, width, dtype=torch.uint8)
        z = self.model.pixels.to_state(black.to(device))
        return memory.peak(partial(self._part, z), device)

    def _part(self, z: Tensor) -> None:
        """Forward and backward."""
        b, learner = torch.full((len(z),), 0.5, device=z.device), self.learner
        with learner.no_gradient_sync(), _eager():
            terms = learner.objective(learner.chain, z, b, sample_noise(range(len(z))))
            torch.autograd.backward(terms.loss.sum())


def _eager() -> contextlib.AbstractContextManager[Any]:
    """Compile nothing in this block, as the shapes of trials do not come again."""
    stance = getattr(torch.compiler, "set_stance", None)  # PyTorch 2.6 and later
    if stance is None or "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    return stance("force_eager")  # type: ignore[no-any-return]
