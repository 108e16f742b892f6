"""What nkca is compared with, each as its own users would run it on small grey images.

They are in the extra "peers". Networks are about as large as nkca's of hidden size 32; learning rates are
those that suit ten minutes, since the peers' own defaults are for days. A schedule follows the share of the
budget that is done, so that all are given the same CPU time.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Images = npt.NDArray[np.uint8]
Sample = Callable[[int], Images]


@dataclass(frozen=True)
class Peer:
    """A training in progress.

    Args:
        step: takes float32 images (B, 1, 28, 28) in [-1, 1] and the share that is done; learns from them.
        sample: draws N pictures with the averaged weights.
    """

    step: Callable[[Tensor, float], None]
    sample: Sample
    batch_size: int
    evaluations: int


def _bytes(images: Tensor) -> Images:
    """[-1, 1] -> bytes."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte()[:, 0].numpy()


def _average(average: nn.Module, network: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for old, new in zip(average.parameters(), network.parameters(), strict=True):
            old.lerp_(new, 1 - decay)


def _batches(count: int, size: int = 100) -> Iterator[int]:
    for first in range(0, count, size):
        yield min(size, count - first)


def denoising_diffusion_pytorch(seed: int) -> Peer:
    """Its Trainer: Adam, average 0.995 every 10 steps, gradients clipped at 1; 50 steps of DDIM."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    torch.manual_seed(seed)
    unet = Unet(dim=32, dim_mults=(1, 2, 2), channels=1, flash_attn=False)
    diffusion = GaussianDiffusion(unet, image_size=28, timesteps=1000, sampling_timesteps=50)
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=1e-3, betas=(0.9, 0.99))
    average = EMA(diffusion, beta=0.995, update_every=10)

    def step(images: Tensor, _share: float) -> None:
        loss = diffusion((images + 1) / 2)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        average.update()

    def sample(count: int) -> Images:
        parts = [average.ema_model.sample(batch_size=size) for size in _batches(count)]
        return _bytes(torch.cat(parts) * 2 - 1)

    return Peer(step, sample, batch_size=32, evaluations=50)


def diffusers(seed: int) -> Peer:
    """Its unconditional example: AdamW, warm-up and a cosine, an average; 25 of DPM-Solver++."""
    from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel

    torch.manual_seed(seed)
    network = UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )
    average = copy.deepcopy(network).requires_grad_(False)
    noising = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=1e-3, betas=(0.95, 0.999), weight_decay=1e-6
    )
    done = 0

    def step(images: Tensor, share: float) -> None:
        nonlocal done
        done += 1
        noise = torch.randn_like(images)
        times = torch.randint(0, 1000, (len(images),))
        noisy = noising.add_noise(images, noise, times)
        loss = nn.functional.mse_loss(network(noisy, times).sample, noise)
        optimizer.param_groups[0]["lr"] = (
            1e-3 * min(1, done / 100) * (1 + np.cos(np.pi * share)) / 2
        )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        _average(average, network, min(0.999, 1 - (1 + done) ** -0.75))

    @torch.no_grad()
    def sample(count: int) -> Images:
        solver = DPMSolverMultistepScheduler.from_config(noising.config)
        parts = []
        for size in _batches(count):
            solver.set_timesteps(25)
            images = torch.randn(size, 1, 28, 28)
            for time in solver.timesteps:
                images = solver.step(average(images, time).sample, time, images).prev_sample
            parts.append(images)
        return _bytes(torch.cat(parts))

    return Peer(step, sample, batch_size=32, evaluations=25)


PEERS = {"denoising-diffusion-pytorch": denoising_diffusion_pytorch, "diffusers": diffusers}
