"""The pixel art in the package: `python docs/make_pixels.py dicebear-pixel-art-9.4.3.tgz`.

Reads what `npm pack @dicebear/pixel-art@9.4.3` downloads: parts of portraits of 16 x 16 pixels by DiceBear,
CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/). A portrait is a head and one of the parts of
each kind, or none, in colours by chance. Its colours are then the nearest of one palette, of which one
is transparent. No portrait occurs twice; those of another seed are others, but of the same parts.
"""

import argparse
import io
import random
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from make_fashion_mnist import write_zip
from PIL import Image, ImageColor

from nkca.data.palettes import chosen_colors
from nkca.demo import DEMO_PIXELS, IMAGES

Area: TypeAlias = npt.NDArray[np.bool_]  # (16, 16), row by column
Picture: TypeAlias = npt.NDArray[np.float64]  # (16, 16, 4), 0..255
SIDE, COLORS, COUNT = 16, 31, 6000
CHOSEN_FROM = 2000  # portraits that the palette is chosen from
HEAD = "M4 2h8v1h1v3h1v2h-1v3h-1v1H9v1h4v1h1v2H2v-2h1v-1h4v-1H4v-1H3V8H2V6h1V3h1V2Z"
FACE = "M4 2h8v1h1v3h1v2h-1v3h-1v1H4v-1H3V8H2V6h1V3h1V2Z"
CHANCES = {  # of each kind of part, in the order they are drawn
    "accessories": 0.1,
    "clothing": 1.0,
    "eyes": 1.0,
    "glasses": 0.2,
    "beard": 0.12,
    "mouth": 1.0,
    "hair": 1.0,
    "hat": 0.15,
}
PALETTES = {  # the package's own, fewer
    "skin": "ffdbac eac393 b68655 8d5524",
    "accessories": "ffd700 d3d3d3",
    "clothing": "5bc0de 03396c 44c585 00b159 ff6f69 ae0001 ffeead ffc425",
    "eyes": "697b94 588387 876658",
    "glasses": "191919 43677d a04b5d",
    "mouth": "c98276 de0f0d",
    "hair": "cab188 83623b 603015 28150a bd1700 009bbd 91cb15",
    "hat": "2e1e05 2663a3 989789 cc6192 614f8a a62116",
}


def parts_of(package: Path) -> dict[str, list[ElementTree.Element]]:
    """The drawings of each kind of part; "@hair" stands for the colour of hair."""
    found = {}
    with tarfile.open(package) as archive:
        for kind in CHANCES:
            member = archive.extractfile(f"package/lib/components/{kind}.js")
            assert member is not None, kind
            text = re.sub(
                r"\$\{escape\.xml\(`\$\{colors\.(\w+)\}`\)\}", r"@\1", member.read().decode()
            )
            drawings = re.findall(
                r"^    \w+: \(components, colors\) => `(.*)`,$", text, re.MULTILINE
            )
            found[kind] = [ElementTree.fromstring(f"<g>{drawing}</g>") for drawing in drawings]
    return found


def area(path: str, is_even_odd: bool) -> Area:
    """The pixels inside a path of horizontal and vertical lines, by the winding number of their centres."""
    winding = np.zeros((SIDE, SIDE), np.int64)
    x = y = first_x = first_y = 0
    for command, text in re.findall(r"([MmHhVvZz])([^A-Za-z]*)", path):
        numbers = [int(number) for number in re.findall(r"-?\d+", text)]
        new_x, new_y = x, y
        if command in "Mm":
            new_x, new_y = (x + numbers[0], y + numbers[1]) if command == "m" else numbers
            x, y = first_x, first_y = new_x, new_y
        elif command in "Zz":
            new_x, new_y = first_x, first_y
        elif command in "Hh":
            new_x = numbers[0] + x * (command == "h")
        else:
            new_y = numbers[0] + y * (command == "v")
        winding[min(y, new_y) : max(y, new_y), : max(x, 0)] += 1 if new_y > y else -1
        x, y = new_x, new_y
    inside: Area = winding % 2 == 1 if is_even_odd else winding != 0
    return inside


