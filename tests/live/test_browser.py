"""The page in headless Chromium: user actions, and the resulting pixels."""

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
TIMEOUT = 30.0  # seconds
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


class User:
    """A user of the page."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def open(self, address: str) -> "User":
        self.page.goto(address)
        self.wait(lambda: self.page.evaluate("Boolean(window.nkca && window.nkca.onScreen >= 0)"))
        return self

    @property
    def state(self) -> dict[str, Any]:
        """The newest head, once it is on the screen."""
        newest = "window.nkca.onScreen === window.nkca.state.version ? window.nkca.state : null"
        state: dict[str, Any] = self.wait(lambda: self.page.evaluate(newest))
        return state

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait until ``condition`` returns a true value; returns it."""
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            found = condition()
            if found:
                return found
            self.page.wait_for_timeout(20)
        raise AssertionError("the condition never became true")

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

    def make_steps(self, steps: int) -> None:
        """Make single steps."""
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
def user(chromium: Any) -> Iterator[User]:
    """A user whose actions must not cause errors in the console."""
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield User(page)
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth", side=SIDE)


def equal(one: list[Pixels], other: list[Pixels]) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_level_run_pause_and_step(user: User, checkpoint: Path) -> None:
    with interactive(checkpoint) as address:
        user.open(address)
        user.pause()
        assert user.state["level"] == 0.5
        user.press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown")
        user.wait(lambda: user.state["level"] == 0.52)
        assert user.page.locator("#level-value").inner_text() == "0.52"
        user.page.locator("#level").fill("0.3")
        user.wait(lambda: user.state["level"] == 0.3)
        before = user.tiles()
        step = user.state["step"]
        user.press(".")
        user.wait(lambda: user.state["step"] == step + 1)
        assert user.state["tile_levels"] == [0.3] * TILES
        assert not any(equal(before, user.tiles()))
        assert not user.state["running"]

        user.press("Space")
        user.wait(lambda: user.state["step"] > step + 20)
        seen = {user.tile(0).tobytes() for _ in range(20) if not user.page.wait_for_timeout(20)}
        assert len(seen) > 3, "images change while it runs"
        assert float(user.page.locator("#fps").inner_text()) > 1
        user.press("Space")
        user.wait(lambda: not user.state["running"])
        still = user.tiles()
        step = user.state["step"]
        user.page.wait_for_timeout(1500)
        assert user.state["step"] == step
        assert all(equal(still, user.tiles()))

        user.page.locator("#anneal-steps").fill("7")
        user.page.locator("#anneal").click()
        user.wait(lambda: user.state["step"] == step + 7)
        user.wait(lambda: not user.state["running"])
        assert user.state["level"] == pytest.approx(0.01)


def test_pick_spread_lock_undo_and_restart(user: User, checkpoint: Path) -> None:
    with interactive(checkpoint) as address:
        user.open(address)
        user.pause()
        user.make_steps(3)
        user.page.locator('[data-tile="4"]').click()
        user.wait(lambda: user.state["picked"] == 4)
        assert user.page.locator('[data-tile="4"]').get_attribute("aria-pressed") == "true"
        user.press("3")
        user.wait(lambda: user.state["picked"] == 2)
        apart = user.tiles()
        user.page.locator("#spread").click()
        user.wait(
            lambda: (
                user.state["can_undo"] and equal(user.tiles(), [apart[2]] * TILES) == [True] * TILES
            )
        )
        user.make_steps(2)
        assert len({tile.tobytes() for tile in user.tiles()}) == TILES, "each has its own noise"

        user.press("l")
        user.wait(lambda: user.state["locked"] == [2])
        assert "locked" in (user.page.locator('[data-tile="2"]').get_attribute("aria-label") or "")
        before = user.tiles()
        step = user.state["step"]
        user.press("Space")
        user.wait(lambda: user.state["step"] > step + 10)
        user.pause()
        assert equal(before, user.tiles()) == [number == 2 for number in range(TILES)]

        user.press("z")
        user.wait(lambda: user.state["locked"] == [])
        assert all(equal(before, user.tiles())), "undone to the moment before the lock"
        user.press("z")
        user.wait(lambda: all(equal(apart, user.tiles())))
        user.press("Control+y")
        user.wait(lambda: all(equal(before, user.tiles())))
        user.page.locator("#filmstrip button").first.click()
        user.wait(lambda: user.state["picked"] is None)

        user.page.locator("#seed").fill("77")
        user.page.locator("#restart-noise").click()
        user.wait(lambda: user.state["seed"] == 77 and user.state["step"] == 0)
        started = user.tiles()
        user.make_steps(1)
        user.page.locator("#restart-noise").click()
        user.wait(lambda: all(equal(started, user.tiles())))


