"""Whatever size a message proposes, the next check takes."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tables import each

from nkca.errors import InputError
from nkca.runs.loop import train
from nkca.runs.start import open_run, prepare

TINY = {"hidden_size": 8, "batch_size": 2, "device": "cpu", "max_steps": 1, "viz_freq": 0}
TINY |= {"cache": False}
SIZES = {
    "mixed": [(24, 18)] * 3 + [(30, 18), (16, 20), (9, 42)],
    "odd": [(17, 30)] * 2,
    "even": [(8, 8)] * 2,
}
REFUSED: list[dict[str, Any]] = [
    {"dataset": "mixed", "dim_mults": [1]},
    {"dataset": "mixed", "dim_mults": [1, 1, 1]},
    {"dataset": "mixed", "dim_mults": [1, 1], "patch_size": 3},
    {"dataset": "mixed"},
    {"dataset": "mixed", "patch_size": 5},
    {"dataset": "mixed", "dim_mults": [1, 1, 1], "patch_size": 4, "fit": "commonest"},
    {"dataset": "mixed", "dim_mults": [1, 1, 1], "patch_size": 4, "fit": "pad"},
    {"dataset": "odd", "dim_mults": [1, 1, 1]},
    {"dataset": "odd", "dim_mults": [1], "recipe": "paper", "patch_size": 4},
    {"dataset": "odd", "patch_size": 4},
]
RESUMED: list[dict[str, Any]] = [
    {"dataset": "mixed"},
    {"dataset": "odd"},
    {"dataset": "even", "channels": 1},
    {"dataset": "even", "resize": (16, 8)},
]


def proposals(options: dict[str, Any], directory: Path) -> list[dict[str, str]]:
    """The options of each alternative that the refusal of a run proposes."""
    with pytest.raises(InputError) as caught:
        prepare(options, directory)
    _, _, advice = str(caught.value).rpartition("use ")
    parts = re.split(r", or | or |, (?=resize)", advice)
    found = [dict(re.findall(r"\b(resize|fit|channels)=(\w+)", part)) for part in parts]
    return [proposed for proposed in found if proposed]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name, sizes in SIZES.items():
        (tmp_path / name).mkdir()
        for number, (height, width) in enumerate(sizes):
            image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
            image.putpixel((0, 0), (255, 0, 0))
            image.save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_of_a_new_run(folders: Path) -> None:
    for options in each(REFUSED):
        options = {**TINY, **options, "dataset": str(folders / options["dataset"])}
        found = proposals(options, folders / "run")
        assert len(found) >= 2
        for proposed in found:
            prepare({**options, **proposed}, folders / "run")


def test_of_a_run_that_has_begun(folders: Path) -> None:
    even = {**TINY, "dim_mults": [1], "dataset": str(folders / "even")}
    with open_run(even, folders / "run") as run:
        list(train(run))
    for options in each(RESUMED):
        options = {**options, "dataset": str(folders / options["dataset"])}
        found = proposals(options, folders / "run")
        assert found
        for proposed in found:
            assert prepare({**options, **proposed}, folders / "run").run.spec.data_shape == (
                3,
                8,
                8,
            )
