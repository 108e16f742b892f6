"""What all tests share: small threads, a cache of their own, the parity files if they are there."""

import os
from pathlib import Path

import pytest
import torch

from nkca.networks.cpu.library import Kernels, find_kernels

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure() -> None:
    """One thread for each test process: tiny tensors, and several processes on few cores."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images of tests never reach the user's cache."""
    os.environ["NKCA_CACHE"] = str(tmp_path_factory.mktemp("nkca-cache"))


@pytest.fixture(scope="session")
def parity() -> Path:
    """The folder of reference numbers; tests that need it are skipped without it."""
    folder = SHARED / "parity"
    if not folder.is_dir():
        pytest.skip(f"no parity files at {folder}")
    return folder


@pytest.fixture
def kernels() -> Kernels:
    """The compiled kernels; skipped where nothing can be compiled."""
    found = find_kernels()
    if isinstance(found, str):
        pytest.skip(f"nothing is compiled here: {found}")
    return found
