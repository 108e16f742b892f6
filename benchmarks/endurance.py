"""What do the four commands do with bad input, full disks, lost folders and kill -9?

    python benchmarks/endurance.py [--parts bad,full,folders,clock,pairs,kills] [--kills 50]
                                   [--page docs/reliability.md]

Each case is a child of this process, forked, so that torch is imported once: the command's own main, its
own output, its exit status. Full disks are small tmpfs, which needs root; without it they are left out, and
the table says so. A case passes if

bad      the command ends with code 2 and one line, and no file or folder has changed;
full     on a disk with room for 1/12, 2/12 ... of what the command writes, it ends with code 2 and one line
         (or finds room), and every file there is whole;
folders  the same on a read-only disk, and where a folder vanishes while it is in use;
clock    the same command again works with a clock that is a year behind;
pairs    two processes at once on the same run, samples, cache, features and compiled code: one line for the
         one that is refused, and the files of the other are whole;
kills    after kill -9 at a random moment every file that was whole still is, those that are new are whole,
         and the same command again ends well.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from endurance_inputs import COMMANDS, SAMPLE, SERVE, TRAIN, Place, bad_lines, prepare
from endurance_process import LIMIT, Ended, broken, start, tree, wait

SOON = 60.0  # seconds for bad input, which a server must refuse before it serves
PARTS = 12  # sizes of disk


@dataclass
class Table:
    """Rows of results: part, what, how many passed of how many; and what failed."""

    rows: list[tuple[str, str, int, int]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, part: str, what: str, passed: list[bool]) -> None:
        """Add a row."""
        self.rows.append((part, what, sum(passed), len(passed)))
        print(f"{part:8} {what:60} {sum(passed)} of {len(passed)}", flush=True)

    def check(self, is_good: bool, what: str, ended: Ended | None = None) -> bool:
        """Record a failure, with what the command said."""
        if not is_good:
            said = "" if ended is None else f" -> {ended.status}: {ended.err.strip()[-600:]}"
            self.failures.append(what + said)
            print(f"FAILED {what}{said}", flush=True)
        return is_good


def bad_inputs(place: Place, table: Table) -> None:
    """Wrong arguments and files."""
    watched = [place.root / n for n in ("photos", "others", "run", "bad", "work")]
    (place.root / "work").mkdir()
    results: dict[str, list[bool]] = {command: [] for command in COMMANDS}
    log = place.root / "work" / "log"
    for line in bad_lines():
        before = {k: v for k, v in tree(*watched).items() if not k.startswith(str(log))}
        ended = wait(start(place.fill(line), log, place.root / "cache"), log, SOON)
        after = {k: v for k, v in tree(*watched).items() if not k.startswith(str(log))}
        is_good = ended.is_one_line() and not ended.out and before == after
        command = line.split()[0].removeprefix("nkca-")
        results[command].append(table.check(is_good, line, ended))
    for command, passed in results.items():
        table.add("bad", f"nkca-{command}: wrong arguments and files", passed)


@contextlib.contextmanager
def disk(path: Path, kibibytes: int) -> Iterator[bool]:
    """A tmpfs of this size, mounted at ``path``; yields False where that is not allowed."""
    path.mkdir(exist_ok=True)
    mounted = not os.system(f"mount -t tmpfs -o size={kibibytes}k tmpfs {path} 2>/dev/null")
    try:
        yield mounted
    finally:
        if mounted:
            os.system(f"umount -l {path}")
        path.rmdir()


WRITING = {  # what writes all kinds of files of a command, into {disk}
    "train": TRAIN + " --max-steps=4 --keep=2 --cache-dir={disk}/cache --save-dir={disk}/out",
    "sample": SAMPLE
    + " {photos}/00.png --num-samples=8 --batch-size=4 --save-grid --save-intermediate "
    "--save-animation=gif --save-dir={disk}/out",
    "metrics": "nkca-metrics {run} {photos} --features=pixels --device=cpu --num-sampling-steps=1 "
    "--save-stats={disk}/s.npz --cache-dir={disk}/cache --save-dir={disk}/out",
}


def full_disks(place: Place, table: Table) -> None:
    """Disks with room for a part of what a command writes."""
    log, path = place.root / "full", place.root / "disk"
    for command, line in WRITING.items():
        filled, passed = place.fill(line, disk=path), []
        with disk(path, 65536) as mounted:
            if not mounted:
                table.add("full", f"nkca-{command}: left out, no right to mount a disk", [])
                continue
            ended = wait(start(filled, log, place.root / "cache"), log)
            assert ended.status == 0, ended.err
            used = shutil.disk_usage(path).used // 1024
        for part in range(1, PARTS + 1):
            size = max(4, used * part // (PARTS + 1)) // 4 * 4
            with disk(path, size):
                ended = wait(start(filled, log, place.root / "cache"), log)
                lost = broken(path)
                left = [p.name for p in path.rglob(".*.tmp")]
                is_good = (ended.is_one_line() or ended.status == 0) and not lost and not left
                passed.append(table.check(is_good, f"{size} KiB: {line} {lost} {left}", ended))
        table.add("full", f"nkca-{command}: {PARTS} disks smaller than its {used} KiB", passed)


def lost_folders(place: Place, table: Table) -> None:
    """Read-only disks, and folders that vanish while they are in use."""
    log, path = place.root / "lost", place.root / "disk"
    for command, line in WRITING.items():
        filled = place.fill(line, disk=path)
        with disk(path, 65536) as mounted:
            if not mounted:
                table.add("folders", f"nkca-{command}: left out, no right to mount a disk", [])
                continue
            os.system(f"mount -o remount,ro {path}")
            ended = wait(start(filled, log, place.root / "cache"), log)
            passed = [table.check(ended.is_one_line(), f"read-only: {line}", ended)]
        table.add("folders", f"nkca-{command}: a read-only disk", passed)
        passed = []
        for pause in (0.0, 0.1, 0.3):
            path.mkdir()
            process = start(
                filled.replace("--max-steps=4", "--max-steps=60"), log, place.root / "cache"
            )
            deadline = time.monotonic() + LIMIT / 2
            while not (path / "out").exists() and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(pause)
            shutil.rmtree(path, ignore_errors=True)
            ended = wait(process, log)
            is_good = ended.is_one_line() or (ended.status == 0 and "Traceback" not in ended.err)
            passed.append(table.check(is_good, f"vanished after {pause} s: {line}", ended))
            shutil.rmtree(path, ignore_errors=True)
        table.add("folders", f"nkca-{command}: folders that vanish while it writes", passed)


def a_year_back() -> None:
    """Set this process's clock back by a year."""
    now = time.time
    time.time = lambda: now() - 365 * 86400


