"""The best pictures for the time: rows of settings and peers, at equal CPU time, on Fashion-MNIST.

    python benchmarks/quality.py [--rows "recommended;edm"] [--seconds 600] [--seed 0] [--samples 1000]
                                 [--chain] [--out benchmarks/quality]

Each row trains in one thread until it has used --seconds of CPU time, then draws --samples pictures. They
are judged by `judges.py`, and by FID and KID with an extractor that needs no download. --chain also lets
chains of nkca's rows walk at fixed levels from test images (`measure_chain`). What is done already is not
done again: results are in OUT.json, sheets of the same seeds in OUT/. Rows of nkca learn with the options
below, on all 60,000 images; peers as their own users would (`peers.py`). "edm" is EDM's recipe on nkca's
own network of the paper's kind.
Needs Debian's dataset-fashion-mnist.
"""

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import nkca
from nkca.chain import run as run_chain
from nkca.data.dataset import batches
from nkca.diagnostics.record import walk
from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.pictures.png import save_png
from nkca.pixels import as_tensor
from nkca.runs.run import Run, take_step
from nkca.runs.start import prepare
from nkca.sampling.ladders import sigma_ladder
from nkca.sampling.samplers import SAMPLERS
from nkca.sampling.tasks import Schedule
from nkca.system.allocator import keep_freed_memory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
from judges import KINDS, Judge
from make_fashion_mnist import SOURCE, png_files, read_split, write_zip
from peers import PEERS

ROOT = Path(__file__).resolve().parent.parent
Images = npt.NDArray[np.uint8]
Sample = Callable[[int], Images]
EXTRACTOR = "efficientnet-lite0"  # of FID and KID, against the first 1,000 test images
OWN = Schedule()
CHAINS, CHAIN_STEPS, ENTROPY_STEPS, CHAIN_LEVELS = 200, 100, 8, (0.1, 0.3, 0.6)

SMALL = {"hidden_size": 32, "dim_mults": [1, 2, 2], "patch_size": 1}
EDM = {
    **SMALL,
    "recipe": "paper",
    "parametrisation": "preconditioned",
    "denoise_first": 1.0,
    "level_draw": "log-normal",
    "min_noise": 1e-5,
    "lr": 1e-3,
    "ema_decay": 0.995,
    "ema_warmup": True,
    "sampler": "heun",
    "ladder": "sigma",
    "num_sampling_steps": 17,
}
PRECONDITIONED = {
    "recipe": "paper",
    "parametrisation": "preconditioned",
    "hidden_size": 48,
    "dim_mults": [1, 2, 2],
    "lr": 1e-3,
    "lr_warmup": 500,
    "grad_clip": 100,
    "ema_decay": 0.9995,
    "ema_warmup": True,
}
ROWS: dict[str, dict[str, Any]] = {
    "paper": {**SMALL, "recipe": "paper"},
    "preconditioned": PRECONDITIONED,
    "edm": EDM,
    "recommended": {},
    "recommended, denoising alone": {"denoise_first": 1.0},
    "recommended, guided by a quarter of the run": {"weak_at": 0.25},
    "recommended, Adam": {"optimizer": "adam"},
    "recommended, no patches": SMALL,
    "recommended, rate does not fall": {"lr_decay": 0.0},
    "recommended, uniform levels": {"level_draw": "uniform"},
    "recommended, adaptive levels": {"level_draw": "adaptive"},
    "recommended, coarse to fine": {"coarse_to_fine": [14, 28]},
}


def train(run: Run, seconds: float) -> int:
    """Learn until ``seconds`` of CPU time are used; returns the number of images seen."""
    config, began = run.config.training, time.process_time()
    for images in batches(run.images.images, config.batch_size, config.seed, 0, slice(None)):
        run.progress = replace(run.progress, seconds=time.process_time() - began)
        if run.progress.seconds >= seconds:
            break
        run.progress = take_step(run, images, run.progress.step).progress
    return run.progress.images


def of_nkca(options: dict[str, Any], data: Path, seconds: float, seed: int) -> tuple[int, Model]:
    """Train a row of nkca; returns the images seen and the model."""
    fixed = {
        "dataset": str(data),
        "seed": seed,
        "device": "cpu",
        "viz_freq": 0,
        "max_time": seconds,
    }
    run = prepare({**options, **fixed, "epochs": 10**6}, Path("runs/quality-unused")).run
    return train(run, seconds), run.ema_model


@torch.inference_mode()
def measure_chain(model: Model, judge: Judge, images: Images, level: float) -> dict[str, Any]:
    """A walk of `CHAIN_STEPS` transitions at one level, from each of the images (N, 28, 28).

    Measured are, at its start and at its end: the variance of the states, mean over pixels; the Fréchet
    distance and the shares of the kinds of clothes in the pictures that the same 9 deterministic steps make
    of the states. And of the kernel p(y|x): entropy production in nats a dimension, its mean over
    `ENTROPY_STEPS` transitions with fresh noise.
    """
    noise, b = sample_noise(range(len(images))), torch.full((len(images),), level)
    z = model.pixels.to_state(as_tensor(images[..., None]))
    start = model.chain.kernel.add_noise(z, b).sample(noise)

    def state(x: Tensor) -> dict[str, Any]:
        way = sigma_ladder(level, model.min_noise, 9)
        *_, last = SAMPLERS["dpm2m"](model.chain, x, way, noise)
        verdict = judge(model.pixels.to_uint8(last.p_z.mode()).numpy()[:, 0])
        variance = round(x.var(0).mean().item(), 4)
        return {
            "variance": variance,
            "distance": round(verdict.distance, 2),
            "shares": verdict.shares,
        }

    (last,) = deque(run_chain(model.chain, start, [level] * (CHAIN_STEPS + 1), noise), maxlen=1)
    with_densities = replace(model.chain, averages_noise=False)
    ratios = [
        visit.log_ratio.mean() / z[0].numel()
        for visit in walk(with_densities, start, level, ENTROPY_STEPS, noise)
        if visit.before is not None and visit.log_ratio is not None
    ]
    production = torch.stack(ratios).mean().item()
    return {"start": state(start), "end": state(last.x), "entropy_production": round(production, 6)}


