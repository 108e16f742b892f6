"""How fast is a training step, against a plain one and against what the machine can do?

    python benchmarks/train_step.py [--cases small,medium,cifar] [--variants plain,fp32,auto]
                                    [--rounds 3] [--seconds 8] [--json FILE]

Each variant of each case is a process of its own (malloc's settings belong to the process), in turns within
each round. "plain" is the yardstick: NCHW, float32, eager, PyTorch's layers, per-tensor Adam and average,
the level embedding enlarged to the image, malloc as it comes. "fp32" and "auto" are nkca-train with that
--precision; "eager" is auto with --compile=off. GFLOP/s count convolutions and matrix products of a step as
the yardstick does them, without that enlargement, so that they compare; the machine's best figures are
measured in the same run.
"""

import argparse
import copy
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nkca import levels
from nkca.config.schema import ModelConfig, TrainingConfig
from nkca.models.build import ModelSpec, assemble, new_denoiser
from nkca.networks import compilation, layers
from nkca.networks.layers import EmbeddingBlock
from nkca.networks.norm_mish import GateAndSkip
from nkca.noise import Noise, step_noise
from nkca.system.allocator import keep_freed_memory
from nkca.training.build import build_learner
from nkca.training.learner import Learner, TrainingProgress
from nkca.training.objective import contrastive_adjustment

WARM_UP = 3
CPU = torch.device("cpu")
VARIANTS = {"fp32": ("fp32", "auto"), "auto": ("auto", "auto"), "eager": ("auto", "off")}


@dataclass(frozen=True)
class Case:
    """A model and a batch."""

    hidden_size: int
    dim_mults: tuple[int, ...]
    side: int
    batch: int


CASES = {
    "small": Case(32, (1, 2, 2), 28, 128),
    "medium": Case(64, (1, 2, 2), 28, 128),
    "cifar": Case(128, (1, 2, 4, 8), 32, 32),
}


def plain_norm_mish(
    x: Tensor,
    norm: nn.GroupNorm,
    shift: Tensor | None = None,
    residual: GateAndSkip | None = None,
) -> Tensor:
    """As `norm_mish`, by PyTorch's layers."""
    out = functional.mish(norm(x))
    out = out if shift is None else out + shift
    return out if residual is None else residual[0] * out + residual[1]


class EnlargedEmbeddingBlock(EmbeddingBlock):
    """The block with the embedding as large as the image, as the original has it."""

    def forward(self, x: Tensor, embedding: Tensor, residual: GateAndSkip | None = None) -> Tensor:
        """As `EmbeddingBlock`; the same numbers."""
        large = embedding.expand(-1, -1, *x.shape[2:]).contiguous()
        shifted = self.block1(x) + self.embedding(functional.mish(large))
        out: Tensor = self.block2(shifted, residual=residual)
        return out


class PlainLearner:
    """Algorithm 2 as one writes it down first."""

    def __init__(self, case: Case) -> None:
        self.network = plain_network_of(case)
        self.ema_network = copy.deepcopy(self.network)
        spec = spec_of(case)
        self.chain, self.draw = assemble(spec, self.network, device=CPU).chain, levels.uniform(0.01)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4, foreach=False)

    def step(self, z: Tensor, noise: Noise) -> None:
        """One step."""
        b = self.draw(noise, z.device)
        loss = contrastive_adjustment(self.chain, z, b, noise).loss.mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            for mean, weight in zip(
                self.ema_network.parameters(), self.network.parameters(), strict=True
            ):
                mean.mul_(0.999).add_(weight, alpha=0.001)


def spec_of(case: Case) -> ModelSpec:
    """What the case's model is built from."""
    config = ModelConfig(hidden_size=case.hidden_size, dim_mults=case.dim_mults)
    return ModelSpec(config, (3, case.side, case.side), 0.5)


def network_of(case: Case) -> nn.Module:
    """Its network."""
    return new_denoiser(spec_of(case), seed=0)


def plain_network_of(case: Case) -> nn.Module:
    """Its network as one writes it down first."""
    setattr(layers, "mish", functional.mish)  # noqa: B010
    network = network_of(case)
    layers.use_norm_mish(network, plain_norm_mish)
    for module in network.modules():
        if isinstance(module, EmbeddingBlock):
            module.__class__ = EnlargedEmbeddingBlock
    return network


class Engine:
    """The engine, as nkca-train has it with ``--precision`` and ``--compile``."""

    def __init__(self, case: Case, precision: str, choice: str = "auto") -> None:
        self.learner = learner_of(case, precision, choice)
        self.progress = TrainingProgress()

    def step(self, z: Tensor, noise: Noise) -> None:
        """One step."""
        self.progress = self.learner.step(self.progress, z, noise).progress


def learner_of(case: Case, precision: str, choice: str) -> Learner:
    """What it takes its steps with."""
    network = compilation.compile_network(network_of(case), CPU, choice)
    chain = assemble(spec_of(case), network, device=CPU, precision=precision).chain
    return build_learner(TrainingConfig(), chain, network, copy.deepcopy(network))


