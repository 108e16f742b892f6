"""What errors and SIGTERM become in a process that works with others, and what is left of it."""

import os
import signal
import socket
import time

import pytest
import torch.distributed as dist

from nkca.distributed import launch
from nkca.errors import InputError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")


@pytest.fixture(autouse=True)
def group_of_one(monkeypatch: pytest.MonkeyPatch) -> object:
    """`joined` makes a process group, of this process alone."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setattr(launch, "_numbers", lambda: (0, 0, 1, port, 60))
    before = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.getsignal(signal.SIGTERM) == before, "the old handler is back"
    if dist.is_initialized():
        dist.destroy_process_group()


def test_a_block_that_succeeds_leaves_no_group() -> None:
    with launch.joined("cpu") as ranks:
        assert dist.is_initialized()
        ranks.barrier()
    assert not dist.is_initialized()


def test_sigterm_ends_the_block_with_one_line() -> None:
    with (
        pytest.raises(InputError, match=r"^interrupted, .* has died; try again$"),
        launch.joined("cpu", "try again"),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # until the handler runs


def test_an_error_of_the_group_is_the_loss_of_another_process() -> None:
    with (
        pytest.raises(
            InputError, match=r"did not answer for 60 s \(NKCA_RANK_TIMEOUT\); try again$"
        ),
        launch.joined("cpu", "try again"),
    ):
        raise RuntimeError("[/pytorch/third_party/gloo/tcp/pair.cc:534] Connection closed by peer")


@pytest.mark.parametrize("error", [InputError("wrong"), RuntimeError("wrong"), OSError("wrong")])
def test_any_other_error_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error), match=r"^wrong$"), launch.joined("cpu"):
        raise error
