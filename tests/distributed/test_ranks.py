"""Two processes do what one does: the same curves, weights, samples and scores, to rounding."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click import Command
from forked_ranks import curve
from PIL import Image
from tables import each
from toys import random_pictures, save_pictures, write_checkpoint

from nkca.cli.metrics import main as nkca_metrics
from nkca.cli.sample import main as nkca_sample
from nkca.cli.train import main as nkca_train
from nkca.distributed.ranks import ALONE, Ranks
from nkca.levels import uniform
from nkca.models.build import load_model
from nkca.models.checkpoint import FINAL, LATEST, load_checkpoint, save_checkpoint
from nkca.runs.loop import train
from nkca.runs.start import open_run
from nkca.training.objective import contrastive_adjustment, evaluate

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
TINY: dict[str, Any] = {
    "recipe": "paper",
    "hidden_size": 8,
    "dim_mults": [1],
    "batch_size": 8,
    "viz_freq": 0,
    "device": "cpu",
    "precision": "fp32",
    "lr": 1e-3,
}
Start = Callable[..., tuple[list[int], float, list[str]]]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Do work on two ranks: exit codes, seconds since a kill, and what each said."""
    log = tmp_path_factory.mktemp("logs") / "said"
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "forked_ranks.py")],
        env=ENVIRONMENT | {"NKCA_CACHE": os.environ["NKCA_CACHE"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None

        def begin(
            work: str, *arguments: object, kill: object = None, count: int = 2
        ) -> tuple[list[int], float, list[str]]:
            assert parent.stdin is not None
            assert parent.stdout is not None
            job = {"work": work, "arguments": arguments, "count": count, "kill": kill}
            print(json.dumps({**job, "log": str(log)}, default=str), file=parent.stdin, flush=True)
            codes, seconds = json.loads(parent.stdout.readline())
            return codes, seconds, [Path(f"{log}-{k}.txt").read_text() for k in range(count)]

        yield begin
        parent.stdin.close()
        parent.wait(timeout=60)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("photos") / "set", random_pictures(24, seed=5))


def flags(options: dict[str, Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def assert_same_model(a: Path, b: Path) -> None:
    """Of two runs: Adam's means, and what the average of weights makes of an image.

    Not the weights: of a bias before a normalisation the gradient is rounding, which Adam enlarges.
    """
    means = []
    for directory in (a, b):
        optimizer = load_checkpoint(directory / FINAL).optimizer
        assert optimizer is not None
        means.append(torch.cat([mean.flatten() for mean in optimizer["mean"].values()]))
    torch.testing.assert_close(*means, rtol=0.0, atol=1e-3 * float(means[0].abs().max()))
    losses = []
    for directory in (a, b):
        model = load_model(directory, device="cpu")
        draw = uniform(model.min_noise)
        z = model.pixels.to_state(torch.arange(2 * 192, dtype=torch.uint8).reshape(2, 3, 8, 8))
        losses.append(evaluate(contrastive_adjustment, draw, model.chain, z).loss)
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"grad_clip": 1.0, "data_augmentation": ["fliph"]},
        {"batch_size": 7, "accumulate": 3},
        {"batch_size": 3, "accumulate": 2, "discrete": True, "num_classes": 4},
    ],
    ids=["clipped", "uneven", "one image on a rank"],
)
def test_the_curve_is_that_of_one_process(
    options: dict[str, Any], start: Start, photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 6, **options}
    curve(asked, str(tmp_path / "one"), str(tmp_path / "one.json"))
    assert not torch.distributed.is_initialized()
    codes, _, said = start("curve", asked, tmp_path / "two", tmp_path / "two.json")
    assert codes == [0, 0], said
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("one", "two"))
    assert len(one) == len(two) == 6
    for a, b in zip(one, two, strict=True):
        assert len(b["noise_level"]) == asked["batch_size"]
        assert b["noise_level"] == a["noise_level"], "the same levels for the same images"
        for name in a:
            assert b[name] == pytest.approx(a[name], rel=2e-4, abs=2e-5), name
    assert_same_model(tmp_path / "one", tmp_path / "two")
    other = [report["loss"] for report in one[1:]]
    assert other != pytest.approx([report["loss"] for report in two[:-1]], rel=2e-4)


