"""A chain and the conversion between its states and images."""

import math
from dataclasses import dataclass, replace

import torch

from nkca.chain import Chain
from nkca.config.sampling import SamplingConfig
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.guidance import Guided
from nkca.errors import InputError, require
from nkca.kernels.continuous import pooled_levels
from nkca.pixels import ContinuousPixels, Pixels

AS_IN_THE_PAPER = SamplingConfig()


@dataclass(frozen=True)
class Model:
    """A chain with what it takes to talk to it in images.

    Args:
        data_shape: (C, H, W).
        min_noise: the lowest level the denoiser was trained at.
        device: where states live.
        sampling: how it draws samples where nothing else is said.
        weak: the denoiser of an earlier step of its run, which may guide samples; None: it was not kept.
    """

    chain: Chain
    pixels: Pixels
    data_shape: tuple[int, int, int]
    min_noise: float
    device: torch.device
    sampling: SamplingConfig = AS_IN_THE_PAPER
    weak: Denoiser | None = None

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """Of a state, (C, H, W); with a palette C is 1."""
        black = torch.zeros(1, *self.data_shape, dtype=torch.uint8)
        _, channels, height, width = self.pixels.to_state(black).shape
        return channels, height, width

    @property
    def guidance(self) -> float:
        """The strength of guidance where nothing else is said: 1, none, without a weak model."""
        return 1.0 if self.weak is None else self.sampling.guidance

    def pooled(self, pooling: int) -> "Model":
        """The model of means of pooling x pooling pixels, shown as squares; for continuous pixels.

        Its network must be told, see `nkca.denoisers.learned.see_pooled`.
        """
        lowest = pooled_levels(torch.tensor(self.min_noise, dtype=torch.float64), pooling)
        return replace(self, pixels=ContinuousPixels(pooling), min_noise=lowest.item())

    def check_full_size(self, what: str) -> None:
        """Raise `InputError` if states are means of squares of pixels; ``what`` needs every pixel."""
        if isinstance(self.pixels, ContinuousPixels) and self.pixels.pooling > 1:
            side = self.pixels.pooling
            raise InputError(
                f"{what} need every pixel: this run still learns the means of {side} x {side} pixels; "
                "train it further"
            )

    def guided(self, strength: float) -> Chain:
        """The chain whose denoiser is guided, see `nkca.denoisers.guidance`; at 1 the chain itself.

        Raises:
            InputError: if it is not finite, or not 1 and there is no weak model.
        """
        require(math.isfinite(strength), "guidance", "finite", strength)
        if strength == 1:
            return self.chain
        if self.weak is None:
            raise InputError(
                f"guidance {strength:g} needs a weak model, which this checkpoint lacks; train with "
                "weak_at, such as 0.25"
            )
        return replace(self.chain, denoiser=Guided(self.chain.denoiser, self.weak, strength))
