"""A request for samples, as nkca-sample takes it and as its PNGs record it."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from nkca.errors import InputError
from nkca.noise import check_seed
from nkca.pictures.png import read_settings
from nkca.sampling.denoise import DENOISING
from nkca.sampling.editing import EDITING
from nkca.sampling.known import KNOWING
from nkca.sampling.tasks import INPAINTING, VARIANTS, Schedule
from nkca.sampling.translate import TRANSLATION
from nkca.sampling.walks import WALK_LEVEL

BEFORE_SAMPLERS = {
    "sampler": "chain",
    "ladder": "linear",
    "guidance": 1.0,
}  # what a PNG without them was made with

AUTO = "auto"  # the noise of an image is estimated


@dataclass(frozen=True)
class SampleRequest:
    """Everything that determines the pixels of samples; plain values, recorded in each PNG.

    Args:
        seeds: such as "0-99", see `parse_seeds`; with images, every image is used with every seed.
        max_sampling_noise: in (0, 1]; None is 1 from noise and for inpainting, else that of `VARIANTS`.
        min_sampling_noise: None is the lowest level the model was trained at.
        num_sampling_steps, sampler, ladder, guidance: None is the run's.
        corrector_steps: see `nkca.sampling.tasks.Schedule`.
        samples_per_walk: above 1 see `nkca.sampling.walks`; ``max_sampling_noise`` is where walks are.
        coarse_from: a picture whose means of blocks of ``scale`` (4) pixels samples have.
        upscale: a small picture of which samples are large versions.
        grey_from: a picture whose grey values samples have.
        denoise: the level of the noise in the images, or "auto".
        translate: images are of another domain; with ``scale`` their own means of blocks are held.
        invert: images are inverted to noise, see `nkca.sampling.editing`.
        temperature: see `nkca.sampling.tasks.Schedule`.
        lag: w, in [0, 1); None is the run's.
        move: along which directions, such as "3:+2"; they are in ``directions_file``.
        sheet: such as "interpolate=9", see `nkca.sampling.sheets`; None: each sample is a file.
        data: images that samples are selected by, a folder or the name of a set in the package.
        checkpoint_sha256: of the checkpoint file, so that a repetition can check it.
    """

    checkpoint: str
    seeds: str = "0-15"
    images: tuple[str, ...] = ()
    inpainting_mask: str | None = None
    invert_mask: bool = False
    max_sampling_noise: float | None = None
    min_sampling_noise: float | None = None
    num_sampling_steps: int | None = None
    sampler: str | None = None
    ladder: str | None = None
    guidance: float | None = None
    corrector_steps: int = 0
    samples_per_walk: int = 1
    coarse_from: str | None = None
    scale: int | None = None
    upscale: str | None = None
    grey_from: str | None = None
    denoise: str | None = None
    translate: bool = False
    invert: bool = False
    temperature: float = 1.0
    lag: float | None = None
    move: str | None = None
    directions_file: str | None = None
    sheet: str | None = None
    data: str | None = None
    visualize: str = "z"
    precision: str = "fp32"
    checkpoint_sha256: str = ""
    version: str = ""

    def schedule(self) -> Schedule:
        """The anneal that the request asks for, with what its task leaves to the model open."""
        level = self.max_sampling_noise
        if level is None and self.samples_per_walk > 1:
            level = WALK_LEVEL
        if self.denoise not in (None, AUTO):
            level = _level(str(self.denoise))
        return (
            Schedule(
                level,
                self.min_sampling_noise,
                self.num_sampling_steps,
                self.ladder,
                self.sampler,
                self.corrector_steps,
                self.guidance,
                self.temperature,
            )
            .completed(self._usual())
            .completed(Schedule(max_noise=1.0))
        )

    def _usual(self) -> Schedule:
        """The schedule of the task."""
        if self.denoise is not None:
            return DENOISING
        if self.invert:
            return EDITING
        if self.translate:
            return TRANSLATION
        if self.inpainting_mask is not None:
            return INPAINTING
        told = KNOWING if self.coarse_from or self.upscale or self.grey_from else Schedule()
        return told.completed(VARIANTS) if self.images else told

    def check(self) -> None:
        """Raise `InputError` if it asks for what does not go together."""
        images, walks = bool(self.images), self.samples_per_walk > 1
        known = any((self.coarse_from, self.upscale, self.grey_from))
        refused = {
            "samples_per_walk is for new images, without images to start from": walks and images,
            "walks keep to the chain's law: leave out --temperature or --samples-per-walk": walks
            and self.temperature != 1,
            "walks do not know what pictures shall be like: leave out --samples-per-walk": walks
            and known,
            "--denoise needs an image: nkca-sample CKPT IMAGE --denoise=auto": self.denoise
            and not images,
            "--translate needs an image: nkca-sample CKPT IMAGE --translate": self.translate
            and not images,
            "give --denoise or --translate, not both": self.denoise and self.translate,
            "--invert needs an image: nkca-sample CKPT IMAGE --invert --move=3:+2": self.invert
            and not images,
            "--invert takes images as they are: leave out --denoise, --translate and what is known "
            "of pictures": self.invert
            and (self.denoise or self.translate or self.inpainting_mask or known),
            "--invert goes back the way that it came: leave out --sampler, --ladder, "
            "--max-sampling-noise, --corrector-steps and --temperature": self.invert
            and (
                self.sampler not in (None, EDITING.sampler)
                or self.ladder not in (None, EDITING.ladder)
                or self.max_sampling_noise is not None
                or self.corrector_steps
                or self.temperature != 1
            ),
            "--denoise says where the chain starts: leave out --max-sampling-noise": self.denoise
            and self.max_sampling_noise is not None,
            "--scale is of --coarse-from or --translate: give one of them": self.scale is not None
            and not (self.coarse_from or self.translate),
            "--upscale starts from noise: leave out the images": self.upscale and images,
            "--upscale and --coarse-from fix the same: give one of them": self.upscale
            and self.coarse_from,
            "--translate holds the image's own blocks: leave out --coarse-from": self.translate
            and self.coarse_from,
        }
        for said, is_so in refused.items():
            if is_so:
                raise InputError(said)

    def jobs(self) -> Iterator["Job"]:
        """One job for each sample: all seeds of the first image, then those of the next."""
        stems = [Path(image).stem for image in self.images]
        unique = len(set(stems)) == len(stems)
        for number, image in enumerate(self.images or (None,)):
            prefix = "" if image is None else f"{stems[number]}_"
            prefix = prefix if unique else f"{number:04d}_{prefix}"
            for seed in itertools.chain(*parse_seeds(self.seeds)):
                yield Job(f"{prefix}seed_{seed:06d}", seed, image)

    def count(self) -> int:
        """The number of samples."""
        return sum(map(len, parse_seeds(self.seeds))) * max(1, len(self.images))


@dataclass(frozen=True)
class Job:
    """One sample: the name of its file, its seed, the image it starts from."""

    name: str
    seed: int
    image: str | None


@dataclass(frozen=True)
class Outputs:
    """What is written in addition to one PNG for each sample.

    Args:
        animation: "gif", "mp4" or "webp".
    """

    grid: bool = False
    intermediate: bool = False
    animation: str | None = None


def read_request_settings(path: Path) -> dict[str, Any]:
    """Read the request in a PNG, as keyword arguments of `SampleRequest`.

    Raises:
        InputError: if the file holds none, or one that this version does not know.
    """
    settings = read_settings(path)
    if "tile" in settings:
        raise InputError(
            f"{path} is from nkca-interactive: nkca-sample CKPT --replay=session.json makes it again"
        )
    unknown = settings.keys() - {f.name for f in fields(SampleRequest)}
    if unknown or "checkpoint" not in settings:
        raise InputError(f"{path} carries settings of another kind: {', '.join(sorted(unknown))}")
    return {**BEFORE_SAMPLERS, **settings, "images": tuple(settings.get("images", ()))}


def parse_seeds(text: str) -> list[range]:
    """Parse ``0-99``, ``7`` or ``0-9,50,60-69``: runs of seeds, in order.

    Raises:
        InputError: for anything else, a run that goes down, seeds out of range or named twice.
    """
    runs = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if match is None:
            raise InputError(f"seeds must look like 0-99 or 3,5,10-19, got '{text}'")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"seeds must rise, got '{part.strip()}'")
        check_seed(last)
        runs.append(range(first, last + 1))
    for one, other in itertools.pairwise(sorted(runs, key=lambda run: run.start)):
        if other.start < one.stop:
            raise InputError(f"seeds name {other.start} twice, which is one picture: got '{text}'")
    return runs


def _level(text: str) -> float:
    """The level of the noise in an image."""
    try:
        level = float(text)
    except ValueError:
        level = 0.0
    if not 0 < level < 1:
        raise InputError(f"--denoise is auto or a level above 0 and below 1, got '{text}'")
    return level
