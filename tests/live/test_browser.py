"""The page in a real, headless Chromium: what a person does, and what the pixels then are."""

import contextlib
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result
from PIL import Image
from toys import write_checkpoint

from nkca.cli import sample

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
if not CHROMIUM:
    pytest.skip(
        "no Chromium on the PATH (Debian: apt-get install chromium)", allow_module_level=True
    )
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SIDE, TILES = 8, 6
PATIENCE = 30.0  # seconds
Pixels = npt.NDArray[np.uint8]

READ_TILE = """(tile) => {
  const canvas = document.querySelector(`[data-tile="${tile}"] canvas`);
  const pen = canvas.getContext("2d");
  return Array.from(pen.getImageData(0, 0, canvas.width, canvas.height).data);
}"""


@contextlib.contextmanager
def interactive(*arguments: object) -> Iterator[str]:
    """The address of a running nkca-interactive; Ctrl-C must end it with code 0."""
    command = [sys.executable, "-m", "nkca.cli.interactive", *map(str, arguments)]
    command += ["--no-browser", f"--batch-size={TILES}", "--device=cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            found = re.search(r"http://\S+", line)
            assert found, line
            yield found[0]
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=10)
            assert process.returncode == 0, errors
            assert b"Traceback" not in errors
        finally:
            process.kill()


class Person:
    """Somebody in front of the page."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def open(self, address: str) -> "Person":
        self.page.goto(address)
        self.wait(lambda: self.page.evaluate("Boolean(window.nkca && window.nkca.onScreen >= 0)"))
        return self

    @property
    def state(self) -> dict[str, Any]:
        """The newest head, once it is on the screen."""
        look = "window.nkca.onScreen === window.nkca.state.version ? window.nkca.state : null"
        state: dict[str, Any] = self.wait(lambda: self.page.evaluate(look))
        return state

    def wait(self, look: Callable[[], Any]) -> Any:
        """What ``look`` finds as soon as it is true."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = look()
            if found:
                return found
            self.page.wait_for_timeout(20)
        raise AssertionError("waited in vain")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def tile(self, number: int) -> Pixels:
        """The pixels of a tile on the screen, (H, W, 4)."""
        data = np.array(self.page.evaluate(READ_TILE, number), np.uint8)
        return data.reshape(SIDE, -1, 4)

    def tiles(self) -> list[Pixels]:
        return [self.tile(number) for number in range(TILES)]

    def pause(self) -> None:
        if self.state["running"]:
            self.press("Space")
        self.wait(lambda: not self.state["running"])

    def walk(self, steps: int) -> None:
        """Single steps."""
        for _ in range(steps):
            target = self.state["step"] + 1
            self.press(".")
            self.until_step(target)

    def until_step(self, step: int) -> None:
        self.wait(lambda: self.state["step"] == step)

    def download(self, selector: str) -> bytes:
        with self.page.expect_download() as download:
            self.page.locator(selector).click()
        content: bytes = Path(download.value.path()).read_bytes()
        return content


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def person(chromium: Any) -> Iterator[Person]:
    """Nothing that a person does may put an error on the console."""
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield Person(page)
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth", side=SIDE)


def equal(one: list[Pixels], other: list[Pixels]) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_level_run_pause_and_step(person: Person, checkpoint: Path) -> None:
    with interactive(checkpoint) as address:
        person.open(address)
        person.pause()
        assert person.state["level"] == 0.5
        person.press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown")
        person.wait(lambda: person.state["level"] == 0.52)
        assert person.page.locator("#level-value").inner_text() == "0.52"
        person.page.locator("#level").fill("0.3")
        person.wait(lambda: person.state["level"] == 0.3)
        before = person.tiles()
        step = person.state["step"]
        person.press(".")
        person.wait(lambda: person.state["step"] == step + 1)
        assert person.state["tile_levels"] == [0.3] * TILES
        assert not any(equal(before, person.tiles()))
        assert not person.state["running"]

        person.press("Space")
        person.wait(lambda: person.state["step"] > step + 20)
        seen = {person.tile(0).tobytes() for _ in range(20) if not person.page.wait_for_timeout(20)}
        assert len(seen) > 3, "images change while it runs"
        assert float(person.page.locator("#fps").inner_text()) > 1
        person.press("Space")
        person.wait(lambda: not person.state["running"])
        still = person.tiles()
        step = person.state["step"]
        person.page.wait_for_timeout(1500)
        assert person.state["step"] == step
        assert all(equal(still, person.tiles()))

        person.page.locator("#anneal-steps").fill("7")
        person.page.locator("#anneal").click()
        person.wait(lambda: person.state["step"] == step + 7)
        person.wait(lambda: not person.state["running"])
        assert person.state["level"] == pytest.approx(0.01)


