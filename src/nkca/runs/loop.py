"""A training run in a directory: prepare or resume, train, save, show.

Nothing is printed: messages go to the logger "nkca", progress comes as `StepReport`s.
"""

import contextlib
import copy
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nkca.config.schema import RunConfig
from nkca.data.cache import DecodedImages
from nkca.data.dataset import batches, load_dataset
from nkca.denoisers.precision import needs_loss_scale
from nkca.distributed.ranks import ALONE, Ranks, lost_rank_says
from nkca.errors import InputError, out_of_memory_says
from nkca.models import build
from nkca.models.checkpoint import FINAL, LATEST, Checkpoint
from nkca.networks import compilation
from nkca.runs import start
from nkca.runs.curves import Curves, open_curves
from nkca.runs.memory_fit import advice_on_memory, fit_step
from nkca.runs.run import (
    Run,
    keep_numbered,
    log_file,
    save,
    save_evaluation,
    save_preview,
    take_step,
    write_config,
)
from nkca.runs.scorer import prepare_scorer
from nkca.system.device import choose_device
from nkca.system.files import locked
from nkca.training.learner import Learner, Progress, StepReport

logger = logging.getLogger("nkca")

SAVE_SECONDS = 600  # the longest time without a checkpoint
MAX_SKIPPED_IN_A_ROW = 20


@dataclass(frozen=True)
class Prepared:
    """A run that nothing has been written for yet, and what its log begins with."""

    run: Run
    messages: tuple[str, ...]


