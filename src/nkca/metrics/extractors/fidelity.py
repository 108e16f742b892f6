"""The networks of torch-fidelity, which only this module imports.

They compute and resize as in torch-fidelity, so that scores agree with those of its other users. Weights
are found, hashed and checked here first, because torch-fidelity would run code in such a file.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Description, Features, check_extractor_input
from nkca.metrics.extractors.tensors import parse_weights
from nkca.metrics.extractors.weights import (
    INCEPTION,
    UnavailableError,
    WeightsFile,
    find_weights,
    locate_weights,
)

PACKAGE = "torch_fidelity"
CLIP = {"clip": "clip-vit-l-14", "clip-vit-b-32": "clip-vit-b-32", "clip-vit-b-16": "clip-vit-b-16"}
CLIP |= {name: name for name in ("clip-vit-l-14", "clip-vit-l-14-336px")}
_OTHER_WEIGHTS = "not the FID-standard weights: numbers compare only with others from the same file"
_TF1 = "bilinear resize of TensorFlow 1"


class FidelityExtractor:
    """A network of torch-fidelity behind the contract of `nkca.metrics.extractors.contract`."""

    def __init__(self, network: nn.Module, device: torch.device, description: Description) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        self._description = description

    @property
    def description(self) -> Description:
        """The network's name, its weights' hash and its input."""
        return self._description

    def __call__(self, images: Tensor) -> Features:
        """Map uint8 (B, 3, H, W), any size, on the extractor's device to features and, if any, logits."""
        check_extractor_input(images)
        with torch.no_grad():
            return Features(*self._network(images))


def open_inception(
    device: torch.device, given: Path | None = None, progress: bool = False
) -> FidelityExtractor:
    """FID's Inception v3: features (B, 2048), logits (B, 1008) without the bias, as for the IS.

    Args:
        given: a file of weights to use instead of the standard one.
        progress: show a bar on standard error while downloading.

    Raises:
        UnavailableError: if torch-fidelity or the weights are not on this machine.
        InputError: if the file does not hold the weights of that network.
    """
    library = _import_torch_fidelity()
    weights = find_weights(INCEPTION, given, progress=progress)
    plain = io.BytesIO()
    torch.save(parse_weights(weights), plain)  # the constructor unpickles: give it tensors only
    plain.seek(0)
    try:
        network = library.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=plain
        )
    except RuntimeError as error:
        raise InputError(
            f"{weights.path} holds weights of another network than FID's Inception v3"
        ) from error
    if device.type == "cpu":  # 1.6 times as fast on the CPU, equal to 5e-7
        network = network.to(memory_format=torch.channels_last)
    note = "" if weights.sha256 == INCEPTION.sha256 else _OTHER_WEIGHTS
    about = Description("inception", weights.sha256, f"{_TF1} to 299x299, (x - 128) / 128", note)
    return FidelityExtractor(network, device, about)


def clip_file(name: str) -> WeightsFile:
    """The file of weights of ``name``, one of `CLIP`; needs torch-fidelity, which knows the hash."""
    _import_torch_fidelity()
    import torch_fidelity.feature_extractor_clip as clip  # type: ignore[import-untyped]

    known = clip.MODEL_METADATA[CLIP[name]]
    return WeightsFile(
        file_name=f"{CLIP[name]}-{known['hash']}.pt",
        sha256=known["hash"],
        url=clip.MODEL_URLS[CLIP[name]],
        aliases=(f"{known['filename']}.pt",),
    )


def open_clip(name: str, device: torch.device) -> FidelityExtractor:
    """CLIP's image tower, features (B, D), no logits; ``name`` is one of `CLIP`.

    Raises:
        UnavailableError: if torch-fidelity or the weights are not on this machine; neither is downloaded.
    """
    library = _import_torch_fidelity()
    weights = find_weights(clip_file(name), download=False)
    with warnings.catch_warnings():  # OpenAI's files are TorchScript, which PyTorch deprecates
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        network = library.FeatureExtractorCLIP(
            CLIP[name], ["clip"], feature_extractor_weights_path=io.BytesIO(weights.content)
        )
    size = network.resolution
    about = Description(CLIP[name], weights.sha256, f"{_TF1} to {size}x{size}, CLIP's mean and std")
    return FidelityExtractor(network, device, about)


def local_clip() -> list[str]:
    """The names in `CLIP` whose weights are on this machine; needs torch-fidelity."""
    return [name for name in CLIP if locate_weights(clip_file(name))]


def _import_torch_fidelity() -> Any:
    """The package torch_fidelity."""
    try:
        with warnings.catch_warnings():  # the package changes the warning filters
            import torch_fidelity
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision for another PyTorch
        advice = "pip install 'nkca[metrics]'"
        raise UnavailableError(f"torch-fidelity is needed ({error}): {advice}") from error
    return torch_fidelity
