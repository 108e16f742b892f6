"""nkca-sample --truth: what denoised pictures are compared with, and how close they are."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nkca.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from nkca.sampling.plan import SamplePlan


def read_truth(plan: "SamplePlan", path: Path) -> "Tensor":
    """The true picture, uint8 (1, C, H, W); raises `InputError` if it cannot be compared with."""
    from nkca.sampling.inputs import fit_picture

    if plan.request.denoise is None:
        raise InputError(
            "--truth is for --denoise: nkca-sample CKPT IMAGE --denoise=auto --truth=PNG"
        )
    if len(plan.request.images) != 1:
        raise InputError(f"--truth is of one image, but {len(plan.request.images)} are denoised")
    return fit_picture(path, plan.model.data_shape)[0][None]


def show_likeness(plan: "SamplePlan", truth: "Tensor", files: list[Path]) -> None:
    """Print how close the image and its denoised pictures are to the truth."""
    from nkca.metrics.psnr_ssim import WINDOW, psnr, ssim
    from nkca.sampling.inputs import read_picture

    channels, *size = plan.model.data_shape
    image = plan.pictures[plan.request.images[0]]
    made = {path.name: read_picture(path, channels) for path in files if "_seed_" in path.name}
    for name, picture in {"the image": image, **made}.items():
        line = f"  PSNR {psnr(picture[None], truth).item():.2f} dB"
        if min(size) >= WINDOW:
            line += f", SSIM {ssim(picture[None], truth).item():.4f}"
        click.echo(f"{line}: {name}")
