"""The documented command lines in every spelling of their flags, with small values."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import Result
from PIL import Image

from nkca.models.checkpoint import load_checkpoint

Call = Callable[..., Result]
SMALL = "--viz-freq=0 --device=cpu"


@pytest.fixture(params=["continuous", "discrete"])
def run(request: pytest.FixtureRequest) -> Path:
    """The directory of a trained model, of either kind."""
    name = "trained" if request.param == "continuous" else "trained_discrete"
    return Path(request.getfixturevalue(name))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    gradient = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    Image.fromarray(gradient).save(path)
    return path


def shell(call: Call, line: str, code: int = 0) -> Result:
    """Run a command line as a shell would split it."""
    name, *args = shlex.split(line)
    return call(name.removeprefix("nkca-"), *args, code=code)


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(path))


TRAIN_LINES = {
    "as written": """nkca-train --hidden-size=8 --dim-mults='[1, 2]' --epochs=1 --batch-size=8
        --resize=8 --data-augmentation='[fliph]' --dataset={photos} --save-dir={out}""",
    "space for equals": """nkca-train --hidden-size 8 --dim-mults '[1, 2]' --epochs 1
        --batch-size 8 --resize 8 --data-augmentation '[fliph]' --dataset {photos}
        --save-dir {out}""",
    "plain lists": """nkca-train --hidden-size=8 --dim-mults=1,2 --epochs=1 --batch-size=8
        --resize=8 --data-augmentation=fliph --dataset={photos} --save-dir={out}""",
    "quoted words": """nkca-train --hidden-size=8 --dim-mults=[1,2] --epochs=1 --batch-size=8
        --resize=8 --data-augmentation="['fliph']" --dataset={photos} --save-dir={out}""",
    "discrete": """nkca-train --hidden-size=8 --dim-mults='[1, 2]' --epochs=1 --batch-size=8
        --resize=8 --data-augmentation='[fliph]' --dataset={photos} --save-dir={out}
        --discrete --num-classes=10""",
    "the rest": """nkca-train --config={config} --lag=0.4 --lr=2e-4 --seed=7
        --dataset={photos} --save-dir={out}""",
}


@pytest.mark.parametrize("line", TRAIN_LINES.values(), ids=TRAIN_LINES.keys())
def test_nkca_train(line: str, call: Call, photos: Path, tmp_path: Path) -> None:
    config, out = tmp_path / "run.yaml", tmp_path / "run"
    config.write_text(
        "hidden_size: 8\ndim_mults: [1, 2]\nepochs: 1\nbatch_size: 8\nresize: 8\n"
        "data_augmentation: [fliph]\n"
    )
    filled = line.format(photos=photos, out=out, config=config)
    result = shell(call, f"{filled} {SMALL}")
    assert "Finished at step 2." in result.stdout
    checkpoint = load_checkpoint(out / "checkpoint_final.pth")
    assert checkpoint.progress["images"] == 16
    assert checkpoint.data_shape == (3, 8, 8)
    expected = {
        "hidden_size": 8,
        "dim_mults": [1, 2],
        "data_augmentation": ["fliph"],
        "discrete": "--discrete" in line,
        "num_classes": 10,
        "lag": 0.4 if "--lag" in line else None,
        "lr": 2e-4 if "--lr" in line else 1.5e-3,
        "recipe": "recommended",
        "seed": 7 if "--seed" in line else 0,
    }
    assert {name: checkpoint.config[name] for name in expected} == expected


def test_nkca_train_all_lines_train_the_same_weights(
    call: Call, photos: Path, tmp_path: Path
) -> None:
    """`--a=b`, `--a b`, `'[1, 2]'` and `1,2` are alike."""
    finals = []
    for number, name in enumerate(["as written", "space for equals", "plain lists"]):
        out = tmp_path / str(number)
        shell(call, TRAIN_LINES[name].format(photos=photos, out=out) + f" {SMALL}")
        finals.append(load_checkpoint(out).model)
    for final in finals[1:]:
        assert final.keys() == finals[0].keys()
        assert all(torch.equal(final[key], finals[0][key]) for key in final)


@pytest.mark.parametrize("spelling", ["{run}", "{run}/checkpoint_final.pth"])
def test_nkca_sample_from_noise(spelling: str, call: Call, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = f"nkca-sample {spelling.format(run=run)} --num-samples=5 --save-dir={out}"
    result = shell(call, f"{line} --num-sampling-steps=5 --device=cpu")
    assert result.stdout == f"5 pictures in {out}\n"
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"seed_{seed:06d}.png" for seed in range(5)]
    assert {pixels(out / name).shape[:2] for name in names} == {(8, 8)}


LEVELS = {
    "as written": "--max-sampling-noise=0.2 --min-sampling-noise=0.2 --num-sampling-steps=10",
    "spaces": "--max-sampling-noise 0.2 --min-sampling-noise 0.2 --num-sampling-steps 10",
    "other names": "--noise-level-max=0.2 --noise-level-min=0.2 --num-sampling-steps=10",
}


def test_nkca_sample_variants(call: Call, run: Path, photo: Path, tmp_path: Path) -> None:
    made = []
    for number, levels in enumerate(LEVELS.values()):
        out = tmp_path / f"out{number}"
        shell(call, f"nkca-sample {run} {photo} {photo} {levels} --save-dir={out} --device=cpu")
        assert sorted(path.name for path in out.iterdir()) == [
            "0000_photo_seed_000000.png",
            "0001_photo_seed_000000.png",
        ]
        made.append(pixels(out / "0000_photo_seed_000000.png"))
    assert all(np.array_equal(picture, made[0]) for picture in made)
    shell(call, f"nkca-sample {run} {photo} --save-dir={tmp_path / 'free'} --device=cpu")
    free = pixels(tmp_path / "free" / "photo_seed_000000.png")
    assert not np.array_equal(free, made[0]), "the levels made no difference"


def test_nkca_sample_inpainting(call: Call, run: Path, photo: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask.png"
    paint = np.zeros((8, 8), np.uint8)
    paint[:, 5:] = 255
    Image.fromarray(paint).save(mask)
    out = tmp_path / "out"
    shell(
        call,
        f"nkca-sample {run} {photo} --inpainting-mask={mask} --save-dir={out} "
        "--num-sampling-steps=5 --device=cpu",
    )
    after = pixels(out / "photo_seed_000000.png")
    shape = load_checkpoint(run).data_shape
    before = np.asarray(Image.open(photo).convert("L" if shape[0] == 1 else "RGB"))
    assert np.array_equal(after[:, :5], before[:, :5]), "held pixels changed"
    assert not np.array_equal(after[:, 5:], before[:, 5:]), "nothing was repainted"


@pytest.mark.parametrize(("more", "count"), [("", 16), ("--num-samples=7", 7)])
def test_nkca_metrics(
    more: str,
    count: int,
    call: Call,
    run: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command as it is written, the weights being where they are looked for."""
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    import inception_weights

    weights = inception_weights.write_inception_weights(tmp_path / "weights.pth")
    monkeypatch.setenv("NKCA_INCEPTION_WEIGHTS", str(weights))
    out = tmp_path / "out"
    line = f"nkca-metrics {run} {photos} --save-dir={out} {more}"
    shell(call, f"{line} --num-sampling-steps=2 --device=cpu")
    found = json.loads((out / "metrics.json").read_text("utf-8"))
    assert found["extractor"]["name"] == "inception"
    assert any("not the FID-standard weights" in warning for warning in found["warnings"])
    assert found["protocol"]["samples"]["count"] == count
    assert float((out / "metrics-FID.txt").read_text()) == pytest.approx(found["scores"]["fid"])
    if count >= 10:
        mean, deviation = map(float, (out / "metrics-IS.txt").read_text().split())
        assert mean >= 1
        assert deviation >= 0


def test_nkca_interactive(trained: Path) -> None:
    arguments = shlex.split(f"{trained} --visualize=z")
    command = [sys.executable, "-m", "nkca.cli.interactive", *arguments]
    environment = {**os.environ, "BROWSER": "true"}  # a browser that does nothing
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline().decode())
        assert address
        with urllib.request.urlopen(f"{address[0]}api/about") as answer:
            assert json.load(answer)["show"] == "z"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, b"")
