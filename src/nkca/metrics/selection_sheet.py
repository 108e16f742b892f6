"""The sheet of `nkca-sample --select`: samples drawn, weighed, selected, and the gain said."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, cast

import torch
from torch import Tensor

from nkca.config.data import DataConfig
from nkca.data.categories import reader_for
from nkca.data.dataset import load_dataset
from nkca.errors import InputError, require
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.extractors.contract import Array, Extractor
from nkca.metrics.selection import LEAST, select, selection_gain
from nkca.models.model import Model
from nkca.pixels import as_tensor, to_rgb
from nkca.sampling.plan import plan_samples
from nkca.sampling.request import Outputs
from nkca.sampling.sample_files import draw_jobs
from nkca.sampling.sheets import MAX_PAGE, Sheet, SheetJob

EXTRACTOR = "efficientnet-lite0"  # its weights come with a package: no download
AT_ONCE = 64


def selection(job: SheetJob) -> Iterator[Sheet]:
    """The selected samples, the most data-like first, with their seeds."""
    seeds, count = job.seeds(), job.number()
    require(1 <= count <= MAX_PAGE, job.option, f"in 1..{MAX_PAGE}", count)
    require(count < len(seeds), job.option, f"below the number of samples, {len(seeds)}", count)
    require(len(seeds) >= LEAST, "the samples to select from", f"at least {LEAST}", len(seeds))
    if job.request.images:
        raise InputError("select is for samples from noise, without images")
    plan_samples(job.model, job.request, Outputs())
    extractor = _extractor()
    data = _data(job.model, job.request.data or "")
    samples = _drawn(job, seeds)
    found = select(samples, data, count, tick=lambda share: job.tick(0.8 + 0.1 * share))
    before, after = found.losses
    remark = (
        f"the classifier's held-out loss: {before:.3f} of all, {after:.3f} of the selected (ln 2 = 0.693 "
        "where it can tell nothing)"
    )
    if extractor is None:
        remark += "; KID was not measured: pip install 'nkca[metrics]'"
    else:
        features = _features(extractor, samples)
        held_out = _features(extractor, data[list(found.held_out)])
        remark += f"; {selection_gain(features, held_out, found.chosen).describe()}"
    job.tick(1.0)
    chosen = [seeds[number] for number in found.chosen]
    captions = [str(seed) for seed in chosen]
    yield Sheet(
        "selected", samples[list(found.chosen)], min(count, 12), captions, job.request, remark
    )


def _drawn(job: SheetJob, seeds: Sequence[int]) -> Tensor:
    """The samples, drawn in portions so that progress is seen."""
    parts = []
    for first in range(0, len(seeds), job.batch_size):
        some = ",".join(map(str, seeds[first : first + job.batch_size]))
        plan = plan_samples(job.model, replace(job.request, seeds=some), Outputs())
        parts.append(draw_jobs(plan, job.batch_size))
        job.tick(0.8 * min(1.0, (first + job.batch_size) / len(seeds)))
    return torch.cat(parts)


def _data(model: Model, name: str) -> Tensor:
    """The images to select by, fitted to the model: uint8 (n, C, H, W)."""
    channels, height, width = model.data_shape
    config = DataConfig(
        dataset=name, resize=(height, width), channels=cast("Literal[1, 3, 4]", channels)
    )
    return as_tensor(load_dataset(config, reader=reader_for(model.pixels)).images[:].copy())


def _extractor() -> Extractor | None:
    """The extractor of KID; None where its package is not installed."""
    try:
        return open_extractor(EXTRACTOR, torch.device("cpu"))
    except (InputError, ImportError):
        return None


def _features(extractor: Extractor, images: Tensor) -> Array:
    parts = [extractor(to_rgb(part)).features for part in torch.split(images, AT_ONCE)]
    features: Array = torch.cat(parts).numpy()
    return features
