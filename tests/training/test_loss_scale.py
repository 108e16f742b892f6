"""Training in float16: the loss scale's rule, what an overflow does, and that nothing is lost."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from click import Command
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn
from toys import Trainer, random_pictures, save_pictures

from nkca.chain import Chain
from nkca.cli.metrics import main as nkca_metrics
from nkca.cli.sample import main as nkca_sample
from nkca.cli.train import main as nkca_train
from nkca.config.schema import ModelConfig, TrainingConfig
from nkca.denoisers.precision import dtype_named
from nkca.models.build import ModelSpec, assemble, new_denoiser
from nkca.models.checkpoint import LATEST, load_checkpoint, save_checkpoint
from nkca.noise import step_noise
from nkca.runs.curves import Curves
from nkca.runs.loop import MAX_SKIPPED_IN_A_ROW, train
from nkca.runs.run import Run
from nkca.runs.start import open_run
from nkca.training import loss_scale
from nkca.training.build import build_learner
from nkca.training.learner import Learner, StepReport, TrainingProgress
from nkca.training.objective import Terms

CPU = torch.device("cpu")
MODELS = {
    "paper": ModelConfig(hidden_size=8, dim_mults=(1,)),
    "preconditioned": ModelConfig(hidden_size=8, dim_mults=(1,), parametrisation="preconditioned"),
    "categorical": ModelConfig(hidden_size=8, dim_mults=(1,), discrete=True, num_classes=4),
}
TINY: dict[str, Any] = {
    "recipe": "paper",
    "hidden_size": 8,
    "dim_mults": [1],
    "batch_size": 4,
    "viz_freq": 0,
    "device": "cpu",
    "precision": "fp16",
}


def trainer(
    kind: str = "paper", precision: str = "fp16", scale: float = 4.0, **options: Any
) -> Trainer:
    """Of a learner of 1 x 8 x 8 images whose weights, gates too, are always the same."""
    spec = ModelSpec(MODELS[kind], (1, 8, 8), 0.6)
    network, ema_network = new_denoiser(spec, 0), new_denoiser(spec, 0)
    for module in (network, ema_network):
        generator = torch.Generator().manual_seed(5)
        for name, parameter in module.named_parameters():
            if name.endswith("gate"):
                nn.init.normal_(parameter, generator=generator)
    chain = assemble(spec, network, device=CPU, precision=precision).chain
    config = replace(TrainingConfig(lr=1e-3), **options)
    learner = build_learner(config, chain, network, ema_network)
    return Trainer(learner, TrainingProgress(loss_scale=scale))


def take(subject: Trainer, kind: str = "paper", number: int | None = None) -> StepReport:
    """Learn from eight images of one colour each; those, and the noise, depend on the step's number."""
    number = subject.progress.step if number is None else number
    u = step_noise(99, number, 0, 8).uniform(torch.empty(8, 1, 1, 1))
    z = (4 * u).long() if kind == "categorical" else 1.6 * u - 0.8
    return subject.step(z.expand(8, 1, 8, 8).contiguous(), step_noise(0, number, 0, 8))


def state(subject: Trainer | Learner) -> list[Tensor]:
    """Weights, their average and Adam's numbers."""
    adam = subject.optimizer.state()
    learner = subject.learner if isinstance(subject, Trainer) else subject
    modules = [*learner.network.parameters(), *learner.ema_network.parameters()]
    tensors = [*modules, *adam["mean"].values(), *adam["square"].values()]
    return [tensor.detach().clone() for tensor in tensors]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def gradient(subject: Trainer) -> Tensor:
    """Of all weights, after a step."""
    found = [p.grad.flatten() for p in subject.network.parameters() if p.grad is not None]
    return torch.cat(found)


# The rule


