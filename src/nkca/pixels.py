"""uint8 pixels <-> chain states; the only rounding of nkca.

An image is uint8, (B, C, H, W) in tensors and (H, W, C) in files. Three kinds of states hold it:

continuous   float32 in [-1, 1]: x = byte / 127.5 - 1; or the means of squares of pixels
levels       int64 0..K-1 for each channel, and K for "scrambled"; level = round(byte (K - 1) / 255)
palette      int64 0..K-1 for each pixel, the nearest of K colours, and K for "scrambled"

The original rounds levels up, which leaves level 0 one byte value of 256; nkca rounds to nearest.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from nkca.errors import InputError

SCRAMBLED_GREY = 128  # how a scrambled pixel is shown
PIXELS_AT_ONCE = 1 << 16  # whose distances to a palette are computed together


def as_tensor(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """View uint8 pictures (N, H, W, C) as a tensor (N, C, H, W)."""
    return torch.from_numpy(pictures).movedim(-1, 1)


def as_pictures(images: Tensor) -> npt.NDArray[np.uint8]:
    """View a uint8 tensor (N, C, H, W) on the CPU as pictures (N, H, W, C)."""
    pictures: npt.NDArray[np.uint8] = images.movedim(1, -1).numpy()
    return pictures


def as_array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Convert anything that NumPy reads to an array.

    Raises:
        InputError: if NumPy cannot read it, such as images of several sizes; ``name`` is what the
            error calls it.
    """
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # PyTorch's tensors raise the last two
        said = " ".join(str(error).split())
        raise InputError(f"{name} cannot be read as one array: {said}") from error


def check_image(image: npt.ArrayLike, name: str) -> npt.NDArray[np.uint8]:
    """Convert anything that NumPy reads as uint8 (H, W, C), C = 1, 3 or 4, to that array.

    Raises:
        InputError: if it is anything else; ``name`` is what the error calls it.
    """
    array = as_array(image, name)
    if (
        array.dtype != np.uint8
        or array.ndim != 3
        or array.shape[2] not in (1, 3, 4)
        or not array.size
    ):
        raise InputError(
            f"{name} must be uint8 of shape (H, W, C) with 1, 3 or 4 channels, got {array.dtype} "
            f"{array.shape}"
        )
    return array


def check_images(images: npt.ArrayLike, name: str) -> npt.NDArray[np.uint8]:
    """Convert anything that NumPy reads as uint8 (N, H, W, C) or (H, W, C), C = 1, 3 or 4, to (N, H, W, C).

    Raises:
        InputError: if it is anything else; ``name`` is what the error calls it.
    """
    array = as_array(images, name)
    shape = array.shape if array.ndim == 4 else (1, *array.shape)
    if array.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3, 4) or 0 in shape:
        raise InputError(
            f"{name} must be uint8 of shape (N, H, W, C) with 1, 3 or 4 channels, got "
            f"{array.dtype} {array.shape}"
        )
    return array.reshape(shape)


