"""Requests for samples -> picture files. Every PNG holds the request that reproduces it."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nkca.chain import Moment
from nkca.distributed.ranks import ALONE, Ranks
from nkca.errors import out_of_memory_advice
from nkca.pictures.animation import animation_frame, save_animation
from nkca.pictures.grid import Pictures, contact_sheet
from nkca.pictures.png import save_png
from nkca.pixels import as_pictures, as_tensor
from nkca.sampling.plan import SamplePlan
from nkca.sampling.request import Job, Outputs
from nkca.sampling.tasks import run_task, show_moment

GRID_SAMPLES = 256
ANIMATION_FRAMES = 100


@dataclass(frozen=True)
class SampleProgress:
    """``done`` of ``total`` denoiser evaluations; ``files`` have been completed since the last progress."""

    done: int
    total: int
    files: tuple[Path, ...] = ()


def make_samples(
    plan: SamplePlan, directory: Path, batch_size: int = 64, ranks: Ranks = ALONE
) -> Iterator[SampleProgress]:
    """Make all samples of a plan, batch by batch, and write them into ``directory``.

    Memory does not grow with the number of samples or steps. With several ranks, all call this: each makes
    ``batch_size`` samples of a larger batch, and the first rank writes all files.
    """
    outputs, num_states = plan.outputs, plan.num_states
    total = plan.count_batches(batch_size * ranks.count) * num_states
    overview = _Overview(outputs, num_states)
    for number, batch in enumerate(plan.batches(batch_size * ranks.count)):
        with out_of_memory_advice(f"at batch size {batch_size}: try a smaller batch size"):
            for moment, pictures in _run_batch(plan, batch, ranks):
                if outputs.intermediate and ranks.is_first:
                    _save_intermediate(directory, plan, batch, moment, pictures)
                overview.add_state(number, moment.step, pictures[:batch_size])
                yield SampleProgress(number * num_states + moment.step + 1, total)
        if ranks.is_first:
            overview.add_samples(pictures)
            files = tuple(_save_samples(directory, plan, batch, pictures))
            yield SampleProgress((number + 1) * num_states, total, files)
    if ranks.is_first:
        yield SampleProgress(total, total, tuple(overview.save(directory, plan)))


def draw_jobs(plan: SamplePlan, batch_size: int = 64) -> Tensor:
    """The pictures of a plan, uint8 (N, C, H, W) on the CPU, in the order of its jobs; no files."""
    done = []
    with out_of_memory_advice(f"at batch size {batch_size}: try a smaller batch size"):
        for batch in plan.batches(batch_size):
            *_, (_, pictures) = _run_batch(plan, batch, ALONE)
            done.append(as_tensor(pictures))
    return torch.cat(done)


def _run_batch(
    plan: SamplePlan, batch: list[Job], ranks: Ranks
) -> Iterator[tuple[Moment, Pictures]]:
    """The moments of a batch's chains, each with its pictures if they are used, else with none.

    The moment is that of this rank's share; a rank without a share computes the first sample, unused.
    """
    model, share = plan.model, ranks.share(len(batch))
    own_jobs = batch[share.start : share.stop] or batch[:1]
    task, schedule = plan.task(own_jobs), plan.schedule_of(own_jobs[0])
    shows_all = plan.outputs.intermediate or plan.outputs.animation is not None
    nothing: Pictures = np.empty((0, 0, 0, 0), np.uint8)
    last = plan.num_states - 1
    for moment in run_task(model, task, schedule):
        if not shows_all and moment.step < last:
            yield moment, nothing
            continue
        shown = show_moment(model, task, moment, plan.request.visualize)[: len(share)]
        yield moment, as_pictures(ranks.gather(shown, len(batch)))


def _save_samples(
    directory: Path, plan: SamplePlan, batch: list[Job], pictures: Pictures
) -> Iterator[Path]:
    for job, picture in zip(batch, pictures, strict=True):
        path = directory / f"{job.name}.png"
        save_png(path, picture, asdict(plan.request_of(job)), plan.model.pixels)
        yield path


def _save_intermediate(
    directory: Path, plan: SamplePlan, batch: list[Job], moment: Moment, pictures: Pictures
) -> None:
    for job, picture in zip(batch, pictures, strict=True):
        folder = directory / "intermediate" / job.name
        folder.mkdir(parents=True, exist_ok=True)
        name = f"step_{moment.step:04d}_level_{moment.noise_level:.4f}.png"
        save_png(folder / name, picture, pixels=plan.model.pixels)


def _sheet(plan: SamplePlan, samples: Pictures) -> Pictures:
    """The samples; with images a row for each image, which is its first tile."""
    images = plan.request.images
    if not images:
        return contact_sheet(samples)
    each = plan.request.count() // len(images)
    tiles: list[Pictures] = []
    for first in range(0, len(samples), each):
        tiles += [as_pictures(plan.pictures[images[first // each]][None])[0]]
        tiles += list(samples[first : first + each])
    return contact_sheet(np.stack(tiles), columns=1 + min(each, len(samples)))


@dataclass
class _Overview:
    """Samples for the grid, and moments of the first batch for the animation."""

    outputs: Outputs
    num_states: int
    samples: list[Pictures] = field(default_factory=list)
    frames: list[Pictures] = field(default_factory=list)

    def add_state(self, batch: int, step: int, pictures: Pictures) -> None:
        if self.outputs.animation is None or batch > 0 or not len(pictures):
            return
        stride = math.ceil(self.num_states / ANIMATION_FRAMES)
        if step % stride == 0 or step == self.num_states - 1:
            self.frames.append(animation_frame(pictures))

    def add_samples(self, pictures: Pictures) -> None:
        room = GRID_SAMPLES - sum(map(len, self.samples))
        if self.outputs.grid and room > 0:
            self.samples.append(pictures[:room])

    def save(self, directory: Path, plan: SamplePlan) -> Iterator[Path]:
        if self.samples:
            sheet = _sheet(plan, np.concatenate(self.samples))
            save_png(directory / "grid.png", sheet, asdict(plan.request))
            yield directory / "grid.png"
        if self.frames:
            path = directory / f"animation.{self.outputs.animation}"
            save_animation(path, self.frames)
            yield path
