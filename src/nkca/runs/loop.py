"""The training loop: take steps, save, show, evaluate.

Nothing is printed: messages go to the logger "nkca", a line of progress every minute to "nkca.progress"
below it (a run's log holds both), and each step comes as a `StepReport`. In this package, only this loop
sets ``run.progress``.
"""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from nkca.config.parsing import duration
from nkca.data.dataset import batches
from nkca.errors import InputError, out_of_memory_advice
from nkca.models.checkpoint import BEST, FINAL, LATEST
from nkca.runs.advice import an_hour_from_now, is_long
from nkca.runs.curves import Curves, open_curves
from nkca.runs.directory import keep_numbered, save
from nkca.runs.divergence import ADVICE, check_sound, is_sound
from nkca.runs.evaluation import save_evaluation
from nkca.runs.memory_fit import advice_on_memory
from nkca.runs.preview import estimated_seconds, save_preview
from nkca.runs.run import Run, take_step
from nkca.training.learner import StepReport

logger = logging.getLogger("nkca")
progress_logger = logging.getLogger("nkca.progress")

SAVE_SECONDS = 600  # the longest time without a checkpoint
LOG_SECONDS = 60  # between lines of progress
MAX_SKIPPED_IN_A_ROW = 20
PACE_STEPS, PACE_SECONDS = 3, 5.0  # measured at least before the log says how long it takes


@dataclass
class _Clock:
    """Training time, and the latest preview: its seconds and its step, None before there is one."""

    before: float
    began: float
    first_image: int
    preview: float | None = None
    preview_step: int | None = None

    def seconds(self) -> float:
        """Of all sessions, previews and evaluations included."""
        return self.before + time.monotonic() - self.began

    def last_preview(self, run: Run) -> float:
        """What the preview at the end will take, about."""
        images = run.progress.images - self.first_image
        if not run.config.cadence.viz_freq or not images:
            return 0.0
        if self.preview is not None:
            return self.preview
        return estimated_seconds(run, (self.seconds() - self.before) / images)


def train(
    run: Run, should_stop: Callable[[], bool] = lambda: False
) -> Generator[StepReport, None, None]:
    """Train until the run is finished or ``should_stop()``.

    What was learned is saved in either case, and also when the caller leaves the loop early. Of
    several ranks all call this; they stop together, and the first alone writes.

    Raises:
        InputError: if many steps in a row are not finite, the weights to be saved have no finite loss,
            or memory does not suffice.
    """
    before, first = run.progress, run.progress.step
    saved_step = first
    cadence, saved_at = run.config.cadence, time.monotonic()
    longest = math.inf if cadence.checkpoint_freq.unit == "seconds" else SAVE_SECONDS
    clock = _Clock(run.progress.seconds, time.monotonic(), run.progress.images)
    with (
        open_curves(run.directory / "tensorboard", first, run.ranks.is_first) as curves,
        out_of_memory_advice(advice_on_memory(run.config)),
    ):
        for report in _logged(_with_pace(run, _steps(run, should_stop, clock)), run):
            try:
                yield report
            except GeneratorExit:
                if run.ranks.is_first and is_sound(run):
                    save(run, LATEST)
                raise
            curves.add(report)
            _check_finite(report)
            if report.was_skipped:  # perhaps the weights are broken
                continue
            after = report.progress
            if cadence.viz_freq.is_due(before, after):
                _draw_preview(run, curves, clock, should_stop)
            if cadence.eval_freq.is_due(before, after):
                score = save_evaluation(run, curves, should_stop)
                _set_time(run, clock)
                _keep_best(run, score)
            is_overdue = time.monotonic() - saved_at > longest
            if cadence.checkpoint_freq.is_due(before, after) or is_overdue:
                _save_sound(run, LATEST)
                keep_numbered(run)
                saved_step, saved_at = after.step, time.monotonic()
            before = run.progress
        curves.flush(run.progress.step)
        last = run.progress.step
        _finish(run, curves, clock, moved=last > first, saved=last == saved_step)


