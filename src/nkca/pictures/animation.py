"""Animations: GIF, WebP and MP4."""

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nkca.errors import InputError
from nkca.pictures.grid import VISIBLE_SIZE, Pictures, contact_sheet, to_pillow
from nkca.system.files import atomic_write

FRAME_SECONDS = 0.08


FRAME_PIXELS = 1 << 20  # of a frame, to bound memory


def animation_frame(images: Pictures) -> Pictures:
    """A contact sheet of as many of (N, H, W, C), the first ones, as fit into `FRAME_PIXELS`."""
    shown_size = max(images[0, ..., 0].size, VISIBLE_SIZE**2)
    return contact_sheet(images[: max(1, FRAME_PIXELS // shown_size)])


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
