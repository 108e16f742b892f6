"""A run's directory: what is in it, that stopping costs nothing, and how it fails."""

import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import nkca
from nkca.config.data import DataConfig
from nkca.config.parsing import configure, read_yaml
from nkca.config.schema import RunConfig
from nkca.errors import InputError
from nkca.metrics.collect import CollectOptions
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.image_sets import ImageFiles, SampleOptions, Samples
from nkca.metrics.measure import make_report
from nkca.metrics.measurement import open_measurement
from nkca.metrics.request import MeasureRequest
from nkca.models.build import load_model
from nkca.models.checkpoint import BEST, FINAL, LATEST, Checkpoint, load_checkpoint, save_checkpoint
from nkca.pictures.grid import contact_sheet
from nkca.runs import loop
from nkca.runs.loop import train
from nkca.runs.run import Run, take_step
from nkca.runs.start import open_run, prepare
from nkca.sampling.tasks import Schedule
from nkca.training import adaptive_levels
from nkca.training.learner import Learner, StepReport, TrainingProgress

TINY: dict[str, Any] = {
    "recipe": "paper",
    "hidden_size": 8,
    "dim_mults": [1],
    "batch_size": 5,
    "viz_freq": 0,
    "device": "cpu",
    "precision": "fp32",
}

EVALUATED: dict[str, Any] = {
    "eval_freq": 2,
    "eval_samples": 8,
    "eval_sampling_steps": 3,
    "eval_features": "pixels",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(16):
        pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


def train_until(options: Mapping[str, Any], directory: Path, last: int | None = None) -> Run:
    """Train to the end, or stop once step ``last`` is done, and close the run."""
    with open_run(options, directory) as run:
        for _ in train(run, lambda: last is not None and run.progress.step >= last):
            pass
    return run


def assert_same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    differing = [name for name in left if not torch.equal(left[name], right[name])]
    assert differing == []


def assert_same_learning(left: Checkpoint, right: Checkpoint) -> None:
    """Bit for bit the same weights, average, optimizer and progress but for the time."""
    assert_same(left.model, right.model)
    assert_same(left.ema, right.ema)
    assert_same(left.weak, right.weak)
    assert left.optimizer is not None
    assert right.optimizer is not None
    assert left.optimizer["step"] == right.optimizer["step"] > 0
    assert_same(left.optimizer["mean"], right.optimizer["mean"])
    assert_same(left.optimizer["square"], right.optimizer["square"])
    assert {**left.progress, "seconds": 0} == {**right.progress, "seconds": 0}


def log_of(directory: Path) -> str:
    return (directory / "log.txt").read_text(encoding="utf-8")


def test_the_log_has_a_line_of_progress_regularly_and_at_the_end(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 4}
    line = re.compile(r"INFO step (\d+), loss [\d.]+, [\d.e+]+ images/s, ([\d.]+) % done")
    train_until(asked, tmp_path / "short")
    assert line.findall(log_of(tmp_path / "short")) == [("4", "100")]
    monkeypatch.setattr(loop, "LOG_SECONDS", 0)
    train_until(asked, tmp_path / "slow")
    assert line.findall(log_of(tmp_path / "slow")) == [
        ("1", "25"),
        ("2", "50"),
        ("3", "75"),
        ("4", "100"),
    ]


RESUMED = {
    "continuous": {"data_augmentation": ["fliph", "flipv"], "accumulate": 2, "lr_warmup": 6},
    "preconditioned": {"parametrisation": "preconditioned", "ema_warmup": True, "grad_clip": 50},
    "guided": {"parametrisation": "preconditioned", "weak_at": 0.5, "ema_length": 0.1},
    "discrete": {
        "discrete": True,
        "num_classes": 4,
        "data_augmentation": ["fliph"],
        "accumulate": 3,
        "ema_warmup": True,
    },
}


@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED.keys())
def test_stopping_and_resuming_changes_no_bit(
    options: dict[str, Any], photos: Path, tmp_path: Path
) -> None:
    """Stops after steps 1, 3 and 7 of 11; epochs of 16 images end inside batches 4, 7 and 10."""
    asked = {**TINY, **options, "dataset": str(photos), "max_steps": 11, "checkpoint_freq": 4}
    train_until(asked, tmp_path / "whole")
    for stop in (1, 3, 7):
        run = train_until(asked, tmp_path / "parts", stop)
        assert run.progress.step == stop
        assert not (tmp_path / "parts" / FINAL).exists()
    train_until(asked, tmp_path / "parts")
    for name in (LATEST, FINAL):
        left = load_checkpoint(tmp_path / "whole" / name)
        right = load_checkpoint(tmp_path / "parts" / name)
        assert left.progress["step"] == 11
        assert_same_learning(left, right)
    resumed = re.findall(r"resuming .* at step (\d+)", log_of(tmp_path / "parts"))
    assert resumed == ["1", "3", "7"]