def test_adaptive_levels_are_those_of_one_process(
    start: Start, photos: Path, tmp_path: Path
) -> None:
    """Batches so large that all bins are known after two; the third has other levels."""
    asked = {**TINY, "dataset": str(photos), "level_draw": "adaptive", "batch_size": 500}
    asked |= {"max_steps": 3}
    curve({**asked, "level_draw": "log-normal"}, str(tmp_path / "law"), str(tmp_path / "law.json"))
    curve(asked, str(tmp_path / "one"), str(tmp_path / "one.json"))
    codes, _, said = start("curve", asked, tmp_path / "two", tmp_path / "two.json")
    assert codes == [0, 0], said
    names = ("law", "one", "two")
    law, one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in names)
    for a, b in zip(one, two, strict=True):
        assert b["noise_level"] == pytest.approx(a["noise_level"], rel=1e-3)
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-3)
    means = [np.mean(reports[2]["noise_level"]) for reports in (one, law)]
    assert abs(means[0] - means[1]) > 0.02, "control: the levels are others than the law's"
    sums = [load_checkpoint(tmp_path / n).progress["level_sums"] for n in ("one", "two")]
    assert sums[0] == pytest.approx(sums[1], rel=1e-3)


def test_float16_on_two_ranks(start: Start, photos: Path, tmp_path: Path) -> None:
    """From a scale that holds every gradient the curve is that of one process; ranks agree before."""
    asked = {**TINY, "dataset": str(photos), "precision": "fp16", "batch_size": 7, "max_steps": 3}
    curve({**asked, "max_steps": 1}, str(tmp_path / "one"), str(tmp_path / "one.json"))
    begun = load_checkpoint(tmp_path / "one")
    begun = replace(begun, progress={**begun.progress, "loss_scale": 1.0})
    (tmp_path / "two").mkdir()
    for name in ("one", "two"):
        save_checkpoint(tmp_path / name / LATEST, begun)
    curve(asked, str(tmp_path / "one"), str(tmp_path / "one.json"))
    codes, _, said = start("curve", asked, tmp_path / "two", tmp_path / "two.json")
    assert codes == [0, 0], said
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("one", "two"))
    assert len(one) == len(two) == 2
    for a, b in zip(one, two, strict=True):
        for name in ("loss", "gradient_norm"):
            assert b[name] == pytest.approx(a[name], rel=1e-2), name
    asked |= {"max_steps": 24}
    codes, _, said = start("curve", asked, tmp_path / "falls", tmp_path / "falls.json")
    assert codes == [0, 0], said
    progress = load_checkpoint(tmp_path / "falls").progress
    assert 0 < progress["skipped"] < 20
    assert progress["loss_scale"] == 65536 / 2 ** progress["skipped"]
    norms = [
        report["gradient_norm"] for report in json.loads((tmp_path / "falls.json").read_text())
    ]
    assert sum(map(math.isfinite, norms)) == 24 - progress["skipped"]
    assert norms[-1] < 1e3  # divided by the scale on both ranks


