"""What all tests share: small threads, a cache of their own, the original's numbers."""

import os
from pathlib import Path

import pytest
import torch
from parity.shrink import unpack

from nkca.networks.cpu import norm_mish


def pytest_configure() -> None:
    """One thread for each test process: tiny tensors, and several processes on few cores."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images of tests never reach the user's cache."""
    os.environ["NKCA_CACHE"] = str(tmp_path_factory.mktemp("nkca-cache"))


@pytest.fixture(scope="session")
def parity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the original's numbers and checkpoints: tests/parity/README.md."""
    folder = tmp_path_factory.mktemp("parity")
    unpack(folder)
    return folder


@pytest.fixture
def _kernels() -> None:
    """Skip where nothing can be compiled."""
    found = norm_mish.kernels()
    if isinstance(found, str):
        pytest.skip(f"nothing is compiled here: {found}")
