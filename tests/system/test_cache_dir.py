"""The folder for what can be made again: the user's choice first."""

import re
from pathlib import Path

import pytest
from tables import each

from nkca.config.data import DataConfig
from nkca.data.dataset import configured_cache_dir
from nkca.errors import InputError
from nkca.system.cache_dir import default_cache_dir


def test_default_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("NKCA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir().name == "nkca"


def test_a_user_without_a_home_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NKCA_CACHE", "~nobody-of-that-name/x")
    with pytest.raises(InputError, match="set NKCA_CACHE"):
        default_cache_dir()


def test_a_home_that_cannot_be_written_to_goes_without_a_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same for a folder below a file, a disk that is read only (/proc) and a user without a home."""
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("NKCA_CACHE")
    for place in each([tmp_path / "file", "/proc/1"]):
        caplog.clear()
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        for _ in range(2):
            assert configured_cache_dir(DataConfig()) is None
        assert len(caplog.messages) == 1
        assert re.match("cannot write the cache in .*nothing is cached", caplog.messages[0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "good"))
    assert configured_cache_dir(DataConfig()) == tmp_path / "good" / "nkca"
    assert configured_cache_dir(DataConfig(cache_dir=str(tmp_path / "file" / "x"))) is not None
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "file" / "x"))
    assert configured_cache_dir(DataConfig()) == tmp_path / "file" / "x", "chosen: it must work"
