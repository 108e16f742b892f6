"""nkca-train as its user meets it: precedence, rehearsal, signals, output, help."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import Result
from PIL import Image

from nkca.cli import progress
from nkca.config.parsing import OPTIONS, configure, read_yaml
from nkca.config.schema import RunConfig
from nkca.distributed import launch
from nkca.distributed.ranks import ALONE, Ranks
from nkca.models import build
from nkca.models.checkpoint import FINAL, LATEST, load_checkpoint
from nkca.runs import advice, dry_run
from nkca.runs.run import take_step
from nkca.runs.start import prepare
from nkca.system import memory

Call = Callable[..., Result]

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("train", "sample", "metrics", "interactive")
TINY = (
    *("--recipe=paper", "--hidden-size=8", "--dim-mults=[1]", "--batch-size=4"),
    *("--viz-freq=0", "--device=cpu"),
)


def config_of(directory: Path) -> dict[str, Any]:
    return configure(read_yaml(directory / "config.yaml")).to_flat()


# defaults < YAML < flags


@pytest.mark.parametrize(
    ("yaml_lr", "flag", "expected"),
    [
        (None, [], 1e-4),
        ("3.0e-4", [], 3e-4),
        (None, ["--lr=5e-4"], 5e-4),
        ("3.0e-4", ["--lr=5e-4"], 5e-4),
        ("3e-4", [], 3e-4),  # text to YAML 1.1, a number to a reader
    ],
)
def test_precedence(
    yaml_lr: str | None,
    flag: list[str],
    expected: float,
    call: Call,
    photos: Path,
    tmp_path: Path,
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("seed: 3\n" + (f"lr: {yaml_lr}\n" if yaml_lr else ""))
    out = tmp_path / "run"
    options = [*TINY, f"--config={config}", *flag, f"--dataset={photos}", "--max-steps=1", "-q"]
    call("train", *options, f"--save-dir={out}")
    assert config_of(out)["lr"] == expected
    assert config_of(out)["seed"] == 3
    assert load_checkpoint(out).config["lr"] == expected


def test_yaml_keys_may_be_spelled_as_flags_and_flags_can_undo_them(
    call: Call, photos: Path, tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("ema-warmup: true\nstrict: yes\ngrad-clip: 3\ndim-mults: [1, 1]\n")
    options = ["--no-ema-warmup", "--grad-clip=none", "--hidden-size=8", "--batch-size=4"]
    call(
        *("train", f"--config={config}", *options, f"--dataset={photos}", "--max-steps=1"),
        *("--viz-freq=0", "--device=cpu", "-q", f"--save-dir={tmp_path / 'run'}"),
    )
    expected = {"ema_warmup": False, "strict": True, "grad_clip": None, "dim_mults": [1, 1]}
    written = config_of(tmp_path / "run")
    assert {name: written[name] for name in expected} == expected


def test_a_written_config_starts_the_same_run_elsewhere(
    call: Call, photos: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    options = ("--max-steps=2", "--data-augmentation=fliph,flipv", "--max-time=1h", "-q")
    call("train", *TINY, *options, f"--dataset={photos}", f"--save-dir={first}")
    call("train", f"--config={first / 'config.yaml'}", f"--save-dir={second}", "-q")
    assert config_of(first) == config_of(second)
    left, right = load_checkpoint(first).model, load_checkpoint(second).model
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_configs_of_the_repository_are_valid(path: Path) -> None:
    options = read_yaml(path)
    config = configure(options, str(path))
    assert isinstance(config, RunConfig)
    assert len(options) > 3
    assert config.to_flat().keys() == OPTIONS.keys()


def test_there_are_configs() -> None:
    assert list((ROOT / "configs").glob("*.yaml"))


# --dry-run


def test_dry_run_says_everything_and_trains_nothing(
    call: Call, photos: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "images", tmp_path / "run"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.png").write_bytes(b"words")
    options = (*TINY, "--epochs=3", f"--dataset={folder}", f"--save-dir={out}", "--dry-run")
    result = call("train", *options)
    said = dict(re.findall(r"^(\w+) +(.+)$", result.stdout, re.MULTILINE))
    assert said["images"] == "16 of 8x8, 3 channels"
    assert said["unreadable"] == "1"
    assert "bad.png: not an image" in result.stdout
    assert said["steps"] == "12 of 4 images, 3 epochs"
    assert re.fullmatch(r"[\d.e-]+ s a step \(\S+ images/s\): \d+:\d\d:\d\d", said["time"])
    assert re.fullmatch(
        r"steps of 4 images in 1 part\(s\): about [\d.]+ \w+ of [\d.]+ GiB", said["memory"]
    )
    assert said["device"] == "cpu"
    assert "Nothing was trained" in result.stdout
    assert [path.name for path in out.iterdir()] == ["dry_run.png"]
    sheet = Image.open(out / "dry_run.png")
    assert sheet.width > 8 * 8
    assert len(sheet.getcolors(1 << 20) or []) > 10
    call("train", *options[:-1], "-q")
    weights = load_checkpoint(out).model
    assert said["parameters"] == f"{sum(weight.numel() for weight in weights.values()):,}"
    assert load_checkpoint(out).progress["step"] == 12


def test_what_is_trained_is_said_before_the_network_is_made(
    call: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "new_denoiser", refuse)
    options = (*TINY, f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}")
    for flags in ((), ("--dry-run",)):
        said = call("train", *options, *flags, code=130).stderr
        first = r"16 images of 8x8, 3 channels, in steps of 4; 21,606 weights, which take less than 1 MiB"
        assert re.search(first, said), said


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_step_beyond_the_memory_is_refused_and_the_advice_works(
    flags: tuple[str, ...],
    call: Call,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the paper's CelebA-HQ run on a laptop, which was killed after minutes of silence."""
    monkeypatch.setattr(memory, "available", lambda _: 4 << 20)
    options = ["--recipe=paper", "--hidden-size=8", "--dim-mults=1", "--batch-size=32"]
    options += ["--viz-freq=0", "--device=cpu", "--max-steps=1", "--resize=16", *flags]
    options += [f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}"]
    result = call("train", *options, code=2)
    last = result.stderr.splitlines()[-1]
    pattern = r"nkca-train: error: no step of 32 images fits into .*: use accumulate=(\d+) \(.*\)"
    found = re.fullmatch(pattern, last)
    assert found is not None, last
    assert not (tmp_path / "run").exists()
    call("train", *options, f"--accumulate={found[1]}")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1000, None),
        (3000, "--hidden-size=64 --dim-mults=1,2 --patch-size=2"),
        (20_000, "--hidden-size=64 --dim-mults=1,2 --patch-size=2 --max-time=1h"),
    ],
)
def test_the_dry_run_advises_what_takes_an_hour_at_most(
    steps: int,
    expected: str | None,
    call: Call,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (advice, dry_run):
        seconds = lambda run: run.config.model.hidden_size / 100  # noqa: E731
        monkeypatch.setattr(module, "seconds_per_step", seconds)
    options = ["--recipe=paper", "--hidden-size=160", "--dim-mults=1", "--resize=32", "--dry-run"]
    options += [f"--max-steps={steps}", "--epochs=1000000", "--device=cpu"]
    options += [f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}"]
    said = call("train", *options).stdout
    found = re.search(r"^advice +with (.+) it takes ([\d:]+), as measured$", said, re.M)
    assert (found and found[1]) == expected
    if found is not None:
        again = call("train", *options, *found[1].split()).stdout
        assert "\nadvice" not in again
        assert re.search(r"^time .*\): ([\d:]+)", again, re.M)[1] == found[2]  # type: ignore[index]


def test_advice_for_a_run_that_has_begun_changes_no_model(
    call: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*TINY, f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}")
    call("train", *options, "--max-steps=1", "-q")
    monkeypatch.setattr(dry_run, "seconds_per_step", lambda _: 1e5)
    flags = ("--max-steps=99", "--dry-run")
    said = call("train", *options, *flags).stdout
    found = re.search(r"^advice +with (--max-time=1h1?m?) it takes 1:0[01]:\d\d, as", said, re.M)
    assert found is not None, said
    assert "113 days" in said
    assert "\nadvice" not in call("train", *options, *flags, found[1]).stdout


@pytest.mark.slow
def test_the_rate_of_a_dry_run_is_that_of_the_steps(photos: Path, tmp_path: Path) -> None:
    options = {"recipe": "paper", "hidden_size": 32, "dim_mults": [1], "dataset": str(photos)}
    run = prepare({**options, "batch_size": 16, "device": "cpu"}, tmp_path / "run").run
    measured, began = dry_run.seconds_per_step(run), time.monotonic()
    for _ in range(4):
        take_step(run, torch.zeros(16, 3, 8, 8, dtype=torch.uint8), 0)
    assert 0.1 < measured / ((time.monotonic() - began) / 4) < 10


def test_dry_run_of_a_run_that_has_begun(call: Call, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = (*TINY, f"--dataset={photos}", f"--save-dir={out}")
    call("train", *options, "--max-steps=3", "-q")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    result = call("train", *options, "--epochs=1", "--max-steps=none", "--dry-run")
    assert "steps        1 of 4 images" in result.stdout
    assert {path: path.read_bytes() for path in before} == before
    after = {path for path in out.rglob("*") if path.is_file()}
    assert after - before.keys() == {out / "dry_run.png"}


def test_dry_run_says_when_max_time_ends_first(call: Call, photos: Path, tmp_path: Path) -> None:
    options = (*TINY, "--epochs=1000000", "--max-time=90", f"--dataset={photos}")
    result = call("train", *options, f"--save-dir={tmp_path / 'run'}", "--dry-run", "-q")
    assert re.search(r"^time .*: 0:01:30, when --max-time ends it$", result.stdout, re.M)


# output


def test_quiet_says_nothing(call: Call, photos: Path, tmp_path: Path) -> None:
    options = (*TINY, "--max-steps=1", f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}")
    result = call("train", *options, "--no-cache", "--quiet")
    assert result.output == ""


def test_lines_off_a_terminal(
    call: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No carriage returns, no bar; a line for each LINE_SECONDS, here each step."""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    options = (*TINY, "--max-steps=5", f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}")
    result = call("train", *options, "--no-cache")
    assert "\r" not in result.output
    lines = result.stderr.splitlines()
    assert lines[0] == "decoding images: 16"
    pattern = r"step \d, loss -?[\d.e+]+, \d+:\d\d:\d\d left, [\d.e+]+ images/s"
    steps = [line for line in lines if line.startswith("step ")]
    assert len(steps) == 5
    assert all(re.fullmatch(pattern, line) for line in steps), steps
    assert "0:00:00 left" in steps[-1]
    assert result.stdout.startswith("Finished at step 5.\n")
    assert f"checkpoint   {tmp_path / 'run' / FINAL}" in result.stdout
    assert "previews" not in result.stdout, "there are none with --viz-freq=0"


def test_the_next_command_that_is_said_runs(call: Call, photos: Path, tmp_path: Path) -> None:
    options = (*TINY, "--max-steps=1", f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}")
    result = call("train", *options)
    said = re.search(r"next +nkca-sample (.+)$", result.stdout, re.MULTILINE)
    assert said is not None
    words = said[1].replace("--save-dir=samples", f"--save-dir={tmp_path / 'samples'}").split()
    call("sample", *words, "--num-sampling-steps=1", "--device=cpu")
    assert (tmp_path / "samples" / "grid.png").exists()


def test_a_finished_run_says_how_to_go_on(call: Call, photos: Path, tmp_path: Path) -> None:
    options = (*TINY, f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}")
    first = call("train", *options, "--max-steps=1")
    assert "to train on" not in first.stdout
    again = call("train", *options, "--max-steps=1")
    assert "Finished at step 1." in again.stdout
    assert "raise --epochs, --max-steps or --max-time" in again.stdout
    more = call("train", *options, "--max-steps=2")
    assert "Finished at step 2." in more.stdout
    assert "changed option max_steps: 1 -> 2" in more.stderr


def test_max_time(call: Call, photos: Path, tmp_path: Path) -> None:
    options = (*TINY, "--max-time=0.3s", f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}")
    began = time.monotonic()
    result = call("train", *options)
    assert time.monotonic() - began < 30
    assert "Finished at step" in result.stdout
    progress = load_checkpoint(tmp_path / "run").progress
    assert 0.3 <= progress["seconds"] < 20
    assert progress["step"] < 4 * 500, "the epochs did not end it"


# a real process


def python(*args: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_signal_saves_exits_0_and_the_run_resumes(
    number: signal.Signals, call: Call, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = (*TINY, "--checkpoint-freq=5", f"--dataset={photos}", f"--save-dir={out}")
    with python("-m", "nkca.cli.train", *options, "--epochs=1000000") as process:
        deadline = time.monotonic() + 60
        while not (out / LATEST).exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert "stopping after this step" in stderr
    assert "Traceback" not in stderr
    stopped = re.search(r"Stopped at step ([\d,]+)\.", stdout)
    assert stopped is not None, stdout
    assert "the same command again" in stdout
    step = int(stopped[1].replace(",", ""))
    assert load_checkpoint(out / LATEST).progress["step"] == step >= 5
    result = call("train", *options, f"--max-steps={step + 2}")
    assert f"resuming {out} at step {step}" in result.stderr
    assert load_checkpoint(out / FINAL).progress["step"] == step + 2


@pytest.mark.parametrize(("named", "joins_as"), [([], "cpu"), (["--device=auto"], "auto")])
def test_a_resumed_run_of_several_processes_meets_on_its_own_device(
    named: list[str],
    joins_as: str,
    call: Call,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = (f"--dataset={photos}", f"--save-dir={tmp_path / 'run'}", "-q")
    call("train", *TINY, "--max-steps=1", *options)
    joined_as = []

    @contextlib.contextmanager
    def joined(device: str, _: str) -> Iterator[Ranks]:
        joined_as.append(device)
        yield ALONE

    monkeypatch.setattr(launch, "is_one_of_many", lambda: True)
    monkeypatch.setattr(launch, "joined", joined)
    call("train", *options, *named)
    assert joined_as == [joins_as]


TORCH_FREE = """
import sys
sys.argv = ["nkca", *sys.argv[2:]]
import nkca, nkca.cli.{name} as command
assert "torch" not in sys.modules and "numpy" not in sys.modules, "on import"
try:
    command.main(["--help"])
except SystemExit as stop:
    assert stop.code == 0, stop.code
assert "torch" not in sys.modules and "numpy" not in sys.modules, "for help"
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_import_need_no_torch(name: str) -> None:
    before = os.times()
    with python("-c", TORCH_FREE.format(name=name)) as process:
        stdout, stderr = process.communicate(timeout=600)
    after = os.times()
    assert process.returncode == 0, stderr
    assert stderr == ""
    assert stdout.startswith(f"Usage: nkca-{name} ")
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    assert used < 3, "torch alone takes longer than help should"  # seconds of the processor


@pytest.mark.parametrize("name", COMMANDS)
def test_version_and_help(name: str, call: Call) -> None:
    from nkca.version import __version__

    assert __version__ in call(name, "--version").stdout
    assert call(name, "-h").stdout == call(name, "--help").stdout


def test_help_all_names_every_option_of_the_config_in_a_section(call: Call) -> None:
    text, _, last = call("train", "--help-all").stdout.rpartition("\nHelp:\n")
    flags = {f"--{name.replace('_', '-')}" for name in OPTIONS}
    missing = {flag for flag in flags if not re.search(rf"{flag}\b", text)}
    assert missing == set()
    assert set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", last, re.M)) == {
        *("--version", "--help-all", "--help"),
    }


def test_help_of_sampling_is_one_screen_and_help_all_has_every_option_in_a_section(
    call: Call,
) -> None:
    assert len(call("sample", "--help").stdout.splitlines()) <= 50
    _, _, last = call("sample", "--help-all").stdout.rpartition("\nHelp:\n")
    assert set(re.findall(r"^  (?:-., )?(--[a-z-]+)", last, re.M)) == {
        *("--version", "--help-all", "--help"),
    }


def test_help_shows_ten_options_in_sections(call: Call) -> None:
    text, _, _ = call("train", "--help").stdout.rpartition("\nHelp:\n")
    titles = ["Images", "Model", "Training", "Saving and showing", "Machine"]
    assert re.findall(r"^(\w.*):$", text, re.M) == titles
    assert len(re.findall(r"^  --[a-z]", text.partition("\nImages:\n")[2], re.M)) == 10


def test_the_written_config_is_plain_yaml(call: Call, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    call("train", *TINY, "--max-steps=1", f"--dataset={photos}", f"--save-dir={out}", "-q")
    content = yaml.safe_load((out / "config.yaml").read_text())
    assert content.keys() == OPTIONS.keys()
