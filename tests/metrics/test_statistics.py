"""Statistics files: what is saved is read back, pytorch-fid's are read too, and damage is named."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tables import each
from toys import normal

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Description
from nkca.metrics.scores.moments import Gaussian
from nkca.metrics.statistics import Statistics, load_statistics, save_statistics

EXTRACTOR = Description("toy", "0123abcd", "bytes / 255", "not the standard one")
IMAGES = {"kind": "files", "path": "/photos", "count": 9, "size": [8, 8], "lossy": 0.25}


def example(count: int = 9) -> Statistics:
    return Statistics(normal(count, 4, 1), normal(count, 3, 2), None, EXTRACTOR, IMAGES)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# round trips


def test_all_of_it_is_read_back(tmp_path: Path) -> None:
    path, saved = tmp_path / "a.npz", example()
    save_statistics(path, saved)
    loaded = load_statistics(path)
    assert loaded.features is not None and saved.features is not None
    assert loaded.logits is not None and saved.logits is not None
    assert np.array_equal(loaded.features, saved.features)
    assert np.array_equal(loaded.logits, saved.logits)
    assert loaded.features.dtype == loaded.logits.dtype == np.float32
    assert (loaded.extractor, loaded.images) == (EXTRACTOR, IMAGES)
    assert (loaded.count, loaded.dimensions) == (9, 4)
    assert torch.equal(loaded.gaussian().mean, saved.gaussian().mean)
    assert torch.equal(loaded.gaussian().covariance, saved.gaussian().covariance)
    assert names(tmp_path) == ["a.npz"]


def test_moments_alone_are_read_back(tmp_path: Path) -> None:
    path, gaussian = tmp_path / "a.npz", example().gaussian()
    save_statistics(path, Statistics(None, None, gaussian, EXTRACTOR, IMAGES))
    loaded = load_statistics(path)
    assert (loaded.features, loaded.logits) == (None, None)
    assert torch.equal(loaded.gaussian().covariance, gaussian.covariance)
    assert (loaded.count, loaded.dimensions) == (0, 4)
    assert (loaded.extractor, loaded.images) == (EXTRACTOR, IMAGES)


def test_what_is_not_known_stays_unknown(tmp_path: Path) -> None:
    save_statistics(tmp_path / "a.npz", Statistics(normal(5, 2, 3)))
    loaded = load_statistics(tmp_path / "a.npz")
    assert (loaded.logits, loaded.extractor, loaded.images) == (None, None, {})


def test_saved_twice_is_the_same(tmp_path: Path) -> None:
    save_statistics(tmp_path / "a.npz", example())
    save_statistics(tmp_path / "b.npz", load_statistics(tmp_path / "a.npz"))
    one, other = (np.load(tmp_path / name) for name in ("a.npz", "b.npz"))
    assert sorted(one.files) == sorted(other.files)
    assert all(np.array_equal(one[name], other[name]) for name in one.files)


def test_the_fit_goes_over_blocks_of_rows() -> None:
    """5000 rows are three blocks; the answer is NumPy's of all at once."""
    features = normal(5000, 3, 4) + np.float32(5)
    gaussian = Statistics(features).gaussian()
    expected = np.cov(features.astype(float).T)
    assert np.abs(gaussian.covariance.numpy() - expected).max() < 1e-12 * expected.max()
    assert np.abs(gaussian.mean.numpy() - features.astype(float).mean(0)).max() < 1e-12


# pytorch-fid


