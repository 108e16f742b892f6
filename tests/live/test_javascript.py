"""The page's modules: checked by TypeScript, and unit-tested under Node (in ``js/``)."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "js"
PAGE = Path(__file__).resolve().parents[2] / "src" / "nkca" / "live" / "static"
TSC = HERE / "node_modules" / "typescript" / "bin" / "tsc"
VENDORED = PAGE.resolve() / "preact.js"
NODE = shutil.which("node") or ""


@pytest.fixture
def node() -> str:
    """A Node version that detects modules in .js files by their imports."""
    if not NODE:
        pytest.skip("no Node on the PATH")
    found = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    if version < (20, 19) or (21, 0) <= version < (22, 7):
        pytest.skip(f"Node {found.strip()} is older than 20.19 or 22.7")
    return NODE


@pytest.fixture
def tsc(node: str) -> list[str]:
    if not TSC.exists():
        pytest.skip(f"TypeScript is not installed: npm ci --prefix {HERE}")
    return [node, str(TSC)]


def run(*command: str) -> tuple[int, str]:
    """Run a command in the folder of the page's tests; returns its exit code and output."""
    done = subprocess.run(
        command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600
    )
    return done.returncode, done.stdout.decode()


def test_the_units_of_the_page(node: str) -> None:
    code, output = run(node, "--test", "--test-reporter=tap")
    assert code == 0, output
    counts = dict(re.findall(r"^# (\w+) (\d+)$", output, re.MULTILINE))
    written = sum(file.read_text().count("  it(") for file in HERE.glob("*.test.js"))
    assert int(counts["pass"]) >= written > 0, output
    assert counts["skipped"] == counts["todo"] == "0", output


def test_types_of_all_modules_of_the_page(tsc: list[str]) -> None:
    code, output = run(*tsc, "--project", str(HERE), "--listFiles")
    assert code == 0, output
    read = {Path(line).resolve() for line in output.splitlines()}
    written = {file for file in PAGE.resolve().glob("*.js") if file != VENDORED}
    assert written and written <= read


def test_preact_is_what_its_packages_published(tsc: list[str]) -> None:
    """The versions and hashes of the packages are in package-lock.json."""
    made = subprocess.run([tsc[0], "vendor.mjs"], cwd=HERE, capture_output=True, check=True).stdout
    assert VENDORED.read_bytes() == made
    licences = (PAGE / "LICENSES.txt").read_text()
    for name, version in re.findall(r"(\S+) (\d+\.\d+\.\d+)", made.decode().splitlines()[0]):
        assert f"==== {name} {version} " in licences, name


def test_a_wrong_event_is_found(tsc: list[str], tmp_path: Path) -> None:
    """The negative control: the same options find a misspelt field and an argument without a type."""
    queue = (PAGE / "loop.js").as_posix()
    (tmp_path / "wrong.js").write_text(
        f"import {{ Queue }} from {json.dumps(queue)};\n"
        'new Queue(64).add({ do: "level", value: 0.5 });\n'
        "export function same(value) { return value; }\n"
    )
    config = {"extends": (HERE / "tsconfig.json").as_posix(), "include": ["wrong.js"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    code, output = run(*tsc, "--project", str(tmp_path))
    assert code != 0
    assert "wrong.js(2," in output and "wrong.js(3," in output, output
    assert output.count("error TS") == 2, output
