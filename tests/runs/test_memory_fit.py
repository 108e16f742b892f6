"""What memory there is and what work takes; parts and levels that fit; resuming with them."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tables import each
from toys import random_pictures, save_pictures

from nkca.config.parsing import configure
from nkca.errors import InputError
from nkca.models.checkpoint import load_checkpoint
from nkca.networks.unet import UNet
from nkca.noise import sample_noise
from nkca.runs import memory_fit
from nkca.runs.loop import train
from nkca.runs.memory_fit import Need, check_weights
from nkca.runs.run import Run
from nkca.runs.start import open_run, prepare
from nkca.system import memory
from nkca.system.memory import TensorBytes

CPU, MIB = torch.device("cpu"), 2**20

TINY: dict[str, Any] = {
    "recipe": "paper",
    "hidden_size": 8,
    "dim_mults": [1, 2],
    "batch_size": 6,
    "viz_freq": 0,
    "device": "cpu",
    "precision": "fp32",
    "compile": "off",
    "max_steps": 2,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_pictures(tmp_path_factory.mktemp("p") / "photos", random_pictures(12, seed=1)))


def levels_of(run: Run) -> int:
    unet = next(m for m in run.learner.network.modules() if isinstance(m, UNet))
    return unet.recomputed_levels


# Options


FOUND: list[tuple[dict[str, Any], bool, bool]] = [
    ({}, False, False),
    ({"accumulate": 4}, False, False),
    ({"accumulate": "auto"}, True, True),
    ({"accumulate": " Auto "}, True, True),
    ({"max_memory": "8G"}, True, True),
    ({"max_memory": "8G", "accumulate": 2}, False, True),
    ({"max_memory": "8G", "activation_checkpointing": 0}, True, False),
    ({"activation_checkpointing": "auto"}, False, True),
    ({"accumulate": "auto", "activation_checkpointing": 2}, True, False),
]


def test_what_is_found_at_start() -> None:
    for options, parts, levels in each(FOUND):
        training = configure(options).training
        assert (training.finds_parts, training.finds_levels) == (parts, levels)


# What there is


def make_cgroup(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_the_tightest_of_the_cgroups_above_counts(tmp_path: Path) -> None:
    stat = "anon 5\ninactive_file 30\nfile 70"
    make_cgroup(tmp_path, memory__stat="x 1")  # the root has no limit file
    outer = {"memory__max": 1000, "memory__current": 700, "memory__stat": stat}
    make_cgroup(tmp_path / "user", **outer)
    inner = {"memory__max": "max", "memory__current": 10, "memory__stat": stat}
    make_cgroup(tmp_path / "user" / "job", **inner)
    me = tmp_path / "me"
    me.write_text("0::/user/job\n")
    assert list(memory._cgroup_headroom(me, tmp_path)) == [1000 - 700 + 30]
    (tmp_path / "user" / "job" / "memory.max").write_text("200\n")
    assert list(memory._cgroup_headroom(me, tmp_path)) == [220, 330]


def test_cgroups_of_the_first_version(tmp_path: Path) -> None:
    me = tmp_path / "me"
    me.write_text("5:cpu:/a\n4:memory:/a/b\n0::/\n")
    stat = "total_inactive_file 7\ninactive_file 1"
    for folder, limit in (("a/b", 500), ("a", 9223372036854771712)):
        made = tmp_path / "memory" / folder
        make_cgroup(made, memory__limit_in_bytes=limit, memory__usage_in_bytes=100)
        make_cgroup(made, memory__stat=stat)
    assert list(memory._cgroup_headroom(me, tmp_path)) == [407]
    assert list(memory._cgroup_headroom(tmp_path / "none", tmp_path)) == []


def test_what_the_machine_has() -> None:
    assert 0 < memory.available(CPU) < 2**45
    assert 50 * MIB < memory.held(CPU) < 2**40


def test_a_cgroup_tighter_than_the_machine_is_what_is_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_cgroup(tmp_path, memory__max=1000, memory__current=700, memory__stat="file 1")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    expected = 300 if Path("/proc/self/cgroup").exists() else memory.available(CPU)
    assert memory.available(CPU) == expected


def test_tensors_that_exist_at_once_are_counted() -> None:
    before = torch.ones(30 * MIB, dtype=torch.uint8)
    with TensorBytes([before]) as found:
        kept = before + 1
        view = kept[: 10 * MIB]
        del kept
        before.add_(1)
        torch.ones(80 * MIB, dtype=torch.uint8)
        assert found.now == 30 * MIB
        del view
        assert found.now == 0
        torch.ones(20 * MIB, dtype=torch.uint8)
    assert found.peak == 110 * MIB


# What fits


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Needs by formula: 100 MiB are held; a part takes 10 MiB, and 40 - 10 levels for each image."""
    seen: list[int] = []

    def need(_learner: object, _model: object, _unit: int, levels: int) -> Need:
        seen.append(levels)
        return Need(110 * MIB, (40 - 10 * levels) * MIB)

    monkeypatch.setattr(memory_fit, "_need", need)
    monkeypatch.setattr(memory_fit, "MARGIN", 1.0)
    yield seen


