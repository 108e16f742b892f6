"""docs/map.md: the tree of the package with one line a file, made from the files' first lines.

python docs/make_map.py            writes it
python docs/make_map.py --check    exits with 1 if it is not up to date
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, PAGE = ROOT / "src" / "nkca", ROOT / "docs" / "map.md"
HEAD = """# The map

One line a file, made from the files' first lines by `make map`. The layers, which `pyproject.toml` names
and `make check` enforces, from the top: cli; live, runs, diagnostics; metrics; sampling, training; models,
data; chain; denoisers; kernels, networks; distributions, levels; noise, pictures, config; distributed,
system, demo, pixels; errors, version. A module imports from lower layers only.

"""


def first_line(path: Path) -> str:
    """The first line of a module's docstring; of other sources, of the comment at their top."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
    line = text.lstrip().split("\n")[0]
    return line.strip("/* ") if line.startswith(("//", "/*")) else ""


def rows(folder: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Name, indented, and line of everything in a folder: files first, then folders."""
    indent = "  " * depth
    paths = sorted(p for p in folder.iterdir() if p.name != "__pycache__")
    for path in paths:
        if path.suffix in (".py", ".cpp") and path.name != "__init__.py":
            yield indent + path.name, first_line(path)
    for path in paths:
        if (path / "__init__.py").exists():
            yield indent + path.name + "/", first_line(path / "__init__.py")
            yield from rows(path, depth + 1)
        elif path.is_dir():
            yield indent + path.name + "/", f"{len(list(path.iterdir()))} files of the page"


def page() -> str:
    """The text of docs/map.md."""
    found = [("nkca/", first_line(PACKAGE / "__init__.py")), *rows(PACKAGE, 1)]
    width = max(len(name) for name, _ in found) + 2
    lines = [f"{name:<{width}}{line}".rstrip() for name, line in found]
    return HEAD + "```\n" + "\n".join(lines) + "\n```\n"


def write_or_check(path: Path, text: str) -> int:
    """Write a page, or with --check only compare: the exit code."""
    if "--check" not in sys.argv[1:]:
        path.write_text(text, encoding="utf-8")
        return 0
    is_current = path.is_file() and path.read_text(encoding="utf-8") == text
    if not is_current:
        print(f"{path.name} is not up to date: make map")
    return 0 if is_current else 1


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