def _steps(run: Run, should_stop: Callable[[], bool], clock: _Clock) -> Iterator[StepReport]:
    """The loop itself; all ranks leave it at the same step.

    A run that `max_time` ends stops early enough for its last preview.
    """
    training, first = run.config.training, run.progress.images
    rows = run.ranks.share(training.batch_size)
    share = slice(rows.start, rows.stop)
    for images in batches(run.images.images, training.batch_size, training.seed, first, share):
        passed, limit = clock.seconds(), training.max_time
        if limit is not None and passed + clock.last_preview(run) >= limit:
            passed = max(passed, limit)
        seconds, stops = run.ranks.maxima(passed, should_stop())
        run.progress = replace(run.progress, seconds=seconds)
        if stops or run.is_finished():
            return
        report = take_step(run, images, run.progress.step)
        run.progress = report.progress
        _set_time(run, clock)
        yield replace(report, progress=run.progress)


def _logged(reports: Iterator[StepReport], run: Run) -> Iterator[StepReport]:
    """The same reports; a line about those since the last one every minute, and at the end."""
    began, images = time.monotonic(), run.progress.images
    losses: list[float] = []

    def log() -> None:
        if losses and run.ranks.is_first:
            progress_logger.info(
                "step %s, loss %.4g, %.3g images/s, %.3g %% done",
                f"{run.progress.step:,}",
                sum(losses) / len(losses),
                (run.progress.images - images) / max(time.monotonic() - began, 1e-9),
                100 * run.share,
            )

    for report in reports:
        yield report
        if not report.was_skipped:
            losses.append(report.loss)
        if time.monotonic() - began > LOG_SECONDS:
            log()
            began, images, losses = time.monotonic(), run.progress.images, []
    log()


def _with_pace(run: Run, reports: Iterator[StepReport]) -> Iterator[StepReport]:
    """The reports; once a few steps are measured, the log says how fast they are and what is left."""
    began, first, is_said = None, 0, False
    for report in reports:
        step, now = report.progress.step, time.monotonic()
        if began is None:  # the first step warms up
            began, first = now, step
        seconds, steps = now - began, step - first
        if not is_said and steps >= PACE_STEPS and seconds >= PACE_SECONDS:
            logger.info(_pace(run, seconds / steps))
            is_said = True
        yield report


def _pace(run: Run, seconds: float) -> str:
    left, batch = run.seconds_left(seconds), run.config.training.batch_size
    advice = ""
    if is_long(run, left):
        advice = (
            f"; max_time={an_hour_from_now(run)} ends it in an hour, nkca-train --dry-run looks for a "
            "faster network"
        )
    return f"{seconds:.3g} s a step ({batch / seconds:.3g} images/s), {duration(left)} left{advice}"


def _draw_preview(
    run: Run, curves: Curves, clock: _Clock, should_stop: Callable[[], bool] = lambda: False
) -> None:
    began = time.monotonic()
    save_preview(run, curves, should_stop)
    clock.preview, clock.preview_step = time.monotonic() - began, run.progress.step
    _set_time(run, clock)


def _set_time(run: Run, clock: _Clock) -> None:
    """Let the progress of the run, on all ranks alike, have the time that is shown, at least its own."""
    seconds = max(run.progress.seconds, clock.seconds())
    run.progress = replace(run.progress, seconds=run.ranks.max(seconds))


def _keep_best(run: Run, score: float | None) -> None:
    """Save the run as the best so far, if the score of its samples is the lowest."""
    best = run.progress.best_score
    if score is not None and (best is None or score < best):
        run.progress = replace(run.progress, best_score=score)
        save(run, BEST)


def _finish(run: Run, curves: Curves, clock: _Clock, moved: bool, saved: bool) -> None:
    """Save what is not yet: ``moved`` in this session, ``saved`` as the latest at this step."""
    if not saved:
        _save_sound(run, LATEST)
    if run.is_finished() and (moved or not (run.directory / FINAL).exists()):
        if run.config.cadence.viz_freq and clock.preview_step != run.progress.step:
            _draw_preview(run, curves, clock)
        save(run, FINAL)


def _save_sound(run: Run, name: str) -> None:
    """Save the run, unless its weights are broken."""
    if run.ranks.is_first:
        check_sound(run)
    save(run, name)


def _check_finite(report: StepReport) -> None:
    if report.overflowed:
        logger.info(
            "step %d moved nothing: a gradient beyond float16, loss scale now %g",
            report.progress.step,
            report.progress.loss_scale,
        )
    if report.was_skipped:
        logger.warning(
            "step %d skipped: loss %g, gradient norm %g",
            report.progress.step,
            report.loss,
            report.gradient_norm,
        )
    if report.progress.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
        raise InputError(
            f"training diverged: {MAX_SKIPPED_IN_A_ROW} steps in a row had no finite loss or gradient; "
            f"the last checkpoint is intact. {ADVICE}"
        )