def test_a_run_goes_on_with_another_number_of_processes(
    start: Start, photos: Path, tmp_path: Path
) -> None:
    asked = {
        **TINY,
        "dataset": str(photos),
        "batch_size": 5,
        "eval_freq": 25,
        "eval_features": "pixels",
        "eval_samples": 9,
        "eval_sampling_steps": 2,
    }
    for name, steps, viz_freq in (("whole", 25, 25), ("one", 20, 0)):
        now = {"max_steps": steps, "viz_freq": viz_freq}
        with open_run({**asked, **now}, tmp_path / name) as run:
            assert len(list(train(run))) == steps
    codes, _, said = start(
        "train", *flags({**asked, "max_steps": 20}), f"--save-dir={tmp_path / 'two'}"
    )
    assert codes == [0, 0], said
    assert "Finished at step 20" in said[0]
    assert said[1] == "", "only the first rank speaks"
    rest = {"max_steps": 25, "viz_freq": 25}
    codes, _, said = start("train", *flags(rest), f"--save-dir={tmp_path / 'one'}", "-q")
    assert codes == [0, 0], said
    with open_run(rest, tmp_path / "two") as run:
        assert len(list(train(run))) == 5
    for name in ("one", "two"):
        assert_same_model(tmp_path / "whole", tmp_path / name)
        (shown,), (whole,) = (
            [np.asarray(Image.open(p), int) for p in (tmp_path / n / "previews").glob("*25.png")]
            for n in (name, "whole")
        )
        assert np.abs(shown - whole).max() <= 1, "a preview does not depend on who makes it"
    scores = [
        load_checkpoint(tmp_path / n / FINAL).progress["best_score"] for n in ("one", "whole")
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)
    assert not list(tmp_path.glob("*/.lock"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"batch_size": 1}, "batch_size 1 is less than one image for each of 2 processes"),
        ({"hidden_size": 7}, "hidden_size must be"),
        ({"hiden_size": 8}, "did you mean '--hidden-size'"),
        ({"dataset": "nowhere"}, "nowhere"),
    ],
)
def test_bad_input_is_one_line_of_one_process(
    options: dict[str, Any], complaint: str, start: Start, photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, "dataset": photos, "max_steps": 1, **options}
    codes, _, said = start("train", *flags(asked), f"--save-dir={tmp_path / 'run'}", "-q")
    assert codes == [2, 2]
    lines = "".join(said).splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("nkca-train: error: ")
    assert complaint in lines[0]
    assert not (tmp_path / "run").exists()


def test_a_directory_that_is_taken_is_refused_by_all(
    start: Start, photos: Path, tmp_path: Path
) -> None:
    """An error of the first rank alone ends the other, which waits for it."""
    asked = {**TINY, "dataset": str(photos), "max_steps": 1}
    with open_run(asked, tmp_path) as run:
        list(train(run))
        codes, _, said = start("train", *flags(asked), f"--save-dir={tmp_path}", "-q")
    assert codes == [2, 2]
    assert "".join(said).count("\n") == 1
    assert "another process is at work" in "".join(said)


