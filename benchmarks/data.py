"""What do the data cost: a training batch, decoding, and a folder of a million images?

    python benchmarks/data.py [--parts batch,decode,folder] [--sizes 10000,100000,1000000]
                              [--rounds 5] [--json FILE]

batch   From a memory map in the page cache to float states: rows, a flip, conversion. Median milliseconds
        of each, and their share of a training step (hidden 32, [1, 2, 2], bfloat16 where the processor has
        it), measured in turns with it where a step is short enough to wait for.
decode  Images a second with 1 worker and with all cores, nothing cached but the files' pages, in turns.
folder  Nested folders of hard links to 256 real 8 x 8 PNGs: seconds, seconds of processors and the peak of
        resident memory after each stage, a process of its own for each size; all of it is below a temporary
        folder and removed.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nkca.config.schema import ModelConfig, TrainingConfig
from nkca.data.cache import load_images
from nkca.data.dataset import augment, batches, epoch_order
from nkca.data.listing import list_images
from nkca.data.reading import LoadOptions
from nkca.models.build import ModelSpec, assemble, new_denoiser
from nkca.noise import step_noise
from nkca.pixels import ContinuousPixels
from nkca.system.allocator import keep_freed_memory
from nkca.training.build import build_learner
from nkca.training.learner import Learner, TrainingProgress

Row = dict[str, Any]
REAL_FILES, FILES_A_FOLDER, FOLDERS_A_FOLDER = 256, 1000, 32
BATCHES = 50


@dataclass(frozen=True)
class Case:
    """Images in a memory map, and a batch of them."""

    side: int
    channels: int
    batch: int
    images: int
    with_step: bool


CASES = (
    Case(28, 1, 128, 60_000, True),
    Case(32, 3, 32, 50_000, True),
    Case(256, 3, 32, 1024, False),
)


def seconds_of(work: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def learner_of(case: Case) -> Learner:
    """The engine as nkca-train has it, for a small model."""
    config = ModelConfig(hidden_size=32, dim_mults=(1, 2, 2))
    spec = ModelSpec(config, (case.channels, case.side, case.side), 0.5)
    network = new_denoiser(spec, seed=0)
    chain = assemble(spec, network, device=torch.device("cpu"), precision="auto").chain
    return build_learner(TrainingConfig(), chain, network, copy.deepcopy(network))


def measure_batch(case: Case, folder: Path, rounds: int) -> Row:
    """Medians of the parts of a batch, and its share of a step in the same round."""
    file = folder / "images.u8"
    shape = (case.images, case.side, case.side, case.channels)
    images = np.memmap(file, np.uint8, "w+", shape=shape)
    images[:] = np.random.default_rng(0).integers(0, 256, shape[1:], np.uint8)
    images = np.memmap(file, np.uint8, "r", shape=shape)
    images.max()  # every page is in memory now
    drawn, pixels = batches(images, case.batch, seed=0), ContinuousPixels()
    learner, progress = learner_of(case) if case.with_step else None, TrainingProgress()
    parts: dict[str, list[float]] = {"rows": [], "flip": [], "float": []}
    shares, steps = [], []
    for number in range(rounds):
        sums = dict.fromkeys(parts, 0.0)
        for index in range(BATCHES):
            noise = step_noise(0, index, 0, case.batch)
            for part, seconds in _timed_batch(drawn, noise, pixels):
                sums[part] += seconds / BATCHES
                parts[part].append(seconds)
        if learner is not None:
            z = torch.zeros(case.batch, case.channels, case.side, case.side)
            found = []
            for repeat in range(3):
                noise = step_noise(0, 3 * number + repeat, 0, case.batch)
                start = time.perf_counter()
                progress = learner.step(progress, z, noise).progress
                found.append(time.perf_counter() - start)
            steps.append(statistics.median(found))
            shares.append(sum(sums.values()) / steps[-1])
    file.unlink()
    medians = {f"{part} ms": 1e3 * statistics.median(values) for part, values in parts.items()}
    return {
        "images": f"{case.side} x {case.side} x {case.channels}",
        "batch": case.batch,
        **medians,
        "batch ms": sum(medians.values()),
        "step ms": 1e3 * statistics.median(steps) if steps else None,
        "share": statistics.median(shares) if shares else None,
    }


def _timed_batch(
    drawn: Iterator[Tensor], noise: Any, pixels: ContinuousPixels
) -> Iterator[tuple[str, float]]:
    start = time.perf_counter()
    images = next(drawn)
    rows = time.perf_counter()
    images = augment(images, ("fliph",), noise)
    flipped = time.perf_counter()
    pixels.to_state(images).contiguous()
    yield "rows", rows - start
    yield "flip", flipped - rows
    yield "float", time.perf_counter() - flipped


def write_real_files(folder: Path, count: int, side: int, channels: int) -> list[Path]:
    """PNG files of smooth random pictures."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        small = random.integers(0, 256, (max(2, side // 8), max(2, side // 8), channels), np.uint8)
        image = Image.fromarray(small[..., 0] if channels == 1 else small)
        image.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number:04d}.png")
    return sorted(folder.iterdir())


