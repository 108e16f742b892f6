"""A dry run: what would be trained, how fast, and what the model will see."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from nkca.data.dataset import augment, batches
from nkca.noise import step_noise
from nkca.pictures.grid import Pictures, contact_sheet, grid, zoom_in_sheet
from nkca.pixels import as_pictures, as_tensor, to_rgb
from nkca.runs.fitted_images import show_fitting
from nkca.runs.run import Run, take_step

COLUMNS = 8
SHOWN_LEVELS = (0.1, 0.3, 0.6, 0.9)
MEASURING = 10.0  # seconds that the measured steps take, about, if those of one image take less


@dataclass(frozen=True)
class DryRun:
    """What a dry run found; ``seconds`` are those of the ``steps`` left, or what `max_time` leaves."""

    steps: int
    seconds_per_step: float
    seconds: float
    sheet: Pictures


def dry_run(run: Run) -> DryRun:
    """Measure some steps, which change the weights; nothing is saved."""
    seconds = seconds_per_step(run)
    return DryRun(run.steps_left, seconds, run.seconds_left(seconds), _sheet(run))


def seconds_per_step(run: Run) -> float:
    """The time of a step, from one image, two, four ... as far as `MEASURING` allows; weights change.

    It is of images of full size, where a run begins with smaller ones.
    """
    run = replace(run, progress=replace(run.progress, pooling=1))
    training = run.config.training
    images = next(batches(run.images.images, training.batch_size, training.seed))

    def seconds(count: int) -> float:
        began = time.monotonic()
        take_step(run, images[:count], 0)
        return time.monotonic() - began

    seconds(1)  # warm up
    one, count = seconds(1), 1
    several = one
    while count < len(images) and several < MEASURING / 4:
        count = min(2 * count, len(images))
        several = seconds(count)
    if count == len(images):
        return min(several, seconds(count))
    each = (several - one) / (count - 1) if count > 1 else one
    return several + max(0.0, each) * (len(images) - count)


def _sheet(run: Run) -> Pictures:
    """Images as the model sees them, the first ones at rising noise levels, files that were changed."""
    model, shown = run.ema_model, 4 * COLUMNS
    noise = step_noise(run.config.training.seed, 0, 0, shown)
    images = next(batches(run.images.images, shown, run.config.training.seed))
    z = model.pixels.to_state(augment(images, run.config.data.data_augmentation, noise))
    rows = [z]
    for level in SHOWN_LEVELS:
        b = torch.full((COLUMNS,), level)
        rows.append(model.chain.kernel.add_noise(z[:COLUMNS], b).sample(noise[:COLUMNS]))
    pictures = as_pictures(model.pixels.to_uint8(torch.cat(rows)))
    zoom, size = zoom_in_sheet(*pictures.shape[1:3]), pictures.shape[1:3]
    tile = zoom * size[0], zoom * size[1]
    examples = show_fitting(run.images, run.config.data, COLUMNS, tile)
    if not len(examples):
        return contact_sheet(pictures, COLUMNS)
    pictures = as_pictures(to_rgb(as_tensor(pictures)))
    zoomed = pictures.repeat(zoom, axis=1).repeat(zoom, axis=2)
    return grid(np.concatenate([zoomed, examples]), COLUMNS)
