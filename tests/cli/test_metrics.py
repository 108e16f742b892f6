"""nkca-metrics: every kind of subject, what is written, what is not done twice, and bad input."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from tables import each
from torch import Tensor
from toys import random_pictures, save_pictures

from nkca.metrics.image_sets import Samples
from nkca.metrics.statistics import load_statistics

Call = Callable[..., Result]
PIXELS = "--features=pixels"
FAST = ("--num-sampling-steps=2", "--device=cpu", PIXELS)


def read(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "metrics.json").read_text("utf-8"))
    return content


def looked_at(result: Result) -> list[str]:
    """Whose features were computed, off a terminal one line each."""
    return re.findall(r"features of ([\w-]+): [\d,]+$", result.stderr, flags=re.MULTILINE)


@pytest.fixture
def other_photos(photos: Path, tmp_path: Path) -> Path:
    """The photos, mirrored and darker."""
    folder = tmp_path / "others"
    folder.mkdir()
    for path in photos.glob("*.png"):
        pixels = np.asarray(Image.open(path))[:, ::-1] // 2
        Image.fromarray(pixels).save(folder / path.name)
    return folder


def test_a_checkpoint_against_the_images_it_was_trained_on(
    call: Call, trained: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = call("metrics", trained, photos, *FAST, f"--save-dir={out}")
    found = read(out)
    samples, reference = found["protocol"]["samples"], found["protocol"]["reference"]
    assert (samples["count"], samples["seeds"]) == (16, "0-15")
    assert samples["num_sampling_steps"] == 2
    assert (reference["count"], reference["size"], reference["path"]) == (16, [8, 8], str(photos))
    assert found["extractor"]["name"] == "pixels"
    assert {"fid", "kid", "precision", "recall", "density", "coverage"} <= found["scores"].keys()
    assert set(found["missing"]) == {"fid_line", "inception_score"}
    assert any("the reference is the training images" in line for line in found["warnings"])
    assert found["scores"]["memorisation"]["copies"] == 0
    fid = float((out / "metrics-FID.txt").read_text())
    assert fid == pytest.approx(found["scores"]["fid"], rel=1e-9)
    assert fid > 0
    assert f"{fid:.4f}" in result.stdout
    assert "seeds 0-15, 2 steps from level 1 to 0.01 (chain), lag 0.5" in result.stdout
    assert not (out / "metrics-IS.txt").exists()
    with Image.open(out / "closest.png") as sheet:
        assert sheet.size[0] == 8 * 98 + 2  # four pairs in a row, pixels enlarged


def test_the_same_numbers_a_second_time_without_looking_again(
    call: Call, trained: Path, photos: Path, tmp_path: Path
) -> None:
    command = ("metrics", trained, photos, *FAST, f"--cache-dir={tmp_path}/cache")
    first = call(*command, f"--save-dir={tmp_path}/out")
    again = call(*command, f"--save-dir={tmp_path}/out")
    assert looked_at(first) == ["reference", "samples"]
    assert looked_at(again) == []
    assert f"{tmp_path}/out holds something already" in again.stderr
    assert read(tmp_path / "out")["scores"] == read(tmp_path / "out-2")["scores"]
    more = call(*command, "--num-samples=20", f"--save-dir={tmp_path}/more")
    assert looked_at(more) == ["samples"]
    assert read(tmp_path / "more")["protocol"]["samples"]["count"] == 20


def test_no_cache_leaves_nothing_behind(
    call: Call, photos: Path, other_photos: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    call("metrics", photos, other_photos, PIXELS, f"--cache-dir={cache}", "--no-cache",
         f"--save-dir={tmp_path}/out")  # fmt: skip
    assert not cache.exists()


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_after_an_interruption_the_same_command_goes_on(
    stop_at: int,
    call: Call,
    trained: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Sequence[int]] = []
    make = Samples.batch

    def batch(self: Samples, rows: Sequence[int], *rest: Any) -> Tensor:
        if len(made) == stop_at:
            raise KeyboardInterrupt
        made.append(rows)
        return make(self, rows, *rest)

    command = ("metrics", trained, photos, *FAST, "--batch-size=4", f"--cache-dir={tmp_path}/cache")
    with monkeypatch.context() as patch:
        patch.setattr(Samples, "batch", batch)
        stopped = call(*command, f"--save-dir={tmp_path}/out", code=130)
    assert "the same command continues" in stopped.stderr
    assert not (tmp_path / "out").exists()
    before, stop_at = list(made), 100
    made.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Samples, "batch", batch)
        call(*command, f"--save-dir={tmp_path}/out")
    new = [row for rows in made for row in rows if len(rows) == 4 and rows[0] % 4 == 0]
    assert [row for rows in before for row in rows] + new[: 16 - 4 * len(before)] == [*range(16)]
    whole = call(*command, f"--save-dir={tmp_path}/whole", f"--cache-dir={tmp_path}/fresh")
    assert looked_at(whole) == ["reference", "samples"]
    assert read(tmp_path / "out")["scores"] == read(tmp_path / "whole")["scores"]


def test_folders_zips_and_statistics_in_either_place(
    call: Call, photos: Path, other_photos: Path, tmp_path: Path
) -> None:
    """One pair of sets, however it is named, has one FID; the wrong pair has another."""
    packed = tmp_path / "others.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in sorted(other_photos.glob("*.png")):
            file.write(path, path.name)
    stats = tmp_path / "ref.npz"
    call("metrics", other_photos, PIXELS, f"--save-stats={stats}", f"--save-dir={tmp_path}/one")
    small = tmp_path / "small.npz"
    call("metrics", photos, other_photos, PIXELS, f"--save-stats={small}", "--stats-only",
         f"--save-dir={tmp_path}/two")  # fmt: skip
    expected = read(tmp_path / "two")["scores"]
    for number, reference in enumerate((other_photos, packed, stats, small)):
        flags = [] if reference in (stats, small) else [PIXELS]  # a statistics file names its own
        call("metrics", photos, reference, *flags, f"--save-dir={tmp_path}/as-{number}")
        found = read(tmp_path / f"as-{number}")
        assert found["scores"]["fid"] == pytest.approx(expected["fid"], rel=1e-9)
        assert ("recall" in found["scores"]) == (reference != small)
    call("metrics", photos, photos, PIXELS, f"--save-dir={tmp_path}/same")
    assert read(tmp_path / "same")["scores"]["fid"] < 1e-9
    assert expected["fid"] > 1
    call("metrics", stats, photos, f"--save-dir={tmp_path}/swapped")
    swapped = read(tmp_path / "swapped")["scores"]
    assert swapped["fid"] == pytest.approx(expected["fid"], rel=1e-9)
    assert load_statistics(small).features is None


def test_a_reference_of_files_that_are_not_the_model_s_size_is_fitted(
    call: Call, trained: Path, photos: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    large.mkdir()
    for path in photos.glob("*.png"):
        Image.open(path).resize((24, 32)).convert("L").save(large / path.name)
    call("metrics", trained, large, *FAST, f"--save-dir={tmp_path}/out")
    reference = read(tmp_path / "out")["protocol"]["reference"]
    assert (reference["size"], reference["channels"]) == ([8, 8], 3)


def test_categorical_models_are_compared_with_what_they_see_unless_told_otherwise(
    call: Call, trained_discrete: Path, grey_photos: Path, tmp_path: Path
) -> None:
    command = ("metrics", trained_discrete, grey_photos, *FAST)
    call(*command, f"--save-dir={tmp_path}/model")
    call(*command, "--full-depth", f"--save-dir={tmp_path}/original")
    seen, full = read(tmp_path / "model"), read(tmp_path / "original")
    assert "a model of 4 levels" in seen["protocol"]["reference"]["depth"]
    assert full["protocol"]["reference"]["depth"] == "the files' own"
    assert seen["scores"]["fid"] != full["scores"]["fid"]


def test_the_old_spelling_of_full_depth_names_the_new_one(call: Call) -> None:
    for old in each(["--reference=original", "--reference=model", "--reference"]):
        result = call("metrics", "a", "b", old, code=2)
        (line,) = result.stderr.splitlines()
        assert "--full-depth" in line
    assert "--reference" not in call("metrics", "--help").stdout


def test_held_out_images_are_the_reference_that_was_not_trained_on(
    call: Call, trained: Path, photos: Path, other_photos: Path, tmp_path: Path
) -> None:
    call("metrics", photos, other_photos, PIXELS, f"--train={photos}", f"--save-dir={tmp_path}/out")
    found = read(tmp_path / "out")["scores"]["memorisation"]
    assert found["copies"] == 1
    assert found["nearer_training"] == 1
    assert found["held_out_distance"] > 0
    call("metrics", trained, other_photos, *FAST, f"--held-out={photos}", f"--train={photos}",
         f"--save-dir={tmp_path}/same")  # fmt: skip
    assert read(tmp_path / "same")["scores"]["memorisation"]["nearer_training"] == 0.5


BAD = {
    "nothing there": ("{photos}/none {photos}", r"/none: no such file or folder"),
    "no checkpoint": ("{photos}/none.pth {photos}", r"no such checkpoint: .*none\.pth"),
    "not a checkpoint": ("{text}.pth {photos}", r"\.pth is not a"),
    "not statistics": ("{photos} {text}.npz", r"\.npz is not a statistics file"),
    "unknown extractor": ("{photos} {photos} --features=incepton", r"did you mean 'inception'\?"),
    "no such program": ("{photos} {photos} --features=none.pt2", r"none\.pt2"),
    "weights for pixels": (
        "{photos} {photos} --features=pixels --inception-weights={text}.pth",
        r"a file of weights is for the features inception, dinov2 and timm:NAME, not for pixels",
    ),
    "weights missing": (
        "{photos} {photos} --inception-weights=none.pth",
        r"no such file of weights: none\.pth",
    ),
    "too many": (
        "{photos} {photos} --features=pixels --num-samples=17",
        r"num_samples=17, but there are only 16 images",
    ),
    "how many": ("{run} {run} --features=pixels", r"number of samples is unknown.*num_samples"),
    "level": (
        "{run} {photos} --features=pixels --max-sampling-noise=0.5",
        r"samples from noise start at level 1, not 0\.5",
    ),
    "statistics there": (
        "{photos} {photos} --features=pixels --save-stats={text}.npz",
        r"\.npz exists already; nothing is overwritten",
    ),
    "seed": ("{photos} {photos} --seed=-1", r"--seed"),
    "chain of files": ("{photos} {photos} --features=pixels --chain", r"--chain studies a model"),
    "chain from nothing": (
        "{run} --features=pixels --chain",
        r"--chain needs images.*nkca-metrics CKPT IMAGES --chain",
    ),
    "chain and statistics": (
        "{run} {photos} --features=pixels --chain --save-stats=new.npz",
        r"--chain.*saves no statistics",
    ),
    "chain levels": (
        "{run} {photos} --features=pixels --chain --chain-levels=high",
        r"--chain-levels must look like 0\.1,0\.3,0\.6, got 'high'",
    ),
    "chain level twice": (
        "{run} {photos} --features=pixels --chain --chain-levels=0.1,0.10",
        r"--chain-levels names a level twice",
    ),
    "chain level 2": (
        "{run} {photos} --features=pixels --chain --chain-levels=2",
        r"levels must be in \(0, 1\], got 2",
    ),
    "chain level too low": (
        "{run} {photos} --features=pixels --chain --chain-levels=0.001",
        r"level 0\.001 is below the model's lowest, 0\.01",
    ),
    "a third set": ("{run} {photos} {photos} --features=pixels", r"a third set .* --anomaly alone"),
    "anomaly and chain": ("{run} {photos} --anomaly --chain", r"one at a time"),
    "anomaly from nothing": ("{run} --anomaly", r"--anomaly needs images.*IMAGES --anomaly"),
    "anomaly of files": ("{photos} {photos} --anomaly", r"scores of anomaly need a checkpoint"),
    "anomaly of few": ("{run} {photos} --anomaly", r"at least 100, got 16"),
    "anomaly, no such set": ("{run} {photos} nowhere --anomaly", r"nowhere"),
    "likelihood of few": (
        "{run} {photos} --likelihood --num-samples=17",
        r"num_samples must be at most 16, the images there are, got 17",
    ),
    "likelihood of one": ("{run} {photos} --likelihood --num-samples=1", r"at least 2, got 1"),
    "likelihood of steps": (
        "{run} {photos} --likelihood --corrector-steps=3",
        r"levels must be falling",
    ),
    "likelihood, no steps": (
        "{run} {photos} --likelihood --num-sampling-steps=-1",
        r"num-sampling-steps",
    ),
    "path length of files": (
        "{photos} --features=pixels --ppl",
        r"is of a model: name a checkpoint",
    ),
    "path length of images": (
        "{run} {photos} --features=pixels --ppl",
        r"--ppl needs no images: nkca-metrics CKPT --ppl",
    ),
    "path length by chance": (
        "{run} --features=pixels --ppl",
        r"deterministic sampler .* got chain",
    ),
    "path length, coarse": ("{run} --features=pixels --ppl --precision=bf16", r"precision fp32"),
    "one path": (
        "{run} --features=pixels --ppl --sampler=ddim --num-samples=1",
        r"at least 2, got 1",
    ),
    "equivariance of files": ("{photos} --equivariance", r"is of a model: name a checkpoint"),
    "equivariance of images": ("{run} {photos} --equivariance", r"--equivariance needs no images"),
    "equivariance, saved": ("{run} --equivariance --save-stats=new.npz", r"saves no statistics"),
    "flag": ("{photos} {photos} --feature=pixels", r"--features"),
}


def test_bad_input_is_one_line_and_code_2_and_nothing_is_written(
    call: Call, trained: Path, photos: Path, tmp_path: Path
) -> None:
    call("metrics", trained, photos, *FAST, f"--save-dir={tmp_path}/first")
    shutil.rmtree(tmp_path / "first")  # what is left are features in the cache: no line about them
    text = tmp_path / "text"
    for suffix in (".pth", ".npz"):
        text.with_suffix(suffix).write_text("hello")
    for line, says in each(BAD.values()):
        arguments = line.format(photos=photos, run=trained, text=text).split()
        result = call("metrics", *arguments, f"--save-dir={tmp_path}/out", "--device=cpu", code=2)
        errors = [e for e in result.stderr.splitlines() if not e.startswith("reading files")]
        assert len(errors) == 1, errors
        assert re.search(says, errors[0]), errors[0]
        assert not (tmp_path / "out").exists()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["text.npz", "text.pth"]


def test_without_weights_or_network_it_says_what_to_fetch_and_what_works(
    call: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    monkeypatch.setenv("NKCA_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    result = call("metrics", photos, photos, f"--save-dir={tmp_path}/out", code=2)
    for part in (
        "weights-inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729",
        "--features-weights",
    ):
        assert part in result.stderr
    assert "work here now: pixels" in result.stderr


def test_the_study_of_a_chain(
    call: Call, trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batch(*_: Any) -> Tensor:
        raise AssertionError("a study needs no samples")

    monkeypatch.setattr(Samples, "batch", batch)
    line = ("metrics", trained, photos, PIXELS, "--chain", "--chain-levels=0.2,0.5", "--device=cpu")
    result = call(*line, "--chain-steps=3", "--chain-images=6", f"--save-dir={tmp_path}/out")
    content = json.loads((tmp_path / "out" / "chain.json").read_text("utf-8"))
    levels = content["chain"]["levels"]
    assert [level["noise_level"] for level in levels] == [0.2, 0.5]
    assert content["chain"]["chains"] == 6
    assert content["protocol"]["reference"]["path"] == str(photos)
    assert all(set(level["scores"]) == {"FID", "KID x 1000"} for level in levels)
    assert f"{levels[0]['scores']['FID'][-1]:.2f}" in result.stdout
    assert "level 0.2" in result.stdout
    with Image.open(tmp_path / "out" / "chain.png") as page:
        assert page.size == (1400, 1000)
    again = call(*line, "--chain-steps=3", "--chain-images=6", f"--save-dir={tmp_path}/again")
    assert looked_at(again) == []
    repeated = json.loads((tmp_path / "again" / "chain.json").read_text("utf-8"))
    assert repeated["chain"] == content["chain"]


def test_a_damaged_cache_is_made_again(call: Call, photos: Path, tmp_path: Path) -> None:
    command = ("metrics", photos, photos, PIXELS, f"--cache-dir={tmp_path}/cache")
    call(*command, f"--save-dir={tmp_path}/a")
    (store,) = (tmp_path / "cache" / "features").iterdir()
    (store / "features.f32").write_bytes(b"short")
    result = call(*command, f"--save-dir={tmp_path}/b")
    assert looked_at(result) == ["reference"]
    assert read(tmp_path / "a")["scores"] == read(tmp_path / "b")["scores"]
    shutil.rmtree(store)


def test_the_likelihood_of_continuous_pixels(
    call: Call, trained: Path, photos: Path, tmp_path: Path
) -> None:
    line = ("metrics", trained, photos, "--likelihood", "--device=cpu", "--num-sampling-steps=5")
    result = call(*line, "--num-samples=6", f"--save-dir={tmp_path}/out")
    saved = json.loads((tmp_path / "out" / "likelihood.json").read_text("utf-8"))
    assert (saved["images"], saved["levels"]) == (6, 6)
    assert saved["protocol"]["reference"]["path"] == str(photos)
    assert set(saved["model"]) == {"checkpoint", "checkpoint_sha256"}
    assert f"{saved['bits_per_dimension']:.4f} ± {saved['standard_error']:.4f}" in result.stdout
    parts = saved["prior"] + saved["transitions"] + saved["last_step"]
    assert parts == pytest.approx(saved["bits_per_dimension"])


def test_anomaly_of_other_sets(call: Call, trained: Path, photos: Path, tmp_path: Path) -> None:
    many = save_pictures(tmp_path / "many", random_pictures(100, seed=1))
    line = ("metrics", trained, many, photos, "--anomaly", "--device=cpu")
    result = call(*line, f"--save-dir={tmp_path}/out")
    saved = json.loads((tmp_path / "out" / "anomaly.json").read_text("utf-8"))
    assert (saved["fitted"], saved["held_out"]) == (50, 50)
    assert next(iter(saved["sets"])) == str(photos)
    assert saved["protocol"][str(photos)]["count"] == 16
    for name, told in saved["sets"].items():
        assert re.search(rf"{re.escape(name)} .* {told['noise_path']:.4f}", result.stdout)


def test_path_length_and_equivariance(call: Call, trained: Path, tmp_path: Path) -> None:
    line = ("metrics", trained, "--device=cpu", "--num-sampling-steps=2", "--num-samples=4")
    out = tmp_path / "ppl"
    result = call(*line, "--ppl", PIXELS, "--sampler=heun", f"--save-dir={out}")
    saved = json.loads((out / "ppl.json").read_text("utf-8"))
    assert (saved["pairs"], saved["sampler"], saved["extractor"]) == (4, "heun", "pixels")
    assert f"path length {saved['ppl']:.4g} ±" in result.stdout
    out = tmp_path / "moved"
    result = call(*line, "--equivariance", f"--save-dir={out}")
    saved = json.loads((out / "equivariance.json").read_text("utf-8"))
    assert (saved["shifts"], saved["pictures"]) == ([1], 4)
    assert next(iter(saved["eq_t"])) == "sampler"
    for name, (value,) in saved["eq_t"].items():
        assert re.search(rf"{name} +{value:.2f}", result.stdout)
