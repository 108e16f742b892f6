"""Frames of an animation, recorded while the chains step; a value, in bounded memory."""

import dataclasses
from dataclasses import dataclass

from torch import Tensor

MAX_FRAMES = 400
MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class Recording:
    """Recorded frames, each uint8 (B, C, H, W); when there are too many, every second one is dropped.

    Args:
        stride: steps from one frame to the next.
        steps: how many steps were recorded.
        on: whether further steps are recorded.
    """

    frames: tuple[Tensor, ...] = ()
    stride: int = 1
    steps: int = 0
    on: bool = True

    def add(self, pictures: Tensor) -> "Recording":
        """The recording after one more step."""
        steps = self.steps + 1
        if not self.on:
            return self
        if self.steps % self.stride:
            return dataclasses.replace(self, steps=steps)
        frames, stride = (*self.frames, pictures), self.stride
        if len(frames) > max(2, min(MAX_FRAMES, MAX_BYTES // max(1, pictures.nbytes))):
            frames, stride = frames[::2], 2 * stride
        return dataclasses.replace(self, frames=frames, stride=stride, steps=steps)

    def ended(self) -> "Recording":
        """The recording, finished."""
        return dataclasses.replace(self, on=False)