def test_pick_spread_lock_undo_and_restart(person: Person, checkpoint: Path) -> None:
    with interactive(checkpoint) as address:
        person.open(address)
        person.pause()
        person.walk(3)
        person.page.locator('[data-tile="4"]').click()
        person.wait(lambda: person.state["picked"] == 4)
        assert person.page.locator('[data-tile="4"]').get_attribute("aria-pressed") == "true"
        person.press("3")
        person.wait(lambda: person.state["picked"] == 2)
        apart = person.tiles()
        person.page.locator("#spread").click()
        person.wait(
            lambda: (
                person.state["can_undo"]
                and equal(person.tiles(), [apart[2]] * TILES) == [True] * TILES
            )
        )
        person.walk(2)
        assert len({tile.tobytes() for tile in person.tiles()}) == TILES, "each walks its own way"

        person.press("l")
        person.wait(lambda: person.state["locked"] == [2])
        assert "locked" in (
            person.page.locator('[data-tile="2"]').get_attribute("aria-label") or ""
        )
        before = person.tiles()
        step = person.state["step"]
        person.press("Space")
        person.wait(lambda: person.state["step"] > step + 10)
        person.pause()
        assert equal(before, person.tiles()) == [number == 2 for number in range(TILES)]

        person.press("z")
        person.wait(lambda: person.state["locked"] == [])
        assert all(equal(before, person.tiles())), "undone to the moment before the lock"
        person.press("z")
        person.wait(lambda: all(equal(apart, person.tiles())))
        person.press("Control+y")
        person.wait(lambda: all(equal(before, person.tiles())))
        person.page.locator("#filmstrip button").first.click()
        person.wait(lambda: person.state["picked"] is None)

        person.page.locator("#seed").fill("77")
        person.page.locator("#restart-noise").click()
        person.wait(lambda: person.state["seed"] == 77 and person.state["step"] == 0)
        started = person.tiles()
        person.walk(1)
        person.page.locator("#restart-noise").click()
        person.wait(lambda: all(equal(started, person.tiles())))


def test_paint_holds_the_rest(person: Person, checkpoint: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "mine.png")
    with interactive(checkpoint) as address:
        person.open(address)
        person.press("2")
        person.wait(lambda: person.state["picked"] == 1)
        person.page.locator("#open-image").set_input_files(tmp_path / "mine.png")
        person.wait(lambda: np.array_equal(person.tile(1)[..., :3], picture))
        assert not person.state["running"]
        person.press("p")
        person.page.locator("#paint-dialog").wait_for()
        person.page.locator("#brush-size").fill("1")
        canvas = person.page.locator("#paint-canvas").bounding_box()
        cell = canvas["width"] / SIDE
        mouse = person.page.mouse
        mouse.move(canvas["x"] + 5.5 * cell, canvas["y"] + 1.5 * cell)
        mouse.down()
        mouse.move(canvas["x"] + 5.5 * cell, canvas["y"] + 6.5 * cell, steps=8)
        mouse.up()
        person.page.locator("#paint-done").click()
        person.wait(lambda: person.state["masked"] == [1])
        painted = np.zeros((SIDE, SIDE), bool)
        painted[1:7, 5] = True
        person.page.locator("#level").fill("1")
        person.walk(6)
        after = person.tile(1)[..., :3]
        assert np.array_equal(after[~painted], picture[~painted]), "held bit for bit"
        assert (after[painted] != picture[painted]).any(1).all(), "painted pixels walk"
        assert "painted" in (
            person.page.locator('[data-tile="1"]').get_attribute("aria-label") or ""
        )

        person.press("p")
        person.page.locator("#mask-invert").click()
        person.page.locator("#paint-done").click()
        person.walk(4)
        other = person.tile(1)[..., :3]
        assert np.array_equal(other[painted], after[painted])
        assert (other[~painted] != after[~painted]).any()


def test_shelf_session_and_replay(
    person: Person, chromium: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "cache"))
    with interactive(checkpoint) as address:
        person.open(address)
        person.pause()
        kept: list[Pixels] = []
        for tile in (3, 0, 5):
            person.walk(2)
            person.press(str(tile + 1), "k")
            person.wait(lambda: person.page.locator("#shelf img").count() == len(kept) + 1)
            kept.append(person.tile(tile)[..., :3])
        person.press("s", "l", "ArrowUp")
        person.walk(2)
        files = zipfile.ZipFile(io.BytesIO(person.download("#shelf-zip")))
        assert files.namelist() == [
            "kept_0001.png",
            "kept_0002.png",
            "kept_0003.png",
            "session.json",
        ]
        for name, pixels in zip(files.namelist(), kept, strict=False):
            assert np.array_equal(np.asarray(Image.open(files.open(name))), pixels), name
        grid = Image.open(io.BytesIO(person.download("#shelf-grid")))
        assert grid.width > 2 * SIDE
        session = person.download("#session-save")
        (tmp_path / "session.json").write_bytes(session)
        last, level = person.tiles(), person.state["level"]

        replay(checkpoint, tmp_path)
        for name in files.namelist()[:3]:
            assert (tmp_path / "again" / name).read_bytes() == files.read(name), name
        for number, pixels in enumerate(last):
            again = Image.open(tmp_path / "again" / f"tile_{number + 1:04d}.png")
            assert np.array_equal(np.asarray(again), pixels[..., :3])

        other = Person(chromium.new_page())
        other.open(address)
        assert all(equal(last, other.tiles())), "a second tab sees the same chains"
        person.walk(1)
        other.wait(lambda: all(equal(person.tiles(), other.tiles())))
        other.page.close()

        person.page.locator("#restart-noise").click()
        person.wait(lambda: person.state["step"] == 0)
        person.page.locator("#session-load").set_input_files(tmp_path / "session.json")
        person.page.locator("#ask-yes").click()
        person.wait(lambda: person.state["replaying"] is None and all(equal(last, person.tiles())))
        assert person.state["level"] == level
        assert json.loads(person.download("#session-save")) == json.loads(session)


def replay(checkpoint: Path, folder: Path) -> Result:
    from click.testing import CliRunner

    arguments = [
        f"--replay={folder / 'session.json'}",
        f"--save-dir={folder / 'again'}",
        "--device=cpu",
    ]
    result = CliRunner().invoke(sample.main, [str(checkpoint), *arguments])
    assert result.exit_code == 0, result.output
    return result
