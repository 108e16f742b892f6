"""A network of the user's own, from a file of torch.export."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nkca.errors import InputError
from nkca.metrics.extractors.exported import ExportedExtractor

CPU = torch.device("cpu")
AUTO = torch.export.Dim.AUTO
ANY = {0: AUTO, 2: AUTO, 3: AUTO}


class Net(nn.Module):
    """Means of colours, and what ``last`` makes of them."""

    def __init__(self, last: Any = None) -> None:
        super().__init__()
        self.last = last
        self.linear = nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Any:
        means = images.float().mean((2, 3))
        return (means, self.linear(means)) if self.last is None else self.last(means)


def export(path: Path, net: nn.Module, dims: Any = ANY, inputs: Any = None) -> Path:
    images = torch.zeros(2, 3, 8, 9, dtype=torch.uint8) if inputs is None else inputs
    program = torch.export.export(net.eval(), (images,), dynamic_shapes=(dims,) if dims else None)
    with path.open("wb") as file:
        torch.export.save(program, file)
    return path


def pictures(count: int = 3, height: int = 8, width: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def test_features_and_logits_of_any_batch_and_size(tmp_path: Path) -> None:
    net = Net()
    extractor = ExportedExtractor(export(tmp_path / "net.pt2", net), CPU)
    for count, height, width in [(1, 8, 9), (5, 8, 9), (3, 20, 7)]:
        images = pictures(count, height, width)
        found = extractor(images)
        assert found.logits is not None
        torch.testing.assert_close((found.features, found.logits), net(images))
        assert not found.features.requires_grad
    about = extractor.description
    assert (about.name, about.input, len(about.weights_sha256)) == (
        "net.pt2",
        "as the file does",
        64,
    )
    assert "same file" in about.note


def test_features_alone_and_in_half_precision(tmp_path: Path) -> None:
    extractor = ExportedExtractor(export(tmp_path / "net.pt2", Net(Tensor.half)), CPU)
    found = extractor(pictures())
    assert found.logits is None
    assert found.features.dtype == torch.float32


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (lambda x: x.long(), r"torch.int64 \(3, 3\)"),
        (lambda x: x[:, :, None], r"torch.float32 \(3, 3, 1\)"),
        (lambda x: x.mean(0, keepdim=True), r"torch.float32 \(1, 3\)"),
        (lambda x: (x, x, x), "torch.float32"),
        (lambda x: {"features": x}, "dict"),
    ],
)
def test_other_outputs(last: Any, said: str, tmp_path: Path) -> None:
    extractor = ExportedExtractor(export(tmp_path / "net.pt2", Net(last)), CPU)
    with pytest.raises(InputError, match=f"net.pt2 returns .*{said}.* expected floating point"):
        extractor(pictures())


def test_a_fixed_batch_says_how_to_export(tmp_path: Path) -> None:
    path = export(tmp_path / "net.pt2", Net(), dims=None)
    with pytest.raises(InputError, match=r"batches of exactly 2; export with a dynamic batch dim"):
        ExportedExtractor(path, CPU)


def test_a_fixed_size_is_named(tmp_path: Path) -> None:
    extractor = ExportedExtractor(export(tmp_path / "net.pt2", Net(), dims={0: AUTO}), CPU)
    assert extractor(pictures(1)).features.shape == (1, 3)
    with pytest.raises(InputError, match=r"net\.pt2 takes images of 8x9, not 9x8 "):
        extractor(pictures(2, 9, 8))


def test_a_bounded_batch_is_one_line(tmp_path: Path) -> None:
    dims = {0: torch.export.Dim("batch", max=4)}
    extractor = ExportedExtractor(export(tmp_path / "net.pt2", Net(), dims), CPU)
    assert len(extractor(pictures(4)).features) == 4
    with pytest.raises(InputError, match=r"net\.pt2 does not accept 5 images of 8x9 .*4") as caught:
        extractor(pictures(5))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inputs", [torch.zeros(2, 3, 8, 9), torch.zeros(2, 1, 8, 9).byte()])
def test_other_inputs(inputs: Tensor, tmp_path: Path) -> None:
    path = export(tmp_path / "net.pt2", Net(nn.Identity()), inputs=inputs)
    with pytest.raises(InputError, match=r"net.pt2 takes torch.* expected images, uint8"):
        ExportedExtractor(path, CPU)


def test_not_a_program(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "net.pt2"
    whole = export(path, Net()).read_bytes()
    torch.save({"a": torch.ones(3)}, tmp_path / "weights.pt2")
    for content in (
        b"",
        b"text",
        whole[: len(whole) // 2],
        (tmp_path / "weights.pt2").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"net\.pt2 is not a program written by torch.export"):
            ExportedExtractor(path, CPU)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    with pytest.raises(InputError, match=r"cannot read .*nowhere.pt2"):
        ExportedExtractor(tmp_path / "nowhere.pt2", CPU)


def test_only_uint8_colour_images(tmp_path: Path) -> None:
    extractor = ExportedExtractor(export(tmp_path / "net.pt2", Net()), CPU)
    with pytest.raises(ValueError, match="expected uint8"):
        extractor(pictures().float())
