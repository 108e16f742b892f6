"""Pictures of the models in the package: python docs/make_demo_picture.py DIR

Makes demo-model.png, demo-emoji.png and demo-pixels.png: left what `nkca-sample demo --num-samples=48` and
the others draw, seeds 0 to 47 without a choice, right as many real pictures: the first of Fashion-MNIST's
test split (Debian's package dataset-fashion-mnist), emoji and pixel art spread over their sets.
"""

import sys
from pathlib import Path

import numpy as np
from make_fashion_mnist import read_split

import nkca
from nkca.config.parsing import configure
from nkca.data.dataset import load_dataset
from nkca.demo import DEMO, DEMO_EMOJI, DEMO_PIXELS
from nkca.pictures.grid import Pictures

SOURCE = Path("/usr/share/datasets/fashion-mnist")
COLUMNS, COUNT, GAP = 8, 48, 12


def side_by_side(name: str, real: Pictures) -> Pictures:
    """Samples of the model of that name, and real pictures."""
    samples = nkca.sample(nkca.load_model(name), range(COUNT))
    sheets = [nkca.contact_sheet(images, columns=COLUMNS) for images in (samples, real)]
    gap = np.full_like(sheets[0][:, :GAP], 255)
    return np.concatenate([sheets[0], gap, sheets[1]], axis=1)


def main(directory: Path) -> None:
    """Draw, put side by side, save."""
    clothes = read_split(SOURCE, "test")[0][:COUNT, :, :, None]
    nkca.save_png(directory / "demo-model.png", side_by_side(DEMO, clothes))
    for name, channels in ((DEMO_EMOJI, 3), (DEMO_PIXELS, 4)):
        images = load_dataset(configure({"dataset": name, "channels": channels}).data).images
        spread = images[:: len(images) // COUNT][:COUNT]
        nkca.save_png(directory / f"{name}.png", side_by_side(name, spread))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
