"""How fast is a step of the chain without gradients, against a plain one?

    python benchmarks/sample_step.py [--cases small,medium,cifar] [--images 16,64]
                                     [--variants plain,fp32,bf16] [--rounds 3] [--seconds 4] [--json FILE]

A step is what nkca-sample and nkca-interactive repeat: evaluate the network, form p(y|x), draw y. Each
variant is a process of its own, in turns within each round. "plain" is the yardstick of train_step.py;
"fp32" and "bf16" are nkca-sample with that --precision, "eager" is fp32 with --compile=off.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from train_step import (
    CASES,
    CPU,
    Case,
    in_a_process,
    machine,
    network_of,
    plain_network_of,
    spec_of,
)

from nkca.chain import Chain
from nkca.models.build import assemble
from nkca.networks import compilation
from nkca.noise import sample_noise
from nkca.system.allocator import keep_freed_memory

WARM_UP = 3
VARIANTS = {"fp32": ("fp32", "auto"), "bf16": ("bf16", "auto"), "eager": ("fp32", "off")}


def chain_of(case: Case, variant: str) -> Chain:
    """The chain of a variant."""
    if variant == "plain":
        return assemble(spec_of(case), plain_network_of(case), device=CPU).chain
    keep_freed_memory()
    precision, choice = VARIANTS[variant]
    network = compilation.compile_network(network_of(case), CPU, choice).requires_grad_(False)
    return assemble(spec_of(case), network, device=CPU, precision=precision).chain


@torch.no_grad()
def step(chain: Chain, x: torch.Tensor, level: float) -> torch.Tensor:
    """One transition at one level."""
    b = torch.full((len(x),), level)
    p_y = chain.move(x, b, b, chain.believe(x, b))
    return p_y.sample(sample_noise(range(len(x))))


def measure(case: Case, images: int, variant: str, seconds: float) -> dict[str, float]:
    """Images/s of a step, milliseconds of one, and the peak of resident memory in MiB."""
    chain = chain_of(case, variant)
    x = torch.randn(images, 3, case.side, case.side, generator=torch.Generator().manual_seed(0))
    times: list[float] = []
    while len(times) < WARM_UP + 3 or sum(times[WARM_UP:]) < seconds:
        start = time.perf_counter()
        x = step(chain, x, 0.5)
        times.append(time.perf_counter() - start)
    middle = statistics.median(times[WARM_UP:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"images/s": images / middle, "ms a step": 1000 * middle, "peak MiB": peak}


def flops_an_image(case: Case) -> float:
    """Convolutions and matrix products of a step."""
    chain = assemble(spec_of(case), plain_network_of(case), device=CPU).chain
    from torch.utils.flop_counter import FlopCounterMode  # not in the processes that are measured

    with FlopCounterMode(display=False) as counter:
        step(chain, torch.zeros(2, 3, case.side, case.side), 0.5)
    return float(counter.get_total_flops()) / 2


def compare(given: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each case, number of images and variant: medians over rounds."""
    rows: list[dict[str, Any]] = []
    for case in given.cases.split(","):
        flops = flops_an_image(CASES[case])
        for images in given.images.split(","):
            found: dict[str, list[dict[str, float]]] = {v: [] for v in given.variants.split(",")}
            for _ in range(given.rounds):
                for variant, values in found.items():
                    one = ("--one", case, images, variant, "--seconds", str(given.seconds))
                    values.append(in_a_process(__file__, *one))
            for variant, values in found.items():
                row = {key: statistics.median(v[key] for v in values) for key in values[0]}
                row["GFLOP/s"] = row["images/s"] * flops / 1e9
                rows.append({"case": case, "images": images, "variant": variant} | row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """The table."""
    print("| case | images | variant | images/s | ms a step | GFLOP/s | x plain | peak MiB |")
    print("|---|---|---|---|---|---|---|---|")
    base = float("nan")
    for row in rows:
        base = row["images/s"] if row["variant"] == "plain" else base
        print(
            f"| {row['case']} | {row['images']} | {row['variant']} | {row['images/s']:.0f} "
            f"| {row['ms a step']:.1f} | {row['GFLOP/s']:.0f} | {row['images/s'] / base:.2f} "
            f"| {row['peak MiB']:.0f} |"
        )


def main() -> None:
    """Compare, or be one of those that are compared."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="small,medium,cifar")
    parser.add_argument("--images", default="16,64")
    parser.add_argument("--variants", default="plain,fp32,bf16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        case, images, variant = given.one
        print(json.dumps(measure(CASES[case], int(images), variant, given.seconds)))
        return
    rows = compare(given)
    show(rows)
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
