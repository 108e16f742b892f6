"""Random Inception weights in the layout of the standard file, for tests without the real 95 MB.

Made to tell images apart: each batch norm holds the statistics of twelve varied pictures, so features
are O(1) and differ between images, and logits are scaled so that their softmax is neither flat nor
one-hot. Numbers made with them mean nothing; that two programs agree on them does.
"""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorInceptionV3  # type: ignore[import-untyped]

FEATURES = ["2048", "logits_unbiased"]
_LOGITS_STD = 2.0


class _Blank(FeatureExtractorInceptionV3):  # type: ignore[misc]
    """The network of torch-fidelity without weights."""

    def __init__(self) -> None:
        empty = io.BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        super().__init__("inception-v3-compat", FEATURES, feature_extractor_weights_path=empty)

    def load_state_dict(self, *_: Any, **__: Any) -> None:
        """Load nothing."""


def write_inception_weights(path: Path, seed: int = 0) -> Path:
    """Write weights that ``seed`` decides to ``path`` (95 MB) and return it; seconds, no download."""
    generator = torch.Generator().manual_seed(seed)
    network = _Blank()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.copy_(_normal(layer.weight.shape, generator))
        elif isinstance(layer, nn.BatchNorm2d):
            layer.bias.copy_(1.5 + 0.5 * torch.randn(layer.bias.shape, generator=generator))
            layer.register_forward_pre_hook(_measure)
    weight: Tensor = network.fc.weight
    weight.copy_(_normal(weight.shape, generator))
    network.fc.bias.copy_(torch.randn(network.fc.bias.shape, generator=generator))
    with torch.no_grad():
        features, _ = network(_pictures(generator))
        common = nn.functional.normalize(features.mean(0), dim=0)
        weight.sub_((weight @ common)[:, None] * common)  # what all images share favours no class
        weight.mul_(_LOGITS_STD / (features @ weight.T).std())
    torch.save(network.state_dict(), path)
    return path


def _measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
    """Make the statistics those of ``inputs``; none so small that other pictures are blown up."""
    assert norm.running_mean is not None and norm.running_var is not None
    variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance.clamp_min(variance.mean()))


def _normal(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """He et al. 2015: variance 2 / fan-in."""
    deviation: float = (2 / shape[1:].numel()) ** 0.5
    return deviation * torch.randn(shape, generator=generator)


def _pictures(generator: torch.Generator) -> Tensor:
    """Twelve pictures, uint8 (12, 3, 299, 299): a colour and more or less noise, coarse to fine."""
    parts = []
    for size in (2, 8, 32, 299):
        noise = torch.rand(3, 3, size, size, generator=generator)
        parts.append(nn.functional.interpolate(noise, (299, 299), mode="bilinear"))
    share = torch.tensor([0.2, 0.6, 1.0]).repeat(4)[:, None, None, None]
    colour = torch.rand(12, 3, 1, 1, generator=generator)
    return (torch.lerp(colour, torch.cat(parts), share) * 255).to(torch.uint8)
