"""nkca-sample's conditions and tasks: what is written, and that --like repeats it to the bit."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result
from PIL import Image
from tables import each

from nkca.pictures.png import read_settings

Call = Callable[..., Result]
Array = npt.NDArray[np.int64]
FEW = ("--num-sampling-steps=4", "--device=cpu", "-q")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference, an image, a small picture, a mask."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(3)
    for name, size in {"reference": 8, "image": 8, "small": 4}.items():
        pixels = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return folder


def array(path: Path) -> Array:
    return np.asarray(Image.open(path).convert("RGB")).astype(np.int64)


def grey(path: Path) -> Array:
    return np.asarray(Image.open(path).convert("RGB").convert("L")).astype(np.int64)


def sums(picture: Array, side: int) -> Array:
    height, width, _ = picture.shape
    blocks = picture.reshape(height // side, side, width // side, side, 3)
    return np.asarray(blocks.sum((1, 3)))


def commands(pictures: Path) -> dict[str, tuple[str, ...]]:
    reference, image = pictures / "reference.png", str(pictures / "image.png")
    return {
        "coarse": (f"--coarse-from={reference}", "--scale=2"),
        "mixed": (image, f"--coarse-from={reference}"),
        "small": (f"--upscale={pictures / 'small.png'}",),
        "grey": (f"--grey-from={reference}",),
        "held": (image, f"--inpainting-mask={pictures / 'mask.png'}", f"--coarse-from={reference}"),
        "translated": (image, "--translate", "--scale=4"),
        "denoised": (image, "--denoise=0.05"),
        "auto": (image, "--denoise=auto"),
        "inverted": (image, "--invert", "--num-sampling-steps=12"),
        "tempered": ("--temperature=0.7",),
    }


def test_pictures_have_what_is_known(
    call: Call, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    made = {}
    for name, options in commands(pictures).items():
        out = tmp_path / name
        call("sample", trained, *options, "--num-samples=1", *FEW, f"--save-dir={out}")
        (path,) = out.iterdir()
        made[name] = path
    reference, image = pictures / "reference.png", pictures / "image.png"
    small = 4 * array(pictures / "small.png")
    assert (sums(array(made["coarse"]), 2) == sums(array(reference), 2)).all()
    assert (sums(array(made["mixed"]), 4) == sums(array(reference), 4)).all()
    assert (sums(array(made["small"]), 2) == small).all()
    assert (grey(made["grey"]) == grey(reference)).all()
    assert (array(made["held"])[:, :4] == array(image)[:, :4]).all()
    assert (sums(array(made["held"]), 4)[:, 1] == sums(array(reference), 4)[:, 1]).all()
    assert (sums(array(made["translated"]), 4) == sums(array(image), 4)).all()
    for other in each(("denoised", "auto", "inverted", "tempered")):  # where nothing is known
        assert not (sums(array(made[other]), 4) == sums(array(image), 4)).any()
        assert not (grey(made[other]) == grey(reference)).all()
    found = float(read_settings(made["auto"])["denoise"])
    assert 0 < found < 1
    assert read_settings(made["auto"])["max_sampling_noise"] is None


def test_like_repeats_every_task_to_the_bit(
    call: Call, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    for name, options in each(commands(pictures).items()):
        out, again, other = (tmp_path / f"{name}{n}" for n in ("", "_again", "_other"))
        call("sample", trained, *options, "--seeds=3,5", *FEW, f"--save-dir={out}")
        path = sorted(out.iterdir())[1]
        call("sample", f"--like={path}", *FEW[1:], f"--save-dir={again}")
        call("sample", f"--like={path}", "--seeds=6", *FEW[1:], f"--save-dir={other}")
        assert (again / path.name).read_bytes() == path.read_bytes()
        (changed,) = other.iterdir()
        draws_noise = name != "inverted"
        assert (array(changed) != array(path)).any() == draws_noise


def test_each_image_has_its_own_level(
    call: Call, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat.png"
    Image.new("RGB", (8, 8), (90, 90, 90)).save(flat)
    images = [pictures / "image.png", flat]
    out = tmp_path / "out"
    call(
        *("sample", trained, *images, "--denoise=auto", "--seeds=0-2", "--batch-size=2"),
        *("--save-grid", "--device=cpu", "-q", f"--save-dir={out}"),
    )
    levels = {path.name: read_settings(path)["denoise"] for path in sorted(out.glob("*seed*"))}
    assert len(levels) == 6
    assert len(set(levels.values())) == 2
    alone = tmp_path / "alone"
    call("sample", trained, flat, "--denoise=auto", "--device=cpu", "-q", f"--save-dir={alone}")
    assert read_settings(alone / "flat_seed_000000.png")["denoise"] in levels.values()


def test_the_truth_is_compared_with(
    call: Call, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    image, truth = pictures / "image.png", pictures / "reference.png"
    out = tmp_path / "out"
    options = (image, "--denoise=0.02", f"--truth={truth}", "--device=cpu", f"--save-dir={out}")
    lines = call("sample", trained, *options).stdout.splitlines()
    for path, name in {image: "the image", out / "image_seed_000000.png": "image_seed"}.items():
        error = np.square(array(path) - array(truth)).mean()
        (line,) = (line for line in lines if name in line)
        (shown,) = re.findall(r"PSNR (\d+\.\d\d) dB", line)
        assert abs(float(shown) - 10 * np.log10(255**2 / error)) < 0.006
