"""Does training in bfloat16 end where training in float32 ends?

    python benchmarks/precision.py [--steps 1500] [--seeds 3] [--json FILE]

The demo's model and settings, each seed once in either arithmetic, step by step in turns on the same
batches with the same noise. The score is the loss of the averaged weights, computed in float32 with fixed
draws on 200 pictures that were not trained on, in nats for each number of an image. Noise is how seeds
differ.
"""

import argparse
import itertools
import json
import statistics
from pathlib import Path

import torch
from parametrisation import OPTIONS

from nkca.config.parsing import configure
from nkca.data.dataset import batches
from nkca.models.build import assemble
from nkca.pixels import as_tensor
from nkca.runs.run import Run, take_step
from nkca.runs.start import prepare
from nkca.system.allocator import keep_freed_memory
from nkca.training.objective import evaluate

HELD_OUT = 10  # every so many-th picture of the demo's set
REPEATS = 5  # draws of noise for each held-out picture
PRECISIONS = ("fp32", "bf16")


def held_out_loss(run: Run, images: torch.Tensor) -> float:
    """The loss of the average on uint8 images (N, C, H, W), in float32."""
    network = run.learner.ema_network
    chain = assemble(run.spec, network, device=torch.device("cpu")).chain
    z = run.ema_model.pixels.to_state(images)
    objective, draw = run.learner.objective, run.learner.draw
    losses: list[float] = [
        evaluate(objective, draw, chain, z, repeat * len(z)).loss.mean().item()
        for repeat in range(REPEATS)
    ]
    return statistics.mean(losses) / z[0].numel()


def compare(seed: int, steps: int) -> dict[str, float]:
    """The score of each precision for one seed."""
    options = {**OPTIONS, "seed": seed, "ema_decay": 0.99}
    runs = {
        name: prepare({**options, "precision": name}, Path("runs") / "precision" / name).run
        for name in PRECISIONS
    }
    config = configure(options).training
    images = runs["fp32"].images.images
    is_held_out = [number % HELD_OUT == 0 for number in range(len(images))]
    trained_on = images[[not held for held in is_held_out]]
    supply = batches(trained_on, config.batch_size, config.seed)
    for step, batch in enumerate(itertools.islice(supply, steps)):
        for run in runs.values():
            run.progress = take_step(run, batch, step).progress
    return {name: held_out_loss(run, as_tensor(images[is_held_out])) for name, run in runs.items()}


def main() -> None:
    """Train all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    keep_freed_memory()
    rows = []
    print("| seed | float32 | bfloat16 | difference |\n|---|---|---|---|")
    for seed in range(given.seeds):
        row = compare(seed, given.steps)
        rows.append(row)
        exact, half = row["fp32"], row["bf16"]
        print(f"| {seed} | {exact:.5f} | {half:.5f} | {half - exact:+.5f} |", flush=True)
    if given.seeds > 1:
        differences = [row["bf16"] - row["fp32"] for row in rows]
        print(
            f"standard deviation over seeds {statistics.stdev(row['fp32'] for row in rows):.5f}; "
            f"mean difference {statistics.mean(differences):+.5f} +- "
            f"{statistics.stdev(differences) / given.seeds**0.5:.5f}"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