def to_rgb(images: Tensor) -> Tensor:
    """Convert uint8 (B, C, H, W), C = 1, 3 or 4, to RGB (B, 3, H, W); alpha is composited on white."""
    if images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1)
    if images.shape[1] == 3:
        return images
    color, alpha = images[:, :3].int(), images[:, 3:].int()
    return ((color * alpha + 255 * (255 - alpha) + 127) // 255).to(torch.uint8)


class Pixels(Protocol):
    """Conversion between uint8 pixels and the states of one state space."""

    @property
    def is_lossless(self) -> bool:
        """Whether `to_uint8` of `to_state` returns every image unchanged."""
        ...

    def to_state(self, image: Tensor) -> Tensor:
        """Map uint8 (B, C, H, W) to the clean state z, with as many channels or one."""
        ...

    def to_uint8(self, state: Tensor) -> Tensor:
        """Map a state, clean or noisy, to uint8 (B, C, H, W) for display: rounded, clipped."""
        ...


@dataclass(frozen=True)
class ContinuousPixels:
    """Pixels as real numbers in [-1, 1].

    Args:
        pooling: side of the squares of pixels whose mean is one number of a state, see
            `nkca.training.coarse_to_fine`; it divides H and W.
    """

    pooling: int = 1

    @property
    def is_lossless(self) -> bool:
        """Whether each pixel has a number of its own."""
        return self.pooling == 1

    def to_state(self, image: Tensor) -> Tensor:
        """Map uint8 (B, C, H, W) to float32 (B, C, H / pooling, W / pooling) in [-1, 1]."""
        state = image.float() / 127.5 - 1
        return state if self.pooling == 1 else functional.avg_pool2d(state, self.pooling)

    def to_uint8(self, state: Tensor) -> Tensor:
        """Map a state, float, to uint8 (B, C, H, W); values outside [-1, 1] are clipped."""
        image = ((state + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        if self.pooling == 1:
            return image
        return image.repeat_interleave(self.pooling, -1).repeat_interleave(self.pooling, -2)


@dataclass(frozen=True)
class CategoricalPixels:
    """Pixels as one of ``num_classes`` ordered levels."""

    num_classes: int

    def __str__(self) -> str:
        return f"a model of {self.num_classes} levels"

    @property
    def is_lossless(self) -> bool:
        """Whether there is a level for each byte value."""
        return self.num_classes == 256

    def to_state(self, image: Tensor) -> Tensor:
        """Map uint8 (B, C, H, W) to int64 levels in 0..K-1, rounding to nearest."""
        return (2 * image.long() * (self.num_classes - 1) + 255) // 510

    def to_uint8(self, state: Tensor) -> Tensor:
        """Map int64 levels 0..K (B, C, H, W) to uint8; scrambled pixels become mid grey."""
        byte = (state.float() * (255 / (self.num_classes - 1))).round().clamp(0, 255)
        return byte.masked_fill(state == self.num_classes, SCRAMBLED_GREY).to(torch.uint8)


@dataclass(frozen=True)
class PalettePixels:
    """Pixels as one of K colours, all channels together.

    Args:
        colors: K different colours, each C = 1, 3 or 4 numbers in 0..255.
        ids: of K labels, which label maps hold in place of these colours; None: there are none.
    """

    colors: tuple[tuple[int, ...], ...]
    ids: tuple[int, ...] | None = None
    is_lossless: ClassVar[bool] = False

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.colors)

    def to_state(self, image: Tensor) -> Tensor:
        """Map uint8 (B, C, H, W) to int64 (B, 1, H, W) in 0..K-1: the nearest colour, the first of equals.

        Distances are of the channels; with alpha, of colours times alpha, and of alpha.
        """
        table = torch.tensor(self.colors, dtype=torch.uint8, device=image.device)
        table = _premultiplied(table)
        nearest = [
            torch.cdist(
                _premultiplied(part), table, compute_mode="donot_use_mm_for_euclid_dist"
            ).argmin(1)
            for part in torch.split(image.movedim(1, -1).flatten(0, -2), PIXELS_AT_ONCE)
        ]
        return torch.cat(nearest).view(len(image), 1, *image.shape[2:])

    def to_uint8(self, state: Tensor) -> Tensor:
        """Map int64 (B, 1, H, W) in 0..K to uint8 (B, C, H, W); scrambled pixels become mid grey."""
        grey = [SCRAMBLED_GREY, SCRAMBLED_GREY, SCRAMBLED_GREY, 255][: len(self.colors[0])]
        table = torch.tensor([*self.colors, tuple(grey)], dtype=torch.uint8, device=state.device)
        return table[state[:, 0]].movedim(-1, 1).contiguous()


def _premultiplied(pixels: Tensor) -> Tensor:
    """uint8 (n, C) -> float64 (n, C); with alpha, colours are multiplied by it."""
    values = pixels.double()
    if values.shape[1] == 4:
        values = torch.cat([values[:, :3] * values[:, 3:] / 255, values[:, 3:]], 1)
    return values
