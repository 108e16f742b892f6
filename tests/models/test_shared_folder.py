"""Exported models: the same samples, opened by every command; nothing overwritten; damage is told."""

import json
from pathlib import Path

import numpy as np
import pytest

import nkca
from nkca.errors import InputError
from nkca.models.checkpoint import digest, load_checkpoint, read_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return nkca.export_model("demo", tmp_path / "shared")


def test_samples_are_the_same(folder: Path) -> None:
    """Up to rounding, which depends on how weights lie in memory."""
    ours, theirs = (
        nkca.sample(nkca.load_model(name), range(2), schedule=nkca.Schedule(num_steps=3))
        for name in (folder, "demo")
    )
    assert np.abs(ours.astype(int) - theirs).max() <= 2
    checkpoint = load_checkpoint(folder)
    assert checkpoint.weak
    assert checkpoint.config == load_checkpoint("demo").config
    assert checkpoint.data_shape == (1, 28, 28)


def test_what_it_is_is_in_its_digest(folder: Path) -> None:
    before = digest(folder)
    assert read_checkpoint(folder)[1] == before == digest(folder / "model.safetensors")
    config = folder / "config.json"
    content = json.loads(config.read_text())
    content["config"]["lag"] = 0.25
    config.write_text(json.dumps(content))
    assert digest(folder) != before
    assert nkca.load_model(folder).chain.lag == 0.25


def test_nothing_is_overwritten(folder: Path) -> None:
    again = nkca.export_model("demo", folder)
    assert again == folder.with_name("shared-2")
    (folder.parent / "file").write_text("")
    with pytest.raises((InputError, OSError)):
        nkca.export_model("demo", folder.parent / "file" / "below")


def test_the_card_says_what_is_known(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    for said in ("28 x 28", "Fashion-MNIST", "nkca-sample .", "library_name: nkca", "14,580 steps"):
        assert said in card
    config = json.loads((folder / "config.json").read_text())
    assert config["format"] == "nkca-checkpoint"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"half", r"model\.safetensors is not a safetensors file"),
        ("config.json", b"{", r"config\.json is not JSON"),
        ("config.json", b"[]", r"config\.json is not the config of a model"),
        ("config.json", b"{}", "not a checkpoint of nkca"),
        ("config.json", b'{"format": "nkca-checkpoint", "schema": 9}', "newer nkca"),
        ("config.json", b'{"format": "nkca-checkpoint", "schema": 1}', "lacks 'data_shape'"),
    ],
)
def test_damage_is_one_line(folder: Path, file: str, content: bytes, message: str) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(InputError, match=message):
        nkca.load_model(folder)