def test_paint_holds_the_rest(user: User, checkpoint: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "mine.png")
    with interactive(checkpoint) as address:
        user.open(address)
        user.press("2")
        user.wait(lambda: user.state["picked"] == 1)
        user.page.locator("#open-image").set_input_files(tmp_path / "mine.png")
        user.wait(lambda: np.array_equal(user.tile(1)[..., :3], picture))
        assert not user.state["running"]
        user.press("p")
        user.page.locator("#paint-dialog").wait_for()
        user.page.locator("#brush-size").fill("1")
        canvas = user.page.locator("#paint-canvas").bounding_box()
        cell = canvas["width"] / SIDE
        mouse = user.page.mouse
        mouse.move(canvas["x"] + 5.5 * cell, canvas["y"] + 1.5 * cell)
        mouse.down()
        mouse.move(canvas["x"] + 5.5 * cell, canvas["y"] + 6.5 * cell, steps=8)
        mouse.up()
        user.page.locator("#paint-done").click()
        user.wait(lambda: user.state["masked"] == [1])
        painted = np.zeros((SIDE, SIDE), bool)
        painted[1:7, 5] = True
        user.page.locator("#level").fill("1")
        user.make_steps(6)
        after = user.tile(1)[..., :3]
        assert np.array_equal(after[~painted], picture[~painted]), "held bit for bit"
        assert (after[painted] != picture[painted]).any(1).all(), "painted pixels change"
        assert "painted" in (user.page.locator('[data-tile="1"]').get_attribute("aria-label") or "")

        user.press("p")
        user.page.locator("#mask-invert").click()
        user.page.locator("#paint-done").click()
        user.make_steps(4)
        other = user.tile(1)[..., :3]
        assert np.array_equal(other[painted], after[painted])
        assert (other[~painted] != after[~painted]).any()


def test_shelf_session_and_replay(
    user: User, chromium: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "cache"))
    with interactive(checkpoint) as address:
        user.open(address)
        user.pause()
        kept: list[Pixels] = []
        for tile in (3, 0, 5):
            user.make_steps(2)
            user.press(str(tile + 1), "k")
            user.wait(lambda: user.page.locator("#shelf img").count() == len(kept) + 1)
            kept.append(user.tile(tile)[..., :3])
        user.press("s", "l", "ArrowUp")
        user.make_steps(2)
        files = zipfile.ZipFile(io.BytesIO(user.download("#shelf-zip")))
        assert files.namelist() == [
            "kept_0001.png",
            "kept_0002.png",
            "kept_0003.png",
            "session.json",
        ]
        for name, pixels in zip(files.namelist(), kept, strict=False):
            assert np.array_equal(np.asarray(Image.open(files.open(name))), pixels), name
        grid = Image.open(io.BytesIO(user.download("#shelf-grid")))
        assert grid.width > 2 * SIDE
        session = user.download("#session-save")
        (tmp_path / "session.json").write_bytes(session)
        last, level = user.tiles(), user.state["level"]

        replay(checkpoint, tmp_path)
        for name in files.namelist()[:3]:
            assert (tmp_path / "again" / name).read_bytes() == files.read(name), name
        for number, pixels in enumerate(last):
            again = Image.open(tmp_path / "again" / f"tile_{number + 1:04d}.png")
            assert np.array_equal(np.asarray(again), pixels[..., :3])

        other = User(chromium.new_page())
        other.open(address)
        assert all(equal(last, other.tiles())), "a second tab sees the same chains"
        user.make_steps(1)
        other.wait(lambda: all(equal(user.tiles(), other.tiles())))
        other.page.close()

        user.page.locator("#restart-noise").click()
        user.wait(lambda: user.state["step"] == 0)
        user.page.locator("#session-load").set_input_files(tmp_path / "session.json")
        user.page.locator("#ask-yes").click()
        user.wait(lambda: user.state["replaying"] is None and all(equal(last, user.tiles())))
        assert user.state["level"] == level
        assert json.loads(user.download("#session-save")) == json.loads(session)


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
