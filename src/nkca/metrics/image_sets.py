"""Sets of images to measure: files, arrays, or samples drawn on demand."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from nkca.data.cache import DecodedImages
from nkca.models.model import Model
from nkca.pixels import Pixels, as_tensor
from nkca.sampling.tasks import Schedule, draw_task, from_noise

Tick = Callable[[float], None]
LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp")
OWN_LEVELS = "the files' own"
_BYTES_AT_ONCE = 1 << 24


def depth_of(model_pixels: Pixels | None) -> str:
    """How `ImageFiles.about` describes the levels of images."""
    return OWN_LEVELS if model_pixels is None else f"as seen by {model_pixels}"


def identity_of_part(whole: str, rows: str) -> str:
    """The identity of some images of a set."""
    return hashlib.sha256(f"{whole} {rows}".encode()).hexdigest()


class ImageSet(Protocol):
    """Images with the numbers 0 ... len - 1."""

    @property
    def identity(self) -> str:
        """SHA-256 of everything that determines the pixels of each image, hexadecimal."""
        ...

    @property
    def about(self) -> Mapping[str, Any]:
        """A description of the images for the reader of a score; plain values."""
        ...

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int], tick: Tick = lambda _: None) -> Tensor:
        """The images with the numbers ``rows``, uint8 (B, C, H, W).

        Args:
            tick: called now and then with the share done so far, in (0, 1].
        """
        ...


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images that were decoded from files.

    Args:
        path: where the files are.
        model_pixels: the pixels of a model, which round images to its levels; None: images are as in
            the files.
    """

    decoded: DecodedImages
    path: Path
    model_pixels: Pixels | None = None

    def __len__(self) -> int:
        return len(self.decoded)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the pixels: a copy of a folder is the same set."""
        images = self.decoded.images
        total = hashlib.sha256(repr((images.shape, self.model_pixels)).encode())
        step = max(1, _BYTES_AT_ONCE // images[0].size)
        for first in range(0, len(images), step):
            total.update(np.ascontiguousarray(images[first : first + step]).data)
        return total.hexdigest()

    @property
    def about(self) -> dict[str, Any]:
        """The path, number, size and content of the images."""
        _, height, width, channels = self.decoded.images.shape
        lossy = sum(name.lower().endswith(LOSSY) for name in self.decoded.names)
        return {
            "kind": "files",
            "path": str(self.path),
            "count": len(self),
            "size": [width, height],
            "channels": channels,
            "depth": depth_of(self.model_pixels),
            "lossy": round(lossy / len(self.decoded), 4),
            "unreadable": len(self.decoded.unreadable),
            "sha256": self.identity,
        }

    def batch(self, rows: Sequence[int], tick: Tick = lambda _: None) -> Tensor:
        """See `ImageSet`."""
        images = as_tensor(self.decoded.images[list(rows)])
        if self.model_pixels is not None:
            images = self.model_pixels.to_uint8(self.model_pixels.to_state(images))
        tick(1.0)
        return images


@dataclass(frozen=True)
class SampleOptions:
    """How samples are made; number i has seed ``first_seed + i``.

    Args:
        visualize: "z" or "x", see `nkca.sampling.tasks.show_moment`.
    """

    schedule: Schedule = field(default_factory=Schedule)
    visualize: str = "z"
    first_seed: int = 0
    precision: str = "fp32"


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a model, computed on demand; a number gives the same picture in any batch.

    Args:
        checkpoint: the path of the model's checkpoint, and the SHA-256 of that file.
    """

    model: Model
    checkpoint: tuple[str, str]
    count: int
    options: SampleOptions = field(default_factory=SampleOptions)

    def __len__(self) -> int:
        return self.count

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the checkpoint and the options, but not the number of samples."""
        levels = self.options.schedule.levels(self.model)
        sampler = self.options.schedule.sampler or self.model.sampling.sampler
        made = [levels, sampler, self.guidance, self.model.chain.lag]
        key = [self.checkpoint[1], asdict(self.options), *made]
        return hashlib.sha256(json.dumps(key).encode()).hexdigest()

    @property
    def guidance(self) -> float:
        """The strength of guidance."""
        return self.options.schedule.strength(self.model)

    @property
    def about(self) -> dict[str, Any]:
        """The checkpoint and the sampler's settings."""
        options, levels = self.options, self.options.schedule.levels(self.model)
        channels, height, width = self.model.data_shape
        return {
            "kind": "samples",
            "checkpoint": self.checkpoint[0],
            "checkpoint_sha256": self.checkpoint[1],
            "count": self.count,
            "size": [width, height],
            "channels": channels,
            "seeds": f"{options.first_seed}-{options.first_seed + self.count - 1}",
            "max_sampling_noise": levels[0],
            "min_sampling_noise": levels[-1],
            "num_sampling_steps": len(levels) - 1,
            "sampler": options.schedule.sampler or self.model.sampling.sampler,
            "ladder": options.schedule.ladder or self.model.sampling.ladder,
            "guidance": self.guidance,
            "lag": self.model.chain.lag,
            "visualize": options.visualize,
            "precision": options.precision,
        }

    def batch(self, rows: Sequence[int], tick: Tick = lambda _: None) -> Tensor:
        """See `ImageSet`."""
        options = self.options
        task = from_noise([options.first_seed + row for row in rows])
        return draw_task(self.model, task, options.schedule, options.visualize, tick=tick)


@dataclass(frozen=True, eq=False)
class ImageSubset:
    """Some images of a set."""

    whole: ImageSet
    rows: range

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the identity of the whole set and the numbers."""
        return identity_of_part(self.whole.identity, str(self.rows))

    @property
    def about(self) -> dict[str, Any]:
        """The description of the whole set, and which part this is."""
        return {**self.whole.about, "count": len(self), "part": str(self.rows)}

    def batch(self, rows: Sequence[int], tick: Tick = lambda _: None) -> Tensor:
        """See `ImageSet`."""
        return self.whole.batch([self.rows[row] for row in rows], tick)


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images in memory, uint8 (N, C, H, W) on the CPU, with a name for reports."""

    images: Tensor
    name: str = "images in memory"

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the pixels."""
        shape = repr(tuple(self.images.shape)).encode()
        return hashlib.sha256(shape + self.images.contiguous().numpy().tobytes()).hexdigest()

    @property
    def about(self) -> dict[str, Any]:
        """Their name, number, size and content."""
        count, channels, height, width = self.images.shape
        size = {"count": count, "size": [width, height], "channels": channels}
        return {"kind": "memory", "name": self.name, **size, "sha256": self.identity}

    def batch(self, rows: Sequence[int], tick: Tick = lambda _: None) -> Tensor:
        """See `ImageSet`."""
        tick(1.0)
        return self.images[list(rows)]
