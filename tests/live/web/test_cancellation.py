"""An evaluation is cancelled in its own denoiser and nowhere else."""

import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from nkca.denoisers.exact import GaussianDenoiser
from nkca.denoisers.precision import HalfPrecision
from nkca.distributions.normal import Normal
from nkca.live.web.cancellation import CancellableDenoiser, Cancelled

X, LEVEL = torch.zeros(2, 1, 4, 4), torch.full((2,), 0.5)


class Network(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Identity(), nn.Identity())

    def forward(self, x: Tensor, _: Tensor) -> Normal:
        return Normal(self.layers(x), torch.ones_like(x))


@pytest.mark.parametrize("half", [False, True])
def test_cancels_before_the_next_layer_of_this_network_only(half: bool) -> None:
    network, other = Network(), Network()
    asked = 0

    def unwanted() -> bool:
        nonlocal asked
        asked += 1
        assert not hooks._global_forward_pre_hooks
        assert not hooks._global_forward_hooks
        return asked == 5

    denoiser = CancellableDenoiser(HalfPrecision(network, torch.bfloat16) if half else network)
    with denoiser.cancel_when(unwanted):
        other(X, LEVEL)
        assert asked == 0
        with pytest.raises(Cancelled):
            denoiser(X, LEVEL)
    assert asked == 5  # before the evaluation, the network, its sequence and the two layers of that
    denoiser(X, LEVEL)
    assert asked == 5, "not checked outside the block"
    assert not any(layer._forward_pre_hooks for layer in network.modules())


def test_does_not_cancel_in_another_thread() -> None:
    network = Network()
    with CancellableDenoiser(network).cancel_when(lambda: True):
        finished = []
        thread = threading.Thread(target=lambda: finished.append(network(X, LEVEL)))
        thread.start()
        thread.join()
    assert len(finished) == 1


def test_cancels_between_evaluations_if_there_are_no_layers() -> None:
    denoiser = CancellableDenoiser(GaussianDenoiser(torch.tensor(0.0), torch.tensor(1.0)))
    denoiser(X, LEVEL)
    with denoiser.cancel_when(lambda: True), pytest.raises(Cancelled):
        denoiser(X, LEVEL)
