"""Sheets: tasks whose result is one picture of many, drawn from a request.

A request names its sheet as ``NAME=VALUE``, such as ``interpolate=9``; `SHEETS` says what draws it. A
drawing is a generator of sheets, so that pages are written as they are made.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from nkca.data.categories import reader_for
from nkca.errors import InputError, require
from nkca.models.model import Model
from nkca.pictures.captions import captioned_sheet
from nkca.pictures.png import save_png
from nkca.pixels import as_pictures
from nkca.sampling.directions import (
    AMOUNTS,
    Directions,
    direction_sheet,
    find_directions,
    save_directions,
)
from nkca.sampling.exploration import explore
from nkca.sampling.inputs import fit_picture
from nkca.sampling.interpolation import interpolate
from nkca.sampling.plan import SamplePlan, plan_samples
from nkca.sampling.request import Outputs, SampleRequest, parse_seeds
from nkca.sampling.sample_files import draw_jobs
from nkca.sampling.tasks import Task, around, from_noise

FAN_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
EXPLORED_BANDS = 5
MAX_PAGE = 400  # pictures on a page

Tick = Callable[[float], None]


@dataclass(frozen=True)
class Sheet:
    """One picture of many.

    Args:
        name: of its file, without the suffix.
        pictures: uint8 (N, C, H, W) on the CPU, row by row.
        captions: one below each picture; "" for none.
        request: what repeats it.
        remark: what the user is told besides; "" for nothing.
        directions: what is saved beside it.
    """

    name: str
    pictures: Tensor
    columns: int
    captions: Sequence[str]
    request: SampleRequest
    remark: str = ""
    directions: Directions | None = None

    def save(self, directory: Path) -> tuple[Path, ...]:
        """Write the sheet as a PNG that holds its request; returns the files."""
        path = directory / f"{self.name}.png"
        sheet = captioned_sheet(as_pictures(self.pictures), self.columns, self.captions)
        beside = path.with_suffix(".safetensors")
        if self.directions is not None:
            save_directions(beside, self.directions)
        save_png(path, sheet, asdict(self.request))
        return (path,) if self.directions is None else (path, beside)


@dataclass(frozen=True)
class SheetJob:
    """What a sheet is drawn from: a model, the request, and the value after ``NAME=``.

    Args:
        tick: called with the share done so far, in (0, 1].
    """

    model: Model
    request: SampleRequest
    value: str
    batch_size: int = 64
    tick: Tick = lambda _share: None

    def seeds(self) -> list[int]:
        """The seeds of the request."""
        return list(itertools.chain(*parse_seeds(self.request.seeds)))

    def images(self, count: int) -> Tensor:
        """The images of the request, uint8 (count, C, H, W); raises `InputError` if there are others."""
        given = self.request.images
        if len(given) != count:
            raise InputError(f"{self.option} needs {count} images, got {len(given)}")
        reader = reader_for(self.model.pixels)
        fitted = [fit_picture(Path(image), self.model.data_shape, reader)[0] for image in given]
        return torch.stack(fitted)

    @property
    def option(self) -> str:
        """The name of the sheet, for messages."""
        return (self.request.sheet or "").partition("=")[0]

    def number(self) -> int:
        """The value as a whole number."""
        if not self.value.isdecimal():
            raise InputError(f"{self.option} must be a whole number, got '{self.value}'")
        return int(self.value)


Drawing = Callable[[SheetJob], Iterator[Sheet]]


def interpolation(job: SheetJob) -> Iterator[Sheet]:
    """Frames from the first image to the second."""
    ends = job.images(2)
    count = job.number()
    require(2 <= count <= MAX_PAGE, job.option, f"in 2..{MAX_PAGE}", count)
    way = interpolate(job.model, ends, count, job.seeds()[0], job.tick)
    captions = [f"{number / (count - 1):.2f}" for number in range(count)]
    first, last = way.end_errors
    remark = f"the ends differ from the images by {first:.2f} and {last:.2f} of 255 (rms)"
    yield Sheet("interpolation", way.frames, min(count, 12), captions, job.request, remark)


def exploration(job: SheetJob) -> Iterator[Sheet]:
    """A row for each band of levels, whose noise is redrawn."""
    request, seed, columns = job.request, job.seeds()[0], job.number()
    require(2 <= columns <= MAX_PAGE // EXPLORED_BANDS, job.option, "2 to 80 columns", columns)
    task_of: Callable[[Sequence[int]], Task] = from_noise
    if request.images:
        image = job.images(1)
        task_of = lambda seeds: around(image.expand(len(seeds), -1, -1, -1), seeds)  # noqa: E731
    schedule = request.schedule()
    schedule.check_start(from_noise=not request.images)
    found = explore(job.model, task_of, seed, (EXPLORED_BANDS, columns), schedule, job.tick)
    captions = [
        f"{high:.2g} to {low:.2g}" if column == 0 else ""
        for high, low in found.bands
        for column in range(columns)
    ]
    yield Sheet("exploration", found.pictures.flatten(0, 1), columns, captions, request)


def fan(job: SheetJob) -> Iterator[Sheet]:
    """A row for each level, from an image, or from the picture of the seed that is the value.

    With a condition of the request, such as its coarse structure held, it is a fan of translations.
    """
    request, seeds, rows = job.request, job.seeds(), []
    require(
        len(seeds) <= MAX_PAGE // len(FAN_LEVELS), "the samples of a fan", "up to 57", len(seeds)
    )
    usual = _plan_around(job)
    for number, level in enumerate(FAN_LEVELS):
        of_row = replace(usual.request, max_sampling_noise=level)
        plan = replace(usual, request=of_row)
        rows.append(draw_jobs(plan, job.batch_size))
        job.tick((number + 1) / len(FAN_LEVELS))
    first = next(iter(usual.pictures.values()))[None]
    tiles = [torch.cat([first, row]) for row in rows]
    captions = [
        f"level {level:g}" if c == 0 else "" for level in FAN_LEVELS for c in range(len(seeds) + 1)
    ]
    yield Sheet("fan", torch.cat(tiles), len(seeds) + 1, captions, request)


def _plan_around(job: SheetJob) -> SamplePlan:
    """Variants of the request's image, or of the picture of a seed."""
    request = replace(job.request, max_sampling_noise=FAN_LEVELS[0])
    if request.images:
        job.images(1)
        return plan_samples(job.model, request, Outputs())
    start = plan_samples(job.model, replace(job.request, seeds=str(job.number())), Outputs())
    picture = draw_jobs(start, 1)[0]
    request = replace(request, images=("start",))
    return replace(start, request=request, pictures={"start": picture})


