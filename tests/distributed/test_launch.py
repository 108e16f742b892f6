"""What SIGTERM does to a process that works with others, and what is left of it."""

import os
import signal
import time

import pytest

from nkca.distributed.launch import _ended_by_signal
from nkca.errors import InputError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)  # until the handler runs


def test_sigterm_ends_the_block_with_one_line_and_the_old_handler_is_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InputError, match="ended by SIGTERM"), _ended_by_signal():
        assert signal.getsignal(signal.SIGTERM) != before
        terminate()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("error", [InputError("wrong"), ValueError("wrong"), KeyboardInterrupt()])
def test_the_old_handler_is_back_after_any_error(error: BaseException) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(type(error)), _ended_by_signal():
        raise error
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_error_on_its_way_is_not_hidden_by_sigterm() -> None:
    with pytest.raises(InputError, match="first"), _ended_by_signal():
        try:
            raise InputError("first")
        finally:
            terminate()
