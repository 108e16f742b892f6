"""A training run in a directory: prepare or resume, train, save, show.

    config.yaml             the resolved config (earlier ones: config-until-step-N.yaml)
    log.txt                 what happened, all sessions
    checkpoint_latest.pth   where the same command resumes; _final, _best and numbered ones beside it
    previews/               samples of the average of weights, always from the same seeds
    tensorboard/            curves

Nothing is printed: messages go to the logger "nkca", progress comes as `StepReport`s.
"""

import contextlib
import copy
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nkca import build, resume
from nkca.checkpoint import BEST, FINAL, LATEST, Checkpoint, save_checkpoint
from nkca.config import RunConfig, configure, read_yaml, write_yaml
from nkca.curves import Curves, open_curves
from nkca.data.cache import DecodedImages
from nkca.data.dataset import augment, batches, load_dataset
from nkca.errors import InputError, out_of_memory_says
from nkca.files import locked
from nkca.noise import step_noise
from nkca.pictures import contact_sheet, save_png
from nkca.precision import choose_device
from nkca.sampling import Model, sample
from nkca.training import Learner, Progress, StepReport, evaluate

logger = logging.getLogger("nkca")

SAVE_SECONDS = 600  # the longest time without a checkpoint
MAX_SKIPPED_IN_A_ROW = 20
PREVIEW_SAMPLES = 16
EVALUATION_IMAGES = 256


@dataclass(frozen=True)
class Run:
    """Everything that training needs, in memory.

    Args:
        average: the model with averaged weights, which samples are drawn from.
    """

    directory: Path
    config: RunConfig
    images: DecodedImages
    spec: build.ModelSpec
    learner: Learner
    average: Model

    @property
    def total_images(self) -> int:
        """Images seen when the epochs and steps asked for are done."""
        training, done = self.config.training, self.learner.progress
        by_epochs = training.epochs * len(self.images)
        if training.max_steps is None:
            return by_epochs
        left = max(0, training.max_steps - done.step) * training.batch_size
        return min(by_epochs, done.images + left)

    def is_finished(self) -> bool:
        """Whether the epochs, steps or time asked for are done."""
        training, done = self.config.training, self.learner.progress
        late = training.max_time is not None and done.seconds >= training.max_time
        return late or done.images >= self.total_images


@dataclass(frozen=True)
class Prepared:
    """A run that nothing has been written for yet, and what its log begins with."""

    run: Run
    messages: tuple[str, ...]


