"""An extractor by its name, the contract that all keep, and torch-fidelity's networks behind it."""

import hashlib
import io
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tables import each
from torch import Tensor, nn

from nkca.errors import InputError
from nkca.metrics.extractors import fidelity, timm_models
from nkca.metrics.extractors.by_name import available_extractors, known_extractors, open_extractor
from nkca.metrics.extractors.weights import INCEPTION

CPU = torch.device("cpu")
REASON = "torch-fidelity is needed"


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights in any cache, and no network."""
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NKCA_OFFLINE", "1")
    monkeypatch.delenv(INCEPTION.variable, raising=False)


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the standard layout."""
    pytest.importorskip(fidelity.PACKAGE, reason=REASON)
    from inception_weights import write_inception_weights

    return write_inception_weights(tmp_path_factory.mktemp("weights") / "inception.pth")


def pictures(count: int = 3, size: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_unknown_names() -> None:
    with pytest.raises(
        InputError, match=r"unknown features incepton \(did you mean 'inception'\?\)"
    ):
        open_extractor("incepton", CPU)
    with pytest.raises(InputError, match=r"expected a FILE\.pt2, timm:NAME or one of: inception, "):
        open_extractor("net.pth", CPU)


def test_weights_only_where_they_are_taken(tmp_path: Path) -> None:
    for name in each(["pixels", "clip", timm_models.LITE0, "net.pt2"]):
        with pytest.raises(InputError, match=f"a file of weights is for .*, not for {name}"):
            open_extractor(name, CPU, weights=tmp_path)


def test_what_is_not_here_is_one_line_with_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, timm_models.LITE0_PACKAGE, None)
    for name in each(name for name in known_extractors() if name != "pixels"):
        with pytest.raises(InputError) as caught:
            open_extractor(name, CPU)
        assert str(caught.value).endswith("; features that work here now: pixels, FILE.pt2")
        assert "\n" not in str(caught.value)


def test_torch_fidelity_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, fidelity.PACKAGE, None)
    for name in each(["inception", "clip"]):
        with pytest.raises(InputError, match=r"pip install 'nkca\[metrics\]'; features that work"):
            open_extractor(name, CPU)