def test_a_rank_that_is_killed_ends_the_run(start: Start, photos: Path, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": photos, "max_steps": 10**6, "checkpoint_freq": 5, "epochs": 10**6}
    out = tmp_path / "run"
    kill = [1, out / LATEST, signal.SIGKILL]
    codes, seconds, said = start("train", *flags(asked), f"--save-dir={out}", "-q", kill=kill)
    assert codes == [2, -signal.SIGKILL]
    assert seconds < 20
    assert len(said[0].splitlines()) == 1, said[0]
    assert "another process of this run has died" in said[0]
    assert str(out) in said[0]
    step = load_checkpoint(out / LATEST).progress["step"]
    assert step >= 5
    with open_run({"max_steps": step + 1}, out) as run:
        assert [report.progress.step for report in train(run)] == [step + 1]


@pytest.mark.parametrize(
    "place",
    ["runs.start.load_dataset", "distributed.ranks.Ranks.parallel", "runs.start.build_run_learner"],
)
def test_a_rank_that_dies_before_training_is_told_in_a_line(
    place: str, start: Start, photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, "dataset": photos, "max_steps": 1}
    out = tmp_path / "run"
    given = [*flags(asked), f"--save-dir={out}", "-q"]
    codes, _, said = start("signals", place, signal.SIGKILL, given)
    assert codes == [2, -signal.SIGKILL], said
    assert len(said[0].splitlines()) == 1, said[0]
    assert "has died" in said[0]
    assert "the same command goes on" in said[0]
    assert not out.exists()


def test_a_rank_that_torchrun_ends_before_training_says_so_in_a_line(
    start: Start, photos: Path, tmp_path: Path
) -> None:
    given = [*flags({**TINY, "dataset": photos}), f"--save-dir={tmp_path / 'run'}", "-q"]
    codes, _, said = start("signals", "runs.start.build_run_learner", signal.SIGTERM, given)
    assert codes == [2, 2], said
    (line,) = "".join(said).split("\n")[:-1]
    assert line.startswith(
        "nkca-train: error: interrupted, or another process of this run has died"
    )
    assert not (tmp_path / "run").exists()


def test_what_is_wrong_on_another_rank_alone_is_told_by_that_one(
    start: Start, photos: Path, tmp_path: Path
) -> None:
    given = [*flags({**TINY, "dataset": photos}), f"--save-dir={tmp_path / 'run'}", "-q"]
    codes, _, said = start("signals", "runs.start.build_run_learner", None, given)
    assert codes == [2, 2], said
    assert said == ["", "nkca-train: error: wrong here alone\n"]


def test_a_rank_that_hangs_ends_the_run(start: Start, photos: Path, tmp_path: Path) -> None:
    """The second stops while the first makes the preview of step 2."""
    asked = {**TINY, "dataset": photos, "epochs": 10**6, "checkpoint_freq": 1, "viz_freq": 2}
    given = [*flags(asked), f"--save-dir={tmp_path}", "-q"]
    codes, seconds, said = start("signals", "runs.loop.save_preview", signal.SIGSTOP, given)
    assert codes == [2, -signal.SIGKILL], said
    assert seconds < 60
    (line,) = said[0].splitlines()
    assert "did not answer for 5 s" in line
    assert str(tmp_path) in line
    assert step_of(tmp_path) == 1


VARIABLES = [
    ("WORLD_SIZE", "foo"), ("RANK", "a"), ("RANK", "2"), ("LOCAL_RANK", "-1"), ("MASTER_PORT", "x"),
    ("MASTER_PORT", "70000"), ("NKCA_RANK_TIMEOUT", "1m"), ("NKCA_RANK_TIMEOUT", "0"),
]  # fmt: skip


@pytest.mark.parametrize("command", [nkca_train, nkca_sample, nkca_metrics])
def test_a_bad_variable_of_torchrun_is_named_in_a_line(
    command: Command,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    good = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    given = {
        "nkca-train": flags({**TINY, "dataset": photos}),
        "nkca-sample": [str(write_checkpoint(tmp_path / "model.pth"))],
        "nkca-metrics": [str(photos), str(photos), "--features=pixels"],
    }
    assert command.name is not None
    for name, value in each(VARIABLES):
        for key, text in {
            **good,
            "MASTER_PORT": "29500",
            "NKCA_RANK_TIMEOUT": "9",
            name: value,
        }.items():
            monkeypatch.setenv(key, text)
        with pytest.raises(SystemExit) as stop:
            command.main([*given[command.name], f"--save-dir={tmp_path / 'out'}"])
        assert stop.value.code == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith(f"{command.name}: error: environment variables ")
        assert f" {name}='{value}'" in line
        assert not (tmp_path / "out").exists()


def test_a_signal_to_one_rank_stops_all_after_the_same_step(
    start: Start, photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, "dataset": photos, "epochs": 10**6, "checkpoint_freq": 5}
    kill = [1, tmp_path / LATEST, signal.SIGTERM]
    codes, seconds, said = start("train", *flags(asked), f"--save-dir={tmp_path}", kill=kill)
    assert codes == [0, 0], said
    assert seconds < 20
    assert "Stopped at step" in said[0]
    assert said[1] == ""
    step = load_checkpoint(tmp_path / LATEST).progress["step"]
    assert f"Stopped at step {step:,}." in said[0]


@pytest.mark.parametrize("during", ["preview", "evaluation"])
def test_torchrun_ends_when_a_rank_is_killed_while_others_are_busy(
    during: str, photos: Path, tmp_path: Path
) -> None:
    """As a user starts it, killed while the first rank has a minute of work ahead."""
    long: dict[str, dict[str, Any]] = {"preview": {"viz_freq": 2}}
    long["evaluation"] = {"eval_freq": 2, "eval_time": "none"}
    asked = {
        **TINY,
        "dataset": photos,
        "epochs": 10**6,
        "checkpoint_freq": 1,
        **long[during],
        "eval_features": "pixels",
        "eval_samples": 16,
        "eval_sampling_steps": 100_000,
    }
    if during == "preview":  # 100 steps of a large model
        asked |= {"hidden_size": 64, "dim_mults": [1, 1], "batch_size": 2}
    begin = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command = [*begin, "-m", "nkca.cli.train", *flags(asked), f"--save-dir={tmp_path}", "-q"]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as run:
        try:
            while not (tmp_path / LATEST).exists() and run.poll() is None:
                time.sleep(0.02)
            while run.poll() is None and step_of(tmp_path) < 1:
                time.sleep(0.02)
            time.sleep(1)  # step 2 is done, and what comes after it has begun
            os.kill(rank_of(run.pid, 1), signal.SIGKILL)
            began = time.monotonic()
            _, said = run.communicate(timeout=60)
        finally:
            run.kill()
    assert run.returncode != 0
    assert time.monotonic() - began < 30
    lines = [line for line in said.splitlines() if line.startswith("nkca-train")]
    assert len(lines) == 1, said
    assert "has died" in lines[0]
    assert step_of(tmp_path) >= 1


def step_of(directory: Path) -> int:
    return int(load_checkpoint(directory / LATEST).progress["step"])


def rank_of(parent: int, rank: int) -> int:
    """The process of a rank, found by what torchrun told it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_child = f"\nPPid:\t{parent}\n" in (process / "status").read_text()
            told = (process / "environ").read_bytes() if is_child else b""
        except OSError:
            continue
        if f"\0RANK={rank}\0".encode() in b"\0" + told:
            return int(process.name)
    raise AssertionError(f"no rank {rank}")


def test_samples_are_those_of_one_process(start: Start, photos: Path, tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model.pth")
    cases = {
        "noise": ["--num-samples=7", "--save-grid", "--save-intermediate", "--save-animation=gif"],
        "variant": [str(photos / "000.png"), "--num-samples=1"],
    }
    for name, case in cases.items():
        given = [str(model), *case, "--num-sampling-steps=3", "--batch-size=2", "--device=cpu"]
        one, two = (tmp_path / f"{name}-{count}" for count in (1, 2))
        with pytest.raises(SystemExit) as stop:
            nkca_sample([*given, f"--save-dir={one}", "-q"])
        assert stop.value.code == 0
        codes, _, said = start("sample", *given, f"--save-dir={two}")
        assert codes == [0, 0], said
        assert said[1] == ""
        files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
        assert files == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
        assert len(files) == {"noise": 7 + 7 * 4 + 2, "variant": 1}[name]
        for file in files:
            with Image.open(one / file) as a, Image.open(two / file) as b:
                assert a.info.get("nkca") == b.info.get("nkca")
                assert np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1, file


@pytest.mark.parametrize("cache", ["--cache", "--no-cache"])
def test_scores_are_those_of_one_process(
    cache: str, start: Start, photos: Path, tmp_path: Path
) -> None:
    model = write_checkpoint(tmp_path / "model.pth")
    given = [str(model), str(photos), "--features=pixels", "--num-samples=9", "--batch-size=2"]
    given += ["--num-sampling-steps=2", "--device=cpu", cache]
    one, two = tmp_path / "one", tmp_path / "two"
    with pytest.raises(SystemExit) as stop:
        nkca_metrics([*given, f"--save-dir={one}", "-q", f"--cache-dir={tmp_path / 'a'}"])
    assert stop.value.code == 0
    codes, _, said = start("metrics", *given, f"--save-dir={two}", f"--cache-dir={tmp_path / 'b'}")
    assert codes == [0, 0], said
    assert said[1] == ""
    reports = [json.loads((place / "metrics.json").read_text()) for place in (one, two)]
    for report in reports:
        for name in ("command", "time", "seconds", "date"):
            report.pop(name, None)
    assert_alike(*reports)


def assert_alike(a: Any, b: Any) -> None:
    """Equal, numbers to rounding."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            assert_alike(a[name], b[name])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_alike(one, other)
    elif isinstance(a, float):
        assert b == pytest.approx(a, rel=2e-3, abs=1e-4)
    else:
        assert a == b


def test_shares_are_contiguous_and_even() -> None:
    for count in (1, 2, 3, 8):
        for total in (0, 1, 7, 8, 100):
            shares = [Ranks(rank, rank, count).share(total) for rank in range(count)]
            assert [row for share in shares for row in share] == list(range(total))
            sizes = [len(share) for share in shares]
            assert max(sizes) - min(sizes) <= 1
    assert ALONE.is_first
    assert list(ALONE.share(5)) == [0, 1, 2, 3, 4]
    assert ALONE.maxima(2.0, 1.0) == [2.0, 1.0]
