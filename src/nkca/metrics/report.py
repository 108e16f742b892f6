"""Scores -> a table for people, files for programs, a picture of the closest pairs."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nkca.config.image_size import describe
from nkca.metrics.extractors.contract import Description
from nkca.metrics.image_sets import OWN_LEVELS
from nkca.metrics.measurement import Measurement
from nkca.metrics.plots import plot_fid_line
from nkca.metrics.scores.names import score_names
from nkca.metrics.scores.score import Scores
from nkca.metrics.statistics import Statistics
from nkca.pictures.grid import contact_sheet
from nkca.pictures.png import save_png
from nkca.pixels import as_pictures, to_rgb
from nkca.system.files import write_text
from nkca.version import __version__


@dataclass(frozen=True)
class Report:
    """Scores, and all that is needed to judge or repeat them.

    Args:
        protocol: role ("samples", "reference", ...) -> a description of those images.
        command: the command line.
    """

    scores: Scores
    extractor: Description
    protocol: Mapping[str, Mapping[str, Any]]
    command: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values: the content of metrics.json."""
        return {
            "nkca": __version__,
            "torch": torch.__version__,
            "command": self.command,
            "scores": _plain_scores(self.scores),
            "missing": self.scores.missing,
            "warnings": list(self.scores.warnings),
            "extractor": asdict(self.extractor),
            "protocol": {role: dict(about) for role, about in self.protocol.items()},
        }


