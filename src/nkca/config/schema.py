"""The configuration of a run: every option once, with its default, its help and its check.

Command line flags, YAML keys and dataclass fields are the same names (`--dim-mults`, `dim_mults`).
Precedence: defaults < YAML file < command line. No torch here: `--help` is made from it.
"""

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal

from nkca.config.cadence import CadenceConfig
from nkca.config.data import DataConfig
from nkca.config.every import Every
from nkca.config.option import option
from nkca.config.sampling import SamplingConfig
from nkca.errors import InputError, require

COARSE_SHARE = 0.25  # of a run that is coarse to fine is of smaller images


@dataclass(frozen=True)
class ModelConfig:
    """What the weights mean; a run cannot be resumed with another one."""

    hidden_size: int = option(128, "Base width of the U-Net, a multiple of 8.")
    dim_mults: tuple[int, ...] = option(
        (1, 2, 4, 8), "Width of each U-Net level, in units of the hidden size."
    )
    patch_size: int = option(
        1, "Side of the squares of pixels that the U-Net sees as one position: 2 is much faster."
    )
    discrete: bool = option(False, "Model pixels as categories instead of real numbers.")
    num_classes: int = option(10, "Levels a pixel can take, with --discrete.")
    palette: tuple[str, ...] = option(
        (),
        "Model pixels as colours: auto (the images' own), how many, a palette file, or the colours.",
    )
    labels: tuple[str, ...] = option(
        (),
        "Model pixels as the ids of label maps: auto, or a YAML file of their names and colours.",
    )
    carry_over: bool = option(
        False, "With --discrete: pixels that noise has not scrambled are certain, which is exact."
    )
    augment: float = option(
        0.0,
        "Probability of each random change of the training images, for small sets; samples show none.",
    )
    parametrisation: str = option(
        "paper",
        "What the network's outputs mean; 'preconditioned' corrects the best linear denoiser.",
        ("paper", "preconditioned"),
    )

    def __post_init__(self) -> None:
        size, mults = self.hidden_size, self.dim_mults
        require(size > 0 and size % 8 == 0, "hidden_size", "a positive multiple of 8", size)
        ok = len(mults) > 0 and min(mults) > 0
        require(ok, "dim_mults", "one positive integer for each level", list(mults))
        require(0 <= self.augment <= 1, "augment", "in [0, 1]", self.augment)
        require(self.patch_size > 0, "patch_size", "positive", self.patch_size)
        require(2 <= self.num_classes <= 256, "num_classes", "2 to 256", self.num_classes)
        for name in ("palette", "labels"):
            if getattr(self, name) and not self.discrete:
                raise InputError(f"{name} is for discrete pixels, not continuous")
        if self.carry_over and not self.discrete:
            raise InputError("carry_over is for discrete pixels, not continuous")
        if self.discrete and self.parametrisation != "paper":
            raise InputError(
                "parametrisation=preconditioned is for continuous pixels, not discrete"
            )

    @property
    def size_unit(self) -> int:
        """What must divide the sides of images: each level of the U-Net after the first halves them."""
        return int(self.patch_size * 2 ** (len(self.dim_mults) - 1))


