"""The set of emoji in the package, and the model that was trained on it."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from nkca.cli import metrics, sample
from nkca.config.parsing import configure
from nkca.data.dataset import load_dataset
from nkca.demo import DEMO_EMOJI, IMAGES, MODELS, dataset_path, measured_path, model_path
from nkca.errors import InputError
from nkca.metrics.measurement import open_measurement
from nkca.metrics.request import MeasureRequest
from nkca.models.build import load_model

MODEL, EMOJI = MODELS[DEMO_EMOJI], IMAGES[DEMO_EMOJI]
COUNT, SHARE_OF_WHITE = 1878, (0.2, 0.6)


def test_it_is_read_as_colour_pictures_of_one_size_on_white() -> None:
    images = load_dataset(configure({"dataset": DEMO_EMOJI, "cache": False}).data).images
    assert images.shape == (COUNT, 32, 32, 3)
    assert SHARE_OF_WHITE[0] < (images == 255).all(-1).mean() < SHARE_OF_WHITE[1]
    assert (images[..., 0] != images[..., 2]).mean() > 0.2  # colours
    kinds = {hashlib.sha256(image.tobytes()).hexdigest() for image in images}
    assert len(kinds) == COUNT


def test_all_commands_know_its_name_and_its_files_are_named() -> None:
    assert dataset_path(DEMO_EMOJI) == EMOJI
    assert model_path(DEMO_EMOJI) == MODEL
    assert measured_path("demo-emoji:images") == str(EMOJI)
    assert measured_path("demo-emoji:model") == str(MODEL)
    assert measured_path("./demo-emoji") == "./demo-emoji"
    with pytest.raises(InputError, match="demo-emoji:model or demo-emoji:images"):
        measured_path("demo-emoji")
    with zipfile.ZipFile(EMOJI) as archive:
        assert "1f600-grinning.png" in archive.namelist()
    assert EMOJI.stat().st_size < 2_500_000
    assert "CC-BY 4.0" in EMOJI.with_name("LICENSE.txt").read_text("utf-8")


def test_the_model_is_small_has_a_card_and_a_weak_model_in_eight_bits() -> None:
    assert MODEL.stat().st_size < 8_000_000
    content = torch.load(MODEL, map_location="cpu", weights_only=True)
    assert content["card"]["name"] == DEMO_EMOJI
    assert "CC-BY 4.0" in content["card"]["licence"]
    assert {t.dtype for t in content["weak"].values()} == {torch.float8_e4m3fn, torch.float16}
    model = load_model(DEMO_EMOJI, device="cpu")
    assert model.data_shape == (3, 32, 32)
    assert model.guidance > 1
    assert model.chain.averages_noise


def test_it_is_sampled_and_measured_by_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ["demo-emoji", "--num-samples=2", "--num-sampling-steps=3", f"--save-dir={out}", "-q"]
    assert CliRunner().invoke(sample.main, asked).exit_code == 0
    with Image.open(out / "seed_000001.png") as image:
        assert image.size == (32, 32)
        settings = json.loads(image.info["nkca"])
    assert settings["checkpoint"] == DEMO_EMOJI
    assert settings["guidance"] == 2.0
    found = open_measurement(MeasureRequest("demo-emoji:model", "demo-emoji:images")).subjects
    assert found["train"] is found["reference"]
    result = CliRunner().invoke(metrics.main, ["demo-emoji", f"--save-dir={out}"])
    assert result.exit_code == 2
