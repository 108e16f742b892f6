"""What is to be measured: a checkpoint, image files or saved statistics, against another of them.

Where a checkpoint is one of them, all image files are read as its model sees them: at its size, its
channels and, if it is categorical, its levels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from nkca.build import restore
from nkca.caveats import TRAINED_ON, identity, mismatches
from nkca.checkpoint import digest, find_checkpoint, load_checkpoint
from nkca.config import DataConfig, RunConfig, configure
from nkca.data.dataset import dataset_path, load_dataset
from nkca.errors import InputError
from nkca.evaluation import Subject
from nkca.image_sets import ImageFiles, Part, SampleOptions, Samples
from nkca.metrics.statistics import Statistics, load_statistics
from nkca.pixels import CategoricalPixels
from nkca.sampling import Model

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt")
OnDecode = Callable[[int, int], None]


@dataclass(frozen=True)
class Request:
    """What is measured, as the user named it.

    Args:
        samples, reference, train, held_out: a checkpoint or its run's directory, a folder, zip or tar
            of images, ``demo``, or an .npz of statistics.
        num_samples: None is as many as the reference has; of files the first ones.
        lag: None is the run's.
        data: how image files are read; ``dataset`` is ignored.
        full_depth: compare with the files' own levels, though a categorical model sees fewer.
    """

    samples: str
    reference: str | None = None
    train: str | None = None
    held_out: str | None = None
    num_samples: int | None = None
    sampling: SampleOptions = field(default_factory=SampleOptions)
    lag: float | None = None
    device: str = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    full_depth: bool = False


@dataclass(frozen=True)
class Measurement:
    """What a request means, opened and checked; nothing has been computed yet.

    Args:
        subjects: "samples" and, where they are there, "reference", "train" and "held_out"; the same
            object where two are the same images.
    """

    subjects: dict[str, Subject]
    model: Model | None
    warnings: tuple[str, ...]

    @property
    def extractor_name(self) -> str | None:
        """The extractor that the first statistics file among them names, or None."""
        known = [s.extractor for s in self.subjects.values() if isinstance(s, Statistics)]
        return next((about.name for about in known if about is not None), None)

    @property
    def is_known(self) -> bool:
        """Whether nothing needs to be extracted."""
        return all(isinstance(subject, Statistics) for subject in self.subjects.values())


@dataclass(frozen=True)
class _Opened:
    """A checkpoint and what it says."""

    path: Path
    model: Model
    config: RunConfig

    @cached_property
    def trained_on(self) -> Path | None:
        """The images it was trained on, where they are still at their place."""
        name = self.config.data.dataset
        return _resolved(name) if name and dataset_path(name).exists() else None


def prepare(request: Request, on_decode: OnDecode | None = None) -> Measurement:
    """Open everything that the request names.

    Args:
        on_decode: called with (done, total) while image files are decoded.

    Raises:
        InputError: if something is missing, cannot be read, or does not fit together.
    """
    for role in ("samples", "reference", "train", "held_out"):
        if getattr(request, role) == "":
            raise InputError(f"the name of the {role.replace('_', '-')} is empty")
    checkpoints = {
        name: _open_checkpoint(name, request)
        for name in (request.samples, request.reference)
        if name is not None and is_checkpoint(name)
    }
    seen_by = next(iter(checkpoints.values()), None)
    opened: dict[Path, Subject] = {}

    def files(name: str) -> Subject:
        place = _resolved(name)
        if place not in opened:
            opened[place] = _open_files(name, request, seen_by, on_decode)
        return opened[place]

    subjects: dict[str, Subject] = {}
    for role in ("reference", "train", "held_out"):
        name = getattr(request, role)
        if name is not None and name not in checkpoints:
            subjects[role] = files(name)
    if request.samples not in checkpoints:
        subjects["samples"] = _first(files(request.samples), request.num_samples, checkpoints)
    for role in ("samples", "reference"):
        name = getattr(request, role)
        if name in checkpoints:
            count = request.num_samples or _count(subjects)
            subjects[role] = _samples_of(checkpoints[name], count, request)
    warnings = _assume_training_images(request, seen_by, subjects)
    model = None if seen_by is None else seen_by.model
    return Measurement(subjects, model, (*warnings, *mismatches(subjects)))


def is_checkpoint(name: str) -> bool:
    """Whether this names a checkpoint file or a run's directory."""
    path = Path(name).expanduser()
    if not path.is_dir():
        return path.suffix in CHECKPOINT_SUFFIXES
    try:
        find_checkpoint(path)
    except InputError:
        return False
    return True


