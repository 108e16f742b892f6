"""The flags of nkca-metrics: checked, and as a request."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nkca.config.parsing import configure
from nkca.errors import InputError

if TYPE_CHECKING:
    from nkca.metrics.request import MeasureRequest


def refuse_old_spelling(value: str | None) -> None:
    """Name the flag that has taken the place of ``--reference=model|original``."""
    if value is not None:
        raise InputError(
            "--reference=original is now --full-depth; --reference=model is the default, leave it out"
        )


@dataclass(frozen=True)
class Keep:
    """Where statistics are saved, and whether with features."""

    path: Path
    features: bool


def check_stats_file(path: Path | None, stats_only: bool) -> Keep | None:
    """Make sure, before hours of work, that ``path`` can be written and read again."""
    if path is None:
        if stats_only:
            raise InputError("--stats-only goes with --save-stats: give that too")
        return None
    if path.exists():
        raise InputError(f"{path} exists already; nothing is overwritten")
    if path.suffix != ".npz":
        raise InputError(f"--save-stats={path}: the name must end in .npz")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"--save-stats={path}: cannot write into the folder {path.parent}")
    return Keep(path, not stats_only)


# What is measured in place of the scores (None), by its flag.
OF_IMAGES = ("chain", "likelihood", "anomaly")
OF_THE_MODEL = ("ppl", "equivariance")
HAS_FEATURES = (None, "chain", "ppl")


def other_work(given: dict[str, Any], keep: Keep | None) -> str | None:
    """What is measured in place of the scores, or None; raises `InputError` for flags that do not fit."""
    asked = [name for name in (*OF_IMAGES, *OF_THE_MODEL) if given[name]]
    if given["others"] and asked != ["anomaly"]:
        raise InputError(f"{given['others'][0]}: a third set of images is for --anomaly alone")
    if not asked:
        return None
    name = asked[0]
    if len(asked) > 1:
        raise InputError(f"--{name} and --{asked[1]} are two measurements: ask for one at a time")
    if keep:
        raise InputError(f"--{name} saves no statistics: leave out --save-stats")
    if name in OF_IMAGES and not given["reference"]:
        raise InputError(f"--{name} needs images: nkca-metrics CKPT IMAGES --{name}")
    if name in OF_THE_MODEL and given["reference"]:
        raise InputError(f"--{name} needs no images: nkca-metrics CKPT --{name}")
    if name == "ppl" and given["precision"] not in (None, "fp32"):
        raise InputError("--ppl needs precision fp32: others are coarser than its steps")
    if name == "chain":
        parse_levels(given["chain_levels"])
    return name


def parse_levels(text: str) -> tuple[float, ...]:
    """Numbers from ``0.1,0.3,0.6``; raises `InputError` for anything else, or one that comes twice."""
    try:
        levels = tuple(map(float, text.split(",")))
    except ValueError:
        raise InputError(f"--chain-levels must look like 0.1,0.3,0.6, got '{text}'") from None
    if len(set(levels)) < len(levels):
        raise InputError(f"--chain-levels names a level twice: got '{text}'")
    return levels


def request_of(given: dict[str, Any], work: str | None = None) -> "MeasureRequest":
    """What the flags ask to measure; ``work`` as `other_work` says."""
    from nkca.metrics.image_sets import SampleOptions
    from nkca.metrics.request import MeasureRequest
    from nkca.sampling.tasks import Schedule

    schedule = {
        "max_noise": given["max_sampling_noise"],
        "min_noise": given["min_sampling_noise"],
        "num_steps": given["num_sampling_steps"],
        "ladder": given["ladder"],
        "sampler": given["sampler"],
        "corrector_steps": given["corrector_steps"],
        "guidance": given["guidance"],
    }
    sampling = {"visualize": given["visualize"], "precision": given["precision"]}
    return MeasureRequest(
        samples=given["samples"],
        reference=given["reference"],
        train=given["train"],
        held_out=given["held_out"],
        num_samples=1 if work else given["num_samples"],  # of which other work needs none
        sampling=SampleOptions(
            Schedule(**_without_none(schedule)), first_seed=given["seed"], **_without_none(sampling)
        ),
        lag=given["lag"],
        device=given["device"],
        compile=given["compile"],
        data=configure(
            {name: given[name] for name in ("resize", "fit", "cache", "cache_dir")}
        ).data,
        others=given["others"],
        full_depth=given["full_depth"],
    )


def _without_none(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True)
class Asked:
    """What the flags say of a measurement."""

    request: "MeasureRequest"
    given: dict[str, Any]
    features: str | None
    weights: Path | None
    save_dir: Path
