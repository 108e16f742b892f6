"""Contrastive adjustment (paper, Algorithm 2) and the training step around it.

For clean images z: draw a level b ~ U(min_noise, 1) for each, noise z to x, let the chain jump from x
to y at the same level, and minimise -log p(x|y): the chain learns to undo its own jump. At the optimum
it is reversible, p(x) p(y|x) = p(y) p(x|y), so the noised data are its stationary distribution.

Entropy production, E[log p(y|x) - log p(x|y)], measures how far it is from that: where the chain keeps
the noised data distribution it is the Kullback-Leibler divergence between the chain and its time
reversal, at least 0, and 0 only when the chain is reversible.
"""

import contextlib
import itertools
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nkca import levels
from nkca.chain import Chain
from nkca.config.schema import TrainingConfig
from nkca.denoisers.precision import needs_loss_scale
from nkca.distributed.ranks import ALONE, Ranks, bare, unsummed
from nkca.noise import Noise
from nkca.training import loss_scale
from nkca.training.adam import Adam
from nkca.training.ema import decay_at, update_average
from nkca.training.objective import Terms, contrastive_adjustment


@dataclass(frozen=True)
class Progress:
    """How far a run is; all that randomness, order and schedules depend on.

    ``seconds`` is training time over all sessions; ``skipped`` counts steps without an update;
    ``skipped_in_a_row`` those since the last update or overflow, see `StepReport`;
    ``best_score`` is the lowest kernel distance of an evaluation so far; ``loss_scale`` and the good
    steps it has had since it changed are of float16 alone.
    """

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    best_score: float | None = None
    loss_scale: float = loss_scale.START
    good_steps: int = 0


@dataclass(frozen=True)
class StepReport:
    """What one step showed; arrays have one entry for each image of the batch, on the CPU."""

    progress: Progress
    loss: float
    gradient_norm: float
    learning_rate: float
    noise_level: Tensor
    loss_above_floor: Tensor
    entropy_production: Tensor

    @property
    def was_skipped(self) -> bool:
        """Whether the loss or gradient was not finite for no good reason; no weight moved."""
        return self.progress.skipped_in_a_row > 0

    @property
    def overflowed(self) -> bool:
        """Whether float16 did not hold the gradient; no weight moved, and the loss scale was halved."""
        return not self.was_skipped and not math.isfinite(self.gradient_norm)


def gradients_of(network: nn.Module) -> list[Tensor]:
    """The gradients of the weights that have one."""
    return [weight.grad for weight in network.parameters() if weight.grad is not None]


def gradient_norm(network: nn.Module) -> Tensor:
    """The norm of the gradient of all weights together, (), on their device."""
    norms = torch._foreach_norm(gradients_of(network))
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm


