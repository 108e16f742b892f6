"""Rows that were saved are there the next time, whatever happened; nothing else is."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tables import each

from nkca.errors import InputError
from nkca.metrics import store as store_module
from nkca.metrics.extractors.contract import Array, Features
from nkca.metrics.store import FeatureStore, open_store

SOURCE = str(Path(__file__).resolve().parents[2] / "src")


def features_of(first: int, count: int) -> Array:
    """Rows ``first`` to ``first + count``, (count, 3): row i holds 10 i, 10 i + 1, 10 i + 2."""
    return (10.0 * np.arange(first, first + count)[:, None] + np.arange(3)).astype(np.float32)


def logits_of(first: int, count: int) -> Array:
    return -np.arange(first, first + count, dtype=np.float32)[:, None].repeat(2, 1)


def batch(first: int, count: int, logits: bool = True) -> Features:
    return Features(
        torch.from_numpy(features_of(first, count)),
        torch.from_numpy(logits_of(first, count)) if logits else None,
    )


def fill(directory: Path, *counts: int) -> None:
    with open_store(directory) as store:
        for count in counts:
            store.append(batch(store.rows, count))


def assert_holds(directory: Path, count: int) -> None:
    """Exactly the rows 0 to ``count``."""
    with open_store(directory) as store:
        assert store.rows == count
        if count:
            assert_reads(store, count)


def assert_reads(store: FeatureStore, count: int) -> None:
    features, logits = store.read(count)
    assert logits is not None
    assert np.array_equal(features, features_of(0, count))
    assert np.array_equal(logits, logits_of(0, count))


def progress_of(directory: Path) -> dict[str, object]:
    found = json.loads((directory / "progress.json").read_text())
    assert isinstance(found, dict)
    return found


# rows


def test_rows_are_read_back_at_once_and_the_next_time(tmp_path: Path) -> None:
    with open_store(tmp_path / "a" / "store") as store:
        assert store.rows == 0
        for count in (4, 1, 7):
            store.append(batch(store.rows, count))
            assert_reads(store, store.rows)
    assert_holds(tmp_path / "a" / "store", 12)
    assert progress_of(tmp_path / "a" / "store") == {"rows": 12, "widths": [3, 2]}


def test_without_logits(tmp_path: Path) -> None:
    for rows in (5, 9):
        with open_store(tmp_path) as store:
            store.append(batch(store.rows, rows - store.rows, logits=False))
            features, logits = store.read(rows)
            assert np.array_equal(features, features_of(0, rows))
            assert logits is None
    with open_store(tmp_path) as store:
        assert store.read(9)[1] is None


def test_fewer_rows_than_are_there(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    with open_store(tmp_path) as store:
        assert_reads(store, 2)
        assert store.rows == 6, "the others stay"
        with pytest.raises(AssertionError):
            store.read(7)
        with pytest.raises(AssertionError):
            store.read(0)


def test_rows_go_on_after_a_look_at_them(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(batch(0, 3))
        early, _ = store.read(3)
        store.append(batch(3, 400))
        late, _ = store.read(403)
        assert np.array_equal(early, features_of(0, 3))
        assert np.array_equal(late, features_of(0, 403))


def test_tensors_of_other_types_and_layouts(tmp_path: Path) -> None:
    columns = torch.from_numpy(features_of(0, 4)).double().T.contiguous().T.requires_grad_()
    assert not columns.is_contiguous()
    with open_store(tmp_path) as store:
        store.append(Features(columns, torch.from_numpy(logits_of(0, 4)).bfloat16()))
        assert_reads(store, 4)


def test_a_mapping_is_a_tensor_without_warnings_and_private(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    with open_store(tmp_path) as store:
        features, _ = store.read(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = torch.from_numpy(features)
        part = torch.from_numpy(features[2:4])
    assert tensor.dtype == torch.float32
    assert part.tolist() == features_of(2, 2).tolist()
    tensor.zero_()
    assert_holds(tmp_path, 5)


# what cannot be added


def test_features_of_another_kind_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    for other in (
        Features(torch.zeros(2, 4), torch.zeros(2, 2)),
        Features(torch.zeros(2, 3), torch.zeros(2, 5)),
        Features(torch.zeros(2, 3)),
    ):
        with (
            open_store(tmp_path) as store,
            pytest.raises(InputError, match="of another kind") as error,
        ):
            store.append(other)
        assert str(tmp_path) in str(error.value)
        assert_holds(tmp_path, 3)


def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot keep features .*cache_dir.*switch the cache off"):
        fill(tmp_path / "file" / "store", 1)


# crashes


def test_what_was_added_is_saved_however_the_block_ends(tmp_path: Path) -> None:
    for error in each([KeyboardInterrupt, MemoryError, InputError]):
        with pytest.raises(error), open_store(tmp_path / error.__name__) as store:
            store.append(batch(0, 3))
            store.append(batch(3, 2))
            raise error
        assert_holds(tmp_path / error.__name__, 5)


def test_rows_after_the_last_save_are_lost_but_no_others(tmp_path: Path) -> None:
    """The process is gone before it could close: features reached the disk, their number did not."""
    fill(tmp_path, 4)
    for name, extra in (
        ("features.f32", features_of(4, 3).tobytes() + b"ha"),
        ("logits.f32", logits_of(4, 1).tobytes()),
    ):
        with (tmp_path / name).open("ab") as file:
            file.write(extra)
    assert_holds(tmp_path, 4)
    fill(tmp_path, 2, 2)
    assert_holds(tmp_path, 8)
    assert (tmp_path / "features.f32").stat().st_size == 4 * 3 * 8
    assert (tmp_path / "logits.f32").stat().st_size == 4 * 2 * 8


def test_garbage_after_the_rows_is_overwritten(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    for name in ("features.f32", "logits.f32"):
        with (tmp_path / name).open("ab") as file:
            file.write(b"\xff" * 999)
    fill(tmp_path, 1)
    assert_holds(tmp_path, 5)


def test_files_that_do_not_hold_the_rows_begin_again(tmp_path: Path) -> None:
    lengths = [None, 0, 7]
    for number, (name, length) in each(
        enumerate(itertools.product(["features.f32", "logits.f32"], lengths))
    ):
        store = tmp_path / str(number)
        fill(store, 4)
        if length is None:
            (store / name).unlink()
        else:
            os.truncate(store / name, length)
        assert_holds(store, 0)
        fill(store, 6)
        assert_holds(store, 6)


DAMAGED = [
    "", "{", "[]", "null", "7", "{}", "\udcff",
    '{"rows": 4}',
    '{"widths": [3, 2]}',
    '{"rows": "four", "widths": [3, 2]}',
    '{"rows": 4, "widths": [3]}',
    '{"rows": 4, "widths": [3, 2, 1]}',
    '{"rows": 4, "widths": null}',
    '{"rows": 5, "widths": [3, 2]}',  # more than there are
    '{"rows": 4, "widths": [4, 2]}',
    '{"rows": -1, "widths": [3, 2]}',
    '{"rows": 4, "widths": [0, 2]}',
    '{"rows": Infinity, "widths": [3, 2]}',
]  # fmt: skip


def test_damaged_progress_begins_again(tmp_path: Path) -> None:
    for number, text in each(enumerate(DAMAGED)):
        store = tmp_path / str(number)
        fill(store, 4)
        (store / "progress.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert_holds(store, 0)
        fill(store, 6)
        assert_holds(store, 6)


def test_without_progress_it_begins_again(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    (tmp_path / "progress.json").unlink()
    assert_holds(tmp_path, 0)
    fill(tmp_path, 2)
    assert_holds(tmp_path, 2)


def test_rows_are_saved_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_SAVE_SECONDS", 0)
    with open_store(tmp_path) as store:
        store.append(batch(0, 3))
        assert progress_of(tmp_path)["rows"] == 3, "before the block ends"
        monkeypatch.setattr(store_module, "_SAVE_SECONDS", 3600)
        store.append(batch(3, 3))
        assert progress_of(tmp_path)["rows"] == 3
    assert progress_of(tmp_path)["rows"] == 6


CHILD = """
import sys
from pathlib import Path
import numpy as np
import torch
from nkca.metrics import store as store_module
from nkca.metrics.extractors.contract import Features
store_module._SAVE_SECONDS = 0.01
with store_module.open_store(Path(sys.argv[1])) as store:
    print("open", flush=True)
    while True:
        row = torch.arange(store.rows, store.rows + 7, dtype=torch.float32)[:, None]
        store.append(Features(10 * row + torch.arange(3), -row.repeat(1, 2)))
"""


def test_kill_9_in_the_middle(tmp_path: Path) -> None:
    """Twice on the same store: what is there is right, and never less than was saved before.

    While the process lives, the store is its own.
    """
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    saved = 0
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            with (
                pytest.raises(InputError, match="another process is at work"),
                open_store(tmp_path),
            ):
                pass
            deadline = time.monotonic() + 30
            while _rows_on_disk(tmp_path) <= saved and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.03)
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        now = _rows_on_disk(tmp_path)
        assert now > saved
        assert now % 7 == 0
        assert_holds(tmp_path, now)
        saved = now


def _rows_on_disk(directory: Path) -> int:
    path = directory / "progress.json"
    return int(json.loads(path.read_text())["rows"]) if path.exists() else 0


def test_a_store_is_open_once(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        with pytest.raises(InputError, match="another process is at work"), open_store(tmp_path):
            pass
        store.append(batch(0, 2))
    assert_holds(tmp_path, 2)
    with open_store(tmp_path), open_store(tmp_path / "other"):
        pass
