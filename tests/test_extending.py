"""The blocks of docs/extending.md: each runs as it stands, and fails without its extension."""

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parent.parent / "docs/extending.md").read_text(encoding="utf-8")
SECTION = r"^## An? ([\w ]+):(?:(?!^## ).)*?```python\n(.*?)```"
BLOCKS: dict[str, str] = dict(re.findall(SECTION, TEXT, flags=re.MULTILINE | re.DOTALL))

WITHOUT = {  # what makes the extension of a block do nothing, or the wrong thing
    "objective": ("method=nkca.Method(objective=denoising)", "method=nkca.Method()"),
    "sampler": ("schedule=schedule, sampler=ddim", "schedule=schedule"),
    "level draw": ("method=nkca.Method(draw=log_normal(-1.2, 1.2))", "method=nkca.Method()"),
    "condition": ("model.chain.conditioned(match(low))", "model.chain"),
    "state space": ("(b_y / b_x).clamp(max=lag)", "torch.full_like(b_x, lag)"),  # no cap
    "score": ("quantiles[0] - quantiles[1]", "quantiles[0] - quantiles[0]"),
    "task": ("        conditions=conditions,\n", ""),
}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory, for the runs that blocks begin."""
    monkeypatch.chdir(tmp_path)


def execute(title: str, code: str) -> None:
    exec(compile(code, f"docs/extending.md, {title}", "exec"), {})


def test_every_block_is_run() -> None:
    assert list(BLOCKS) == list(WITHOUT)
    assert TEXT.count("```python") == len(BLOCKS)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("title", WITHOUT)
def test_block_runs(title: str) -> None:
    execute(title, BLOCKS[title])


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("title", WITHOUT)
def test_block_fails_without_its_extension(title: str) -> None:
    old, new = WITHOUT[title]
    assert BLOCKS[title].count(old) == 1
    lacking = KeyError if title == "objective" else AssertionError  # its value is not shown
    with pytest.raises(lacking):
        execute(title, BLOCKS[title].replace(old, new))