class Learner:
    """Weights, their average and the optimizer, moved one step at a time."""

    def __init__(
        self,
        chain: Chain,
        network: nn.Module,
        average: nn.Module,
        config: TrainingConfig,
        ranks: Ranks = ALONE,
    ) -> None:
        """``chain`` denoises with ``network``; ``average`` is a second network of the same shape.

        ``parts``, in how many a batch is taken, may change between steps, and ``patience``, the good
        steps after which a larger loss scale is tried.

        Of several ranks, all step together, and ``network`` comes from `Ranks.parallel`.
        """
        self.chain, self.average, self.config, self.ranks = chain, average, config, ranks
        self.network, self._shared_network = bare(network), network
        self.parts = config.accumulate if isinstance(config.accumulate, int) else 1
        self.patience = loss_scale.PATIENCE
        self.progress = Progress()
        average.requires_grad_(False)
        self.optimizer = Adam(self.network.named_parameters(), (config.adam_b1, config.adam_b2))

    def step(self, z: Tensor, noise: Noise) -> StepReport:
        """Learn from clean states z (B, C, H, W), with one random stream for each image.

        It is taken in ``parts`` parts whose gradients add up. Where the loss or the gradient is not
        finite no weight moves; where it is float16 that did not hold a gradient, the loss scale is
        halved. Of several ranks each brings its share of the config's batch.

        Returns:
            A report of all images, on the first rank and on the others.
        """
        batch_size = len(z) if self.ranks.count == 1 else self.config.batch_size
        b = levels.draw(noise, self.config.min_noise, z.device)
        terms = self._add_gradients(z, b, noise, batch_size)
        dimensions = z[0].numel()
        floor = self.chain.kernel.loss_floor(b, self.chain.lag)
        columns = [
            b,
            terms.loss,
            terms.loss / dimensions - floor,
            terms.entropy_production / dimensions,
            gradient_norm(self.network).expand_as(b),
        ]
        here = torch.stack(columns, dim=1).cpu()  # all that the host waits for in a step
        level, loss, above_floor, production, norm = self.ranks.gather(here, batch_size).unbind(1)
        mean_loss, first_norm = loss.mean().item(), norm[0].item() / self.scale
        rate = self._update(batch_size, mean_loss, first_norm)
        return StepReport(
            progress=self.progress,
            loss=mean_loss,
            gradient_norm=first_norm,
            learning_rate=rate,
            noise_level=level,
            loss_above_floor=above_floor,
            entropy_production=production,
        )

    @property
    def scale(self) -> float:
        """What the loss is multiplied by before its gradient is taken; 1 but in float16."""
        return self.progress.loss_scale if needs_loss_scale(self.chain.denoiser) else 1.0

    @property
    def part_size(self) -> int:
        """Images of the largest part of a step on this rank."""
        return -(-len(self.ranks.share(self.config.batch_size)) // self.parts)

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """In this block, forward and backward, gradients stay on their rank."""
        return unsummed(self._shared_network)

    def _add_gradients(self, z: Tensor, b: Tensor, noise: Noise, batch_size: int) -> Terms:
        """Set the gradient of the mean loss of all ranks' images; without a gradient, the terms of z.

        The gradient is ``scale`` times too large, which `_update` takes back.
        PyTorch takes the mean over ranks, whose shares differ: so the sum over rows is divided by
        ``batch_size / ranks``. Ranks talk in the last part alone.
        """
        count = min(self.parts, len(z))
        self.network.zero_grad(set_to_none=count == 1)  # taken anew they tear holes between parts
        divisor = batch_size / self.ranks.count / self.scale
        bounds = [len(z) * part // count for part in range(count + 1)]
        parts = []
        for first, last in itertools.pairwise(bounds):
            rows = slice(first, last)
            with contextlib.nullcontext() if last == len(z) else self.alone():
                terms = contrastive_adjustment(self.chain, z[rows], b[rows], noise[rows])
                torch.autograd.backward(terms.loss.sum() / divisor)
            parts.append(Terms(terms.loss.detach(), terms.entropy_production))
        return Terms(
            torch.cat([part.loss for part in parts]),
            torch.cat([part.entropy_production for part in parts]),
        )

    def _update(self, batch_size: int, loss: float, norm: float) -> float:
        """Clip, move the weights and their average, count: the learning rate."""
        config, progress = self.config, self.progress
        rate = config.lr * min(1.0, (progress.step + 1) / max(config.lr_warmup, 1))
        if math.isfinite(norm) and math.isfinite(loss):
            factor = 1 / self.scale
            if config.grad_clip is not None and norm > config.grad_clip:
                factor *= config.grad_clip / norm
            if factor != 1.0:
                torch._foreach_mul_(gradients_of(self.network), factor)
            self.optimizer.step(rate)
            update = progress.step - progress.skipped + 1
            decay = decay_at(update, config.ema_decay, config.ema_warmup)
            update_average(self.average, self.network, decay)
        self.progress = replace(
            self._counted(loss, norm),
            step=progress.step + 1,
            images=progress.images + batch_size,
        )
        return rate

    def _counted(self, loss: float, norm: float) -> Progress:
        """The progress with the loss scale, and the steps skipped, as this step leaves them."""
        progress, scaled = self.progress, needs_loss_scale(self.chain.denoiser)
        scale, good_steps = progress.loss_scale, progress.good_steps
        if math.isfinite(norm) and math.isfinite(loss):
            if scaled:
                scale, good_steps = loss_scale.after_update(scale, good_steps, self.patience)
            return replace(progress, skipped_in_a_row=0, loss_scale=scale, good_steps=good_steps)
        progress = replace(progress, skipped=progress.skipped + 1)
        if scaled and math.isfinite(loss) and scale > loss_scale.LEAST:
            scale, good_steps = loss_scale.after_overflow(scale)
            return replace(progress, skipped_in_a_row=0, loss_scale=scale, good_steps=good_steps)
        return replace(progress, skipped_in_a_row=progress.skipped_in_a_row + 1)
