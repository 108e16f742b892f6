"""Open what a request names: checkpoints, image files or saved statistics.

If a checkpoint is among them, all image files are read as its model sees them: in its size, channels and,
if it is categorical, levels.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nkca.config.data import DataConfig
from nkca.config.image_size import ANY_SIZE, Accepted, as_option, describe, image_size
from nkca.data.categories import reader_for
from nkca.data.dataset import describe_left_out, load_dataset
from nkca.data.decode import AS_PICTURES, Reader
from nkca.data.reading import OnDecode
from nkca.demo import dataset_path, measured_path, model_name
from nkca.errors import InputError, require
from nkca.metrics.caveats import TRAINED_ON, description, identity, mismatch_warnings
from nkca.metrics.collect import Subject
from nkca.metrics.image_sets import ImageFiles, ImageSet, ImageSubset, Samples
from nkca.metrics.open_checkpoints import (
    OpenCheckpoint,
    open_checkpoints,
    resolved,
    usual_extractor,
)
from nkca.metrics.request import DEMO_SAMPLES, MeasureRequest
from nkca.metrics.statistics import Statistics, load_statistics
from nkca.models.model import Model

ROLES = ("samples", "reference", "train", "held_out")
logger = logging.getLogger("nkca")


@dataclass(frozen=True)
class Measurement:
    """The subjects of a request, opened and checked; nothing has been computed yet.

    Args:
        subjects: "samples" and, if named, "reference", "train" and "held_out"; the same object where two
            are the same images.
        usual_extractor: the extractor if neither the user nor a statistics file names one.
        others: sets of images that are told from the reference, by their names.
    """

    subjects: dict[str, Subject]
    model: Model | None
    warnings: tuple[str, ...]
    usual_extractor: str | None = None
    others: Mapping[str, ImageSet] = field(default_factory=dict)

    @property
    def extractor_name(self) -> str | None:
        """The extractor that the first statistics file names, else the usual one, or None."""
        known = [s.extractor for s in self.subjects.values() if isinstance(s, Statistics)]
        return next((about.name for about in known if about is not None), self.usual_extractor)

    def model_of(self, purpose: str) -> Model:
        """The model; raises `InputError` that says what ``purpose`` is for if there is none."""
        if self.model is None:
            raise InputError(f"{purpose} is of a model: name a checkpoint")
        return self.model

    def model_and_images(
        self, purpose: str, count: int | None = None, seed: int = 0
    ) -> tuple[Model, Tensor]:
        """The model, and images of the reference, uint8 (N, C, H, W), see `some_images`.

        Raises:
            InputError: without a model, or where the reference is not ``count`` images; ``purpose`` is what
                needs them, in the plural.
        """
        reference = self.subjects.get("reference")
        if self.model is None or reference is None or isinstance(reference, Statistics | Samples):
            raise InputError(f"{purpose} need a checkpoint, and images to measure")
        return self.model, some_images(reference, count, seed)

    @property
    def has_only_statistics(self) -> bool:
        """Whether all subjects are statistics, so that no extractor is needed."""
        return all(isinstance(subject, Statistics) for subject in self.subjects.values())


def some_images(images: ImageSet, count: int | None, seed: int) -> Tensor:
    """Images of a set, uint8 (N, C, H, W): all, or ``count`` that ``seed`` draws, in the set's order.

    Raises:
        InputError: if there are fewer.
    """
    if count is None:
        return images.batch(range(len(images)))
    require(
        count <= len(images), "num_samples", f"at most {len(images)}, the images there are", count
    )
    rows = np.random.default_rng(seed).permutation(len(images))[:count]
    return images.batch(np.sort(rows).tolist())


def open_measurement(request: MeasureRequest, on_decode: OnDecode | None = None) -> Measurement:
    """Open and check everything that the request names.

    Args:
        on_decode: called with (done, total) while image files are decoded.

    Raises:
        InputError: if something is missing, cannot be read, or does not fit together.
    """
    for role in ROLES:
        if getattr(request, role) == "":
            raise InputError(f"the name of the {role.replace('_', '-')} is empty")
    if "" in request.others:
        raise InputError("the name of another set is empty")
    request = _with_package_paths(request)
    checkpoints = open_checkpoints(request)
    checkpoint = next(iter(checkpoints.values()), None)
    opened: dict[Path, Subject] = {}

    def files(name: str | Subject) -> Subject:
        if not isinstance(name, str):
            return name
        place = resolved(name)
        if place not in opened:
            opened[place] = _open_files(name, request, checkpoint, on_decode)
        return opened[place]

    subjects: dict[str, Subject] = {}
    for role in ("reference", "train", "held_out"):
        name = getattr(request, role)
        if name is not None and role not in checkpoints:
            subjects[role] = files(name)
    if "samples" not in checkpoints:
        subjects["samples"] = _first_images(
            files(request.samples), request.num_samples, checkpoints
        )
    for role in ("samples", "reference"):
        if role in checkpoints:
            count = request.num_samples or _limit_first_look(
                _sample_count(subjects), checkpoints[role]
            )
            subjects[role] = _make_samples(checkpoints[role], count, request)
    warnings = _assume_training_images(request, checkpoint, subjects)
    model = None if checkpoint is None else checkpoint.model
    pixels = None if model is None or request.full_depth else model.pixels
    warnings += mismatch_warnings(subjects, pixels)
    others = {name: _only_images(name, files(name)) for name in request.others}
    return Measurement(subjects, model, tuple(warnings), usual_extractor(checkpoint), others)


def _only_images(name: str, subject: Subject) -> ImageSet:
    if isinstance(subject, Statistics):
        raise InputError(f"{name} must be images, not statistics")
    return subject


def _with_package_paths(request: MeasureRequest) -> MeasureRequest:
    """The request with paths in place of names such as ``demo:model``."""
    paths: dict[str, Any] = {role: getattr(request, role) for role in ROLES}
    paths = {role: measured_path(name) for role, name in paths.items() if isinstance(name, str)}
    return replace(request, **paths, others=tuple(map(measured_path, request.others)))


def _limit_first_look(count: int, opened: OpenCheckpoint) -> int:
    """``count``, but at most `DEMO_SAMPLES` for a model in the package."""
    name = model_name(opened.path)
    if name is None or count <= DEMO_SAMPLES:
        return count
    logger.info(
        "%d samples of %s:model do for a first look; num_samples=%d makes as many as the reference has",
        DEMO_SAMPLES,
        name,
        count,
    )
    return DEMO_SAMPLES


def _make_samples(opened: OpenCheckpoint, count: int, request: MeasureRequest) -> Samples:
    return Samples(opened.model, (str(opened.path), opened.sha256), count, request.sampling)


def _open_files(
    name: str,
    request: MeasureRequest,
    checkpoint: OpenCheckpoint | None,
    on_decode: OnDecode | None,
) -> Subject:
    path = dataset_path(name)
    if path.suffix == ".npz":
        statistics = load_statistics(path)
        about = {"kind": "statistics", "path": str(path), "of": statistics.images}
        return replace(statistics, images=about)
    data, pixels, accepted = replace(request.data, dataset=name), None, ANY_SIZE
    reader: Reader = AS_PICTURES
    if checkpoint is not None:
        data, accepted = _as_seen(data, checkpoint)
        pixels = checkpoint.model.pixels
        reader = reader_for(pixels)
    decoded = load_dataset(data, on_decode, accepted, reader)
    for said in describe_left_out(decoded):
        logger.info("%s: left out %s", name, said)
    height, width = decoded.images.shape[1:3]
    if accepted.only and not accepted.includes(height, width):
        raise InputError(
            f"{name} holds images of {describe(height, width)}, the model makes "
            f"{describe(*accepted.only)}: use {as_option(*accepted.only)}"
        )
    if request.full_depth or (pixels is not None and pixels.is_lossless):
        pixels = None  # keep the levels of the files
    return ImageFiles(decoded, path, pixels)


def _as_seen(data: DataConfig, checkpoint: OpenCheckpoint) -> tuple[DataConfig, Accepted]:
    """How image files are read for a model: its own training images as they were, others in its size."""
    channels, height, width = checkpoint.model.data_shape
    own = checkpoint.config.data
    data = replace(data, channels=channels, background=own.background)
    if data.resize is None:
        data = replace(data, resize=image_size(height, width))
        if resolved(data.dataset) in checkpoint.trained_on:
            fit = own.fit if data.fit == "crop" else data.fit
            data = replace(data, resize=own.resize, fit=fit)
    return data, Accepted(only=(height, width))


def _first_images(
    subject: Subject, count: int | None, checkpoints: Mapping[str, OpenCheckpoint]
) -> Subject:
    if count is None:
        return subject
    if isinstance(subject, Statistics):
        if not checkpoints:
            raise InputError("num_samples is for checkpoints and images, not a statistics file")
        return subject
    if count == len(subject):
        return subject
    if count > len(subject):
        raise InputError(f"num_samples={count}, but there are only {len(subject)} images")
    return ImageSubset(subject, range(count))


def _sample_count(subjects: dict[str, Subject]) -> int:
    for subject in (subjects.get("reference"), subjects.get("samples")):
        count = subject.count if isinstance(subject, Statistics) else len(subject or ())
        if count:
            return count
    raise InputError("the number of samples is unknown: give num_samples")


def _assume_training_images(
    request: MeasureRequest, checkpoint: OpenCheckpoint | None, subjects: dict[str, Subject]
) -> list[str]:
    """Add "train" or "held_out" where the checkpoint shows what the reference is; return warnings."""
    reference, name = subjects.get("reference"), request.reference
    if reference is None or not isinstance(name, str):
        return []
    if (
        "train" not in subjects
        and checkpoint is not None
        and resolved(name) in checkpoint.trained_on
    ):
        subjects["train"] = reference
    made_of = description(reference).get("path") if isinstance(reference, Statistics) else None
    if made_of and checkpoint is not None and resolved(made_of) in checkpoint.trained_on:
        return [TRAINED_ON]
    train = subjects.get("train")
    if train is not None and identity(train) == identity(reference):
        return [TRAINED_ON]
    if train is not None and _has_real_images(reference):
        subjects.setdefault("held_out", reference)
    return []


def _has_real_images(subject: Subject) -> bool:
    """Whether features of real images can be had: not of samples, nor where only moments are known."""
    if isinstance(subject, Statistics):
        return subject.features is not None
    return not isinstance(subject, Samples)
