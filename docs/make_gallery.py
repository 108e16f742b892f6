"""Make docs/gallery.md and its pictures: each task on the packaged models, the command under each picture.

    python docs/make_gallery.py [NAME ...]

With names, only these pictures are drawn anew (``moved`` after ``directions``); the page always lists all.
A task is a row of `ROWS`; commands run in its order, in one folder.
"""

import contextlib
import io
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import nkca
from nkca.cli.sample import main as sample
from nkca.config.schema import DataConfig
from nkca.data.dataset import load_dataset

HERE = Path(__file__).parent.absolute()
INPUTS = {  # picture: data set and number
    "shirt.png": ("demo", 1),
    "blouse.png": ("demo", 905),
    "bag.png": ("demo", 1607),
    "face.png": ("demo-emoji", 1080),
    "heart.png": ("demo-emoji", 1560),
}


@dataclass(frozen=True)
class Row:
    """A picture of the gallery.

    Args:
        name: of the picture, docs/images/gallery-NAME.png.
        title: what is shown, and how to read it.
        command: without ``--save-dir``; its pictures of `INPUTS` are made in the current folder.
        result: the file that it makes.
    """

    name: str
    title: str
    command: str
    result: str


ROWS = (
    Row(
        "interpolation",
        "**Interpolation.** From the first image to the second along a great circle of noise; the ends are "
        "the images.",
        "nkca-sample demo shirt.png bag.png --interpolate=10",
        "interpolation.png",
    ),
    Row(
        "interpolation-emoji",
        "**Interpolation** in colour.",
        "nkca-sample demo-emoji face.png heart.png --interpolate=10",
        "interpolation.png",
    ),
    Row(
        "exploration",
        "**Exploration.** Each row redraws the noise of one band of levels, all other noise stays; the "
        "first column is the picture of the seed. High levels decide what it is, low ones its texture.",
        "nkca-sample demo --explore=3 --num-samples=5",
        "exploration.png",
    ),
    Row(
        "exploration-emoji",
        "**Exploration** in colour.",
        "nkca-sample demo-emoji --explore=3 --num-samples=5",
        "exploration.png",
    ),
    Row(
        "fan",
        "**Fan.** The image, then variants of six seeds, from level 0.05 to 0.6: how far is far.",
        "nkca-sample demo --fan=bag.png",
        "fan.png",
    ),
    Row(
        "directions",
        "**Directions.** The picture of seed 3, moved by -3 to 3 deviations along each of the five largest "
        "principal components of the network's bottleneck.",
        "nkca-sample demo --directions=5 --seed=3",
        "directions.png",
    ),
    Row(
        "moved",
        "**Moves.** Sixteen samples moved along the third of these directions.",
        "nkca-sample demo --pages=2x8 --move=3:+2 --directions-file=samples/directions.safetensors",
        "page_0001.png",
    ),
    Row(
        "pages",
        "**Pages.** Samples with their numbers ...",
        "nkca-sample demo --num-samples=16 --pages=2x8",
        "page_0001.png",
    ),
    Row(
        "picked",
        "**Picks.** ... of which these are picked, in the order given.",
        "nkca-sample demo --pick=9,3,14,6",
        "picked.png",
    ),
    Row(
        "selected",
        "**Selection.** Of 256 samples the 24 that a small classifier finds most like the data. On "
        "this model that is no gain beyond chance, which the command says.",
        "nkca-sample demo --num-samples=256 --select=24 --data=demo",
        "selected.png",
    ),
)


def draw(row: Row) -> None:
    """Run the command of a row in the current folder and keep its picture, without its settings."""
    _, *arguments = row.command.split()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        sample.main([*arguments, "--overwrite"])
    with Image.open(Path("samples") / row.result) as picture:
        pixels = np.asarray(picture)
    nkca.save_png(
        HERE / "images" / f"gallery-{row.name}.png", pixels.reshape(*pixels.shape[:2], -1)
    )


def page() -> str:
    """The text of docs/gallery.md."""
    parts = [
        "# Gallery",
        "Each task of `nkca-sample` on the models in the package, with the command that made the picture. "
        "`python docs/make_gallery.py` makes this page. The images that commands name are of the packaged "
        "data sets. What is computed, and its limits: [sheets.md](sheets.md).",
    ]
    for row in ROWS:
        parts += [row.title, f"![{row.name}](images/gallery-{row.name}.png)"]
        parts += [f"```sh\n{row.command}\n```"]
    return "\n\n".join(parts) + "\n"


def main(names: list[str]) -> None:
    """Draw the rows of these names, or all, and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for file, (data, number) in INPUTS.items():
            pixels = load_dataset(DataConfig(dataset=data)).images[number]
            nkca.save_png(file, pixels)
        for row in ROWS:
            if not names or row.name in names:
                draw(row)
                print(row.name, flush=True)
        os.chdir(HERE)
    (HERE / "gallery.md").write_text(page())


if __name__ == "__main__":
    main(sys.argv[1:])
