"""One training step: the clipped gradient of an objective updates the weights and their average."""

import contextlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from nkca.chain import Chain
from nkca.denoisers.augmentation import Told, augmented
from nkca.denoisers.precision import needs_loss_scale
from nkca.distributed.ranks import ALONE, Ranks, no_gradient_sync, unwrap
from nkca.levels import LevelDraw
from nkca.noise import Noise
from nkca.training import loss_scale
from nkca.training.adaptive_levels import AdaptiveLevels
from nkca.training.ema import decay_at, decay_of_length, update_ema
from nkca.training.objective import Objective, Terms
from nkca.training.optimizer import Optimizer


@dataclass(frozen=True)
class TrainingProgress:
    """The progress of a run: everything that randomness, data order and schedules depend on.

    ``seconds`` is training time over all sessions; ``skipped`` counts steps without an update;
    ``skipped_in_a_row`` those since the last update or overflow, see `StepReport`;
    ``best_score`` is the lowest kernel distance of an evaluation so far; ``loss_scale``, and
    ``good_steps`` since it changed, are used in float16 only; ``level_sums`` with adaptive levels only,
    see `nkca.training.adaptive_levels`; ``pooling`` is that of the last step where a run is coarse to fine,
    see `nkca.training.coarse_to_fine`.
    """

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    best_score: float | None = None
    loss_scale: float = loss_scale.INITIAL_SCALE
    good_steps: int = 0
    level_sums: tuple[float, ...] = ()
    pooling: int = 0

    @classmethod
    def of_saved(cls, saved: Mapping[str, Any]) -> "TrainingProgress":
        """From the mapping in a checkpoint, without `best_loss` of before there were scores."""
        known = {name: value for name, value in saved.items() if name != "best_loss"}
        return cls(**{**known, "level_sums": tuple(known.get("level_sums", ()))})


@dataclass(frozen=True)
class StepReport:
    """The results of one step; tensors have one entry for each image of the batch, on the CPU.

    Args:
        progress: after the step.
        shown: see `Terms`.
    """

    progress: TrainingProgress
    loss: float
    gradient_norm: float
    learning_rate: float
    noise_level: Tensor
    shown: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def was_skipped(self) -> bool:
        """Whether no weight changed since the loss or gradient was not finite, other than by overflow."""
        return self.progress.skipped_in_a_row > 0

    @property
    def overflowed(self) -> bool:
        """Whether the gradient overflowed float16: no weight changed, and the loss scale was halved."""
        return not self.was_skipped and not math.isfinite(self.gradient_norm)


@dataclass(frozen=True)
class UpdateRule:
    """The learning rate, the clipping of gradients and the averaging of weights.

    Args:
        lr_warmup: steps in which the learning rate rises linearly from zero.
        lr_decay: the last share of the run, in which it falls linearly to zero; 0: it does not fall.
        grad_clip: the norm that longer gradients are scaled to; None: no clipping.
        ema_decay, ema_warmup: see `nkca.training.ema.decay_at`.
        ema_length: None, or instead of those see `nkca.training.ema.decay_of_length`.
        weak_at: the share of the run until which the weak network is a copy of the average.
    """

    lr: float = 1e-4
    lr_warmup: int = 0
    lr_decay: float = 0.0
    grad_clip: float | None = None
    ema_decay: float = 0.999
    ema_warmup: bool = False
    ema_length: float | None = None
    weak_at: float = 0.0

    def learning_rate(self, step: int, share: float = 0.0) -> float:
        """Of step number ``step`` (0, 1 ...), before which ``share`` of the run is done."""
        rate = self.lr * min(1.0, (step + 1) / max(self.lr_warmup, 1))
        return rate if self.lr_decay == 0 else rate * min(1.0, max(0.0, 1 - share) / self.lr_decay)

    def averaging(self, update: int) -> float:
        """The decay of the averaged weights at update number ``update`` (1, 2 ...)."""
        if self.ema_length is not None:
            return decay_of_length(update, self.ema_length)
        return decay_at(update, self.ema_decay, self.ema_warmup)

    def clip_factor(self, norm: float) -> float:
        """The factor by which a gradient of that norm is multiplied."""
        if self.grad_clip is None or norm <= self.grad_clip:
            return 1.0
        return self.grad_clip / norm


