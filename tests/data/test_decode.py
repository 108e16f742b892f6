"""Pixels made by hand, through every mode, turn and depth a file may have."""

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageSequence, PngImagePlugin
from tables import each

from nkca.data.decode import DecodeOptions, Probe, decode, fit, probe, read_image
from nkca.data.listing import UnreadableImageError
from nkca.data.pillow import silence_pillow
from nkca.errors import InputError

RGB = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [40, 50, 60], [70, 80, 90]]], np.uint8
)
V16 = np.array([[0, 128, 129, 257], [300, 32768, 40000, 65535]], np.uint16)
V16_AS_8 = [[0, 0, 1, 1], [1, 128, 156, 255]]
RED = (255, 0, 0)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png(size: tuple[int, int], depth: int, color: int, raw: bytes, extra: bytes = b"") -> bytes:
    """A PNG from its packed rows."""
    row = len(raw) // size[1]
    rows = b"".join(b"\0" + raw[start : start + row] for start in range(0, len(raw), row))
    header = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def tiff(values: npt.NDArray[Any], bits: int, kind: int = 1, photometric: int = 1) -> bytes:
    """A little-endian, uncompressed, one-strip TIFF."""
    data = values.tobytes()
    height, width = values.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8)]
    tags += [(277, 1), (278, height), (279, len(data)), (339, kind)]
    directory = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return start + data + struct.pack("<H", len(tags)) + directory + bytes(4)


def pixels(file: bytes, channels: Any = 3, background: Any = (255, 255, 255)) -> list[Any]:
    result = decode(file, DecodeOptions(channels=channels, background=background))
    assert result.dtype == np.uint8
    assert result.ndim == 3
    assert result.shape[2] == channels
    return list((result[..., 0] if channels == 1 else result).tolist())


def test_colour_of_every_lossless_kind(tmp_path: Path) -> None:
    for kind in each(["PNG", "BMP", "TIFF", "PPM", "WEBP"]):
        options = {"lossless": True} if kind == "WEBP" else {}
        file = encoded(Image.fromarray(RGB), kind, **options)
        assert probe(file) == Probe(3, 2, 3)
        assert pixels(file) == RGB.tolist()
        (tmp_path / "x.png").write_bytes(file)
        assert np.array_equal(decode(tmp_path / "x.png", DecodeOptions()), RGB)
        assert probe(tmp_path / "x.png") == Probe(3, 2, 3)


def test_luma_and_grey_to_colour() -> None:
    assert pixels(encoded(Image.fromarray(RGB)), 1) == [[76, 150, 29], [18, 48, 78]]
    grey = encoded(Image.fromarray(np.array([[0, 7, 255]], np.uint8)))
    assert probe(grey) == Probe(3, 1, 1)
    assert pixels(grey, 1) == [[0, 7, 255]]
    assert pixels(grey, 3) == [[[0] * 3, [7] * 3, [255] * 3]]
    assert pixels(grey, 4) == [[[0, 0, 0, 255], [7, 7, 7, 255], [255, 255, 255, 255]]]
    bits = encoded(Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1"))
    assert probe(bits).channels == 1
    assert pixels(bits, 1) == [[0, 255, 255]]


def upright(stored: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """The definition in the EXIF standard, by flips and transposes of the stored rows."""
    turned = stored.swapaxes(0, 1) if orientation >= 5 else stored
    vertical = orientation in (3, 4, 7, 8)
    horizontal = orientation in (2, 3, 6, 7)
    turned = turned[::-1] if vertical else turned
    return turned[:, ::-1] if horizontal else turned


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "TIFF-lzw", "JPEG", "PNG-grey16"])
def test_orientation(kind: str) -> None:
    stored: npt.NDArray[Any] = RGB
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    if kind == "TIFF-lzw":
        options = {"compression": "tiff_lzw"}
    if kind == "JPEG":  # blocks of one colour survive
        stored = RGB.repeat(16, 0).repeat(16, 1)
        options = {"quality": 100, "subsampling": 0}
    if kind == "PNG-grey16":
        stored = V16
    for orientation in each(range(1, 9)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = encoded(Image.fromarray(stored), kind.split("-")[0], exif=exif, **options)
        expected = upright(np.array(V16_AS_8) if kind == "PNG-grey16" else stored, orientation)
        header = probe(file)
        assert (header.height, header.width) == expected.shape[:2]
        got = np.array(pixels(file, header.channels))
        assert np.abs(got.astype(int) - expected).max() <= (3 if kind == "JPEG" else 0)


def test_orientation_six_by_hand() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side, the first column the top
    file = encoded(Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)), exif=exif)
    assert pixels(file, 1) == [[4, 1], [5, 2], [6, 3]]


