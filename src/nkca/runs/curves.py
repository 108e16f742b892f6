"""Training curves in TensorBoard, against the step."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nkca.pictures.grid import Pictures
from nkca.training.learner import StepReport

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

INTERVAL = 20  # steps that one point averages
LEVEL_BINS = 10


class Curves:
    """Averages reports over `INTERVAL` steps and writes them; without a writer, does nothing."""

    def __init__(self, writer: "SummaryWriter | None" = None) -> None:
        self._writer = writer
        self._waiting: list[StepReport] = []

    def add(self, report: StepReport) -> None:
        """Take one step's report; steps that moved no weight only count."""
        if not (report.was_skipped or report.overflowed) and self._writer is not None:
            self._waiting.append(report)
        if report.progress.step % INTERVAL == 0:
            self.flush(report.progress.step)

    def flush(self, step: int) -> None:
        """Write what waits as the point at ``step``."""
        if not self._waiting or self._writer is None:
            return
        reports, self._waiting = self._waiting, []
        last = reports[-1]
        production = torch.cat([r.entropy_production for r in reports])
        scalars = {
            "train/loss": sum(r.loss for r in reports) / len(reports),
            "train/entropy_production": production.mean().item(),
            "train/gradient_norm": sum(r.gradient_norm for r in reports) / len(reports),
            "train/learning_rate": last.learning_rate,
            "train/skipped_steps": last.progress.skipped,
            "train/images_seen": last.progress.images,
        }
        level = torch.cat([r.noise_level for r in reports])
        excess = torch.cat([r.loss_above_floor for r in reports])
        scalars.update(by_level(level, excess))
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write one number."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def image(self, name: str, picture: Pictures, step: int) -> None:
        """Write a picture, uint8 (H, W, C)."""
        if self._writer is not None:
            self._writer.add_image(name, picture, step, dataformats="HWC")


def by_level(noise_level: Tensor, loss_above_floor: Tensor) -> dict[str, float]:
    """Mean loss above its floor, nats per dimension, for each tenth of the noise levels seen."""
    bins = (noise_level * LEVEL_BINS).long().clamp(max=LEVEL_BINS - 1)
    return {
        f"loss_above_floor/level_{b / LEVEL_BINS:.1f}": loss_above_floor[bins == b].mean().item()
        for b in sorted(set(bins.tolist()))
    }


@contextmanager
def open_curves(directory: Path, first_step: int, is_kept: bool = True) -> Iterator[Curves]:
    """Write to ``directory``, if at all; points of a lost session from ``first_step`` on are hidden."""
    if not is_kept:
        yield Curves()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # inside TensorBoard's imports
        from torch.utils.tensorboard.writer import SummaryWriter
    with SummaryWriter(str(directory), purge_step=first_step or None) as writer:
        yield Curves(writer)