def test_the_rule_by_hand() -> None:
    assert TrainingProgress().loss_scale == 65536
    assert loss_scale.after_update(8.0, 0, patience=3) == (8.0, 1)
    assert loss_scale.after_update(8.0, 1, patience=3) == (8.0, 2)
    assert loss_scale.after_update(8.0, 2, patience=3) == (16.0, 0)
    assert loss_scale.after_update(8.0, 1998) == (8.0, 1999)
    assert loss_scale.after_update(8.0, 1999) == (16.0, 0)
    assert loss_scale.after_overflow(8.0) == (4.0, 0)
    assert loss_scale.after_overflow(loss_scale.MIN_SCALE) == (loss_scale.MIN_SCALE, 0)


# Learning


@pytest.mark.parametrize("kind", MODELS)
def test_it_learns_what_float32_learns(kind: str) -> None:
    """One batch, again and again."""
    half, full = trainer(kind, lr=3e-3), trainer(kind, "fp32", lr=3e-3)
    pairs = [(take(half, kind, 7), take(full, kind, 7)) for _ in range(15)]
    assert not any(a.overflowed for a, _ in pairs)
    for a, b in pairs:
        assert a.loss == pytest.approx(b.loss, abs=0.8)
    assert any(a.loss != b.loss for a, b in pairs)  # it was float16
    assert pairs[-1][0].loss < pairs[0][0].loss - 4  # control: what was learnt


def test_the_scale_changes_no_gradient_and_no_norm() -> None:
    small, large, full = trainer(scale=1.0), trainer(scale=8.0), trainer(precision="fp32")
    norms = [take(subject).gradient_norm for subject in (small, large, full)]
    assert norms == pytest.approx([norms[2]] * 3, rel=0.01)
    assert gradient(large).norm().item() == pytest.approx(norms[1], rel=1e-5)
    for subject in (small, large):
        apart = (gradient(subject) - gradient(full)).norm().item()
        assert apart < 0.01 * norms[2]


def test_clipping_and_the_scale_together() -> None:
    norm = take(trainer()).gradient_norm
    subject = trainer(grad_clip=norm / 4)
    assert take(subject).gradient_norm == pytest.approx(norm, rel=1e-6)  # as it was before
    assert gradient(subject).norm().item() == pytest.approx(norm / 4, rel=1e-4)


@pytest.mark.parametrize("parts", [3, 8])
def test_accumulation_is_the_large_batch(parts: int) -> None:
    whole, pieces = trainer(), trainer(accumulate=parts)
    a, b = take(whole), take(pieces)
    assert a.loss == pytest.approx(b.loss, rel=1e-3)
    apart = (gradient(whole) - gradient(pieces)).norm().item()
    assert apart < 0.01 * a.gradient_norm  # one wrong weight of a part makes it a tenth or more
    assert a.progress == b.progress


# Overflow


def test_an_overflow_halves_the_scale_and_moves_nothing() -> None:
    subject = trainer()
    take(subject)
    subject.progress = replace(subject.progress, loss_scale=2.0**34, skipped_in_a_row=3)
    before = state(subject)
    report = take(subject)
    assert report.overflowed
    assert not report.was_skipped
    assert math.isfinite(report.loss)
    assert not math.isfinite(report.gradient_norm)
    assert same(before, state(subject))
    assert report.progress == TrainingProgress(
        step=2, images=16, skipped=1, skipped_in_a_row=0, loss_scale=2.0**33
    )


def test_after_overflows_the_step_is_the_one_that_the_scale_left_allows() -> None:
    subject = trainer(scale=2.0**34, ema_warmup=True)
    reports = [take(subject, number=7)]
    while reports[-1].overflowed:
        assert len(reports) < 60
        reports.append(take(subject, number=7))
    count = len(reports) - 1
    assert count > MAX_SKIPPED_IN_A_ROW
    assert subject.progress.loss_scale == 2.0 ** (34 - count)
    assert (subject.progress.skipped, subject.progress.good_steps) == (count, 1)
    other = trainer(scale=2.0 ** (34 - count), ema_warmup=True)
    assert not take(other, number=7).overflowed
    assert same(state(subject), state(other))
    assert not same(state(subject), state(trainer()))


