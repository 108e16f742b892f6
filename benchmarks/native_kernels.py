"""What does the native kernel add to a whole step, on the networks that people use?

    python benchmarks/native_kernels.py [--cases "recommended;small"] [--precisions bf16,fp32]
                                        [--work train,sample] [--rounds 5] [--threads 2]

Each variant has what the one before it has and one thing more: channels-last memory, GroupNorm with Mish
("auto" of nkca-train). Within a round the variants take turns, in one process; a figure is the median over
rounds, its gain the median of the rounds' own ratios. "train" is a step of contrastive adjustment, two
evaluations and one backward pass, "sample" one evaluation.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from nkca.config.schema import ModelConfig, TrainingConfig
from nkca.models.build import ModelSpec, assemble, new_denoiser
from nkca.networks.compilation import compile_network
from nkca.noise import step_noise
from nkca.system.allocator import keep_freed_memory
from nkca.training.build import build_learner
from nkca.training.learner import TrainingProgress

CPU = torch.device("cpu")
VARIANTS = ("plain", "channels last", "+ GroupNorm and Mish")


@dataclass(frozen=True)
class Case:
    """A network and a batch; the channels are those of the images."""

    model: ModelConfig
    shape: tuple[int, int, int]
    batch: int


def recommended(hidden_size: int, dim_mults: tuple[int, ...]) -> ModelConfig:
    """What `nkca.runs.network_size` chooses."""
    return ModelConfig(
        hidden_size=hidden_size,
        dim_mults=dim_mults,
        parametrisation="preconditioned",
        patch_size=2,
    )


def paper(hidden_size: int, dim_mults: tuple[int, ...]) -> ModelConfig:
    """A network of the paper's kind."""
    return ModelConfig(hidden_size=hidden_size, dim_mults=dim_mults)


CASES = {
    "recommended": Case(recommended(64, (1, 2)), (1, 28, 28), 32),
    "recommended, 2 hours and more": Case(recommended(96, (1, 2)), (1, 28, 28), 32),
    "recommended, 64 x 64": Case(recommended(64, (1, 2, 2)), (3, 64, 64), 32),
    "small": Case(paper(32, (1, 2, 2)), (3, 28, 28), 32),
    "medium": Case(paper(64, (1, 2, 2)), (3, 28, 28), 32),
    "cifar": Case(paper(128, (1, 2, 4, 8)), (3, 32, 32), 16),
}


def network_of(case: Case, variant: str) -> nn.Module:
    """A network with the kernels of a variant."""
    rank = VARIANTS.index(variant)
    network = new_denoiser(ModelSpec(case.model, case.shape, 0.5), seed=0)
    if rank == 0:
        return network
    network = compile_network(network, CPU, "on" if rank > 1 else "off")
    return network.to(memory_format=torch.channels_last)


def work_of(case: Case, variant: str, work: str, precision: str) -> Callable[[], object]:
    """One step of a variant."""
    network = network_of(case, variant)
    spec = ModelSpec(case.model, case.shape, 0.5)
    chain = assemble(spec, network, device=CPU, precision=precision).chain
    z = torch.rand(case.batch, *case.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1

    learner = build_learner(TrainingConfig(), chain, network, copy.deepcopy(network))

    def sample() -> object:
        with torch.no_grad():
            return chain.denoiser(z, torch.full((case.batch,), 0.5))

    def train() -> object:
        return learner.step(TrainingProgress(), z, step_noise(0, 0, 0, case.batch))

    return train if work == "train" else sample


def compare(case: Case, work: str, precision: str, rounds: int) -> None:
    """The rows of one table."""
    steps = {variant: work_of(case, variant, work, precision) for variant in VARIANTS}
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for turn in range(rounds + 1):  # the first is a warm-up
        for variant, step in steps.items():
            step()
            repeats, began = 0, time.perf_counter()
            while time.perf_counter() - began < 0.7 or repeats < 2:
                step()
                repeats += 1
            if turn:
                times[variant].append((time.perf_counter() - began) / repeats)
    for before, variant in zip((None, *VARIANTS), VARIANTS, strict=False):
        rate = case.batch / statistics.median(times[variant])
        gain = (
            ""
            if before is None
            else f"{statistics.median(map(ratio, times[before], times[variant])):.2f}"
        )
        print(f"| | {variant} | {rate:.1f} | {gain} |", flush=True)


def ratio(before: float, after: float) -> float:
    """How many times as fast."""
    return before / after


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=";".join(CASES), help="separated by ';'")
    parser.add_argument("--precisions", default="bf16,fp32")
    parser.add_argument("--work", default="train,sample")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    print("| step | variant | images/s | times the one before |\n|---|---|---|---|")
    for name in given.cases.split(";"):
        for precision in given.precisions.split(","):
            for work in given.work.split(","):
                print(f"| {name}, {precision}, {work} | | | |")
                compare(CASES[name], work, precision, given.rounds)


if __name__ == "__main__":
    main()
