"""The network EfficientNet-Lite0.

Tan and Le 2019 (EfficientNet-B0), in the Lite form of the TensorFlow TPU repository: no squeeze and
excite, ReLU6, stem and head of fixed width, "SAME" padding, batch norm with eps 1e-3.

    stem 3x3/2 -> 16 blocks -> head 1x1 -> mean over positions = features (1280) -> logits (1000)
    block:  expand 1x1 -> depthwise k x k -> project 1x1, plus its input where the shapes agree

Each batch norm is folded into the convolution before it when weights are loaded: 1.2 times as fast.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPS = 1e-3
# kernel, stride, expansion, channels in, channels out, blocks
_STAGES = (
    (3, 1, 1, 32, 16, 1),
    (3, 2, 6, 16, 24, 2),
    (5, 2, 6, 24, 40, 2),
    (3, 2, 6, 40, 80, 3),
    (5, 1, 6, 80, 112, 3),
    (5, 2, 6, 112, 192, 4),
    (3, 1, 6, 192, 320, 1),
)


class SameConv(nn.Module):
    """A convolution whose output is ceil(H / stride) x ceil(W / stride).

    It pads as TensorFlow's "SAME" does if the stride divides the size: an odd pixel of padding goes to
    the bottom and right.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        even = stride == 1
        groups = width_in if depthwise else 1
        self.conv = nn.Conv2d(
            width_in, width_out, kernel, stride, kernel // 2 if even else 0, groups=groups
        )
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        self.padding = None if even else (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, C', H / stride, W / stride)."""
        out: Tensor = self.conv(x if self.padding is None else F.pad(x, self.padding))
        return out

    def load(self, weights: Mapping[str, Tensor], conv: str, norm: str) -> None:
        """Fold ``norm`` into ``conv``: scale = weight / sqrt(variance + eps), in float64."""
        gain, bias, mean, variance = (
            weights[f"{norm}.{name}"].double()
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / torch.sqrt(variance + _EPS)
        self.conv.load_state_dict(
            {
                "weight": weights[f"{conv}.weight"].double() * scale[:, None, None, None],
                "bias": bias - mean * scale,
            }
        )


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise k x k, project 1x1; plus the input where the shapes agree."""

    def __init__(
        self, kernel: int, stride: int, expansion: int, width_in: int, width_out: int
    ) -> None:
        super().__init__()
        width = width_in * expansion
        self.expand = SameConv(width_in, width) if expansion > 1 else None
        self.filter = SameConv(width, width, kernel, stride, depthwise=True)
        self.project = SameConv(width, width_out)
        self.adds = stride == 1 and width_in == width_out

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, C', H / stride, W / stride)."""
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.filter(y), inplace=True))
        return y + x if self.adds else y

    def load(self, weights: Mapping[str, Tensor], name: str) -> None:
        """Load the block ``name`` of the published file."""
        if self.expand is not None:
            self.expand.load(weights, f"{name}._expand_conv", f"{name}._bn0")
        self.filter.load(weights, f"{name}._depthwise_conv", f"{name}._bn1")
        self.project.load(weights, f"{name}._project_conv", f"{name}._bn2")


class EfficientNetLite0(nn.Module):
    """The network, for inference only: its batch norms are folded into convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        self.blocks = nn.ModuleList(
            InvertedResidual(
                kernel, stride if first else 1, expansion, width_in if first else width, width
            )
            for kernel, stride, expansion, width_in, width, count in _STAGES
            for first in [True] + [False] * (count - 1)
        )
        self.head = SameConv(320, 1280)
        self.classify = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, 3, 224, 224), about [-1, 1], to features (B, 1280) and logits (B, 1000)."""
        x = F.relu6(self.stem(x))
        for block in self.blocks:
            x = block(x)
        features = F.relu6(self.head(x)).mean((2, 3))
        return features, self.classify(features)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of the published file, by its names.

        Raises:
            KeyError, RuntimeError: if they belong to another network.
        """
        self.stem.load(weights, "_conv_stem", "_bn0")
        for index, block in enumerate(self.blocks):
            assert isinstance(block, InvertedResidual)
            block.load(weights, f"_blocks.{index}")
        self.head.load(weights, "_conv_head", "_bn1")
        self.classify.load_state_dict({k: weights[f"_fc.{k}"] for k in ("weight", "bias")})
