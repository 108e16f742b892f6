"""The page in headless Chromium: user actions, and the resulting pixels."""

import base64
import contextlib
import io
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result
from interactive_process import find_chromium
from PIL import Image
from toys import write_checkpoint

from nkca.cli import sample
from nkca.live.web.address import redirect_file

CHROMIUM, sync_api = find_chromium()
SIDE, TILES = 8, 6
TIMEOUT = 120.0  # seconds
Pixels = npt.NDArray[np.uint8]

READ_TILE = """(tile) => {
  const canvas = document.querySelector(`[data-tile="${tile}"] canvas`);
  const pen = canvas.getContext("2d");
  return Array.from(pen.getImageData(0, 0, canvas.width, canvas.height).data);
}"""


READ_CANVAS = """(id) => {
  const canvas = document.getElementById(id);
  return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
}"""


@contextlib.contextmanager
def interactive(*arguments: object) -> Iterator[str]:
    """The address of a running nkca-interactive; Ctrl-C must end it with code 0."""
    with running(*arguments) as (address, _):
        yield address


@contextlib.contextmanager
def running(*arguments: object) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """As `interactive`, with the process."""
    command = [sys.executable, "-m", "nkca.cli.interactive", *map(str, arguments)]
    command += ["--no-browser", f"--batch-size={TILES}", "--device=cpu"]
    if not any(str(argument).startswith("--visualize") for argument in arguments):
        command += ["--visualize=z"]  # so that tiles are the pictures that a replay writes
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            found = re.search(r"http://\S+", line)
            assert found, line
            yield found[0], process
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=TIMEOUT)
            assert process.returncode == 0, errors
            assert b"Traceback" not in errors
        finally:
            process.kill()


class User:
    """A user of the page."""

    def __init__(self, page: Any) -> None:
        self.page = page
        page.set_default_timeout(1000 * TIMEOUT)

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
            with contextlib.suppress(sync_api.Error):  # while the page loads again
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

    def until_step_after(self, step: int) -> None:
        self.wait(lambda: self.state["step"] > step)

    def until_is(self, name: str, value: object) -> None:
        self.wait(lambda: self.state[name] == value)

    def until_shown(self, selector: str, count: int) -> None:
        self.wait(lambda: self.page.locator(selector).count() == count)

    def until_step(self, step: int) -> None:
        self.wait(lambda: self.state["step"] == step)

    def open_session(self, path: Path) -> None:
        """Choose a session file in the dialog for it."""
        self.page.locator("#sessions").click()
        self.page.locator("#session-load").set_input_files(path)

    def download(self, selector: str) -> bytes:
        with self.page.expect_download() as download:
            self.page.locator(selector).click()
        content: bytes = Path(download.value.path()).read_bytes()
        return content

    def download_bytes(self, path: str) -> bytes:
        """What the page gets from this address."""
        content: list[int] = self.page.evaluate(
            "async (path) => [...new Uint8Array(await (await fetch(path)).arrayBuffer())]", path
        )
        return bytes(content)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def is_complaint(message: Any) -> bool:
    """An error in the console, except that of a page that outlives its server."""
    lost = any(f"ERR_CONNECTION_{end}" in message.text for end in ("REFUSED", "RESET"))
    return message.type == "error" and not lost


