"""Open the checkpoints that a request names."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeGuard

from nkca.config.parsing import configure
from nkca.config.schema import RunConfig
from nkca.demo import dataset_path, model_name
from nkca.errors import InputError
from nkca.metrics.collect import Subject
from nkca.metrics.extractors.by_name import best_extractor
from nkca.metrics.request import MeasureRequest
from nkca.models.build import restore
from nkca.models.checkpoint import find_checkpoint, read_checkpoint
from nkca.models.model import Model

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")


@dataclass(frozen=True)
class OpenCheckpoint:
    """A checkpoint, its model and the config of its run."""

    path: Path
    model: Model
    config: RunConfig
    sha256: str

    @cached_property
    def trained_on(self) -> frozenset[Path]:
        """The paths of the images that it was trained on, if they still exist.

        The images of a name in the package are among those that the model of that name was trained on.
        """
        names = (self.config.data.dataset, model_name(self.path))
        return frozenset(resolved(n) for n in names if n and dataset_path(n).exists())


def is_checkpoint(name: str | Subject | None) -> TypeGuard[str]:
    """Whether this is the path of a checkpoint file or a run's directory."""
    if not isinstance(name, str):
        return False
    path = Path(name).expanduser()
    if not path.is_dir():
        return path.suffix in CHECKPOINT_SUFFIXES
    try:
        find_checkpoint(path)
    except InputError:
        return False
    return True


def open_checkpoints(request: MeasureRequest) -> dict[str, OpenCheckpoint]:
    """The checkpoints among samples and reference, by role."""
    found: dict[str, OpenCheckpoint] = {}
    if is_checkpoint(request.samples):
        found["samples"] = _open_checkpoint(request.samples, request)
    if is_checkpoint(request.reference):
        same = request.reference == request.samples and "samples" in found
        found["reference"] = (
            found["samples"] if same else _open_checkpoint(request.reference, request)
        )
    return found


def _open_checkpoint(name: str, request: MeasureRequest) -> OpenCheckpoint:
    (checkpoint, sha256), precision = read_checkpoint(name), request.sampling.precision
    config = configure(checkpoint.config, name)
    model = restore(
        checkpoint,
        name,
        device=request.device,
        precision=precision,
        lag=request.lag,
        compile=request.compile,
    )
    request.sampling.schedule.check_start(from_noise=True)
    request.sampling.schedule.levels(model)
    return OpenCheckpoint(find_checkpoint(name).absolute(), model, config, sha256)


def usual_extractor(opened: OpenCheckpoint | None) -> str | None:
    """The best extractor that needs no download, for a model in the package, which needs none either."""
    if opened is None or model_name(opened.path) is None:
        return None
    return best_extractor(*opened.model.data_shape[1:])


def resolved(name: str) -> Path:
    """The absolute path that a name of images means."""
    return dataset_path(name).resolve()