def measure(case: Case, variant: str, seconds: float) -> dict[str, float]:
    """Images/s, page faults a step and the peak of resident memory in MiB, of this process."""
    if variant != "plain":
        keep_freed_memory()
    learner = PlainLearner(case) if variant == "plain" else Engine(case, *VARIANTS[variant])
    z = torch.rand(case.batch, 3, case.side, case.side, generator=torch.Generator().manual_seed(0))
    times: list[float] = []
    while len(times) < WARM_UP + 2 or sum(times[WARM_UP:]) < seconds:
        if len(times) == WARM_UP:
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        start = time.perf_counter()
        learner.step(2 * z - 1, step_noise(0, len(times), 0, case.batch))
        times.append(time.perf_counter() - start)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "images/s": case.batch / statistics.median(times[WARM_UP:]),
        "faults a step": (used.ru_minflt - faults) / (len(times) - WARM_UP),
        "peak MiB": used.ru_maxrss / 1024,
    }


def flops_an_image(case: Case) -> float:
    """Convolutions and matrix products of a step: two evaluations and one backward pass."""
    learner = Engine(case, "fp32", "off")
    from torch.utils.flop_counter import FlopCounterMode  # not in the processes that are measured

    with FlopCounterMode(display=False) as counter:
        learner.step(torch.zeros(2, 3, case.side, case.side), step_noise(0, 0, 0, 2))
    return float(counter.get_total_flops()) / 2


def machine(_: float = 0) -> dict[str, float]:
    """The best GFLOP/s of a 3 x 3 convolution, forward and backward, and of a matrix product."""
    keep_freed_memory()
    found: dict[str, float] = {}
    for kind in (torch.float32, torch.bfloat16):
        name = str(kind).removeprefix("torch.")
        a, b = (torch.randn(2048, 2048, dtype=kind) for _ in range(2))
        found[f"product {name}"] = 2 * 2048**3 / best(torch.matmul, a, b) / 1e9
        rates = []
        for width, side, batch in ((64, 28, 32), (128, 32, 16), (256, 16, 32), (512, 8, 64)):
            conv = nn.Conv2d(width, width, 3, padding=1).to(kind)
            conv = conv.to(memory_format=torch.channels_last)
            x = torch.randn(batch, width, side, side, dtype=kind)
            x = x.to(memory_format=torch.channels_last).requires_grad_()
            flops = 3 * 2 * 9 * width**2 * side**2 * batch
            rates.append(flops / best(there_and_back, conv, x) / 1e9)
        found[f"convolution {name}"] = max(rates)
    return found


def there_and_back(conv: nn.Conv2d, x: Tensor) -> None:
    """A convolution and its gradients."""
    conv(x).backward(x)


def best(work: Callable[..., object], *arguments: object) -> float:
    """The shortest of many runs, in seconds."""
    times = []
    for _ in range(15):
        start = time.perf_counter()
        work(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def in_a_process(script: str, *arguments: str) -> dict[str, float]:
    """What a script prints with these arguments."""
    command = [sys.executable, script, *arguments]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(result.stdout)
    return found


def compare(cases: list[str], variants: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Medians over rounds, by case and variant."""
    found: dict[str, Any] = {"machine": in_a_process(__file__, "--machine"), "cases": {}}
    for case in cases:
        rows: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
        for _ in range(rounds):
            for variant in variants:
                rows[variant].append(
                    in_a_process(__file__, "--one", case, variant, "--seconds", str(seconds))
                )
        flops = flops_an_image(CASES[case])
        found["cases"][case] = medians = {}
        for variant, values in rows.items():
            row = {key: statistics.median(v[key] for v in values) for key in values[0]}
            medians[variant] = row | {"GFLOP/s": row["images/s"] * flops / 1e9}
    return found


def show(found: dict[str, Any]) -> None:
    """The tables."""
    print("the machine, GFLOP/s: " + ", ".join(f"{k} {v:.0f}" for k, v in found["machine"].items()))
    print("| case | variant | images/s | GFLOP/s | x plain | peak MiB | faults a step |")
    print("|---|---|---|---|---|---|---|")
    for case, rows in found["cases"].items():
        base = rows.get("plain", {}).get("images/s", float("nan"))
        for variant, row in rows.items():
            print(
                f"| {case} | {variant} | {row['images/s']:.1f} | {row['GFLOP/s']:.0f} "
                f"| {row['images/s'] / base:.2f} | {row['peak MiB']:.0f} "
                f"| {row['faults a step']:.0f} |"
            )


def main() -> None:
    """Compare, or be one of those that are compared."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="small,medium,cifar")
    parser.add_argument("--variants", default="plain,fp32,auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--machine", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one or given.machine:
        one = given.one and measure(CASES[given.one[0]], given.one[1], given.seconds)
        print(json.dumps(one or machine()))
        return
    found = compare(given.cases.split(","), given.variants.split(","), given.rounds, given.seconds)
    show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