def test_a_file_of_pytorch_fid_is_read(tmp_path: Path) -> None:
    mean, covariance = np.array([1.0, -2.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    for name, save in (("a", np.savez), ("b", np.savez_compressed)):
        path = tmp_path / f"{name}.npz"
        save(path, mu=mean, sigma=covariance)
        loaded = load_statistics(path)
        assert (loaded.features, loaded.extractor, loaded.images) == (None, None, None)
        assert (loaded.count, loaded.dimensions) == (0, 2)
        assert loaded.gaussian().mean.tolist() == mean.tolist()
        assert loaded.gaussian().covariance.tolist() == covariance.tolist()


def test_moments_of_other_types_are_converted(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", mu=np.zeros(2, np.float32), sigma=np.eye(2, dtype=">f8"))
    gaussian = load_statistics(tmp_path / "a.npz").gaussian()
    assert gaussian.mean.dtype == gaussian.covariance.dtype == torch.float64
    assert gaussian.covariance.tolist() == [[1, 0], [0, 1]]


def test_pytorch_fid_can_read_ours(tmp_path: Path) -> None:
    """In the words of its `compute_statistics_of_path`: m, s = f["mu"][:], f["sigma"][:]."""
    saved = example()
    save_statistics(tmp_path / "a.npz", saved)
    with np.load(tmp_path / "a.npz") as file:
        mean, covariance = file["mu"][:], file["sigma"][:]
    assert mean.dtype == covariance.dtype == np.float64
    assert saved.features is not None
    assert np.abs(mean - saved.features.mean(0)).max() < 1e-6
    assert np.abs(covariance - np.cov(saved.features.T)).max() < 1e-6


def test_pytorch_fid_itself_reads_ours(tmp_path: Path) -> None:
    score = pytest.importorskip("pytorch_fid.fid_score", reason="pytorch-fid is not installed")
    save_statistics(tmp_path / "a.npz", example())
    mean, covariance = score.compute_statistics_of_path(
        str(tmp_path / "a.npz"), None, 50, 2048, "cpu"
    )
    assert mean.tolist() == example().gaussian().mean.tolist()
    assert covariance.tolist() == example().gaussian().covariance.tolist()


# bad files


def refused(path: Path, match: str = "is not a statistics file") -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_statistics(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def save_raw(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


MOMENTS = {"mu": np.zeros(2), "sigma": np.eye(2)}
ABOUT = json.dumps({"extractor": None, "images": {}})


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    refused(path)
    for content in (b"", b"words", b"PK\x03\x04 and no more", bytes(1000)):
        path.write_bytes(content)
        refused(path)
    path.unlink()
    path.mkdir()
    refused(path)


def test_one_array_that_is_no_archive(tmp_path: Path) -> None:
    """np.save's format under the name of np.savez's."""
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.eye(3))
    refused(tmp_path / "a.npz")


def test_pickles_are_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "a.npz"
    path.write_bytes(pickle.dumps(Trap()))
    refused(path)
    save_raw(path, **MOMENTS, features=np.array([Trap()], object))
    refused(path)
    save_raw(path, mu=np.array([Trap()], object), sigma=np.eye(1))
    refused(path)
    save_raw(path, **MOMENTS, nkca=np.array(Trap(), object))
    refused(path)
    assert names(tmp_path) == ["a.npz"]


def test_files_that_lack_something(tmp_path: Path) -> None:
    for lost in each(MOMENTS):
        left = {name: array for name, array in MOMENTS.items() if name != lost}
        refused(save_raw(tmp_path / "a.npz", **left), f"it lacks '{lost}'")


def test_moments_that_do_not_fit_together(tmp_path: Path) -> None:
    for mu, sigma in each(
        [
            (np.zeros(2), np.eye(3)),
            (np.zeros(3), np.zeros((3, 2))),
            (np.zeros((2, 2)), np.eye(2)),
            (np.array(0.0), np.eye(2)),
            (np.zeros(2), np.ones(2)),
            (np.array(["a", "b"]), np.eye(2)),
        ]
    ):
        refused(save_raw(tmp_path / "a.npz", mu=mu, sigma=sigma))


def test_features_and_logits_that_do_not_fit(tmp_path: Path) -> None:
    about = np.array(ABOUT)
    for features in each(
        [
            np.zeros((4, 3), np.float32),  # of another extractor than the moments
            np.zeros((4, 2)),
            np.zeros((4, 2), np.int32),
            np.zeros(2, np.float32),
            np.zeros((4, 2, 1), np.float32),
        ]
    ):
        refused(save_raw(tmp_path / "a.npz", **MOMENTS, nkca=about, features=features))
    good = np.zeros((4, 2), np.float32)
    for logits in each([np.zeros((4, 3)), np.zeros(4, np.float32)]):
        refused(save_raw(tmp_path / "a.npz", **MOMENTS, nkca=about, features=good, logits=logits))


DESCRIPTIONS = [
    "", "{", "[]", "5", "null", '"words"', "{}",
    '{"extractor": 5}',
    '{"extractor": {"name": "toy"}}',
    '{"extractor": {"name": "toy", "weights_sha256": "", "input": "", "color": "red"}}',
]  # fmt: skip


def test_damaged_descriptions(tmp_path: Path) -> None:
    for about in each(DESCRIPTIONS):
        refused(save_raw(tmp_path / "a.npz", **MOMENTS, nkca=np.array(about)))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_any_byte_may_be_wrong(save: Any, tmp_path: Path) -> None:
    """A flipped bit at every place in turn: the file is refused in words, or still reads right."""
    mean, path = np.array([0.5, -1.0, 3.0]), tmp_path / "a.npz"
    save(path, mu=mean, sigma=np.eye(3))
    whole = path.read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            loaded = load_statistics(path)
        except InputError as error:
            assert str(path) in str(error)
            outcomes["refused"] += 1
        else:
            assert loaded.gaussian().mean.tolist() == mean.tolist()
            outcomes["read"] += 1
    assert min(outcomes.values()) > 100, outcomes


def test_any_length_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_statistics(path, example())
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        refused(path)


# files that are not written


def test_nothing_is_written_of_what_cannot_be_fitted(tmp_path: Path) -> None:
    broken = normal(5, 2, 5)
    broken[1, 1] = np.nan
    for features in (normal(1, 2, 6), broken):
        with pytest.raises(InputError):
            save_statistics(tmp_path / "a.npz", Statistics(features))
    assert names(tmp_path) == []


def test_no_half_written_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    save_statistics(path, example())
    before = path.read_bytes()
    savez = np.savez

    def full(file: Any, **arrays: Any) -> None:
        savez(file, mu=arrays["mu"])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    for target in (path, tmp_path / "b.npz"):
        with pytest.raises(OSError, match="No space left"):
            save_statistics(target, example(7))
    assert names(tmp_path) == ["a.npz"]
    assert path.read_bytes() == before


def test_descriptions_that_are_not_plain_values_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_statistics(tmp_path / "a.npz", Statistics(normal(3, 2, 7), images={"path": tmp_path}))
    assert names(tmp_path) == []


def test_moments_that_are_given_are_used() -> None:
    """They need not be refitted, and may be known where features are not."""
    gaussian = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    assert Statistics(None, moments=gaussian).gaussian() is gaussian
