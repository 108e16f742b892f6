"""Which sampler is best for how many evaluations? A trained model, Fashion-MNIST, the judge of `judges.py`.

    python benchmarks/samplers.py [MODEL] [--samples 500] [--rows "chain 100 1;dpm2m 20 2"]

A row is "SAMPLER EVALUATIONS GUIDANCE": the same seeds are drawn with as many steps as these evaluations of
the denoiser allow (a guided step takes two, one of Heun two for all but the last), and judged. A row
"walk N" takes N samples from each walk and says how many evaluations that is for a sample, and how many
independent samples those of one walk are worth, by the autocorrelation of the judge's features. MODEL is
demo unless it is said. Needs Debian's dataset-fashion-mnist.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

import nkca
from nkca.chain import Moment
from nkca.diagnostics.autocorrelation import autocorrelation
from nkca.models.model import Model
from nkca.pixels import as_pictures
from nkca.sampling.tasks import Schedule, from_noise, run_task, show_moment
from nkca.sampling.walks import STEPS_BETWEEN, WALK_LEVEL, from_walks

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
from judges import Judge
from make_fashion_mnist import SOURCE, read_split

ROOT = Path(__file__).resolve().parent.parent
ROWS = [
    *(f"{sampler} {n} 1" for sampler in ("chain", "ddim", "heun", "dpm2m", "ge") for n in (10, 20)),
    *("dpm2m 50 1", "chain 100 1", "dpm2m 10 2", "dpm2m 20 2", "dpm2m 40 2", "walk 1", "walk 8"),
]
FINISH = 4  # steps that finish a state of a walk


def schedule_of(sampler: str, evaluations: int, guidance: float) -> Schedule:
    """As many steps as the evaluations allow."""
    states = evaluations // (1 if guidance == 1 else 2)
    steps = (states - 1) // 2 if sampler == "heun" else states - 1
    ladder = "linear" if sampler == "chain" else "sigma"
    return Schedule(num_steps=steps, ladder=ladder, sampler=sampler, guidance=guidance)


def pictures_of(model: Model, rows: range, samples_per_walk: int | None, way: Schedule) -> Moment:
    """The last moment of a batch."""
    task = from_noise(rows) if samples_per_walk is None else from_walks(rows, samples_per_walk)
    *_, last = run_task(model, task, way)
    return last


def main() -> None:
    """Print a line for each row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="demo")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--rows", default=";".join(ROWS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    count = arguments.samples
    model = nkca.load_model(arguments.model, device="cpu", precision="bf16", compile="on")
    images, labels = read_split(SOURCE, "train")
    judge = Judge(ROOT / "runs/quality-cache/classifier.pt", images, labels)
    test, _ = read_split(SOURCE, "test")
    print(f"{count} test images: {judge(test[:count]).distance:.2f}", flush=True)
    for row in arguments.rows.split(";"):
        name, number, *guidance = row.split()
        began, per_walk, extra = time.process_time(), None, ""
        if name == "walk":
            per_walk, size = int(number), 8 * int(number)
            way = Schedule(
                WALK_LEVEL, num_steps=FINISH, ladder="sigma", sampler="dpm2m", guidance=1
            )
            walking = (per_walk - 1) * STEPS_BETWEEN
            evaluations = (FINISH + 1 + walking) / per_walk + FINISH + 1
        else:
            way, size = schedule_of(name, int(number), float(guidance[0])), 100
            evaluations = float(number)
        batches = [range(first, min(first + size, count)) for first in range(0, count, size)]
        drawn = []
        for batch in batches:
            last = pictures_of(model, batch, per_walk, way)
            drawn.append(as_pictures(show_moment(model, from_noise(batch), last))[..., 0])
        pictures = torch.cat([torch.from_numpy(part) for part in drawn]).numpy()
        if per_walk is not None and per_walk > 1:
            features = torch.from_numpy(judge.look(pictures)[0])
            whole = features[: len(features) // per_walk * per_walk].view(
                -1, per_walk, features.shape[1]
            )
            tau = autocorrelation(whole.movedim(1, 0)).tau or 1.0
            extra = f", {max(1.0, per_walk / max(tau, 1)):.1f} independent samples a walk"
        verdict = judge(pictures)
        largest = max(abs(share - 10) for share in verdict.shares)
        print(
            f"{row}: {evaluations:.1f} evaluations, distance {verdict.distance:.2f}, largest difference "
            f"of a share {largest:.1f} points, {time.process_time() - began:.0f} s{extra}",
            flush=True,
        )


if __name__ == "__main__":
    main()