def clocks(place: Place, table: Table) -> None:
    """The same command again, with a clock that is a year behind."""
    log, path = place.root / "clock", place.root / "clocked"
    for command, line in WRITING.items():
        path.mkdir()
        first = place.fill(line, disk=path)
        again = first.replace("--max-steps=4", "--max-steps=6").replace("--save-stats", "--train={}".format(
            place.root / "photos") + " --save-stats").replace("s.npz", "t.npz")  # fmt: skip
        passed = []
        for text, before in ((first, None), (again, a_year_back)):
            ended = wait(start(text, log, place.root / "cache", before), log)
            is_good = ended.status == 0 and not broken(path)
            passed.append(table.check(is_good, f"clock set back: {text}", ended))
        table.add("clock", f"nkca-{command}: now, and again a year before", passed)
        shutil.rmtree(path)


def pairs(place: Place, table: Table) -> None:
    """Two processes that share everything."""
    path = place.root / "shared"
    for command, line in WRITING.items():
        passed = []
        for number in range(3):
            path.mkdir()
            text = place.fill(line, disk=path)
            logs = [place.root / f"pair{k}" for k in (0, 1)]
            running = [start(text, log, path / "native") for log in logs]
            ended = [wait(process, log) for process, log in zip(running, logs, strict=True)]
            is_good = any(one.status == 0 for one in ended) and not broken(path)
            is_good &= all(one.status == 0 or one.is_one_line() for one in ended)
            said = max(ended, key=lambda one: one.status)
            passed.append(table.check(is_good, f"pair {number}: {line} {broken(path)}", said))
            shutil.rmtree(path)
        table.add("pairs", f"nkca-{command}: two at once on all that is shared", passed)


def keep_pictures(log: Path, seconds: float) -> None:
    """Step and keep pictures in the page of a server, for so long after its start."""
    deadline, found = time.monotonic() + LIMIT / 2, None
    while found is None and time.monotonic() < deadline:
        time.sleep(0.02)
        found = re.search(r"http://[^/]+:(\d+)/", Path(f"{log}.out").read_text("utf-8"))
    until = time.monotonic() + seconds
    while found is not None and time.monotonic() < until:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=5)
            turn = {"events": [{"do": "step", "times": 1}, {"do": "keep", "tile": 1}]}
            head = {"Content-Type": "application/json"}
            connection.request("POST", "/api/turn", json.dumps(turn), head)
            connection.getresponse().read()
            connection.close()


