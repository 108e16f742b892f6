"""The README's picture of the model in the package: python docs/make_demo_picture.py FILE

Left what `nkca-sample demo --num-samples=16 --save-grid` draws, right the first sixteen pictures of
Fashion-MNIST's test split, which the model was not trained on (Debian's package dataset-fashion-mnist).
"""

import sys
from pathlib import Path

import numpy as np
from make_fashion_mnist import read_split

import nkca

SOURCE = Path("/usr/share/datasets/fashion-mnist")
COLUMNS, GAP = 4, 12


def main(file: Path) -> None:
    """Draw, put side by side, save."""
    samples = nkca.sample(nkca.load_model("demo"), range(COLUMNS**2))
    real = read_split(SOURCE, "test")[0][: COLUMNS**2, :, :, None]
    sheets = [nkca.contact_sheet(images, columns=COLUMNS) for images in (samples, real)]
    gap = np.full_like(sheets[0][:, :GAP], 255)
    nkca.save_png(file, np.concatenate([sheets[0], gap, sheets[1]], axis=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
