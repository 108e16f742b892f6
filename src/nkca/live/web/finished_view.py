"""Finished pictures for pages: made when there is time, and once for all pages."""

import time

import torch
from torch import Tensor

from nkca.live.chains.finish import finish
from nkca.live.chains.tiles import Tiles
from nkca.models.model import Model

SHARE = 3  # of the time that chains run, one part of so many may go into finishing
SLOW = 0.25  # seconds of finishing for which a page shows the denoised pictures meanwhile


class FinishedView:
    """The finished pictures of the last moment for which there was time."""

    def __init__(self) -> None:
        self._x: Tensor | None = None
        self._pictures = torch.empty(0)
        self._ended, self._seconds = 0.0, 0.0

    @property
    def is_slow(self) -> bool:
        """Whether finishing takes so long that a page should show something before."""
        return self._seconds > SLOW

    def of(self, moment: Tiles) -> Tensor | None:
        """The finished pictures of a moment, uint8 (B, C, H, W); None if they were not made."""
        return self._pictures if moment.x is self._x else None

    def make(self, model: Model, moment: Tiles, running: bool) -> None:
        """Finish the tiles of a moment; while chains are running only if it is time to."""
        began = time.perf_counter()
        if moment.x is self._x:
            return
        if running and began - self._ended < (SHARE - 1) * self._seconds:
            return
        self._pictures = finish(model, moment, list(range(len(moment))))
        self._x, self._ended = moment.x, time.perf_counter()
        self._seconds = self._ended - began