@dataclass(frozen=True)
class TrainingConfig:
    """How the model learns."""

    recipe: str = option(
        "paper",
        "Defaults that go together: those for the best pictures, or the paper's.",
        ("recommended", "paper"),
    )
    epochs: int = option(500, "Passes over the images.")
    max_steps: int | None = option(None, "Stop after this many steps, if before the epochs.")
    max_time: float | None = option(
        None, "Stop after this much training, all sessions together: 90 (seconds), 30m, 1h30m."
    )
    batch_size: int = option(32, "Images of one optimizer step.")
    accumulate: int | Literal["auto"] | None = option(
        None,
        "Split each batch into N parts: less memory, same result; auto: what fits.  [default: 1]",
    )
    activation_checkpointing: int | Literal["auto"] | None = option(
        None,
        "Recompute the N outermost levels: less memory, slower; auto: what fits.  [default: 0]",
    )
    max_memory: int | None = option(
        None, "Memory for training, such as 8G: what fits is found at start (see --accumulate)."
    )
    optimizer: str = option(
        "adam",
        "What updates the weights; 'muon' has orthogonal updates of the U-Net's matrices.",
        ("adam", "muon"),
    )
    lr: float = option(1e-4, "Adam's learning rate; Muon's is a fixed multiple of it.")
    adam_b1: float = option(0.9, "Adam's decay of the gradient's mean.")
    adam_b2: float = option(0.999, "Adam's decay of the gradient's square.")
    lr_warmup: int = option(0, "Steps in which the learning rate rises linearly from zero.")
    lr_decay: float = option(
        0.0, "Last share of the run in which the learning rate falls linearly to zero; 0: none."
    )
    ema_decay: float = option(0.999, "Decay of the average of weights that samples come from.")
    ema_warmup: bool = option(False, "Let the average forget its start: decay (1 + n) / (10 + n).")
    ema_length: float | None = option(
        None, "Length of the average as a share of the run so far, such as 0.1, instead of a decay."
    )
    weak_at: float = option(
        0.0, "Share of the run after which its average is kept to guide samples; 0: it is not kept."
    )
    grad_clip: float | None = option(None, "Largest norm of the gradient.")
    denoise_first: float = option(
        0.0,
        "Share of the run that begins by denoising, before contrastive adjustment; 1: all of it.",
    )
    denoise_weight: float = option(
        0.0, "With --discrete: weight of the denoising loss beside contrastive adjustment."
    )
    adjust: str = option(
        "both",
        "What contrastive adjustment trains: mean and deviation of p(z|x), or the deviation alone.",
        ("both", "deviation"),
    )
    level_draw: str = option(
        "uniform",
        "Training levels: U(min_noise, 1), log-normal in noise / signal, or more where the loss varies.",
        ("uniform", "log-normal", "adaptive"),
    )
    level_mean: float = option(-1.2, "Mean of ln(sigma), with log-normal or adaptive levels.")
    level_std: float = option(1.2, "Standard deviation of ln(sigma), likewise.")
    min_noise: float = option(0.01, "Lowest noise level trained.")
    coarse_to_fine: tuple[int, ...] = option(
        (), "Heights of the images in the first quarter of the run, then theirs: [8, 16, 32]."
    )
    lag: float | None = option(None, "Lag w of the chain.  [default: 0.5; with --discrete 0.95]")
    chain_noise: str = option(
        "fresh",
        "Noise of the chain's steps: fresh, or averaged over two, which keeps the data's law better.",
        ("fresh", "averaged"),
    )
    seed: int = option(0, "Seed of weights, order and noise.")
    device: str = option("auto", "Device to compute on.", ("auto", "cpu", "cuda", "mps"))
    precision: str = option("auto", "Arithmetic of the network.", ("auto", "fp32", "bf16", "fp16"))
    compile: str = option(
        "auto",
        "Compile for this processor, or with 'on' for a GPU; auto: where that takes seconds.",
        ("auto", "on", "off"),
    )

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) > 0, name, "positive", getattr(self, name))
        for name in ("max_steps", "max_time", "grad_clip"):
            value = getattr(self, name)
            require(value is None or value > 0, name, "positive", value)
        require(self.lr > 0 and math.isfinite(self.lr), "lr", "positive and finite", self.lr)
        require(self.lr_warmup >= 0, "lr_warmup", "at least 0", self.lr_warmup)
        for name in ("adam_b1", "adam_b2", "ema_decay"):
            value = getattr(self, name)
            require(0 <= value < 1, name, "in [0, 1)", value)
        require(0 <= self.lr_decay <= 1, "lr_decay", "in [0, 1]", self.lr_decay)
        length = self.ema_length
        require(length is None or 0 < length <= 1, "ema_length", "in (0, 1]", length)
        require(0 <= self.weak_at <= 1, "weak_at", "in [0, 1]", self.weak_at)
        require(0 <= self.denoise_first <= 1, "denoise_first", "in [0, 1]", self.denoise_first)
        weight = self.denoise_weight
        require(
            weight >= 0 and math.isfinite(weight), "denoise_weight", "at least 0, finite", weight
        )
        require(math.isfinite(self.level_mean), "level_mean", "finite", self.level_mean)
        std = self.level_std
        require(std > 0 and math.isfinite(std), "level_std", "positive and finite", std)
        require(0 < self.min_noise < 1, "min_noise", "in (0, 1)", self.min_noise)
        sizes = self.coarse_to_fine
        rises = all(0 < low < high for low, high in itertools.pairwise(sizes))
        ok = not sizes or (len(sizes) > 1 and rises)
        require(ok, "coarse_to_fine", "rising sizes such as [8, 16, 32]", list(sizes))
        require(self.lag is None or 0 <= self.lag < 1, "lag", "in [0, 1)", self.lag)
        require(0 <= self.seed < 2**63, "seed", "in 0..2^63-1", self.seed)
        parts, levels, size = self.accumulate, self.activation_checkpointing, self.batch_size
        if isinstance(parts, int):
            require(parts > 0, "accumulate", "positive", parts)
            require(parts <= size, "accumulate", f"at most the batch size {size}", parts)
        if isinstance(levels, int):
            require(levels >= 0, "activation_checkpointing", "at least 0", levels)
        memory = self.max_memory
        require(memory is None or memory >= 2**20, "max_memory", "at least 1M, as in 8G", memory)

    @property
    def fits_memory(self) -> bool:
        """Whether steps are to fit into a limit, or into the memory there is, with room to spare."""
        return self.finds_parts or self.finds_levels or self.max_memory is not None

    @property
    def finds_parts(self) -> bool:
        """Whether the number of parts of a step is found at start, by the memory there is."""
        return self.accumulate == "auto" or (self.accumulate is None and bool(self.max_memory))

    @property
    def finds_levels(self) -> bool:
        """Whether the number of levels that are recomputed is found at start."""
        given, asked = self.activation_checkpointing, self.max_memory or self.accumulate == "auto"
        return given == "auto" or (given is None and bool(asked))