def of_peer(name: str, images: Images, seconds: float, seed: int) -> tuple[int, Sample]:
    """Train a peer; returns the images seen and what draws samples."""
    peer = PEERS[name](seed)
    began, seen, states = time.process_time(), 0, as_tensor(images[..., None]).float() / 127.5 - 1
    order = torch.Generator().manual_seed(seed)
    while True:
        for rows in torch.split(torch.randperm(len(states), generator=order), peer.batch_size):
            share = (time.process_time() - began) / seconds
            if share >= 1:
                return seen, peer.sample
            peer.step(states[rows], share)
            seen += len(rows)


def measure(row: str, judge: Judge, arguments: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Train and judge one row."""
    images, _ = read_split(SOURCE, "train")
    model = None
    if row in PEERS:
        seen, sample = of_peer(row, images, arguments.seconds, arguments.seed)
    else:
        seen, model = of_nkca(ROWS[row], data, arguments.seconds, arguments.seed)
        sample = partial(draw, model)
    torch.manual_seed(arguments.seed)
    began = time.process_time()
    samples = sample(arguments.samples)
    sampling = time.process_time() - began
    save_sheet(row, samples, arguments)
    verdict, chain = judge(samples), {}
    test, _ = read_split(SOURCE, "test")
    scores = nkca.measure(samples[..., None], test[:1000, :, :, None].copy(), features=EXTRACTOR)
    assert scores.kid is not None
    if arguments.chain and model is not None:
        chain = {f"{b:g}": measure_chain(model, judge, test[:CHAINS], b) for b in CHAIN_LEVELS}
    return {
        "row": row,
        "seconds": arguments.seconds,
        "seed": arguments.seed,
        "samples": arguments.samples,
        "images_seen": seen,
        "distance": round(verdict.distance, 3),
        "fid": round(float(scores.fid or 0), 2),
        "kid_1000": round(1000 * scores.kid.mean, 2),
        "shares": dict(zip(KINDS, verdict.shares, strict=True)),
        "sampling_seconds": round(sampling, 1),
        **({"chain": chain} if chain else {}),
    }


def draw(model: Model, count: int, schedule: Schedule = OWN) -> Images:
    """The first samples of a model, by default in its own way, (count, 28, 28)."""
    return nkca.sample(model, range(count), schedule=schedule)[..., 0]


def name_of(row: str, arguments: argparse.Namespace) -> str:
    """Of the row's sheet."""
    return f"{row.replace(', ', '_').replace(' ', '-')}_{arguments.seconds:g}s_seed{arguments.seed}"


def save_sheet(row: str, samples: Images, arguments: argparse.Namespace) -> None:
    """Save the first 64 samples of a row as one picture."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    sheet = nkca.contact_sheet(samples[:64, :, :, None], columns=16)
    save_png(arguments.out / f"{name_of(row, arguments)}.png", sheet)


def prepare_process() -> Path:
    """Set one thread; returns the folder of what is kept for the next time."""
    torch.set_num_threads(1)
    keep_freed_memory()
    cache = ROOT / "runs" / "quality-cache"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def prepare_bench() -> tuple[Judge, Path]:
    """The judge and the archive of training images, both kept for the next time. Sets one thread."""
    cache = prepare_process()
    images, labels = read_split(SOURCE, "train")
    judge = Judge(cache / "classifier.pt", images, labels)
    data = cache / "fashion-mnist.zip"
    if not data.exists():
        write_zip(data, png_files(images, labels, range(len(images))))
    return judge, data


def do_rows(arguments: argparse.Namespace, measure: Callable[[str], dict[str, Any]]) -> None:
    """Measure the rows that the file of results lacks, and add each to it, beside those of others."""
    results = arguments.out.with_suffix(".json")
    key = ("row", "seconds", "seed", "samples")
    for row in arguments.rows.split(";"):
        done = json.loads(results.read_text()) if results.exists() else []
        wanted = (row, arguments.seconds, arguments.seed, arguments.samples)
        if not any(tuple(found[k] for k in key) == wanted for found in done):
            result = measure(row)
            done = json.loads(results.read_text()) if results.exists() else []
            results.write_text(json.dumps([*done, result], indent=1) + "\n")
            print(json.dumps(result), flush=True)


def main() -> None:
    """Do the rows that are not done, then print all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=";".join([*ROWS, *PEERS]), help="separated by ';'")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--chain", action="store_true", help="also measure the chain")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "quality")
    arguments = parser.parse_args()
    judge, data = prepare_bench()
    do_rows(arguments, lambda row: measure(row, judge, arguments, data))
    test, _ = read_split(SOURCE, "test")
    print(
        f"{arguments.samples} images of the test split: {judge(test[: arguments.samples]).distance:.2f}"
    )


if __name__ == "__main__":
    main()
