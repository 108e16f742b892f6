"""What a trained chain is asked to do: new images, variants of an image, inpainting.

Each task is a start, a list of levels and, for inpainting, a denoiser that holds pixels; the chain
does the rest. The picture is the mode of p(z|x) at the last level.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nkca import levels
from nkca.chain import State, run
from nkca.denoisers.held import Held
from nkca.errors import InputError
from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.pixels import as_pictures, as_tensor


@dataclass(frozen=True)
class Schedule:
    """An anneal: from ``max_noise`` to ``min_noise`` (None: the model's) in ``num_steps`` transitions."""

    max_noise: float = 1.0
    min_noise: float | None = None
    num_steps: int = 100

    def levels(self, model: Model) -> list[float]:
        """The levels of the chain, ``num_steps + 1``; raises `InputError` if out of range."""
        low = min(model.min_noise, self.max_noise) if self.min_noise is None else self.min_noise
        return levels.anneal(self.max_noise, low, self.num_steps)

    def check_start(self, from_noise: bool) -> None:
        """Raise `InputError` if a chain that starts from noise does not start at level 1."""
        if from_noise and self.max_noise < 1:
            raise InputError(
                f"samples from noise start at level 1, not {self.max_noise}: give an image to start "
                "lower"
            )


@dataclass(frozen=True)
class Task:
    """A batch of samples to make, one for each seed.

    Args:
        seeds: one for each sample; the same seed gives the same sample in any batch.
        images: uint8 (B, C, H, W) to start from; None: from noise.
        repaint: bool (H, W), True where pixels may change; None: everywhere.
    """

    seeds: Sequence[int]
    images: Tensor | None = None
    repaint: Tensor | None = None


@torch.inference_mode()
def run_task(model: Model, task: Task, schedule: Schedule) -> Iterator[State]:
    """Run the chain of a task, yielding every state (``num_steps + 1`` of them)."""
    noise = sample_noise(task.seeds)
    schedule.check_start(from_noise=task.images is None)
    path = schedule.levels(model)
    shape = (len(task.seeds), *model.data_shape)
    chain = model.chain
    if task.images is None:
        x = chain.kernel.prior(shape).sample(noise).to(model.device)
    else:
        z = model.pixels.to_state(task.images.to(model.device))
        level = torch.full((len(z),), path[0], device=model.device)
        x = chain.kernel.add_noise(z, level).sample(noise)
        if task.repaint is not None:
            held = ~task.repaint.to(model.device)
            chain = replace(chain, denoiser=Held(chain.denoiser, held, z))
    yield from run(chain, x, path, noise)


def show(model: Model, task: Task, state: State, visualize: str = "z") -> Tensor:
    """The picture of a state, uint8 (B, C, H, W) on the CPU; held pixels are those of the image.

    Args:
        visualize: "z", the mode of p(z|x), or "x", the noisy state itself.
    """
    picture = model.pixels.to_uint8(state.p_z.mode() if visualize == "z" else state.x).cpu()
    if task.images is None or task.repaint is None:
        return picture
    return torch.where(task.repaint, picture, task.images)


def sample(
    model: Model,
    seeds: Sequence[int],
    images: npt.NDArray[np.uint8] | None = None,
    repaint: npt.NDArray[np.bool_] | None = None,
    schedule: Schedule | None = None,
    batch_size: int = 64,
) -> npt.NDArray[np.uint8]:
    """Make one image for each seed.

    Args:
        images: uint8 (N, H, W, C) to start from, one for each seed, or (H, W, C) for all.
        repaint: bool (H, W), True where the images may change (inpainting).
        schedule: by default the paper's: level 1 to the model's lowest in 100 steps.

    Returns:
        uint8 (N, H, W, C).

    Raises:
        InputError: if shapes or levels do not fit the model.
    """
    starts = None
    if images is not None:
        starts = as_tensor(np.broadcast_to(images, (len(seeds), *images.shape[-3:])).copy())
        if tuple(starts.shape[1:]) != model.data_shape:
            channels, height, width = model.data_shape
            raise InputError(f"images must be ({height}, {width}, {channels}), got {images.shape}")
    mask = None if repaint is None else torch.from_numpy(repaint)
    done = []
    for first in range(0, len(seeds), batch_size):
        rows = slice(first, first + batch_size)
        task = Task(seeds[rows], None if starts is None else starts[rows], mask)
        for state in run_task(model, task, schedule or Schedule()):
            last = state
        done.append(show(model, task, last))
    return as_pictures(torch.cat(done))