@pytest.fixture
def user(chromium: Any) -> Iterator[User]:
    """A user whose actions must not cause errors in the console."""
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if is_complaint(message) else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield User(page)
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def server(checkpoint: Path, real: Path) -> Iterator[str]:
    """The address of a server that several tests share, each with a session of its own."""
    with interactive(checkpoint, f"--real={real}") as address:
        yield address


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures for "Real or made?"."""
    folder = tmp_path_factory.mktemp("real")
    for number in range(5):
        Image.new("RGB", (SIDE, SIDE), (50 * number, 9, 9)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def address(server: str) -> str:
    """The address of `server`, where a new session has begun."""
    with urllib.request.urlopen(f"{server}api/session.json", timeout=TIMEOUT) as answer:
        session = json.load(answer) | {"batch_size": TILES, "events": []}
    open_session(server, session)
    return server


def open_session(server: str, session: dict[str, Any]) -> None:
    body, kind = json.dumps(session).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server}api/session", body, kind)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        assert json.load(answer)["ok"]
    turn = urllib.request.Request(f"{server}api/turn", b'{"events": [{"do": "stop"}]}', kind)
    urllib.request.urlopen(turn, timeout=TIMEOUT).close()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth", side=SIDE)


def equal(one: list[Pixels], other: list[Pixels]) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_level_run_pause_and_step(user: User, address: str) -> None:
    user.open(address)
    user.pause()
    assert user.state["level"] == 0.5
    user.press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown")
    user.wait(lambda: user.state["level"] == 0.52)
    assert user.page.locator("#level-value").input_value() == "0.52"
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


def test_pick_spread_lock_undo_and_restart(user: User, address: str) -> None:
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
        lambda: user.state["can_undo"] and equal(user.tiles(), [apart[2]] * TILES) == [True] * TILES
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
    user.page.locator("#filmstrip .frame").first.click()
    user.wait(lambda: user.state["history"]["position"] == 0)

    user.page.locator("#seed").fill("77")
    user.page.locator("#restart-noise").click()
    user.wait(lambda: user.state["seed"] == 77 and user.state["step"] == 0)
    started = user.tiles()
    user.make_steps(1)
    user.page.locator("#restart-noise").click()
    user.wait(lambda: all(equal(started, user.tiles())))


def test_paint_holds_the_rest(user: User, address: str, tmp_path: Path) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "mine.png")
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
        user.open_session(tmp_path / "session.json")
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


def test_an_abandoned_future_is_a_branch_and_comes_back(user: User, address: str) -> None:
    user.open(address)
    user.make_steps(1)
    user.press("2", "s")
    user.make_steps(1)
    abandoned = user.tiles()
    user.press("z")
    user.wait(lambda: user.state["can_redo"])
    user.press("5", "s")
    branch = user.page.locator("#filmstrip .branch .frame")
    user.wait(lambda: branch.count() == 1)
    user.make_steps(1)
    other = user.tiles()
    branch.click()
    user.wait(lambda: all(equal(abandoned, user.tiles())))
    user.wait(lambda: branch.count() == 1)
    branch.click()
    user.wait(lambda: all(equal(other, user.tiles())))


def test_looking_at_a_past_moment_loses_nothing(user: User, address: str) -> None:
    user.open(address)
    user.make_steps(1)
    for tile in ("2", "5", "3"):
        user.press(tile, "s")
        user.make_steps(1)
    last = user.tiles()
    entries = user.page.locator("#filmstrip .frame").count()
    assert entries == 3, "picks are no entries"
    user.press("z", "z", "z")
    user.wait(lambda: not user.state["can_undo"])
    user.page.locator('[data-tile="4"]').click()
    user.press(*["ArrowRight"] * 20)
    user.wait(lambda: user.state["picked"] == (4 + 20) % TILES)
    assert user.page.locator("#filmstrip .future").count() == entries
    user.press("y", "y", "y")
    user.wait(lambda: all(equal(last, user.tiles())))
    assert user.state["picked"] == (4 + 20) % TILES


def walks(user: User) -> list[bool]:
    """Which tiles change in some steps; the chains run."""
    before, step = user.tiles(), user.state["step"]
    user.until_step_after(step + 5)
    return [not same for same in equal(before, user.tiles())]


def test_only_the_tile_that_is_painted_or_enlarged_walks(user: User, address: str) -> None:
    user.open(address)
    user.press("3", "Space")
    user.wait(lambda: user.state["step"] > 2)
    for key, name in (("p", "paint"), ("e", "zoom")):
        user.press(key)
        user.page.locator(f"#{name}-dialog").wait_for()
        user.until_step_after(user.state["step"] + 1)
        assert walks(user) == [tile == 2 for tile in range(TILES)], name
        large = user.page.evaluate(READ_CANVAS, f"{name}-picture")
        assert len(large) == 4 * SIDE * SIDE
        user.page.locator(f"#{name}-solo").click()
        user.until_step_after(user.state["step"] + 1)
        assert walks(user) == [True] * TILES, name
        user.page.locator(f"#{name}-solo").click()
        user.press("Escape")
        user.page.locator(f"#{name}-dialog").wait_for(state="hidden")
        user.until_step_after(user.state["step"] + 1)
        assert walks(user) == [True] * TILES, name
    assert user.state["picked"] == 2, "Escape closes the dialog, no more"


PHONE = {"width": 390, "height": 844}


def test_a_phone(chromium: Any, address: str) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    user = User(context.new_page()).open(address)
    for name in ("run", "spread", "keep", "undo"):
        box = user.page.locator(f"#{name}").bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"], name
        assert box["height"] >= 40 and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    assert user.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    user.page.locator('[data-tile="1"]').tap()
    user.wait(lambda: user.state["picked"] == 1)
    kept = user.tile(1)
    user.page.locator("#keep").tap()
    user.page.locator("#spread").tap()
    user.wait(lambda: equal(user.tiles(), [kept] * TILES) == [True] * TILES)
    user.page.locator("#undo").tap()
    user.wait(lambda: not all(equal(user.tiles(), [kept] * TILES)))
    assert user.page.locator("#shelf .kept").count() == 1

    box = user.page.locator('[data-tile="3"]').bounding_box()
    touch = context.new_cdp_session(user.page)
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    user.page.locator("#zoom-dialog").wait_for()
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert user.page.locator("#zoom-title").inner_text() == "Tile 4"
    assert user.page.locator("#zoom-spread").bounding_box()["y"] < PHONE["height"]
    user.page.locator("#zoom-dialog .close").tap()
    user.wait(lambda: user.state["picked"] == 3)
    context.close()


def test_shortcuts_of_one_letter_can_be_turned_off(user: User, address: str) -> None:
    user.open(address)
    user.press("?")
    user.page.locator("#letters").click()
    user.press("Escape", "2", "s", "k", "?", "ArrowRight")
    user.wait(lambda: user.state["picked"] == 0)
    user.press("Space")
    user.wait(lambda: user.state["running"])
    assert not user.state["can_undo"]
    assert user.page.locator("#shelf .kept").count() == 0
    assert not user.page.locator("#help-dialog").is_visible()
    user.page.reload()
    user.wait(lambda: user.page.evaluate("Boolean(window.nkca && window.nkca.onScreen >= 0)"))
    user.press("2")
    user.page.locator("#help").click()
    user.page.locator("#letters").click()
    user.press("Escape", "3")
    user.wait(lambda: user.state["picked"] == 2)


def test_large_pictures_and_sessions(chromium: Any, address: str, tmp_path: Path) -> None:
    context = chromium.new_context()
    user = User(context.new_page()).open(address)
    Image.new("RGB", (6000, 4000), (200, 10, 10)).save(tmp_path / "large.jpg")
    user.page.locator("#open-image").set_input_files(tmp_path / "large.jpg")
    user.wait(lambda: (np.abs(user.tile(5)[..., :3] - np.array([200, 10, 10])) < 4).all())
    with urllib.request.urlopen(f"{address}api/session.json", timeout=TIMEOUT) as answer:
        session = json.load(answer)
    select = [{"do": "select", "tile": number % 7} for number in range(10_000)]
    (tmp_path / "large.json").write_text(
        json.dumps(session | {"batch_size": TILES + 1, "events": [*session["events"], *select]})
    )
    (tmp_path / "larger.json").write_bytes(bytes(33 << 20))
    user.open_session(tmp_path / "larger.json")
    user.page.get_by_text("too large for the page").wait_for()
    user.open_session(tmp_path / "large.json")
    user.page.locator("#ask-yes").click()
    user.page.get_by_text(f"has {TILES + 1} chains, the command has {TILES}").wait_for()
    user.page.locator("#ask-no").click()
    user.page.get_by_text("The session was not opened.").wait_for()
    user.open_session(tmp_path / "large.json")
    user.page.locator("#ask-yes").click()
    user.page.get_by_text("Open it all the same").wait_for()
    user.page.locator("#ask-yes").click()
    user.wait(lambda: user.page.locator(".cell").count() == TILES + 1)
    user.wait(lambda: user.state["replaying"] is None and user.state["picked"] == 9_999 % 7)
    context.close()


def test_away_hanging_and_restarted(
    chromium: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "cache"))
    context = chromium.new_context()
    user = User(context.new_page())
    with running(checkpoint) as (address, process):
        user.open(address)
        user.make_steps(3)
        user.press("3", "k")
        user.wait(lambda: user.page.locator("#shelf .kept").count() == 1)
        kept = user.tile(2)

        process.send_signal(signal.SIGSTOP)
        user.press("4")
        user.page.locator("#waiting").wait_for()
        assert re.fullmatch(r"working \d+ s", user.page.locator("#waiting").inner_text())
        process.send_signal(signal.SIGCONT)
        user.wait(lambda: user.state["picked"] == 3)
        user.page.locator("#waiting").wait_for(state="hidden")

        context.set_offline(True)
        user.page.locator("#banner").get_by_text("does not respond").wait_for()
        user.press("k")
        user.page.get_by_text("Not done: the server does not respond.").wait_for()
        context.set_offline(False)
        user.page.locator("#banner").wait_for(state="hidden")
        user.press("5")
        user.wait(lambda: user.state["picked"] == 4)
        assert user.page.locator("#shelf .kept").count() == 1
    user.page.locator("#banner").get_by_text("does not respond").wait_for()
    with interactive(checkpoint, f"--port={address.split(':')[-1].strip('/')}"):
        user.page.locator("#banner").wait_for(state="hidden")
        user.page.get_by_text("Open session lists the old one").wait_for()
        user.page.locator("#sessions").click()
        user.page.locator("#saved button").get_by_text("1 kept").click()
        user.wait(lambda: user.page.locator("#shelf .kept").count() == 1)
        user.wait(lambda: user.state["replaying"] is None)
        assert np.array_equal(user.tile(2), kept)
    context.close()


def test_the_token_is_exchanged_for_a_cookie(chromium: Any, checkpoint: Path) -> None:
    with interactive(checkpoint, "--token") as address:
        place, _, token = address.partition("?token=")
        file = redirect_file(address)
        context, stranger = chromium.new_context(), chromium.new_context()
        user = User(context.new_page()).open(file.as_uri())
        file.unlink()
        assert user.page.url == place
        assert token not in user.page.content()
        user.make_steps(1)
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        refused = stranger.new_page().goto(place)
        assert refused.status == 401
        typed = User(stranger.new_page()).open(address)
        assert typed.page.url == place
        for one in (context, stranger):
            one.close()


# --------------------------------------------------------------------------------------------
# The first load, and who uses the page otherwise than with eyes and a mouse

MAX_REQUESTS, MAX_BYTES = 10, 60_000


def test_the_first_load_is_small(chromium: Any, address: str) -> None:
    """All requests until the first frame is on the screen, and their bytes on the network."""
    context = chromium.new_context()
    page = context.new_page()
    network = context.new_cdp_session(page)
    sent: list[str] = []
    received: list[float] = []
    network.on("Network.requestWillBeSent", lambda event: sent.append(event["request"]["url"]))
    network.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    network.send("Network.enable")
    user = User(page).open(address)
    loaded = [url for url in sent if not url.startswith("data:")]
    user.wait(lambda: len(received) >= len(loaded))
    assert any(url.endswith("/static/app.js") for url in loaded)
    assert len(loaded) <= MAX_REQUESTS, loaded
    assert sum(received) <= MAX_BYTES
    context.close()


def picked_colours(user: User) -> set[str]:
    """The colours of the frames of a tile that is picked, and of one that is not."""
    script = """(tile) => getComputedStyle(
      document.querySelector(`[data-tile="${tile}"]`).parentElement, "::after").borderTopColor"""
    return {user.page.evaluate(script, tile) for tile in (1, 4)}


def test_forced_colours_show_which_tile_is_picked(user: User, address: str) -> None:
    user.page.emulate_media(forced_colors="active", reduced_motion="reduce")
    user.open(address)
    user.press("2")
    user.wait(lambda: user.state["picked"] == 1)
    user.wait(lambda: len(picked_colours(user)) == 2)
    ground = user.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground in picked_colours(user), "the frame of a tile that is not picked is not seen"


CONTRAST = """() => {
  const style = getComputedStyle(document.querySelector(".number"));
  const [red, green, blue, alpha = 1] = style.backgroundColor.match(/[\\d.]+/g).map(Number);
  const light = (...rgb) => {
    const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const over = (colour, part, ground) => colour * part + ground * (1 - part);
  const opacity = Number(style.opacity);
  const ground = [red, green, blue].map((v) => over(over(v, alpha, 255), opacity, 255));
  const text = style.color.match(/[\\d.]+/g).slice(0, 3).map((v, i) => over(Number(v), opacity, 255));
  const [low, high] = [light(...ground), light(...text)].sort((a, b) => a - b);
  return (high + .05) / (low + .05);
}"""


def test_tile_numbers_can_be_read_over_white(user: User, address: str) -> None:
    user.open(address)
    assert user.page.evaluate(CONTRAST) >= 4.5


LISTEN = """() => {
  window.heard = 0;
  const live = "[role=status], [role=alert], [aria-live=polite], output:not([aria-live=off])";
  const hear = (changes) => changes.forEach(({ target }) => {
    const element = target instanceof Element ? target : target.parentElement;
    window.heard += Boolean(element?.closest(live));
  });
  const all = { subtree: true, childList: true, characterData: true };
  new MutationObserver(hear).observe(document.body, all);
}"""


def test_an_anneal_speaks_at_its_start_not_at_every_step(user: User, address: str) -> None:
    user.open(address)
    user.page.locator("#anneal-steps").fill("30")
    user.page.evaluate(LISTEN)
    user.page.locator("#anneal").click()
    user.until_step(30)
    user.wait(lambda: "Annealing in 30 steps" in user.page.locator("#status").inner_text())
    assert user.page.evaluate("window.heard") <= 3


def test_after_an_anneal_the_chains_can_walk_again(user: User, address: str) -> None:
    user.open(address)
    assert user.page.locator("#walk").count() == 0
    user.page.locator("#anneal-steps").fill("3")
    user.page.locator("#anneal").click()
    user.until_step(3)
    user.wait(lambda: not user.state["running"])
    user.page.locator("#walk").click()
    user.wait(lambda: user.state["running"] and user.state["level"] == 0.3)
    user.until_step_after(5)


def test_an_anneal_of_too_many_steps_is_put_right_and_timed(user: User, address: str) -> None:
    user.open(address)
    user.page.locator("#speed").select_option("1")
    steps = user.page.locator("#anneal-steps")
    steps.fill("999999")
    steps.press("Tab")
    user.page.get_by_text("A whole number from 1 to 10,000 goes here").wait_for()
    assert steps.input_value() == "10000"
    assert user.page.locator("#anneal-time").inner_text() == "about 167 min"
    user.page.locator("#anneal").click()
    user.wait(lambda: user.state["annealing"] > 9_000)
    steps.focus()
    user.press("Control+a", "5")
    user.until_step_after(user.state["step"] + 1)
    assert steps.input_value() == "5", "what is being typed stays"


def test_arrow_keys_move_by_rows_within_the_grid(user: User, address: str) -> None:
    user.open(address)
    user.press("ArrowUp", "+", "+", "-")
    user.wait(lambda: user.state["level"] == 0.52)
    columns = len(user.page.evaluate("getComputedStyle(grid).gridTemplateColumns").split())
    assert columns == 3
    user.page.locator('[data-tile="1"]').click()
    user.wait(lambda: user.state["picked"] == 1)
    for key, tile in (("ArrowDown", 4), ("ArrowDown", 4), ("ArrowRight", 5), ("ArrowUp", 2)):
        user.press(key)
        user.until_is("picked", tile)
        user.until_shown(f'[data-tile="{tile}"]:focus', 1)
    assert user.state["level"] == 0.52


def test_a_picture_of_another_shape_is_not_cropped_silently(
    user: User, address: str, tmp_path: Path
) -> None:
    for name, size in (("square", (40, 40)), ("wide", (60, 40)), ("high", (40, 70))):
        Image.new("RGB", size, (9, 200, 9)).save(tmp_path / f"{name}.png")
    user.open(address)
    chooser, toast = user.page.locator("#open-image"), user.page.locator(".toast")
    pictures = (
        ("square", None),
        ("wide", "60 × 40, the model's are 8 × 8: the left and right edges were cut off"),
        ("high", "40 × 70, the model's are 8 × 8: the upper and lower edges were cut off"),
    )
    for number, (name, words) in enumerate(pictures, 1):
        chooser.set_input_files(tmp_path / f"{name}.png")
        user.until_shown("#filmstrip .frame", number)
        if words:
            toast.get_by_text(words).wait_for()
    assert toast.count() == 2


def test_the_shelf_is_one_tab_stop_and_pictures_move_and_go(user: User, address: str) -> None:
    user.open(address)
    for number in (1, 2, 3):
        user.press(str(number), "k")
        user.until_shown("#shelf .kept", number)
    shelf = user.page.locator("#shelf .kept")

    def names() -> list[int]:
        return [kept["tile"] for kept in user.state["shelf"]["items"]]

    def focused() -> str:
        return str(user.page.evaluate("document.activeElement.ariaLabel"))[:9]

    assert user.page.locator('#shelf [tabindex="0"]').count() == 1
    shelf.nth(0).drag_to(shelf.nth(2))
    user.wait(lambda: names() == [1, 2, 0])
    shelf.nth(0).focus()
    user.press("ArrowRight", "Alt+ArrowLeft")
    user.wait(lambda: names() == [2, 1, 0])
    user.wait(lambda: focused() == "kept_0003")
    user.press("Delete")
    user.wait(lambda: names() == [1, 0])
    user.wait(lambda: focused() == "kept_0002")
    user.page.get_by_text("Put back", exact=True).click()
    user.wait(lambda: len(names()) == 3)


AXE = Path(__file__).parent / "js" / "node_modules" / "axe-core" / "axe.min.js"
RUN_AXE = """async () => (await axe.run()).violations.map(
  ({id, nodes}) => `${id}: ${nodes.map(({target}) => target).join(", ")}`)"""
VIEWS = {
    "": None,
    "p": "#paint-dialog",
    "b": "#colour-dialog",
    "e": "#zoom-dialog",
    "w": "#show-dialog",
    "j": "#judge-dialog",
    "?": "#help-dialog",
}
SIZES = ((1280, 720), (768, 1024), (390, 844))


@pytest.mark.skipif(
    not AXE.exists(), reason=f"axe-core is not installed: npm ci --prefix {AXE.parents[2]}"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(chromium: Any, address: str, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme, reduced_motion="reduce")
    user = User(context.new_page()).open(address)
    user.page.evaluate(AXE.read_text())
    user.press("2", "k", "s")
    user.wait(lambda: user.page.locator("#filmstrip .frame").count() == 1)
    for width, height in SIZES:
        user.page.set_viewport_size({"width": width, "height": height})
        for key, dialog in VIEWS.items():
            user.press(*key)
            if dialog:
                user.page.locator(dialog).wait_for()
            assert user.page.evaluate(RUN_AXE) == [], (width, scheme, dialog)
            if dialog:
                user.press("Escape")
                user.page.locator(dialog).wait_for(state="hidden")
    context.close()


def open_trials(user: User) -> None:
    user.press("j")
    user.page.locator("#judge-begin").click()
    user.page.get_by_text("Pair 1 of").wait_for()


def open_result(user: User) -> None:
    open_trials(user)
    user.press("1")
    user.page.get_by_text("Pair 2 of").wait_for()
    user.page.locator("#judge-stop").click()
    user.page.locator("#judge-result").wait_for()


def open_recording(user: User) -> None:
    user.page.locator("#record").click()
    user.make_steps(1)
    user.page.locator("#record").click()
    user.page.locator("#recording").click()
    user.page.locator("#recording-mp4, #recording-gif").first.wait_for()


def open_slides(user: User) -> None:
    user.page.locator("#shelf .kept").click()
    user.page.locator("#viewer-slides").click()
    user.page.locator("#show-picture").wait_for()


@pytest.mark.skipif(
    not AXE.exists(), reason=f"axe-core is not installed: npm ci --prefix {AXE.parents[2]}"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", [open_trials, open_result, open_recording, open_slides])
def test_axe_finds_nothing_further_on(
    chromium: Any, address: str, scheme: str, view: Callable[[User], None]
) -> None:
    context = chromium.new_context(color_scheme=scheme, reduced_motion="reduce")
    user = User(context.new_page()).open(address)
    user.page.evaluate(AXE.read_text())
    user.press("2", "k")
    user.until_shown("#shelf .kept", 1)
    view(user)
    for width, height in SIZES:
        user.page.set_viewport_size({"width": width, "height": height})
        assert user.page.evaluate(RUN_AXE) == [], (width, scheme)
        sideways = "document.documentElement.scrollWidth > innerWidth"
        assert not user.page.evaluate(sideways), (width, scheme)
    context.close()


def has_chosen(user: User, choices: int) -> bool:
    return bool(user.state["choices"] == choices)


def block_means(tiles: list[Pixels], side: int) -> list[list[float]]:
    means = [
        tile[..., :3].reshape(SIDE // side, side, SIDE // side, side, 3).mean((1, 3))
        for tile in tiles
    ]
    return [each.flatten().tolist() for each in means]


def test_a_whole_visit(user: User, checkpoint: Path, tmp_path: Path) -> None:
    """Choose ten times, fan, mix, discard, branch, jump, hold, colour, keep, save, open, replay."""
    with interactive(checkpoint, "--visualize=finished") as address:
        user.open(address)
        page = user.page
        finished = "window.nkca.state && window.nkca.state.pictured === window.nkca.state.version"

        def settle(condition: Callable[[], Any] = lambda: True) -> None:
            user.wait(lambda: page.evaluate(finished) and user.state and condition())

        settle()
        first = user.tiles()
        page.locator("#show-z").click()
        user.wait(lambda: page.evaluate("window.nkca.onScreen") >= 0)
        page.locator("#show-finished").click()
        user.wait(lambda: all(equal(first, user.tiles())))
        user.make_steps(2)
        settle()
        assert not any(equal(first, user.tiles()))

        user.press("2", "c")
        settle(lambda: user.state["choosing"])
        assert user.state["picked"] is None, "the current picture is not marked"
        for number in range(10):
            page.locator(f'[data-tile="{number % TILES}"]').click()
            settle(partial(has_chosen, user, number + 1))
        user.press("Escape", "4")
        settle(lambda: user.state["picked"] == 3)
        assert user.state["choices"] == 10, "after Esc a number picks"
        lines = user.download("#choices-csv").decode().splitlines()
        assert len(lines) == 11
        assert all(int(line.rsplit(",", 1)[1]) > 0 for line in lines[1:]), "the time of each"

        user.press("f")
        settle(lambda: len(set(user.state["tile_levels"])) == TILES)
        user.press("6")
        page.locator("#use-level").click()
        settle(lambda: user.state["level"] == user.state["tile_levels"][5])
        user.make_steps(1)
        settle()
        before = user.state["version"]
        user.press("1", "m")
        page.locator('[data-tile="4"]').click()
        settle(lambda: user.state["version"] > before)
        mixed = user.tiles()
        user.press("2", "x")
        settle(lambda: not all(equal(mixed, user.tiles())))
        assert equal(mixed, user.tiles()) == [number != 1 for number in range(TILES)]
        user.press("Shift+X")
        settle(lambda: equal(mixed, user.tiles()) == [False] * TILES)

        abandoned = user.tiles()
        user.press("z")
        settle(lambda: user.state["can_redo"])
        user.press("5", "s")
        branch = page.locator("#filmstrip .branch .frame")
        settle(lambda: branch.count() == 1)
        branch.click()
        settle(lambda: all(equal(abandoned, user.tiles())))

        user.press("2")
        page.locator("#hold").select_option("4")
        settle(lambda: user.state["held"] == {"side": 4})
        user.make_steps(2)
        settle(lambda: len({tile.tobytes() for tile in user.tiles()}) == TILES)
        means = block_means(user.tiles(), 4)
        assert means == [means[0]] * TILES
        page.locator("#hold").select_option("")
        settle(lambda: user.state["held"] is None)
        user.make_steps(1)
        settle(lambda: block_means(user.tiles(), 4) != [means[0]] * TILES)

        paint_orange(user, 4)
        page.locator("#colour-apply").click()
        page.locator("#colour-dialog").wait_for(state="hidden")
        settle(lambda: user.state["tile_levels"][1] == user.state["level"] == 0.3)
        user.make_steps(1)
        settle()
        shown = user.tile(1)
        user.press("k")
        user.wait(lambda: len(user.state["shelf"]["items"]) == 1)
        last = user.tiles()
        (tmp_path / "session.json").write_bytes(user.download("#session-save"))
        kept = np.asarray(Image.open(io.BytesIO(user.download_bytes("/api/kept/1.png"))))
        assert np.abs(kept[..., 0].astype(int) - shown[..., 0]).max() <= 1
        user.press("r")
        settle(lambda: not any(equal(last, user.tiles())))
        user.open_session(tmp_path / "session.json")
        page.locator("#ask-yes").click()
        settle(lambda: user.state["replaying"] is None and all(equal(last, user.tiles())))
    replay(checkpoint, tmp_path)
    again = np.asarray(Image.open(tmp_path / "again" / "kept_0001.png"))
    assert np.array_equal(again, kept)
    assert (tmp_path / "again" / "choices.csv").read_text().splitlines() == lines


def stroke(user: User, canvas: str, row: int) -> None:
    """Paint a row of pixels."""
    box = user.page.locator(canvas).bounding_box()
    cell, mouse = box["width"] / SIDE, user.page.mouse
    mouse.move(box["x"] + 0.5 * cell, box["y"] + (row + 0.5) * cell)
    mouse.down()
    mouse.move(box["x"] + (SIDE - 0.5) * cell, box["y"] + (row + 0.5) * cell, steps=8)
    mouse.up()


def paint_orange(user: User, row: int) -> None:
    """Paint a row of the picked picture in the colour dialog."""
    user.press("b")
    user.page.locator("#colour-dialog").wait_for()
    user.page.locator("#colour-any").evaluate(
        """(field) => { field.value = "#ff8000"; field.dispatchEvent(new Event("change")); }"""
    )
    user.page.locator("#brush-size").fill("1")
    stroke(user, "#colour-canvas", row)


def test_brushes_are_painted_and_replayed(user: User, checkpoint: Path, tmp_path: Path) -> None:
    with interactive(checkpoint) as address:
        page = user.open(address).page
        user.make_steps(2)
        user.press("3", "p")
        page.locator("#paint-dialog").wait_for()
        page.locator("#brush-size").fill("1")
        stroke(user, "#paint-canvas", 1)
        page.locator("#strength").fill("30")
        stroke(user, "#paint-canvas", 5)
        page.locator("#paint-done").click()
        user.until_is("masked", [2])
        mask = np.frombuffer(base64.b64decode(user.state["masks"]["tiles"]["2"]), np.uint8)
        rows = mask.reshape(SIDE, SIDE)
        assert {row: set(rows[row].tolist()) for row in (0, 1, 5)} == {0: {0}, 1: {255}, 5: {77}}
        held = user.tile(2)
        user.make_steps(2)
        same = (user.tile(2) == held).all((1, 2))
        assert same.tolist() == [row not in (1, 5) for row in range(SIDE)]

        user.press("2")
        paint_orange(user, 4)
        painted = np.array(page.evaluate(READ_CANVAS, "colour-canvas")).reshape(SIDE, SIDE, 4)
        assert (painted[4] == [255, 128, 0, 255]).all()
        assert not painted[:4].any()
        page.locator("#colour-level").fill("0.25")
        page.locator("#colour-all").click()
        page.locator("#colour-dialog").wait_for(state="hidden")
        user.wait(lambda: user.state["tile_levels"] == [0.25] * TILES)
        assert user.state["level"] == 0.25
        user.make_steps(1)
        last = user.tiles()
        (tmp_path / "session.json").write_bytes(user.download("#session-save"))
    replay(checkpoint, tmp_path)
    for number, pixels in enumerate(last):
        again = Image.open(tmp_path / "again" / f"tile_{number + 1:04d}.png")
        assert np.array_equal(np.asarray(again), pixels[..., :3])


def test_look_compare_and_drag(user: User, address: str) -> None:
    page = user.open(address).page
    user.press("2", "k")
    user.until_shown("#shelf .kept", 1)
    kept = user.tile(1)
    user.make_steps(1)
    page.locator("#level-value").fill("0.26")
    user.press("Enter")
    user.until_is("level", 0.26)
    user.press("Tab")
    page.locator("#shelf .kept").focus()
    user.press("u")
    user.wait(lambda: user.state["level"] == user.state["shelf"]["items"][0]["level"])
    page.locator("#shelf .kept").drag_to(page.locator('[data-tile="4"]'))
    user.wait(lambda: np.array_equal(user.tile(4), kept))

    user.press("3")
    user.until_is("picked", 2)
    user.press("6", "e")
    page.locator("#zoom-dialog").wait_for()
    title = page.locator("#zoom-title")
    assert title.inner_text() == "Tile 6"
    page.keyboard.down("t")
    user.wait(lambda: title.inner_text() == "Tile 3")
    shown = np.array(page.evaluate(READ_CANVAS, "zoom-picture"), np.uint8)
    assert np.array_equal(shown.reshape(SIDE, SIDE, 4), user.tile(2))
    page.keyboard.up("t")
    user.wait(lambda: title.inner_text() == "Tile 6")
    page.locator("#zoom-flip").click()
    user.wait(lambda: title.inner_text() == "Tile 3")
    page.locator("#zoom-full").click()
    page.locator("#show-dialog").wait_for()
    assert page.locator("#show-grid canvas").count() == TILES
    user.wait(lambda: user.state["running"] and user.state["level"] == 0.3)
    user.press("x")
    user.until_shown("#show-dialog", 0)
    user.pause()
    page.locator("#shelf .kept").click()
    page.locator("#viewer-slides").click()
    page.locator("#show-picture").wait_for()
    page.mouse.click(9, 9)
    user.until_shown("#show-dialog", 0)
    assert user.state["picked"] == 5, "the key and the click ended the views, no more"


def test_real_or_made(user: User, address: str) -> None:
    page = user.open(address).page
    user.press("j")
    page.locator("#judge-count").fill("3")
    page.locator("#judge-begin").click()
    for number, key in ((1, "ArrowLeft"), (2, "2"), (3, "1")):
        page.get_by_text(f"Pair {number} of 3").wait_for()
        user.press(key)
    page.locator("#judge-result").wait_for()
    result = json.loads(user.download("#judge-save"))
    assert [one["answer"] for one in result["answers"]] == ["left", "right", "left"]
    told = result["told_apart"]
    assert f"{told} of 3 told apart" in page.locator("#judge-result").inner_text()
