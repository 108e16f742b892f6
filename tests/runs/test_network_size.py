"""The size of the network that is chosen where no option says it."""

from pathlib import Path

import pytest
import torch

from nkca.config.schema import ModelConfig
from nkca.models.build import ModelSpec, build_denoiser
from nkca.runs.network_size import network_size
from nkca.runs.start import prepare

CPU = torch.device("cpu")
SIZES = [
    (28, 28),
    (32, 32),
    (8, 8),
    (7, 7),
    (64, 48),
    (30, 45),
    (2, 2),
    (1, 9),
    (128, 128),
    (256, 256),
]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_network_that_is_chosen_can_be_built(height: int, width: int) -> None:
    config = ModelConfig(**network_size(height, width, CPU, 600))
    with torch.device("meta"):
        build_denoiser(ModelSpec(config, (3, height, width), 0.5))
    positions = min(height, width) // config.size_unit
    assert positions <= 8 or min(height, width) % (2 * config.size_unit) or height != width


def test_by_hand() -> None:
    assert network_size(28, 28, CPU, 600) == {
        "hidden_size": 64, "dim_mults": (1, 2), "patch_size": 2,
    }  # fmt: skip
    assert network_size(32, 32, CPU, 7200)["hidden_size"] == 96
    assert network_size(64, 64, torch.device("cuda"), 60)["dim_mults"] == (1, 2, 2)
    assert network_size(64, 64, torch.device("cuda"), 60)["hidden_size"] == 128
    assert network_size(256, 256, CPU, 60)["patch_size"] == 4


def test_a_new_run_says_what_was_chosen_and_leaves_what_was_named(tmp_path: Path) -> None:
    options = {"dataset": "demo", "max_steps": 3, "device": "cpu"}
    prepared = prepare({**options, "hidden_size": 16}, tmp_path / "a")
    model = prepared.run.config.model
    assert (model.hidden_size, model.dim_mults, model.patch_size) == (16, (1, 2), 2)
    assert (
        "chosen for images of 28x28 on this cpu: dim_mults=1,2, patch_size=2" in prepared.messages
    )
    levels = prepare({**options, "dim_mults": [1, 1]}, tmp_path / "c").run.config.model
    assert (levels.hidden_size, levels.dim_mults, levels.patch_size) == (64, (1, 1), 1)
    paper = prepare(
        {**options, "recipe": "paper", "hidden_size": 16, "dim_mults": [1]}, tmp_path / "b"
    )
    assert paper.run.config.model.patch_size == 1
    assert not any("chosen" in message for message in paper.messages)
