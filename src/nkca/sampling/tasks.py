"""Tasks for a trained chain: new images, variants of an image, inpainting, or your own.

A task defines where the chains start and what is known of the pictures (conditions); a sampler runs the
chains. The picture is the mode of p(z|x) at the last level.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nkca.chain import Moment, Sampler
from nkca.denoisers.condition import Condition, hold
from nkca.denoisers.conditions.temperature import temper
from nkca.errors import InputError, named, require
from nkca.models.model import Model
from nkca.noise import Noise, sample_noise
from nkca.sampling.ladders import LADDERS
from nkca.sampling.samplers import SAMPLERS

CORRECTOR_LEVEL = 0.3  # high enough that states move, low enough that pictures stay what they are


@dataclass(frozen=True)
class Schedule:
    """Which levels are passed, and how: from ``max_noise`` to ``min_noise`` in ``num_steps`` transitions.

    Args:
        max_noise: in (0, 1]; None: the task's own, see `VARIANTS`, else 1.
        min_noise: in (0, max_noise]; None: the lowest level that the model was trained at.
        num_steps, ladder, sampler: None: the task's own, see `INPAINTING`, else the model's. The last two
            are names in `nkca.sampling.ladders.LADDERS` and `nkca.sampling.samplers.SAMPLERS`.
        guidance: away from the model's weak one, see `nkca.denoisers.guidance`; None: the model's own, and
            none where a level repeats, as guided steps would not keep the chain's law there.
        corrector_steps: transitions at one level on the way, the nearest to `CORRECTOR_LEVEL`.
        temperature: t > 0; all normal draws are multiplied by it, logits of categories divided. Other than
            1 it leaves the law that the chain keeps: less varied, plainer pictures below.
    """

    max_noise: float | None = None
    min_noise: float | None = None
    num_steps: int | None = None
    ladder: str | None = None
    sampler: str | None = None
    corrector_steps: int = 0
    guidance: float | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        t = self.temperature
        require(math.isfinite(t) and t > 0, "temperature", "above 0 and finite", t)

    @property
    def start(self) -> float:
        """The first level."""
        return 1.0 if self.max_noise is None else self.max_noise

    def completed(self, usual: "Schedule") -> "Schedule":
        """This schedule, with the values of ``usual`` where it leaves them open."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(usual, **given)

    def levels(self, model: Model) -> list[float]:
        """The levels of the chain, one more than transitions; raises `InputError` if out of range."""
        own = model.sampling
        low = min(model.min_noise, self.start) if self.min_noise is None else self.min_noise
        steps = own.num_sampling_steps if self.num_steps is None else self.num_steps
        ladder = named(LADDERS, self.ladder or own.ladder, "ladder")
        levels = ladder(self.start, low, steps)
        nearest = min(levels, key=lambda level: abs(level - CORRECTOR_LEVEL))
        at = levels.index(nearest)
        return levels[:at] + [nearest] * self.corrector_steps + levels[at:]

    def sample_with(self, model: Model) -> Sampler:
        """The sampler of that name; raises `InputError` if there is none."""
        return named(SAMPLERS, self.sampler or model.sampling.sampler, "sampler")

    def strength(self, model: Model) -> float:
        """The strength of guidance."""
        if self.guidance is not None:
            return self.guidance
        walks = any(x == y for x, y in itertools.pairwise(self.levels(model)))
        return 1.0 if walks else model.guidance

    def check_start(self, from_noise: bool) -> None:
        """Raise `InputError` if a chain that starts from noise does not start at level 1."""
        if from_noise and self.start < 1:
            raise InputError(
                f"samples from noise start at level 1, not {self.start}: give an image to start "
                "lower"
            )


VARIANTS = Schedule(max_noise=0.5)
"""How variants of an image are made by default: part of the image survives at the first level."""

INPAINTING = Schedule(num_steps=100, ladder="linear", sampler="chain")
"""How inpainting is done by default: deterministic samplers do not fit new pixels to held ones."""


@dataclass(frozen=True)
class Task:
    """A batch of samples to make, one for each seed; see `from_noise`, `around` and `inpaint`.

    Args:
        seeds: one for each sample; the same seed gives the same sample in any batch.
        start: (model, schedule, noise) -> states x (B, C, H, W) at the first level of the schedule.
        conditions: model -> what is known of the pictures, for all samples of the batch.
        finish: maps decoded states, uint8 (B, C, H, W) on the CPU, to the pictures.
        usual: the values of the schedule where it leaves them open; the model's come after these.
    """

    seeds: Sequence[int]
    start: Callable[[Model, Schedule, Noise], Tensor]
    conditions: Callable[[Model], tuple[Condition, ...]] = lambda _model: ()
    finish: Callable[[Tensor], Tensor] = lambda picture: picture
    usual: Schedule = Schedule()


