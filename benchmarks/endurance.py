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
import ctypes
import http.client
import importlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch._dynamo
from PIL import Image

from nkca.errors import InputError
from nkca.live.session.file import read_session
from nkca.metrics.statistics import load_statistics
from nkca.models.checkpoint import load_checkpoint

COMMANDS = ("train", "sample", "metrics", "interactive")
LIMIT = 600.0  # seconds that one command may take on a busy machine
SOON = 60.0  # bad input, which a server must refuse before it serves
PARTS = 12  # sizes of disk
TINY = (
    "--recipe=paper --hidden-size=8 --dim-mults=[1] --batch-size=4 --device=cpu --viz-freq=2 "
    "--checkpoint-freq=1 --num-sampling-steps=2 --eval-freq=0"
)
TRAIN = f"nkca-train --dataset={{photos}} {TINY}"
SAMPLE = "nkca-sample {run} --device=cpu --num-sampling-steps=2"
METRICS = "nkca-metrics {photos} {others} --features=pixels --device=cpu"
SERVE = "nkca-interactive {run} --no-browser --device=cpu"
SAID_BEFORE = re.compile(
    r"decoding images: .*|features of .*|compiled for .*|.* holds something .*"
)


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``status`` is an exit code, or minus a signal."""

    status: int
    out: str
    err: str

    def is_one_line(self) -> bool:
        """Whether it ended with code 2, and the only line that is not about progress is its error."""
        lines = [line for line in self.err.splitlines() if not SAID_BEFORE.fullmatch(line)]
        return self.status == 2 and len(lines) == 1 and ": error: " in lines[0]


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


@dataclass(frozen=True)
class Place:
    """A folder for everything, and the names that command lines use."""

    root: Path

    def fill(self, line: str, **more: object) -> str:
        """The command line with paths."""
        names = {name: self.root / name for name in ("photos", "others", "run", "bad")}
        return line.format(**names, **more)


def start(line: str, log: Path, cache: Path, before: Callable[[], None] | None = None) -> int:
    """Fork a child that is the command; returns its process id."""
    name, *arguments = shlex.split(line)
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        for number, suffix in ((1, ".out"), (2, ".err")):
            os.dup2(os.open(f"{log}{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.environ["NKCA_CACHE"] = str(cache)
        os.chdir(log.parent)
        sys.argv = [name, *arguments]
        if before is not None:
            before()
        importlib.import_module(f"nkca.cli.{name.removeprefix('nkca-')}").main(arguments)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 71
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(process: int, log: Path, limit: float = LIMIT) -> Ended:
    """Wait for a child; one that takes longer than ``limit`` is killed."""
    deadline = time.monotonic() + limit
    ended, status = os.waitpid(process, os.WNOHANG)
    while not ended and time.monotonic() < deadline:
        time.sleep(0.002)
        ended, status = os.waitpid(process, os.WNOHANG)
    if not ended:
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
    out, err = (Path(f"{log}{suffix}").read_text("utf-8", "replace") for suffix in (".out", ".err"))
    return Ended(os.waitstatus_to_exitcode(status), out, err)


def tree(*folders: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files, and the names of all folders."""
    return {
        str(path): (0, 0) if path.is_dir() else (path.stat().st_size, path.stat().st_mtime_ns)
        for folder in folders
        for path in sorted(folder.rglob("*"))
    }


def broken(folder: Path) -> list[str]:
    """The files that are not whole; temporary ones do not count."""
    found = []
    for path in folder.rglob("*"):
        if (
            path.is_dir()
            or path.name.startswith(".")
            or any(p.name.startswith(".") for p in path.parents)
        ):
            continue
        try:
            if path.suffix == ".pth":
                load_checkpoint(path)
            elif path.suffix in (".png", ".gif"):
                with Image.open(path) as image:
                    image.load()
            elif path.parent.name == "sessions":
                read_session(path)
            elif path.suffix == ".json":
                json.loads(path.read_text("utf-8"))
            elif path.suffix == ".npz":
                load_statistics(path)
            elif path.suffix == ".so":
                ctypes.CDLL(str(path))
            elif path.name == "config.yaml" and not path.read_text("utf-8").strip():
                raise InputError("empty")
        except (OSError, ValueError) as error:
            found.append(f"{path}: {error}")
    return found


