"""The commands and the Python of the README and docs, run as they stand but for smaller numbers."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nkca.cli import interactive, metrics, sample, train
from nkca.live.chains.events import Keep, MakeSteps
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.session.file import Origin, session_of, to_json
from nkca.models.build import load_model
from nkca.models.checkpoint import digest, find_checkpoint

ROOT = Path(__file__).resolve().parent.parent
# The pages whose ```sh and ```python blocks are run, in the order of reading.
PAGES = ("README.md", "docs/sampling.md", "docs/metrics.md", "docs/method.md", "docs/tasks.md")
COMMANDS = {"nkca-train": train.main, "nkca-sample": sample.main, "nkca-metrics": metrics.main}
SMALLER = {
    "nkca-train": "--hidden-size=8 --dim-mults=1,2 --batch-size=4 --max-steps=2 --viz-freq=0",
    "nkca-sample": "--num-sampling-steps=2",
    "nkca-metrics": "--num-sampling-steps=2 --features=pixels --chain-steps=2 --chain-images=4 "
    "--chain-levels=0.5",
}


def blocks(language: str) -> list[str]:
    """The fenced blocks in ``language``, those of the README first."""
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def command_lines() -> list[list[str]]:
    """The commands, in order, without their comments."""
    lines = [
        shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()
    ]
    return [line for line in lines if line]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what the README's reader has: photos, a picture, a mask, the configs."""
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(6):
        pixels = random.integers(0, 256, (40, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.jpg")
    shutil.make_archive(str(tmp_path / "more_photos"), "zip", tmp_path / "photos")
    Image.fromarray(pixels).save(tmp_path / "picture.jpg")
    Image.fromarray(pixels[..., 0] // 128 * 255).save(tmp_path / "mask.png")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save_live_session(run: Path, path: Path) -> None:
    """What *Save session* downloads."""
    model, file = load_model(run), find_checkpoint(run)
    explorer = Explorer(model, Setup(batch_size=4))
    explorer.apply([MakeSteps(2), Keep(1)])
    origin = Origin(
        file.name, digest(file), model.data_shape, model.chain.lag, "fp32", model.device.type
    )
    path.write_bytes(to_json(session_of(origin, explorer)))


def test_readme_commands_run(workplace: Path) -> None:
    lines = command_lines()
    assert {line[0] for line in lines} == {*COMMANDS, "nkca-interactive"}
    for name, *arguments in lines:
        if name == "nkca-interactive":  # it would stay: tests/live/test_browser.py uses it
            interactive.main.make_context(name, [*arguments])
            if arguments[0] != "demo":
                save_live_session(workplace / arguments[0], workplace / "session.json")
            continue
        asked_again = any(a.startswith(("--like", "--replay")) for a in arguments)
        smaller = [] if asked_again else shlex.split(SMALLER[name])
        if "--save-dir=runs/photos" in arguments and "--epochs=800" in arguments:
            smaller = ["--max-steps=3", "--viz-freq=0"]
        if name == "nkca-metrics" and arguments[0].startswith("runs/"):
            smaller.append("--num-samples=8")
        result = CliRunner().invoke(COMMANDS[name], [*arguments, *smaller])
        assert result.exit_code == 0, (name, arguments, result.output)
    for made in (
        "samples/grid.png",
        "chosen/animation.gif",
        "repainted",
        "again-live/kept_0001.png",
        "runs/photos2/dry_run.png",
        "metrics/metrics.json",
        "ref.npz",
        "chain/chain.png",
    ):
        assert (workplace / made).exists(), made
    again, first = (workplace / d / "seed_000017.png" for d in ("again", "chosen"))
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_readme_python_runs(workplace: Path, number: int) -> None:
    code = blocks("python")[number]
    smaller = code.replace('"max_time": "5m"', '"max_steps": 2, "batch_size": 4, "viz_freq": 0')
    scope: dict[str, object] = {}
    exec(compile(smaller, f"python block {number}", "exec"), scope)
    made = (workplace / "clothes.png", workplace / "chain.png")
    assert any(path.exists() for path in made) or "picture" in scope


def test_train_and_sample_fit_in_ten_lines() -> None:
    code = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(code) < 10


def documents() -> list[Path]:
    """Every page of documentation."""
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_dead(page: Path, link: str) -> bool:
    """Whether a relative link of ``page`` names no file, or no heading of it."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return True
    return bool(anchor) and anchor not in anchors(target.read_text(encoding="utf-8"))


def test_links_and_pictures_exist() -> None:
    pages = documents()
    links = {
        page: re.findall(r"\]\((?!http)([^)]+)\)", page.read_text(encoding="utf-8"))
        for page in pages
    }
    assert links[ROOT / "README.md"]
    dead = {str(page): [link for link in links[page] if is_dead(page, link)] for page in pages}
    assert dead == {str(page): [] for page in pages}


def test_a_dead_link_is_found() -> None:
    readme = ROOT / "README.md"
    assert not is_dead(readme, "docs/method.md#the-denoiser")
    assert is_dead(readme, "docs/method.md#nothing")
    assert is_dead(readme, "docs/nothing.md")
