"""Samples as arrays, in one call."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nkca.chain import Sampler
from nkca.errors import InputError
from nkca.models.model import Model
from nkca.noise import check_seed
from nkca.pixels import as_array, as_pictures, as_tensor, check_images
from nkca.sampling.tasks import Schedule, Task, around, draw_task, from_noise, inpaint


def sample(
    model: Model,
    seeds: Sequence[int] | npt.NDArray[np.integer[Any]],
    images: npt.ArrayLike | None = None,
    repaint: npt.ArrayLike | None = None,
    schedule: Schedule | None = None,
    batch_size: int = 64,
    sampler: Sampler | None = None,
) -> npt.NDArray[np.uint8]:
    """Make one image for each seed.

    Args:
        seeds: integers in 0..2**63-1, of Python or NumPy; one for each sample.
        images: uint8 (N, H, W, C) to start from, one for each seed, or (H, W, C) for all.
        repaint: bool (H, W), True where the images may change (inpainting).
        schedule: what it leaves open is, as in nkca-sample, from level 1 to the model's lowest with the
            model's own sampler; with images `nkca.sampling.tasks.VARIANTS`, which starts at level 0.5;
            for inpainting `nkca.sampling.tasks.INPAINTING`.
        batch_size: samples computed together; does not change them, up to float rounding.
        sampler: how the levels are passed, in place of the sampler that the schedule names.

    Returns:
        uint8 (N, H, W, C).

    Raises:
        InputError: if a seed is out of range, or shapes, counts or levels do not fit the model.
    """
    numbers = _checked_seeds(seeds)
    if batch_size < 1:
        raise InputError(f"batch_size must be 1 or more, got {batch_size}")
    starts = None if images is None else _start_images(model, len(numbers), images)
    mask = None if repaint is None else _mask(model, repaint)
    if mask is not None and starts is None:
        raise InputError("repaint marks what may change in images, but there are no images")

    def task(rows: slice) -> Task:
        if starts is None:
            return from_noise(numbers[rows])
        if mask is None:
            return around(starts[rows], numbers[rows])
        return inpaint(starts[rows], mask, numbers[rows])

    schedule = schedule or Schedule()
    batches = [slice(first, first + batch_size) for first in range(0, len(numbers), batch_size)]
    done = [draw_task(model, task(rows), schedule, sampler=sampler) for rows in batches]
    return as_pictures(torch.cat(done))


def _checked_seeds(seeds: Sequence[int] | npt.NDArray[np.integer[Any]]) -> list[int]:
    """The seeds as Python integers: a NumPy integer of the same value is the same seed."""
    try:
        numbers = [operator.index(seed) for seed in seeds]
    except TypeError as error:
        raise InputError(f"seeds must be integers, one for each sample: {error}") from error
    if not numbers:
        raise InputError("there must be at least one seed: one for each sample")
    for number in numbers:
        check_seed(number)
    return numbers


def _start_images(model: Model, count: int, images: npt.ArrayLike) -> Tensor:
    """One image for each of ``count`` seeds, uint8 (count, C, H, W)."""
    channels, height, width = model.data_shape
    array = check_images(images, "images")
    if array.shape[1:] != (height, width, channels):
        raise InputError(
            f"images must be ({height}, {width}, {channels}) each, as the model's, got {array.shape}"
        )
    if len(array) not in (1, count):
        raise InputError(
            f"there are {len(array)} images for {count} seeds: give one for each seed, or one for all"
        )
    return as_tensor(np.broadcast_to(array, (count, *array.shape[1:])).copy())


def _mask(model: Model, repaint: npt.ArrayLike) -> Tensor:
    """Where images may change, bool (H, W)."""
    mask, size = as_array(repaint, "repaint"), model.data_shape[1:]
    if mask.dtype != np.bool_ or mask.shape != size:
        raise InputError(f"repaint must be bool of shape {size}, got {mask.dtype} {mask.shape}")
    if not mask.any():
        raise InputError("repaint is nowhere True: nothing would change")
    return torch.from_numpy(mask.copy())
