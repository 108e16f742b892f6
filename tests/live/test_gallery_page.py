"""The gallery in headless Chromium: seen, opened by keyboard and touch, and left again."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from interactive_process import find_chromium, interactive
from PIL import Image
from toys import write_checkpoint

CHROMIUM, sync_api = find_chromium()
ROOT = Path(__file__).resolve().parents[2]
AXE = Path(__file__).parent / "js" / "node_modules" / "axe-core" / "axe.min.js"
RUN_AXE = """async () => (await axe.run()).violations.map(
  ({id, nodes}) => `${id}: ${nodes.map(({target}) => target).join(", ")}`)"""
SIZES = ((1280, 720), (768, 1024), (390, 844))
TIMEOUT = 200.0  # seconds


@contextlib.contextmanager
def gallery_of(folder: Path, *options: str) -> Iterator[str]:
    """The address of nkca-interactive, started in ``folder`` without a model."""
    with interactive("--batch-size=3", "--device=cpu", *options, cwd=folder) as (process, address):
        yield address
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, errors) == (0, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("folder")
    for name in ("runs/first", "runs/<b>second<"):
        (made / name).mkdir(parents=True)
        write_checkpoint(made / name / "checkpoint_latest.pth")
    (made / "broken").mkdir()
    (made / "broken" / "checkpoint_final.pth").write_bytes(b"no checkpoint")
    return made


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with gallery_of(folder) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def wait(page: Any, condition: Callable[[], Any]) -> None:
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        with contextlib.suppress(sync_api.Error):  # while another page loads
            if condition():
                return
        page.wait_for_timeout(20)
    raise AssertionError("the condition never became true")


def opened(chromium: Any, address: str, **settings: Any) -> Any:
    """A page with the gallery, whose errors are exceptions."""
    page = chromium.new_context(reduced_motion="reduce", **settings).new_page()
    page.set_default_timeout(1000 * TIMEOUT)
    page.goto(address)
    page.locator(".model").first.wait_for()
    return page


def has_made(page: Any, steps: int) -> None:
    """Wait until the chains on the screen have made so many steps."""
    script = "window.nkca && window.nkca.onScreen >= 0 ? window.nkca.state.step : -1"
    wait(page, lambda: page.evaluate(script) == steps)


def loaded(page: Any) -> None:
    wait(page, lambda: page.evaluate("[...document.images].every((image) => image.complete)"))


def card(page: Any, name: str) -> Any:
    return page.locator(".model", has=page.get_by_text(name, exact=True))


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm ci")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_sticks_out(chromium: Any, address: str, scheme: str) -> None:
    page = opened(chromium, address, color_scheme=scheme)
    page.evaluate(AXE.read_text())
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(RUN_AXE) == [], (width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


def test_the_gallery_loads_little(chromium: Any, address: str) -> None:
    """Its own files, and a picture for each model: nothing of the page of the chains."""
    page = chromium.new_context().new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(address)))
    page.goto(address)
    page.locator(".model").first.wait_for()
    loaded(page)
    files = [path for path in asked if not path.startswith(("api/models/", "data:"))]
    assert sorted(files) == [
        "",
        "static/gallery.css",
        "static/gallery.js",
        "static/preact.js",
        "static/style.css",
    ]
    assert page.locator(".model img").count() == 5
    page.context.close()


def test_a_model_is_opened_by_keyboard_and_left_by_its_link(chromium: Any, address: str) -> None:
    complaints: list[str] = []
    page = opened(chromium, address)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    assert card(page, "broken").is_disabled()
    assert "not a PyTorch file" in card(page, "broken").inner_text()
    for _ in range(20):
        page.keyboard.press("Tab")
        if "runs/<b>second<" in page.evaluate("document.activeElement.innerText"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/live", wait_until="commit")
    has_made(page, 0)
    page.keyboard.press(".")
    has_made(page, 1)
    page.locator("#models").click()
    page.get_by_text("To open another one ends the chains that are open").wait_for()
    assert "open" in card(page, "runs/<b>second<").inner_text()
    card(page, "runs/<b>second<").click()
    has_made(page, 1)  # they go on
    page.go_back()
    card(page, "runs/first").click()
    page.wait_for_url("**/live", wait_until="commit")
    has_made(page, 0)
    assert complaints == []
    page.context.close()


def test_all_of_the_bar_fits_beside_the_link_and_the_test(
    chromium: Any, folder: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (8, 8), (200, 9, 9)).save(tmp_path / "red.png")
    with gallery_of(folder, f"--real={tmp_path}") as address:
        page = opened(chromium, address)
        card(page, "runs/first").click()
        page.wait_for_url("**/live", wait_until="commit")
        has_made(page, 0)
        assert page.locator("#models").is_visible()
        for width in (390, *range(700, 1400, 40)):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#judge").click()
        page.locator("#judge-begin").click()
        page.get_by_text("Pair 1 of 1").wait_for()
        page.context.close()


def test_two_browsers_have_chains_of_their_own(chromium: Any, folder: Path) -> None:
    with gallery_of(folder, "--per-visitor", "--max-visitors=2") as address:
        pages = [opened(chromium, address) for _ in range(2)]
        for page in pages:
            card(page, "runs/first").click()
            page.wait_for_url("**/live", wait_until="commit")
            has_made(page, 0)
        one, two = pages
        for step in range(3):
            one.keyboard.press(".")
            has_made(one, step + 1)
        two.wait_for_timeout(1500)  # it asks for news every second
        assert two.evaluate("window.nkca.state.step") == 0
        late = chromium.new_context().new_page()
        answer = late.goto(address)
        assert answer.status == 503
        assert "all 2 places are taken: come back in" in late.inner_text("body")
        for page in (*pages, late):
            page.context.close()
