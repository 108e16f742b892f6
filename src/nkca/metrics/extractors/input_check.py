"""The one check of what extractors are given."""

import torch
from torch import Tensor


def check_images(images: Tensor) -> None:
    """Make sure that ``images`` are uint8 (B, 3, H, W), nothing of it empty.

    Raises:
        ValueError: if they are not; the caller's mistake, not the user's.
    """
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3 or 0 in shape:
        raise ValueError(f"expected uint8 (B, 3, H, W), not {images.dtype} {shape}")
