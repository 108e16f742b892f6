"""Fashion-MNIST as PNG files: `python docs/make_fashion_mnist.py OUT_DIR`.

Reads the idx files of Debian's package `dataset-fashion-mnist`; the one module here that is a
command, and makes the bundled demo.zip (see docs/datasets.md).
"""

import argparse
import gzip
import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nkca.errors import InputError
from nkca.system.files import atomic_write

SOURCE = Path("/usr/share/datasets/fashion-mnist")
_PREFIXES = {"train": "train", "test": "t10k"}
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def read_split(source: Path, split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images (N, 28, 28) and labels (N,), both uint8; `split` is "train" or "test".

    Raises InputError when the files are missing or damaged.
    """
    prefix = _PREFIXES[split]
    images = _read_idx(source / f"{prefix}-images-idx3-ubyte.gz", dimensions=3)
    labels = _read_idx(source / f"{prefix}-labels-idx1-ubyte.gz", dimensions=1)
    if len(images) != len(labels):
        raise InputError(f"{source}: {len(images)} images but {len(labels)} labels")
    return images, labels


def select(
    labels: npt.NDArray[np.uint8], limit: int | None = None, per_class: int | None = None
) -> list[int]:
    """Return indices in order: the first `per_class` of each label, at most `limit` in all."""
    chosen = range(len(labels)) if per_class is None else _first_of_each(labels, per_class)
    return list(chosen)[:limit]


def png_files(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], indices: Sequence[int]
) -> Iterator[tuple[str, bytes]]:
    """Yield ``("00000-9.png", bytes)``: the index in the split, the label, a greyscale PNG."""
    for index in indices:
        buffer = io.BytesIO()
        Image.fromarray(images[index]).save(buffer, "PNG", optimize=True)
        yield f"{index:05d}-{labels[index]}.png", buffer.getvalue()


def write_folder(folder: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """Write files into a new or empty folder; raises InputError when it holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: expected a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files:
        (folder / name).write_bytes(content)


def write_zip(path: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """Write files to a zip whose bytes depend on theirs alone: stored, one fixed time."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            member = zipfile.ZipInfo(name, _ZIP_TIME)
            member.create_system = 3  # the same on every system
            member.external_attr = 0o100644 << 16
            archive.writestr(member, content)


def _read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read an idx file: 0, 0, 8 (uint8), the number of dimensions, the sizes, the bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file (apt-get install dataset-fashion-mnist)") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: {error}") from error
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < header:
        raise InputError(f"{path}: expected an idx file of bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != np.prod(shape, dtype=np.int64):
        raise InputError(f"{path}: expected {shape} bytes after the header, it is truncated")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _first_of_each(labels: npt.NDArray[np.uint8], count: int) -> list[int]:
    firsts = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    return sorted(int(index) for index in np.concatenate(firsts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python docs/make_fashion_mnist.py", description=__doc__)
    parser.add_argument("folder", metavar="OUT_DIR", type=Path, nargs="?", help="new or empty")
    parser.add_argument("--zip", metavar="FILE", type=Path, help="write this zip, not a folder")
    parser.add_argument("--source", metavar="DIR", type=Path, default=SOURCE)
    parser.add_argument("--split", choices=tuple(_PREFIXES), default="train")
    parser.add_argument("--limit", metavar="N", type=int, help="at most N images")
    parser.add_argument("--per-class", metavar="N", type=int, help="the first N of each class")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for bad input."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if (options.folder is None) == (options.zip is None):
            raise InputError("expected either OUT_DIR or --zip FILE")
        for name in ("limit", "per_class"):
            if getattr(options, name) is not None and getattr(options, name) < 1:
                raise InputError(f"--{name.replace('_', '-')}: expected a positive number")
        images, labels = read_split(options.source, options.split)
        indices = select(labels, options.limit, options.per_class)
        files = png_files(images, labels, indices)
        if options.zip is None:
            write_folder(options.folder, files)
        else:
            write_zip(options.zip, files)
    except (InputError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{options.zip or options.folder}: {len(indices)} images\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