def prepare(
    options: Mapping[str, Any],
    directory: Path,
    on_decode: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Read the images and build, or load, the model of a run in ``directory``; write nothing there.

    Args:
        options: flat, as `configure` takes them; what a run that has begun leaves open is its own.
        on_decode: called with (done, total) while images are decoded.

    Raises:
        InputError: if options, images or the checkpoint there do not fit.
    """
    config, checkpoint, changes = resume.resolve(options, directory)
    images = load_dataset(config.data, on_decode)
    height, width, channels = images.images.shape[1:]
    shape = (channels, height, width)
    messages = [f"skipped unreadable image {name}: {why}" for name, why in images.unreadable]
    if checkpoint is not None:
        resume.check_data_shape(checkpoint, shape, directory)
        messages.append(f"resuming {directory} at step {checkpoint.progress['step']}")
        messages.extend(f"changed option {name}: {change}" for name, change in changes.items())
    std = images.std if checkpoint is None else checkpoint.data_std
    spec = build.ModelSpec(config.model, shape, std)
    with out_of_memory_says(advice_on_memory(config)):
        run = _assemble(directory, config, images, spec, checkpoint)
    return Prepared(run, tuple(messages))


@contextlib.contextmanager
def open_run(
    options: Mapping[str, Any],
    directory: str | Path,
    on_decode: Callable[[int, int], None] | None = None,
) -> Iterator[Run]:
    """Begin a run in ``directory``, or resume the one that is there; see `prepare`.

    A directory that holds a run is locked first, a new one made and locked once all has been checked:
    a second process is refused.
    """
    directory = Path(directory)
    with contextlib.ExitStack() as stack:
        lock = locked(directory / ".lock")
        has_begun = resume.newest_checkpoint(directory) is not None
        if has_begun:
            stack.enter_context(lock)
        prepared = prepare(options, directory, on_decode)
        directory.mkdir(parents=True, exist_ok=True)
        if not has_begun:
            stack.enter_context(lock)
        stack.enter_context(_log_file(directory / "log.txt"))
        for left in directory.glob(".checkpoint_*.tmp"):  # of a session that was killed
            left.unlink()
        _write_config(prepared.run)
        for message in prepared.messages:
            logger.info(message)
        yield prepared.run


def train(run: Run, should_stop: Callable[[], bool] = lambda: False) -> Iterator[StepReport]:
    """Train until the run is finished or ``should_stop()``.

    What was learned is saved in either case, and also when the caller leaves the loop early.

    Raises:
        InputError: if many steps in a row are not finite, or memory does not suffice.
    """
    first = run.learner.progress.step
    cadence, saved_at = run.config.cadence, time.monotonic()
    with (
        open_curves(run.directory / "tensorboard", first) as curves,
        out_of_memory_says(advice_on_memory(run.config)),
    ):
        for report in _steps(run, should_stop):
            try:
                yield report
            except GeneratorExit:
                if not report.was_skipped:
                    _save(run, LATEST)
                raise
            step = report.progress.step
            curves.add(report)
            _check_finite(report)
            if report.was_skipped:  # perhaps the weights are broken: keep the last good checkpoint
                continue
            if cadence.viz_freq and step % cadence.viz_freq == 0:
                _save_preview(run, curves)
            if cadence.eval_freq and step % cadence.eval_freq == 0:
                _evaluate(run, curves)
            if step % cadence.checkpoint_freq == 0 or time.monotonic() - saved_at > SAVE_SECONDS:
                _save(run, LATEST)
                _keep_numbered(run)
                saved_at = time.monotonic()
        curves.flush(run.learner.progress.step)
        _finish(run, curves, moved=run.learner.progress.step > first)


def _steps(run: Run, should_stop: Callable[[], bool]) -> Iterator[StepReport]:
    """The loop itself: images -> state -> step."""
    config, learner, model = run.config, run.learner, run.average
    size, seed = config.training.batch_size, config.training.seed
    before, began = learner.progress.seconds, time.monotonic()
    for images in batches(run.images.images, size, seed, learner.progress.images):
        if run.is_finished() or should_stop():
            return
        noise = step_noise(seed, learner.progress.step, 0, size)
        images = augment(images.to(model.device), config.data.data_augmentation, noise)
        report = learner.step(model.pixels.to_state(images), noise)
        learner.progress = replace(learner.progress, seconds=before + time.monotonic() - began)
        yield replace(report, progress=learner.progress)


def _finish(run: Run, curves: Curves, moved: bool) -> None:
    if moved and (run.is_finished() or not run.learner.progress.skipped_in_a_row):
        _save(run, LATEST)
    if run.is_finished() and (moved or not (run.directory / FINAL).exists()):
        viz_freq = run.config.cadence.viz_freq
        if viz_freq and run.learner.progress.step % viz_freq:
            _save_preview(run, curves)
        _save(run, FINAL)


def _assemble(
    directory: Path,
    config: RunConfig,
    images: DecodedImages,
    spec: build.ModelSpec,
    checkpoint: Checkpoint | None,
) -> Run:
    training, device = config.training, choose_device(config.training.device)
    network = build.new_denoiser(spec, training.seed)
    average = copy.deepcopy(network)
    if checkpoint is not None:
        build.load_weights(network, checkpoint.model, str(directory))
        build.load_weights(average, checkpoint.ema, str(directory))
    models = [
        build.assemble(
            spec,
            weights.to(device),
            device=device,
            precision=training.precision,
            lag=training.lag,
            min_noise=training.min_noise,
        )
        for weights in (network, average)
    ]
    learner = Learner(models[0].chain, network, average, training)
    if checkpoint is not None:
        assert checkpoint.optimizer is not None
        learner.load_optimizer_state(checkpoint.optimizer)
        learner.progress = Progress(**checkpoint.progress)
    return Run(directory, config, images, spec, learner, models[1])


def _save(run: Run, name: str) -> None:
    learner = run.learner
    checkpoint = Checkpoint(
        config=run.config.to_flat(),
        data_shape=run.spec.data_shape,
        data_std=run.spec.data_std,
        progress=asdict(learner.progress),
        model=learner.network.state_dict(),
        ema=learner.average.state_dict(),
        optimizer=learner.optimizer_state(),
    )
    save_checkpoint(run.directory / name, checkpoint)
    logger.info("saved %s at step %d", run.directory / name, learner.progress.step)


def _keep_numbered(run: Run) -> None:
    """Save a numbered checkpoint too, and remove the oldest beyond ``keep``."""
    if not run.config.cadence.keep:
        return
    _save(run, f"checkpoint_{run.learner.progress.step:09d}.pth")
    numbered = sorted(run.directory.glob("checkpoint_[0-9]*.pth"))
    for old in numbered[: -run.config.cadence.keep]:
        old.unlink()


def _save_preview(run: Run, curves: Curves) -> None:
    step, began = run.learner.progress.step, time.monotonic()
    batch = min(PREVIEW_SAMPLES, run.config.training.batch_size)
    picture = contact_sheet(sample(run.average, range(PREVIEW_SAMPLES), batch_size=batch))
    (run.directory / "previews").mkdir(exist_ok=True)
    save_png(run.directory / "previews" / f"step_{step:09d}.png", picture)
    curves.image("samples", picture, step)
    logger.info("preview at step %d took %.1f s", step, time.monotonic() - began)


def _evaluate(run: Run, curves: Curves) -> None:
    """Score the average on the first images with fixed draws; keep the best checkpoint."""
    progress, training = run.learner.progress, run.config.training
    size = training.batch_size
    losses, productions = [], []
    for first in range(0, min(EVALUATION_IMAGES, len(run.images)), size):
        part = run.images.images[first : min(first + size, EVALUATION_IMAGES)]
        images = torch.from_numpy(part.copy()).movedim(-1, 1).to(run.average.device)
        z = run.average.pixels.to_state(images)
        terms = evaluate(run.average.chain, z, training.min_noise, first)
        losses.append(terms.loss)
        productions.append(terms.entropy_production / z[0].numel())
    loss = torch.cat(losses).mean().item()
    curves.scalar("evaluation/loss", loss, progress.step)
    curves.scalar(
        "evaluation/entropy_production", torch.cat(productions).mean().item(), progress.step
    )
    logger.info("evaluation at step %d: loss %.4f", progress.step, loss)
    if progress.best_loss is None or loss < progress.best_loss:
        run.learner.progress = replace(progress, best_loss=loss)
        _save(run, BEST)


def _check_finite(report: StepReport) -> None:
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


def _write_config(run: Run) -> None:
    path = run.directory / "config.yaml"
    if path.exists():
        try:
            if configure(read_yaml(path)) == run.config:
                return
        except InputError:
            logger.warning("%s was not a readable config", path)
        kept = run.directory / f"config-until-step-{run.learner.progress.step}.yaml"
        if not kept.exists():
            path.rename(kept)
    write_yaml(path, run.config)


def advice_on_memory(config: RunConfig) -> str:
    """What helps a run that does not fit into memory."""
    training = config.training
    return (
        f"at batch size {training.batch_size} in {training.accumulate} part(s): try "
        f"--accumulate={2 * training.accumulate}, a smaller --batch-size, --resize or --hidden-size, "
        "or --precision=bf16"
    )


@contextlib.contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Append what "nkca" logs to ``path`` while the block runs."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
