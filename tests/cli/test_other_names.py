"""Flags by other programs' names are answered with ours; what is proposed is accepted."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result
from tables import each

from nkca.config.other_names import OPTIONS_ELSEWHERE

Call = Callable[..., Result]
COMMANDS = ("train", "sample", "metrics", "interactive")
TINY = ("--recipe=paper", "--hidden-size=8", "--dim-mults=[1]", "--viz-freq=0", "--device=cpu")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_proposed_flag_is_one_of_the_command(call: Call, name: str) -> None:
    main = importlib.import_module(f"nkca.cli.{name}").main
    parser = main.make_parser(click.Context(main, **main.context_settings))
    words = {word for names in OPTIONS_ELSEWHERE.values() for word in names.split()}
    proposed = 0
    for word in each(sorted(words)):
        if f"--{word}" in parser._long_opt:
            continue
        said = call(name, f"--{word}", code=2).stderr
        assert said.startswith(f"nkca-{name}: error: no option --"), said
        assert said.count("\n") == 1
        for flag in re.findall(r"use (--[a-z0-9-]+)|mean '(--[a-z0-9-]+)'", said):
            proposed += 1
            assert "".join(flag) in parser._long_opt, said
    assert proposed > 20


def test_the_usual_names(call: Call) -> None:
    for line, told in each(
        {
            "train --learning-rate=1": "no option --learning-rate: use --lr",
            "train --steps=1": "no option --steps: use --max-steps",
            "train --output=o": "no option --output: use --save-dir",
            "train --out o": "no option --out: use --save-dir",
            "train --image-size=8": "no option --image-size: use --resize",
            "train --batch=8": "no option --batch: use --batch-size",
            "train --hflip": "no option --hflip: use --data-augmentation=fliph",
            "train --gpu": "no option --gpu: use --device",
            "train --grayscale": "no option --grayscale: use --channels=1",
            "train --qqqqq": "no option --qqqqq: nkca-train --help-all lists all",
            "train --datset=a": "no option --datset (did you mean '--dataset'?)",
            "sample demo --steps=1": "no option --steps: use --num-sampling-steps",
            "sample demo --device=gpu": "not one of auto, cpu, cuda, mps: use auto",
            "sample --model=demo": "no option --model: leave it out, nkca-sample CKPT [IMAGE]...",
            "interactive --checkpoint=demo": "leave it out, nkca-interactive [CKPT] [IMAGE]...",
            "metrics --model=demo": "leave it out, nkca-metrics CKPT|IMAGES|STATS",
            "sample --qqqqq": "no option --qqqqq: nkca-sample --help-all lists all",
        }.items()
    ):
        name, *rest = line.split()
        assert told in call(name, *rest, code=2).stderr


def test_spellings_of_options_and_choices(call: Call, trained: Path, tmp_path: Path) -> None:
    options = (
        "--num_samples=1",
        "--max_sampling_noise=1",
        "--num-sampling_steps=1",
        "--visualise=Z",
    )
    call("sample", trained, *options, "--device=CPU", f"--save_dir={tmp_path / 'made'}")
    assert (tmp_path / "made" / "seed_000000.png").exists()


def test_training_on_an_argument_is_answered_with_flags_that_work(
    call: Call, photos: Path, tmp_path: Path
) -> None:
    said = call("train", photos, *TINY, "--max-steps=1", code=2).stderr
    assert said.endswith(
        f"unexpected argument {photos}: use --dataset={photos} and --save-dir=DIR\n"
    )
    flags = re.findall(r"--[a-z-]+=[^ \n]+", said)
    proposed = [flag.replace("DIR", str(tmp_path / "run")) for flag in flags]
    call("train", *proposed, *TINY, "--max-steps=1")
    assert (tmp_path / "run" / "checkpoint_final.pth").exists()
    said = call("train", *proposed, "more", code=2).stderr
    assert "unexpected argument more: every value needs its flag" in said
    assert "Usage" in call("train", photos, "--help").stdout
