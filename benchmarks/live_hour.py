"""Does the memory of the live page's server, or of a page, grow with use; how soon does a key press show?

    python benchmarks/live_hour.py [--minutes=30] [--visitors=4] [--model=demo] [--page]

Starts nkca-interactive --per-visitor, lets bots use it as people do, and prints what the server takes, in
MiB after a garbage collection, and what a key press costs. With --page one more visitor is a page in
Chromium, whose heap is measured too. The last line says by how much memory grew after the first third.
"""

import argparse
import contextlib
import gc
import http.client
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from nkca.system.allocator import release_freed_memory

EVERY = 15.0  # seconds between measurements, at most
KEYS = "kszyfxcr."
MOST_KEPT = 20  # pictures on the page's shelf, so that growth is no content
STEP = {"do": "step", "times": 1}


class Bot(threading.Thread):
    """A visitor who runs the chains and presses a key now and then."""

    def __init__(self, port: int, seed: int, ends: threading.Event) -> None:
        super().__init__(daemon=True)
        self.random, self.ends, self.port = random.Random(seed), ends, port
        self.latencies: list[float] = []  # of key presses, less the steps, milliseconds
        self.turns = self.refused = 0
        self.failure: Exception | None = None
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.connection.request("GET", "/")
        page = self.connection.getresponse()
        page.read()
        self.cookie = (page.getheader("Set-Cookie") or "").partition(";")[0]
        self.seen, self.head = -1, dict[str, Any]()

    def turn(self, steps: int, *events: dict[str, Any]) -> bool:
        """Ask for a frame; whether the server was willing."""
        body = {"seen": self.seen, "steps": steps, "events": events, "show": "finished"}
        kind = {"Content-Type": "application/json", "Cookie": self.cookie}
        self.connection.request("POST", "/api/turn", json.dumps(body), kind)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status not in (200, 409, 422):
            raise RuntimeError(f"status {answer.status}: {content[:200]!r}")
        self.turns += 1
        if answer.status != 200:
            self.refused += 1
            return False
        self.head = json.loads(content[4 : 4 + int.from_bytes(content[:4], "big")])
        self.seen = self.head["version"]
        return True

    def key(self) -> dict[str, Any]:
        """What a key does."""
        draw, tile = self.random, self.random.randrange(self.head["batch"])
        events: list[dict[str, Any]] = [
            {"do": "level", "level": draw.choice((0.2, 0.3, 0.5))},
            {"do": "spread", "tile": tile},
            {"do": "keep", "tile": tile, "finished": True},
            {"do": "undo"},
            {"do": "redo"},
            {"do": "lock", "tile": tile, "locked": draw.random() < 0.3},
            {"do": "discard", "tile": tile},
            {"do": "fan", "tile": tile},
            {"do": "restart", "source": "noise", "seed": draw.randrange(1000)},
            {"do": "choose", "tile": tile, "steps": 2, "milliseconds": 900},
        ]
        return draw.choice(events)

    def run(self) -> None:
        """Use the chains until it ends."""
        try:
            self.turn(0)
            while not self.ends.is_set():
                self.turn(0, {"do": "run"})
                for _ in range(self.random.randrange(5, 20)):
                    if not self.ends.is_set():
                        self.turn(1)
                self.turn(0, {"do": "pause"})
                self.turn(0, self.key())
                self.ends.wait(self.random.uniform(0.2, 1.0))  # looks
                start = time.perf_counter()
                if self.turn(0, STEP):
                    taken = 1000 * (time.perf_counter() - start)
                    self.latencies.append(taken - (self.head["step_ms"] or 0))
        except Exception as error:  # told by the main thread
            self.failure = error


