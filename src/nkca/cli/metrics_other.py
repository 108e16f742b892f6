"""What nkca-metrics measures in place of the scores: a study of the chain, bits per dimension ..."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from nkca.cli.metrics_flags import parse_levels
from nkca.cli.metrics_jobs import Job
from nkca.diagnostics.findings import StudyOptions
from nkca.diagnostics.page import study_measurement
from nkca.metrics.anomaly import told_apart
from nkca.metrics.caveats import description
from nkca.metrics.collect import Subject
from nkca.metrics.equivariance import COUNT, equivariance
from nkca.metrics.likelihood import CodeLength, code_length
from nkca.metrics.measurement import some_images
from nkca.metrics.path_length import PAIRS, perceptual_path_length
from nkca.metrics.variational_bound import VariationalBound, variational_bound
from nkca.pixels import ContinuousPixels
from nkca.system.files import write_text
from nkca.version import __version__

Given = Mapping[str, Any]
Work = Callable[[Job, Given], tuple[str, list[Path]]]
"""(job, the flags) -> what is printed, and the files that were written."""


def _study(job: Job, given: Given) -> tuple[str, list[Path]]:
    options = StudyOptions(
        levels=parse_levels(given["chain_levels"]),
        steps=given["chain_steps"],
        images=given["chain_images"],
        batch_size=given["batch_size"],
        seed=given["seed"],
    )
    page = study_measurement(job.measurement, job.extractor, job.collecting, options, job.show)
    page = replace(page, command=job.command)
    return page.table(), page.save(job.directory)


def _bits(job: Job, given: Given) -> tuple[str, list[Path]]:
    seed, size = given["seed"], given["batch_size"]
    tick = functools.partial(job.show, "bits per dimension", unit="evaluations")
    model, images = job.measurement.model_and_images(
        "bits per dimension", given["num_samples"], seed
    )
    found: CodeLength | VariationalBound
    if isinstance(model.pixels, ContinuousPixels):
        schedule = job.request.sampling.schedule
        found = variational_bound(model, images, schedule, seed=seed, batch_size=size, tick=tick)
    else:
        found = code_length(model, images, seed=seed, batch_size=size, tick=tick)
    return _saved(job, "likelihood", found)


def _anomaly(job: Job, given: Given) -> tuple[str, list[Path]]:
    seed, size = given["seed"], given["batch_size"]
    tick = functools.partial(job.show, "anomaly", unit="evaluations")
    model, images = job.measurement.model_and_images(
        "scores of anomaly", given["num_samples"], seed
    )
    others = {
        name: some_images(part, min(len(part), len(images) // 2), seed)
        for name, part in job.measurement.others.items()
    }
    found = told_apart(model, images, others, seed=seed, batch_size=size, tick=tick)
    return _saved(job, "anomaly", found)


def _path_length(job: Job, given: Given) -> tuple[str, list[Path]]:
    assert job.extractor is not None
    found = perceptual_path_length(
        job.measurement.model_of("the path length"),
        job.extractor,
        job.request.sampling.schedule,
        pairs=given["num_samples"] or PAIRS,
        seed=given["seed"],
        batch_size=given["batch_size"],
        tick=functools.partial(job.show, "path length", unit="evaluations"),
    )
    return _saved(job, "ppl", found)


def _equivariance(job: Job, given: Given) -> tuple[str, list[Path]]:
    found = equivariance(
        job.measurement.model_of("equivariance"),
        job.request.sampling.schedule,
        count=given["num_samples"] or COUNT,
        seed=given["seed"],
        batch_size=given["batch_size"],
        tick=functools.partial(job.show, "equivariance", unit="evaluations"),
    )
    return _saved(job, "equivariance", found)


def _saved(job: Job, name: str, found: Any) -> tuple[str, list[Path]]:
    """Write a score, a dataclass of plain values, to NAME.json."""
    measurement, path = job.measurement, job.directory / f"{name}.json"
    sets: dict[str, Subject] = {**measurement.subjects, **measurement.others}
    model = description(sets.pop("samples"))
    content = {
        "nkca": __version__,
        "torch": torch.__version__,
        "command": job.command,
        **asdict(found),
        "warnings": list(measurement.warnings),
        "model": {key: model[key] for key in ("checkpoint", "checkpoint_sha256")},
        "protocol": {name: dict(description(images)) for name, images in sets.items()},
    }
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    warnings = [f"warning: {warning}" for warning in measurement.warnings]
    return "\n".join([str(found), *warnings]), [path]


OTHER_WORK: Mapping[str, Work] = {
    "chain": _study,
    "likelihood": _bits,
    "anomaly": _anomaly,
    "ppl": _path_length,
    "equivariance": _equivariance,
}
