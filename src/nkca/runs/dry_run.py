"""A dry run: what would be trained, how fast, with how much memory, and what the model will see."""

import sys
import time
from dataclasses import dataclass

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


@dataclass(frozen=True)
class DryRun:
    """What a dry run found; ``peak_memory`` is the peak of the process so far, in bytes.

    It is None on systems that do not report it (Windows).
    """

    parameters: int
    steps: int
    seconds_per_step: float
    peak_memory: int | None
    sheet: Pictures


def dry_run(run: Run, num_steps: int = 3) -> DryRun:
    """Take one step to warm up and ``num_steps`` to measure; nothing is saved."""
    training, learner = run.config.training, run.learner
    steps = -(-max(0, run.total_images - run.progress.images) // training.batch_size)
    began = 0.0
    supply = batches(run.images.images, training.batch_size, training.seed)
    for number in range(num_steps + 1):
        if number == 1:
            began = time.monotonic()
        take_step(run, next(supply), number)
    return DryRun(
        parameters=sum(p.numel() for p in learner.weights.parameters()),
        steps=steps,
        seconds_per_step=(time.monotonic() - began) / num_steps,
        peak_memory=_peak_memory(run.ema_model.device),
        sheet=_sheet(run),
    )


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


def _peak_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
