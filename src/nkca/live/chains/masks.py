"""Masks as text: base64 of a bit for each pixel, or of a byte, which says how much of a step it makes.

Pixels come row by row; of bits the first is the highest, and the last byte is filled up with zeros.
"""

import base64
import binascii

import numpy as np
import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.live.chains.tiles import FULL_PACE


def parse_pace(text: str, height: int, width: int) -> Tensor:
    """The pace of each pixel, uint8 (H, W): a bit means all or nothing.

    Raises:
        InputError: if it is not the mask of a picture of this size.
    """
    content, pixels = np.frombuffer(from_base64(text, "mask"), np.uint8), height * width
    if len(content) == -(-pixels // 8):
        content = np.unpackbits(content)[:pixels] * np.uint8(FULL_PACE)
    elif len(content) != pixels:
        raise InputError(
            f"the mask must have {pixels} bits, or as many bytes, got {len(content)} bytes"
        )
    return torch.from_numpy(content.reshape(height, width).copy())


def pace_text(pace: Tensor) -> str:
    """The mask of uint8 paces: of bits, unless some pixels make parts of steps."""
    flat = pace.flatten().numpy()
    partial = ((flat > 0) & (flat < FULL_PACE)).any()
    return base64.b64encode((flat if partial else np.packbits(flat > 0)).tobytes()).decode()


def from_base64(text: object, what: str) -> bytes:
    """The bytes of a text; ``what`` is what the error calls it.

    Raises:
        InputError: if it is not base64.
    """
    try:
        if not isinstance(text, str):
            raise ValueError("not text")
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the {what} is not base64: {error}") from None