def paint(picture: Picture, drawing: ElementTree.Element, colors: dict[str, str]) -> None:
    """Paint the paths of a drawing on a picture."""
    clip = np.ones((SIDE, SIDE), np.bool_)
    for group in drawing.iter():
        for path in group.findall("path"):
            is_even_odd = "evenodd" in (path.get("fill-rule"), group.get("fill-rule"))
            inside = area(path.attrib["d"], is_even_odd)
            if group.tag == "mask":
                clip = inside
                continue
            fill = path.get("fill") or group.attrib["fill"]
            name = f"#{colors[fill[1:]]}" if fill.startswith("@") else fill
            opacity = float(path.get("fill-opacity", 1))
            blend(picture, inside & clip, name, opacity)


def blend(picture: Picture, inside: Area, color: str, opacity: float = 1.0) -> None:
    """Lay a colour on pixels; on transparent ones it is opaque, as pixel art has no halves."""
    rgb = np.array(ImageColor.getrgb(color), float)
    weight = np.where(picture[inside][:, 3:] == 0, 1.0, opacity)
    picture[inside, :3] = (1 - weight) * picture[inside, :3] + weight * rgb
    picture[inside, 3] = 255


def portraits(package: Path, seed: int) -> Iterator[Picture]:
    """Portraits without end, by chance, in all colours."""
    parts, chance = parts_of(package), random.Random(seed)
    while True:
        colors = {kind: chance.choice(names.split()) for kind, names in PALETTES.items()}
        picture: Picture = np.zeros((SIDE, SIDE, 4))
        blend(picture, area(HEAD, False), f"#{colors['skin']}")
        blend(picture, area(FACE, False), "#fff", 0.1)
        for kind, drawings in parts.items():
            drawing = chance.choice(drawings)
            if chance.random() < CHANCES[kind]:
                paint(picture, drawing, colors)
        yield picture.round()


def distinct(
    pictures: Iterator[Picture], palette: Sequence[tuple[int, ...]], count: int
) -> Iterator[bytes]:
    """The first ``count`` different pictures as indexed PNGs with the palette, transparent first."""
    opaque, seen = np.array(palette, float), set[bytes]()
    while len(seen) < count:
        picture = next(pictures)
        distances = ((picture[..., None, :3] - opaque) ** 2).sum(-1)
        index = np.where(picture[..., 3] == 0, 0, 1 + distances.argmin(-1)).astype(np.uint8)
        if index.tobytes() not in seen:
            seen.add(index.tobytes())
            image = Image.fromarray(index)
            image.putpalette(bytes([0, 0, 0, *(level for color in palette for level in color)]))
            buffer = io.BytesIO()
            image.save(buffer, "PNG", optimize=True, transparency=0)
            yield buffer.getvalue()


def palette_of(package: Path, colors: int) -> Sequence[tuple[int, ...]]:
    """So many colours that stand for those of portraits."""
    pictures = portraits(package, seed=0)
    some = np.stack([next(pictures) for _ in range(CHOSEN_FROM)])
    opaque = some[some[..., 3] > 0][:, :3].astype(np.uint8)
    return chosen_colors(opaque[None, None], colors)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=0, help="another one: other portraits")
    parser.add_argument("--out", type=Path, default=IMAGES[DEMO_PIXELS])
    arguments = parser.parse_args()
    palette = palette_of(arguments.package, COLORS)
    pngs = distinct(portraits(arguments.package, arguments.seed), palette, arguments.count)
    write_zip(arguments.out, ((f"{n:04d}.png", png) for n, png in enumerate(pngs)))
    print(f"{arguments.out}: {arguments.count:,} portraits, {arguments.out.stat().st_size:,} bytes")
