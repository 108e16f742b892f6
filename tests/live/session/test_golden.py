"""Recorded sessions (tests/golden) must always replay to the same pixels."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nkca.cli.sample import main

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
Pixels = dict[str, npt.NDArray[np.uint8]]


def recorded(kind: str) -> Pixels:
    """The pixels that the session made when it was recorded."""
    found = json.loads((GOLDEN / "sessions.json").read_text())[kind]
    return {name: np.frombuffer(bytes.fromhex(text), np.uint8) for name, text in found.items()}


def replayed(kind: str, session: Path, folder: Path) -> Pixels:
    """The pixels of each picture that `nkca-sample --replay` makes."""
    checkpoint = str(GOLDEN / f"checkpoint_schema1_{kind}.pth")
    where = [f"--replay={session}", f"--save-dir={folder}", "--device=cpu", "--compile=off"]
    with pytest.raises(SystemExit) as end:
        main([checkpoint, *where, "--quiet"])
    assert end.value.code == 0
    found = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            found[path.name] = np.frombuffer(image.tobytes(), np.uint8)
    return found


def is_same(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> bool:
    """Whether pictures are equal, except for differences in rounding between processors."""
    return bool((np.abs(a.astype(int) - b) <= 1).mean() > 0.98)


@pytest.mark.parametrize("kind", ["continuous", "categorical"])
def test_a_recorded_session_makes_the_same_pictures(kind: str, tmp_path: Path) -> None:
    expected = recorded(kind)
    found = replayed(kind, GOLDEN / f"session_{kind}.json", tmp_path)
    assert found.keys() == expected.keys()
    for name, pixels in expected.items():
        assert is_same(found[name], pixels), name


@pytest.mark.parametrize("kind", ["continuous", "categorical"])
def test_a_session_from_other_noise_differs(kind: str, tmp_path: Path) -> None:
    """The negative control: the pictures before the first restart depend on the session's seed."""
    session = json.loads((GOLDEN / f"session_{kind}.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps({**session, "seed": session["seed"] + 1}))
    expected = recorded(kind)
    found = replayed(kind, tmp_path / "other.json", tmp_path / "out")
    assert found.keys() == expected.keys()
    assert not is_same(found["kept_0001.png"], expected["kept_0001.png"])
