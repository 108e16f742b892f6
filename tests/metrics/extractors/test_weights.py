"""Files of weights: what is here first, the right hash, one line where nothing helps, no code run."""

import hashlib
import pickle
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nkca.errors import InputError
from nkca.metrics.extractors.tensors import Weights, parse_weights, read_weights
from nkca.metrics.extractors.weights import (
    INCEPTION,
    UnavailableError,
    WeightsFile,
    find_weights,
    locate_weights,
)

VARIABLE = "NKCA_TEST_WEIGHTS"


def write(path: Path, value: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # with a path, the bytes would depend on its name
        torch.save({"a": torch.full((3,), value)}, file)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsFile:
    """A file on a site, with empty caches on this machine."""
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("NKCA_OFFLINE", raising=False)
    site = write(tmp_path / "site" / "w.pth")
    size = site.stat().st_size
    return WeightsFile("w.pth", sha256(site), site.as_uri(), size, "--w", VARIABLE, ("old.pth",))


def test_downloaded_once_into_the_cache(wanted: WeightsFile, tmp_path: Path) -> None:
    assert locate_weights(wanted) is None
    first = find_weights(wanted)
    assert first.path == tmp_path / "cache" / "weights" / "w.pth"
    assert first.sha256 == wanted.sha256 == sha256(first.path)
    (tmp_path / "site" / "w.pth").unlink()
    again = find_weights(wanted, download=False)
    assert again.content == first.content
    assert [path.name for path in first.path.parent.iterdir()] == ["w.pth"]
    assert parse_weights(again)["a"].tolist() == [1, 1, 1]


def test_a_bar_only_where_wanted(wanted: WeightsFile, capfd: pytest.CaptureFixture[str]) -> None:
    find_weights(wanted)
    assert capfd.readouterr() == ("", "")
    wanted.cached.unlink()
    find_weights(wanted, progress=True)
    out, err = capfd.readouterr()
    assert not out
    assert "100%" in err


def test_another_file_on_the_site_leaves_nothing(wanted: WeightsFile, tmp_path: Path) -> None:
    write(tmp_path / "site" / "w.pth", value=2)
    before = socket.getdefaulttimeout()
    with pytest.raises(UnavailableError, match=r"w\.pth .* cannot be downloaded: invalid hash"):
        find_weights(wanted)
    assert not list(wanted.cached.parent.iterdir())
    assert socket.getdefaulttimeout() == before


def test_no_network_is_one_line_with_all_that_helps(wanted: WeightsFile, tmp_path: Path) -> None:
    (tmp_path / "site" / "w.pth").unlink()
    with pytest.raises(UnavailableError) as caught:
        find_weights(wanted)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("w.pth", wanted.sha256, wanted.url, "--w=FILE", f"{VARIABLE}=FILE"):
        assert part in message
    assert str(tmp_path / "cache" / "weights" / "w.pth") in message


def test_offline_never_tries(wanted: WeightsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", pytest.fail)
    with pytest.raises(UnavailableError, match="not on this machine; get it"):
        find_weights(wanted, download=False)
    monkeypatch.setenv("NKCA_OFFLINE", "1")
    with pytest.raises(UnavailableError, match="NKCA_OFFLINE is set; get it"):
        find_weights(wanted)


def test_a_cache_that_cannot_be_written(wanted: WeightsFile, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(UnavailableError, match="cannot be downloaded"):
        find_weights(wanted)


def test_order(wanted: WeightsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    expected = []
    for path in (hub / "old.pth", hub / "w.pth", tmp_path / "cache" / "weights" / "w.pth"):
        expected.append(write(path))
        assert locate_weights(wanted) == (path, False)
        assert find_weights(wanted, download=False).path == path
    monkeypatch.setenv(VARIABLE, str(write(tmp_path / "variable.pth", 2)))
    assert locate_weights(wanted) == (tmp_path / "variable.pth", True)
    flag = write(tmp_path / "flag.pth", 3)
    assert parse_weights(find_weights(wanted, flag))["a"].tolist() == [3, 3, 3]  # any hash
    monkeypatch.setenv(VARIABLE, "")
    assert locate_weights(wanted) == (expected[-1], False)


def test_a_damaged_file_in_a_cache_is_named(wanted: WeightsFile) -> None:
    write(wanted.cached, 2)
    found = sha256(wanted.cached)
    with pytest.raises(InputError, match=f"w.pth is damaged.*{found}, not {wanted.sha256}; delete"):
        find_weights(wanted)
    assert find_weights(replace(wanted, sha256="")).sha256 == found  # where no hash is published


@pytest.mark.parametrize("source", ["flag", "variable"])
def test_a_named_file_that_is_not_there(
    source: str, wanted: WeightsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere.pth"
    if source == "variable":
        monkeypatch.setenv(VARIABLE, str(nowhere))
    name = VARIABLE if source == "variable" else "--w"
    with pytest.raises(InputError, match=f"no such file of weights: {nowhere}.*{name}"):
        find_weights(wanted, nowhere if source == "flag" else None)


class Evil:
    """Pickled code that makes a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("save", ["zip", "legacy", "pickle"])
def test_code_in_a_file_is_refused_and_not_run(save: str, tmp_path: Path) -> None:
    content, path = {"a": Evil(tmp_path / "ran")}, tmp_path / "evil.pth"
    if save == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=save == "zip")
    with pytest.raises(InputError, match=r"evil\.pth .*(as it could run|or holds) code"):
        parse_weights(read_weights(path))
    assert not (tmp_path / "ran").exists()
    if save != "pickle":
        torch.load(path, weights_only=False)
        assert (tmp_path / "ran").exists()  # it would have run


@pytest.mark.parametrize("content", [[torch.ones(2)], {"a": 1}, {1: torch.ones(2)}, torch.ones(2)])
def test_not_a_state_dictionary(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"x\.pth holds more than weights by name"):
        parse_weights(read_weights(tmp_path / "x.pth"))


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "w.pth").read_bytes()
    for content in (b"", b"<html>sorry</html>", whole[:100], whole[:-100], whole[50:]):
        with pytest.raises(InputError, match=r"w\.pth (is not a PyTorch file|holds something)"):
            parse_weights(Weights(tmp_path / "w.pth", content, ""))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the weights"):
        read_weights(tmp_path)


def test_the_standard_inception_file() -> None:
    assert INCEPTION.sha256[:8] in INCEPTION.file_name
    assert INCEPTION.url.endswith(INCEPTION.file_name)
    assert INCEPTION.cached.name == INCEPTION.file_name
