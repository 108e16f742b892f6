"""How good are denoising, inpainting and super-resolution with the packaged models, against plain filters?

    python benchmarks/tasks.py [--images 50] [--denoised 200] [--only TEXT] [--out benchmarks/tasks]

Test images of Fashion-MNIST, which the model `demo` has not seen, 8 bits all along: noisy images are
cut off at 0 and 255 as files are. `demo-emoji` has no test images: its rows are of pictures that it was
trained on.
PSNR and SSIM are means over images; the distance is that of EfficientNet-Lite0's features, the mean over
images of 1 - cosine. Rows that OUT.json has are not measured again; sheets go to OUT/.
Needs Debian's dataset-fashion-mnist, scikit-image (for the non-local means) and scipy.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means
from torch import Tensor

import nkca
from nkca.data.dataset import load_dataset
from nkca.denoisers.conditions.block_means import block_means
from nkca.kernels.continuous import level_of_sigma, sigma_of_level
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.psnr_ssim import psnr, ssim
from nkca.models.model import Model
from nkca.pictures.grid import contact_sheet
from nkca.pictures.png import save_png
from nkca.pixels import as_pictures, to_rgb
from nkca.sampling.denoise import denoise, estimate_level
from nkca.sampling.exact_bytes import luma
from nkca.sampling.known import KNOWING, grey_values, small_version
from nkca.sampling.tasks import (
    INPAINTING,
    Known,
    Schedule,
    Task,
    draw_task,
    from_noise,
    inpaint,
    knowing,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
from make_fashion_mnist import SOURCE, read_split

SIGMAS = (10, 25, 50)  # of the noise, in grey levels
SHOWN, BATCH = 10, 25
OWN = Schedule()
Image64 = npt.NDArray[np.float64]
Row = Callable[[Tensor], tuple[Tensor, Tensor]]
"""uint8 images -> what they became, and the truth."""


def fashion(count: int) -> Tensor:
    """Test images, uint8 (N, 1, 28, 28)."""
    return torch.tensor(read_split(SOURCE, "test")[0][:count]).unsqueeze(1)


def emoji(count: int) -> Tensor:
    """Training images, uint8 (N, 3, 32, 32)."""
    images = torch.tensor(load_dataset(nkca.configure({"dataset": "demo-emoji"}).data).images)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images.movedim(-1, 1)[order[:count]]


def noisy(images: Tensor, sigma: float) -> Tensor:
    """With normal noise, as 8-bit files."""
    random = torch.Generator().manual_seed(1)
    added = images + sigma * torch.randn(images.shape, generator=random)
    return added.round().clamp(0, 255).to(torch.uint8)


def each_image(function: Callable[[Image64], Image64], images: Tensor) -> Tensor:
    """A filter of float images (H, W) in 0..1, of images of one channel."""
    made = [function(image[0].double().numpy() / 255) for image in images]
    return torch.tensor(np.stack(made)).mul(255).round().clamp(0, 255).to(torch.uint8)[:, None]


def best_gaussian(images: Tensor, truth: Tensor) -> Tensor:
    """A Gaussian filter of the width that is best for this truth, which is more than a user knows."""
    widths = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.3)
    tried = [each_image(partial(gaussian_filter, sigma=w), images) for w in widths]
    return max(tried, key=lambda made: psnr(made, truth).mean().item())


def best_non_local(sigma: float, images: Tensor, truth: Tensor) -> Tensor:
    """Non-local means, fast mode off, the h that is best for this truth."""

    def filtered(h: float) -> Tensor:
        s = sigma / 255
        return each_image(
            lambda x: denoise_nl_means(x, 5, 6, h=h * s, sigma=s, fast_mode=False), images
        )

    return max(
        map(filtered, (0.4, 0.6, 0.8, 1.0)), key=lambda made: psnr(made, truth).mean().item()
    )


def in_batches(model: Model, count: int, task: Callable[[slice], Task], way: Schedule) -> Tensor:
    """The pictures of a task, uint8 (count, C, H, W)."""
    parts = [slice(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]
    return torch.cat([draw_task(model, task(rows), way) for rows in parts])


def seeds(rows: slice) -> range:
    """A seed for each image."""
    return range(rows.start, rows.stop)


def told(model: Model, fact: Callable[[slice], Known], way: Schedule, images: Tensor) -> Tensor:
    """As many samples as images, of which something is known."""

    def task(rows: slice) -> Task:
        return knowing(from_noise(seeds(rows)), fact(rows))

    return in_batches(model, len(images), task, way)


def denoised(model: Model, sigma: float, way: Schedule, images: Tensor, _truth: Tensor) -> Tensor:
    """By the model, which is told the level."""
    level = level_of_sigma(sigma / 127.5)
    return in_batches(
        model, len(images), lambda rows: denoise(images[rows], level, seeds(rows)), way
    )


def denoised_as_estimated(model: Model, images: Tensor, _truth: Tensor) -> Tensor:
    """By the model, which finds the level of each image."""
    levels = [estimate_level(model, image) for image in images]
    tasks = [denoise(image[None], b, [0]) for image, b in zip(images, levels, strict=True)]
    return torch.cat([draw_task(model, task, OWN) for task in tasks])


def denoising_rows(model: Model) -> Iterator[tuple[str, Row]]:
    """Every filter at every level."""
    for sigma in SIGMAS:
        ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "nothing": lambda images, _truth: images,
            "Gaussian filter, best width": best_gaussian,
            "non-local means, best h": partial(best_non_local, sigma),
            "denoise": partial(denoised, model, sigma, OWN),
            "denoise, 9 steps down": partial(denoised, model, sigma, Schedule(num_steps=9)),
            "denoise=auto": partial(denoised_as_estimated, model),
        }
        for name, way in ways.items():
            yield f"denoising, noise {sigma}: {name}", partial(of_noisy, sigma, way)


def of_noisy(
    sigma: float, way: Callable[[Tensor, Tensor], Tensor], truth: Tensor
) -> tuple[Tensor, Tensor]:
    """What a filter makes of noisy images."""
    return way(noisy(truth, sigma), truth), truth


def small_rows(model: Model, name: str) -> Iterator[tuple[str, Row]]:
    """Super-resolution by the model and by bicubic interpolation."""
    for side in (2, 4):
        yield f"{name} x{side}: bicubic", partial(bicubic, side)
        yield f"{name} x{side}: upscale", partial(upscaled, model, side, KNOWING)
        own = f"{name} x{side}: upscale, the model's own sampler"
        yield own, partial(upscaled, model, side, model_way(model))


def small(images: Tensor, side: int) -> Tensor:
    """Means of blocks as bytes."""
    return block_means(images.double(), side).round().to(torch.uint8)


def bicubic(side: int, images: Tensor) -> tuple[Tensor, Tensor]:
    """Pillow's, of small images."""
    size, channels = (images.shape[3], images.shape[2]), images.shape[1]
    made = []
    for picture in as_pictures(small(images, side)):
        image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
        large = np.array(image.resize(size, Image.Resampling.BICUBIC))
        made.append(torch.tensor(large).view(*size[::-1], channels).movedim(-1, 0))
    return torch.stack(made), images


