"""The models below a folder: bounded, without following links, whatever their names are."""

import json
import os
from pathlib import Path

import pytest
import toys

from nkca.errors import InputError
from nkca.models import local
from nkca.models.checkpoint import FINAL, LATEST, export_model
from nkca.models.local import LocalModel, ModelFacts, facts_of, models_below, packaged_models


def run_in(folder: Path, name: str = LATEST) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return toys.write_checkpoint(folder / name)


def names_below(folder: Path) -> set[str]:
    return {model.name for model in models_below(folder)}


def test_runs_and_exported_models_are_found(tmp_path: Path) -> None:
    run_in(tmp_path / "runs" / "a")
    final = run_in(tmp_path / "runs" / "b", FINAL)
    both = run_in(tmp_path / "c")
    run_in(tmp_path / "c", FINAL)
    exported = export_model(final, tmp_path / "shared")
    (tmp_path / "runs" / "a" / "previews").mkdir()
    (tmp_path / "weights.pth").write_bytes(final.read_bytes())
    found = {model.name: model.path for model in models_below(tmp_path)}
    assert found == {
        "runs/a": tmp_path / "runs" / "a" / LATEST,
        "runs/b": final,
        "c": both,
        "shared": exported / "model.safetensors",
    }


def test_the_newest_is_the_first(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old", "older")):
        path = run_in(tmp_path / name)
        os.utime(path, (1e9 - age, 1e9 - age))
    assert [model.name for model in models_below(tmp_path)] == ["new", "old", "older"]


def test_the_folder_itself_may_be_a_run(tmp_path: Path) -> None:
    run_in(tmp_path / "mine")
    assert names_below(tmp_path / "mine") == {"mine"}


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside, here = tmp_path / "outside", tmp_path / "here"
    secret = run_in(outside / "secret")
    run_in(here / "own")
    (here / "folder").symlink_to(outside)
    (here / "loop").symlink_to(here)
    (here / "linked").mkdir()
    (here / "linked" / LATEST).symlink_to(secret)
    (here / "half").mkdir()
    (here / "half" / LATEST).symlink_to(secret)
    own = run_in(here / "half", FINAL)
    found = {model.name: model.path for model in models_below(here)}
    assert found == {"own": here / "own" / LATEST, "half": own}


def test_hidden_and_unreadable_folders_are_left_out(tmp_path: Path) -> None:
    for name in (".trash/run", "node_modules/run", "x/site-packages/run"):
        run_in(tmp_path / name)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / LATEST)
    assert names_below(tmp_path) == set()
    assert names_below(tmp_path / "none") == set()
    closed.chmod(0o700)


def test_the_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_in(tmp_path / "1" / "2" / "3" / "4")
    run_in(tmp_path / "1" / "2" / "3" / "x" / "5")
    assert names_below(tmp_path) == {"1/2/3/4"}
    for number in range(5):
        run_in(tmp_path / f"run-{number}")
    monkeypatch.setattr(local, "MAX_MODELS", 3)
    assert len(models_below(tmp_path)) == 3
    monkeypatch.setattr(local, "MAX_FOLDERS", 1)
    assert names_below(tmp_path) == set()


HOSTILE = (
    "<script>alert(1)<",
    "a\nb",
    "\u202egnp",
    '"&quot;',
    "-rf",
    "demo",
    "é" * 60,
    "%2e%2e",
    " ",
)


def test_names_are_any(tmp_path: Path) -> None:
    for name in HOSTILE:
        run_in(tmp_path / name)
    undecodable = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    run_in(Path(undecodable))
    assert names_below(tmp_path) == {*HOSTILE, "\udcff\udcfe"}


def test_facts_of_the_packaged_models() -> None:
    found = {model.name: facts_of(model) for model in packaged_models()}
    assert found["demo"].data_shape == (1, 28, 28)
    assert [facts.space for facts in found.values()] == ["continuous", "continuous", "palette"]
    assert all(facts.images > 100_000 and facts.step > 1000 for facts in found.values())


def test_facts_of_a_run_and_of_what_is_none(tmp_path: Path) -> None:
    path = toys.write_checkpoint(tmp_path / LATEST, discrete=True)
    assert facts_of(LocalModel("x", path)) == ModelFacts((3, 8, 8), "categorical", 0, 0)
    for content in (b"", b"x" * 100, path.read_bytes()[:-500], json.dumps({}).encode()):
        broken = tmp_path / "broken.pth"
        broken.write_bytes(content)
        with pytest.raises(InputError, match=r"broken\.pth"):
            facts_of(LocalModel("x", broken))
    with pytest.raises(InputError):
        facts_of(LocalModel("x", tmp_path / "none.pth"))