def test_adaptive_levels_resume_to_the_bit(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With bins so few and soon known that the levels are others than the law's from step 4 on."""
    monkeypatch.setattr(adaptive_levels, "BINS", 2)
    monkeypatch.setattr(adaptive_levels, "FEWEST", 2.0)
    asked = {**TINY, "dataset": str(photos), "max_steps": 11, "parametrisation": "preconditioned"}
    train_until({**asked, "level_draw": "log-normal"}, tmp_path / "law")
    asked |= {"level_draw": "adaptive"}
    train_until(asked, tmp_path / "whole")
    for stop in (1, 6, None):
        train_until(asked, tmp_path / "parts", stop)
    law, left, right = (load_checkpoint(tmp_path / n / FINAL) for n in ("law", "whole", "parts"))
    assert_same_learning(left, right)
    assert len(right.progress["level_sums"]) == 6
    with pytest.raises(AssertionError):
        assert_same(law.model, left.model)


COARSE: dict[str, Any] = {"coarse_to_fine": [2, 4, 8], "parametrisation": "preconditioned"}


def test_coarse_to_fine_resumes_to_the_bit_in_every_phase(photos: Path, tmp_path: Path) -> None:
    """Of 16 steps two are of 2 x 2 images, two of 4 x 4; stops after steps 1, 2, 3, 4 and 7."""
    asked = {**TINY, **COARSE, "dataset": str(photos), "max_steps": 16, "dim_mults": [1, 1]}
    asked |= {"checkpoint_freq": 1, "keep": 16}
    train_until(asked, tmp_path / "whole")
    for stop in (1, 2, 3, 4, 7, None):
        train_until(asked, tmp_path / "parts", stop)
    steps = [f"checkpoint_{step:09d}.pth" for step in range(1, 17)]
    for name in (*steps, FINAL):
        left, right = (load_checkpoint(tmp_path / n / name) for n in ("whole", "parts"))
        assert_same_learning(left, right)
    found = [load_checkpoint(tmp_path / "parts" / n).progress["pooling"] for n in steps]
    assert found == [4, 4, 2, 2, *[1] * 12]
    train_until({**asked, "coarse_to_fine": []}, tmp_path / "plain")
    with pytest.raises(AssertionError):
        assert_same_learning(load_checkpoint(tmp_path / "plain"), left)


def test_samples_of_a_coarse_phase_are_squares_and_hold_no_pixels(
    photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, **COARSE, "dataset": str(photos), "max_steps": 16, "viz_freq": 3}
    train_until(asked, tmp_path, last=4)
    model = load_model(tmp_path, device="cpu")
    sampled = nkca.sample(model, range(2), schedule=Schedule(num_steps=3))
    assert sampled.shape == (2, 8, 8, 3)
    squares = sampled.reshape(2, 4, 2, 4, 2, 3)
    assert (squares == squares[:, :, :1, :, :1]).all()
    assert len(np.unique(sampled)) > 4
    assert model.min_noise < 0.01
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    with pytest.raises(InputError, match=r"held pixels need every pixel: .* means of 2 x 2 pixels"):
        nkca.sample(model, range(1), images=sampled[:1], repaint=mask)
    preview = np.asarray(Image.open(tmp_path / "previews" / "step_000000003.png"))
    first = preview[2:98, 2:98].reshape(4, 24, 4, 24, 3)  # each pixel is enlarged to 12 x 12
    assert (first == first[:, :1, :, :1]).all()
    train_until(asked, tmp_path)
    assert load_model(tmp_path, device="cpu").min_noise == 0.01


def test_a_finished_run_that_is_trained_on_stays_at_full_size(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, **COARSE, "dataset": str(photos), "max_steps": 4}
    train_until(asked, tmp_path / "coarse")
    plain = {**asked, "coarse_to_fine": []}
    train_until(plain, tmp_path / "plain")
    for name in ("coarse", "plain"):
        run = train_until({**asked, "max_steps": 40}, tmp_path / name, last=5)
        assert run.share < 0.25
        assert run.progress.pooling == 1


def test_coarse_to_fine_of_wrong_sizes_writes_nothing(photos: Path, tmp_path: Path) -> None:
    for wrong, said in (
        ({"coarse_to_fine": [4, 16]}, "must end with the height of the images, 8"),
        ({"coarse_to_fine": [3, 8]}, "cannot be pooled to height 3"),
        ({"coarse_to_fine": [1, 8], "patch_size": 2}, "to height 1 in patches of 2 x 2"),
        ({"weak_at": 0.2}, "weak_at=0.2 is while a run with coarse_to_fine still learns"),
        ({"discrete": True, "parametrisation": "paper"}, "for continuous pixels, not discrete"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            train_until({**TINY, **COARSE, "dataset": str(photos), **wrong}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_intervals_of_images_resume_to_the_step(photos: Path, tmp_path: Path) -> None:
    """Of batches of 5 images every 12th image is in steps 3, 5, 8, 10 and 12."""
    asked = {**TINY, "dataset": str(photos), "max_steps": 13, "keep": 99, "viz_freq": "30img"}
    asked |= {"checkpoint_freq": "12img", "num_sampling_steps": 1}
    train_until(asked, tmp_path / "whole")
    for stop in (2, 3, 9, None):
        train_until(asked, tmp_path / "parts", stop)
    for name in ("whole", "parts"):
        steps = [int(path.stem[-9:]) for path in sorted((tmp_path / name).glob("checkpoint_0*"))]
        assert steps == [3, 5, 8, 10, 12]
        for folder in ("previews", "reconstructions"):
            made = sorted(path.name for path in (tmp_path / name / folder).iterdir())
            assert made == [f"step_{step:09d}.png" for step in (6, 12, 13)]


def test_the_weak_model_is_the_average_at_its_share_of_the_run(
    photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, "dataset": str(photos), "checkpoint_freq": 1, "keep": 8, "ema_length": 0.1}
    train_until({**asked, "max_steps": 8, "weak_at": 0.5}, tmp_path)
    saved = {step: load_checkpoint(tmp_path / f"checkpoint_{step:09d}.pth") for step in (3, 4, 5)}
    for step in (3, 4):
        assert_same(saved[step].weak, saved[step].ema)
    assert_same(saved[5].weak, saved[4].ema)
    final = load_checkpoint(tmp_path / FINAL)
    assert_same(final.weak, saved[4].ema)
    assert not torch.equal(*(next(iter(part.values())) for part in (final.weak, final.ema)))
    model = load_model(tmp_path, device="cpu")
    assert isinstance(model.weak, torch.nn.Module)
    assert_same(model.weak.state_dict(), final.weak)


def test_other_randomness_gives_other_weights(photos: Path, tmp_path: Path) -> None:
    """The comparison above can fail: another seed is seen by it."""
    asked = {**TINY, "dataset": str(photos), "max_steps": 2}
    train_until(asked, tmp_path / "a")
    train_until({**asked, "seed": 1}, tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same_learning(load_checkpoint(tmp_path / "a"), load_checkpoint(tmp_path / "b"))


def test_config_is_written_at_the_start_and_loads_back(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 1, "data_augmentation": ["flipv"]}
    asked |= {"max_time": "1h30m", "lag": 0.25, "background": "#102030"}
    with open_run(asked, tmp_path / "run") as run:
        written = configure(read_yaml(tmp_path / "run" / "config.yaml"))
        assert written == run.config == configure(asked)
    assert written.training.max_time == 5400
    assert isinstance(written, RunConfig)


def test_changed_options_are_taken_logged_and_the_older_config_kept(
    photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, "dataset": str(photos), "epochs": 1, "lag": 0.25}
    train_until(asked, tmp_path)
    before = configure(read_yaml(tmp_path / "config.yaml"))
    changed = {"epochs": 2, "lr": 1e-3, "batch_size": 8}
    run = train_until(changed, tmp_path)
    assert run.progress.images == 20 + 2 * 8
    expected = configure({**asked, **changed})
    assert run.config == expected, "options that were not given again must stay the run's"
    assert configure(read_yaml(tmp_path / "config.yaml")) == expected
    assert configure(read_yaml(tmp_path / "config-until-step-4.yaml")) == before
    for line in ("epochs: 1 -> 2", "lr: 0.0001 -> 0.001", "batch_size: 5 -> 8"):
        assert f"changed option {line}" in log_of(tmp_path)
    assert load_checkpoint(tmp_path).config["lr"] == 1e-3


MODEL_CHANGES = {
    "hidden_size": (16, r"hidden_size \(8 -> 16\)"),
    "dim_mults": ([1, 1], r"dim_mults \(\[1\] -> \[1, 1\]\)"),
    "discrete": (True, r"discrete \(False -> True\)"),
    "num_classes": (4, r"num_classes \(10 -> 4\)"),
    "parametrisation": ("preconditioned", r"parametrisation \(paper -> preconditioned\)"),
}


def test_changed_model_is_refused_and_named(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 1}
    train_until(asked, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name, (value, message) in MODEL_CHANGES.items():
        with (
            pytest.raises(nkca.InputError, match=message),
            open_run({**asked, name: value}, tmp_path),
        ):
            pytest.fail("opened")
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_other_image_shape_is_refused(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 1}
    train_until(asked, tmp_path)
    for change, message in (({"resize": 4}, "4x4 of 3"), ({"channels": 1}, "8x8 of 1")):
        with (
            pytest.raises(nkca.InputError, match=f"8x8 images of 3 channels, these are {message}"),
            open_run({**asked, **change}, tmp_path),
        ):
            pytest.fail("opened")


def test_a_finished_run_run_again_does_nothing(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 3}
    train_until(asked, tmp_path)
    kept = [LATEST, FINAL, "config.yaml"]
    before = {name: (tmp_path / name).read_bytes() for name in kept}
    with open_run(asked, tmp_path) as run:
        assert run.is_finished()
        assert list(train(run)) == []
    assert {name: (tmp_path / name).read_bytes() for name in kept} == before
    assert not list(tmp_path.glob("config-until*"))


def test_a_run_killed_before_its_final_checkpoint_gets_one(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 2}
    train_until(asked, tmp_path)
    (tmp_path / FINAL).unlink()
    train_until(asked, tmp_path)
    assert_same_learning(load_checkpoint(tmp_path / FINAL), load_checkpoint(tmp_path / LATEST))


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_keep(keep: int, photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 7, "checkpoint_freq": 2, "keep": keep}
    train_until(asked, tmp_path)
    numbered = sorted(path.name for path in tmp_path.glob("checkpoint_0*.pth"))
    assert numbered == [f"checkpoint_{step:09d}.pth" for step in (2, 4, 6)][3 - keep :]
    for name in numbered:
        assert f"{load_checkpoint(tmp_path / name).progress['step']:09d}" in name
    assert (tmp_path / LATEST).exists()
    assert (tmp_path / FINAL).exists()


def test_best_checkpoint_has_the_lowest_evaluation(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, **EVALUATED, "dataset": str(photos), "max_steps": 12, "ema_decay": 0.5}
    train_until({**asked, "lr": 0.03}, tmp_path, last=5)
    train_until({**asked, "lr": 0.03}, tmp_path)
    curves = scalars_of(tmp_path)
    curve = curves["evaluation/kid"]
    assert [step for step, _ in curve] == [2, 4, 6, 8, 10, 12]
    assert [step for step, _ in curves["evaluation/fid"]] == [2, 4, 6, 8, 10, 12]
    assert len({value for _, value in curve}) > 3
    best = load_checkpoint(tmp_path / BEST)
    lowest = min(curve, key=lambda point: point[1])
    assert best.progress["step"] == lowest[0]
    assert best.progress["best_score"] == pytest.approx(lowest[1], rel=1e-6)


def test_evaluation_scores_what_nkca_metrics_would(photos: Path, tmp_path: Path) -> None:
    """The same samples against the same images by the command's code: the same KID and FID."""
    asked = {**TINY, **EVALUATED, "dataset": str(photos), "max_steps": 2}
    train_until(asked, tmp_path)
    measurement = open_measurement(
        MeasureRequest(
            samples=str(tmp_path / BEST),
            reference=str(photos),
            num_samples=EVALUATED["eval_samples"],
            sampling=SampleOptions(Schedule(num_steps=EVALUATED["eval_sampling_steps"])),
            data=DataConfig(cache=False),
        )
    )
    cpu = torch.device("cpu")
    report, _ = make_report(measurement, open_extractor("pixels", cpu), CollectOptions(cpu, None))
    curves = scalars_of(tmp_path)
    assert report.scores.kid is not None
    assert [step for step, _ in curves["evaluation/kid"]] == [2]
    assert curves["evaluation/kid"][0][1] == pytest.approx(report.scores.kid.mean, rel=1e-4)
    assert curves["evaluation/fid"][0][1] == pytest.approx(report.scores.fid, rel=1e-4)


def test_evaluation_says_beforehand_how_long_it_takes_and_is_given_up_after_its_time(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {**TINY, **EVALUATED, "dataset": str(photos), "max_steps": 4, "eval_time": 50}
    caplog.set_level("INFO", "nkca")
    with open_run(asked, tmp_path) as run:
        said = [line for line in caplog.messages if "each evaluation: 8 samples of 3 steps" in line]
        assert len(said) == 1
        assert "given up after 50 s" in said[0]
        assert run.scorer is not None
        late = replace(run, scorer=replace(run.scorer, limit=0.0))
        steps = [report.progress.step for report in train(late)]
    assert steps == [1, 2, 3, 4]
    assert sum("given up after" in m and "eval_time" in m for m in caplog.messages) == 2
    assert not (tmp_path / BEST).exists()
    assert "evaluation/kid" not in scalars_of(tmp_path)


@pytest.mark.parametrize(("accumulate", "at_once"), [(1, 5), (2, 3), (5, 1)])
def test_an_evaluation_takes_no_more_at_once_than_training(
    accumulate: int, at_once: int, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that only fits in parts can be evaluated."""
    sizes = {"samples": 0, "reference": 0}
    sample, read = Samples.batch, ImageFiles.batch

    def count_samples(self: Samples, rows: range, *rest: Any) -> Tensor:
        sizes["samples"] = max(sizes["samples"], len(rows))
        return sample(self, rows, *rest)

    def count_images(self: ImageFiles, rows: range, *rest: Any) -> Tensor:
        sizes["reference"] = max(sizes["reference"], len(rows))
        return read(self, rows, *rest)

    monkeypatch.setattr(Samples, "batch", count_samples)
    monkeypatch.setattr(ImageFiles, "batch", count_images)
    asked = {**TINY, **EVALUATED, "dataset": str(photos), "max_steps": 2, "cache": False}
    train_until({**asked, "accumulate": accumulate}, tmp_path)
    assert sizes == {"samples": at_once, "reference": at_once}
    assert len(scalars_of(tmp_path)["evaluation/kid"]) == 1


def test_an_evaluation_that_cannot_fit_its_time_is_refused_before_training(
    photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, **EVALUATED, "dataset": str(photos), "max_steps": 4, "eval_time": 1e-6}
    with pytest.raises(InputError, match="eval_time=1e-06 s: raise eval_time or lower"):
        prepare(asked, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_evaluation_does_not_hold_up_stopping(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes while an evaluation is making its samples: it is left, and the run is saved."""
    asked = {**TINY, **EVALUATED, "dataset": str(photos), "max_steps": 9, "eval_samples": 400}
    asked["eval_sampling_steps"] = 1000
    signal: list[bool] = []
    with open_run({**asked, "eval_time": None}, tmp_path) as run:
        batch = Samples.batch

        def interrupted(self: Samples, *rest: Any) -> Tensor:
            signal.append(True)
            return batch(self, *rest)

        monkeypatch.setattr(Samples, "batch", interrupted)
        steps = [report.progress.step for report in train(run, lambda: bool(signal))]
    assert steps == [1, 2]
    assert len(signal) == 1
    assert load_checkpoint(tmp_path / LATEST).progress["step"] == 2
    assert not (tmp_path / BEST).exists()


def test_a_failing_evaluation_does_not_end_the_run(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {**TINY, **EVALUATED, "dataset": str(photos), "max_steps": 2}
    with open_run(asked, tmp_path) as run:
        assert run.scorer is not None
        features = run.scorer.reference.features
        assert features is not None
        lost = replace(run.scorer.reference, features=features * float("nan"))
        broken = replace(run, scorer=replace(run.scorer, reference=lost))
        assert len(list(train(broken))) == 2
    assert any("evaluation at step 2 failed" in message for message in caplog.messages)


def test_evaluation_is_the_same_for_the_same_weights(photos: Path, tmp_path: Path) -> None:
    """The average does not move at decay 1 - tiny: all evaluations are one number, nearly."""
    asked = {**TINY, **EVALUATED, "dataset": str(photos), "max_steps": 3, "lr": 1e-12}
    asked["eval_freq"] = 1
    train_until(asked, tmp_path)
    values = [value for _, value in scalars_of(tmp_path)["evaluation/loss"]]
    assert values == pytest.approx([values[0]] * 3, rel=1e-6)


def poison(run: Run) -> None:
    with torch.no_grad():
        next(run.learner.network.parameters()).fill_(float("nan"))


@pytest.mark.parametrize("checkpoint_freq", [4, 1000])
def test_a_streak_of_nan_stops_with_advice_and_the_latest_intact(
    checkpoint_freq: int, photos: Path, tmp_path: Path
) -> None:
    """Weights that have exploded must not be saved over good ones, whenever a save is due."""
    asked = {**TINY, "dataset": str(photos), "max_steps": 100, "viz_freq": 3}
    asked |= {**EVALUATED, "eval_freq": 3}
    asked["checkpoint_freq"] = checkpoint_freq
    train_until(asked, tmp_path, last=2)
    before = (tmp_path / LATEST).read_bytes()
    with open_run(asked, tmp_path) as run:
        poison(run)
        with pytest.raises(nkca.InputError, match=r"diverged: 20 steps in a row.*lr, grad_cl"):
            list(train(run))
    assert (tmp_path / LATEST).read_bytes() == before
    assert not (tmp_path / FINAL).exists()
    assert not (tmp_path / BEST).exists()
    assert log_of(tmp_path).count("skipped: loss nan") == 20
    train_until(asked, tmp_path, last=3)
    assert load_checkpoint(tmp_path / LATEST).progress["step"] == 3


def test_stopping_in_a_streak_of_nan_keeps_the_good_checkpoint(
    photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 100}
    train_until(asked, tmp_path, last=2)
    before = (tmp_path / LATEST).read_bytes()
    with open_run(asked, tmp_path) as run:
        poison(run)
        with pytest.raises(nkca.InputError, match=r"diverged: the weights after step 5.*not saved"):
            list(train(run, lambda: run.progress.step >= 5))
    assert (tmp_path / LATEST).read_bytes() == before


@pytest.mark.parametrize("options", [{}, {"discrete": True, "num_classes": 4}])
@pytest.mark.parametrize("steps", [1, 2])
def test_weights_that_the_last_step_broke_are_not_saved(
    steps: int, options: dict[str, Any], photos: Path, tmp_path: Path
) -> None:
    """The loss of a step is that of the weights before it."""
    asked = {**TINY, **options, "dataset": str(photos), "max_steps": 2}
    train_until(asked, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.pth")}
    assert FINAL in before
    wild = {**asked, "lr": 1e30, "max_steps": 2 + steps, "adam_b1": 0.0}
    with pytest.raises(nkca.InputError, match=f"diverged: the weights after step {2 + steps} "):
        train_until(wild, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.pth")} == before
    train_until({**wild, "lr": 1e-4}, tmp_path)
    assert load_checkpoint(tmp_path / FINAL).progress["step"] == 2 + steps


def test_a_caller_who_leaves_saves_no_broken_weights(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 9, "lr": 1e30}
    with open_run(asked, tmp_path) as run:
        for _ in train(run):
            break
    assert list(tmp_path.glob("*.pth")) == []


def test_a_checkpoint_of_broken_weights_is_refused(photos: Path, tmp_path: Path) -> None:
    train_until({**TINY, "dataset": str(photos), "max_steps": 1}, tmp_path)
    broken = load_checkpoint(tmp_path / FINAL)
    for value, words in (
        (float("nan"), "weights in .* are not finite"),
        (1e30, "pixels that are not"),
    ):
        ema = {name: torch.full_like(weight, value) for name, weight in broken.ema.items()}
        save_checkpoint(tmp_path / "broken.pth", replace(broken, ema=ema))
        with pytest.raises(nkca.InputError, match=words):
            nkca.sample(load_model(tmp_path / "broken.pth", device="cpu"), [1])


def test_one_nan_step_is_skipped_and_counted(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 4}
    true_step = Learner.step

    def step(
        self: Learner, progress: TrainingProgress, z: Tensor, noise: Any, share: float
    ) -> StepReport:
        z = z * float("nan") if progress.step == 1 else z
        return true_step(self, progress, z, noise, share)

    monkeypatch.setattr(Learner, "step", step)
    with open_run(asked, tmp_path) as run:
        skipped = [report.was_skipped for report in train(run)]
    assert skipped == [False, True, False, False]
    progress = load_checkpoint(tmp_path).progress
    assert (progress["step"], progress["skipped"], progress["skipped_in_a_row"]) == (4, 1, 0)
    assert all(weight.isfinite().all() for weight in load_checkpoint(tmp_path).model.values())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_out_of_memory_names_the_batch_size_and_the_flags(
    error: Exception, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**TINY, "dataset": str(photos), "accumulate": 2}

    def step(*_: object) -> StepReport:
        raise error

    monkeypatch.setattr(Learner, "step", step)
    with (
        open_run(asked, tmp_path) as run,
        pytest.raises(
            nkca.InputError,
            match=r"batch size 5: try accumulate=auto.*batch_size, resize or hidden_size.*bf16",
        ),
    ):
        list(train(run))


def test_other_errors_are_not_called_out_of_memory(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: object) -> StepReport:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Learner, "step", step)
    with (
        open_run({**TINY, "dataset": str(photos)}, tmp_path) as run,
        pytest.raises(RuntimeError, match="shapes do not fit"),
    ):
        list(train(run))


def test_a_second_process_is_refused(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 1, "compile": "off"}
    with open_run(asked, tmp_path):
        with (
            pytest.raises(nkca.InputError, match=f"another process is at work in {tmp_path}"),
            open_run(asked, tmp_path),
        ):
            pytest.fail("opened twice")
        (line,) = log_of(
            tmp_path
        ).splitlines()  # both are this process: the second said what it read
        assert "16 images of 8x8" in line
    train_until(asked, tmp_path)  # the lock is free again
    assert (tmp_path / FINAL).exists()


def test_unreadable_images_are_listed_in_the_log(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "bad.png").write_bytes(b"words")
    (folder / "zero.jpg").write_bytes(b"")
    for path in sorted(photos.iterdir())[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    with open_run({**TINY, "dataset": str(folder)}, tmp_path / "run") as run:
        assert len(run.images) == 3
    log = log_of(tmp_path / "run")
    assert re.search(r"skipped unreadable image deep/bad\.png: not an image", log)
    assert re.search(r"skipped unreadable image zero\.jpg: empty file", log)


def test_temporary_files_of_a_killed_session_are_removed(photos: Path, tmp_path: Path) -> None:
    """They hold a checkpoint's size each, and are never taken for one."""
    asked = {**TINY, "dataset": str(photos), "max_steps": 2}
    train_until(asked, tmp_path, last=1)
    left = tmp_path / f".{LATEST}.123-0123abcd.tmp"
    left.write_bytes(b"half a checkpoint")
    train_until(asked, tmp_path)
    assert not left.exists()
    assert load_checkpoint(tmp_path / FINAL).progress["step"] == 2


def events_of(directory: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inside TensorBoard's imports
        from tensorboard.backend.event_processing.event_accumulator import (
            EventAccumulator,
        )

        events = EventAccumulator(str(directory / "tensorboard"))
        events.Reload()
    return events


def scalars_of(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag, as they were written in time.

    TensorBoard reads files by name: seconds, process, then a number of which "10" sorts before "9".
    """
    events = events_of(directory)
    return {
        tag: [
            (point.step, point.value)
            for point in sorted(events.Scalars(tag), key=lambda point: point.wall_time)
        ]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_and_previews(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 25, "viz_freq": 20, "batch_size": 16}
    with open_run(asked, tmp_path) as run:
        reports = list(train(run))
    curves = scalars_of(tmp_path)
    for name in ("loss", "entropy_production", "gradient_norm", "learning_rate", "images_seen"):
        assert [step for step, _ in curves[f"train/{name}"]] == [20, 25]
    means = [np.mean([r.loss for r in reports[:20]]), np.mean([r.loss for r in reports[20:]])]
    assert [value for _, value in curves["train/loss"]] == pytest.approx(means, rel=1e-5)
    production = np.mean([r.shown["entropy_production"].mean() for r in reports[20:]])
    assert curves["train/entropy_production"][1][1] == pytest.approx(production, rel=1e-4)
    levels = {tag for tag in curves if tag.startswith("loss_above_floor/level_")}
    assert levels == {f"loss_above_floor/level_{tenth / 10:.1f}" for tenth in range(10)}
    events = events_of(tmp_path)
    assert [image.step for image in events.Images("samples")] == [20, 25]

    previews = sorted(path.name for path in (tmp_path / "previews").iterdir())
    assert previews == ["step_000000020.png", "step_000000025.png"]
    last = np.asarray(Image.open(tmp_path / "previews" / previews[1]))
    model = nkca.load_model(tmp_path, device="cpu")
    again = contact_sheet(nkca.sample(model, range(16), batch_size=16))
    assert last.shape == again.shape
    assert np.array_equal(last, again), "a preview is a function of the weights"
    image = events.Images("samples")[1]
    assert (image.height, image.width) == last.shape[:2]
    first = np.asarray(Image.open(tmp_path / "previews" / previews[0]))
    assert not np.array_equal(first, last)

    assert [image.step for image in events.Images("reconstructions")] == [20, 25]
    rebuilt = np.asarray(Image.open(tmp_path / "reconstructions" / previews[1]))
    side = 96 + 2  # images of 8 x 8, enlarged
    assert rebuilt.shape == (7 * side + 2, 8 * side + 2, 3)
    top = rebuilt[2:side:12, 2::12][:, :8]  # the first image
    assert np.array_equal(top, np.asarray(Image.open(photos / "00.png")))


def test_viz_freq_0_makes_no_preview_and_a_due_one_is_made_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr(loop, "save_preview", lambda run, *_: made.append(run.progress.step))
    for freq, expected in ((0, []), (2, [2, 4]), (3, [3, 4]), (9, [4])):
        made.clear()
        asked = {**TINY, "dataset": str(photos), "max_steps": 4, "viz_freq": freq}
        train_until(asked, tmp_path / str(freq))
        assert made == expected


def test_a_resumed_curve_hides_the_points_of_lost_steps(photos: Path, tmp_path: Path) -> None:
    """A session that died at step 40 after its checkpoint at 10: each step is shown once."""
    asked = {**TINY, "dataset": str(photos), "max_steps": 45, "checkpoint_freq": 10}
    with open_run(asked, tmp_path) as run:
        for report in train(run):
            if report.progress.step == 12:
                saved = (tmp_path / LATEST).read_bytes()
            if report.progress.step == 41:
                break  # as if killed: nothing more is saved
    (tmp_path / LATEST).write_bytes(saved)
    train_until(asked, tmp_path)
    steps = [step for step, _ in scalars_of(tmp_path)["train/loss"]]
    assert steps == sorted(set(steps))
    assert steps[-1] == 45


class FakeTime:
    """A clock on which a step takes a second and a preview five."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(loop, "time", self)
        monkeypatch.setattr(loop, "take_step", self.taking(1.0, take_step))
        monkeypatch.setattr(loop, "save_preview", self.taking(5.0, lambda *_: None))

    def monotonic(self) -> float:
        return self.now

    def taking(self, seconds: float, function: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any) -> Any:
            self.now += seconds
            return function(*args)

        return slow


def test_intervals_of_time_count_all_sessions_and_previews(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preview of five seconds after each ten; checkpoints after each minute, not after ten minutes."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 3)
    fake = FakeTime(monkeypatch)
    asked = {**TINY, "dataset": str(photos), "viz_freq": "10s", "checkpoint_freq": "1m", "keep": 9}
    made: list[int] = []

    def preview(run: Run, *_: Any) -> None:
        made.append(run.progress.step)
        fake.now += 5

    monkeypatch.setattr(loop, "save_preview", preview)
    train_until({**asked, "max_steps": 40}, tmp_path, last=12)
    # steps end at 1 .. 10 s, 16 .. 20, 26 .. 30 and so on
    assert made == [10]
    train_until({**asked, "max_steps": 40}, tmp_path)
    assert made == [10, 15, 20, 25, 30, 35, 40]
    (saved,) = tmp_path.glob("checkpoint_0*")
    assert load_checkpoint(saved).progress["seconds"] == 65  # step 35 ends at 60, then a preview
    assert saved.name == "checkpoint_000000035.pth"


@pytest.mark.parametrize("viz_freq", [10, 1000])
def test_previews_count_in_max_time(
    viz_freq: int, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeTime(monkeypatch)
    monkeypatch.setattr(loop, "estimated_seconds", lambda *_: 4.0)
    asked = {**TINY, "dataset": str(photos), "max_time": 62, "viz_freq": viz_freq, "max_steps": 99}
    run = train_until({**asked, "checkpoint_freq": 10, "keep": 9}, tmp_path / "run")
    passed = fake.now - 1000
    assert 60 <= passed <= 64, "the last preview is within the time, too"
    assert load_checkpoint(tmp_path / "run" / FINAL).progress["seconds"] >= passed
    at_ten = tmp_path / "run" / "checkpoint_000000010.pth"
    assert load_checkpoint(at_ten).progress["seconds"] == (15 if viz_freq == 10 else 10)
    assert run.is_finished()


def test_the_log_says_how_long_training_takes_and_what_ends_it_in_an_hour(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeTime(monkeypatch)
    asked = {**TINY, "dataset": str(photos), "epochs": 30_000}
    train_until(asked, tmp_path / "run", last=9)
    said = re.findall(
        r"1 s a step \(5 images/s\), 26:39:54 left; max_time=(\w+) .*", log_of(tmp_path / "run")
    )
    assert said == ["1h1m"]  # six seconds are gone
    train_until({"max_time": said[0]}, tmp_path / "run", last=18)
    (again,) = re.findall(r"1 s a step .*\), (\S+) left$", log_of(tmp_path / "run"), re.M)
    assert again == "1:00:45"
    short = {**TINY, "dataset": str(photos), "max_steps": 8}
    train_until(short, tmp_path / "short")
    assert "1 s a step (5 images/s), 0:00:02 left\n" in log_of(tmp_path / "short")


def test_max_time_counts_all_sessions(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos)}
    run = train_until({**asked, "max_time": 1000}, tmp_path, last=2)
    assert not run.is_finished()
    first = load_checkpoint(tmp_path / LATEST).progress["seconds"]
    assert first > 0
    run = train_until({**asked, "max_time": first / 2}, tmp_path)
    assert (run.is_finished(), run.progress.step) == (True, 2)  # that time was used before
    run = train_until({**asked, "max_time": first + 0.01}, tmp_path)
    assert run.is_finished()
    progress = load_checkpoint(tmp_path / FINAL).progress
    assert progress["seconds"] >= first + 0.01
    assert progress["step"] > 2


def test_the_python_api_takes_text_paths(photos: Path, tmp_path: Path) -> None:
    directory = str(tmp_path / "run")
    options = {**TINY, "dataset": str(photos), "max_steps": 2}
    with nkca.open_run(options, directory) as run:
        steps = [report.progress.step for report in nkca.train(run)]
    assert steps == [1, 2]
    for path in (directory, f"{directory}/{FINAL}"):
        model = nkca.load_model(path, device="cpu")
        images = nkca.sample(model, range(3), schedule=nkca.Schedule(num_steps=2))
        assert images.shape == (3, 8, 8, 3)
        assert images.dtype == np.uint8
    nkca.save_png(str(tmp_path / "grid.png"), nkca.grid(images))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "grid.png")), nkca.grid(images))


def test_the_logger_is_left_as_it_was(photos: Path, tmp_path: Path) -> None:
    logger = logging.getLogger("nkca")
    before = (list(logger.handlers), logger.level, logger.propagate)
    train_until({**TINY, "dataset": str(photos), "max_steps": 1}, tmp_path)
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_the_reports_belong_to_the_steps(photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 3, "lr": 1e-3, "lr_warmup": 2}
    with open_run(asked, tmp_path) as run:
        reports = list(train(run))
    assert [r.progress.step for r in reports] == [1, 2, 3]
    assert [r.progress.images for r in reports] == [5, 10, 15]
    assert [r.learning_rate for r in reports] == pytest.approx([5e-4, 1e-3, 1e-3])
    assert replace(reports[-1].progress, seconds=0) == replace(run.progress, seconds=0)
    stop: Callable[[], bool] = lambda: True  # noqa: E731
    with open_run({**asked, "max_steps": 9}, tmp_path) as run:
        assert list(train(run, stop)) == []


FULL = """
import resource, signal, sys
from pathlib import Path
from nkca.runs.curves import open_curves
from nkca.runs.directory import log_file
from nkca.models.checkpoint import load_checkpoint, save_checkpoint
import logging
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
checkpoint = load_checkpoint(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
def curves():
    with open_curves(folder / "tensorboard", 0) as found:
        for step in range(1000):
            found.scalar("name", 1.0, step)
def log():
    with log_file(folder / "log.txt"):
        for _ in range(1000):
            logging.getLogger("nkca").info("words")
for write in (curves, log, lambda: save_checkpoint(folder / "a.pth", checkpoint)):
    try:
        write()
    except OSError as error:
        print(error.strerror, Path(error.filename).name)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_is_an_error_with_a_name_and_nothing_is_printed(
    photos: Path, tmp_path: Path
) -> None:
    """Of TensorBoard's file, of the log, of a checkpoint that PyTorch writes."""
    run = train_until({**TINY, "dataset": str(photos), "max_steps": 1}, tmp_path / "run")
    (tmp_path / "full").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "full"), str(run.directory / FINAL)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(nkca.__file__).parents[1])},
        timeout=300,
    )
    assert ended.stderr == ""
    curves, log, checkpoint = ended.stdout.splitlines()
    assert curves.startswith("File too large events.out.tfevents.")
    assert log == "File too large log.txt"
    assert checkpoint == "File too large a.pth"
    assert not list((tmp_path / "full").glob("*a.pth*"))
