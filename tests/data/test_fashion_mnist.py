"""The converter, on idx files made here, and the bundled set."""

import gzip
import struct
import zipfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from make_fashion_mnist import SOURCE, main, read_split, select

from nkca.data.cache import load_images
from nkca.data.listing import list_images
from nkca.data.reading import LoadOptions

LABELS = np.array([1, 0, 1, 1, 0, 2], np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "idx"
    folder.mkdir()
    images = np.arange(6 * 28 * 28).reshape(6, 28, 28).astype(np.uint8)
    header = struct.pack(">4B3I", 0, 0, 8, 3, 6, 28, 28)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    header = struct.pack(">4BI", 0, 0, 8, 1, 6)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + LABELS.tobytes()))
    return folder


def test_a_folder_of_png_files(source: Path, tmp_path: Path) -> None:
    assert main([str(tmp_path / "out"), "--source", str(source)]) == 0
    loaded = load_images(list_images(tmp_path / "out"), LoadOptions(), None)
    assert loaded.names == tuple(f"{i:05d}-{label}.png" for i, label in enumerate(LABELS))
    assert np.array_equal(loaded.images[..., 0], read_split(source, "train")[0])


def test_selection() -> None:
    assert select(LABELS) == [0, 1, 2, 3, 4, 5]
    assert select(LABELS, limit=2) == [0, 1]
    assert select(LABELS, per_class=1) == [0, 1, 5]
    assert select(LABELS, per_class=2, limit=4) == [0, 1, 2, 4]


def test_zips_are_the_same_bytes_and_not_deflated(source: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "1.zip", tmp_path / "2.zip"]
    for path in paths:
        assert main(["--zip", str(path), "--source", str(source), "--per-class", "1"]) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with zipfile.ZipFile(paths[0]) as archive:
        assert archive.namelist() == ["00000-1.png", "00001-0.png", "00005-2.png"]
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_bad_input_is_one_line_and_exit_2(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_bytes(b"")
    out = str(tmp_path / "out")
    train = ["--source", str(source)]
    assert main([str(full), *train]) == 2
    assert main([*train]) == 2
    assert main([out, "--zip", out, *train]) == 2
    assert main([out, *train, "--split", "test"]) == 2
    assert main([out, *train, "--limit", "0"]) == 2
    (source / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    assert main([out, *train]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("error: ") for line in lines)
    assert not Path(out).exists()


def test_the_bundled_set_is_what_it_says() -> None:
    with zipfile.ZipFile(str(files("nkca.demo") / "demo.zip")) as archive:
        names = archive.namelist()
    assert [sum(name.endswith(f"-{label}.png") for name in names) for label in range(10)] == [
        200
    ] * 10


def test_the_bundled_set_has_the_pixels_of_the_source() -> None:
    if not SOURCE.exists():
        pytest.skip("dataset-fashion-mnist is not installed")
    images, labels = read_split(SOURCE, "train")
    loaded = load_images(list_images(str(files("nkca.demo") / "demo.zip")), LoadOptions(), None, 2)
    assert np.array_equal(loaded.images[..., 0], images[select(labels, per_class=200)])
