"""uv.lock, for contributors: what pyproject.toml asks for, from the public registry."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_lock_is_of_this_pyproject_and_of_the_public_registry() -> None:
    """`uv lock --check` without uv: the requirements in both files are the same."""
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    text = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert set(re.findall(r"\w+://[^/\"]+", text)) == {
        "https://pypi.org",
        "https://files.pythonhosted.org",
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    asked = {(extra, line.lower()) for extra, lines in lists.items() for line in lines}
    lock = tomllib.loads(text)
    ours = next(package for package in lock["package"] if package["name"] == project["name"])
    locked = set()
    for entry in ours["metadata"]["requires-dist"]:
        extra = entry.get("marker", "").removeprefix("extra == ").strip("'")
        extras = f"[{','.join(entry['extras'])}]" if "extras" in entry else ""
        locked.add((extra, entry["name"] + extras + entry.get("specifier", "")))
    assert locked == asked
    assert lock["requires-python"] == project["requires-python"]