def upscaled(model: Model, side: int, way: Schedule, images: Tensor) -> tuple[Tensor, Tensor]:
    """By the model, of small images."""
    low = small(images, side)
    return told(model, lambda rows: small_version(low[rows], model), way, images), images


def inpainting_rows(model: Model) -> Iterator[tuple[str, Row]]:
    """A square of a quarter of the picture is removed: the centre."""
    yield "inpainting of 25 %: the mean of the rest", mean_of_rest
    yield "inpainting of 25 %: inpaint", partial(inpainted, model, INPAINTING)
    own = "inpainting of 25 %: inpaint, the model's own sampler"
    yield own, partial(inpainted, model, model_way(model))


def centre() -> Tensor:
    """Where a quarter of the picture is removed."""
    repaint = torch.zeros(28, 28, dtype=torch.bool)
    repaint[7:21, 7:21] = True
    return repaint


def inpainted(model: Model, way: Schedule, images: Tensor) -> tuple[Tensor, Tensor]:
    """By the model, which does not see what was removed."""
    removed = torch.where(centre(), 128, images).to(torch.uint8)

    def task(rows: slice) -> Task:
        return inpaint(removed[rows], centre(), seeds(rows))

    return in_batches(model, len(images), task, way), images


def mean_of_rest(images: Tensor) -> tuple[Tensor, Tensor]:
    """The removed part in the mean grey of the rest."""
    kept = (images * ~centre()).double().flatten(1).sum(1) / (~centre()).sum()
    return torch.where(centre(), kept.view(-1, 1, 1, 1).round(), images).to(torch.uint8), images


