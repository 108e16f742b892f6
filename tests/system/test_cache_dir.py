"""The folder for what can be made again: the user's choice first."""

from pathlib import Path

import pytest

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
