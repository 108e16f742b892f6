"""Cancel a denoiser evaluation when no request waits for its result."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from nkca.denoisers.contract import Denoiser
from nkca.distributions.contracts import Posterior


class Cancelled(Exception):  # noqa: N818  (not an error)
    """The evaluation was cancelled; nothing has changed."""


class CancellableDenoiser:
    """A denoiser whose evaluation can be cancelled before the next layer of its network.

    The layers have hooks only inside `cancel_when`, and these act in one thread: other threads may use the
    network meanwhile. Code from torch.compile has no layers and is cancelled between evaluations.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self._check: Callable[[], None] = _never

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        """Return p(z|x) for states x (B, C, H, W) at levels (B,).

        Raises:
            Cancelled: inside `cancel_when`, if its condition is true.
        """
        self._check()
        return self.denoiser(x, noise_level)

    @contextlib.contextmanager
    def cancel_when(self, unwanted: Callable[[], bool]) -> Iterator[None]:
        """Raise `Cancelled` in this thread, before the next layer, once ``unwanted()`` is true."""
        thread = threading.get_ident()

        def check(*_: Any) -> None:
            if threading.get_ident() == thread and unwanted():
                raise Cancelled

        before, self._check = self._check, check
        handles = [layer.register_forward_pre_hook(check) for layer in _layers(self.denoiser)]
        try:
            yield
        finally:
            self._check = before
            for handle in handles:
                handle.remove()


def _never() -> None:
    """Outside `cancel_when`: do not cancel."""


def _layers(denoiser: object) -> list[nn.Module]:
    """The layers of the network in ``denoiser``; empty if there is no network or it was compiled."""
    while not isinstance(denoiser, nn.Module):
        if not hasattr(denoiser, "denoiser"):
            return []
        denoiser = denoiser.denoiser  # a wrapper for precision or a condition
    layers = list(denoiser.modules())
    compiled = any(getattr(layer, "_compiled_call_impl", None) is not None for layer in layers)
    return [] if compiled else layers
