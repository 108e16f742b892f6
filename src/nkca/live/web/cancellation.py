"""Cancel an evaluation of a denoiser that no request waits for any more."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from nkca.denoisers.contract import Denoiser
from nkca.distributions.contracts import Posterior


class Interrupted(Exception):  # noqa: N818  (nothing is wrong)
    """The evaluation was given up; nothing has changed."""


class Interruptible:
    """A denoiser whose evaluations can be given up, in a network before its next layer.

    What is hooked is the layers of this network, and only inside `until`; other threads may use the
    same network meanwhile. Code from torch.compile has no layers: it is given up between evaluations.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self._check: Callable[[], None] = _go_on

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        """Return p(z|x) for states x (B, C, H, W) at levels (B,).

        Raises:
            Interrupted: inside `until`, if nobody wants the result any more.
        """
        self._check()
        return self.denoiser(x, noise_level)

    @contextlib.contextmanager
    def until(self, unwanted: Callable[[], bool]) -> Iterator[None]:
        """Raise `Interrupted` in this thread, before the next layer, once ``unwanted()`` is true."""
        thread = threading.get_ident()

        def check(*_: Any) -> None:
            if threading.get_ident() == thread and unwanted():
                raise Interrupted

        before, self._check = self._check, check
        handles = [layer.register_forward_pre_hook(check) for layer in _layers(self.denoiser)]
        try:
            yield
        finally:
            self._check = before
            for handle in handles:
                handle.remove()


def _go_on() -> None:
    """Give nothing up."""


def _layers(denoiser: object) -> list[nn.Module]:
    """The layers of the network in ``denoiser``; none, if there is no network or it was compiled."""
    while not isinstance(denoiser, nn.Module):
        if not hasattr(denoiser, "denoiser"):
            return []
        denoiser = denoiser.denoiser  # in another precision, or conditioned
    layers = list(denoiser.modules())
    compiled = any(getattr(layer, "_compiled_call_impl", None) is not None for layer in layers)
    return [] if compiled else layers
