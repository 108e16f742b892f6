"""What is listed, in what order, what is refused, and the bytes that come back."""

import io
import multiprocessing
import os
import pickle
import shutil
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import spawned_loads

from nkca.data.listing import (
    Listing,
    UnreadableImageError,
    list_images,
    open_source,
)
from nkca.errors import InputError

FILES = {"b.png": b"bee", "a.JPG": b"a", "sub/deep/c.TifF": b"sea", "notes.txt": b"no"}
NAMES = ("a.JPG", "b.png", "sub/deep/c.TifF")
HIDDEN = {".x.png": b"h", ".git/d.png": b"h", "__MACOSX/e.png": b"h"}
TARS: dict[str, Any] = {
    ".tar": "w",
    ".tar.gz": "w:gz",
    ".tgz": "w:gz",
    ".tar.bz2": "w:bz2",
    ".tar.xz": "w:xz",
}


def make_folder(root: Path) -> Path:
    for name, content in {**FILES, **HIDDEN}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def make_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**FILES, **HIDDEN}.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, mode: Any) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in {**FILES, **HIDDEN}.items():
            member = tarfile.TarInfo("./" + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def contents(listing: Listing) -> list[bytes]:
    with open_source(listing) as read:
        sources = [read(index) for index in range(len(listing))]
        return [source if isinstance(source, bytes) else source.read_bytes() for source in sources]


def place(kind: str, folder: Path) -> Path:
    if kind == "folder":
        return make_folder(folder / "images")
    if kind == ".zip":
        return make_zip(folder / "images.ZIP")
    return make_tar(folder / f"images{kind}", TARS[kind])


@pytest.mark.parametrize("kind", ["folder", ".zip", *TARS])
def test_every_image_once_sorted_and_readable(kind: str, tmp_path: Path) -> None:
    listing = list_images(place(kind, tmp_path))
    assert listing.names == NAMES
    assert len(listing) == 3
    assert contents(listing) == [FILES[name] for name in NAMES]
    assert pickle.loads(pickle.dumps(listing)) == listing


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar", ".tar.gz"])
def test_many_threads_read_the_right_bytes(kind: str, tmp_path: Path) -> None:
    listing = list_images(place(kind, tmp_path))
    with open_source(listing) as read, ThreadPoolExecutor(8) as pool:
        sources = list(pool.map(read, [0, 1, 2] * 100))
    got = [source if isinstance(source, bytes) else source.read_bytes() for source in sources]
    assert got == [FILES[name] for name in NAMES] * 100


def test_a_spawned_process_reads_a_listing_it_was_sent(tmp_path: Path) -> None:
    listing = list_images(place(".tar.gz", tmp_path))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(spawned_loads.first_byte, (listing,)) == b"a"


def test_links_to_files_count_and_directories_are_visited_once(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images")
    outside = make_folder(tmp_path / "outside")
    (root / "a-loop").symlink_to(root, target_is_directory=True)
    (root / "a-second-sub").symlink_to(root / "sub", target_is_directory=True)
    (root / "out").symlink_to(outside, target_is_directory=True)
    (root / "out2").symlink_to(outside, target_is_directory=True)
    (root / "link.png").symlink_to(root / "b.png")
    (root / "broken.png").symlink_to(root / "nothing.png")
    (root / "circle.png").symlink_to(root / "circle.png")
    expected = sorted([*NAMES, "link.png", *(f"out/{name}" for name in NAMES)])
    assert list_images(root).names == tuple(expected)


def test_hard_and_symbolic_links_in_a_tar(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images")
    os.link(root / "b.png", root / "sub/hard.png")
    (root / "sub/soft.png").symlink_to("../b.png")
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        archive.add(root, "top")
    listing = list_images(tmp_path / "images.tar")
    by_name = dict(zip(listing.names, contents(listing), strict=True))
    assert by_name["top/sub/hard.png"] == by_name["top/sub/soft.png"] == b"bee"
    assert len(listing) == 5


def test_one_file_a_relative_path_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list_images("images") == list_images(root) == list_images("~/images")
    single = list_images(root / "b.png")
    assert single.names == ("b.png",)
    assert contents(single) == [b"bee"]


def test_digest_follows_content_not_place(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images")
    before = list_images(root).digest()
    root.rename(tmp_path / "moved")
    root = tmp_path / "moved"
    assert list_images(root).digest() == before
    stat = (root / "b.png").stat()
    time.sleep(0.02)  # the clock of ctime ticks in steps
    (root / "b.png").write_bytes(b"BEE")
    os.utime(root / "b.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    changed = list_images(root).digest()
    assert changed != before
    (root / "b.png").rename(root / "bb.png")
    assert list_images(root).digest() not in (before, changed)


def test_digest_of_archives_follows_content(tmp_path: Path) -> None:
    first = make_zip(tmp_path / "first.zip")
    shutil.copy(first, tmp_path / "second.zip")
    assert list_images(first).digest() == list_images(tmp_path / "second.zip").digest()
    with zipfile.ZipFile(first, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content.upper())
    assert list_images(first).digest() != list_images(tmp_path / "second.zip").digest()


def test_refusals_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    for name in ("1.txt", "2.txt"):
        (tmp_path / "texts" / name).write_bytes(b"")
    for name in ("bad.zip", "bad.tar", "bad.tar.gz", "what.bin"):
        (tmp_path / name).write_bytes(b"not an archive")
    make_tar(tmp_path / "cut.tgz", "w:gz")
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "cut.tgz").read_bytes()[:60])
    cases = {
        "nowhere": "no such file or folder",
        "~nobody-here/x": "no such file or folder",
        "empty": "no image found, 0 other files",
        "texts": r"no image found, 2 other files \(images: \.png \.jpg",
        "bad.zip": "cannot read this zip: File is not a zip file",
        "bad.tar": "cannot read this tar",
        "bad.tar.gz": "cannot read this tar",
        "cut.tgz": "cannot read this tar",
        "what.bin": r"expected a folder, a \.zip, a \.tar",
    }
    for name, message in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            list_images(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name.split("/")[-1] in str(caught.value)


def test_a_damaged_member_is_unreadable_the_next_is_not(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "images.zip")
    path.write_bytes(path.read_bytes().replace(b"bee", b"eeb", 1))
    listing = list_images(path)
    with open_source(listing) as read:
        with pytest.raises(UnreadableImageError, match="Bad CRC-32"):
            read(1)
        assert read(2) == b"sea"
        assert read(0) == b"a"


def test_listing_a_folder_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(tmp_path / "images")
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was opened"))
    monkeypatch.setattr(Path, "read_bytes", lambda *_: pytest.fail("a file was read"))
    assert list_images(root).names == NAMES
