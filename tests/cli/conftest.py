"""What tests of the commands share: tiny images, tiny trained models, and how to call a command."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

Call: TypeAlias = Callable[..., Result]

TINY = (
    *("--recipe=paper", "--hidden-size=8", "--dim-mults=[1]", "--batch-size=4"),
    *("--viz-freq=0", "--device=cpu"),
)


def run_command(name: str, *args: object, code: int = 0) -> Result:
    """Run ``nkca-NAME args`` in this process; anything but the expected exit code fails the test."""
    main = importlib.import_module(f"nkca.cli.{name}").main
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, f"{result.exit_code}: {result.stderr}{result.stdout}"
    return result


def make_images(folder: Path, channels: int) -> Path:
    """Sixteen 8x8 PNGs: a bright square that wanders over a dark gradient."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(16):
        image = np.full((8, 8, channels), 4 * number, np.uint8)
        row, column = divmod(number, 4)
        image[row : row + 4, column : column + 4, number % channels] = 230
        Image.fromarray(image[..., 0] if channels == 1 else image).save(
            folder / f"{number:02d}.png"
        )
    return folder


@pytest.fixture(scope="session")
def call() -> Call:
    return run_command


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("photos"), 3)


@pytest.fixture(scope="session")
def grey_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("grey"), 1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The directory of a finished run of a continuous model: never write there."""
    directory = tmp_path_factory.mktemp("runs") / "continuous"
    run_command(
        "train", *TINY, "--max-steps=3", f"--dataset={photos}", f"--save-dir={directory}", "-q"
    )
    return directory


@pytest.fixture(scope="session")
def trained_discrete(tmp_path_factory: pytest.TempPathFactory, grey_photos: Path) -> Path:
    """The directory of a finished run of a categorical model: never write there."""
    directory = tmp_path_factory.mktemp("runs") / "discrete"
    options = (*TINY, "--discrete", "--num-classes=4", "--max-steps=3", "-q")
    run_command("train", *options, f"--dataset={grey_photos}", f"--save-dir={directory}")
    return directory