def test_damaged_exif_leaves_the_picture() -> None:
    for exif in (b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM\0*"):
        file = encoded(Image.fromarray(RGB), "PNG", exif=exif)
        assert probe(file) == Probe(3, 2, 3)
        assert pixels(file) == RGB.tolist()


def test_probe_does_not_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", refuse)
    file = png((2, 1), 8, 0, b"\1\2")
    assert probe(file) == Probe(2, 1, 1)
    with pytest.raises(UnreadableImageError, match="decoded"):
        decode(file, DecodeOptions())


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    big = V16.astype(">u2").tobytes()
    files = {
        "png": png((4, 2), 16, 0, big),
        "pgm": b"P5 4 2 65535\n" + big,
        "pgm text": b"P2 4 2 65535\n" + b" ".join(b"%d" % value for value in V16.ravel()),
        "tiff": tiff(V16, 16),
        "tiff of 32 bits": tiff(V16.astype(np.uint32), 32),
    }
    for name, file in files.items():
        assert probe(file) == Probe(4, 2, 1), name
        assert pixels(file, 1) == V16_AS_8, name
    inverted = tiff(65535 - V16, 16, photometric=0)
    assert pixels(inverted, 1) == V16_AS_8
    ten_bits = b"P5 3 1 1023\n" + np.array([0, 512, 1023], ">u2").tobytes()
    assert pixels(ten_bits, 1) == [[0, 128, 255]]


def test_sixteen_bit_colour_keeps_the_high_byte() -> None:
    raw = np.array([0, 10000, 65535, 255, 256, 40000], ">u2").tobytes()
    key = chunk(b"tRNS", struct.pack(">HHH", 0, 10000, 65535))
    assert pixels(png((2, 1), 16, 2, raw)) == [[[0, 39, 255], [0, 1, 156]]]
    assert pixels(png((2, 1), 16, 2, raw, key), 4) == [[[0, 39, 255, 0], [0, 1, 156, 255]]]


def test_unknown_ranges_are_refused() -> None:
    for file in (
        tiff(np.array([[0, 70000]], np.int32), 32, kind=2),
        tiff(np.array([[-1, 5]], np.int16), 16, kind=2),
        tiff(np.array([[0.0, 0.5]], np.float32), 32, kind=3),
    ):
        assert probe(file).channels == 1
        with pytest.raises(InputError, match=r"range .*unknown"):
            decode(file, DecodeOptions())


def test_transparent_key_colours() -> None:
    grey = png((3, 1), 8, 0, bytes([0, 9, 255]), chunk(b"tRNS", b"\0\x09"))
    assert pixels(grey, 1) == [[0, 255, 255]]
    assert pixels(grey, 3, RED) == [[[0] * 3, [255, 0, 0], [255] * 3]]
    assert pixels(grey, 4) == [[[0, 0, 0, 255], [9, 9, 9, 0], [255, 255, 255, 255]]]
    assert probe(grey).channels == 1
    two_bits = png((4, 1), 2, 0, b"\x1b", chunk(b"tRNS", b"\0\1"))  # 0 1 2 3, 1 transparent
    assert pixels(two_bits, 1) == [[0, 255, 170, 255]]
    one_bit = png((8, 1), 1, 0, b"\x93", chunk(b"tRNS", b"\0\1"))
    assert pixels(one_bit, 1, (0, 0, 0)) == [[0] * 8]
    sixteen = png((2, 1), 16, 0, b"\1\x2c\1\x2d", chunk(b"tRNS", b"\1\x2c"))  # 300, 301
    assert pixels(sixteen, 1) == [[255, 1]]
    colour = png((2, 1), 8, 2, bytes([1, 2, 3, 1, 2, 4]), chunk(b"tRNS", b"\0\1\0\2\0\3"))
    assert pixels(colour, 3, RED) == [[[255, 0, 0], [1, 2, 4]]]


def test_alpha_is_composited_exactly() -> None:
    raw = np.array([[[10, 20, 30, 0], [10, 20, 30, 51], [10, 20, 30, 255]]], np.uint8)
    file = encoded(Image.fromarray(raw))
    assert pixels(file, 4) == raw.tolist()
    assert pixels(file) == [[[255, 255, 255], [206, 208, 210], [10, 20, 30]]]
    assert pixels(file, 3, RED) == [[[255, 0, 0], [206, 4, 6], [10, 20, 30]]]
    grey = encoded(Image.fromarray(np.array([[[100, 0], [100, 51], [100, 255]]], np.uint8), "LA"))
    assert probe(grey).channels == 1
    assert pixels(grey, 1) == [[255, 224, 100]]
    assert pixels(grey, 1, (0, 0, 0)) == [[0, 20, 100]]
    wide = png((1, 1), 16, 4, b"\x80\0\xff\xff")  # Pillow opens grey + alpha of 16 bits as RGBA
    assert probe(wide).channels == 1
    assert pixels(wide, 1) == [[128]]


def palette_image(colors: list[int]) -> Image.Image:
    image = Image.fromarray(np.array([[0, 1, 2, 1]], np.uint8))
    image = image.convert("P") if image.mode == "P" else image
    image.putpalette(colors)
    return image


def test_palettes() -> None:
    colors = [255, 0, 0, 0, 128, 0, 9, 9, 9]
    expected = [[[255, 0, 0], [0, 128, 0], [9, 9, 9], [0, 128, 0]]]
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        file = encoded(palette_image(colors), kind)
        assert probe(file).channels == 3, kind
        assert pixels(file) == expected, kind
    grey = [7, 7, 7, 200, 200, 200, 9, 9, 9]
    for kind in ("PNG", "GIF", "TIFF"):
        file = encoded(palette_image(grey), kind)
        assert probe(file).channels == 1, kind
        assert pixels(file, 1) == [[7, 200, 9, 200]], kind
    clear = encoded(palette_image(colors), "PNG", transparency=1)
    assert pixels(clear, 3, (1, 2, 3)) == [[[255, 0, 0], [1, 2, 3], [9, 9, 9], [1, 2, 3]]]
    partial = encoded(palette_image(colors), "PNG", transparency=bytes([255, 0, 51]))
    assert pixels(partial, 4)[0][2] == [9, 9, 9, 51]
    assert pixels(partial)[0][1:3] == [[255, 255, 255], [206, 206, 206]]
    gif = encoded(palette_image(colors), "GIF", transparency=0)
    assert pixels(gif, 3, (1, 2, 3))[0][0] == [1, 2, 3]


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (3, 2), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        file = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(file))))) == 3
        assert pixels(file) == [[[255, 0, 0]] * 3] * 2, kind