PARTS: list[tuple[dict[str, Any], int, int]] = [
    ({"max_memory": "351M"}, 1, 0),  # 110 + 6 * 40
    ({"max_memory": "349M"}, 2, 0),
    ({"max_memory": "191M"}, 3, 0),  # 110 + 2 * 40
    ({"max_memory": "151M"}, 6, 0),
    ({"max_memory": "149M"}, 6, 1),  # one image takes 110 + 30
    ({"max_memory": "139M"}, 6, 2),
    ({"max_memory": "151M", "activation_checkpointing": 2}, 3, 2),
    ({"max_memory": "171M", "accumulate": 2}, 2, 2),  # parts of 3: 110 + 3 * 20
    ({"max_memory": "351M", "accumulate": 2, "activation_checkpointing": 1}, 2, 1),
]


def test_parts_first_then_levels(measured: list[int], photos: str, tmp_path: Path) -> None:
    for options, parts, levels in each(PARTS):
        measured.clear()
        prepared = prepare({**TINY, **options, "dataset": photos}, tmp_path / "run")
        assert (prepared.run.learner.parts, levels_of(prepared.run)) == (parts, levels)
        size = -(-6 // parts)
        assert prepared.run.learner.part_size == size
        assert prepared.step.parts == parts
        (line,) = prepared.messages
        assert line.startswith(f"steps of 6 images in {parts} part(s)")
        assert ("recomputed" in line) is (levels > 0)
        assert len(set(measured)) == len(
            measured
        )  # each is measured once, none after the one that fits
        assert max(measured) == levels
        most = options["max_memory"][:-1]
        assert f"about {110 + (40 - 10 * levels) * size} MiB of {most} MiB" in line


def test_what_does_not_fit_is_one_line_and_its_advice_works(
    measured: list[int], photos: str, tmp_path: Path
) -> None:
    asked = {**TINY, "dataset": photos, "max_memory": "120M"}
    message = "no step of 6 images fits into 120 MiB .max_memory.: use a smaller resize"
    with pytest.raises(InputError, match=message):
        prepare(asked, tmp_path / "run")
    assert set(measured) == {0, 1, 2}
    asked["max_memory"] = "141M"
    with pytest.raises(InputError, match="use accumulate=6, activation_checkpointing=1 ") as found:
        prepare({**asked, "accumulate": 1, "activation_checkpointing": 0}, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    advised = dict(re.findall(r"(accumulate|activation_checkpointing)=(\d+)", str(found.value)))
    run = prepare({**asked, **advised}, tmp_path / "run").run
    assert (run.learner.parts, levels_of(run)) == (6, 1)


def test_without_max_memory_the_limit_is_what_is_available(
    measured: list[int], photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda _: 90 * MIB)
    run = prepare({**TINY, "dataset": photos, "accumulate": "auto"}, tmp_path / "run").run
    assert run.learner.parts == 3  # 0.9 * 90 = 81: two images
    with pytest.raises(InputError, match=r"no step of 6 images .* .the memory available.: use acc"):
        prepare({**TINY, "dataset": photos}, tmp_path / "run")
    monkeypatch.setattr(memory, "available", lambda _: 240 * MIB)  # without room to spare
    prepared = prepare({**TINY, "dataset": photos}, tmp_path / "run")
    assert (prepared.run.learner.parts, levels_of(prepared.run)) == (1, 0)
    assert prepared.messages == ()
    assert measured


def test_a_given_number_of_parts_and_levels_is_obeyed(photos: str, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": photos, "accumulate": 3, "activation_checkpointing": 1}
    prepared = prepare(asked, tmp_path / "run")
    assert (prepared.run.learner.parts, levels_of(prepared.run)) == (3, 1)
    assert prepared.messages == ()


def test_weights_that_are_too_many_are_refused_before_they_are_made(
    photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An estimate costs no memory: these are 2 TiB of weights."""
    asked = {**TINY, "dataset": photos, "hidden_size": 80_000, "dim_mults": [1, 4]}
    with pytest.raises(InputError, match=r"weights take [\d.]+ GiB .*: use hidden_size=") as found:
        prepare(asked, tmp_path / "run")
    words = re.findall(r"(\w+)=([\d,]*\d)", str(found.value))
    prepare({**asked, **dict(words)}, tmp_path / "run")
    monkeypatch.setattr(memory, "available", lambda _: 24_000)
    training = configure({"recipe": "paper"}).training
    config = replace(configure({}), training=training)
    check_weights(1200, config, CPU, "")  # weight, average, gradient and two of Adam: 20 bytes
    with pytest.raises(InputError, match="1,201 weights"):
        check_weights(1201, config, CPU, "")


# In earnest


def finish(options: dict[str, Any], directory: Path) -> None:
    with open_run(options, directory) as run:
        for _ in train(run):
            pass


def test_the_trial_moves_no_weight_and_resuming_works(
    photos: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {**TINY, "dataset": photos, "max_memory": "64G"}
    plain_run = prepare({**TINY, "dataset": photos}, tmp_path / "a").run
    tried_run = prepare(asked, tmp_path / "a").run
    plain, tried = plain_run.learner, tried_run.learner
    for left, right in zip(plain.network.parameters(), tried.network.parameters(), strict=True):
        assert torch.equal(left, right)
        assert right.grad is None
    assert tried.optimizer.state()["step"] == 0
    assert tried_run.progress == plain_run.progress
    with caplog.at_level(logging.INFO, "nkca"):
        finish(asked, tmp_path / "auto")
    assert re.search(r"steps of 6 images in 1 part\(s\): about .* of 64.0 GiB", caplog.text)
    finish({**TINY, "dataset": photos}, tmp_path / "plain")
    for step in (2, 3):
        one, two = (load_checkpoint(tmp_path / name) for name in ("auto", "plain"))
        assert one.progress["step"] == step
        assert all(torch.equal(one.model[name], two.model[name]) for name in one.model)
        finish({"max_steps": 3, "max_memory": "64G"}, tmp_path / "auto")  # kept: the dataset
        finish({"max_steps": 3}, tmp_path / "plain")


def test_a_run_goes_on_with_other_parts_and_levels(photos: str, tmp_path: Path) -> None:
    asked = {**TINY, "dataset": photos, "lr": 1e-3}
    finish({**asked, "max_steps": 4}, tmp_path / "plain")
    finish(asked, tmp_path / "other")
    changed = {"activation_checkpointing": 2, "accumulate": 4, "max_steps": 4}
    finish(changed, tmp_path / "other")
    left, right = (load_checkpoint(tmp_path / name) for name in ("plain", "other"))
    assert left.progress["images"] == right.progress["images"] == 24
    assert left.model.keys() == right.model.keys()
    moved = max((left.model[n] - left.ema[n]).abs().max().item() for n in left.model)
    apart = [(left.model[n] - right.model[n]).abs().max().item() for n in left.model]
    assert np.mean(apart) < 0.05 * moved  # rounding, as Adam makes it


def test_gradients_stay_in_place_between_steps_of_several_parts(
    photos: str, tmp_path: Path
) -> None:
    """Taken anew at each step, they lie between what a part takes and frees: a half more memory."""
    asked = {**TINY, "dataset": photos, "max_memory": "64G"}
    for parts in (1, 2):
        run = prepare({**asked, "accumulate": parts}, tmp_path / "run").run
        weights = list(run.learner.network.parameters())
        before = [weight.grad for weight in weights]
        assert all(gradient is None for gradient in before) is (parts == 1)
        z = torch.zeros(6, *run.ema_model.data_shape)
        run.learner.step(run.progress, z, sample_noise(range(6)))
        after = [weight.grad for weight in weights]
        assert all(one is two for one, two in zip(before, after, strict=True)) is (parts == 2)


PEAK_OF_STEPS = """
import json, re, sys
from pathlib import Path
import torch
from nkca.noise import sample_noise
from nkca.runs.start import prepare
from nkca.system import memory

prepared = prepare(json.loads(sys.argv[1]), Path(sys.argv[2]))
learner, before = prepared.run.learner, memory.held(torch.device("cpu"))
z, noise = torch.zeros(4, *prepared.run.ema_model.data_shape), sample_noise(range(4))
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, proc(5)
for _ in range(2):
    learner.step(prepared.run.progress, z, noise)
status = Path("/proc/self/status").read_text()
peak = 1024 * int(re.findall(r"VmHWM:\\s+(\\d+) kB", status)[0])
print(before, peak, prepared.step.peak)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux says the peak")
def test_the_estimate_holds(tmp_path: Path) -> None:
    """Against the peak of the steps themselves, with whole images that are larger than what is tried."""
    folder = save_pictures(tmp_path / "large", random_pictures(4, seed=2, side=128))
    asked = {
        **TINY,
        "dataset": str(folder),
        "hidden_size": 16,
        "batch_size": 4,
        "max_memory": "64G",
    }
    arguments = [json.dumps(asked), str(tmp_path / "run")]
    done = subprocess.run(  # its own process: this one has freed memory that it would use again
        [sys.executable, "-c", PEAK_OF_STEPS, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    before, peak, estimate = map(int, done.stdout.split())
    assert peak - before > 100 * MIB
    assert 0.5 < peak / estimate < 1.05
