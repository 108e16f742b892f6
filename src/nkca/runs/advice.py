"""What makes a long run shorter; what is advised has been measured."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nkca.config.parsing import configure
from nkca.errors import InputError
from nkca.runs.dry_run import seconds_per_step
from nkca.runs.memory_fit import fit_step
from nkca.runs.network_size import network_size
from nkca.runs.run import Run
from nkca.runs.start import build_run_learner
from nkca.training.build import method_of
from nkca.training.learner import TrainingProgress

LONG = 3600.0  # seconds


def is_long(run: Run, seconds: float) -> bool:
    """Whether ``seconds`` left are more than an hour that nobody asked for by `max_time`."""
    limit = run.config.training.max_time
    asked = limit is not None and seconds >= limit - run.progress.seconds
    return seconds > LONG and not asked


def an_hour_from_now(run: Run) -> str:
    """The value of `max_time` with which the run ends after an hour more."""
    minutes = math.ceil((run.progress.seconds + LONG) / 60)
    return f"{minutes // 60}h" + (f"{minutes % 60}m" if minutes % 60 else "")


def faster(run: Run, step_seconds: float) -> tuple[Mapping[str, Any], float]:
    """Options with which what is left of the run takes an hour at most, and what it takes with them.

    The network is that which fits the images, where the run has not begun and a step takes less than half
    with it; `max_time` is named if that alone does not do.

    Args:
        step_seconds: of a step of the run as it is.
    """
    options: dict[str, Any] = {}
    found = None if run.progress.step else _with_smaller_network(run)
    if found is not None and found[1] < step_seconds / 2:
        run, step_seconds, options = found
    if run.seconds_left(step_seconds) > LONG:
        options["max_time"] = an_hour_from_now(run)
        config = configure({**run.config.to_flat(), **options})
        run = replace(run, config=config)
    return options, run.seconds_left(step_seconds)


def _with_smaller_network(run: Run) -> tuple[Run, float, dict[str, Any]] | None:
    """The run with the network that fits the images, its seconds for a step, and its options."""
    size = network_size(*run.spec.data_shape[1:], run.ema_model.device, None)
    options = {name: v for name, v in size.items() if getattr(run.config.model, name) != v}
    try:
        other = _with_options(run, options)
    except InputError:  # there is no memory for it
        return None
    return (other, seconds_per_step(other), options) if options else None


def _with_options(run: Run, options: Mapping[str, Any]) -> Run:
    """A new run in memory, of the same images, whose ``options`` are others.

    Raises:
        InputError: if an option is wrong or there is no memory for it.
    """
    config = configure({**run.config.to_flat(), **options})
    spec = replace(run.spec, config=config.model)
    method = method_of(config, spec.data_std)
    learner, ema_model = build_run_learner(config, spec, None, "", run.ranks, method)
    learner, _ = fit_step(learner, ema_model, config)
    progress = TrainingProgress()
    return replace(
        run, config=config, spec=spec, learner=learner, ema_model=ema_model, progress=progress
    )
