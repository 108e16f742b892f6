"""What may be known of pictures: their coarse structure, a small version of them, their grey values.

Each is a condition of the chain (`nkca.denoisers.conditions`) and exact in the bytes of the pictures
(`nkca.sampling.exact_bytes`). They are for continuous pixels: categories have no means.
"""

from torch import Tensor

from nkca.denoisers.condition import Condition
from nkca.denoisers.conditions.block_means import block_means, hold_block_means
from nkca.denoisers.conditions.grey import hold_grey
from nkca.errors import InputError
from nkca.models.model import Model
from nkca.pixels import ContinuousPixels
from nkca.sampling.exact_bytes import with_block_sums, with_grey
from nkca.sampling.tasks import Known, Schedule

KNOWING = Schedule(num_steps=100, ladder="linear", sampler="chain", guidance=1)
"""How pictures of which something is known are made by default: as for inpainting, deterministic samplers
fit the free detail to what is known badly (docs/tasks.md)."""


def coarse(images: Tensor, side: int) -> Known:
    """The means of blocks of side x side pixels are those of uint8 images (B or 1, C, H, W).

    Raises:
        InputError: unless ``side`` divides H and W.
    """
    return _with_means(block_means(images.double(), side), side)


def small_version(small: Tensor, model: Model) -> Known:
    """The means of blocks are the pixels of a small picture, uint8 (B or 1, C, h, w).

    Raises:
        InputError: unless h x w divides the model's size, with square blocks of 2 pixels and more.
    """
    (_, height, width), (h, w) = model.data_shape, small.shape[2:]
    side = height // h
    if side < 2 or (h * side, w * side) != (height, width):
        raise InputError(
            f"a picture of {h}x{w} is no small version of {height}x{width}: both sides must be "
            f"smaller by one whole factor"
        )
    return _with_means(small.double(), side)


def grey_values(grey: Tensor) -> Known:
    """Pixels have these grey values, uint8 (B or 1, 1, H, W), by Pillow's conversion to "L"."""

    def condition(model: Model) -> Condition:
        check_continuous(model, "grey values")
        if model.data_shape[0] != 3:
            channels = model.data_shape[0]
            raise InputError(f"grey values are for models of 3 channels, this one has {channels}")
        return hold_grey(model.pixels.to_state(grey.to(model.device)))

    def settle(picture: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        return with_grey(picture, grey, free), free

    return Known(condition, settle)


def _with_means(means: Tensor, side: int) -> Known:
    """Blocks of side x side bytes have these means, float (B or 1, C, h, w) in 0..255."""
    sums = (means * side**2).round().long()

    def condition(model: Model) -> Condition:
        check_continuous(model, "means of blocks")
        return hold_block_means(model.pixels.to_state(means.float().to(model.device)), side)

    def settle(picture: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        return with_block_sums(picture, sums, side, free), free

    return Known(condition, settle)


def check_continuous(model: Model, what: str) -> None:
    """Raise `InputError` for a model of categories; ``what`` is what needs continuous pixels."""
    if not isinstance(model.pixels, ContinuousPixels):
        raise InputError(f"{what} are of continuous pixels; this model has categories")
    model.check_full_size(what)
