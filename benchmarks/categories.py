"""What makes pictures of categories better: rows of settings, at equal CPU time, Fashion-MNIST of 8 levels.

    python benchmarks/categories.py [--rows "paper;masked"] [--seconds 600] [--seed 0] [--samples 1000]
                                    [--ways "chain 100;ancestral 20"] [--out benchmarks/categories]

Each row trains in one thread until it has used --seconds of CPU time, on all 60,000 images. Then, for each
of the ways to sample, --samples pictures are drawn and judged as in `quality.py`, against real images of 8
levels. A way is "SAMPLER STEPS", or "SAMPLER STEPS+N": N more transitions at one level on the way. Every
row also gets its bits per dimension on 1,000 test images (`nkca.metrics.likelihood`), and its chain at two
levels: how far the share of each level of grey drifts in 100 steps,
and entropy production. "independent pixels" has no network: each pixel by its own frequencies.
Results are in OUT.json, sheets of the same seeds in OUT/; what is done already is not done again.
Needs Debian's dataset-fashion-mnist.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import nkca
from nkca.chain import Chain
from nkca.config.recipes import LEARNING
from nkca.denoisers.exact import PixelPriorDenoiser
from nkca.diagnostics.record import walk
from nkca.kernels.categorical import CategoricalKernel
from nkca.metrics.likelihood import code_length
from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.pictures.png import save_png
from nkca.pixels import CategoricalPixels, as_tensor
from nkca.runs.start import prepare
from nkca.sampling.tasks import Schedule

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
from judges import KINDS, REFERENCE_IMAGES, Judge
from make_fashion_mnist import SOURCE, read_split
from quality import CHAINS, EXTRACTOR, ROOT, do_rows, draw, name_of, prepare_bench, train

Images = npt.NDArray[np.uint8]
CLASSES, LEVELS, STEPS, ENTROPY_STEPS = 8, (0.3, 0.6), 100, 8
PIXELS = CategoricalPixels(CLASSES)
NETWORK = {"hidden_size": 64, "dim_mults": [1, 2], "patch_size": 2}
SET: dict[str, Any] = {"discrete": True, "num_classes": CLASSES, "recipe": "paper"}
GOOD = {**SET, **NETWORK, **LEARNING, "carry_over": True}
ROWS: dict[str, dict[str, Any]] = {
    "paper": {**SET, "hidden_size": 32, "dim_mults": [1, 2, 2]},
    "paper, carry-over": {**SET, "hidden_size": 32, "dim_mults": [1, 2, 2], "carry_over": True},
    "contrastive, network and optimizer of the recipe": {**SET, **NETWORK, **LEARNING},
    "contrastive, carry-over": GOOD,
    "contrastive, carry-over, lag 0.5": {**GOOD, "lag": 0.5},
    "contrastive, carry-over, lag 0": {**GOOD, "lag": 0.0},
    "masked": {**GOOD, "denoise_first": 1.0},
    "masked, no carry-over": {**GOOD, "denoise_first": 1.0, "carry_over": False},
    "masked, then contrastive of lag 0.5": {**GOOD, "denoise_first": 0.85, "lag": 0.5},
    "contrastive of lag 0.5 and masked": {**GOOD, "denoise_weight": 1.0, "lag": 0.5},
}
PRIOR = "independent pixels"
WAYS = "chain 100;ancestral 20;ancestral 100;ancestral 20+20;ancestral 100+100"


def levels_of_grey(images: Images) -> Images:
    """The same images (N, H, W), rounded to the 8 levels."""
    rounded: Images = PIXELS.to_uint8(PIXELS.to_state(torch.from_numpy(images.copy()))).numpy()
    return rounded


def schedule(way: str) -> Schedule:
    """Of a way to sample."""
    sampler, steps = way.split()
    steps, _, walk_steps = steps.partition("+")
    return Schedule(
        num_steps=int(steps),
        ladder="linear",
        sampler=sampler,
        corrector_steps=int(walk_steps or 0),
    )


@torch.inference_mode()
def measure_chain(chain: Chain, images: Images, level: float) -> dict[str, float]:
    """A walk from the images: the largest change of a level's share, in points, and entropy production."""
    z = PIXELS.to_state(as_tensor(images[..., None]))
    noise, b = sample_noise(range(len(z))), torch.full((len(z),), level)
    start = chain.kernel.add_noise(z, b).sample(noise)
    ratios: list[float] = []
    last = start
    for visit in walk(chain, start, level, STEPS, noise):
        last = visit.x
        if visit.before is not None and visit.log_ratio is not None and len(ratios) < ENTROPY_STEPS:
            ratios.append(visit.log_ratio.mean().item() / z[0].numel())
    shares = [
        100 * torch.bincount(x.flatten(), minlength=CLASSES + 1) / x.numel() for x in (start, last)
    ]
    return {
        "drift": round((shares[1] - shares[0]).abs().max().item(), 2),
        "entropy_production": round(sum(ratios) / len(ratios), 6),
    }


