"""Live chains that need no training: exact denoisers over ten tiny images, in both state spaces."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import ImageListDenoiser
from nkca.distributions.contracts import Posterior
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.kernels.contract import Kernel
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.session.file import Origin, Precision
from nkca.models.model import Model
from nkca.pixels import CategoricalPixels, ContinuousPixels, Pixels

SPACES = ("continuous", "categorical")
SHAPE = (1, 4, 6)
CLASSES = 4


@dataclass
class Counting:
    """A denoiser that keeps the size of each batch it was asked about."""

    denoiser: Denoiser
    calls: list[int] = field(default_factory=list)

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        self.calls.append(len(x))
        return self.denoiser(x, noise_level)


def ten_pictures() -> Tensor:
    """uint8 (10, 1, 4, 6), of four grey levels; all different."""
    random = torch.Generator().manual_seed(2)
    levels = torch.randint(CLASSES, (10, *SHAPE), generator=random)
    return (levels * 85).to(torch.uint8)


def exact_model(space: str = "continuous", min_noise: float = 0.01) -> Model:
    """A model whose data are exactly `ten_pictures`; its denoiser counts its calls."""
    kernel: Kernel = ContinuousKernel()
    pixels: Pixels = ContinuousPixels()
    if space == "categorical":
        kernel, pixels = CategoricalKernel(CLASSES), CategoricalPixels(CLASSES)
    denoiser = Counting(ImageListDenoiser(kernel, pixels.to_state(ten_pictures())))
    chain = Chain(kernel, denoiser, kernel.default_lag)
    return Model(chain, pixels, SHAPE, min_noise, torch.device("cpu"))


def calls_of(model: Model) -> list[int]:
    """The size of each batch that the denoiser was asked about."""
    assert isinstance(model.chain.denoiser, Counting)
    return model.chain.denoiser.calls


def origin_of(model: Model, precision: Precision = "fp32") -> Origin:
    """What a session file says of an exact model."""
    shape, lag = model.data_shape, model.chain.lag
    return Origin("exact.pth", "ab" * 32, shape, lag, precision, "cpu")


def explorer_of(space: str = "continuous", batch_size: int = 6, seed: int = 0) -> Explorer:
    """An explorer of an exact model, from noise."""
    return Explorer(exact_model(space), Setup(batch_size, seed))


def steps(explorer: Explorer, count: int) -> None:
    """Make that many Markov steps."""
    for _ in range(count):
        explorer.step()