@dataclass(frozen=True)
class RunConfig:
    """Everything a training run is made from."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()
    cadence: CadenceConfig = CadenceConfig()

    def __post_init__(self) -> None:
        levels, there = self.training.activation_checkpointing, len(self.model.dim_mults)
        if isinstance(levels, int):
            expected = f"at most the {there} level(s) of dim_mults"
            require(levels <= there, "activation_checkpointing", expected, levels)
        t, sampler = self.training, self.sampling.sampler
        learns = t.adjust != "both" or t.level_draw == "log-normal"
        asked = {
            "adjust=deviation and level_draw=log-normal are": learns,
            "coarse_to_fine is": bool(t.coarse_to_fine),
            "augment is": self.model.augment > 0,
            "chain_noise=averaged is": t.chain_noise == "averaged",
            f"sampler={sampler} is": sampler not in ("chain", "ancestral"),
        }
        for what, is_asked in asked.items():
            if self.model.discrete and is_asked:
                raise InputError(f"{what} for continuous pixels, not discrete")
        if t.coarse_to_fine and 0 < t.weak_at <= COARSE_SHARE:
            raise InputError(
                f"weak_at={t.weak_at:g} is while a run with coarse_to_fine still learns smaller images: "
                f"use more than {COARSE_SHARE:g}"
            )
        asked = {
            "sampler=ancestral": sampler == "ancestral",
            "denoise_weight": t.denoise_weight > 0,
        }
        for what, is_asked in asked.items():
            if is_asked and not self.model.discrete:
                raise InputError(f"{what} is for discrete pixels, not continuous")

    def to_flat(self) -> dict[str, Any]:
        """All options in one mapping of plain values (JSON, YAML); `configure` reads it back."""
        sections = [getattr(self, section.name) for section in dataclasses.fields(self)]
        flat = {f.name: getattr(s, f.name) for s in sections for f in dataclasses.fields(s)}
        return {name: _plain(value) for name, value in flat.items()}


def _plain(value: Any) -> Any:
    """As YAML and JSON have it."""
    if isinstance(value, Every):
        return value.plain
    return list(value) if isinstance(value, tuple) else value