def test_other_colour_spaces() -> None:
    ink = Image.new("CMYK", (1, 1), (0, 255, 255, 0))
    assert pixels(encoded(ink, "TIFF")) == [[[255, 0, 0]]]
    jpeg = pixels(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    assert np.abs(np.array(jpeg, int) - [255, 0, 0]).max() <= 3
    lab = encoded(Image.new("LAB", (1, 1), (255, 128, 128)), "TIFF")
    assert np.abs(np.array(pixels(lab), int) - 255).max() <= 2
    assert probe(lab).channels == 3


def test_fit_crops_the_centre_first() -> None:
    row = np.array([[10, 20, 30, 40, 50, 60, 70]], np.uint8).repeat(3, 0)
    image = Image.fromarray(row)
    assert np.asarray(fit(image, (3, 3)))[0].tolist() == [30, 40, 50]
    assert np.asarray(fit(image, (3, 1)))[:, 0].tolist() == [40, 40, 40]
    assert fit(image, (6, 14)).size == (14, 6)
    assert np.asarray(fit(image, (1, 7))).tolist() == [[10, 20, 30, 40, 50, 60, 70]]
    options = DecodeOptions(resize=3, channels=1)
    assert decode(encoded(image), options)[..., 0].tolist() == [[30, 40, 50]] * 3


def test_transparent_colours_do_not_bleed_when_resized() -> None:
    raw = np.zeros((2, 2, 4), np.uint8)
    raw[:, 0] = (0, 255, 0, 0)  # invisible green beside opaque red
    raw[:, 1] = (255, 0, 0, 255)
    result = decode(encoded(Image.fromarray(raw)), DecodeOptions(resize=1, channels=4))
    assert result.tolist() == [[[255, 0, 0, 128]]]
    flat = decode(encoded(Image.fromarray(raw)), DecodeOptions(resize=1))
    assert flat.tolist() == [[[255, 128, 128]]]


def test_fit_agrees_with_the_original(parity: Path) -> None:
    for case in torch.load(parity / "continuous.pt", weights_only=True)["resize"]:
        image = Image.fromarray(case["image_uint8"].permute(1, 2, 0).contiguous().numpy())
        got = np.asarray(fit(image, (case["size"], case["size"]))).transpose(2, 0, 1)
        expected = np.rint(case["out"].numpy() * 255.0)
        assert np.abs(got - expected).max() <= 1


def hostile() -> dict[str, bytes]:
    whole = encoded(Image.fromarray(RGB.repeat(20, 0).repeat(20, 1)))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    jpeg = encoded(Image.fromarray(noise), "JPEG")
    return {
        "empty": b"",
        "text": b"this is not a picture",
        "html": b"<!DOCTYPE html>",
        "magic": whole[:8],
        "no pixels": whole[:40],
        "cut": whole[: len(whole) - 40],
        "bad chunk": whole[:33] + b"\xff" * 12 + whole[45:],
        "cut jpeg": jpeg[: len(jpeg) // 2],
        "cut gif": encoded(Image.fromarray(noise), "GIF")[:900],
        "cut bmp": encoded(Image.fromarray(noise), "BMP")[:900],
        "cut tiff": encoded(Image.fromarray(noise), "TIFF")[:900],
        "cut webp": encoded(Image.fromarray(noise), "WEBP")[:900],
        "cut ppm": encoded(Image.fromarray(noise), "PPM")[:900],
        "bomb": png((30000, 30000), 8, 0, b"\0" * 30000),
        "zero width": png((0, 1), 8, 0, b"\0"),
    }


def test_bad_content_is_one_line_of_input_error() -> None:
    contents = hostile()
    for name in each(contents):
        with pytest.raises(UnreadableImageError) as caught:
            decode(contents[name], DecodeOptions())
        assert "\n" not in str(caught.value)
        assert 5 < len(str(caught.value)) < 250
        assert "BytesIO" not in str(caught.value)


def test_random_damage_is_always_an_input_error() -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        file = np.frombuffer(encoded(noise, kind), np.uint8)
        for _ in range(60):
            damaged = file.copy()
            damaged[rng.integers(0, min(300, file.size), 4)] = rng.integers(0, 256, 4)
            for read in (probe, read_image):
                try:
                    read(damaged[: rng.integers(1, file.size + 1)].tobytes())
                except InputError as error:
                    assert "\n" not in str(error)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        probe(tmp_path / "gone.png")


def test_warnings_do_not_leak_and_filters_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)  # 6 pixels warn, more than 8 are refused
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert pixels(encoded(Image.fromarray(RGB))) == RGB.tolist()
        threads = [threading.Thread(target=_quiet_work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
        with pytest.raises(UserWarning), silence_pillow():
            warnings.warn("mine", UserWarning, stacklevel=1)


def _quiet_work() -> None:
    for _ in range(50):
        probe(png((2, 3), 8, 0, b"\1" * 6))


def test_options_are_checked() -> None:
    wrong: list[dict[str, Any]] = [
        {"resize": 0}, {"channels": 2}, {"background": (0, 0, 256)}, {"background": (0, 0)}
    ]  # fmt: skip
    for options in each(wrong):
        with pytest.raises(InputError, match="expected"):
            DecodeOptions(**options)
