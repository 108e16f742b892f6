"""Config or checkpoint -> a model."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from nkca.chain import Chain
from nkca.config.image_size import Accepted, as_option, describe
from nkca.config.parsing import configure
from nkca.config.schema import ModelConfig, RunConfig
from nkca.denoisers.learned import see_pooled
from nkca.denoisers.precision import with_precision
from nkca.errors import InputError
from nkca.models.checkpoint import Checkpoint, load_checkpoint
from nkca.models.model import Model
from nkca.models.state_spaces import state_space
from nkca.networks import compilation
from nkca.networks.layers import initialise
from nkca.noise import derive_seed
from nkca.system.device import choose_device

DEFAULTS = RunConfig()
logger = logging.getLogger("nkca")


@dataclass(frozen=True)
class ModelSpec:
    """What a model is built from: its config and what its data are.

    Args:
        data_shape: (C, H, W).
        data_std: standard deviation of the data's pixels in units of [-1, 1].
    """

    config: ModelConfig
    data_shape: tuple[int, int, int]
    data_std: float


def build_denoiser(spec: ModelSpec) -> nn.Module:
    """The network with arbitrary weights, on the CPU; no global randomness is used.

    Raises:
        InputError: if the levels do not divide the image size; names the nearest sizes that work.
    """
    check_size(spec.config, *spec.data_shape[1:])
    with torch.random.fork_rng(devices=[]):  # layers fill themselves from the global generator
        return state_space(spec.config).build_denoiser(spec.data_shape[0], spec.data_std)


def count_weights(spec: ModelSpec) -> int:
    """The number of weights of the network; none is allocated."""
    with torch.device("meta"):
        return sum(weights.numel() for weights in build_denoiser(spec).parameters())


def new_denoiser(spec: ModelSpec, seed: int) -> nn.Module:
    """The network with starting weights that depend on ``seed`` alone, on the CPU."""
    denoiser = build_denoiser(spec)
    initialise(denoiser, torch.Generator().manual_seed(derive_seed("weights", seed)))
    return denoiser


def assemble(
    spec: ModelSpec,
    network: nn.Module,
    *,
    device: torch.device,
    precision: str = "fp32",
    config: RunConfig = DEFAULTS,
    weak: nn.Module | None = None,
) -> Model:
    """Put a network with weights into a chain.

    Args:
        config: says how the chain walks and is sampled; by default as in the paper.
        weak: a network of the same shape that may guide samples.
    """
    space, training = state_space(spec.config), config.training
    denoiser = with_precision(network, precision, device)
    lag = space.kernel.default_lag if training.lag is None else training.lag
    chain = Chain(space.kernel, denoiser, lag, training.chain_noise == "averaged")
    guide = None if weak is None else with_precision(weak, precision, device)
    return Model(
        chain, space.pixels, spec.data_shape, training.min_noise, device, config.sampling, guide
    )


def load_model(
    path: str | Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    lag: float | None = None,
    compile: str = "off",
) -> Model:
    """Open a checkpoint as a model whose weights are the run's average.

    Args:
        path: of a checkpoint or a run's directory; the string ``demo`` is the model in the package.
        lag: None is the run's own.
        compile: whether to compile for this machine, see `nkca.networks.compilation`: auto, on or off.

    Raises:
        InputError: if the file is not a checkpoint that can be read here.
    """
    return restore(
        load_checkpoint(path),
        str(path),
        device=device,
        precision=precision,
        lag=lag,
        compile=compile,
    )


def restore(
    checkpoint: Checkpoint,
    source: str,
    *,
    device: str = "auto",
    precision: str = "fp32",
    lag: float | None = None,
    compile: str = "off",
) -> Model:
    """As `load_model`, from a checkpoint that has been read; ``source`` is the file that errors name."""
    config = configure(checkpoint.config, source)
    if lag is not None:
        config = replace(config, training=replace(config.training, lag=lag))
    spec = ModelSpec(config.model, checkpoint.data_shape, checkpoint.data_std)
    where = choose_device(device)
    if compile == "on" and (decision := compilation.describe_compilation(where, "on")):
        logger.info(decision)

    def network_with(weights: Mapping[str, Tensor]) -> nn.Module:
        network = build_denoiser(spec)
        load_weights(network, weights, source)
        network = compilation.compile_network(network.to(where), where, compile)
        return network.requires_grad_(False)

    network = network_with(checkpoint.ema)
    weak = network_with(checkpoint.weak) if checkpoint.weak else None
    model = assemble(spec, network, device=where, precision=precision, config=config, weak=weak)
    pooling = int(checkpoint.progress.get("pooling", 1))
    if pooling <= 1:
        return model
    logger.info("%s: a run at images of means of %d x %d pixels", source, pooling, pooling)
    for weights in filter(None, (network, weak)):
        see_pooled(weights, pooling)
    return model.pooled(pooling)


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Give ``network`` a copy of ``weights``, as float32.

    Raises:
        InputError: if names or shapes differ, or a weight is not finite; ``source`` is the file that is
            named.
    """
    own = {name: t.to(torch.float32, copy=True) for name, t in weights.items()}
    if not all(bool(t.isfinite().all()) for t in own.values()):
        raise InputError(f"weights in {source} are not finite numbers: its training has diverged")
    try:
        network.load_state_dict(own, assign=True)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[1:2] or [str(error)]
        raise InputError(
            f"the weights in {source} do not fit its config: {first[0].strip()[:200]}"
        ) from error


def check_size(config: ModelConfig, height: int, width: int) -> None:
    """Raise `InputError` unless every level of the U-Net halves the image evenly."""
    dim_mults, accepted = config.dim_mults, Accepted(config.size_unit)
    if accepted.includes(height, width):
        return
    near = {accepted.nearest(height, width, up): None for up in (False, True)}
    sizes = ", ".join(as_option(*size) for size in near if size is not None)
    patches = "" if config.patch_size == 1 else f", patch_size {config.patch_size}"
    raise InputError(
        f"images of {describe(height, width)} cannot be halved {len(dim_mults) - 1} times (dim_mults "
        f"{list(dim_mults)}{patches}): use fewer levels or a size that {accepted.unit} divides"
        + (sizes and f"; nearest: {sizes}")
    )
