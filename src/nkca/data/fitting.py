"""How an image of one size becomes one of another: cut or padded, resized. Sizes are (height, width)."""

from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image

Size: TypeAlias = tuple[int, int]
Color: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Fitting:
    """The centre of an image is cut out, resized, and laid on the centre of the result; all in pixels.

    Args:
        size: of the image.
        kept: what is cut out of it.
        scaled: what that is resized to, antialiased.
        result: all; what is larger than ``scaled`` is padding.
    """

    size: Size
    kept: Size
    scaled: Size
    result: Size

    @property
    def is_cut(self) -> bool:
        """Whether part of the image is lost."""
        return self.kept != self.size

    @property
    def is_padded(self) -> bool:
        """Whether the result has borders."""
        return self.scaled != self.result

    @property
    def is_enlarged(self) -> bool:
        """Whether pixels are made up."""
        return self.scaled[0] > self.kept[0] or self.scaled[1] > self.kept[1]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """What is kept: left, top, right, bottom."""
        top, left = _offset(self.size, self.kept)
        return left, top, left + self.kept[1], top + self.kept[0]

    def apply(
        self, image: Image.Image, resample: Image.Resampling, background: Image.Image | None = None
    ) -> Image.Image:
        """Fit an image; a background of the result's size is needed where padding is."""
        fitted = image.crop(self.box).resize(self.scaled[::-1], resample)
        if not self.is_padded:
            return fitted
        assert background is not None
        top, left = _offset(self.result, self.scaled)
        background.paste(fitted, (left, top))
        return background


def cropped(size: Size, result: Size) -> Fitting:
    """Cut the centre to the shape of ``result``, then resize it to that, up or down.

    The crop is in whole pixels, rounded half to even as in torchvision's CenterCrop.
    """
    scale = min(size[0] / result[0], size[1] / result[1])
    return Fitting(size, _rounded(result, scale, size), result, result)


def padded(size: Size, result: Size) -> Fitting:
    """Shrink what is larger than ``result`` until it fits, enlarge nothing, fill the rest with borders."""
    scale = min(1.0, result[0] / size[0], result[1] / size[1])
    return Fitting(size, size, _rounded(size, scale, result), result)


def _rounded(size: Size, scale: float, limit: Size) -> Size:
    height, width = (
        min(most, max(1, round(side * scale))) for side, most in zip(size, limit, strict=True)
    )
    return height, width


def _offset(outer: Size, inner: Size) -> Size:
    return round((outer[0] - inner[0]) / 2), round((outer[1] - inner[1]) / 2)
