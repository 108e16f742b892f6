"""The colour set in the package: `python docs/make_emoji.py emoji-datasource-twitter-16.0.0.tgz`.

Reads what `npm pack emoji-datasource-twitter@16.0.0` downloads. The drawings are Twemoji, (c) Twitter,
Inc and other contributors, CC-BY 4.0 (https://creativecommons.org/licenses/by/4.0/). Each of the 1,911
emoji without its variants of skin tone is put on white and made 32 x 32; nothing else is changed. Of equal
pictures (flags of territories, for one) the first is kept: 1,878 are left.
"""

import argparse
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from make_fashion_mnist import write_zip
from PIL import Image

from nkca.demo import DEMO_EMOJI, IMAGES

SIDE = 32
LIST, FOLDER = "package/emoji.json", "package/img/twitter/64"


def pictures(package: Path) -> Iterator[tuple[str, bytes]]:
    """("1f600-grinning.png", bytes) of each emoji, in the order of their code points."""
    seen: set[bytes] = set()
    with tarfile.open(package) as archive:
        entries = json.loads(_read(archive, LIST))
        for entry in sorted(entries, key=lambda entry: entry["image"]):
            if not entry["has_img_twitter"]:
                continue
            drawing = Image.open(io.BytesIO(_read(archive, f"{FOLDER}/{entry['image']}")))
            picture = _png(drawing)
            if picture not in seen:
                seen.add(picture)
                code = entry["image"].removesuffix(".png")
                yield f"{code}-{entry['short_name']}.png", picture


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None, name
    return member.read()


def _png(drawing: Image.Image) -> bytes:
    """On white, 32 x 32; the transparent border is blended before the size changes."""
    drawing = drawing.convert("RGBA")
    white = Image.new("RGBA", drawing.size, "white")
    small = (
        Image.alpha_composite(white, drawing)
        .convert("RGB")
        .resize((SIDE, SIDE), Image.Resampling.BOX)
    )
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--out", type=Path, default=IMAGES[DEMO_EMOJI])
    arguments = parser.parse_args()
    files = list(pictures(arguments.package))
    write_zip(arguments.out, iter(files))
    print(f"{arguments.out}: {len(files):,} pictures, {arguments.out.stat().st_size:,} bytes")
