"""Statistics of a set of images: features or only their moments; and their file.

The file is a NumPy .npz. `mu` and `sigma` are those of pytorch-fid; nkca adds `features`, `logits` and, as
JSON in `nkca`, a description of the images and the extractor.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array, Description
from nkca.metrics.scores.moments import Gaussian, moments_of
from nkca.system.files import atomic_write

_DAMAGED = (  # raised by np.load and zipfile for files that are damaged or of another kind
    *(OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True, eq=False)
class Statistics:
    """What an extractor makes of a set of images.

    Args:
        features: float32 (N, D); None if only moments are known.
        logits: float32 (N, K), or None.
        moments: needed if there are no features.
        extractor: None if the file does not say.
        images: a description of the images, for reports.
    """

    features: Array | None
    logits: Array | None = None
    moments: Gaussian | None = None
    extractor: Description | None = None
    images: Mapping[str, Any] | None = None

    @property
    def count(self) -> int:
        """The number of images, 0 if it is not known."""
        return 0 if self.features is None else len(self.features)

    @property
    def dimensions(self) -> int:
        """D, the number of features."""
        if self.features is not None:
            return int(self.features.shape[1])
        assert self.moments is not None
        return len(self.moments.mean)

    def gaussian(self) -> Gaussian:
        """The normal distribution fitted to the features.

        Raises:
            InputError: for a single image, or features that are not finite.
        """
        return self._fitted

    @cached_property
    def _fitted(self) -> Gaussian:
        if self.moments is not None:
            return self.moments
        assert self.features is not None
        return moments_of(self.features).gaussian()


def save_statistics(path: Path, statistics: Statistics) -> None:
    """Write ``path`` atomically.

    Raises:
        InputError: for a single image.
    """
    gaussian = statistics.gaussian()
    arrays = {"mu": gaussian.mean.numpy(), "sigma": gaussian.covariance.numpy()}
    if statistics.features is not None:
        arrays["features"] = statistics.features
    if statistics.logits is not None:
        arrays["logits"] = statistics.logits
    extractor = statistics.extractor and asdict(statistics.extractor)
    about = json.dumps({"extractor": extractor, "images": statistics.images})
    with atomic_write(path) as file:
        np.savez(file, nkca=np.array(about), **arrays)  # type: ignore[arg-type]  # stub of NumPy


def load_statistics(path: Path) -> Statistics:
    """Read a file of `save_statistics` or of pytorch-fid.

    Raises:
        InputError: if it is neither, or damaged.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except _DAMAGED as error:
        raise InputError(f"{path} is not a statistics file (.npz of mu and sigma)") from error
    try:
        return _from_arrays(arrays)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} is not a statistics file: {reason}") from error


def _from_arrays(arrays: Mapping[str, Any]) -> Statistics:
    for name in ("mu", "sigma"):
        if arrays[name].dtype.kind not in "fiu":
            raise ValueError(f"{name} is of type {arrays[name].dtype}")
    mean, covariance = (torch.from_numpy(arrays[name].astype(float)) for name in ("mu", "sigma"))
    if mean.ndim != 1 or not len(mean) or covariance.shape != (len(mean), len(mean)):
        raise ValueError(f"mu is of shape {tuple(mean.shape)}, sigma {tuple(covariance.shape)}")
    if "nkca" not in arrays:
        return Statistics(None, moments=Gaussian(mean, covariance))
    about = json.loads(str(arrays["nkca"]))
    features, logits = arrays.get("features"), arrays.get("logits")
    for array in (features, logits):
        if array is not None and (array.ndim != 2 or 0 in array.shape or array.dtype != np.float32):
            raise ValueError(f"features or logits of shape {array.shape}, {array.dtype}")
    if logits is not None and (features is None or len(features) != len(logits)):
        raise ValueError(f"{len(logits)} logits, but not as many features")
    if features is not None and features.shape[1] != len(mean):
        raise ValueError(f"{features.shape[1]} features, but a mean of {len(mean)}")
    extractor = about["extractor"] and Description(**about["extractor"])
    images = about.get("images") or {}
    _check_description(images)
    return Statistics(features, logits, Gaussian(mean, covariance), extractor, images)


def _check_description(images: object) -> None:
    """Raise `ValueError` unless what is compared of two descriptions is of the right types."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "size": list,
        "channels": int,
        "lossy": (int, float),
        "unreadable": int,
    }
    kinds |= {"path": str, "sha256": str, "part": str, "depth": str}
    if not isinstance(images, dict) or not all(
        isinstance(images[name], kind) for name, kind in kinds.items() if name in images
    ):
        raise ValueError("its description of the images is damaged")
    size = images.get("size", [1, 1])
    if len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise ValueError("its description of the images is damaged")
