"""What readers see: the table, the files, and the pictures of the closest pairs."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tables import each
from toys import (
    NOWHERE,
    ToyExtractor,
    image_files,
    measurement_of,
    random_pictures,
    report_of,
    three_sets,
    write_checkpoint,
)

import nkca
from nkca.metrics.caveats import sample_size_warnings
from nkca.metrics.collect import Subject
from nkca.metrics.extractors.contract import Description
from nkca.metrics.image_sets import ImageSet, ImageSubset, SampleOptions, Samples
from nkca.metrics.measure import make_report
from nkca.metrics.report import Report, save_closest_pairs, save_report, table
from nkca.metrics.scores.score import Scores
from nkca.metrics.statistics import Statistics
from nkca.models.build import load_model
from nkca.sampling.tasks import Schedule

ROLES = ("samples", "reference")
ALL = {"fid", "fid_line", "kid", "inception_score", "manifold", "memorisation"}


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def strictly(text: str) -> Any:
    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def full() -> Report:
    subjects = three_sets() | {"held_out": image_files(random_pictures(20, seed=4))}
    report = report_of(subjects)
    scores = replace(report.scores, warnings=("mind the gap",))
    return replace(report, scores=scores, command="nkca-metrics a b")


# files


def test_the_json_holds_everything(full: Report, tmp_path: Path) -> None:
    paths = save_report(full, tmp_path)
    texts = ["metrics.json", "metrics-FID.txt", "metrics-IS.txt"]
    assert [path.name for path in paths] == [*texts, "fid-infinity.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    content = strictly(paths[0].read_text("utf-8"))
    scores, found = full.scores, content["scores"]
    assert scores.fid_line and scores.kid and scores.manifold and scores.memorisation
    assert found["fid"] == scores.fid
    assert found["fid_infinity"]["value"] == scores.fid_line.intercept
    assert found["fid_infinity"]["points"] == [list(point) for point in scores.fid_line.points]
    assert found["kid"]["mean"] == scores.kid.mean
    assert [found[name] for name in ("precision", "recall", "density", "coverage")] == [
        *(scores.manifold.precision, scores.manifold.recall),
        *(scores.manifold.density, scores.manifold.coverage),
    ]
    assert found["memorisation"]["copies"] == scores.memorisation.copies
    assert (content["missing"], content["warnings"]) == ({}, ["mind the gap"])
    assert content["command"] == "nkca-metrics a b"
    assert content["nkca"] == nkca.__version__
    assert content["extractor"]["weights_sha256"] == "ab" * 32


def test_the_protocol_says_what_was_measured(full: Report) -> None:
    content = strictly(json.dumps(full.as_dict()))
    assert set(content["protocol"]) == {"samples", "reference", "train", "held_out"}
    for role, count in {"samples": 30, "reference": 40, "train": 35, "held_out": 20}.items():
        about = content["protocol"][role]
        assert (about["count"], about["size"], about["kind"]) == (count, [8, 8], "files")
    images = three_sets()["samples"]
    assert not isinstance(images, Statistics)
    assert content["protocol"]["samples"]["sha256"] == images.identity


def test_the_protocol_of_a_model(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth")
    model = load_model(path, device="cpu", lag=0.25)
    options = SampleOptions(Schedule(num_steps=2), first_seed=5)
    samples = Samples(model, (str(path), "0123456789"), 24, options)
    report = report_of({"samples": samples, "reference": three_sets()["reference"]})
    about = strictly(json.dumps(report.as_dict()))["protocol"]["samples"]
    assert (about["seeds"], about["lag"], about["num_sampling_steps"]) == ("5-28", 0.25, 2)
    line = table(report).splitlines()[0]
    assert line == (
        f"samples    {path} (01234567): 24 samples of 8x8, seeds 5-28, 2 steps from level 1 to 0.01 "
        "(chain), lag 0.25"
    )
    guided = Samples(replace(model, weak=model.chain.denoiser), samples.checkpoint, 24, options)
    strong = replace(guided, options=replace(options, schedule=Schedule(num_steps=2, guidance=1.5)))
    assert guided.about["guidance"] == 1.0
    assert guided.identity == samples.identity != strong.identity
    report = report_of({"samples": strong, "reference": three_sets()["reference"]})
    assert "0.01 (chain, guidance 1.5), lag" in table(report).splitlines()[0]


def test_scores_for_programs(full: Report, tmp_path: Path) -> None:
    save_report(full, tmp_path)
    scores = full.scores
    assert scores.fid is not None and scores.inception_score is not None
    assert float((tmp_path / "metrics-FID.txt").read_text()) == pytest.approx(scores.fid, rel=1e-9)
    mean, deviation = map(float, (tmp_path / "metrics-IS.txt").read_text().split())
    assert mean == pytest.approx(scores.inception_score.mean, rel=1e-9)
    assert deviation == pytest.approx(scores.inception_score.deviation, rel=1e-9)


def test_a_score_of_zero_is_a_score(tmp_path: Path) -> None:
    report = Report(Scores(fid=0.0), Description("toy", "", ""), {})
    save_report(report, tmp_path)
    assert (tmp_path / "metrics-FID.txt").read_text() == "0\n"
    assert strictly((tmp_path / "metrics.json").read_text())["scores"] == {"fid": 0.0}


def test_no_file_for_a_score_that_is_missing(tmp_path: Path) -> None:
    report = report_of({"samples": three_sets()["samples"]}, classifies=False)
    assert [path.name for path in save_report(report, tmp_path)] == ["metrics.json"]
    content = strictly((tmp_path / "metrics.json").read_text())
    assert content["scores"] == {}
    assert set(content["missing"]) == ALL


# the table


def test_the_table_has_a_line_for_each_score(full: Report) -> None:
    lines = table(full).splitlines()
    scores = full.scores
    assert scores.fid is not None and scores.fid_line and scores.kid and scores.manifold
    assert scores.inception_score and scores.memorisation
    near, copied = scores.manifold, scores.memorisation
    for name, value in {
        "FID": f"{scores.fid:.4f}",
        "FID∞": f"{scores.fid_line.intercept:.4f}",
        "KID x 1000": f"{1000 * scores.kid.mean:.4f} ± {1000 * scores.kid.deviation:.4f}",
        "Inception Score": f"{scores.inception_score.mean:.4f} ± ",
        "precision": f"{near.precision:.4f}",
        "recall": f"{near.recall:.4f}",
        "density": f"{near.density:.4f}",
        "coverage": f"{near.coverage:.4f}",
        "nearest training image": f"{copied.train_distance:.4f}",
        "nearer to training": f"{copied.nearer_training:.4f}",
        "data copying": f"{copied.data_copying:.4f}",
        "copies": f"{copied.copies:.4f}",
    }.items():
        (line,) = (line for line in lines if line.startswith(name + "  "))
        assert value in line
    assert lines[-1] == "warning: mind the gap"
    assert not any("not computed" in line for line in lines)


def test_the_table_says_what_was_measured_with_what(full: Report) -> None:
    lines = table(full).splitlines()
    for line, (role, count) in zip(
        lines,
        {"samples": 30, "reference": 40, "train": 35, "held_out": 20}.items(),
        strict=False,
    ):
        assert line.startswith(role.replace("_", "-"))
        assert full.protocol[role]["sha256"][:8] in line
        assert f"{count} images of 8x8" in line
    assert "features   toy, weights abababab; means of quarters" in lines


def test_the_table_says_what_is_missing_and_why() -> None:
    report = report_of({"samples": three_sets()["samples"]}, classifies=False)
    assert report.scores.missing.keys() == ALL
    assert [line for line in table(report).splitlines() if "not computed" in line] == [
        "not computed: FID, FID∞, KID, precision, recall, density, coverage (no reference was given)",
        "not computed: Inception Score (these features come without class probabilities)",
        "not computed: copies of training images (no training images were given)",
    ]


def test_the_same_is_said_once() -> None:
    subjects = three_sets()
    report = report_of(subjects | {"train": subjects["reference"]})
    report = replace(report, scores=replace(report.scores, warnings=("mind", "the gap", "mind")))
    lines = table(report).splitlines()
    assert lines[2] == "train      the reference"
    assert lines[-2:] == ["warning: mind", "warning: the gap"]


def test_statistics_are_described_in_words() -> None:
    report, statistics = make_report(measurement_of(three_sets()), ToyExtractor(), NOWHERE)
    about = {"kind": "statistics", "path": "ref.npz", "of": statistics["reference"].images}
    unnamed = {"kind": "statistics", "path": "plain.npz", "of": None}
    protocol: dict[str, dict[str, Any]] = {"samples": unnamed, "reference": about}
    first, second, *rest = table(replace(report, protocol=protocol)).splitlines()
    assert first == "samples    plain.npz: statistics of unnamed images"
    assert second.startswith("reference  ref.npz: statistics of toys (")
    assert second.endswith("): 40 images of 8x8")
    assert not re.search(r"[{}]|None", "".join([first, second, *rest]))


def test_one_subset_has_no_deviation() -> None:
    pictures = [image_files(random_pictures(20, seed=seed)) for seed in (1, 2)]
    report = report_of(dict(zip(("samples", "reference"), pictures, strict=True)))
    (line,) = (line for line in table(report).splitlines() if line.startswith("KID"))
    assert report.scores.kid and report.scores.kid.subsets == 1
    assert f" {1000 * report.scores.kid.mean:.4f}   near 0" in line
    assert "±" not in line and "subset" not in line


def test_names_follow_the_extractor() -> None:
    report = report_of(three_sets())
    for name, shown in each(
        {
            "inception": ("FID  ", "FID∞  ", "KID x 1000  "),
            "efficientnet-lite0": ("FID  ", "FID∞  ", "KID x 1000  "),
            "clip-vit-l-14-336px": ("FID  ", "FID∞  ", "KID x 1000  ", "CMMD  "),
            "dinov2-vit-l-14": ("FD-DINOv2  ", "FD-DINOv2∞  ", "KD-DINOv2 x 1000  "),
            "timm:vit_small_patch14_dinov2.lvd142m": ("FD-DINOv2  ", "FD-DINOv2∞  "),
        }.items()
    ):
        about = Description(name, "", "")
        cmmd = 0.5 if "CMMD  " in shown else None
        scores = replace(report.scores, cmmd=cmmd, warnings=())
        lines = table(replace(report, extractor=about, scores=scores)).splitlines()
        for start in shown:
            assert sum(line.startswith(start) for line in lines) == 1, start
        assert ("FID" in "".join(lines)) == ("FID  " in shown)
        few = {role: Statistics(np.eye(3, 5, dtype=np.float32), extractor=about) for role in ROLES}
        (warning,) = sample_size_warnings(few, about)
        assert f"{shown[0].strip()} is far too high" in warning


def test_the_table_without_held_out_images() -> None:
    lines = table(report_of(three_sets())).splitlines()
    assert any(line.startswith("data copying") for line in lines)
    assert not any(line.startswith("nearer to training") or "held-out" in line for line in lines)


def test_a_part_is_said_to_be_one() -> None:
    images = image_files(random_pictures(30, seed=1))
    report = report_of({"samples": ImageSubset(images, range(5, 25))})
    assert "20 images of 8x8, numbers 5-24" in table(report)


# the closest pairs


def cells(path: Path, side: int = 96, gap: int = 2) -> list[npt.NDArray[np.uint8]]:
    """The pictures of a sheet that are not white, row by row, (96, 96, 3)."""
    with Image.open(path) as image:
        sheet = np.asarray(image)
    rows, columns = ((length - gap) // (side + gap) for length in sheet.shape[:2])
    found = []
    for row in range(rows):
        for column in range(columns):
            top, left = gap + row * (side + gap), gap + column * (side + gap)
            found.append(sheet[top : top + side, left : left + side])
    return [cell for cell in found if not (cell == 255).all()]


def pairs_of(subjects: Mapping[str, Subject], folder: Path) -> list[npt.NDArray[np.uint8]]:
    measurement = measurement_of(subjects)
    report, _ = make_report(measurement, ToyExtractor(), NOWHERE)
    assert save_closest_pairs(report, measurement, folder) == [folder / "closest.png"]
    return cells(folder / "closest.png")


def test_the_closest_pairs_are_these_pictures(tmp_path: Path) -> None:
    """Sample 7 is training image 20 and sample 2 nearly image 4: first those, sample on the left."""
    train, samples = random_pictures(30, seed=11), random_pictures(10, seed=12)
    samples[7] = train[20]
    samples[2] = train[4]
    samples[2, :4, :4] += 2
    found = pairs_of({"samples": image_files(samples), "train": image_files(train)}, tmp_path)
    assert len(found) == 20
    expected = [samples[7], train[20], samples[2], train[4]]
    for cell, picture in zip(found, expected, strict=False):
        assert cell.shape == (96, 96, 3)
        assert np.array_equal(cell, picture.repeat(12, 0).repeat(12, 1))
    shown = [cell[::12, ::12] for cell in found]
    for left, right in zip(shown[::2], shown[1::2], strict=True):
        assert any(np.array_equal(left, picture) for picture in samples)
        assert any(np.array_equal(right, picture) for picture in train)


def test_at_most_sixteen_pairs_four_in_a_row(tmp_path: Path) -> None:
    train, samples = random_pictures(30, seed=11), random_pictures(50, seed=12)
    found = pairs_of({"samples": image_files(samples), "train": image_files(train)}, tmp_path)
    assert len(found) == 32
    with Image.open(tmp_path / "closest.png") as sheet:
        assert sheet.size == (2 + 8 * 98, 2 + 4 * 98)


def test_pairs_of_other_sizes_and_channels(tmp_path: Path) -> None:
    """Grey samples of 4x4 beside colour images of 8x8: each pixel twice as large, three times grey."""
    train = random_pictures(5, seed=13)
    samples = random_pictures(2, seed=14, channels=1, side=4)
    found = pairs_of({"samples": image_files(samples), "train": image_files(train)}, tmp_path)
    assert len(found) == 4
    large = samples.repeat(24, 1).repeat(24, 2).repeat(3, 3)
    assert all(any(np.array_equal(cell, picture) for picture in large) for cell in found[::2])


def test_samples_of_a_model_are_made_again_for_the_picture(tmp_path: Path) -> None:
    model = load_model(write_checkpoint(tmp_path / "model.pth"), device="cpu")
    samples = Samples(model, ("", ""), 20, SampleOptions(Schedule(num_steps=1)))
    made = samples.batch(range(20)).permute(0, 2, 3, 1).numpy()
    train = made[::-1].copy()
    train[0] ^= 1  # nearly sample 19
    found = pairs_of({"samples": samples, "train": image_files(train)}, tmp_path)
    for left, right in zip(found[::2], found[1::2], strict=True):
        difference = left.astype(int) - right.astype(int)
        assert np.abs(difference).max() <= 2, "sample i is training image 19 - i"


def test_no_picture_without_the_images(tmp_path: Path) -> None:
    subjects = three_sets()
    report, statistics = make_report(measurement_of(subjects), ToyExtractor(), NOWHERE)
    for role in ("samples", "train"):
        known: dict[str, ImageSet | Statistics] = {**subjects, role: statistics[role]}
        assert save_closest_pairs(report, measurement_of(known), tmp_path) == []
    without = replace(report, scores=replace(report.scores, memorisation=None))
    assert save_closest_pairs(without, measurement_of(subjects), tmp_path) == []
    assert list(tmp_path.iterdir()) == []