def independent_pixels(images: Images) -> Chain:
    """Each pixel by how often its levels occur in the images, with one image of each level added."""
    z = PIXELS.to_state(as_tensor(images[..., None]))
    counts = torch.stack([(z == k).sum(0) + 1 for k in range(CLASSES)], -1).double()
    kernel = CategoricalKernel(CLASSES)
    log_probs = (counts / counts.sum(-1, keepdim=True)).log().float()
    return Chain(kernel, PixelPriorDenoiser(log_probs), kernel.default_lag)


def measure(row: str, judge: Judge, arguments: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Train and judge one row, with all ways to sample."""
    images, _ = read_split(SOURCE, "train")
    test = levels_of_grey(read_split(SOURCE, "test")[0][:1000])
    seen = 0
    if row == PRIOR:
        chain = independent_pixels(levels_of_grey(images))
        model = Model(chain, PIXELS, (1, 28, 28), 0.01, torch.device("cpu"))
    else:
        fixed = {"dataset": str(data), "seed": arguments.seed, "device": "cpu", "viz_freq": 0}
        budget = {"max_time": arguments.seconds, "epochs": 10**6}
        run = prepare({**ROWS[row], **fixed, **budget}, Path("runs/categories-unused")).run
        seen, model = train(run, arguments.seconds), run.ema_model
    ways = {}
    for way in arguments.ways.split(";"):
        began = time.process_time()
        samples = draw(model, arguments.samples, schedule(way))
        sampling = time.process_time() - began
        sheet = nkca.contact_sheet(samples[:64, :, :, None], columns=16)
        arguments.out.mkdir(parents=True, exist_ok=True)
        save_png(arguments.out / f"{name_of(f'{row}, {way}', arguments)}.png", sheet)
        verdict = judge(samples)
        scores = nkca.measure(samples[..., None], test[..., None].copy(), features=EXTRACTOR)
        assert scores.kid is not None
        ways[way] = {
            "distance": round(verdict.distance, 3),
            "fid": round(float(scores.fid or 0), 2),
            "kid_1000": round(1000 * scores.kid.mean, 2),
            "shares": dict(zip(KINDS, verdict.shares, strict=True)),
            "other_levels": int((levels_of_grey(samples) != samples).sum()),
            "sampling_seconds": round(sampling, 1),
        }
    code = code_length(model, as_tensor(test[..., None]), draws=8)
    return {
        "row": row,
        "seconds": arguments.seconds,
        "seed": arguments.seed,
        "samples": arguments.samples,
        "images_seen": seen,
        "bits_per_dimension": [round(code.bits_per_dimension, 4), round(code.standard_error, 4)],
        "ways": ways,
        "chain": {f"{b:g}": measure_chain(model.chain, test[:CHAINS], b) for b in LEVELS},
    }


def main() -> None:
    """Do the rows that are not done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=";".join([*ROWS, PRIOR]), help="separated by ';'")
    parser.add_argument("--ways", default=WAYS, help="separated by ';'")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "categories")
    arguments = parser.parse_args()
    judge, data = prepare_bench()
    images, _ = read_split(SOURCE, "train")
    judge.compare_with(levels_of_grey(images[:REFERENCE_IMAGES]))
    do_rows(arguments, lambda row: measure(row, judge, arguments, data))
    floor = judge(levels_of_grey(read_split(SOURCE, "test")[0][: arguments.samples])).distance
    print(f"{arguments.samples} images of the test split: {floor:.2f}")


if __name__ == "__main__":
    main()