def test_good_steps_double_the_scale_and_an_overflow_begins_their_count_again() -> None:
    subject = trainer(scale=1.0)
    subject.learner = replace(subject.learner, patience=3)
    seen = []
    for _ in range(7):
        take(subject)
        seen.append((subject.progress.loss_scale, subject.progress.good_steps))
    assert seen == [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (4, 0), (4, 1)]
    subject.progress = replace(subject.progress, loss_scale=2.0**34)
    take(subject)
    assert (subject.progress.loss_scale, subject.progress.good_steps) == (2.0**33, 0)


def steepen(subject: Trainer) -> None:
    """Give it an objective that is finite, with a gradient that is not, at any scale."""
    weight = next(subject.network.parameters())

    def terms(_chain: Chain, z: Tensor, *_: object) -> Terms:
        return Terms((weight.sum() * 0).sqrt() + torch.ones(len(z)))

    subject.learner = replace(subject.learner, objective=terms)


@pytest.mark.parametrize(
    ("precision", "scale"), [("fp16", loss_scale.MIN_SCALE), ("fp32", 65536.0), ("bf16", 65536.0)]
)
def test_where_no_scale_can_fall_the_step_is_skipped_as_usual(precision: str, scale: float) -> None:
    subject = trainer(precision=precision, scale=scale)
    before = [p.detach().clone() for p in subject.network.parameters()]
    steepen(subject)
    reports = [take(subject), take(subject)]
    assert all(report.was_skipped and not report.overflowed for report in reports)
    assert subject.progress == TrainingProgress(
        step=2, images=16, skipped=2, skipped_in_a_row=2, loss_scale=scale
    )
    assert same(before, [p.detach() for p in subject.network.parameters()])


def test_a_gradient_that_is_never_finite_ends_in_skipped_steps() -> None:
    subject = trainer(scale=loss_scale.MIN_SCALE * 4)
    steepen(subject)
    assert [take(subject).overflowed for _ in range(4)] == [True, True, False, False]
    assert subject.progress.loss_scale == loss_scale.MIN_SCALE
    assert subject.progress.skipped_in_a_row == 2


def test_a_loss_that_is_not_finite_is_no_overflow() -> None:
    subject = trainer()
    take(subject)
    z = torch.full((8, 1, 8, 8), math.nan)
    report = subject.step(z, step_noise(0, 1, 0, 8))
    assert report.was_skipped
    assert not report.overflowed
    assert report.progress == replace(
        TrainingProgress(step=2, images=16, skipped=1, skipped_in_a_row=1),
        loss_scale=4.0,
        good_steps=1,
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_elsewhere_the_scale_is_one(precision: str) -> None:
    subject, other = trainer(precision=precision), trainer(precision=precision, scale=2.0**34)
    for each in (subject, other):
        each.learner = replace(each.learner, patience=1)
        assert each.learner.scale(each.progress) == 1.0
    a, b = take(subject), take(other)
    assert same(state(subject), state(other))
    assert a.gradient_norm == b.gradient_norm
    assert (a.progress.loss_scale, b.progress.loss_scale) == (4.0, 2.0**34)  # untouched
    assert a.progress.good_steps == b.progress.good_steps == 0


# Runs


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("photos") / "set", random_pictures(16, seed=5))


def train_until(options: dict[str, Any], directory: Path, last: int | None = None) -> Run:
    with open_run(options, directory) as run:
        for _ in train(run, lambda: last is not None and run.progress.step >= last):
            pass
    return run


def test_stopping_and_resuming_changes_no_bit(photos: Path, tmp_path: Path) -> None:
    """From the first scale on: stopped among the overflows, and after."""
    asked = {**TINY, "dataset": str(photos), "max_steps": 24, "accumulate": 2, "lr": 1e-3}
    whole = train_until(asked, tmp_path / "whole")
    for stop in (3, 9, 20):
        run = train_until(asked, tmp_path / "parts", stop)
        saved = load_checkpoint(tmp_path / "parts" / LATEST).progress
        assert saved["loss_scale"] == run.progress.loss_scale < 65536
    parts = train_until(asked, tmp_path / "parts")
    assert same(state(whole.learner), state(parts.learner))
    one, many = whole.progress, parts.progress
    assert replace(one, seconds=0) == replace(many, seconds=0)
    assert 0 < one.skipped < 20
    assert one.good_steps == 24 - one.skipped
    assert one.loss_scale == 65536 / 2**one.skipped


