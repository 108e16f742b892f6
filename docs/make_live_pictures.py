"""Make the README's pictures of nkca-interactive: a real run in a real browser.

    python docs/make_live_pictures.py RUN_DIRECTORY OUTPUT_DIRECTORY

Needs playwright and a Chromium on the PATH. `make pictures` calls it with the packaged model, `demo`.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import ViewportSize, sync_playwright

SIZE: ViewportSize = {"width": 1280, "height": 720}
LIKED = 1  # the tile that is spread


def until(page: Any, condition: str) -> None:
    """Wait until an expression is true; the page's policy forbids playwright's own way."""
    while not page.evaluate(f"Boolean({condition})"):
        page.wait_for_timeout(10)


def press(page: Any, key: str) -> None:
    """Press a key and wait until what it does is seen, so that every run is the same."""
    before = json.dumps(page.evaluate("JSON.stringify(window.nkca.state)"))
    page.keyboard.press(key)
    until(page, f"JSON.stringify(window.nkca.state) !== {before}")


def walk(page: Any, level: float, steps: int) -> None:
    """Let the chains make so many steps at a level."""
    page.locator("#level").fill(str(level))
    until(page, f"window.nkca.state.level === {level}")
    for _ in range(steps):
        press(page, ".")


def explore(page: Any) -> None:
    """Pick, spread, keep, lock, as a person would."""
    walk(page, 0.51, 40)
    for tile in (3, LIKED):
        press(page, str(tile))
        page.keyboard.press("k")
    press(page, "s")
    walk(page, 0.3, 25)
    for tile in (2, 7):
        press(page, str(tile))
        page.keyboard.press("k")
    press(page, "l")
    walk(page, 0.35, 15)
    press(page, "6")
    page.keyboard.press("k")
    come_to_rest(page)


def come_to_rest(page: Any) -> None:
    """Wait until finished pictures are shown."""
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    until(page, "window.nkca.state.pictured === window.nkca.state.version")
    page.wait_for_timeout(1000)


def paint(page: Any) -> None:
    """Open the picked tile and paint its upper part."""
    page.keyboard.press("p")
    box = page.locator("#paint-canvas").bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    for x, y in ((0.7, 0.25), (0.3, 0.4), (0.75, 0.4), (0.3, 0.5), (0.6, 0.5)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=12)
    page.mouse.up()
    page.wait_for_timeout(300)


def hold(page: Any) -> None:
    """Give all tiles the coarse structure of one, of 4 x 4 pixels."""
    page.locator("#paint-cancel").click()
    page.locator("#ask-yes").click()
    page.locator('[data-tile="2"]').click()
    until(page, "window.nkca.state.picked === 2")
    page.locator("#hold").select_option("4")
    until(page, "window.nkca.state.held")
    walk(page, 0.55, 10)
    come_to_rest(page)


def main(run: str, folder: Path) -> None:
    """Start the command, explore, and take the pictures."""
    chromium = shutil.which("chromium")
    assert chromium, "no chromium on the PATH"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "nkca.cli.interactive", run, "--no-browser"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        contextlib.ExitStack() as ends,
    ):
        ends.callback(server.terminate)
        playwright = ends.enter_context(sync_playwright())
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        assert address, "the server did not start"
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address[0])
        until(page, "window.nkca && window.nkca.onScreen >= 0")
        for act, name in ((explore, "live"), (paint, "live-paint"), (hold, "live-hold")):
            act(page)
            page.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
