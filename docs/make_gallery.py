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
from PIL import Image, ImageDraw

import nkca
from nkca.cli.sample import main as sample
from nkca.config.data import DataConfig
from nkca.data.dataset import load_dataset

HERE = Path(__file__).parent.absolute()
INPUTS = {  # picture: data set and number
    "shirt.png": ("demo", 1),
    "blouse.png": ("demo", 905),
    "bag.png": ("demo", 1607),
    "face.png": ("demo-emoji", 1080),
    "heart.png": ("demo-emoji", 1560),
}
DRAWINGS = {  # corners, in pixels
    "dress": [(11, 1), (16, 1), (16, 11), (21, 27), (6, 27), (11, 11)],
    "boot": [(16, 2), (24, 2), (24, 24), (3, 24), (3, 18), (15, 13)],
}


@dataclass(frozen=True)
class Row:
    """A picture of the gallery.

    Args:
        name: of the picture, docs/images/gallery-NAME.png.
        title: what is shown, and how to read it.
        command: without ``--save-dir``; its pictures of `INPUTS` are made in the current folder.
        result: the file that it makes.
        given: the picture that the command starts from, shown on the left; "": it shows that itself.
    """

    name: str
    title: str
    command: str
    result: str = "grid.png"
    given: str = ""


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
    Row(
        "upscale",
        "**Super-resolution.** Left 8 x 8 pixels, then nine pictures of 32 x 32 whose means they are.",
        "nkca-sample demo-emoji --upscale=small.png --num-samples=9 --save-grid",
        given="small.png",
    ),
    Row(
        "grey",
        "**Colours.** Left the grey values, which all nine have exactly.",
        "nkca-sample demo-emoji --grey-from=grey.png --num-samples=9 --save-grid",
        given="grey.png",
    ),
    Row(
        "coarse",
        "**Coarse structure.** Left the image; the nine have its means of 4 x 4 pixels, and own details.",
        "nkca-sample demo --coarse-from=bag.png --scale=4 --num-samples=9 --save-grid",
        given="bag.png",
    ),
    Row(
        "denoise",
        "**Denoising.** Left the noisy image of each row, then its denoised one; the level is estimated.",
        "nkca-sample demo --denoise=auto noisy_shirt.png noisy_blouse.png noisy_bag.png --save-grid",
    ),
    Row(
        "translate",
        "**Translation.** Left two crude drawings, then what they are as clothes, whose means of "
        "4 x 4 pixels are those of the drawings.",
        "nkca-sample demo --translate dress.png boot.png --scale=4 --num-samples=7 --save-grid",
    ),
    Row(
        "pixels",
        "**Pixel art.** Sixteen portraits, indexed PNGs of 32 colours.",
        "nkca-sample demo-pixels --num-samples=16 --save-grid",
    ),
)


def draw(row: Row) -> None:
    """Run the command of a row in the current folder and keep its picture, without its settings."""
    _, *arguments = row.command.split()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        sample.main([*arguments, "--overwrite"])
    with Image.open(Path("samples") / row.result) as picture:
        pixels = np.asarray(beside(row.given, picture) if row.given else picture)
    nkca.save_png(
        HERE / "images" / f"gallery-{row.name}.png", pixels.reshape(*pixels.shape[:2], -1)
    )


def beside(given: str, sheet: Image.Image) -> Image.Image:
    """The sheet, with the given picture on its left at the same height."""
    with Image.open(given) as picture:
        large = picture.convert(sheet.mode).resize(
            (sheet.height, sheet.height), Image.Resampling.NEAREST
        )
    both = Image.new(sheet.mode, (sheet.height + 8 + sheet.width, sheet.height), "white")
    both.paste(large, (0, 0))
    both.paste(sheet, (sheet.height + 8, 0))
    return both


def make_inputs() -> None:
    """The pictures that commands name, in the current folder."""
    for file, (data, number) in INPUTS.items():
        nkca.save_png(file, load_dataset(DataConfig(dataset=data)).images[number])
    random = np.random.default_rng(0)
    for name in ("shirt", "blouse", "bag"):
        with Image.open(f"{name}.png") as picture:
            clean = np.asarray(picture)
        noisy = (clean + random.normal(0, 40, clean.shape)).round().clip(0, 255)
        nkca.save_png(f"noisy_{name}.png", noisy.astype(np.uint8)[..., None])
    with Image.open("face.png") as picture:
        picture.reduce(4).save("small.png")
        picture.convert("L").save("grey.png")
    for name, corners in DRAWINGS.items():
        drawing = Image.new("L", (28, 28))
        ImageDraw.Draw(drawing).polygon(corners, fill=190)
        drawing.save(f"{name}.png")


def page() -> str:
    """The text of docs/gallery.md."""
    parts = [
        "# Gallery",
        "Each task of `nkca-sample` on the models in the package, with the command that made the picture. "
        "`python docs/make_gallery.py` makes this page. The images that commands name are of the packaged "
        "data sets. What is computed, and its limits: [sheets.md](sheets.md), [tasks.md](tasks.md).",
    ]
    for row in ROWS:
        parts += [row.title, f"![{row.name}](images/gallery-{row.name}.png)"]
        parts += [f"```sh\n{row.command}\n```"]
    return "\n\n".join(parts) + "\n"


def main(names: list[str]) -> None:
    """Draw the rows of these names, or all, and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_inputs()
        for row in ROWS:
            if not names or row.name in names:
                draw(row)
                print(row.name, flush=True)
        os.chdir(HERE)
    (HERE / "gallery.md").write_text(page())


if __name__ == "__main__":
    main(sys.argv[1:])
