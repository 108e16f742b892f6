"""uint8 arrays -> picture files: grids, PNGs that carry their settings, animations."""

import io
import json
import math
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from nkca.errors import InputError
from nkca.system.files import atomic_write

Pictures = npt.NDArray[np.uint8]
METADATA_KEY = "nkca"
FRAME_SECONDS = 0.08
FRAME_PIXELS = 1 << 20  # of a frame of an animation: memory is bounded
VISIBLE_SIZE = 96  # pixels that a small image is enlarged to in a sheet, at most


def grid(images: Pictures, columns: int | None = None, gap: int = 2, zoom: int = 1) -> Pictures:
    """Lay out (N, H, W, C) as one (H', W', C), row by row on white; by default about square.

    Args:
        zoom: each pixel becomes a square of ``zoom`` x ``zoom``.
    """
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    count, height, width, channels = images.shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, channels)
    sheet = np.full(shape, 255, np.uint8)
    for index, image in enumerate(images):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def contact_sheet(images: Pictures, columns: int | None = None) -> Pictures:
    """A grid for people: small images (N, H, W, C) are enlarged, pixel by pixel, to be seen."""
    return grid(images, columns, zoom=max(1, VISIBLE_SIZE // max(images.shape[1:3])))


def animation_frame(images: Pictures) -> Pictures:
    """A contact sheet of as many of (N, H, W, C), the first ones, as fit into `FRAME_PIXELS`."""
    shown_size = max(images[0, ..., 0].size, VISIBLE_SIZE**2)
    return contact_sheet(images[: max(1, FRAME_PIXELS // shown_size)])


def to_pillow(image: Pictures) -> Image.Image:
    """Convert (H, W, C), C = 1, 3 or 4, to a Pillow image."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def save_png(path: str | Path, image: Pictures, settings: Mapping[str, Any] | None = None) -> None:
    """Write (H, W, C) as PNG, atomically, with ``settings`` as JSON in a text chunk."""
    with atomic_write(Path(path)) as file:
        file.write(png_bytes(image, settings))


def png_bytes(
    image: Pictures, settings: Mapping[str, Any] | None = None, compress_level: int = 6
) -> bytes:
    """The PNG of (H, W, C), with ``settings`` as JSON in a text chunk."""
    text = PngImagePlugin.PngInfo()
    if settings is not None:
        text.add_itxt(METADATA_KEY, json.dumps(settings))
    file = io.BytesIO()
    to_pillow(image).save(file, format="PNG", pnginfo=text, compress_level=compress_level)
    return file.getvalue()


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings that `save_png` put into the file.

    Raises:
        InputError: if the file is not an image, or carries none.
    """
    try:
        with Image.open(path) as image:
            text = image.info.get(METADATA_KEY)
        settings = json.loads(text) if isinstance(text, str) else None
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot read the settings in {path}: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path} carries no settings of nkca-sample (its PNGs do)")
    return settings


def check_animation(kind: str) -> None:
    """Raise `InputError` if animations of ``kind`` (gif, mp4 or webp) cannot be written here."""
    if kind == "mp4" and shutil.which("ffmpeg") is None:
        raise InputError("mp4 needs the program ffmpeg on the PATH; use gif or webp, or install it")


def save_animation(path: Path, frames: Sequence[Pictures]) -> None:
    """Write frames (H, W, C) as GIF, WebP or MP4 (by the suffix); the last one is shown longer.

    Raises:
        InputError: if MP4 is asked for and no encoder is there, or it fails.
    """
    if path.suffix == ".mp4":
        check_animation("mp4")
        _encode_mp4(path, [*frames, *[frames[-1]] * round(1 / FRAME_SECONDS)])
        return
    milliseconds = [round(1000 * FRAME_SECONDS)] * (len(frames) - 1) + [1500]
    first, *rest = (to_pillow(frame) for frame in frames)
    options: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    with atomic_write(path) as file:
        first.save(
            file,
            format=path.suffix[1:].upper(),
            save_all=True,
            append_images=rest,
            duration=milliseconds,
            loop=0,
            **options,
        )


def _encode_mp4(path: Path, frames: Iterable[Pictures]) -> None:
    frames = [np.asarray(to_pillow(frame).convert("RGB")) for frame in frames]
    height, width = frames[0].shape[:2]
    partial = path.with_suffix(".partial.mp4")
    command = ["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", str(1 / FRAME_SECONDS), "-i", "-"]
    command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", str(partial)]
    pixels = b"".join(frame.tobytes() for frame in frames)
    result = subprocess.run(command, input=pixels, capture_output=True, check=False)
    if result.returncode != 0:
        partial.unlink(missing_ok=True)
        raise InputError(f"ffmpeg could not write {path}: {result.stderr.decode().strip()[-200:]}")
    partial.replace(path)