def directions(job: SheetJob) -> Iterator[Sheet]:
    """A row for each component, moved from -3 to +3 deviations; the components in a file beside it."""
    count, seed = job.number(), job.seeds()[0]
    require(1 <= count <= 32, job.option, "in 1..32", count)
    schedule = job.request.schedule()
    schedule.check_start(from_noise=True)
    found = find_directions(job.model, count, seed=seed, tick=lambda share: job.tick(share / 2))
    tiles = direction_sheet(
        job.model, found, seed, schedule, lambda share: job.tick((1 + share) / 2)
    )
    captions = [f"{row}:{amount:+g}" for row in range(1, count + 1) for amount in AMOUNTS]
    shares = ", ".join(f"{share:.1%}" for share in found.shares.tolist())
    remark = f"shares of the variance: {shares}"
    pictures = tiles.flatten(0, 1)
    yield Sheet("directions", pictures, len(AMOUNTS), captions, job.request, remark, found)


def pages(job: SheetJob) -> Iterator[Sheet]:
    """Pages of samples, the seed below each: the number to pick it by."""
    match = re.fullmatch(r"(\d+)x(\d+)", job.value)
    rows, columns = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= rows * columns <= MAX_PAGE:
        raise InputError(f"pages must look like 3x3, up to {MAX_PAGE} pictures, got '{job.value}'")
    seeds, size = job.seeds(), rows * columns
    plan_samples(job.model, job.request, Outputs())
    for number, first in enumerate(range(0, len(seeds), size), 1):
        shown = seeds[first : first + size]
        yield _of_seeds(job, f"page_{number:04d}", shown, columns)
        job.tick(min(1.0, (first + size) / len(seeds)))


def picked(job: SheetJob) -> Iterator[Sheet]:
    """The picked samples, in the order given."""
    seeds = job.seeds()
    yield _of_seeds(job, "picked", seeds, min(len(seeds), 8))


def _of_seeds(job: SheetJob, name: str, seeds: Sequence[int], columns: int) -> Sheet:
    request = replace(job.request, seeds=",".join(map(str, seeds)))
    if len(request.images) > 1:
        raise InputError(f"{job.option} shows samples from noise or of one image, not of several")
    pictures = draw_jobs(plan_samples(job.model, request, Outputs()), job.batch_size)
    return Sheet(name, pictures, columns, [str(seed) for seed in seeds], request)


SHEETS: Mapping[str, Drawing] = {
    "interpolate": interpolation,
    "explore": exploration,
    "fan": fan,
    "directions": directions,
    "pages": pages,
    "pick": picked,
}
"""By the name of the option."""
