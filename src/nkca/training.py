"""Contrastive adjustment (paper, Algorithm 2) and the training step around it.

For clean images z: draw a level b ~ U(min_noise, 1) for each, noise z to x, let the chain jump from x
to y at the same level, and minimise -log p(x|y): the chain learns to undo its own jump. At the optimum
it is reversible, p(x) p(y|x) = p(y) p(x|y), so the noised data are its stationary distribution.

Entropy production, E[log p(y|x) - log p(x|y)], measures how far it is from that: where the chain keeps
the noised data distribution it is the Kullback-Leibler divergence between the chain and its time
reversal, at least 0, and 0 only when the chain is reversible.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nkca import levels
from nkca.chain import Chain
from nkca.config import TrainingConfig
from nkca.ema import decay_at, update_average
from nkca.noise import Noise, derive_seed


@dataclass(frozen=True)
class Terms:
    """One value for each image of a batch, (B,) float32, in nats summed over pixels."""

    loss: Tensor
    entropy_production: Tensor


def contrastive_adjustment(chain: Chain, z: Tensor, noise_level: Tensor, noise: Noise) -> Terms:
    """The loss of clean states z (B, C, H, W) at levels (B,): Algorithm 2."""
    x = chain.kernel.add_noise(z, noise_level).sample(noise)
    with torch.no_grad():
        _, p_y = chain.step(x, noise_level, noise_level)
        y = p_y.sample(noise)
        forward = p_y.log_prob(y)
    loss = reverse_loss(chain, x, y, noise_level)
    return Terms(loss, forward + loss.detach())


def reverse_loss(chain: Chain, x: Tensor, y: Tensor, noise_level: Tensor) -> Tensor:
    """-log p(x|y) at equal levels, nats summed over pixels: (B,)."""
    _, p_x = chain.step(y, noise_level, noise_level)
    return -p_x.log_prob(x)


@dataclass(frozen=True)
class Progress:
    """How far a run is; all that randomness, order and schedules depend on.

    ``seconds`` is training time over all sessions; ``skipped`` counts steps without an update;
    ``best_score`` is the lowest kernel distance of an evaluation so far.
    """

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    best_score: float | None = None


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
        """Whether the loss or gradient was not finite, so that no weight moved."""
        return self.progress.skipped_in_a_row > 0


@torch.no_grad()
def evaluate(chain: Chain, z: Tensor, min_noise: float, first: int = 0) -> Terms:
    """The loss of clean states z (B, C, H, W), images ``first`` ... of a set, with fixed draws.

    The draws depend on an image's number alone, so losses of different weights can be compared.
    """
    noise = Noise([derive_seed("evaluate", first + row) for row in range(len(z))])
    return contrastive_adjustment(chain, z, levels.draw(noise, min_noise, z.device), noise)


class Learner:
    """Weights, their average and the optimizer, moved one step at a time."""

    def __init__(
        self, chain: Chain, network: nn.Module, average: nn.Module, config: TrainingConfig
    ) -> None:
        """``chain`` denoises with ``network``; ``average`` is a second network of the same shape."""
        self.chain, self.network, self.average, self.config = chain, network, average, config
        self.progress = Progress()
        average.requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            network.parameters(),
            lr=config.lr,
            betas=(config.adam_b1, config.adam_b2),
            fused=next(network.parameters()).device.type in ("cpu", "cuda"),
        )

    def step(self, z: Tensor, noise: Noise) -> StepReport:
        """Learn from clean states z (B, C, H, W), with one random stream for each image.

        The batch is taken in ``accumulate`` parts whose gradients add up. Where the loss or the
        gradient is not finite no weight moves.
        """
        b = levels.draw(noise, self.config.min_noise, z.device)
        self.optimizer.zero_grad(set_to_none=True)
        parts = []
        for rows in torch.arange(len(z)).tensor_split(min(self.config.accumulate, len(z))):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            terms = contrastive_adjustment(self.chain, z[part], b[part], noise[part])
            torch.autograd.backward(terms.loss.sum() / len(z))
            parts.append(terms)
        loss = torch.cat([terms.loss.detach() for terms in parts])
        production = torch.cat([terms.entropy_production for terms in parts])
        mean_loss = loss.mean().item()
        norm, rate = self._update(len(z), mean_loss)
        dimensions = z[0].numel()
        floor = self.chain.kernel.loss_floor(b, self.chain.lag)
        return StepReport(
            progress=self.progress,
            loss=mean_loss,
            gradient_norm=norm,
            learning_rate=rate,
            noise_level=b.cpu(),
            loss_above_floor=(loss / dimensions - floor).cpu(),
            entropy_production=(production / dimensions).cpu(),
        )

    def _update(self, batch_size: int, loss: float) -> tuple[float, float]:
        """Clip, move the weights and their average, count: (gradient norm, learning rate)."""
        config, progress = self.config, self.progress
        limit = math.inf if config.grad_clip is None else config.grad_clip
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit).item()
        rate = config.lr * min(1.0, (progress.step + 1) / max(config.lr_warmup, 1))
        if math.isfinite(norm) and math.isfinite(loss):
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            update = progress.step - progress.skipped + 1
            decay = decay_at(update, config.ema_decay, config.ema_warmup)
            update_average(self.average, self.network, decay)
            progress = replace(progress, skipped_in_a_row=0)
        else:
            progress = replace(
                progress,
                skipped=progress.skipped + 1,
                skipped_in_a_row=progress.skipped_in_a_row + 1,
            )
        self.progress = replace(
            progress, step=progress.step + 1, images=progress.images + batch_size
        )
        return norm, rate

    def optimizer_state(self) -> dict[str, Any]:
        """Adam's state by weight name: {"step": int, "mean": {...}, "square": {...}}."""
        names = [name for name, _ in self.network.named_parameters()]
        state = [self.optimizer.state[p] for p in self.network.parameters()]
        if not all(state):
            return {"step": 0, "mean": {}, "square": {}}
        return {
            "step": int(state[0]["step"]),
            "mean": dict(zip(names, (s["exp_avg"] for s in state), strict=True)),
            "square": dict(zip(names, (s["exp_avg_sq"] for s in state), strict=True)),
        }

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `optimizer_state` gave."""
        if state["step"] == 0:
            return
        for name, weight in self.network.named_parameters():
            self.optimizer.state[weight] = {
                "step": torch.tensor(float(state["step"]), device=weight.device),
                "exp_avg": state["mean"][name].to(weight.device, copy=True),
                "exp_avg_sq": state["square"][name].to(weight.device, copy=True),
            }
