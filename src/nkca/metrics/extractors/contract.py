"""The contract of feature extractors: uint8 images in, features and perhaps logits out.

An extractor resizes and scales images by itself, so that every caller gets the same numbers, and describes
how: numbers of two extractors, or of two ways to resize, cannot be compared.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Description:
    """Everything that determines an extractor's numbers; plain values, for reports and cache keys.

    Args:
        name: such as "inception"; of a file, its name.
        weights_sha256: of the weights' file, hexadecimal; "" where there are none.
        input: in words, how images become the network's input: resize, crop, scale.
        note: a caveat for the reader, for example that these are not the standard weights.
    """

    name: str
    weights_sha256: str
    input: str
    note: str = ""


@dataclass(frozen=True)
class Features:
    """The output of an extractor for a batch.

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
        """Everything that determines its numbers."""
        ...

    def __call__(self, images: Tensor) -> Features:
        """Map uint8 (B, 3, H, W), any size, to features on the same device; no gradients.

        The features of an image do not depend on the batch it is in, up to float rounding.
        """
        ...


@runtime_checkable
class SmoothExtractor(Extractor, Protocol):
    """An extractor that also sees differences smaller than those of bytes."""

    def of_unrounded(self, images: Tensor) -> Features:
        """Map float32 (B, 3, H, W) in [0, 255]; the features of bytes are those of `__call__`."""
        ...


def check_extractor_input(images: Tensor) -> None:
    """Check that ``images`` are uint8 (B, 3, H, W) and not empty.

    Raises:
        ValueError: if they are not; an error of the program, not of the user.
    """
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3 or 0 in shape:
        raise ValueError(f"expected uint8 (B, 3, H, W), not {images.dtype} {shape}")
