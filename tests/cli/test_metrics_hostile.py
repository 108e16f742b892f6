"""nkca-metrics in clumsy hands: odd sets, hostile statistics, full disks, signals, several at once.

Whatever comes in: no traceback, code 0, 2 or 130, and no number in metrics.json that is not one.
"""

import errno
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result
from PIL import Image
from tables import each
from torch import Tensor
from toys import random_pictures, save_pictures, write_checkpoint

import nkca.system.files
from nkca.data.decode import DecodeOptions
from nkca.errors import InputError
from nkca.metrics.extractors.contract import Features
from nkca.metrics.extractors.pixels import PixelsExtractor
from nkca.metrics.store import open_store

Call = Callable[..., Result]
PIXELS = "--features=pixels"
SOURCE = Path(__file__).resolve().parents[2] / "src"


def strict(constant: str) -> float:
    raise AssertionError(f"metrics.json holds {constant}, which is no JSON")


def read(directory: Path) -> dict[str, Any]:
    text = (directory / "metrics.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text, parse_constant=strict)
    return content


def error_of(result: Result) -> str:
    """The last line; those before say what is read and computed."""
    lines = result.stderr.splitlines()
    told = (
        r"decoding images: .*",
        r"features of .*",
        r"scores: 6",
        r".* holds something already.*",
    )
    assert all(any(re.fullmatch(t, line) for t in told) for line in lines[:-1]), result.stderr
    assert lines[-1].startswith("nkca-metrics: error: ")
    return lines[-1]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of 8x8: 192 dimensions."""
    return save_pictures(tmp_path_factory.mktemp("good") / "good", random_pictures(20, seed=1))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / "other"
    return save_pictures(folder, random_pictures(25, seed=2, high=200))


# Sets that are strange


def rgba(count: int) -> list[Image.Image]:
    values = np.random.default_rng(3).integers(0, 256, (count, 8, 8, 4)).astype(np.uint8)
    return [Image.fromarray(value) for value in values]


def deep(count: int) -> list[Image.Image]:
    values = np.random.default_rng(4).integers(0, 65536, (count, 8, 8)).astype(np.uint16)
    return [Image.fromarray(value) for value in values]


def plain(count: int, height: int, width: int) -> list[Image.Image]:
    shape = (count, height, width, 3)
    values = np.random.default_rng(5).integers(0, 256, shape).astype(np.uint8)
    return [Image.fromarray(value) for value in values]


STRANGE: dict[str, list[Image.Image]] = {
    "one image": plain(1, 8, 8),
    "two that are the same": plain(1, 8, 8) * 2,
    "twenty that are the same": plain(1, 8, 8) * 20,
    "all black": [Image.new("RGB", (8, 8))] * 20,
    "transparent": rgba(12),
    "16 bits": deep(12),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_sets_give_numbers_or_reasons(
    name: str, call: Call, good: Path, tmp_path: Path
) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    for number, image in enumerate(STRANGE[name]):
        image.save(strange / f"{number:03d}.png")
    for out, *pair in each([("one", strange, good), ("swapped", good, strange)]):
        call("metrics", *pair, PIXELS, f"--train={strange}", f"--save-dir={tmp_path}/{out}")
        found = read(tmp_path / str(out))
        missing = {name for name in found["missing"] if name not in ("inception_score", "fid_line")}
        if len(STRANGE[name]) > 2:
            assert missing == set()
            assert found["scores"]["fid"] > 1
        else:
            assert "manifold" in missing
            assert ("fid" in missing) == (len(STRANGE[name]) == 1)


def test_images_of_any_size(call: Call, tmp_path: Path) -> None:
    for height, width in each([(1, 1), (3, 400)]):
        folder, out = tmp_path / f"odd-{width}", tmp_path / f"out-{width}"
        folder.mkdir()
        for number, image in enumerate(plain(8, height, width)):
            image.save(folder / f"{number}.png")
        call("metrics", folder, folder, PIXELS, f"--train={folder}", f"--save-dir={out}")
        found = read(out)["scores"]
        assert found["fid"] == pytest.approx(0, abs=1e-9)
        assert (found["precision"], found["memorisation"]["copies"]) == (1, 1)
        assert (out / "closest.png").exists()


def test_of_an_animation_the_first_frame_counts(call: Call, tmp_path: Path) -> None:
    animated, still = tmp_path / "animated", tmp_path / "still"
    animated.mkdir()
    still.mkdir()
    for number, image in enumerate(plain(12, 8, 8)):
        first = image.quantize(64)
        later = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
        first.save(animated / f"{number:02d}.gif", save_all=True, append_images=later)
        first.convert("RGB").save(still / f"{number:02d}.png")
    call("metrics", animated, still, PIXELS, f"--save-dir={tmp_path}/out")
    assert read(tmp_path / "out")["scores"]["fid"] < 1e-9


def test_a_set_against_itself_is_said_to_say_nothing(
    call: Call, good: Path, other: Path, tmp_path: Path
) -> None:
    """FID∞ and KID are then far below 0."""
    copied = shutil.copytree(good, tmp_path / "copied")
    for number, reference in enumerate((good, copied)):
        call("metrics", good, reference, PIXELS, f"--save-dir={tmp_path}/{number}")
        found = read(tmp_path / str(number))
        assert found["scores"]["fid_infinity"]["value"] < 0
        assert sum("are the reference itself" in line for line in found["warnings"]) == 1
    call("metrics", good, other, PIXELS, f"--save-dir={tmp_path}/other")
    assert not any("itself" in line for line in read(tmp_path / "other")["warnings"])


def test_no_advice_on_a_fid_that_is_not_there(call: Call, good: Path, tmp_path: Path) -> None:
    call("metrics", good, PIXELS, f"--save-dir={tmp_path}/out")
    assert read(tmp_path / "out")["warnings"] == []


def test_an_empty_folder(call: Call, good: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments in ((good, empty), (empty, good), (empty,), (good, good, f"--train={empty}")):
        result = call("metrics", *arguments, PIXELS, f"--save-dir={tmp_path}/out", code=2)
        assert "empty: no image found" in error_of(result)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_names_that_are_empty_are_called_so(call: Call, good: Path, tmp_path: Path) -> None:
    """As of a variable that is not set."""
    for arguments, role in (((good, ""), "reference"), (("", good), "samples")):
        result = call("metrics", *arguments, PIXELS, f"--save-dir={tmp_path}/out", code=2)
        assert f"the name of the {role} is empty" in error_of(result)
    result = call("metrics", good, good, "", "--anomaly", f"--save-dir={tmp_path}/out", code=2)
    assert "the name of another set is empty" in error_of(result)


def test_large_pictures_as_pixels(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for number, image in enumerate(plain(2, 200, 200)):
        image.save(folder / f"{number}.png")
    result = call("metrics", folder, folder, PIXELS, f"--save-dir={tmp_path}/out", code=2)
    assert re.search("200x200 in RGB are 120000 dimensions, at most [0-9]+", error_of(result))
    assert not (tmp_path / "out").exists()


def test_a_resize_that_no_memory_holds_is_refused() -> None:
    """Asked of the options alone: where it is not refused, the system kills the process."""
    with pytest.raises(InputError, match="resize=100000: expected 1 to 16384 pixels"):
        DecodeOptions(resize=100_000)


def test_names_of_files_that_are_no_text(call: Call, good: Path, tmp_path: Path) -> None:
    """Bytes that are not UTF-8, as old archives and disks have them."""
    folder = tmp_path / os.fsdecode(b"ph\xffotos")
    try:
        shutil.copytree(good, folder)
    except OSError:
        pytest.skip("this file system wants UTF-8")
    call("metrics", folder, good, PIXELS, f"--save-dir={tmp_path}/out", "-q")
    assert read(tmp_path / "out")["protocol"]["samples"]["path"] == str(folder)


# Statistics that are strange


FEATURES = np.random.default_rng(6).normal(size=(30, 192)).astype(np.float32)
LOGITS = np.random.default_rng(7).normal(size=(30, 5)).astype(np.float32)
EYE = np.eye(192)


def of_features(
    features: npt.NDArray[Any], logits: npt.NDArray[Any], **changed: Any
) -> dict[str, npt.NDArray[Any]]:
    about = json.dumps({"extractor": None, "images": {}})
    arrays = {"features": features, "logits": logits, "nkca": np.array(about)}
    return {"mu": np.zeros(192), "sigma": EYE, **arrays, **changed}


def with_one(values: npt.NDArray[Any], value: float) -> npt.NDArray[Any]:
    changed: npt.NDArray[Any] = values.copy()
    changed[3, 2] = value
    return changed


REFUSED: dict[str, tuple[dict[str, npt.NDArray[Any]], str]] = {
    "of nothing": ({"mu": np.zeros(0), "sigma": np.zeros((0, 0))}, r"mu is of shape \(0,\)"),
    "complex": ({"mu": np.zeros(192, complex), "sigma": EYE}, "mu is of type complex128"),
    "words": ({"mu": np.array(["a"]), "sigma": np.eye(1)}, "mu is of type <U1"),
    "no image": (of_features(FEATURES[:0], LOGITS[:0]), r"of shape \(0, 192\)"),
    "fewer logits": (of_features(FEATURES, LOGITS[:7]), "7 logits, but not as many features"),
    "other dimensions": ({"mu": np.zeros(7), "sigma": np.eye(7)}, "of 7 and of 192 dimensions"),
}


def test_statistics_that_are_none(call: Call, good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.npz"
    for name in each(REFUSED):
        arrays, says = REFUSED[name]
        np.savez(bad, **arrays)  # type: ignore[arg-type]  # stub of NumPy
        for pair in ((good, bad), (bad, good)):
            result = call("metrics", *pair, PIXELS, f"--save-dir={tmp_path}/out", code=2)
            assert re.search(says, error_of(result))
        assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]


NOT_FINITE: dict[str, tuple[dict[str, npt.NDArray[Any]], set[str]]] = {
    "mean not a number": ({"mu": np.full(192, np.nan), "sigma": EYE}, {"fid"}),
    "mean infinite": ({"mu": np.full(192, np.inf), "sigma": EYE}, {"fid"}),
    "mean astronomical": ({"mu": np.full(192, 1e200), "sigma": EYE}, {"fid"}),
    "covariance astronomical": ({"mu": np.zeros(192), "sigma": 1e300 * EYE}, {"fid"}),
    "covariance negative": ({"mu": np.zeros(192), "sigma": -EYE}, {"fid"}),
    "covariance lopsided": ({"mu": np.zeros(192), "sigma": np.triu(EYE + 1)}, {"fid"}),
    "feature not a number": (of_features(with_one(FEATURES, np.nan), LOGITS), {"kid", "manifold"}),
    "feature infinite": (of_features(with_one(FEATURES, -np.inf), LOGITS), {"kid", "manifold"}),
    "feature astronomical": (of_features(with_one(FEATURES, 1e38), LOGITS), {"kid", "manifold"}),
    "logit not a number": (of_features(FEATURES, with_one(LOGITS, np.nan)), {"inception_score"}),
    "logit infinite": (of_features(FEATURES, with_one(LOGITS, np.inf)), {"inception_score"}),
}


def test_no_score_is_made_of_numbers_that_are_none(call: Call, good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.npz"
    for number, name in each(enumerate(NOT_FINITE)):
        arrays, expected = NOT_FINITE[name]
        np.savez(bad, **arrays)  # type: ignore[arg-type]  # stub of NumPy
        one, swapped = tmp_path / f"{number}", tmp_path / f"{number}-swapped"
        call("metrics", bad, good, PIXELS, f"--save-dir={one}")
        call("metrics", good, bad, PIXELS, f"--save-dir={swapped}")
        found = read(one)
        assert all(math.isfinite(value) for value in numbers(found["scores"]))
        assert all(math.isfinite(value) for value in numbers(read(swapped)["scores"]))
        assert expected <= found["missing"].keys()
        if "inception_score" not in expected and "logits" in arrays:
            assert "inception_score" in found["scores"]


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield float(value)


# Places that are strange


def never(*_: object) -> Features:
    raise AssertionError("this should have been refused before anything was computed")


NOWHERE = [
    (["--save-stats={place}/none/x.npz"], r"x\.npz: cannot write into the folder .*/none"),
    (["--save-stats={place}/file/x.npz"], r"x\.npz: cannot write into the folder .*/file"),
    (["--save-stats={place}/x"], r"/x: the name must end in \.npz"),
    (["--stats-only"], "give that too"),
    (["--save-dir={place}/file"], "'--save-dir': Directory .*file' is a file"),
    (["--save-dir={place}/file/x"], r"Not a directory: .*/file/x"),
    (["--cache-dir={place}/file"], "cannot write the cache here: File exists; name another place"),
]


def test_places_are_checked_before_anything_is_computed(
    call: Call, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PixelsExtractor, "__call__", never)
    (tmp_path / "file").write_text("in the way")
    for flags, says in each(NOWHERE):
        filled = [flag.format(place=tmp_path) for flag in flags]
        result = call("metrics", good, PIXELS, f"--save-dir={tmp_path}/out", *filled, code=2)
        assert re.search(says, error_of(result))
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, empty, that cannot be written to; for root, who may everything, in name."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    access = os.access

    def denied(path: Path, mode: int) -> bool:
        return access(path, mode) and not (Path(path) == folder and mode & os.W_OK)

    monkeypatch.setattr(os, "access", denied)
    return folder


def test_folders_that_cannot_be_written_to(
    call: Call, good: Path, closed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PixelsExtractor, "__call__", never)
    result = call("metrics", good, PIXELS, f"--save-dir={closed}", code=2)
    assert "closed: cannot write into this folder" in error_of(result)
    assert closed.is_dir(), "it was there before"
    result = call("metrics", good, PIXELS, f"--save-dir={tmp_path}/out",
                  f"--save-stats={closed}/x.npz", code=2)  # fmt: skip
    assert re.search("cannot write into the folder .*closed", error_of(result))


def test_the_current_folder_as_save_dir(
    call: Call, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside it, where it holds something; also as "", of a variable that is not set."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    result = call("metrics", good, PIXELS, "--save-dir=.")
    assert "holds something" not in result.stderr
    assert (here / "metrics.json").exists()
    for flag, name in (("--save-dir=.", "here-2"), ("--save-dir=", "here-3")):
        result = call("metrics", good, PIXELS, flag)
        assert f"writing to {tmp_path / name}" in result.stderr
        assert (tmp_path / name / "metrics.json").exists()
    monkeypatch.chdir(tmp_path / "here-2")
    call("metrics", good, PIXELS, "--save-dir=..")
    assert (Path(f"{tmp_path}-2") / "metrics.json").exists()


def test_the_root_as_save_dir(call: Call, good: Path) -> None:
    result = call("metrics", good, PIXELS, "--save-dir=/", code=2)
    assert "no free directory name beside /" in error_of(result)


def test_without_a_home(
    call: Call, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a cache that is named is used; where no cache can be made, it says so and goes on."""
    for name in ("HOME", "NKCA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    call("metrics", good, PIXELS, f"--save-dir={tmp_path}/a", f"--cache-dir={tmp_path}/cache")
    assert (tmp_path / "cache" / "features").is_dir()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    result = call("metrics", good, PIXELS, f"--save-dir={tmp_path}/b")
    assert result.stderr.count("cannot write the cache in") == 1
    assert "nothing is cached" in result.stderr


# Full disks


def full() -> OSError:
    """What the system says; of a write it names no file."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("keep", ["--cache", "--no-cache"])
def test_a_full_disk_under_the_features(
    keep: str, call: Call, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says where; a later run, with room, has the right numbers."""
    places = [f"--cache-dir={tmp_path}/cache", f"--save-dir={tmp_path}/out", "--batch-size=4", keep]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    written: list[int] = []

    def bytes_of(part: Tensor) -> bytes:
        written.append(len(part))
        if len(written) > 5:  # in the third batch, between features and logits
            raise full()
        return part.numpy().tobytes()

    with monkeypatch.context() as patch:
        patch.setattr("nkca.metrics.store._bytes", bytes_of)
        result = call("metrics", good, good, PIXELS, *places, code=2)
    said = error_of(result)
    assert re.search(rf"{tmp_path}/\S+: cannot keep features here: No space left", said)
    assert "cache_dir" in said
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}
    call("metrics", good, good, PIXELS, *places)
    assert read(tmp_path / "out")["scores"]["fid"] == pytest.approx(0, abs=1e-9)


def test_a_full_disk_under_the_results(
    call: Call, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fsync(_: int) -> None:
        raise full()

    call("metrics", good, PIXELS, f"--save-dir={tmp_path}/first")  # all is in the cache
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        result = call("metrics", good, PIXELS, f"--save-dir={tmp_path}/out", code=2)
    assert re.search(r"No space left on device: .*/out/metrics\.json$", error_of(result))
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_errors_name_the_file_not_its_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with (
        pytest.raises(OSError, match="No such file") as caught,
        nkca.system.files.atomic_write(path),
    ):
        pass
    assert caught.value.filename == str(path)


# Several at once


def test_no_other_process_gets_a_directory_that_is_still_empty(tmp_path: Path) -> None:
    claimed_directory, path = nkca.system.files.claimed_directory, tmp_path / "out"
    with claimed_directory(path) as first, claimed_directory(path) as second:
        assert (first, second) == (path, tmp_path / "out-2")
        with claimed_directory(path) as third:
            assert third == tmp_path / "out-3"
        assert not third.exists(), "made here, and nothing in it"
        (first / "a").write_text("a")
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["out"]
    (tmp_path / "out-2").mkdir()
    with pytest.raises(ZeroDivisionError), claimed_directory(path) as again:
        assert again == tmp_path / "out-2"
        raise ZeroDivisionError
    assert again.is_dir(), "it was there before"


def processes(count: int, place: Path, *arguments: object) -> list["subprocess.Popen[str]"]:
    """nkca-metrics, several times; what they write goes below ``place``."""
    command = [sys.executable, "-m", "nkca.cli.metrics", *map(str, arguments), "--device=cpu"]
    variables = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    variables |= {"NKCA_CACHE": str(place / "cache"), "TMPDIR": str(place / "tmp")}
    (place / "tmp").mkdir(exist_ok=True)
    return [
        subprocess.Popen(
            command,
            env=variables,
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]


@pytest.mark.slow
def test_three_at_once_on_one_cache_and_one_save_dir(
    good: Path, other: Path, tmp_path: Path
) -> None:
    """As when five checkpoints are scored side by side: all succeed, and each has a place."""
    running = processes(3, tmp_path, good, other, PIXELS, "--save-dir=out")
    said = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    found = [read(tmp_path / name)["scores"] for name in ("out", "out-2", "out-3")]
    assert found[0] == found[1] == found[2]


def test_a_store_at_work_is_waited_for(call: Call, good: Path, tmp_path: Path) -> None:
    flags = (PIXELS, f"--cache-dir={tmp_path}/cache")
    call("metrics", good, *flags, f"--save-dir={tmp_path}/first")
    (store,) = (tmp_path / "cache" / "features").iterdir()
    at_work = threading.Event()

    def hold() -> None:
        with open_store(store):
            at_work.set()
            time.sleep(0.5)

    other = threading.Thread(target=hold)
    other.start()
    assert at_work.wait(10)
    result = call("metrics", good, *flags, f"--save-dir={tmp_path}/second")
    other.join()
    assert f"another process is at work in {store}: waiting for it" in result.stderr
    assert "features of" not in result.stderr, "what it did is there"
    assert read(tmp_path / "first")["scores"] == read(tmp_path / "second")["scores"]


# Signals


@contextmanager
def at_work(place: Path, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """nkca-metrics in a process of its own, while it makes samples or features."""
    (process,) = processes(1, place, *arguments)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("features of samples"):
                break
        else:
            raise AssertionError("it ended before it began")
        time.sleep(1)
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_end_it_with_code_130_and_what_was_done_is_kept(
    name: str, good: Path, tmp_path: Path
) -> None:
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"this system has no {name}")
    model = write_checkpoint(tmp_path / "model.pth")
    command = (model, good, PIXELS, "--num-samples=100000", "--batch-size=8",
               "--num-sampling-steps=10", "--save-dir=out")  # fmt: skip
    with at_work(tmp_path, *command) as process:
        process.send_signal(number)
        out, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert out == ""
        assert "Traceback" not in said
        if number != getattr(signal, "SIGHUP", None):  # then the terminal is gone
            assert "interrupted" in said
    counts = [
        json.loads(path.read_text())["rows"]
        for path in (tmp_path / "cache" / "features").glob("*/progress.json")
    ]
    assert len(counts) == 2, "of the reference and of the samples"
    assert max(counts) > 20
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "cache").rglob(".lock"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signals_leave_nothing_in_the_temporary_folder(
    name: str, good: Path, tmp_path: Path
) -> None:
    model = write_checkpoint(tmp_path / "model.pth")
    command = (model, good, PIXELS, "--num-samples=100000", "--no-cache", "--save-dir=out",
               "--compile=off")  # fmt: skip
    with at_work(tmp_path, *command) as process:
        assert list((tmp_path / "tmp").iterdir()) != []
        process.send_signal(getattr(signal, name))
        process.communicate(timeout=60)
        assert process.returncode == 130
    assert list((tmp_path / "tmp").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"model.pth", "tmp"}
