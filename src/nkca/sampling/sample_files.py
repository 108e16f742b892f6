"""Requests for samples -> picture files. Every PNG holds the request that reproduces it."""

import itertools
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nkca.chain import Moment
from nkca.data.categories import reader_for
from nkca.distributed.ranks import ALONE, Ranks
from nkca.errors import InputError, out_of_memory_advice
from nkca.models.model import Model
from nkca.pictures.animation import animation_frame, check_animation, save_animation
from nkca.pictures.grid import Pictures, contact_sheet
from nkca.pictures.png import save_png
from nkca.pixels import as_pictures, as_tensor
from nkca.sampling.directions import moved
from nkca.sampling.inputs import fit_picture, read_mask
from nkca.sampling.request import Job, Outputs, SampleRequest, parse_seeds
from nkca.sampling.tasks import (
    INPAINTING,
    Schedule,
    Task,
    around,
    from_noise,
    inpaint,
    run_task,
    show_moment,
)
from nkca.sampling.walks import from_walks

logger = logging.getLogger("nkca")

GRID_SAMPLES = 256
ANIMATION_FRAMES = 100


@dataclass(frozen=True)
class SampleProgress:
    """``done`` of ``total`` denoiser evaluations; ``files`` have been completed since the last progress."""

    done: int
    total: int
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class SamplePlan:
    """A checked request; ``pictures`` are its images, uint8 (C, H, W), by name."""

    model: Model
    request: SampleRequest
    outputs: Outputs
    schedule: Schedule
    repaint: Tensor | None
    pictures: Mapping[str, Tensor] = field(default_factory=dict)

    def largest_size(self) -> int:
        """The bytes of all picture files, if none could be compressed."""
        each = len(self.schedule.levels(self.model)) + 1 if self.outputs.intermediate else 1
        return self.request.count() * each * math.prod(self.model.data_shape)


def plan_samples(model: Model, request: SampleRequest, outputs: Outputs) -> SamplePlan:
    """Check a whole request before anything is written.

    Raises:
        InputError: if an image, the mask, a level, the seeds or the animation's kind is wrong.
    """
    request = replace(request, **_own_sampling(model, request))
    model = moved(model, request.move, request.directions_file)
    schedule = request.schedule()
    _check_walks(request)
    schedule.check_start(from_noise=not request.images and request.samples_per_walk == 1)
    schedule.levels(model)
    schedule.sample_with(model)
    strength = schedule.strength(model)
    model.guided(strength)
    request = replace(request, guidance=strength)
    parse_seeds(request.seeds)
    if outputs.animation is not None:
        check_animation(outputs.animation)
    pictures: dict[str, Tensor] = {}
    for image in dict.fromkeys(request.images):
        pictures[image], done = fit_picture(Path(image), model.data_shape, reader_for(model.pixels))
        if done:
            logger.info(done)
    return SamplePlan(model, request, outputs, schedule, _repaint(model, request), pictures)


def _check_walks(request: SampleRequest) -> None:
    if request.samples_per_walk > 1 and request.images:
        raise InputError("samples_per_walk is for new images, without images to start from")
    level = request.max_sampling_noise
    if request.samples_per_walk > 1 and level is not None and level >= 1:
        raise InputError(f"walks that give several samples run below level 1, got {level}")


def _own_sampling(model: Model, request: SampleRequest) -> dict[str, Any]:
    """The way of sampling where the request leaves it open, which is what a PNG records.

    It is the model's own, for inpainting `nkca.sampling.tasks.INPAINTING`.
    """
    own = {name: value for name, value in asdict(model.sampling).items() if name != "guidance"}
    if request.inpainting_mask is not None:
        steps, ladder, sampler = INPAINTING.num_steps, INPAINTING.ladder, INPAINTING.sampler
        own = {"num_sampling_steps": steps, "ladder": ladder, "sampler": sampler}
    return {name: own[name] for name in own if getattr(request, name) is None}


def make_samples(
    plan: SamplePlan, directory: Path, batch_size: int = 64, ranks: Ranks = ALONE
) -> Iterator[SampleProgress]:
    """Make all samples of a plan, batch by batch, and write them into ``directory``.

    Memory does not grow with the number of samples or steps. With several ranks, all call this: each makes
    ``batch_size`` samples of a larger batch, and the first rank writes all files.
    """
    request, outputs = plan.request, plan.outputs
    num_states = len(plan.schedule.levels(plan.model))
    num_batches = math.ceil(request.count() / (batch_size * ranks.count))
    total = num_batches * num_states
    overview = _Overview(outputs, num_states)
    jobs = request.jobs()
    for number in range(num_batches):
        batch = list(itertools.islice(jobs, batch_size * ranks.count))
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
    jobs, done = plan.request.jobs(), []
    with out_of_memory_advice(f"at batch size {batch_size}: try a smaller batch size"):
        while batch := list(itertools.islice(jobs, batch_size)):
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
    task = _task(plan, own_jobs)
    shows_all = plan.outputs.intermediate or plan.outputs.animation is not None
    nothing: Pictures = np.empty((0, 0, 0, 0), np.uint8)
    last = len(plan.schedule.levels(model)) - 1
    for moment in run_task(model, task, plan.schedule):
        if not shows_all and moment.step < last:
            yield moment, nothing
            continue
        shown = show_moment(model, task, moment, plan.request.visualize)[: len(share)]
        yield moment, as_pictures(ranks.gather(shown, len(batch)))


def _save_samples(
    directory: Path, plan: SamplePlan, batch: list[Job], pictures: Pictures
) -> Iterator[Path]:
    for job, picture in zip(batch, pictures, strict=True):
        images = () if job.image is None else (job.image,)
        path = directory / f"{job.name}.png"
        settings = asdict(replace(plan.request, seeds=str(job.seed), images=images))
        save_png(path, picture, settings, plan.model.pixels)
        yield path


def _repaint(model: Model, request: SampleRequest) -> Tensor | None:
    if request.inpainting_mask is None:
        return None
    if not request.images:
        raise InputError("inpainting needs an image: nkca-sample CKPT IMAGE --inpainting-mask=MASK")
    _, height, width = model.data_shape
    return read_mask(Path(request.inpainting_mask), height, width, request.invert_mask)


def _task(plan: SamplePlan, batch: list[Job]) -> Task:
    """The task of a batch."""
    seeds, images = [job.seed for job in batch], _start_images(plan, batch)
    if images is None and plan.request.samples_per_walk > 1:
        return from_walks(seeds, plan.request.samples_per_walk)
    if images is None:
        return from_noise(seeds)
    if plan.repaint is None:
        return around(images, seeds)
    return inpaint(images, plan.repaint, seeds)


def _start_images(plan: SamplePlan, batch: list[Job]) -> Tensor | None:
    """The images from which a batch starts, uint8 (B, C, H, W)."""
    images = [plan.pictures[job.image] for job in batch if job.image is not None]
    return torch.stack(images) if images else None


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
