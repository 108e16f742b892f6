"""docs/api.md: what `import nkca` offers, made from the docstrings.

python docs/make_api.py            writes it
python docs/make_api.py --check    exits with 1 if it is not up to date
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from make_map import write_or_check

import nkca

PAGE = Path(__file__).resolve().parent / "api.md"
HEAD = """# The Python API

Everything that `import nkca` offers, made from the docstrings by `make map`. Images at the surface are
uint8 arrays (N, H, W, C), or anything that NumPy reads so; tensors below it are (B, C, H, W). Bad input
raises `nkca.InputError`, a `ValueError` whose text is one line.
Your own parts: [extending.md](extending.md).
"""


def signature(name: str, value: Any) -> str:
    """How it is called, without the modules' paths and the addresses of default functions."""
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return name
    text = re.sub(
        r"<function (?:\w+\.<locals>\.)?(?:\w+\.)?(<lambda>|\w+) at 0x[0-9a-f]+>", r"\1", text
    )
    return name + without_paths(text)


def without_paths(text: str) -> str:
    """Types without the modules they come from, and without quotes."""
    return re.sub(r"(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", text).replace("'", "")


def methods(value: type) -> Iterator[tuple[str, Any]]:
    """The public methods that the class itself defines."""
    for name, member in vars(value).items():
        public = not name.startswith("_") or name == "__call__"
        if public and inspect.isfunction(member) and inspect.getdoc(member):
            yield name, member


def entry(name: str, value: Any) -> Iterator[str]:
    """The lines of one name."""
    own = inspect.getdoc(value) if inspect.isclass(value) or inspect.isfunction(value) else None
    yield f"\n## `nkca.{name}`\n"
    if own is None:
        yield f"A type: `{without_paths(str(value))}`."
        return
    protocol = getattr(value, "_is_protocol", False)
    yield f"    {name if protocol else signature(name, value)}\n\n```text\n{own}\n```"
    for method, member in methods(value) if inspect.isclass(value) else ():
        doc = inspect.getdoc(member) or ""
        first = doc.split("\n")[0]
        yield f"- `{signature(method, member)}`: {first}"


def page() -> str:
    """The text of docs/api.md."""
    names = [name for name in nkca.__all__ if name != "__version__"]
    lines = [line for name in sorted(names) for line in entry(name, getattr(nkca, name))]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
