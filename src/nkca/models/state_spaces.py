"""State spaces: which kernel, pixels and denoiser go together. The one table of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from nkca.config.colors import parse_colors, parse_labels
from nkca.config.schema import ModelConfig
from nkca.denoisers.augmentation import parameter_count
from nkca.denoisers.learned import (
    CategoricalDenoiser,
    ContinuousDenoiser,
    NetworkSize,
    PreconditionedDenoiser,
)
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.kernels.contract import Kernel
from nkca.pixels import CategoricalPixels, ContinuousPixels, PalettePixels, Pixels


@dataclass(frozen=True)
class StateSpace:
    """What a chain over one kind of states is made of.

    Args:
        build_denoiser: (channels, data_std) -> a network with arbitrary weights.
    """

    name: str
    kernel: Kernel
    pixels: Pixels
    build_denoiser: Callable[[int, float], nn.Module]


def network_size(config: ModelConfig, conditions: int = 0) -> NetworkSize:
    """What the config says of the U-Net; ``conditions`` see `NetworkSize`."""
    return NetworkSize(config.hidden_size, config.dim_mults, config.patch_size, conditions)


def continuous(config: ModelConfig) -> StateSpace:
    """Real numbers in [-1, 1]."""

    def build(channels: int, data_std: float) -> nn.Module:
        size = network_size(config, parameter_count(channels) if config.augment else 0)
        if config.parametrisation == "preconditioned":
            return PreconditionedDenoiser(channels, size, data_std)
        return ContinuousDenoiser(channels, size)

    return StateSpace("continuous", ContinuousKernel(), ContinuousPixels(), build)


def categorical(config: ModelConfig) -> StateSpace:
    """Ordered levels 0..K-1, and "scrambled"."""
    classes, size = config.num_classes, network_size(config)

    def build(channels: int, _data_std: float) -> nn.Module:
        return CategoricalDenoiser(channels, size, classes, config.carry_over)

    return StateSpace("categorical", CategoricalKernel(classes), CategoricalPixels(classes), build)


def palette(config: ModelConfig) -> StateSpace:
    """One of K colours, or labels, and "scrambled"."""
    colors, size = parse_colors(config.palette), network_size(config)
    ids = tuple(parse_labels(config.labels)) if config.labels else None

    def build(_channels: int, _data_std: float) -> nn.Module:
        return CategoricalDenoiser(1, size, len(colors), config.carry_over)

    return StateSpace("palette", CategoricalKernel(len(colors)), PalettePixels(colors, ids), build)


SPACES: Mapping[str, Callable[[ModelConfig], StateSpace]] = {
    "continuous": continuous,
    "categorical": categorical,
    "palette": palette,
}


def state_space(config: ModelConfig) -> StateSpace:
    """The state space that the config names."""
    name = "palette" if config.palette else "categorical" if config.discrete else "continuous"
    return SPACES[name](config)
