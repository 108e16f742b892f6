"""Does a training step gain when malloc keeps what is freed? Processes in turns, both kinds.

python benchmarks/allocator.py [--rounds 3]
"""

import argparse
import copy
import resource
import statistics
import subprocess
import sys
import time

STEPS, BATCH = 25, 32


def measure(keep: bool) -> tuple[float, float]:
    """Images/s and page faults a step of the demo's model, in this process."""
    from nkca.system.allocator import keep_freed_memory

    if keep and not keep_freed_memory():
        sys.exit("malloc cannot be told here")
    import torch

    from nkca.config.schema import ModelConfig, TrainingConfig
    from nkca.models.build import ModelSpec, assemble, new_denoiser
    from nkca.noise import step_noise
    from nkca.training.build import build_learner
    from nkca.training.learner import TrainingProgress

    config = ModelConfig(hidden_size=32, dim_mults=(1, 2, 2), parametrisation="preconditioned")
    spec = ModelSpec(config, (1, 28, 28), 0.7)
    network = new_denoiser(spec, seed=0)
    chain = assemble(spec, network, device=torch.device("cpu"), precision="auto").chain
    learner = build_learner(TrainingConfig(), chain, network, copy.deepcopy(network))
    z, progress = torch.rand(BATCH, 1, 28, 28), TrainingProgress()
    for step in range(STEPS + 3):
        if step == 3:
            faults, began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.monotonic()
        progress = learner.step(progress, z, step_noise(0, step, 0, BATCH)).progress
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return STEPS * BATCH / (time.monotonic() - began), faults / STEPS


def main() -> None:
    """Run both kinds in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=["default", "keep"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(*measure(arguments.one == "keep"))
        return
    found: dict[str, list[tuple[float, ...]]] = {"default": [], "keep": []}
    for _ in range(arguments.rounds):
        for kind, rows in found.items():
            command = [sys.executable, __file__, "--one", kind]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append(tuple(map(float, output.split())))
    for kind, rows in found.items():
        speed, faults = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{kind:<8} {speed:6.1f} images/s  {faults:8.0f} page faults a step")


if __name__ == "__main__":
    main()
