"""A request for samples, checked as a whole before anything is written, and the task of each batch."""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nkca.data.categories import reader_for
from nkca.data.decode import AS_PICTURES
from nkca.errors import InputError
from nkca.kernels.continuous import sigma_of_level
from nkca.models.model import Model
from nkca.pictures.animation import check_animation
from nkca.sampling.denoise import denoise, estimate_level
from nkca.sampling.directions import moved
from nkca.sampling.editing import edit
from nkca.sampling.inputs import fit_picture, read_mask, read_picture
from nkca.sampling.known import coarse, grey_values, small_version
from nkca.sampling.label_masks import label_mask, names_labels
from nkca.sampling.request import AUTO, Job, Outputs, SampleRequest, parse_seeds
from nkca.sampling.tasks import Known, Schedule, Task, around, from_noise, held, knowing
from nkca.sampling.walks import from_walks

logger = logging.getLogger("nkca")

SCALE = 4  # of the blocks whose means are held


@dataclass(frozen=True)
class SamplePlan:
    """A checked request.

    Args:
        known: what is known of all samples.
        pictures: the images of the request, uint8 (C, H, W), by name.
        repaint: where these may change, bool (1, H, W), by name; empty: everywhere.
        unmoved: the model without the moves of the request.
        requests: that for the samples of one image, where each has a level of its own.
    """

    model: Model
    request: SampleRequest
    outputs: Outputs
    known: tuple[Known, ...] = ()
    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    repaint: Mapping[str, Tensor] = field(default_factory=dict)
    requests: Mapping[str, SampleRequest] = field(default_factory=dict)
    unmoved: Model | None = None

    @property
    def num_states(self) -> int:
        """The levels that each chain passes."""
        return len(self.request_of(next(self.request.jobs())).schedule().levels(self.model))

    def request_of(self, job: Job) -> SampleRequest:
        """The request that has this sample alone."""
        request = self.request if job.image is None else self.requests.get(job.image, self.request)
        images = () if job.image is None else (job.image,)
        return replace(request, seeds=str(job.seed), images=images)

    def schedule_of(self, job: Job) -> Schedule:
        """The schedule of a sample, and of those that share a batch with it."""
        return self.request_of(job).schedule()

    def batches(self, size: int) -> Iterator[list[Job]]:
        """The samples in order, up to ``size`` at a time, all with one schedule."""
        for _, jobs in groupby(
            self.request.jobs(), lambda job: job.image if self.requests else None
        ):
            while batch := list(islice(jobs, size)):
                yield batch

    def count_batches(self, size: int) -> int:
        """How many `batches` there are."""
        groups = len(self.request.images) if self.requests else 1
        return groups * math.ceil(self.request.count() / groups / size)

    def largest_size(self) -> int:
        """The bytes of all picture files, if none could be compressed."""
        each = self.num_states + 1 if self.outputs.intermediate else 1
        return self.request.count() * each * math.prod(self.model.data_shape)

    def task(self, batch: list[Job]) -> Task:
        """The task of a batch."""
        request, seeds = self.request, [job.seed for job in batch]
        named = [job.image for job in batch if job.image is not None]
        pictures = [self.pictures[image] for image in named]
        if not pictures and request.samples_per_walk > 1:
            return from_walks(seeds, request.samples_per_walk)
        if not pictures:
            return knowing(from_noise(seeds), *self.known)
        images = torch.stack(pictures)
        if request.invert:
            return edit(images, seeds, self.unmoved or self.model)
        if request.denoise is None:
            task = around(images, seeds)
        else:
            task = denoise(images, self.schedule_of(batch[0]).start, seeds)
        repaint = [self.repaint[image] for image in named if self.repaint]
        own = [held(images, torch.stack(repaint))] if repaint else []
        if request.translate and request.scale is not None:
            own.append(coarse(images, request.scale))
        return knowing(task, *own, *self.known)


def plan_samples(model: Model, request: SampleRequest, outputs: Outputs) -> SamplePlan:
    """Check a whole request before anything is written.

    Raises:
        InputError: if an image, the mask, a level, the seeds or the animation's kind is wrong.
    """
    request.check()
    request = replace(request, **_own_sampling(model, request))
    unmoved, model = model, moved(model, request.move, request.directions_file)
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
    pictures = {image: _fitted(model, image) for image in dict.fromkeys(request.images)}
    repaint = _repaint(model, request, pictures)
    plan = SamplePlan(model, request, outputs, _known(model, request), pictures, repaint)
    plan = replace(plan, requests=_estimated(plan), unmoved=unmoved)
    first = [next(request.jobs())]
    plan.task(first).conditions(model)  # refuses what this model cannot know
    return plan


def _own_sampling(model: Model, request: SampleRequest) -> dict[str, Any]:
    """The way of sampling where the request leaves it open: the task's, else the model's."""
    usual, own = request.schedule(), model.sampling
    return {
        "num_sampling_steps": own.num_sampling_steps
        if usual.num_steps is None
        else usual.num_steps,
        "ladder": usual.ladder or own.ladder,
        "sampler": usual.sampler or own.sampler,
    }


def _check_walks(request: SampleRequest) -> None:
    level = request.max_sampling_noise
    if request.samples_per_walk > 1 and level is not None and level >= 1:
        raise InputError(f"walks that give several samples run below level 1, got {level}")


def _fitted(model: Model, image: str, channels: int | None = None) -> Tensor:
    """A picture as the model sees it, uint8 (C, H, W), or with so many channels."""
    shape = (channels or model.data_shape[0], *model.data_shape[1:])
    reader = reader_for(model.pixels) if channels is None else AS_PICTURES
    picture, done = fit_picture(Path(image), shape, reader)
    if done:
        logger.info(done)
    return picture


def _repaint(
    model: Model, request: SampleRequest, pictures: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Where each of the images may change."""
    mask, invert = request.inpainting_mask, request.invert_mask
    if mask is None:
        return {}
    if not pictures:
        raise InputError("inpainting needs an image: nkca-sample CKPT IMAGE --inpainting-mask=MASK")
    if not names_labels(mask):
        painted = read_mask(Path(mask), *model.data_shape[1:], invert)
        return dict.fromkeys(pictures, painted[None])
    try:
        found = {}
        for image, picture in pictures.items():
            found[image] = label_mask(mask, picture, model.pixels, invert)
    except InputError as error:
        raise InputError(f"{image}: {error}") from None
    return found


def _known(model: Model, request: SampleRequest) -> tuple[Known, ...]:
    """What is known of all samples."""
    known = []
    if request.coarse_from is not None:
        known.append(coarse(_fitted(model, request.coarse_from)[None], request.scale or SCALE))
    if request.upscale is not None:
        small = read_picture(Path(request.upscale), model.data_shape[0])
        known.append(small_version(small[None], model))
    if request.grey_from is not None:
        known.append(grey_values(_fitted(model, request.grey_from, channels=1)[None]))
    return tuple(known)


def _estimated(plan: SamplePlan) -> dict[str, SampleRequest]:
    """The request of each image whose noise is to be estimated, with its level."""
    if plan.request.denoise != AUTO:
        return {}
    levels = {name: estimate_level(plan.model, image) for name, image in plan.pictures.items()}
    for name, level in levels.items():
        grey_levels = 127.5 * sigma_of_level(level)
        logger.info(f"{name}: noise of level {level:.3g}, {grey_levels:.1f} grey levels")
    return {name: replace(plan.request, denoise=repr(level)) for name, level in levels.items()}
