"""What makes pictures of categories better: rows of settings, at equal CPU time.

    python benchmarks/categories.py [--set fashion8|pixels|labels] [--rows "paper;masked"] [--seconds 600]
                                    [--seed 0] [--samples 1000] [--ways "chain 100;ancestral 20"]
                                    [--out benchmarks/categories]

Each row trains in one thread until it has used --seconds of CPU time, on one of the sets of
`category_sets.py`. Then, for each of the ways to sample, --samples pictures are drawn and measured against
1,000 test images; of fashion8 they are also judged as in `quality.py`, against real images of 8 levels. A
way is "SAMPLER STEPS", or "SAMPLER STEPS+N": N more transitions at one level on the way. Every row also
gets its bits per dimension on the test images (`nkca.metrics.likelihood`), and its chain at two levels: how
far the share of each category drifts in 100 steps, and entropy production. "independent pixels" has no
network: each pixel by its own frequencies. Results are in OUT.json, of other sets than fashion8 in
OUT-SET.json, sheets of the same seeds in a folder of that name; what is done already is not done again.
Needs Debian's dataset-fashion-mnist.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

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
from nkca.pixels import as_tensor
from nkca.runs.start import prepare
from nkca.sampling.tasks import Schedule

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
from category_sets import SETS, CategorySet, Images
from judges import KINDS, REFERENCE_IMAGES, Judge
from quality import CHAINS, EXTRACTOR, ROOT, do_rows, name_of, prepare_bench, prepare_process, train

LEVELS, STEPS, ENTROPY_STEPS = (0.3, 0.6), 100, 8
SMALL: dict[str, Any] = {"hidden_size": 32, "dim_mults": [1, 2, 2]}
NETWORK = {"hidden_size": 64, "dim_mults": [1, 2], "patch_size": 2}
GOOD = {**NETWORK, **LEARNING, "carry_over": True}
ROWS: dict[str, dict[str, Any]] = {
    "paper": SMALL,
    "paper, carry-over": {**SMALL, "carry_over": True},
    "contrastive, network and optimizer of the recipe": {**NETWORK, **LEARNING},
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
def measure_chain(model: Model, images: Images, level: float) -> dict[str, float]:
    """A walk from the images: the largest change of a category's share, in points; entropy production."""
    z = model.pixels.to_state(as_tensor(images))
    noise, b = sample_noise(range(len(z))), torch.full((len(z),), level)
    start = model.chain.kernel.add_noise(z, b).sample(noise)
    ratios: list[float] = []
    last = start
    for visit in walk(model.chain, start, level, STEPS, noise):
        last = visit.x
        if visit.before is not None and visit.log_ratio is not None and len(ratios) < ENTROPY_STEPS:
            ratios.append(visit.log_ratio.mean().item() / z[0].numel())
    most = int(torch.maximum(start, last).max()) + 1
    shares = [100 * torch.bincount(x.flatten(), minlength=most) / x.numel() for x in (start, last)]
    return {
        "drift": round((shares[1] - shares[0]).abs().max().item(), 2),
        "entropy_production": round(sum(ratios) / len(ratios), 6),
    }


def independent_pixels(of: CategorySet) -> Model:
    """Each pixel by how often its categories occur, with one image of each category added."""
    z, count = of.pixels.to_state(as_tensor(of.train)), of.pixels.num_classes
    counts = torch.stack([(z == k).sum(0) + 1 for k in range(count)], -1).double()
    kernel = CategoricalKernel(count)
    log_probs = (counts / counts.sum(-1, keepdim=True)).log().float()
    chain = Chain(kernel, PixelPriorDenoiser(log_probs), kernel.default_lag)
    height, width, channels = of.train.shape[1:]
    return Model(chain, of.pixels, (channels, height, width), 0.01, torch.device("cpu"))


def measure_way(
    model: Model, way: str, of: CategorySet, judge: Judge | None, sheet: Path, count: int
) -> dict[str, Any]:
    """Draw and measure samples."""
    began = time.process_time()
    samples = nkca.sample(model, range(count), schedule=schedule(way))
    sampling = time.process_time() - began
    sheet.parent.mkdir(parents=True, exist_ok=True)
    save_png(sheet, nkca.contact_sheet(samples[:64], columns=16))
    scores = nkca.measure(samples, of.test.copy(), features=EXTRACTOR)
    assert scores.kid is not None
    found = {
        "fid": round(float(scores.fid or 0), 2),
        "kid_1000": round(1000 * scores.kid.mean, 2),
        "other_categories": int((of.shown(samples) != samples).sum()),
        "sampling_seconds": round(sampling, 1),
    }
    if judge is None:
        return found
    verdict = judge(samples[..., 0])
    shares = dict(zip(KINDS, verdict.shares, strict=True))
    return {"distance": round(verdict.distance, 3), "shares": shares, **found}


def measure(
    row: str, of: CategorySet, judge: Judge | None, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Train and judge one row, with all ways to sample."""
    seen = 0
    if row == PRIOR:
        model = independent_pixels(of)
    else:
        fixed = {"dataset": str(of.data), "seed": arguments.seed, "device": "cpu", "viz_freq": 0}
        budget = {"max_time": arguments.seconds, "epochs": 10**6}
        options = {**of.options, "recipe": "paper", **ROWS[row], **fixed, **budget}
        run = prepare(options, Path("runs/categories-unused")).run
        seen, model = train(run, arguments.seconds), run.ema_model
    ways = {}
    for way in arguments.ways.split(";"):
        sheet = arguments.out / f"{name_of(f'{row}, {way}', arguments)}.png"
        ways[way] = measure_way(model, way, of, judge, sheet, arguments.samples)
    code = code_length(model, as_tensor(of.test), draws=8)
    return {
        "row": row,
        "seconds": arguments.seconds,
        "seed": arguments.seed,
        "samples": arguments.samples,
        "images_seen": seen,
        "bits_per_dimension": [round(code.bits_per_dimension, 4), round(code.standard_error, 4)],
        "ways": ways,
        "chain": {f"{b:g}": measure_chain(model, of.test[:CHAINS], b) for b in LEVELS},
    }


def main() -> None:
    """Do the rows that are not done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=SETS, default="fashion8")
    parser.add_argument("--rows", default=";".join([*ROWS, PRIOR]), help="separated by ';'")
    parser.add_argument("--ways", default=WAYS, help="separated by ';'")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "categories")
    arguments = parser.parse_args()
    of = SETS[arguments.set](prepare_process())
    if arguments.set != "fashion8":
        arguments.out = arguments.out.with_name(f"{arguments.out.name}-{arguments.set}")
        do_rows(arguments, lambda row: measure(row, of, None, arguments))
        return
    judge, _ = prepare_bench()
    judge.compare_with(of.shown(of.train[:REFERENCE_IMAGES])[..., 0])
    do_rows(arguments, lambda row: measure(row, of, judge, arguments))
    floor = judge(of.test[: arguments.samples, ..., 0]).distance
    print(f"{arguments.samples} images of the test split: {floor:.2f}")


if __name__ == "__main__":
    main()
