"""A study of a model's chain: run it against real images, then a table, a file and a page of plots."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nkca.diagnostics.autocorrelation import Autocorrelation
from nkca.diagnostics.findings import ChainReport, EntropyProduction, LevelReport, StudyOptions
from nkca.diagnostics.plots import plot_chain_report
from nkca.diagnostics.record import Judge
from nkca.diagnostics.study import study_chain
from nkca.errors import InputError
from nkca.metrics.collect import CollectOptions, collect
from nkca.metrics.extractors.contract import Extractor
from nkca.metrics.image_sets import ImageFiles
from nkca.metrics.measurement import Measurement
from nkca.metrics.scores.frechet import factored_distance, factorise, factorise_features
from nkca.metrics.scores.kernel_distance import kernel_distance
from nkca.metrics.scores.names import score_names
from nkca.metrics.statistics import Statistics
from nkca.system.files import write_text
from nkca.version import __version__

SIGNIFICANT = 0.01  # smaller p-values are called significant


def study_measurement(
    measurement: Measurement,
    extractor: Extractor | None,
    collecting: CollectOptions,
    options: StudyOptions,
    progress: Callable[[str, float, int], None] = lambda _what, _done, _total: None,
) -> "ChainPage":
    """Study the chain of a measurement's model from images of its reference.

    Raises:
        InputError: if no subject is a checkpoint, or the reference is not images.
    """
    reference = measurement.subjects.get("reference")
    if measurement.model is None:
        raise InputError("--chain studies a model: nkca-metrics CKPT IMAGES --chain")
    if not isinstance(reference, ImageFiles) or extractor is None:
        raise InputError("--chain runs from images: nkca-metrics CKPT IMAGES --chain")
    tell = partial(progress, "features of reference")
    judge = Judge(extractor, distances_to(collect(reference, extractor, collecting, tell)))
    count = min(options.images, len(reference))
    rows = np.random.default_rng(options.seed).permutation(len(reference))[:count]
    images = reference.batch(np.sort(rows).tolist())
    for step in study_chain(measurement.model, images, options, judge):
        progress("steps of chains", step.done, step.total)
    assert step.report is not None
    model = measurement.subjects["samples"]
    about = {"samples": getattr(model, "about", {}), "reference": reference.about}
    return ChainPage(step.report, about)


def distances_to(reference: Statistics) -> Callable[[Tensor], Mapping[str, float]]:
    """A function from features (N, D) to their FID and KID x 1000 against the reference's features."""
    target, features = factorise(reference.gaussian()), reference.features
    names = score_names(reference.extractor)
    assert features is not None

    def distances(found: Tensor) -> Mapping[str, float]:
        return {
            names["fid"]: factored_distance(factorise_features(found.numpy()), target),
            f"{names['kid']} x 1000": 1000 * kernel_distance(found.numpy(), features).mean,
        }

    return distances


@dataclass(frozen=True)
class ChainPage:
    """A study, and what is needed to repeat it.

    Args:
        protocol: role ("samples", "reference") -> a description of the model or the images.
    """

    report: ChainReport
    protocol: Mapping[str, Mapping[str, Any]]
    command: str = ""

    def save(self, directory: Path) -> list[Path]:
        """Write chain.json and chain.png into ``directory``; return their paths."""
        content = {
            "nkca": __version__,
            "torch": torch.__version__,
            "command": self.command,
            "chain": asdict(self.report),
            "protocol": {role: dict(about) for role, about in self.protocol.items()},
        }
        written = [directory / "chain.json", directory / "chain.png"]
        write_text(written[0], json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        plot_chain_report(self.report, written[1])
        return written

    def table(self) -> str:
        """One block of lines for each level, for a terminal."""
        report = self.report
        head = (
            f"{report.chains} chains of {report.options.steps} steps from images of the reference, lag "
            f"{report.lag:g}; features of pictures: {report.extractor or 'none'}"
        )
        return "\n".join([head, *(line for level in report.levels for line in _lines(level))])


def _lines(level: LevelReport) -> Iterator[str]:
    yield f"\nlevel {level.noise_level:g}"
    drift, pictures = level.drift, level.picture_drift
    yield _line("drift of states", _p(drift.p_value), f"largest: {drift.worst}", drift.p_value)
    if pictures is not None:
        yield _line("drift of pictures", _p(pictures.p_value), "of features", pictures.p_value)
    for name, values in level.scores.items():
        hint = f"at step {level.score_steps[-1]}; {values[0]:.2f} at step 0"
        yield _line(name, f"{values[-1]:.2f}", hint)
    made = level.entropy_production
    if made is None:
        yield _line("entropy production", "unknown", "not defined where steps average noise")
    else:
        yield _line("entropy production", _rate(made), "nats per dimension and step", made.p_value)
    arrow = level.reversibility
    yield _line(
        "arrow of time",
        f"{arrow.accuracy:.3f} ± {arrow.standard_error:.3f}",
        "share of steps whose direction a network detects",
        arrow.p_value,
    )
    yield _line("steps until independent", _tau(level.pixels), "pixels")
    if level.features is not None:
        yield _line("", _tau(level.features), "features")


def _line(name: str, value: str, hint: str, p: float | None = None) -> str:
    verdict = "" if p is None else "  <- significant" if p < SIGNIFICANT else "; not significant"
    return f"  {name:<24}{value:>20}   {hint}{verdict}"


def _rate(made: EntropyProduction) -> str:
    if made.mean is None or made.standard_error is None:
        return "infinite"
    return f"{made.mean:.2e} ± {made.standard_error:.0e}"


def _p(value: float) -> str:
    return f"p = {value:.2g}"


def _tau(found: Autocorrelation) -> str:
    if found.tau is None:
        return "nothing varies"
    if found.is_lower_bound or found.error is None:
        return f"more than {found.tau:.1f}"
    return f"{found.tau:.1f} ± {found.error:.1f}"