def link_tree(root: Path, real: list[Path], count: int) -> None:
    """``count`` hard links in nested folders."""
    for first in range(0, count, FILES_A_FOLDER):
        number = first // FILES_A_FOLDER
        folder = root / f"{number // FOLDERS_A_FOLDER:03d}" / f"{number % FOLDERS_A_FOLDER:03d}"
        folder.mkdir(parents=True)
        for index in range(first, min(count, first + FILES_A_FOLDER)):
            os.link(real[index % len(real)], folder / f"{index:07d}.png")


def measure_decode(side: int, channels: int, count: int, rounds: int) -> list[Row]:
    """Images a second by workers, medians."""
    found: dict[int, list[float]] = {1: [], os.cpu_count() or 1: []}
    with tempfile.TemporaryDirectory() as name:
        real = write_real_files(Path(name) / "real", min(count, REAL_FILES), side, channels)
        link_tree(Path(name) / "tree", real, count)
        listing = list_images(Path(name) / "tree")
        for _ in range(rounds):
            for workers, rates in found.items():
                taken = seconds_of(lambda w=workers: load_images(listing, LoadOptions(), None, w))  # type: ignore[misc]
                rates.append(count / taken)
    size = f"{side} x {side} x {channels}"
    return [
        {"images": size, "count": count, "workers": w, "images/s": statistics.median(rates)}
        for w, rates in found.items()
    ]


def measure_folder(count: int) -> Row:
    """Seconds and MiB of the stages that a run over ``count`` images goes through."""
    _forget_peak()
    row: Row = {"count": count, "MiB at start": _peak()}

    def stage(name: str, work: Callable[[], Any]) -> Any:
        _forget_peak()
        start, used = time.perf_counter(), _processors()
        result = work()
        row[f"{name} s"] = time.perf_counter() - start
        row[f"{name} cpu s"] = _processors() - used
        row[f"{name} MiB"] = _peak()
        return result

    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name) / "tree", Path(name) / "cache"
        real = write_real_files(Path(name) / "real", REAL_FILES, 8, 1)
        row["making the links s"] = seconds_of(lambda: link_tree(folder, real, count))
        listing = stage("list", lambda: list_images(folder))
        stage("identity", listing.digest)
        stage("order", lambda: epoch_order(0, 0, count))
        calls: list[int] = []
        stage(
            "decode",
            lambda: load_images(
                listing, LoadOptions(), cache, workers, lambda done, _: calls.append(done)
            ),
        )
        row["progress calls"] = len(calls)
        images = stage("look up", lambda: load_images(listing, LoadOptions(), cache, workers))
        assert images.from_cache
        assert len(images) == count
        middle = count // 2 + 7 * count
        stage("resume", lambda: next(batches(images.images, 128, 0, middle)))
    return row


def _forget_peak() -> None:
    """The peak of resident memory is what it is now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """The largest resident memory since then, MiB, of this process alone."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _processors() -> float:
    """Seconds of processors so far, with those of processes that have ended."""
    return sum(os.times()[:4])


def in_a_process(*arguments: str) -> Any:
    """What this script prints with these arguments."""
    command = [sys.executable, __file__, *arguments]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout)


def show(rows: list[Row]) -> None:
    """A table in Markdown."""
    names = list(rows[0])
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for row in rows:
        cells = [f"{v:.3g}" if isinstance(v, float) else f"{v}" for v in row.values()]
        print("| " + " | ".join(cells) + " |", flush=True)
    print()


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default="batch,decode,folder")
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure_folder(given.one)))
        return
    keep_freed_memory()
    found: dict[str, list[Row]] = {}
    if "batch" in given.parts:
        with tempfile.TemporaryDirectory() as name:
            found["batch"] = [measure_batch(case, Path(name), given.rounds) for case in CASES]
        show(found["batch"])
    if "decode" in given.parts:
        found["decode"] = measure_decode(28, 1, 20_000, given.rounds)
        found["decode"] += measure_decode(256, 3, 500, given.rounds)
        show(found["decode"])
    if "folder" in given.parts:
        sizes = given.sizes.split(",")
        found["folder"] = [in_a_process("--one", size) for size in sizes]
        show(
            [
                {"": key} | {f"{r['count']:,}": r[key] for r in found["folder"]}
                for key in found["folder"][0]
            ]
        )
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
