"""Models whose denoiser is known exactly, for tests of tasks."""

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.models.model import Model
from nkca.pixels import CategoricalPixels, ContinuousPixels

MEAN, STD = 0.1, 0.25
CPU = torch.device("cpu")


def continuous_model(denoiser: Denoiser, shape: tuple[int, int, int], lag: float = 0.5) -> Model:
    """A continuous model of images of ``shape``, (C, H, W)."""
    chain = Chain(ContinuousKernel(), denoiser, lag)
    return Model(chain, ContinuousPixels(), shape, 1e-3, CPU)


def gaussian_model(shape: tuple[int, int, int] = (1, 4, 4)) -> Model:
    """Pixels are independently N(`MEAN`, `STD`²)."""
    exact = GaussianDenoiser(torch.tensor(MEAN), torch.tensor(STD))
    return continuous_model(exact, shape)


def listed_levels(images: Tensor, num_classes: int) -> Model:
    """Categorical images, int64 (n, C, H, W) in 0..K-1, that are all there is."""
    kernel = CategoricalKernel(num_classes)
    chain = Chain(kernel, ImageListDenoiser(kernel, images), 0.95)
    channels, height, width = images.shape[1:]
    pixels = CategoricalPixels(num_classes)
    return Model(chain, pixels, (channels, height, width), 0.01, CPU)
