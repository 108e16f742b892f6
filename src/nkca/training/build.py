"""Options -> a learner."""

from dataclasses import dataclass

from torch import nn

from nkca.chain import Chain
from nkca.config.schema import RunConfig, TrainingConfig
from nkca.distributed.ranks import ALONE, Ranks, unwrap
from nkca.levels import LevelDraw, uniform
from nkca.training.adaptive_levels import AdaptiveLevels
from nkca.training.denoising import denoising
from nkca.training.deviation_adjustment import deviation_adjustment
from nkca.training.learner import Learner, UpdateRule
from nkca.training.level_draws import log_normal, log_normal_quantile, uniform_quantile
from nkca.training.masked import adjusted_and_masked, masked_cross_entropy
from nkca.training.objective import Objective, contrastive_adjustment
from nkca.training.optimizer import build_optimizer


@dataclass(frozen=True)
class Method:
    """What is minimized, and at which levels.

    Args:
        objective: by default the paper's, Algorithm 2.
        draw: training levels; None: uniform from the option ``min_noise`` to 1.
        first: another objective, and the share of the run that begins with it.
        adaptive: None, or draws the levels in training; ``draw`` is the law whose expectations these keep.
    """

    objective: Objective = contrastive_adjustment
    draw: LevelDraw | None = None
    first: tuple[float, Objective] | None = None
    adaptive: AdaptiveLevels | None = None


METHOD = Method()  # the paper's


def method_of(config: RunConfig, data_std: float) -> Method:
    """The method that the options name, for data of that standard deviation, in units of [-1, 1]."""
    training = config.training
    denoise = masked_cross_entropy if config.model.discrete else denoising(data_std)
    first = (training.denoise_first, denoise) if training.denoise_first else None
    if training.adjust == "deviation":
        objective = deviation_adjustment(data_std)
    elif training.denoise_weight:
        objective = adjusted_and_masked(training.denoise_weight)
    else:
        objective = contrastive_adjustment
    law = training.level_mean, training.level_std, training.min_noise
    draw, adaptive = None, None
    if training.level_draw == "log-normal":
        draw = log_normal(*law)
    elif training.level_draw == "adaptive" and config.model.discrete:
        adaptive = AdaptiveLevels(uniform_quantile(training.min_noise))
    elif training.level_draw == "adaptive":
        draw, adaptive = log_normal(*law), AdaptiveLevels(log_normal_quantile(*law))
    return Method(objective, draw, first, adaptive)


def build_learner(
    config: TrainingConfig,
    chain: Chain,
    network: nn.Module,
    ema_network: nn.Module,
    method: Method = METHOD,
    ranks: Ranks = ALONE,
) -> Learner:
    """A learner before its first step; see `Learner` for ``chain`` and the networks."""
    return Learner(
        chain=chain,
        network=network,
        ema_network=ema_network,
        objective=method.objective,
        first=method.first,
        adaptive=method.adaptive,
        draw=method.draw or uniform(config.min_noise),
        optimizer=build_optimizer(
            config.optimizer, unwrap(network), (config.adam_b1, config.adam_b2)
        ),
        rule=UpdateRule(
            lr=config.lr,
            lr_warmup=config.lr_warmup,
            lr_decay=config.lr_decay,
            grad_clip=config.grad_clip,
            ema_decay=config.ema_decay,
            ema_warmup=config.ema_warmup,
            ema_length=config.ema_length,
            weak_at=config.weak_at,
        ),
        batch_size=config.batch_size,
        parts=config.accumulate if isinstance(config.accumulate, int) else 1,
        ranks=ranks,
    )
