"""What does the live page cost over the bare chain, and how soon does a key press show?

    python benchmarks/live.py RUN [ROUNDS]

Starts the real nkca-interactive in another process. In turns within each round: a bare step of the chain,
a step of the explorer, a turn over HTTP; and a change of level at a random moment of a step under way, as
the page does it. With Chromium and playwright at hand, the same in the page, by a key press.
"""

import contextlib
import http.client
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from nkca.build import load_model
from nkca.live.explorer import Explorer, Setup
from nkca.noise import sample_noise
from nkca.sampling import Model

BATCH = 16
LEVELS = (0.3, 0.4)

IN_THE_PAGE = """async (key) => {
  const before = window.nkca.state.level;
  const start = performance.now();
  document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  for (;;) {
    const {level, tile_levels, version} = window.nkca.state;
    const made = level !== before && tile_levels.every((l) => l === level);
    if (made && window.nkca.onScreen === version) return performance.now() - start;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}"""


@contextlib.contextmanager
def server(run: str) -> Iterator[int]:
    """The port of a running nkca-interactive."""
    command = [sys.executable, "-m", "nkca.cli.interactive", run, "--no-browser"]
    command += [f"--batch-size={BATCH}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found, "the server did not start"
        try:
            yield int(found[1])
        finally:
            process.terminate()


class Page:
    """Asks for turns as the page does."""

    def __init__(self, port: int) -> None:
        self.port, self.seen = port, -1
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def send(self, steps: int, *events: dict[str, Any]) -> None:
        """Ask for a turn."""
        body = json.dumps({"seen": self.seen, "steps": steps, "events": events})
        self.connection.request("POST", "/api/turn", body, {"Content-Type": "application/json"})

    def receive(self) -> dict[str, Any]:
        """The head of the frame that was asked for."""
        content = self.connection.getresponse().read()
        head: dict[str, Any] = json.loads(content[4 : 4 + int.from_bytes(content[:4], "big")])
        self.seen = head["version"]
        return head

    def turn(self, steps: int, *events: dict[str, Any]) -> dict[str, Any]:
        """Ask for a turn and wait for it."""
        self.send(steps, *events)
        return self.receive()

    def give_up(self) -> None:
        """Go away without waiting."""
        self.connection.close()


@torch.inference_mode()
def bare_steps(model: Model) -> Iterator[None]:
    """The chain alone at one level: a denoiser evaluation and a draw for each item."""
    noise = sample_noise(range(BATCH))
    x = model.chain.kernel.prior((BATCH, *model.data_shape)).sample(noise)
    level = torch.full((BATCH,), LEVELS[0])
    while True:
        _, p_y = model.chain.step(x, level, level)
        x = p_y.sample(noise)
        yield


def milliseconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def key_press(page: Page, step_ms: float, level: float, give_up: bool) -> float:
    """Milliseconds from a change of level, somewhere in a step, to the first frame made with it."""
    page.send(1)
    time.sleep(random.uniform(0, 0.9 * step_ms / 1000))
    start = time.perf_counter()
    if give_up:
        page.give_up()
    else:
        page.receive()
    head = page.turn(1, {"do": "level", "level": level})
    assert set(head["tile_levels"]) == {level}
    return 1000 * (time.perf_counter() - start)


def in_the_page(port: int, rounds: int) -> list[float]:
    """The same by a key press in Chromium; nothing where there is none."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return []
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        while not page.evaluate("window.nkca && window.nkca.onScreen >= 0"):
            page.wait_for_timeout(100)
        if not page.evaluate("window.nkca.state.running"):
            page.locator("#run").click()
        found = []
        for number in range(rounds):
            page.wait_for_timeout(random.uniform(200, 400))
            found.append(page.evaluate(IN_THE_PAGE, ("ArrowUp", "ArrowDown")[number % 2]))
        browser.close()
    return found


def report(name: str, values: list[float], bare: float) -> None:
    """One row: median, 95th percentile and largest, and the median over the bare step."""
    ordered = sorted(values)
    high = ordered[int(0.95 * (len(ordered) - 1))]
    median = statistics.median(ordered)
    print(f"| {name} | {median:.1f} | {high:.1f} | {ordered[-1]:.1f} | {median - bare:+.1f} |")


def main() -> None:
    """Measure and print the table."""
    run, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    random.seed(0)
    model = load_model(run, device="cpu")
    bare, explorer = bare_steps(model), Explorer(model, Setup(BATCH, noise_level=LEVELS[0]))
    found: dict[str, list[float]] = {}
    with server(run) as port:
        page = Page(port)
        page.turn(1, {"do": "level", "level": LEVELS[0]}, {"do": "run"})
        for number in range(rounds + 5):
            step = milliseconds(lambda: next(bare))
            level = LEVELS[number % 2]
            row = {
                "bare step": step,
                "step of the explorer": milliseconds(explorer.step),
                "turn over HTTP": milliseconds(lambda: page.turn(1)),
                "level changed, the step under way given up": key_press(page, step, level, True),
                "level changed, the step under way awaited": key_press(
                    page, step, LEVELS[1 - number % 2], False
                ),
            }
            for name, value in row.items():
                found.setdefault(name, []).append(value)
        browser = in_the_page(port, rounds)
    found = {name: values[5:] for name, values in found.items()}  # the first ones warm up
    base = statistics.median(found["bare step"])
    print(f"{BATCH} tiles of {model.data_shape}, {rounds} rounds, milliseconds")
    print("| | median | 95 % | largest | median over the bare step |\n|---|---|---|---|---|")
    for name, values in found.items():
        report(name, values, base)
    turn = [t - b for t, b in zip(found["turn over HTTP"], found["bare step"], strict=True)]
    print(f"turn minus bare step, paired: median {statistics.median(turn):.1f}")
    if browser:
        report("key press in Chromium to the drawn frame", browser, base)


if __name__ == "__main__":
    main()
