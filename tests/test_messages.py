"""Messages of the library are true for callers of Python and of the commands."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nkca

PACKAGE = Path(nkca.__file__).parent
# Elsewhere a flag belongs to a command that stands before it.
OF_COMMANDS = (
    "cli",
    "live",
    "config/schema.py",
    "config/sampling.py",
    "config/cadence.py",
    "sampling/request.py",
    "diagnostics/page.py",
)


def messages(path: Path) -> Iterator[str]:
    """All literal strings but docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs:
            yield node.value


def test_no_flags_in_messages_of_the_library() -> None:
    """Options are named as in Python and YAML, ``num_samples``."""
    seen = 0
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).as_posix().startswith(OF_COMMANDS):
            continue
        for text in messages(path):
            seen += 1
            flag = re.search(r"--[a-z][a-z-]+", text)
            if flag is not None:
                before = text[: flag.start()]
                assert re.search(r"nkca-\w+ |torchrun ", before), f"{path.name}: {text}"
    assert seen > 1000


def test_a_flag_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        '"""--doc"""\ndef f(n):\n    "--doc"\n    return f"{n}: --flag"\n'
    )
    assert list(messages(tmp_path / "a.py")) == [": --flag"]