def gradients_of(network: nn.Module) -> list[Tensor]:
    """The gradients of the weights that have one."""
    return [weight.grad for weight in network.parameters() if weight.grad is not None]


def gradient_norm(network: nn.Module) -> Tensor:
    """The norm of the gradient of all weights together, (), on their device."""
    norms = torch._foreach_norm(gradients_of(network))
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm


@dataclass(frozen=True, eq=False)
class Learner:
    """Weights, their average and the optimizer, updated one step at a time.

    Args:
        chain: denoises with ``network``.
        network: with several ranks, what `Ranks.parallel` returns.
        ema_network: a second network of the same shape.
        weak_network: None, or a third: the average at an earlier step, see `UpdateRule`.
        first: another objective, and the share of the run that begins with it.
        draw: draws the training levels.
        optimizer: of the weights of ``network``.
        batch_size: images of a step, of all ranks together.
        parts: in how many parts a rank processes its share of a batch; their gradients add up.
        augment: the probability of each change of an image, see `nkca.denoisers.augmentation`.
        adaptive: None, or draws other levels than ``draw`` and weights the loss.
        patience: good steps after which a larger loss scale is tried.
        ranks: the processes that train together.
    """

    chain: Chain
    network: nn.Module
    ema_network: nn.Module
    objective: Objective
    draw: LevelDraw
    optimizer: Optimizer
    rule: UpdateRule
    batch_size: int
    parts: int = 1
    first: tuple[float, Objective] | None = None
    weak_network: nn.Module | None = None
    augment: float = 0.0
    adaptive: AdaptiveLevels | None = None
    patience: int = loss_scale.PATIENCE
    ranks: Ranks = ALONE

    def __post_init__(self) -> None:
        self.ema_network.requires_grad_(False)
        if self.weak_network is not None:
            self.weak_network.requires_grad_(False)

    @property
    def weights(self) -> nn.Module:
        """The network itself, without the wrapper that several ranks need."""
        return unwrap(self.network)

    def step(
        self, progress: TrainingProgress, z: Tensor, noise: Noise, share: float = 0.0
    ) -> StepReport:
        """Learn from clean states z (B, C, H, W), with one random stream for each image.

        If the loss or the gradient is not finite, no weight changes; if the gradient overflowed float16,
        the loss scale is halved. With several ranks, each passes its share of the batch.

        Args:
            share: how much of the run is done, in [0, 1]; the learning rate may depend on it.

        Returns:
            A report on the whole batch, the same on every rank, with the progress after the step.
        """
        batch_size = len(z) if self.ranks.count == 1 else self.batch_size
        scale, rate = self.scale(progress), self.rule.learning_rate(progress.step, share)
        draw, objective = self.draw, self.objective_at(share)
        if self.adaptive is not None:
            draw = self.adaptive.draw(progress.level_sums)
            objective = self.adaptive.weighted(objective, progress.level_sums)
        b = draw(noise, z.device)
        terms = self._add_gradients(objective, z, b, noise, batch_size / self.ranks.count / scale)
        norm = gradient_norm(self.weights).expand_as(b)
        columns = [b, terms.loss, norm, *terms.shown.values()]
        local = torch.stack(columns, dim=1).cpu()  # the only copy of a step that the host waits for
        level, loss, norms, *shown = self.ranks.gather(local, batch_size).unbind(1)
        mean_loss, first_norm = loss.mean().item(), norms[0].item() / scale
        is_finite = math.isfinite(first_norm) and math.isfinite(mean_loss)
        if is_finite:
            self._update(progress, first_norm, rate)
            if self.weak_network is not None and share < self.rule.weak_at:
                update_ema(self.weak_network, self.ema_network, decay=0.0)
        counted = self._count_step(progress, is_finite, math.isfinite(mean_loss))
        if self.adaptive is not None and is_finite:
            sums = self.adaptive.after(progress.level_sums, level, loss)
            counted = replace(counted, level_sums=sums)
        return StepReport(
            progress=replace(counted, step=progress.step + 1, images=progress.images + batch_size),
            loss=mean_loss,
            gradient_norm=first_norm,
            learning_rate=rate,
            noise_level=level,
            shown=dict(zip(terms.shown, shown, strict=True)),
        )

    def objective_at(self, share: float) -> Objective:
        """What is minimized when ``share`` of the run is done."""
        if self.first is not None and share < self.first[0]:
            return self.first[1]
        return self.objective

    def scale(self, progress: TrainingProgress) -> float:
        """The factor of the loss in the backward pass; 1 except in float16."""
        return progress.loss_scale if needs_loss_scale(self.chain.denoiser) else 1.0

    @property
    def part_size(self) -> int:
        """Images of the largest part of a step on this rank."""
        return -(-len(self.ranks.share(self.batch_size)) // self.parts)

    def no_gradient_sync(self) -> contextlib.AbstractContextManager[None]:
        """A block whose forward and backward passes leave gradients on their rank."""
        return no_gradient_sync(self.network)

    def _add_gradients(
        self, objective: Objective, z: Tensor, b: Tensor, noise: Noise, divisor: float
    ) -> Terms:
        """Set the gradient of the loss's sum over z / ``divisor``; return the terms without a gradient.

        PyTorch averages gradients over ranks, whose shares may differ in size: so the divisor is the size
        of an equal share, over the loss scale, which `_update` removes. Only the last part communicates.
        """
        count = min(self.parts, len(z))
        # setting gradients to None between parts would fragment the heap
        self.weights.zero_grad(set_to_none=count == 1)
        bounds = [len(z) * part // count for part in range(count + 1)]
        parts = []
        for first, last in itertools.pairwise(bounds):
            rows = slice(first, last)
            with contextlib.nullcontext() if last == len(z) else self.no_gradient_sync():
                chain, part = self._augmented(z[rows], noise[rows])
                terms = objective(chain, part, b[rows], noise[rows])
                torch.autograd.backward(terms.loss.sum() / divisor)
            parts.append(Terms(terms.loss.detach(), terms.shown))
        shown = {name: torch.cat([p.shown[name] for p in parts]) for name in parts[0].shown}
        return Terms(torch.cat([part.loss for part in parts]), shown)

    def _augmented(self, z: Tensor, noise: Noise) -> tuple[Chain, Tensor]:
        """The chain that is told how the states z were changed, and the changed states."""
        if not self.augment:
            return self.chain, z
        z, parameters = augmented(z, noise, self.augment)
        return replace(self.chain, denoiser=Told(self.chain.denoiser, parameters)), z

    def _update(self, progress: TrainingProgress, norm: float, rate: float) -> None:
        """Clip the gradient, update the weights and their average."""
        factor = 1 / self.scale(progress) * self.rule.clip_factor(norm)
        if factor != 1.0:
            torch._foreach_mul_(gradients_of(self.weights), factor)
        self.optimizer.step(rate)
        update = progress.step - progress.skipped + 1
        update_ema(self.ema_network, self.weights, self.rule.averaging(update))

    def _count_step(
        self, progress: TrainingProgress, is_finite: bool, is_loss_finite: bool
    ) -> TrainingProgress:
        """The progress with the loss scale and the counts of skipped and good steps after a step."""
        is_scaled = needs_loss_scale(self.chain.denoiser)
        scale, good_steps = progress.loss_scale, progress.good_steps
        if is_finite:
            if is_scaled:
                scale, good_steps = loss_scale.after_update(scale, good_steps, self.patience)
            return replace(progress, skipped_in_a_row=0, loss_scale=scale, good_steps=good_steps)
        progress = replace(progress, skipped=progress.skipped + 1)
        if is_scaled and is_loss_finite and scale > loss_scale.MIN_SCALE:
            scale, good_steps = loss_scale.after_overflow(scale)
            return replace(progress, skipped_in_a_row=0, loss_scale=scale, good_steps=good_steps)
        return replace(progress, skipped_in_a_row=progress.skipped_in_a_row + 1)