def model_way(model: Model) -> Schedule:
    """How the model makes new images."""
    own = model.sampling
    return Schedule(
        num_steps=own.num_sampling_steps,
        ladder=own.ladder,
        sampler=own.sampler,
        guidance=model.guidance,
    )


def colour_rows(model: Model) -> Iterator[tuple[str, Row]]:
    """Colours of emoji from their grey values."""
    yield "emoji, colours: grey", lambda images: (as_grey(images).expand_as(images), images)
    yield "emoji, colours: grey-from", partial(coloured, model, KNOWING)
    own = "emoji, colours: grey-from, the model's own sampler"
    yield own, partial(coloured, model, model_way(model))


def as_grey(images: Tensor) -> Tensor:
    """uint8 (B, 1, H, W)."""
    return luma(images).to(torch.uint8)


def coloured(model: Model, way: Schedule, images: Tensor) -> tuple[Tensor, Tensor]:
    """By the model, of grey images."""
    grey = as_grey(images)
    return told(model, lambda rows: grey_values(grey[rows]), way, images), images


def laplacian_sigma(image: Tensor) -> float:
    """The noise in an image (H, W): 1.4826 times the median size of a Laplacian, whose noise is 6 sigma."""
    line = torch.tensor([1.0, -2.0, 1.0], dtype=image.dtype)
    values = torch.nn.functional.conv2d(image[None, None], torch.outer(line, line)[None, None])
    return 1.4826 * values.abs().median().item() / 6


def level_row(images: Tensor, model: Model) -> dict[str, float]:
    """How well the level is estimated: the median of estimate / truth, by both estimators."""
    found: dict[str, float] = {}
    for sigma in SIGMAS:
        files = noisy(images, sigma)
        by_network = [127.5 * sigma_of_level(estimate_level(model, image)) for image in files]
        by_laplacian = [laplacian_sigma(image[0].double()) for image in files]
        for name, estimates in (("network", by_network), ("Laplacian", by_laplacian)):
            ratios = np.array(estimates) / sigma
            found |= {f"{name} {sigma}: median ratio": round(float(np.median(ratios)), 3)}
            off = np.median(np.abs(np.log(np.maximum(ratios, 1e-3))))
            found |= {f"{name} {sigma}: median error, %": round(100 * float(np.expm1(off)), 1)}
    return found


def distance(made: Tensor, truth: Tensor) -> float:
    """Of features, the mean over images."""
    extractor = open_extractor("efficientnet-lite0", torch.device("cpu"))
    with torch.inference_mode():
        a, b = (extractor(to_rgb(images)).features for images in (made, truth))
    return float(1 - torch.cosine_similarity(a, b).mean())


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--denoised", type=int, default=200)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    options = parser.parse_args()
    file = options.out.with_suffix(".json")
    options.out.mkdir(parents=True, exist_ok=True)
    table = json.loads(file.read_text()) if file.exists() else {}
    clothes = nkca.load_model("demo", device="cpu")
    colours = nkca.load_model("demo-emoji", device="cpu")
    some, many = fashion(options.images), fashion(options.denoised)
    pictures = emoji(options.images)
    rows = [
        *((name, row, many) for name, row in denoising_rows(clothes)),
        *((name, row, some) for name, row in inpainting_rows(clothes)),
        *((name, row, some) for name, row in small_rows(clothes, "clothes")),
        *((name, row, pictures) for name, row in small_rows(colours, "emoji")),
        *((name, row, pictures) for name, row in colour_rows(colours)),
    ]
    for name, row, images in rows:
        if name in table or options.only not in name:
            continue
        start = time.process_time()
        made, truth = row(images)
        table[name] = {
            "images": len(images),
            "PSNR": round(float(psnr(made, truth).clamp(max=99).mean()), 2),
            "SSIM": round(float(ssim(made, truth).mean()), 4),
            "CPU seconds": round(time.process_time() - start, 1),
        }
        if not name.startswith("denoising"):
            table[name]["distance"] = round(distance(made, truth), 4)
        print(name, table[name], flush=True)
        file.write_text(json.dumps(table, indent=1) + "\n")
        sheet = contact_sheet(as_pictures(torch.cat([truth[:SHOWN], made[:SHOWN]])), columns=SHOWN)
        save_png(options.out / f"{name.replace(': ', '_').replace(' ', '-')}.png", sheet)
    if "levels" not in table and options.only in "levels":
        table["levels"] = level_row(fashion(min(50, options.denoised)), clothes)
        print(table["levels"])
        file.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