def kills(place: Place, table: Table, count: int) -> None:
    """Kill -9 at random moments; what was whole stays, and the same command again ends well."""
    moments, path, log = random.Random(17), place.root / "killed", place.root / "kill"
    lines = {**WRITING, "interactive": SERVE + " --port=0"}
    for number, (command, line) in enumerate(lines.items()):
        path.mkdir()
        text = place.fill(line, disk=path).replace("--save-dir", "--overwrite --save-dir" * (
            command == "sample") or "--save-dir")  # fmt: skip
        rounds = count // len(lines) + (number < count % len(lines))
        passed: list[bool] = []
        runs, longest, steps = 0, 1.0, 4
        if command != "interactive":
            assert wait(start(text, log, path / "cache"), log).status == 0
        while len(passed) < rounds and runs < 6 * rounds:
            runs += 1
            steps += 4
            if command == "metrics":
                shutil.rmtree(path / "cache", ignore_errors=True)
                (path / "s.npz").unlink(missing_ok=True)
            filled = text.replace("--max-steps=4", f"--max-steps={steps}")
            before = {name for name in tree(path) if Path(name).name[0] != "."}
            Path(f"{log}.out").write_text("")
            process = start(filled, log, path / "cache")
            if command == "interactive":
                keep_pictures(log, moments.uniform(0, 3))
            else:
                time.sleep(moments.uniform(0, longest))
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            ended = wait(process, log)
            if ended.status != -signal.SIGKILL:  # it had ended before
                longest *= 0.8
                continue
            kept = before - set(tree(path))
            kept = {name for name in kept if "checkpoint_0" not in name}  # --keep=2 removes those
            lost = broken(path)
            is_good = not lost and not kept
            if is_good and command != "interactive":
                began = time.monotonic()
                ended = wait(start(filled, log, path / "cache"), log)
                is_good = ended.status == 0 and not broken(path)
                longest = time.monotonic() - began
            passed.append(table.check(is_good, f"killed: {line} lost {kept} {lost}", ended))
        sessions = len(list(path.glob("cache/sessions/*.json")))
        kept_words = f", {sessions} sessions saved" if command == "interactive" else ""
        table.add(
            "kills",
            f"nkca-{command}: killed at random moments{kept_words}",
            passed,
        )
        shutil.rmtree(path)


PARTS_BY_NAME = {
    "bad": bad_inputs,
    "full": full_disks,
    "folders": lost_folders,
    "clock": clocks,
    "pairs": pairs,
}
PARTS_IN_ORDER = (*PARTS_BY_NAME, "kills")
BEGIN, END = "<!-- made by benchmarks/endurance.py -->", "<!-- end -->"


def write_page(page: Path, table: Table) -> None:
    """Put the table into the page, between its two marks; rows of other parts there stay."""
    text = page.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    old, _, tail = rest.partition(END)
    new = {row[0] for row in table.rows}
    found = re.findall(r"^\| (\w+) \| (.*) \| (\d+) of (\d+) \|$", old, re.MULTILINE)
    rows = [(part, what, int(a), int(b)) for part, what, a, b in found if part not in new]
    rows = sorted(rows + table.rows, key=lambda row: PARTS_IN_ORDER.index(row[0]))
    lines = ["| part | case | passed |", "|---|---|---|"]
    lines += [f"| {part} | {what} | {passed} of {total} |" for part, what, passed, total in rows]
    for part in dict.fromkeys(row[0] for row in rows):
        passed, total = (sum(row[k] for row in rows if row[0] == part) for k in (2, 3))
        lines.append(f"| **{part}** | all | **{passed} of {total}** |")
    page.write_text(f"{head}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{tail}", "utf-8")


def main() -> None:
    """Run the parts, print the table; exit code 1 if anything failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", default="bad,full,folders,clock,pairs,kills")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    table = Table()
    with tempfile.TemporaryDirectory(prefix="nkca-endurance-") as name:
        place = prepare(Path(name))
        for part in given.parts.split(","):
            if part == "kills":
                kills(place, table, given.kills)
            else:
                PARTS_BY_NAME[part](place, table)
    if given.page is not None:
        write_page(given.page, table)
    for failure in table.failures:
        print("FAILED", failure)
    sys.exit(1 if table.failures else 0)


if __name__ == "__main__":
    main()