def save_report(report: Report, directory: Path) -> list[Path]:
    """Write metrics.json and, for the scores there are, metrics-FID.txt, metrics-IS.txt, a plot of FID∞."""
    scores = report.scores
    texts = {"metrics.json": json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n"}
    if scores.fid is not None:
        texts["metrics-FID.txt"] = f"{scores.fid:.10g}\n"
    if scores.inception_score is not None:
        score = scores.inception_score
        texts["metrics-IS.txt"] = f"{score.mean:.10g} {score.deviation:.10g}\n"
    for name, text in texts.items():
        write_text(directory / name, text)
    written = [directory / name for name in texts]
    if scores.fid_line is not None:
        line = scores.fid_line
        written.append(directory / "fid-infinity.png")
        name = score_names(report.extractor)["fid"]
        plot_fid_line(line.points, line.intercept, line.slope, written[-1], name)
    return written


def save_closest_pairs(report: Report, measurement: Measurement, directory: Path) -> list[Path]:
    """Draw the samples nearest to training images, nearest first: sample left, training image right."""
    found = report.scores.memorisation
    samples, train = (measurement.subjects.get(role) for role in ("samples", "train"))
    if found is None or samples is None or train is None:
        return []
    if isinstance(samples, Statistics) or isinstance(train, Statistics):
        return []  # there are no images
    left = to_rgb(samples.batch([sample for sample, _, _ in found.closest]))
    right = to_rgb(train.batch([image for _, image, _ in found.closest]))
    if left.shape != right.shape:
        left = _resized_like(left, right)
    path = directory / "closest.png"
    both = torch.stack([left, right], 1).flatten(0, 1)
    save_png(path, contact_sheet(as_pictures(both), columns=8))
    return [path]


def _resized_like(images: Tensor, like: Tensor) -> Tensor:
    resized = torch.nn.functional.interpolate(images.float(), like.shape[-2:], mode="nearest")
    return resized.to(torch.uint8)


def table(report: Report) -> str:
    """The whole report as text for a terminal."""
    lines = [f"{role:<11}{said}" for role, said in _describe_roles(report.protocol)]
    extractor, scores = report.extractor, report.scores
    weights = f", weights {extractor.weights_sha256[:8]}" if extractor.weights_sha256 else ""
    lines += [f"{'features':<11}{extractor.name}{weights}; {extractor.input}", ""]
    names = score_names(extractor)
    lines += [f"{name:<24}{value:>18}   {hint}" for name, value, hint in _rows(scores, names)]
    for why in dict.fromkeys(scores.missing.values()):
        absent = [names[name] for name, reason in scores.missing.items() if reason == why]
        lines.append(f"not computed: {', '.join(absent)} ({why})")
    return "\n".join(lines + [f"warning: {said}" for said in dict.fromkeys(scores.warnings)])


def _rows(scores: Scores, names: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield (name, value, how to read it) for each score."""
    if scores.fid is not None:
        yield names["fid"], f"{scores.fid:.4f}", "lower is better"
    if scores.fid_line is not None:
        line = scores.fid_line
        count = line.points[-1][0]
        hint = (
            f"for infinitely many samples; having {count:,} adds {line.slope / count:.4f} "
            f"(fit of the line: R² {line.r_squared:.3f})"
        )
        yield names["fid_line"], f"{line.intercept:.4f}", hint
    if scores.kid is not None:
        kid = scores.kid
        value, hint = f"{1000 * kid.mean:.4f}", "near 0 for equal distributions"
        if kid.subsets > 1:
            value += f" ± {1000 * kid.deviation:.4f}"
            hint = f"{kid.subsets} subsets of {kid.subset_size:,} images; {hint}"
        yield f"{names['kid']} x 1000", value, hint
    if scores.cmmd is not None:
        yield names["cmmd"], f"{scores.cmmd:.4f}", "lower is better, never below 0"
    if scores.inception_score is not None:
        score = scores.inception_score
        hint = f"{score.splits} splits; higher is better; the reference plays no part"
        yield names["inception_score"], f"{score.mean:.4f} ± {score.deviation:.4f}", hint
    if scores.manifold is not None:
        near = scores.manifold
        yield "precision", f"{near.precision:.4f}", "share of samples that look like the reference"
        yield "recall", f"{near.recall:.4f}", "share of the reference that the samples reach"
        yield "density", f"{near.density:.4f}", "1 for equal distributions; more: only the typical"
        yield "coverage", f"{near.coverage:.4f}", "share of the reference with a sample close by"
    if scores.memorisation is not None:
        yield from _memorisation_rows(scores)


def _memorisation_rows(scores: Scores) -> Iterator[tuple[str, str, str]]:
    found = scores.memorisation
    assert found is not None
    held_out = found.held_out_distance
    hint = "median distance of features"
    hint += "" if held_out is None else f"; to as many held-out images {held_out:.4f}"
    yield "nearest training image", f"{found.train_distance:.4f}", hint
    if found.nearer_training is not None:
        hint = "share nearer to training than held-out images; 0.5 if none is copied"
        yield "nearer to training", f"{found.nearer_training:.4f}", hint
    hint = "chance that a sample is nearer to training images than an unseen image; 0.5 if none is copied"
    yield "data copying", f"{found.data_copying:.4f}", hint
    yield "copies", f"{found.copies:.4f}", "share of samples at distance 0 of a training image"


def _describe_roles(
    protocol: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, str]]:
    """Yield (role, its images in words); of images that were described before, their role."""
    seen: dict[str, str] = {}
    for role, about in protocol.items():
        said, name = _describe_images(about), role.replace("_", "-")
        yield name, f"the {seen[said]}" if said in seen else said
        seen.setdefault(said, name)


def _describe_images(about: Mapping[str, Any]) -> str:
    kind = about.get("kind")
    size = describe(*about["size"][::-1]) if "size" in about else ""
    if kind == "samples":
        guided = "" if about["guidance"] == 1 else f", guidance {about['guidance']:g}"
        return (
            f"{about['checkpoint']} ({about['checkpoint_sha256'][:8]}): {about['count']:,} samples of "
            f"{size}, seeds {about['seeds']}, {about['num_sampling_steps']} steps from level "
            f"{about['max_sampling_noise']:.3g} to {about['min_sampling_noise']:.3g} "
            f"({about['sampler']}{guided}), lag {about['lag']:g}"
        )
    if kind in ("files", "memory"):
        name = about["path"] if kind == "files" else about["name"]
        part = f", {_numbers(about['part'])}" if "part" in about else ""
        own = about.get("depth", OWN_LEVELS) == OWN_LEVELS
        depth = "" if own else f", {about['depth']}"
        return f"{name} ({about['sha256'][:8]}): {about['count']:,} images of {size}{part}{depth}"
    if kind == "statistics":
        of = about.get("of") or {}
        known = f"statistics of {_describe_images(of)}" if of else "statistics of unnamed images"
        return f"{about['path']}: {known}"
    return "images that are not described"


def _numbers(part: str) -> str:
    """In words, which images ``range(first, end, step)`` means."""
    first, end, *step = map(int, re.findall(r"\d+", part))
    return f"numbers {first}-{end - 1}" + (f" in steps of {step[0]}" if step else "")


def _plain_scores(scores: Scores) -> dict[str, Any]:
    line = scores.fid_line
    found: dict[str, Any] = {
        "fid": scores.fid,
        "fid_infinity": line and {**asdict(line), "value": line.intercept},
        "kid": scores.kid and asdict(scores.kid),
        "cmmd": scores.cmmd,
        "inception_score": scores.inception_score and asdict(scores.inception_score),
        **(asdict(scores.manifold) if scores.manifold else {}),
        "memorisation": scores.memorisation and asdict(scores.memorisation),
    }
    return {name: value for name, value in found.items() if value is not None}