def _open_checkpoint(name: str, request: Request) -> _Opened:
    path = Path(name).expanduser()
    checkpoint, precision = load_checkpoint(path), request.sampling.precision
    config = configure(checkpoint.config, name)
    model = restore(checkpoint, name, device=request.device, precision=precision, lag=request.lag)
    request.sampling.schedule.check_start(from_noise=True)
    request.sampling.schedule.levels(model)
    return _Opened(find_checkpoint(path).absolute(), model, config)


def _samples_of(opened: _Opened, count: int, request: Request) -> Samples:
    return Samples(opened.model, (str(opened.path), digest(opened.path)), count, request.sampling)


def _open_files(
    name: str, request: Request, seen_by: _Opened | None, on_decode: OnDecode | None
) -> Subject:
    path = dataset_path(name)
    if path.suffix == ".npz":
        statistics = load_statistics(path)
        about = {"kind": "statistics", "path": str(path), "of": statistics.images}
        return replace(statistics, images=about)
    data = {**vars(request.data), "dataset": name}
    pixels = None
    if seen_by is not None:
        channels, height, width = seen_by.model.data_shape
        pixels = seen_by.model.pixels
        data |= {"channels": channels, "background": seen_by.config.data.background}
        if data["resize"] is None and height == width:
            own = seen_by.trained_on == _resolved(name)
            data["resize"] = seen_by.config.data.resize if own else height
    decoded = load_dataset(DataConfig(**data), on_decode)
    if seen_by is not None and decoded.images.shape[1:3] != (height, width):
        found = "x".join(map(str, decoded.images.shape[2:0:-1]))
        raise InputError(f"{name} holds images of {found}, the model makes {width}x{height}")
    if request.full_depth or not isinstance(pixels, CategoricalPixels):
        pixels = None  # continuous pixels are the bytes of the files
    return ImageFiles(decoded, path, pixels)


def _first(subject: Subject, count: int | None, checkpoints: Mapping[str, _Opened]) -> Subject:
    if count is None:
        return subject
    if isinstance(subject, Statistics):
        if not checkpoints:
            raise InputError("--num-samples is for checkpoints and images, not a statistics file")
        return subject
    if count == len(subject):
        return subject
    if count > len(subject):
        raise InputError(f"--num-samples={count}, but there are only {len(subject)} images")
    return Part(subject, range(count))


def _count(subjects: dict[str, Subject]) -> int:
    for subject in (subjects.get("reference"), subjects.get("samples")):
        count = subject.count if isinstance(subject, Statistics) else len(subject or ())
        if count:
            return count
    raise InputError("how many samples? Nothing here has a number of images: --num-samples=N")


def _assume_training_images(
    request: Request, seen_by: _Opened | None, subjects: dict[str, Subject]
) -> list[str]:
    """Find out from the checkpoint whether the reference was trained on, and use that."""
    reference, name = subjects.get("reference"), request.reference
    if reference is None or name is None:
        return []
    if "train" not in subjects and seen_by is not None and seen_by.trained_on == _resolved(name):
        subjects["train"] = reference
    train = subjects.get("train")
    if train is not None and identity(train) == identity(reference):
        return [TRAINED_ON]
    if train is not None and _has_real_images(reference):
        subjects.setdefault("held_out", reference)
    return []


def _has_real_images(subject: Subject) -> bool:
    """Whether there are features of them, or can be: not where moments or samples are all there is."""
    if isinstance(subject, Statistics):
        return subject.features is not None
    return not isinstance(subject, Samples)


def _resolved(name: str) -> Path:
    return dataset_path(name).resolve()
