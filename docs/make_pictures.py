"""Make pictures of README.md and docs/: new clothes from a trained run, the others from the packaged model.

    python docs/make_pictures.py RUN_DIRECTORY OUTPUT_DIRECTORY

`make pictures` calls it with the demo's run, which it trains if need be.
"""

import sys
from pathlib import Path

import numpy as np
import torch

import nkca
from nkca.config.data import DataConfig
from nkca.data.dataset import load_dataset
from nkca.models.model import Model
from nkca.pictures.animation import save_animation
from nkca.pictures.grid import Pictures
from nkca.pixels import as_pictures
from nkca.sampling.tasks import Schedule

VARIANT_LEVELS = (0.1, 0.3, 0.5)
SOURCES = (1, 905, 1607)  # of the demo set: sources of variants and inpainting


def clothes(model: Model) -> Pictures:
    """Forty-eight new pictures, seeds 0-47."""
    images = nkca.sample(model, range(48))
    return nkca.contact_sheet(images, columns=12)


def variants(model: Model, images: Pictures) -> Pictures:
    """A row for each image: itself, then three variants at each of the levels."""
    rows = []
    for image in images:
        rows.append(image[None])
        for level in VARIANT_LEVELS:
            rows.append(nkca.sample(model, range(3), image, schedule=Schedule(level)))
    return nkca.contact_sheet(np.concatenate(rows), columns=1 + 3 * len(VARIANT_LEVELS))


def inpainting(model: Model, images: Pictures) -> Pictures:
    """A row for each image: itself, what is held, eight repaintings of the lower half."""
    height, width = model.data_shape[1:]
    repaint = np.zeros((height, width), bool)
    repaint[height // 2 :] = True
    rows = []
    for image in images:
        held = np.where(repaint[..., None], 128, image).astype(np.uint8)
        rows.append(np.stack([image, held]))
        rows.append(nkca.sample(model, range(8), image, repaint))
    return nkca.contact_sheet(np.concatenate(rows), columns=10)


@torch.inference_mode()
def chain(model: Model, level: float, num_steps: int) -> list[Pictures]:
    """Frames of eight chains that start from noise, come down to ``level`` and stay there."""
    levels = [*nkca.anneal(1, level, 50), *[level] * num_steps]
    noise = nkca.sample_noise(range(8))
    x = model.chain.kernel.prior((8, *model.data_shape)).sample(noise)
    frames = []
    for state in nkca.run_chain(model.chain, x, levels, noise):
        pictures = as_pictures(model.pixels.to_uint8(state.p_z.mode()))
        frames.append(nkca.contact_sheet(pictures, columns=8))
    return frames[::3]


def main(run: Path, out: Path) -> None:
    """Write all pictures into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    nkca.save_png(out / "clothes.png", clothes(nkca.load_model(run)))
    model = nkca.load_model("demo")
    images = load_dataset(DataConfig(dataset="demo")).images[list(SOURCES)]
    nkca.save_png(out / "variants.png", variants(model, images))
    nkca.save_png(out / "inpainting.png", inpainting(model, images))
    save_animation(out / "chain.gif", chain(model, 0.3, 60))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
