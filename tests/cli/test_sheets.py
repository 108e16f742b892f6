"""Sheets of nkca-sample: what is written, that it can be repeated, and bad input."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from tables import each

from nkca.pictures.png import read_settings

Call = Callable[..., Result]
FAST = ("--device=cpu", "--num-sampling-steps=5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("kind", ["trained", "trained_discrete"])
def test_each_sheet_is_written_and_repeated_by_its_own_file(
    kind: str, request: pytest.FixtureRequest, call: Call, photos: Path, folder: Path
) -> None:
    run, image = request.getfixturevalue(kind), photos / "00.png"
    commands = {
        "exploration": ("--explore=3", "--num-samples=2", *FAST),
        "fan": (f"--fan={image}", "--num-samples=2", *FAST),
        "directions": ("--directions=2", "--seed=4", *FAST),
        "page_0002": ("--pages=1x2", "--num-samples=3", *FAST),
        "picked": ("--pick=5,0,3", *FAST),
    }
    for name, options in each(commands.items()):
        call("sample", run, *options, f"--save-dir={folder / name}", "-q")
        made = folder / name / f"{name}.png"
        again = folder / f"{name} again"
        call("sample", f"--like={made}", "--device=cpu", f"--save-dir={again}", "-q")
        # a page repeats itself, as the first page of what it holds
        repeated = again / ("page_0001.png" if name.startswith("page") else made.name)
        assert np.array_equal(pixels(made), pixels(repeated))
    said = call("sample", f"--like={made}", "--save-grid", f"--save-dir={folder}", code=2).stderr
    assert "a sheet is one picture" in said


def test_interpolation_between_categories_ends_at_the_images(
    trained_discrete: Path, call: Call, grey_photos: Path, folder: Path
) -> None:
    ends = (grey_photos / "00.png", grey_photos / "05.png")
    said = call("sample", trained_discrete, *ends, "--interpolate=4", f"--save-dir={folder}").stdout
    assert "by 0.00 and 0.00 of 255" in said
    assert read_settings(folder / "interpolation.png")["sheet"] == "interpolate=4"


def test_picks_are_in_the_order_given_and_remember_their_seeds(
    trained: Path, call: Call, folder: Path
) -> None:
    picks = {}
    for order in ("5,3", "3,5"):
        save_dir = folder / order
        call("sample", trained, f"--pick={order}", *FAST, f"--save-dir={save_dir}", "-q")
        picks[order] = pixels(save_dir / "picked.png")
        assert read_settings(save_dir / "picked.png")["seeds"] == order
    one, other = picks["5,3"], picks["3,5"]
    width = (one.shape[1] - 2) // 2
    assert np.array_equal(one[:, 2 : width + 2], other[:, width + 2 :])
    assert not np.array_equal(one, other)  # the control: order matters


def test_pages_hold_all_samples_in_order(trained: Path, call: Call, folder: Path) -> None:
    call("sample", trained, "--pages=1x2", "--num-samples=5", *FAST, f"--save-dir={folder}", "-q")
    pages = sorted(path.name for path in folder.iterdir())
    assert pages == ["page_0001.png", "page_0002.png", "page_0003.png"]
    seeds = [read_settings(folder / page)["seeds"] for page in pages]
    assert seeds == ["0,1", "2,3", "4"]


def test_samples_are_moved_along_directions(trained: Path, call: Call, folder: Path) -> None:
    found = folder / "found"
    call("sample", trained, "--directions=2", *FAST, f"--save-dir={found}", "-q")
    moves = f"--directions-file={found / 'directions.safetensors'}"
    for name, options in {"plain": (), "moved": ("--move=1:+3", moves)}.items():
        place = f"--save-dir={folder / name}"
        call("sample", trained, "--num-samples=1", *options, *FAST, place, "-q")
    plain, moved = (pixels(folder / name / "seed_000000.png") for name in ("plain", "moved"))
    assert not np.array_equal(plain, moved)
    again = f"--save-dir={folder / 'again'}"
    call("sample", f"--like={folder / 'moved' / 'seed_000000.png'}", "--device=cpu", again, "-q")
    assert np.array_equal(moved, pixels(folder / "again" / "seed_000000.png"))


def test_a_fan_of_translations_holds_the_coarse_structure(
    trained: Path, call: Call, photos: Path, folder: Path
) -> None:
    fans = {}
    for name, options in {"free": (), "held": ("--translate", "--scale=8")}.items():
        command = (f"--fan={photos / '03.png'}", "--num-samples=2", *options, *FAST)
        call("sample", trained, *command, f"--save-dir={folder / name}", "-q")
        sheet = pixels(folder / name / "fan.png").astype(float)
        rows, columns = 7, 3
        height, width = (sheet.shape[0] - 2) // rows, (sheet.shape[1] - 2) // columns
        tiles = [
            sheet[2 + r * height : r * height + 98, 2 + c * width : c * width + 98].mean((0, 1))
            for r in range(rows)
            for c in range(columns)
        ]
        fans[name] = np.abs(np.stack(tiles) - tiles[0]).max()
    assert fans["held"] < 1
    assert fans["free"] > 2  # the control


BAD = {
    "--interpolate=5 {a}": "interpolate needs 2 images, got 1",
    "--interpolate=1 {a} {b}": r"interpolate must be in 2..400, got 1",
    "--interpolate=few {a} {b}": "interpolate must be a whole number, got 'few'",
    "--interpolate=5 {a} {b} --sampler=ddim": "leave out --sampler",
    "--interpolate=5 {a} none.png": "no such image",
    "--explore=3 --num-samples=1": "explore must be 2 to 80 columns, got 1",
    "--explore=none.png": "no such image",
    "--explore=3 --seed=4": "--explore names the seed: leave out --seed",
    "--explore=3 --sampler=ddim": "ddim draws no noise",
    "--explore=3 --fan=3": "--explore and --fan are two tasks",
    "--fan=3 {a}": "leave out the images",
    "--fan=none.png": "no such image",
    "--directions=0": r"directions must be in 1..32, got 0",
    "--move=3:+2": "directions_file, which nkca-sample --directions=8 writes, go together",
    "--move=3 --directions-file={a}": "is not a safetensors file",
    "--pages=3": "pages must look like 3x3",
    "--pages=0x3": "pages must look like 3x3",
    "--pages=3x3 --save-grid": "leave out --save-grid",
    "--pick=3,x": "seeds must look like",
    "--pick=3,3": "seeds name 3 twice",
    "--pick=3 --seeds=4": "--pick names the seeds",
    "--select=4": "--select=N and --data=DIR",
    "--data={a}": "--select=N and --data=DIR",
    "--select=16 --data=demo": "select must be below the number of samples, 16, got 16",
    "--select=4 --num-samples=19 --data=demo": "samples to select from must be at least 20, got 19",
    "--select=4 --num-samples=20 --data=none": "no such file or folder",
}


def test_bad_input_is_one_line_and_writes_nothing(
    trained: Path, call: Call, photos: Path, folder: Path, tmp_path: Path
) -> None:
    images = {"a": photos / "00.png", "b": photos / "01.png"}
    for line, says in each(BAD.items()):
        options = line.format(**images).split()
        place = f"--save-dir={folder}"
        result = call("sample", trained, *options, place, "--device=cpu", "-q", code=2)
        assert says in result.stderr, result.stderr
        assert result.stderr.strip().count("\n") == 0, result.stderr
        assert list(tmp_path.iterdir()) == []
