"""Which parametrisation learns faster? Both trained in turns, step by step, on the same batches.

Prints the mean squared error of the mode of p(z|x), states in [-1, 1], on images that were not
trained on, for the averaged weights, and writes a sheet of samples for each.

    python benchmarks/parametrisation.py [--steps 700] [--out DIR]
"""

import argparse
import itertools
from pathlib import Path

import torch

import nkca
from nkca.config.parsing import configure
from nkca.data.dataset import batches
from nkca.noise import derive_seed, sample_noise
from nkca.pixels import as_tensor
from nkca.runs.run import Run, take_step
from nkca.runs.start import prepare

OPTIONS = {
    "recipe": "paper",
    "dataset": "demo",
    "parametrisation": "preconditioned",
    "hidden_size": 32,
    "dim_mults": [1, 2, 2],
    "max_time": 300,
    "lr": 1e-3,
    "lr_warmup": 100,
    "grad_clip": 100,
    "ema_decay": 0.995,
    "ema_warmup": True,
}
LEVELS = (0.01, 0.03, 0.1, 0.3, 0.6)
HELD_OUT = 200  # of the demo set's 2,000: every tenth image


def denoising_error(run: Run, images: torch.Tensor, level: float) -> float:
    """Mean squared error of the mode of p(z|x) for uint8 images (N, C, H, W) noised to ``level``."""
    z = run.ema_model.pixels.to_state(images)
    b = torch.full((len(z),), level)
    noise = sample_noise([derive_seed("held out", row) for row in range(len(z))])
    x = run.ema_model.chain.kernel.add_noise(z, b).sample(noise)
    with torch.inference_mode():
        return float((run.ema_model.chain.denoiser(x, b).mode() - z).square().mean())


def main() -> None:
    """Train both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--out", type=Path, default=Path("runs/parametrisation"))
    arguments = parser.parse_args()
    options = OPTIONS
    runs = {
        name: prepare({**options, "parametrisation": name}, arguments.out / name).run
        for name in ("paper", "preconditioned")
    }
    config = configure(options).training
    images = next(iter(runs.values())).images.images
    is_held_out = [number % (len(images) // HELD_OUT) == 0 for number in range(len(images))]
    held_out = as_tensor(images[is_held_out])
    trained_on = images[[not held for held in is_held_out]]
    supply = batches(trained_on, config.batch_size, config.seed)
    for step, batch in enumerate(itertools.islice(supply, arguments.steps)):
        for run in runs.values():
            run.progress = take_step(run, batch, step).progress
    print(
        f"{arguments.steps} steps of {config.batch_size}, {len(held_out)} held-out images, seed 0"
    )
    print("level           " + "".join(f"{level:>9}" for level in LEVELS))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        errors = [denoising_error(run, held_out, level) for level in LEVELS]
        print(f"{name:<16}" + "".join(f"{error:>9.4f}" for error in errors))
        sheet = nkca.grid(nkca.sample(run.ema_model, range(48)), columns=12)
        nkca.save_png(arguments.out / f"{name}.png", sheet)


if __name__ == "__main__":
    main()
