"""Training curves in TensorBoard, against the step."""

import io
import os
import secrets
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from nkca.pictures.grid import Pictures
from nkca.training.learner import StepReport

INTERVAL = 20  # steps that one point averages
LEVEL_BINS = 10


class Curves:
    """Averages reports over `INTERVAL` steps and writes them; without a writer, does nothing."""

    def __init__(self, writer: "EventFile | None" = None) -> None:
        self._writer = writer
        self._waiting: list[StepReport] = []

    def add(self, report: StepReport) -> None:
        """Take one step's report; those of steps without an update are left out."""
        if not (report.was_skipped or report.overflowed) and self._writer is not None:
            if self._waiting and self._waiting[-1].shown.keys() != report.shown.keys():
                self.flush(report.progress.step - 1)  # from here on another objective
            self._waiting.append(report)
        if report.progress.step % INTERVAL == 0:
            self.flush(report.progress.step)

    def flush(self, step: int) -> None:
        """Write the collected reports as the point at ``step``."""
        if not self._waiting or self._writer is None:
            return
        reports, self._waiting = self._waiting, []
        last = reports[-1]
        scalars = {
            "train/loss": sum(r.loss for r in reports) / len(reports),
            "train/gradient_norm": sum(r.gradient_norm for r in reports) / len(reports),
            "train/learning_rate": last.learning_rate,
            "train/skipped_steps": last.progress.skipped,
            "train/images_seen": last.progress.images,
        }
        level = torch.cat([r.noise_level for r in reports])
        for name in last.shown:
            values = torch.cat([r.shown[name] for r in reports])
            scalars[f"train/{name}"] = values.mean().item()
            scalars |= by_level(name, level, values)
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write one number."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def image(self, name: str, picture: Pictures, step: int) -> None:
        """Write a picture, uint8 (H, W, C)."""
        if self._writer is not None:
            self._writer.add_image(name, picture, step)


def by_level(name: str, noise_level: Tensor, values: Tensor) -> dict[str, float]:
    """The mean of ``values`` (N,) for each tenth of the noise levels (N,) seen, as curves of ``name``."""
    bins = (noise_level * LEVEL_BINS).long().clamp(max=LEVEL_BINS - 1)
    return {
        f"{name}/level_{b / LEVEL_BINS:.1f}": values[bins == b].mean().item()
        for b in sorted(set(bins.tolist()))
    }


@contextmanager
def open_curves(directory: Path, first_step: int, is_kept: bool = True) -> Iterator[Curves]:
    """Write to ``directory``, if at all; points of a lost session from ``first_step`` on are hidden."""
    if not is_kept:
        yield Curves()
        return
    directory.mkdir(exist_ok=True)
    name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
    path = directory / f"{name}.{secrets.token_hex(4)}"
    with path.open("xb", buffering=0) as file:
        yield Curves(EventFile(file, first_step))


class EventFile:
    """TensorBoard's file of events, written by this thread: a full disk is an `OSError` here and now.

    PyTorch's `SummaryWriter` writes in a thread, which dies of it with a traceback.
    """

    def __init__(self, file: IO[bytes], first_step: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # inside TensorBoard's imports
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog
            from tensorboard.summary.writer.record_writer import RecordWriter
            from torch.utils.tensorboard import summary
        self._file, self._event, self._record = file, Event, RecordWriter
        self._summary: Any = summary
        self._write(file_version="brain.Event:2")
        if first_step:
            start = SessionLog(status=SessionLog.START)
            self._write(step=first_step, session_log=start)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Write a point of a curve."""
        self._write(step=step, summary=self._summary.scalar(name, value))

    def add_image(self, name: str, picture: Pictures, step: int) -> None:
        """Write a picture, uint8 (H, W, C)."""
        self._write(step=step, summary=self._summary.image(name, picture, dataformats="HWC"))

    def _write(self, **content: Any) -> None:
        record = io.BytesIO()
        event = self._event(wall_time=time.time(), **content)
        self._record(record).write(event.SerializeToString())
        left = record.getvalue()
        try:
            while left:  # a disk that is nearly full takes a part
                left = left[self._file.write(left) :]
        except OSError as error:
            error.filename = self._file.name
            raise
