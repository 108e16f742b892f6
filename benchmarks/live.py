"""What does the live page cost over the bare chain, and how soon does a key press show?

    python benchmarks/live.py RUN [ROUNDS]

In this process, in turns: a bare step of the chain, a step of the explorer; the evaluations that finish
all pictures, alone and in `finish`. Of the real nkca-interactive in another process: a turn over HTTP and
the step within it, by the server's own clock; a single step while the chains are still; and a change of
level at a random moment of a step under way, as the page does it. With Chromium and playwright at hand, the
same in the page, by a key press.
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

from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.chains.finish import finish
from nkca.models.build import load_model
from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.sampling.ladders import LADDERS
from nkca.sampling.reconstruction import STEPS

BATCH = 16
LEVELS = (0.3, 0.4)
WARM_UP = 5

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
        p_z = model.chain.believe(x, level)
        x = model.chain.move(x, level, level, p_z).sample(noise)
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


def in_the_page(port: int, rounds: int) -> dict[str, list[float]]:
    """Key presses in Chromium, to the frame that is drawn; nothing where there is none."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        while not page.evaluate("window.nkca && window.nkca.onScreen >= 0"):
            page.wait_for_timeout(100)
        if not page.evaluate("window.nkca.state.running"):
            page.locator("#run").click()
        pressed, steps = [], []
        for number in range(rounds):
            page.wait_for_timeout(random.uniform(200, 400))
            pressed.append(page.evaluate(IN_THE_PAGE, ("ArrowUp", "ArrowDown")[number % 2]))
            steps.append(page.evaluate("window.nkca.state.step_ms"))
        browser.close()
    over = [a - b for a, b in zip(pressed, steps, strict=True)]
    return {
        "key press in Chromium to the drawn frame": pressed,
        "the step of that frame": steps,
        "key press minus that step": over,
    }


def report(name: str, values: list[float]) -> None:
    """One row: median, 95th percentile and largest."""
    ordered = sorted(values)
    high = ordered[int(0.95 * (len(ordered) - 1))]
    print(f"| {name} | {statistics.median(ordered):.1f} | {high:.1f} | {ordered[-1]:.1f} |")


def in_process(model: Model, rounds: int) -> dict[str, list[float]]:
    """A bare step and a step of the explorer, in turns, in this process."""
    bare, explorer = bare_steps(model), Explorer(model, Setup(BATCH, noise_level=LEVELS[0]))
    pairs = [
        (milliseconds(lambda: next(bare)), milliseconds(explorer.step))
        for _ in range(rounds + WARM_UP)
    ][WARM_UP:]
    return {
        "bare step of the chain": [bare for bare, _ in pairs],
        "step of the explorer": [explored for _, explored in pairs],
        "the explorer's minus the bare one before it": [e - b for b, e in pairs],
    }


@torch.inference_mode()
def finishing(model: Model, rounds: int) -> dict[str, list[float]]:
    """Finished pictures of a moment, and the same number of evaluations at the same levels alone."""
    explorer = Explorer(model, Setup(batch_size=BATCH))
    explorer.step()
    moment = explorer.state.moment
    chain = model.guided(model.guidance)
    ladder = LADDERS["sigma" if model.pixels.is_lossless else "linear"]
    levels = ladder(moment.levels[0], model.min_noise, STEPS - 1)

    def evaluate() -> None:
        for level in levels:
            chain.believe(moment.x, torch.full((BATCH,), level))

    def finish_all() -> None:
        finish(model, moment, list(range(BATCH)))

    pairs = [
        (milliseconds(evaluate), milliseconds(finish_all)) for _ in range(rounds // 3 + WARM_UP)
    ][WARM_UP:]
    return {
        "the evaluations that finish all pictures, alone": [alone for alone, _ in pairs],
        "finishing all pictures": [whole for _, whole in pairs],
        "finishing, per cent more": [100 * (whole / alone - 1) for alone, whole in pairs],
    }


def still(port: int, rounds: int) -> dict[str, list[float]]:
    """A single step of chains that are still, beside a step by the server's own clock just before."""
    page = Page(port)
    found: list[tuple[float, float]] = []
    for _ in range(rounds + WARM_UP):
        page.turn(0, {"do": "run"})
        step = page.turn(1)["step_ms"]
        page.turn(0, {"do": "pause"})
        found.append((milliseconds(lambda: page.turn(0, {"do": "step", "times": 1})), step))
    return {
        "single step while still, to its frame": [press for press, _ in found[WARM_UP:]],
        "the same less the step before it": [press - step for press, step in found[WARM_UP:]],
    }


def over_http(port: int, rounds: int) -> dict[str, list[float]]:
    """Turns of one step, and changes of level; this process only waits."""
    page = Page(port)
    head = page.turn(1, {"do": "level", "level": LEVELS[0]}, {"do": "run"})
    found: dict[str, list[float]] = {}
    for number in range(rounds + WARM_UP):
        start = time.perf_counter()
        head = page.turn(1)
        turn = 1000 * (time.perf_counter() - start)
        step = head["step_ms"]
        there, back = LEVELS[1 - number % 2], LEVELS[number % 2]
        row = {
            "turn over HTTP": turn,
            "the same turn without its step": turn - step,
            "change of level, step under way given up": key_press(page, step, there, True),
            "change of level, step under way awaited": key_press(page, step, back, False),
        }
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return {name: values[WARM_UP:] for name, values in found.items()}


def main() -> None:
    """Measure and print the table."""
    run, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    random.seed(0)
    model = load_model(run, device="cpu")
    found = in_process(model, rounds) | finishing(model, rounds)
    with server(run) as port:
        found |= still(port, rounds)
        found |= over_http(port, rounds)
        found |= in_the_page(port, rounds)
    print(f"{BATCH} tiles of {model.data_shape}, {rounds} rounds, milliseconds")
    print("| | median | 95 % | largest |\n|---|---|---|---|")
    for name, values in found.items():
        report(name, values)


if __name__ == "__main__":
    main()