def prepare(
    options: Mapping[str, Any],
    directory: Path,
    on_decode: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Prepared:
    """Read the images and build, or load, the model of a run in ``directory``; write nothing there.

    Args:
        options: flat, as `configure` takes them; what a run that has begun leaves open is its own.
        on_decode: called with (done, total) while images are decoded.
        ranks: who prepare and train it together; each calls this.

    Raises:
        InputError: if options, images or the checkpoint there do not fit.
    """
    config, checkpoint, changes = start.resolve(options, directory)
    if config.training.batch_size < ranks.count:
        raise InputError(
            f"batch_size {config.training.batch_size} is less than one image for each of "
            f"{ranks.count} processes"
        )
    images = ranks.first_then_others(lambda: load_dataset(config.data, on_decode))
    height, width, channels = images.images.shape[1:]
    shape = (channels, height, width)
    messages = [f"skipped unreadable image {name}: {why}" for name, why in images.unreadable]
    if checkpoint is not None:
        start.check_data_shape(checkpoint, shape, directory)
        messages.append(f"resuming {directory} at step {checkpoint.progress['step']}")
        messages.extend(f"changed option {name}: {change}" for name, change in changes.items())
    std = images.std if checkpoint is None else checkpoint.data_std
    spec = build.ModelSpec(config.model, shape, std)
    with out_of_memory_says(advice_on_memory(config)):
        _check_same(ranks, config, images, checkpoint)
        device, choice = choose_device(config.training.device), config.training.compile
        messages.extend(filter(None, [compilation.describe(device, choice)]))
        run = _assemble(directory, config, images, spec, checkpoint, ranks)
        messages.extend(fit_step(run.learner, run.average, config))
        if config.cadence.eval_freq:
            scorer = prepare_scorer(run.average, images, config, run.learner.part_size, ranks)
            run = replace(run, scorer=scorer)
            messages.append(scorer.announcement())
    return Prepared(run, tuple(messages))


@contextlib.contextmanager
def open_run(
    options: Mapping[str, Any],
    directory: str | Path,
    on_decode: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Run]:
    """Begin a run in ``directory``, or resume the one that is there; see `prepare`.

    A directory that holds a run is locked first, a new one made and locked once all has been checked:
    a second process is refused. Of several ranks the first does that.
    """
    directory = Path(directory)
    if not ranks.is_first:
        yield prepare(options, directory, None, ranks).run
        return
    with contextlib.ExitStack() as stack:
        lock = locked(directory / ".lock")
        has_begun = start.newest_checkpoint(directory) is not None
        if has_begun:
            stack.enter_context(lock)
        prepared = prepare(options, directory, on_decode, ranks)
        directory.mkdir(parents=True, exist_ok=True)
        if not has_begun:
            stack.enter_context(lock)
        stack.enter_context(log_file(directory / "log.txt"))
        for left in directory.glob(".checkpoint_*.tmp"):  # of a session that was killed
            left.unlink()
        write_config(prepared.run)
        for message in prepared.messages:
            logger.info(message)
        yield prepared.run


def train(run: Run, should_stop: Callable[[], bool] = lambda: False) -> Iterator[StepReport]:
    """Train until the run is finished or ``should_stop()``.

    What was learned is saved in either case, and also when the caller leaves the loop early. Of
    several ranks all call this; they stop together, and the first alone writes.

    Raises:
        InputError: if many steps in a row are not finite, memory does not suffice, or a rank dies.
    """
    first = saved_step = run.learner.progress.step
    cadence, saved_at = run.config.cadence, time.monotonic()
    with (
        open_curves(run.directory / "tensorboard", first, run.ranks.is_first) as curves,
        out_of_memory_says(advice_on_memory(run.config)),
        lost_rank_says(
            f"checkpoints in {run.directory} are intact: the same command goes on there"
        ),
    ):
        for report in _steps(run, should_stop):
            try:
                yield report
            except GeneratorExit:
                if not report.was_skipped:
                    save(run, LATEST)
                raise
            step = report.progress.step
            curves.add(report)
            _check_finite(report)
            if report.was_skipped:  # perhaps the weights are broken: keep the last good checkpoint
                continue
            if cadence.viz_freq and step % cadence.viz_freq == 0:
                save_preview(run, curves, should_stop)
            if cadence.eval_freq and step % cadence.eval_freq == 0:
                save_evaluation(run, curves, should_stop)
            if step % cadence.checkpoint_freq == 0 or time.monotonic() - saved_at > SAVE_SECONDS:
                save(run, LATEST)
                keep_numbered(run)
                saved_step, saved_at = step, time.monotonic()
        curves.flush(run.learner.progress.step)
        last = run.learner.progress.step
        _finish(run, curves, moved=last > first, saved=last == saved_step)


def _steps(run: Run, should_stop: Callable[[], bool]) -> Iterator[StepReport]:
    """The loop itself; all ranks leave it at the same step."""
    training, learner = run.config.training, run.learner
    before, began = learner.progress.seconds, time.monotonic()
    first = learner.progress.images
    rows = run.ranks.share(training.batch_size)
    share = slice(rows.start, rows.stop)
    for images in batches(run.images.images, training.batch_size, training.seed, first, share):
        passed = before + time.monotonic() - began
        seconds, stops = run.ranks.largest_of(passed, should_stop())
        learner.progress = replace(learner.progress, seconds=seconds)
        if stops or run.is_finished():
            return
        report = take_step(run, images, learner.progress.step)
        learner.progress = replace(learner.progress, seconds=before + time.monotonic() - began)
        yield replace(report, progress=learner.progress)


def _finish(run: Run, curves: Curves, moved: bool, saved: bool) -> None:
    """Save what is not yet: ``moved`` in this session, ``saved`` as the latest at this step."""
    if not saved and (run.is_finished() or not run.learner.progress.skipped_in_a_row):
        save(run, LATEST)
    if run.is_finished() and (moved or not (run.directory / FINAL).exists()):
        viz_freq = run.config.cadence.viz_freq
        if viz_freq and run.learner.progress.step % viz_freq:
            save_preview(run, curves)
        save(run, FINAL)


def _assemble(
    directory: Path,
    config: RunConfig,
    images: DecodedImages,
    spec: build.ModelSpec,
    checkpoint: Checkpoint | None,
    ranks: Ranks,
) -> Run:
    training, device = config.training, choose_device(config.training.device)
    choice = training.compile
    if device.type == "cpu" and choice != "off" and ranks.any(bool(compilation.lacking())):
        choice = "off"  # all ranks lay their weights out alike
    network = build.new_denoiser(spec, training.seed)
    average = copy.deepcopy(network)
    if checkpoint is not None:
        build.load_weights(network, checkpoint.model, str(directory))
        build.load_weights(average, checkpoint.ema, str(directory))
    for weights in (network, average):
        compilation.prepare(weights.to(device), device, choice)
    taught = ranks.parallel(network)
    models = [
        build.assemble(
            spec,
            weights,
            device=device,
            precision=training.precision,
            lag=training.lag,
            min_noise=training.min_noise,
        )
        for weights in (taught, average)
    ]
    learner = Learner(models[0].chain, taught, average, training, ranks)
    ranks.check_same("kind of precision", needs_loss_scale(learner.chain.denoiser))
    if checkpoint is not None:
        assert checkpoint.optimizer is not None
        learner.optimizer.load(checkpoint.optimizer)
        learner.progress = Progress(**_known(checkpoint.progress))
    return Run(directory, config, images, spec, learner, models[1], ranks=ranks)


def _check_same(
    ranks: Ranks, config: RunConfig, images: DecodedImages, checkpoint: Checkpoint | None
) -> None:
    """Raise `InputError` where machines hold other files than each other."""
    ranks.check_same("options", config)
    ranks.check_same("images", (images.images.shape, images.histogram.tolist()))
    ranks.check_same("checkpoint", None if checkpoint is None else dict(checkpoint.progress))


def _known(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Without `best_loss`, which chose the best checkpoint before there were scores."""
    return {name: value for name, value in progress.items() if name != "best_loss"}


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
            "the last checkpoint is intact. Try a lower --lr, --grad-clip=100, --lr-warmup=1000 or "
            "--precision=fp32"
        )