def prepare(root: Path) -> Place:
    """Pictures, things that are wrong, a trained run and statistics."""
    for name, seed in (("photos", 0), ("others", 1)):
        (root / name).mkdir()
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
        for number, picture in enumerate(pixels):
            Image.fromarray(picture).save(root / name / f"{number:02d}.png")
    bad = root / "bad"
    for name in ("empty", "unreadable", "mixed"):
        (bad / name).mkdir(parents=True)
    (bad / "text.txt").write_text("words\n")
    for name in ("text.png", "text.pth", "text.npz", "text.json", "text.pt2", "unreadable/a.png"):
        (bad / name).write_text("words\n")
    for name in ("zero.pth", "zero.png", "zero.npz", "zero.json", "zero.zip"):
        (bad / name).write_bytes(b"")
    (bad / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    (bad / "broken.tar").write_bytes(b"words" * 300)
    (bad / "list.yaml").write_text("- epochs\n")
    (bad / "key.yaml").write_text("epoch: 3\n")
    (bad / "broken.yaml").write_text("epochs: [3\nlr: }\n")
    (bad / "range.yaml").write_text("ema_decay: 1.5\n")
    (bad / "list.json").write_text("[1, 2]\n")
    Image.new("RGB", (8, 8)).save(bad / "mixed" / "a.png")
    Image.new("RGB", (16, 16)).save(bad / "mixed" / "b.png")
    Image.new("L", (8, 8), 0).save(bad / "black.png")
    place = Place(root)
    line = place.fill(TRAIN) + f" --max-steps=2 --save-dir={root / 'run'}"
    ended = wait(start(line, root / "first", root / "cache"), root / "first")
    assert ended.status == 0, ended.err
    whole = (root / "run" / "checkpoint_final.pth").read_bytes()
    (bad / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (bad / "cut.png").write_bytes((root / "photos" / "00.png").read_bytes()[:60])
    torch.save({"weights": torch.zeros(3)}, bad / "foreign.pth")
    line = (
        place.fill(METRICS) + f" --save-stats={root / 'stats.npz'} --save-dir={root / 'measured'}"
    )
    ended = wait(start(line, root / "second", root / "cache"), root / "second")
    assert ended.status == 0, ended.err
    return place


def bad_lines() -> Iterator[str]:
    """Command lines that are each wrong in one way."""
    wrong = {
        "train": {
            **dict.fromkeys(("hidden-size", "batch-size", "epochs"), ("0", "-1", "1.5", "word", "nan")),
            **dict.fromkeys(("lr", "grad-clip"), ("0", "-1", "nan", "word")),
            **dict.fromkeys(("ema-decay", "lag", "adam-b1"), ("-0.1", "1.5", "nan", "word")),
            **dict.fromkeys(("checkpoint-freq", "accumulate"), ("-1", "word")),
            **dict.fromkeys(("recipe", "sampler", "ladder", "precision", "device"), ("word",)),
            "dim-mults": ("[]", "[0]", "[1,-2]", "word", "{{}}"),
            "resize": ("0", "-8", "word"),
            "channels": ("0", "2", "5", "word"),
            "background": ("whit", "#12"),
            "dataset": tuple(f"{{bad}}/{n}" for n in ("none", "empty", "unreadable", "mixed", "text.txt",
                             "broken.zip", "broken.tar", "zero.zip")),
            "config": tuple(f"{{bad}}/{n}" for n in ("none.yaml", "list.yaml", "key.yaml", "broken.yaml",
                            "range.yaml", "cut.png")),
            "max-time": ("-1", "word", "nan"),
            "num-classes": ("1", "300", "word"),
        },
        "sample": {
            "seeds": ("", "word", "9-3", "-1", "1,1", "0-9,5", str(2**63), "1;2"),
            "seed": ("-1", "word", str(2**63)),
            "num-samples": ("0", "-1", "word"),
            "batch-size": ("0", "-1", "word"),
            "max-sampling-noise": ("0", "2", "-1", "nan", "inf", "word", "0.5"),
            "min-sampling-noise": ("0", "2", "-1", "nan", "word"),
            "lag": ("1", "-0.5", "nan", "word"),
            "guidance": ("2", "nan", "word"),
            "corrector-steps": ("-1", "word"),
            "samples-per-walk": ("0", "word"),
            "sampler": ("euler",),
            "ladder": ("log",),
            "visualize": ("y",),
            "precision": ("fp8",),
            "device": ("gpu", "tpu"),
            "save-animation": ("avi",),
            "save-dir": ("{bad}/text.txt", "{bad}/text.txt/below"),
            "inpainting-mask": ("{bad}/none.png", "{bad}/black.png"),
        },
        "metrics": {
            "features": ("word", "{bad}/none.pt2", "{bad}/text.pt2"),
            "num-samples": ("0", "13", "word"),
            "train": ("{bad}/none", "{bad}/empty", "{bad}/mixed"),
            "held-out": ("{bad}/none", "{bad}/unreadable"),
            "resize": ("0", "word"),
            "save-stats": ("{bad}/text.npz", "{bad}/none/a.npz"),
            "features-weights": ("{bad}/none.pth",),
            "seed": ("-1", "word"),
            "batch-size": ("0", "word"),
            "chain-levels": ("word", "", "0.1,0.1"),
            "chain-steps": ("0", "word"),
            "chain-images": ("3", "word"),
            "save-dir": ("{bad}/text.txt",),
            "reference": ("original",),
        },
        "interactive": {
            "batch-size": ("0", "1025", "word"),
            "lag": ("1", "-1", "nan", "word"),
            "seed": ("-1", "word", str(2**53)),
            "session": tuple(f"{{bad}}/{n}" for n in ("none.json", "text.json", "zero.json", "list.json",
                             "black.png", "empty")),
            "host": ("192.0.2.1",),
            "port": ("-1", "65536", "word"),
            "visualize": ("y",),
            "precision": ("fp8",),
            "device": ("gpu",),
            "compile": ("maybe",),
        },
    }  # fmt: skip
    good = {
        "train": TRAIN + " --max-steps=1 --save-dir=out",
        "sample": SAMPLE,
        "metrics": METRICS,
        "interactive": SERVE,
    }
    for command, options in wrong.items():
        for option, values in options.items():
            yield from (f"{good[command]} --{option}={shlex.quote(value)}" for value in values)
        yield good[command] + " --no-such-flag"
    for name in ("none.pth", "zero.pth", "text.pth", "cut.pth", "foreign.pth", "empty", "text.txt"):
        yield f"nkca-sample {{bad}}/{name} --device=cpu"
        yield f"nkca-interactive {{bad}}/{name} --no-browser --device=cpu"
    for name in ("none", "text.txt", "empty", "broken.zip", "text.npz", "zero.npz", "cut.pth"):
        yield f"nkca-metrics {{photos}} {{bad}}/{name} --features=pixels --device=cpu"
        yield f"nkca-metrics {{bad}}/{name} {{photos}} --features=pixels --device=cpu"
    for name in ("none.png", "text.png", "zero.png", "cut.png", "empty"):
        yield f"{SAMPLE} {{bad}}/{name}"
        yield f"{SERVE} {{bad}}/{name}"
        yield f"nkca-sample --like={{bad}}/{name}"
    for command in COMMANDS:
        yield f"nkca-{command}"
    yield f"{SAMPLE} --inpainting-mask={{bad}}/black.png"
    yield f"{SAMPLE} --export={{bad}}/text.txt"
    yield f"{SAMPLE} --replay={{bad}}/text.json"


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


def keep_pictures(log: Path, until: float) -> None:
    """Step and keep pictures in the page of a server that starts, until a time."""
    while time.monotonic() < until:
        time.sleep(0.02)
        found = re.search(r"http://[^/]+:(\d+)/", Path(f"{log}.out").read_text("utf-8"))
        if found is None:
            continue
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=5)
            turn = {"events": [{"do": "step"}, {"do": "keep", "tile": 1}]}
            connection.request(
                "POST", "/api/turn", json.dumps(turn), {"Content-Type": "application/json"}
            )
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
        passed, killed, longest, steps = [], 0, 0.0, 4
        began = time.monotonic()
        if command != "interactive":
            assert wait(start(text, log, path / "cache"), log).status == 0
            longest = time.monotonic() - began
        for _ in range(rounds):
            steps += 4
            if command == "metrics":
                shutil.rmtree(path / "cache", ignore_errors=True)
                (path / "s.npz").unlink(missing_ok=True)
            filled = text.replace("--max-steps=4", f"--max-steps={steps}")
            before = {name for name in tree(path) if Path(name).name[0] != "."}
            Path(f"{log}.out").write_text("")
            process = start(filled, log, path / "cache")
            if command == "interactive":
                keep_pictures(log, time.monotonic() + moments.uniform(0.5, 4.0))
            else:
                time.sleep(moments.uniform(0, longest))
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            ended = wait(process, log)
            killed += ended.status == -signal.SIGKILL
            kept = before - set(tree(path))
            kept = {name for name in kept if "checkpoint_0" not in name}  # --keep=2 removes those
            lost = broken(path)
            is_good = not lost and not kept
            if is_good and command != "interactive":
                ended = wait(start(filled, log, path / "cache"), log)
                is_good = ended.status == 0 and not broken(path)
            passed.append(table.check(is_good, f"killed: {line} lost {kept} {lost}", ended))
        sessions = len(list(path.glob("cache/sessions/*.json")))
        kept_words = f", {sessions} sessions saved" if command == "interactive" else ""
        table.add(
            "kills",
            f"nkca-{command}: {rounds} runs, {killed} killed before their end{kept_words}",
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
BEGIN, END = "<!-- made by benchmarks/endurance.py -->", "<!-- end -->"


def write_page(page: Path, table: Table) -> None:
    """Put the table into the page, between its two marks."""
    lines = ["| what | case | passed |", "|---|---|---|"]
    lines += [
        f"| {part} | {what} | {passed} of {total} |" for part, what, passed, total in table.rows
    ]
    for part in dict.fromkeys(row[0] for row in table.rows):
        rows = [row for row in table.rows if row[0] == part]
        lines.append(
            f"| **{part}** | all | **{sum(r[2] for r in rows)} of {sum(r[3] for r in rows)}** |"
        )
    text = page.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
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