def test_a_checkpoint_from_before_resumes_with_the_first_scale(
    photos: Path, tmp_path: Path
) -> None:
    asked = {**TINY, "dataset": str(photos), "precision": "fp32"}
    train_until({**asked, "max_steps": 2}, tmp_path)
    saved = load_checkpoint(tmp_path)
    before = {k: v for k, v in saved.progress.items() if k not in ("loss_scale", "good_steps")}
    assert len(before) == len(asdict(TrainingProgress())) - 2
    save_checkpoint(tmp_path / LATEST, replace(saved, progress=before))
    with open_run({**asked, "precision": "fp16", "max_steps": 3}, tmp_path) as run:
        assert run.progress.step == 2
        assert run.learner.scale(run.progress) == 65536
        assert [report.progress.step for report in train(run)] == [3]


def test_more_overflows_in_a_row_than_may_be_skipped_do_not_end_a_run(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {**TINY, "dataset": str(photos), "max_steps": 60}
    caplog.set_level("INFO", "nkca")
    with open_run(asked, tmp_path) as run:
        run.progress = replace(run.progress, loss_scale=2.0**42)
        reports = list(train(run))
    overflows = [report.overflowed for report in reports]
    first_good = overflows.index(False)
    assert first_good > MAX_SKIPPED_IN_A_ROW
    assert reports[-1].progress.skipped == sum(overflows) < 60
    said = [record for record in caplog.records if "beyond float16" in record.message]
    assert [record.levelname for record in said] == ["INFO"] * sum(overflows)
    assert (
        "step 1 moved nothing: a gradient beyond float16, loss scale now 2.19902e+12"
        in said[0].message
    )
    drawn: dict[str, list[float]] = {}

    class Writer:
        def add_scalar(self, name: str, value: float, _step: int) -> None:
            drawn.setdefault(name, []).append(value)

    curves = Curves(cast(Any, Writer()))
    for report in reports:
        curves.add(report)
    curves.flush(60)
    assert drawn["train/gradient_norm"]
    assert all(map(math.isfinite, drawn["train/gradient_norm"]))
    assert drawn["train/skipped_steps"][-1] == sum(overflows)


def run_command(command: Command, *arguments: object) -> None:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def test_the_commands_take_it(photos: Path, tmp_path: Path) -> None:
    run, samples = tmp_path / "run", tmp_path / "samples"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    run_command(nkca_train, *options, f"--dataset={photos}", "--max-steps=3", f"--save-dir={run}")
    assert load_checkpoint(run).config["precision"] == "fp16"
    few = ("--num-samples=4", "--num-sampling-steps=3", "--device=cpu", "--precision=fp16")
    run_command(nkca_sample, run, *few, f"--save-dir={samples}")
    pictures = sorted(samples.glob("*.png"))
    assert len(pictures) == 4
    with Image.open(pictures[0]) as picture:
        assert json.loads(picture.text["nkca"])["precision"] == "fp16"
    scores = tmp_path / "scores"
    run_command(
        nkca_metrics, run, photos, *few, "--features=pixels", "--no-cache", f"--save-dir={scores}"
    )


# auto


@pytest.mark.parametrize(
    ("capability", "native", "expected"),
    [
        ((8, 0), True, torch.bfloat16),
        ((7, 5), False, torch.float16),
        ((7, 0), False, torch.float16),
        ((6, 1), False, torch.float32),
    ],
)
def test_auto_on_nvidia(
    capability: tuple[int, int],
    native: bool,
    expected: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    cuda = torch.device("cuda")
    assert dtype_named("auto", cuda) == expected
    assert dtype_named("fp32", cuda) == torch.float32
    assert dtype_named("bf16", cuda) == torch.bfloat16
    assert dtype_named("fp16", cuda) == torch.float16


def test_auto_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dtype_named("auto", torch.device("mps")) == torch.float32
    for found, expected in (({}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert dtype_named("auto", CPU) == expected
