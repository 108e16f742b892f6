"""nkca-sample --replay: the pictures of a live session again, byte for byte."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from tables import each
from toys import write_checkpoint

from nkca.live.chains.events import (
    Anneal,
    Keep,
    Level,
    Lock,
    MakeSteps,
    Paint,
    Restart,
    Spread,
    Undo,
)
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.session.export import shelf_files, tile_files
from nkca.live.session.file import Origin, session_of, to_json
from nkca.models.build import load_model
from nkca.models.checkpoint import digest, find_checkpoint
from nkca.pictures.png import read_settings

Call = Callable[..., Result]
MASK = "//8AAAAAAAA="  # the two upper rows of 8x8


def live(run: Path, folder: Path) -> dict[str, bytes]:
    """Explore a model, write ``session.json`` and return the files that a page would download."""
    model = load_model(run, device="cpu", lag=0.4)
    file = find_checkpoint(run)
    origin = Origin(file.name, digest(file), model.data_shape, model.chain.lag, "fp32", "cpu")
    explorer = Explorer(model, Setup(batch_size=4, seed=11))
    explorer.apply(
        [MakeSteps(3), Keep(1), Spread(1), Level(0.3), MakeSteps(4), Lock(2, True), Keep(0)]
    )
    explorer.apply([Paint(3, MASK), MakeSteps(2), Undo(), Anneal(3), MakeSteps(3), Keep(3)])
    explorer.apply([Restart("noise", 5), MakeSteps(2), Keep(2)])
    (folder / "session.json").write_bytes(to_json(session_of(origin, explorer)))
    state = explorer.state
    return dict([*shelf_files(origin, state.shelf), *tile_files(origin, state.moment)])


@pytest.mark.parametrize("kind", ["trained", "trained_discrete"])
def test_a_session_is_done_again(
    kind: str, call: Call, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = Path(request.getfixturevalue(kind))
    expected = live(run, tmp_path)
    out = tmp_path / "again"
    arguments = (f"--replay={tmp_path / 'session.json'}", f"--save-dir={out}", "--device=cpu")
    renamed = shutil.copy(find_checkpoint(run), tmp_path / "renamed.pth")
    result = call("sample", renamed, *arguments, "--save-grid", "--save-animation=gif")
    assert "10 pictures" in result.stdout
    assert result.stderr == ""
    assert {path.name for path in out.iterdir()} == {*expected, "grid.png", "animation.gif"}
    for name, content in expected.items():
        assert (out / name).read_bytes() == content, name
    with Image.open(out / "animation.gif") as animation:
        assert animation.n_frames > 5
    settings = read_settings(out / "kept_0002.png")
    assert settings["step"] == 7
    assert settings["level"] == pytest.approx(0.3)
    assert (settings["tile"], settings["kept"], settings["lag"]) == (0, 2, 0.4)
    assert len({path.read_bytes() for path in out.glob("kept_*.png")}) == 4


def test_another_model_is_said(call: Call, trained: Path, tmp_path: Path) -> None:
    live(trained, tmp_path)
    other = write_checkpoint(tmp_path / "other.pth")
    arguments = (f"--replay={tmp_path / 'session.json'}", f"--save-dir={tmp_path / 'out'}")
    result = call("sample", other, *arguments)
    assert result.stderr.startswith("warning: the session was made with another checkpoint, check")
    assert read_settings(tmp_path / "out" / "kept_0001.png")["checkpoint"] == "other.pth"


BAD = {
    "no checkpoint": (["--replay=session.json"], "no checkpoint given"),
    "seeds": (["RUN", "--replay=session.json", "--seeds=3"], "leave out --seeds"),
    "an image": (["RUN", "a.png", "--replay=session.json"], "leave out the images"),
    "like": (["RUN", "--replay=session.json", "--like=a.png"], "leave out --like"),
    "intermediate": (["RUN", "--replay=session.json", "--save-intermediate"], "leave out --save-i"),
    "no session": (["RUN", "--replay=none.json"], "no such session: none.json"),
    "a picture": (["RUN", "--replay=a.png"], "cannot read session a.png: not JSON"),
    "changed by hand": (["RUN", "--replay=bad.json"], "event 0 of the session"),
    "other size": (["RUN", "--replay=other.json"], "the session is of 8x9 (height x width)"),
}


def test_bad_input_is_one_line(
    call: Call, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    live(trained, tmp_path)
    session = json.loads(Path("session.json").read_text())
    Path("bad.json").write_text(json.dumps({**session, "events": [{"do": "undo"}]}))
    Path("other.json").write_text(json.dumps({**session, "data_shape": [3, 8, 9]}))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("a.png")
    for arguments, message in each(BAD.values()):
        given = [str(trained) if a == "RUN" else a for a in arguments]
        result = call("sample", *given, "--save-dir=out", code=2)
        assert len(result.stderr.splitlines()) == 1
        assert message in result.stderr
        assert not Path("out").exists()


def test_a_kept_picture_is_not_taken_for_a_sample(
    call: Call, trained: Path, tmp_path: Path
) -> None:
    files = live(trained, tmp_path)
    (tmp_path / "kept.png").write_bytes(files["kept_0001.png"])
    result = call("sample", f"--like={tmp_path / 'kept.png'}", code=2)
    assert "nkca-interactive" in result.stderr
    assert "--replay" in result.stderr


def test_a_missing_package_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['msgspec'] = None; from nkca.cli.sample import main;"
        "main(['demo', '--replay=session.json', '--save-dir=none'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "nkca-sample: error: msgspec is not installed: pip install 'nkca[live]', or nkca[all]"
    ]