@contextlib.contextmanager
def server(model: str, visitors: int) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """The port and process of a server that tells its memory when asked."""
    command = [sys.executable, __file__, "--serve", model, "--per-visitor", "--no-browser"]
    command += [f"--max-visitors={visitors}", "--device=cpu", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found, "the server did not start"
        try:
            yield int(found[1]), process
        finally:
            process.terminate()


def serve(arguments: list[str]) -> None:
    """Be nkca-interactive, and print the memory after a garbage collection on SIGUSR1."""
    from nkca.cli.interactive import main as command

    def tell(_: int, __: FrameType | None) -> None:
        gc.collect()
        release_freed_memory()
        print(f"memory {resident(os.getpid()):.1f}", flush=True)

    signal.signal(signal.SIGUSR1, tell)
    command(arguments)


def resident(process: int) -> float:
    """The memory of a process in MiB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def memory_of(process: "subprocess.Popen[str]") -> float:
    """The memory of the server after a garbage collection."""
    process.send_signal(signal.SIGUSR1)
    assert process.stdout is not None
    while True:
        line = process.stdout.readline()
        if line.startswith("memory "):
            return float(line.split()[1])


class Page:
    """A page in Chromium, in which keys are pressed; ``heap`` in MiB after a garbage collection."""

    def __init__(self, browser: Any, port: int) -> None:
        self.page = browser.new_context().new_page()
        self.page.goto(f"http://127.0.0.1:{port}/")
        self.tools = self.page.context.new_cdp_session(self.page)
        self.random = random.Random(0)

    def use(self, seconds: float) -> None:
        """Press keys for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.page.keyboard.press(self.random.choice("123456789"))
            kept = self.page.evaluate("window.nkca?.state?.shelf?.items.length ?? 0")
            keys = KEYS if kept < MOST_KEPT else KEYS.replace("k", "")
            self.page.keyboard.press(self.random.choice(keys))
            if self.random.random() < 0.3:
                self.page.keyboard.press("Space")
            self.page.wait_for_timeout(500)

    def heap(self) -> float:
        """What the page's objects take."""
        self.tools.send("HeapProfiler.collectGarbage")
        return float(self.tools.send("Runtime.getHeapUsage")["usedSize"]) / (1 << 20)


def watch(
    minutes: float, process: "subprocess.Popen[str]", bots: list[Bot], page: Page | None
) -> list[tuple[float, float, float | None]]:
    """Seconds, memory of the server and heap of the page, again and again, while the bots are at work."""
    began, found = time.monotonic(), []
    every = min(EVERY, 60 * minutes / 12)
    while (now := time.monotonic() - began) < 60 * minutes:
        if page:
            page.use(every)
        else:
            time.sleep(every)
        for bot in bots:
            if bot.failure:
                raise bot.failure
        row = (now + every, memory_of(process), page.heap() if page else None)
        found.append(row)
        heap = "" if row[2] is None else f" | {row[2]:.1f}"
        print(f"| {row[0]:.0f} | {row[1]:.1f}{heap} |", flush=True)
    return found


def growth(rows: list[tuple[float, float]]) -> float:
    """By how many per cent the mean of the last third exceeds that of the second."""
    third = len(rows) // 3
    middle, last = rows[third : 2 * third], rows[-third:]
    before, after = (statistics.fmean(value for _, value in part) for part in (middle, last))
    return 100 * (after / before - 1)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2:])
        return
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--visitors", type=int, default=4)
    options.add_argument("--model", default="demo")
    options.add_argument("--page", action="store_true")
    asked = options.parse_args()
    ends = threading.Event()
    with contextlib.ExitStack() as stack:
        port, process = stack.enter_context(server(asked.model, asked.visitors + asked.page))
        start = memory_of(process)
        page = None
        if asked.page:
            from playwright.sync_api import sync_playwright

            chromium = stack.enter_context(sync_playwright()).chromium
            browser = chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = Page(browser, port)
        bots = [Bot(port, seed, ends) for seed in range(asked.visitors)]
        print(f"{asked.visitors} visitors of {asked.model}; {start:.1f} MiB before them")
        print("| seconds | server, MiB |" + (" page, MiB |" if page else ""))
        print("|---|---|" + ("---|" if page else ""))
        for bot in bots:
            bot.start()
        rows = watch(asked.minutes, process, bots, page)
        ends.set()
        for bot in bots:
            bot.join(60)
    latencies = sorted(value for bot in bots for value in bot.latencies)
    turns, refused = sum(bot.turns for bot in bots), sum(bot.refused for bot in bots)
    print(f"\n{turns} turns, {refused} refused (nothing to undo, and so on)")
    print(
        f"key press to frame less its step, others' turns included, of {len(latencies)}: median "
        f"{statistics.median(latencies):.0f} ms, 95 % {latencies[int(0.95 * len(latencies))]:.0f} ms"
    )
    print(
        f"server: {growth([(t, m) for t, m, _ in rows]):+.1f} % from the second third to the last"
    )
    if page:
        heaps = [(seconds, heap) for seconds, _, heap in rows if heap is not None]
        print(f"page: {growth(heaps):+.1f} %")


if __name__ == "__main__":
    main()
