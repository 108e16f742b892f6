"""The bottleneck of a denoiser's U-Net: read it, or shift it.

The bottleneck is what the narrowest stage of the U-Net gives, (B, C, H, W) at its lowest resolution.
Reading and shifting hook into the network while it is called, and leave nothing behind. A network that
`torch.compile` has compiled does not see hooks, so these calls run it as it was written.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from nkca.denoisers.contract import Denoiser
from nkca.denoisers.precision import HalfPrecision
from nkca.distributions.contracts import Posterior
from nkca.errors import InputError
from nkca.networks.unet import UNet


@dataclass(frozen=True)
class Shifted:
    """A denoiser whose bottleneck is moved by ``shift``, broadcastable to it, at levels from ``low`` up."""

    denoiser: Denoiser
    shift: Tensor
    low: float = 0.0

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        """Return p(z|x) for states x (B, C, H, W) at levels (B,)."""
        amount = (noise_level >= self.low).to(self.shift.dtype).view(-1, 1, 1, 1)
        with _hooked(self.denoiser, lambda features: features + amount * self.shift):
            return self.denoiser(x, noise_level)


def observe(denoiser: Denoiser, x: Tensor, noise_level: Tensor) -> tuple[Posterior, Tensor]:
    """p(z|x) for states x (B, C, H, W) at levels (B,), and the bottleneck of that evaluation.

    Raises:
        InputError: if the denoiser has no U-Net.
    """
    seen: list[Tensor] = []

    def see(features: Tensor) -> Tensor:
        seen.append(features)
        return features

    with _hooked(denoiser, see):
        p_z = denoiser(x, noise_level)
    return p_z, seen[0]


@contextmanager
def _hooked(denoiser: Denoiser, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass the bottleneck through ``change`` while the block runs."""
    network = denoiser.denoiser if isinstance(denoiser, HalfPrecision) else denoiser
    units = [part for part in _parts(network) if isinstance(part, UNet)]
    if not isinstance(network, nn.Module) or not units:
        raise InputError("this model's denoiser has no U-Net, so no bottleneck to look into")
    hook = units[0].middle.register_forward_hook(lambda _module, _x, out: change(out))
    compiled, network._compiled_call_impl = network._compiled_call_impl, None
    try:
        yield
    finally:
        hook.remove()
        network._compiled_call_impl = compiled


def _parts(network: object) -> Iterator[nn.Module]:
    return network.modules() if isinstance(network, nn.Module) else iter(())