def test_available(inception: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "inception" not in available_extractors()
    monkeypatch.setenv(INCEPTION.variable, str(inception))
    assert "inception" in available_extractors()
    monkeypatch.setenv(INCEPTION.variable, str(tmp_path / "nowhere"))
    assert "inception" not in available_extractors()
    assert "pixels" in available_extractors()


def test_pixels() -> None:
    extractor = open_extractor("pixels", CPU)
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(2, 3, 1, 2)
    found = extractor(images)
    assert found.logits is None
    expected = torch.tensor([-1, -1, 1, 1, -0.6, -0.6]).expand(2, 6)
    torch.testing.assert_close(found.features, expected)
    assert extractor(pictures(1, 36)).features.shape == (1, 3888)
    with pytest.raises(InputError, match="37x37 in RGB are 4107 dimensions, at most 4096"):
        extractor(pictures(1, 37))


def test_only_uint8_colour_images() -> None:
    good, extractor = pictures(), open_extractor("pixels", CPU)
    for images in (good.float(), good[:, :1], good[0], good[:0], good.permute(0, 2, 3, 1)):
        with pytest.raises(ValueError, match="expected uint8"):
            extractor(images)


def test_inception_is_torch_fidelitys(inception: Path) -> None:
    library = pytest.importorskip(fidelity.PACKAGE, reason=REASON)
    reference = library.FeatureExtractorInceptionV3(
        "inception-v3-compat",
        ["2048", "logits_unbiased"],
        feature_extractor_weights_path=str(inception),
    )
    extractor = open_extractor("inception", CPU, weights=inception)
    images = pictures()
    found, expected = extractor(images), reference(images)
    for ours, theirs in zip((found.features, found.logits), expected, strict=True):
        assert ours is not None
        assert (ours - theirs).norm() < 1e-5 * theirs.norm()
    alone = extractor(images[1:2])
    torch.testing.assert_close(alone.features, found.features[1:2], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="expected uint8"):
        extractor(images.float())


def test_inception_says_whose_weights(inception: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = hashlib.sha256(inception.read_bytes()).hexdigest()
    monkeypatch.setenv(INCEPTION.variable, str(inception))
    about = open_extractor("inception", CPU).description
    assert (about.name, about.weights_sha256) == ("inception", sha256)
    assert about.note.startswith("not the FID-standard weights")
    monkeypatch.setattr(fidelity, "INCEPTION", _Standard(sha256))
    assert fidelity.open_inception(CPU, inception).description.note == ""


class _Standard:
    """As if a file were the standard one."""

    flag = variable = ""

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256


def test_random_weights_tell_images_apart(inception: Path) -> None:
    extractor = open_extractor("inception", CPU, weights=inception)
    noise, flat = extractor(pictures(6)), extractor(pictures(6, 1, seed=1).expand(6, 3, 32, 32))
    assert noise.logits is not None and flat.logits is not None
    chances = torch.cat([noise.logits, flat.logits]).softmax(1)
    assert 0.01 < chances.amax(1).mean() < 0.9

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / 2048 + 1) ** 3

    x, y = noise.features, flat.features
    assert kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean() > 0.1
    assert 0.1 < x.mean() < 10


def test_the_layout_is_the_standard_one(inception: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("pytorch_fid.inception", reason="pytorch-fid is needed")
    state = torch.load(inception, weights_only=True)
    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *_, **__: state)
    reference = module.InceptionV3([3], resize_input=False, normalize_input=False).eval()
    images = pictures(2, 299)
    with torch.no_grad():
        expected = reference((images.float() - 128) / 128)[0].flatten(1)
    found = open_extractor("inception", CPU, weights=inception)(images).features
    assert (found - expected).norm() < 1e-5 * expected.norm()


def test_files_that_are_not_inceptions_weights(tmp_path: Path) -> None:
    pytest.importorskip(fidelity.PACKAGE, reason=REASON)
    path = tmp_path / "other.pth"
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(InputError, match=r"other\.pth holds weights of another network"):
        open_extractor("inception", CPU, weights=path)
    torch.save({"a": nn.Linear(2, 2)}, path)  # a whole module is code
    with pytest.raises(InputError, match=r"other\.pth holds something other than weights"):
        open_extractor("inception", CPU, weights=path)


def test_clip_from_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(fidelity.PACKAGE, reason=REASON)
    from torch_fidelity import feature_extractor_clip as clip  # type: ignore[import-untyped]

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = clip.CLIPVisual(16, 64, 1, 64, 32).visual
            self.text_projection = nn.Parameter(torch.ones(8, 16))

        def forward(self, x: Tensor) -> Any:
            return self.visual(x) @ self.text_projection.T

    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated; OpenAI's files are as they are
        trace: Any = torch.jit.trace
        torch.jit.save(trace(Tiny().eval(), torch.zeros(1, 3, 64, 64)), content)
    sha256 = hashlib.sha256(content.getvalue()).hexdigest()
    monkeypatch.setitem(clip.MODEL_METADATA["clip-vit-l-14"], "hash", sha256)
    path = tmp_path / "cache" / "weights" / f"clip-vit-l-14-{sha256}.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(content.getvalue())
    assert {"clip", "clip-vit-l-14"} <= set(available_extractors())
    extractor = open_extractor("clip", CPU)
    found = extractor(pictures())
    assert found.features.shape == (3, 16)
    assert found.logits is None
    assert "64x64" in extractor.description.input
    assert extractor.description.name == "clip-vit-l-14"
    assert extractor.description.weights_sha256 == sha256
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"is damaged: its SHA-256 is .*; delete it"):
        open_extractor("clip", CPU)
