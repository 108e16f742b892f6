"""The contract of feature extractors: uint8 images in, features and perhaps logits out.

An extractor owns its resize and its scaling, so that nobody else can get them wrong, and says what
they are: numbers of two extractors, or of two resizes, cannot be compared.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Description:
    """What decides an extractor's numbers; plain values, for the protocol and for cache keys.

    Args:
        name: such as "inception"; of a file, its name.
        weights_sha256: of the weights' file, hexadecimal; "" where there are none.
        input: in words, how images become the network's input: resize, crop, scale.
        note: what a reader of the numbers must know, such as that these are not the standard weights.
    """

    name: str
    weights_sha256: str
    input: str
    note: str = ""


@dataclass(frozen=True)
class Features:
    """What an extractor sees in a batch.

    Args:
        features: float32 (B, D).
        logits: float32 (B, K) before the softmax, or None where the extractor does not classify.
    """

    features: Tensor
    logits: Tensor | None = None


class Extractor(Protocol):
    """A fixed function of images."""

    @property
    def description(self) -> Description:
        """What decides its numbers."""
        ...

    def __call__(self, images: Tensor) -> Features:
        """Map uint8 (B, 3, H, W), any size, to features on the same device; no gradients.

        The features of an image do not depend on the batch it is in, up to float rounding.
        """
        ...


def check_extractor_input(images: Tensor) -> None:
    """Make sure that ``images`` are uint8 (B, 3, H, W), nothing of it empty.

    Raises:
        ValueError: if they are not; the caller's mistake, not the user's.
    """
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3 or 0 in shape:
        raise ValueError(f"expected uint8 (B, 3, H, W), not {images.dtype} {shape}")
