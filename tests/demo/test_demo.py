"""The model in the package: what `demo` means, what the file holds, and that every command takes it."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from click.testing import CliRunner, Result
from interactive_process import interactive
from make_demo_model import slimmed
from PIL import Image

import nkca
from nkca.cli import metrics, sample, train
from nkca.config.parsing import configure
from nkca.demo import DEMO, MODELS, model_path, path_as_argument
from nkca.errors import InputError
from nkca.metrics.image_sets import ImageFiles, Samples
from nkca.metrics.measurement import open_measurement
from nkca.metrics.request import DEMO_SAMPLES, MeasureRequest
from nkca.models.checkpoint import (
    LATEST,
    digest,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
)

MODEL = MODELS[DEMO]
ROOT = Path(__file__).resolve().parents[2]


def run(command: object, *args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(command, [str(arg) for arg in args])  # type: ignore[arg-type]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


# the file


def test_the_file_is_small_and_holds_the_average_alone_in_half_precision() -> None:
    assert MODEL.stat().st_size < 8_000_000
    content = torch.load(MODEL, map_location="cpu", weights_only=True)
    assert content["model"] == {}
    assert content["optimizer"] is None
    assert content["ema"]
    assert {tensor.dtype for tensor in content["ema"].values()} == {torch.float16}
    assert {"name", "licence", "step", "images", "seconds"} <= content["card"].keys()
    assert content["progress"]["step"] == content["card"]["step"] > 0
    assert content["progress"]["seconds"] > 0
    assert not re.search(r"[/\\]", content["config"]["dataset"]), "a place on one machine"
    assert content["config"]["cache_dir"] is None
    assert configure(content["config"]).model.hidden_size == content["config"]["hidden_size"]


def test_it_is_float32_once_it_is_read() -> None:
    checkpoint = load_checkpoint("demo")
    assert {tensor.dtype for tensor in checkpoint.ema.values()} == {torch.float32}
    assert checkpoint.data_shape == (1, 28, 28)
    model = nkca.load_model("demo", device="cpu")
    pictures = nkca.sample(model, seeds=[0], schedule=nkca.Schedule(num_steps=2))
    assert pictures.shape == (1, 28, 28, 1)


def test_the_package_lists_it_among_its_files() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"\[tool\.setuptools\.package-data\]\nnkca = (\[.*?\])", text, re.DOTALL)
    assert listed
    assert MODEL.relative_to(ROOT / "src/nkca").as_posix() in json.loads(listed[1])


@pytest.mark.slow
def test_the_wheel_holds_it(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *(
                "--no-build-isolation",
                "--no-index",
                "--disable-pip-version-check",
                "--wheel-dir",
                tmp_path,
                source,
            ),
        ],
        check=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("nkca/demo/demo.pt") == MODEL.read_bytes()
        page = {path.name for path in (ROOT / "src" / "nkca" / "live" / "static").iterdir()}
        assert {"preact.js", "LICENSES.txt"} <= page
        assert {f"nkca/live/static/{name}" for name in page} <= set(archive.namelist())


def test_halves_that_overflow_are_refused(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(toys.write_checkpoint(tmp_path / "c.pth"))
    name = next(iter(checkpoint.ema))
    checkpoint.ema[name].view(-1)[0] = 1e5
    with pytest.raises(InputError, match=f"^the weight '{name}' has numbers that half precision"):
        slimmed(checkpoint, {})


def test_a_weak_model_is_shipped_in_eight_bits_and_read_as_float32(tmp_path: Path) -> None:
    whole = load_checkpoint(toys.write_checkpoint(tmp_path / "c.pth"))
    whole = replace(whole, weak={name: tensor / 2 for name, tensor in whole.ema.items()})
    small = slimmed(whole, {})
    assert {t.dtype for t in small.weak.values() if t.ndim > 1} == {torch.float8_e4m3fn}
    save_checkpoint(tmp_path / "small.pt", small)
    again = load_checkpoint(tmp_path / "small.pt").weak
    assert again.keys() == whole.weak.keys()
    for name, tensor in whole.weak.items():
        assert again[name].dtype == torch.float32
        torch.testing.assert_close(again[name], tensor, rtol=1 / 16, atol=2**-10)
    assert nkca.load_model(tmp_path / "small.pt", device="cpu").weak is not None


# the name


def test_a_string_is_the_name_a_path_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("demo") == model_path("demo") == MODEL
    with pytest.raises(InputError, match="no such checkpoint: demo"):
        load_checkpoint(Path("demo"))
    load_checkpoint("demo")
    assert not caplog.records
    own = toys.write_checkpoint(tmp_path / "demo")
    assert digest("./demo") == digest(Path("demo")) == digest(own)
    assert digest("demo") == digest(MODEL) != digest(own)
    load_checkpoint("demo")
    assert [record.getMessage() for record in caplog.records] == [
        "demo is the model in the package; the run in this folder is ./demo"
    ]
    load_checkpoint("./demo")
    assert len(caplog.records) == 1
    assert path_as_argument(Path("demo")) == os.path.join(".", "demo")  # noqa: PTH118
    assert path_as_argument(Path("runs/demo")) == str(Path("runs/demo"))


def test_an_installation_without_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, DEMO, tmp_path / "gone.pt")
    result = run(sample.main, "demo", f"--save-dir={tmp_path / 'out'}", code=2)
    (line,) = result.stderr.splitlines()
    assert "the model 'demo' is missing from this installation of nkca" in line
    assert "gone.pt" in line
    assert not (tmp_path / "out").exists()


# the commands


def test_sample_makes_sixteen_and_they_say_which_model(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(
        sample.main,
        *("demo", "--num-samples=16", "--num-sampling-steps=2", "--save-grid"),
        *(f"--save-dir={out}", "-q"),
    )
    assert len(list(out.glob("seed_*.png"))) == 16
    with Image.open(out / "seed_000003.png") as image:
        settings = json.loads(image.info["nkca"])
        first = np.asarray(image)
    assert settings["checkpoint"] == "demo"
    assert settings["checkpoint_sha256"] == digest(MODEL)
    again = tmp_path / "again"
    result = run(sample.main, f"--like={out / 'seed_000003.png'}", f"--save-dir={again}", "-q")
    assert "warning" not in result.stderr
    with Image.open(again / "seed_000003.png") as image:
        assert np.array_equal(first, np.asarray(image))


@pytest.mark.slow
def test_metrics_compares_the_model_with_the_pictures(tmp_path: Path) -> None:
    result = run(
        metrics.main,
        *(
            "demo:model",
            "demo:images",
            "--num-samples=4",
            "--num-sampling-steps=1",
            "--features=pixels",
        ),
        f"--save-dir={tmp_path / 'm'}",
    )
    report = json.loads((tmp_path / "m/metrics.json").read_text())
    text = json.dumps(report)
    assert str(MODEL) in text
    assert "the reference is the training images" in result.stdout


def test_what_demo_is_among_what_is_measured() -> None:
    both = open_measurement(MeasureRequest("demo:model", "demo:images"))
    samples, reference = both.subjects["samples"], both.subjects["reference"]
    assert isinstance(samples, Samples)
    assert samples.checkpoint == (str(MODEL), digest(MODEL))
    assert len(samples) == DEMO_SAMPLES
    assert isinstance(reference, ImageFiles)
    assert len(reference) == 2000
    assert both.subjects["train"] is reference, "its pictures are among those it learned from"
    assert both.extractor_name in ("inception", "efficientnet-lite0", "pixels")
    more = open_measurement(MeasureRequest("demo:model", "demo:images", num_samples=100)).subjects[
        "samples"
    ]
    assert len(more) == 100  # type: ignore[arg-type]
    alone = open_measurement(MeasureRequest("demo:images"))
    assert isinstance(alone.subjects["samples"], ImageFiles), "statistics of pictures"
    assert alone.extractor_name is None


def test_a_bare_demo_is_not_guessed_at_in_metrics(tmp_path: Path) -> None:
    for names in (
        ("demo",),
        ("demo", "demo:images"),
        ("demo:model", "demo"),
        ("demo:model", "demo:images", "--train=demo"),
        ("demo:model", "demo:images", "--held-out=demo"),
    ):
        result = run(metrics.main, *names, f"--save-dir={tmp_path / 'm'}", code=2)
        (line,) = result.stderr.splitlines()
        assert "demo:model or demo:images" in line, names
    assert not (tmp_path / "m").exists()


def test_a_run_is_measured_with_all_samples_against_demo(tmp_path: Path) -> None:
    model = toys.write_checkpoint(tmp_path / "m.pth", channels=1, side=28, dataset="elsewhere")
    measurement = open_measurement(MeasureRequest(str(model), "demo:images"))
    assert len(measurement.subjects["samples"]) == 2000  # type: ignore[arg-type]
    assert "train" not in measurement.subjects
    assert measurement.extractor_name is None


def test_interactive_starts_with_it(tmp_path: Path) -> None:
    with interactive("demo", cwd=tmp_path, NKCA_CACHE=str(tmp_path)) as (_, address):
        assert address.startswith("http://")


def test_training_does_not_go_on_from_it(tmp_path: Path) -> None:
    where = tmp_path / "run"
    where.mkdir()
    (where / LATEST).write_bytes(MODEL.read_bytes())
    result = run(train.main, "--dataset=demo", f"--save-dir={where}", "--max-steps=1", code=2)
    (line,) = result.stderr.splitlines()
    assert "has no optimizer state, so its run cannot be resumed: it is for sampling" in line
    assert (where / LATEST).read_bytes() == MODEL.read_bytes()
    assert [path.name for path in where.iterdir()] == [LATEST]


# making it


def test_the_tool_makes_such_a_file(tmp_path: Path) -> None:
    whole = toys.write_checkpoint(tmp_path / "c.pth", dataset="/somewhere/fashion-mnist")
    out = tmp_path / "small.pt"
    result = subprocess.run(
        [sys.executable, ROOT / "docs/make_demo_model.py", whole, out, "note=a = b"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "largest rounding of a weight" in result.stdout
    before, after = load_checkpoint(whole), load_checkpoint(out)
    assert after.model == {}
    assert after.optimizer is None
    assert after.card["note"] == "a = b"
    assert after.config["dataset"] == "fashion-mnist"
    for name, tensor in before.ema.items():
        assert torch.equal(after.ema[name], tensor.half().float())
    assert out.stat().st_size < 0.75 * whole.stat().st_size, "names and shapes are most of it"
