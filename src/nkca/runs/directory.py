"""What a run's directory holds, and the functions that write it.

config.yaml             the resolved config (earlier ones: config-until-step-N.yaml)
log.txt                 what happened, all sessions
checkpoint_latest.pth   where the same command resumes; _final, _best and numbered ones beside it
previews/               samples of the averaged weights, always from the same seeds
reconstructions/        training images, noised and finished by the averaged weights
tensorboard/            curves
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from nkca.config.parsing import configure, read_yaml, write_yaml
from nkca.errors import InputError
from nkca.models.checkpoint import Checkpoint, save_checkpoint
from nkca.runs.run import Run

logger = logging.getLogger("nkca")


def save(run: Run, name: str) -> None:
    """Write the run's checkpoint ``name``, atomically; on the first rank."""
    if not run.ranks.is_first:
        return
    learner = run.learner
    weak = learner.weak_network
    checkpoint = Checkpoint(
        config=run.config.to_flat(),
        data_shape=run.spec.data_shape,
        data_std=run.spec.data_std,
        progress=asdict(run.progress),
        model=learner.weights.state_dict(),
        ema=learner.ema_network.state_dict(),
        optimizer=learner.optimizer.state(),
        weak={} if weak is None else weak.state_dict(),
    )
    save_checkpoint(run.directory / name, checkpoint)
    logger.info("saved %s at step %d", run.directory / name, run.progress.step)


def keep_numbered(run: Run) -> None:
    """Save a numbered checkpoint too, and remove the oldest beyond ``keep``."""
    if not run.config.cadence.keep or not run.ranks.is_first:
        return
    save(run, f"checkpoint_{run.progress.step:09d}.pth")
    numbered = sorted(run.directory.glob("checkpoint_[0-9]*.pth"))
    for old in numbered[: -run.config.cadence.keep]:
        old.unlink()


def write_config(run: Run) -> None:
    """Write config.yaml; an older one that differs is kept beside it."""
    path = run.directory / "config.yaml"
    if path.exists():
        try:
            if configure(read_yaml(path)) == run.config:
                return
        except InputError:
            logger.warning("%s was not a readable config", path)
        kept = run.directory / f"config-until-step-{run.progress.step}.yaml"
        if not kept.exists():
            path.rename(kept)
    write_yaml(path, run.config)


class _LogFile(logging.FileHandler):
    """Raises what logging would print, a traceback where the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        """Raise the error that is being handled, with the name of the file."""
        error = sys.exc_info()[1]
        assert error is not None
        if isinstance(error, OSError):
            error.filename = self.baseFilename
        raise error

    def close(self) -> None:
        """Close the file; lines that did not fit on the disk have been an error already."""
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Append what "nkca" logs to ``path`` while the block runs."""
    handler = _LogFile(path, encoding="utf-8")
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