def from_noise(seeds: Sequence[int]) -> Task:
    """New images: chains start from the prior, at level 1."""

    def start(model: Model, schedule: Schedule, noise: Noise) -> Tensor:
        schedule.check_start(from_noise=True)
        prior = model.chain.kernel.prior((len(noise), *model.state_shape))
        return prior.sample(noise).to(model.device)

    return Task(seeds, start)


def around(images: Tensor, seeds: Sequence[int]) -> Task:
    """Variants: chains start from uint8 images (B, C, H, W), one a seed, noised to the first level."""

    def start(model: Model, schedule: Schedule, noise: Noise) -> Tensor:
        z = model.pixels.to_state(images.to(model.device))
        level = torch.full((len(z),), schedule.levels(model)[0], device=model.device)
        return model.chain.kernel.add_noise(z, level).sample(noise)

    return Task(seeds, start, usual=VARIANTS)


@dataclass(frozen=True)
class Known:
    """What is known of the pictures of a task; see `held` and `nkca.sampling.known`.

    Args:
        condition: the same for the chain of a model.
        settle: (pictures, free) -> pictures of which it holds exactly, and what is free still: uint8
            (B, C, H, W) and bool, broadcastable to it. It changes only what is free.
    """

    condition: Callable[[Model], Condition]
    settle: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def held(images: Tensor, repaint: Tensor) -> Known:
    """Pixels are those of uint8 images (B, C, H, W) except where ``repaint`` is True.

    Args:
        repaint: bool (H, W), or (B, 1, H, W), one for each image.
    """

    def condition(model: Model) -> Condition:
        model.check_full_size("held pixels")
        z = model.pixels.to_state(images.to(model.device))
        return hold(~repaint.to(model.device), z)

    def settle(picture: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(repaint, picture, images), free & repaint

    return Known(condition, settle)


def knowing(task: Task, *known: Known, usual: Schedule | None = None) -> Task:
    """The task whose pictures are also known to be so.

    Args:
        known: pixels that are held come first; where bytes cannot have all the rest, they have the last.
        usual: in place of the task's own.
    """

    def conditions(model: Model) -> tuple[Condition, ...]:
        return (*task.conditions(model), *(fact.condition(model) for fact in known))

    def finish(picture: Tensor) -> Tensor:
        picture, free = task.finish(picture), torch.ones(1, 1, 1, 1, dtype=torch.bool)
        for fact in known:
            picture, free = fact.settle(picture, free)
        return picture

    return replace(task, conditions=conditions, finish=finish, usual=usual or task.usual)


def inpaint(images: Tensor, repaint: Tensor, seeds: Sequence[int]) -> Task:
    """Variants of uint8 images (B, C, H, W) that differ where ``repaint`` is True, see `held`."""
    return knowing(around(images, seeds), held(images, repaint), usual=INPAINTING)


@torch.inference_mode()
def run_task(
    model: Model, task: Task, schedule: Schedule, sampler: Sampler | None = None
) -> Iterator[Moment]:
    """Run the chains of a task, yielding the moment at each level of the schedule.

    Args:
        schedule: completed with the task's usual one.
        sampler: None: that of the schedule.

    Raises:
        InputError: if the levels of the schedule are out of range.
    """
    schedule = schedule.completed(task.usual)
    noise = sample_noise(task.seeds).tempered(schedule.temperature)
    path = schedule.levels(model)
    sampler = sampler or schedule.sample_with(model)
    x = task.start(model, schedule, noise)
    tempered = () if schedule.temperature == 1 else (temper(schedule.temperature),)
    conditions = (*tempered, *task.conditions(model))
    chain = model.guided(schedule.strength(model))
    chain = chain.conditioned(*conditions) if conditions else chain
    yield from sampler(chain, x, path, noise)


def show_moment(model: Model, task: Task, moment: Moment, visualize: str = "z") -> Tensor:
    """The picture of a moment, uint8 (B, C, H, W) on the CPU; held pixels are those of the image.

    Args:
        visualize: "z", the mode of p(z|x), or "x", the noisy state itself.

    Raises:
        InputError: if it has pixels that are not finite.
    """
    state = moment.p_z.mode() if visualize == "z" else moment.x
    if not state.isfinite().all():
        raise InputError(
            "the model makes pixels that are not finite numbers: its training has diverged, or "
            "precision=fp32 is needed"
        )
    return task.finish(model.pixels.to_uint8(state).cpu())


def draw_task(
    model: Model,
    task: Task,
    schedule: Schedule,
    visualize: str = "z",
    sampler: Sampler | None = None,
    tick: Callable[[float], None] = lambda _share: None,
) -> Tensor:
    """Run a task and return its pictures, uint8 (B, C, H, W) on the CPU.

    Args:
        tick: called after each denoiser evaluation with the share done so far, in (0, 1].
    """
    count = len(schedule.completed(task.usual).levels(model))
    for moment in run_task(model, task, schedule, sampler):
        tick((moment.step + 1) / count)
    return show_moment(model, task, moment, visualize)
