"""Bad input: exit code 2, one line that names what is wrong, and nothing written."""

import copy
import os
import pickle
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from PIL import Image
from tables import each

from nkca.models.checkpoint import load_checkpoint

Call = Callable[..., Result]

# What decoding says, off a terminal, before the images are known to be good or bad.
DECODING = re.compile(r"decoding images: [\d,]+")


@dataclass(frozen=True)
class Case:
    """A command line with {places}, and a pattern that its one line of error must hold."""

    line: str
    says: str


TRAIN = "nkca-train --viz-freq=0 --hidden-size=8 --save-dir=out --device=cpu"
GOOD = TRAIN + " --dim-mults=[1] --dataset={photos}"
SAMPLE = "nkca-sample {run} --save-dir=out --device=cpu"

CASES = {
    "the data set": {
        "no dataset": Case(TRAIN, r"no dataset given: name a folder"),
        "dataset missing": Case(TRAIN + " --dataset={bad}/none", r"/none: no such file or folder"),
        "folder empty": Case(TRAIN + " --dataset={bad}/empty", r"/empty: no image found"),
        "folder without images": Case(TRAIN + " --dataset={bad}/texts", r"/texts: no image found"),
        "all unreadable": Case(
            TRAIN + " --dataset={bad}/unreadable", r"2 of 2 images unreadable, first a\.png"
        ),
        "mixed sizes": Case(
            TRAIN + " --dataset={bad}/mixed", r"differ in size.*resize=8.*8x8.*16x16|16x16.*8x8"
        ),
        "strict and one bad": Case(
            TRAIN + " --strict --dataset={bad}/one_bad", r"1 of 2 images unreadable, first bad\.png"
        ),
        "text as dataset": Case(
            TRAIN + " --dataset={bad}/notes.txt", r"notes\.txt: expected a folder"
        ),
        "broken zip": Case(
            TRAIN + " --dataset={bad}/broken.zip", r"broken\.zip: cannot read this zip"
        ),
    },
    "the model and the images' size": {
        "resize not divisible": Case(
            GOOD + " --resize=30 --dim-mults='[1, 2, 4, 8]'", r"30x30.*resize=24, resize=32"
        ),
        "hidden size 12": Case(GOOD + " --hidden-size=12", r"hidden_size must be.*multiple of 8"),
        "hidden size a word": Case(
            GOOD + " --hidden-size=big", r"hidden_size must be a whole number"
        ),
        "preconditioned and discrete": Case(
            GOOD + " --discrete --parametrisation=preconditioned",
            r"preconditioned is for continuous",
        ),
        "recipe unknown": Case(GOOD + " --recipe=papr", r"recommended, paper.*mean 'paper'"),
        "deterministic and discrete": Case(
            GOOD + " --discrete --sampler=ddim", r"sampler=ddim is for continuous pixels"
        ),
        "patches do not fit": Case(
            GOOD + " --resize=6 --patch-size=4", r"6x6.*patch_size 4.*resize=4, resize=8"
        ),
        "parametrisation unknown": Case(
            GOOD + " --parametrisation=papper", r"did you mean 'paper'\?"
        ),
    },
    "flags": {
        "flag mistyped": Case(GOOD + " --epoch=3", r"--epoch.*--epochs"),
        "argument too many": Case(GOOD + " more", r"unexpected argument more"),
        "save dir missing": Case("nkca-train --dataset={photos}", r"'--save-dir'"),
        "lr not finite": Case(GOOD + " --lr=inf", r"lr must be positive and finite, got inf"),
        "colour unknown": Case(GOOD + " --background=whit", r"'whit' is not a colour"),
    },
    "the config file": {
        "config key unknown": Case(
            GOOD + " --config={bad}/key.yaml", r"key\.yaml: unknown option 'epoch'.*'epochs'"
        ),
        "config missing": Case(
            GOOD + " --config={bad}/none.yaml", r"no such config file: .*none\.yaml"
        ),
        "config not YAML": Case(
            GOOD + " --config={bad}/broken.yaml", r"broken\.yaml is not valid YAML"
        ),
        "config a list": Case(
            GOOD + " --config={bad}/list.yaml", r"list\.yaml must hold.*got list"
        ),
        "config key a number": Case(
            GOOD + " --config={bad}/number.yaml", r"number\.yaml: unknown option '1'"
        ),
        "config a picture": Case(GOOD + " --config={bad}/good.png", r"good\.png"),
        "config wrong type": Case(
            GOOD + " --config={bad}/type.yaml",
            r"type\.yaml: epochs must be a whole number, got 'many'",
        ),
        "config out of range": Case(
            GOOD + " --config={bad}/range.yaml",
            r"range\.yaml: ema_decay must be in \[0, 1\), got 1\.5",
        ),
    },
    "the run's directory": {
        "save dir a file": Case(GOOD.replace("=out", "={bad}/notes.txt"), r"notes\.txt.*is a file"),
        "save dir below a file": Case(
            GOOD.replace("=out", "={bad}/notes.txt/run"), r"notes\.txt/run.*notes\.txt is a file"
        ),
        "resume another hidden size": Case(
            GOOD.replace("=out", "={run}") + " --hidden-size=16",
            r"another model: hidden_size \(8 -> 16\)",
        ),
        "resume another kind": Case(
            GOOD.replace("=out", "={run}") + " --discrete",
            r"another model: discrete \(False -> True\)",
        ),
        "resume another image size": Case(
            GOOD.replace("=out", "={run}") + " --resize=16", r"on 8x8 images of 3.*16x16 of 3"
        ),
        "resume from damage": Case(
            GOOD.replace("=out", "={bad}/damaged_run"), r"checkpoint_latest\.pth.*truncated"
        ),
    },
    "the checkpoint": {
        "no checkpoint": Case("nkca-sample --save-dir=out", r"no checkpoint given"),
        "checkpoint missing": Case(
            "nkca-sample {bad}/none.pth --save-dir=out", r"no such checkpoint: .*none\.pth"
        ),
        "directory without checkpoint": Case(
            "nkca-sample {bad}/empty --save-dir=out", r"no checkpoint_final\.pth or .*empty"
        ),
        "checkpoint a text": Case(
            "nkca-sample {bad}/notes.txt --save-dir=out", r"notes\.txt is not a PyTorch file"
        ),
        "checkpoint empty": Case("nkca-sample {bad}/zero.pth --save-dir=out", r"zero\.pth is not"),
        "checkpoint truncated": Case(
            "nkca-sample {bad}/truncated.pth --save-dir=out", r"truncated\.pth is not.*truncated"
        ),
        "checkpoint with code": Case(
            "nkca-sample {bad}/malicious.pth --save-dir=out", r"malicious\.pth.*code"
        ),
        "deprecated flag": Case(
            "nkca-metrics {bad} {bad} --reference=original --save-dir=out", r"--full-depth"
        ),
        "bare demo": Case(
            "nkca-metrics demo {bad} --save-dir=out", r"'demo'.*demo:model.*demo:images"
        ),
        "bare pickle with code": Case(
            "nkca-sample {bad}/malicious.pickle --save-dir=out", r"malicious\.pickle.*code"
        ),
        "checkpoint newer": Case(
            "nkca-sample {bad}/newer.pth --save-dir=out", r"newer\.pth.*newer nkca.*upgrade"
        ),
        "checkpoint foreign": Case(
            "nkca-sample {bad}/foreign.pth --save-dir=out",
            r"foreign\.pth.*not a checkpoint of nkca",
        ),
        "checkpoint of other weights": Case(
            "nkca-sample {bad}/unfit.pth --save-dir=out", r"unfit\.pth do not fit its config"
        ),
    },
    "images and masks": {
        "image missing": Case(SAMPLE + " {bad}/none.png", r"no such image: .*none\.png"),
        "image a text": Case(SAMPLE + " {bad}/notes.txt", r"cannot read image .*notes\.txt"),
        "image a folder": Case(SAMPLE + " {bad}/empty", r"bad.*/empty is not a file"),
        "second image bad": Case(
            SAMPLE + " {bad}/good.png {bad}/unreadable/a.png", r"cannot read image .*a\.png"
        ),
        "mask missing": Case(
            SAMPLE + " {bad}/good.png --inpainting-mask={bad}/none.png",
            r"no such mask: .*none\.png",
        ),
        "mask a text": Case(
            SAMPLE + " {bad}/good.png --inpainting-mask={bad}/notes.txt",
            r"cannot read mask .*notes",
        ),
        "mask all black": Case(
            SAMPLE + " {bad}/good.png --inpainting-mask={bad}/black.png",
            r"black\.png repaints nothing",
        ),
        "mask all white, inverted": Case(
            SAMPLE + " {bad}/good.png --inpainting-mask={bad}/white.png --invert-mask",
            r"white\.png repaints nothing: paint black",
        ),
        "mask without image": Case(
            SAMPLE + " --inpainting-mask={bad}/white.png", r"inpainting needs an image"
        ),
    },
    "levels, seeds, counts": {
        "max below min": Case(
            SAMPLE + " {bad}/good.png --max-sampling-noise=0.1 --min-sampling-noise=0.2",
            r"0 < min <= max <= 1, got min 0\.2 and max 0\.1",
        ),
        "level 0": Case(
            SAMPLE + " {bad}/good.png --min-sampling-noise=0", r"0 < min <= max <= 1, got min 0"
        ),
        "level 2": Case(SAMPLE + " {bad}/good.png --max-sampling-noise=2", r"max <= 1, got.*max 2"),
        "level a word": Case(SAMPLE + " --max-sampling-noise=high", r"'high' is not a valid float"),
        "level NaN": Case(SAMPLE + " --max-sampling-noise=nan", r"max nan"),
        "from noise at level 0.5": Case(
            SAMPLE + " --max-sampling-noise=0.5", r"start at level 1, not 0\.5"
        ),
        "lag 1": Case(SAMPLE + " --lag=1", r"lag must be in \[0, 1\), got 1"),
        "lag not a number": Case(SAMPLE + " --lag=nan", r"lag must be in \[0, 1\), got nan"),
        "lag negative": Case(SAMPLE + " --lag=-0.5", r"lag must be in \[0, 1\), got -0\.5"),
        "steps negative": Case(SAMPLE + " --num-sampling-steps=-1", r"--num-sampling-steps"),
        "seeds fall": Case(SAMPLE + " --seeds=9-3", r"seeds must rise.*'9-3'"),
        "seeds words": Case(SAMPLE + " --seeds=abc", r"seeds must look like 0-99.*'abc'"),
        "seeds twice": Case(SAMPLE + " --seeds=1,1", r"seeds name 1 twice"),
        "seeds overlap": Case(SAMPLE + " --seeds=5,0-9", r"seeds name 5 twice"),
        "seeds empty": Case(SAMPLE + " --seeds=", r"seeds must look like 0-99"),
        "seeds and seed": Case(SAMPLE + " --seeds=0-3 --seed=1", r"--seeds or --seed, not both"),
        "seeds and another count": Case(
            SAMPLE + " --seeds=0-3 --num-samples=5",
            r"names 4, but --num-samples is 5: leave that out",
        ),
        "seed too large": Case(SAMPLE + f" --seed={2**63}", r"seeds must be in 0\.\.2\^63-1"),
        "no samples": Case(SAMPLE + " --num-samples=0", r"--num-samples"),
        "batch of none": Case(SAMPLE + " --batch-size=0", r"--batch-size"),
        "walks with images": Case(
            SAMPLE + " {bad}/good.png --samples-per-walk=2", r"for new images"
        ),
        "walks at level 1": Case(
            SAMPLE + " --samples-per-walk=2 --max-sampling-noise=1", r"below level 1, got 1"
        ),
        "no samples of a walk": Case(SAMPLE + " --samples-per-walk=0", r"--samples-per-walk"),
        "sampler unknown": Case(SAMPLE + " --sampler=euler", r"--sampler"),
        "ladder unknown": Case(SAMPLE + " --ladder=log", r"--ladder"),
        "corrector negative": Case(SAMPLE + " --corrector-steps=-1", r"--corrector-steps"),
        "guidance without a weak model": Case(
            SAMPLE + " --guidance=2", r"guidance 2 needs a weak model"
        ),
        "guidance not finite": Case(
            SAMPLE + " --guidance=nan", r"guidance must be finite, got nan"
        ),
        "guidance no number": Case(SAMPLE + " --guidance=much", r"--guidance"),
        "visualize y": Case(SAMPLE + " --visualize=y", r"--visualize"),
        "sample flag mistyped": Case(SAMPLE + " --num-sample=3", r"--num-sample.*--num-samples"),
        "sample device unknown": Case(SAMPLE + " --device=gpu", r"--device"),
        "sample save dir a file": Case(
            SAMPLE.replace("=out", "={bad}/notes.txt"), r"--save-dir.*notes\.txt.*is a file"
        ),
    },
    "conditions": {
        "coarse structure of nothing": Case(
            SAMPLE + " --coarse-from={bad}/none.png", r"no such image"
        ),
        "coarse structure of a text": Case(
            SAMPLE + " --coarse-from={bad}/notes.txt", r"cannot read image .*notes\.txt"
        ),
        "blocks do not divide": Case(
            SAMPLE + " --coarse-from={bad}/good.png --scale=3", r"divide 8x8: use one of 2, 4"
        ),
        "blocks of one": Case(SAMPLE + " --coarse-from={bad}/good.png --scale=1", r"--scale"),
        "blocks of nothing": Case(SAMPLE + " --scale=2", r"--scale is of --coarse-from or --tr"),
        "small picture as large": Case(
            SAMPLE + " --upscale={bad}/good.png", r"8x8 is no small version of 8x8"
        ),
        "small picture that is larger": Case(
            SAMPLE + " --upscale={bad}/mixed/large.png", r"16x16 is no small version of 8x8"
        ),
        "two small pictures": Case(
            SAMPLE + " --upscale={bad}/good.png --coarse-from={bad}/good.png", r"fix the same"
        ),
        "a small picture and an image": Case(
            SAMPLE + " {bad}/good.png --upscale={bad}/good.png", r"leave out the images"
        ),
        "grey values of a text": Case(
            SAMPLE + " --grey-from={bad}/notes.txt", r"cannot read image .*notes\.txt"
        ),
        "grey values of grey levels": Case(
            SAMPLE.replace("{run}", "{discrete}") + " --grey-from={bad}/good.png", r"has categories"
        ),
        "means of grey levels": Case(
            SAMPLE.replace("{run}", "{discrete}") + " --coarse-from={bad}/good.png",
            r"means of blocks are of continuous pixels; this model has categories",
        ),
        "walks that know": Case(
            SAMPLE + " --samples-per-walk=2 --grey-from={bad}/good.png", r"--samples-per-walk"
        ),
    },
    "denoising, translation, temperature": {
        "denoise nothing": Case(SAMPLE + " --denoise=auto", r"needs an image: nkca-sample CKPT IM"),
        "denoise a word": Case(SAMPLE + " {bad}/good.png --denoise=strong", r"got 'strong'"),
        "denoise level 1": Case(SAMPLE + " {bad}/good.png --denoise=1", r"below 1, got '1'"),
        "denoise NaN": Case(SAMPLE + " {bad}/good.png --denoise=nan", r"below 1, got 'nan'"),
        "denoise from elsewhere": Case(
            SAMPLE + " {bad}/good.png --denoise=0.1 --max-sampling-noise=0.2",
            r"leave out --max-sampling-noise",
        ),
        "denoise grey levels": Case(
            SAMPLE.replace("{run}", "{discrete}") + " {bad}/good.png --denoise=auto",
            r"has categories",
        ),
        "truth of a variant": Case(
            SAMPLE + " {bad}/good.png --truth={bad}/good.png", r"--truth is for --denoise"
        ),
        "inversion of nothing": Case(SAMPLE + " --invert", r"--invert needs an image"),
        "inversion by another way": Case(
            SAMPLE + " {bad}/good.png --invert --sampler=heun", r"leave out --sampler"
        ),
        "inversion of what is denoised": Case(
            SAMPLE + " {bad}/good.png --invert --denoise=0.1", r"takes images as they are"
        ),
        "truth that is missing": Case(
            SAMPLE + " {bad}/good.png --denoise=0.1 --truth={bad}/none.png", r"no such image"
        ),
        "one truth of two": Case(
            SAMPLE + " {bad}/good.png {bad}/black.png --denoise=0.1 --truth={bad}/good.png",
            r"of one image, but 2",
        ),
        "translate nothing": Case(SAMPLE + " --translate", r"--translate needs an image"),
        "translate and denoise": Case(
            SAMPLE + " {bad}/good.png --translate --denoise=0.1", r"not both"
        ),
        "translate by another": Case(
            SAMPLE + " {bad}/good.png --translate --coarse-from={bad}/good.png",
            r"leave out --coarse-from",
        ),
        "temperature 0": Case(SAMPLE + " --temperature=0", r"temperature must be above 0"),
        "temperature a word": Case(SAMPLE + " --temperature=hot", r"--temperature"),
        "temperature of walks": Case(
            SAMPLE + " --samples-per-walk=2 --temperature=0.9", r"leave out --temperature"
        ),
    },
    "repeating, animating": {
        "like without settings": Case(
            "nkca-sample --like={bad}/good.png --save-dir=out", r"good\.png carries no settings"
        ),
        "like missing": Case("nkca-sample --like={bad}/none.png --save-dir=out", r"none\.png"),
        "like a text": Case(
            "nkca-sample --like={bad}/notes.txt --save-dir=out", r"settings in .*notes\.txt"
        ),
        "mp4 without ffmpeg": Case(SAMPLE + " --save-animation=mp4", r"ffmpeg on the PATH"),
        "animation avi": Case(SAMPLE + " --save-animation=avi", r"--save-animation"),
    },
}


class Malice:
    """Makes a folder where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


@pytest.fixture(scope="session")
def bad(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """A folder of all that can be wrong."""
    folder = tmp_path_factory.mktemp("bad")
    for name in ("empty", "texts", "unreadable", "mixed", "one_bad", "damaged_run"):
        (folder / name).mkdir()
    (folder / "notes.txt").write_text("not an image, not a checkpoint\n")
    (folder / "texts" / "notes.txt").write_text("words")
    (folder / "unreadable" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "unreadable" / "b.jpg").write_bytes(b"words")
    picture = Image.new("RGB", (8, 8), (200, 100, 50))
    for name in ("good.png", "mixed/small.png", "one_bad/good.png"):
        picture.save(folder / name)
    (folder / "one_bad" / "bad.png").write_bytes(b"words")
    Image.new("RGB", (16, 16)).save(folder / "mixed" / "large.png")
    Image.new("L", (8, 8), 0).save(folder / "black.png")
    Image.new("L", (8, 8), 255).save(folder / "white.png")
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    (folder / "key.yaml").write_text("epoch: 3\n")
    (folder / "broken.yaml").write_text("epochs: [3\nlr: }\n")
    (folder / "list.yaml").write_text("- epochs\n- 3\n")
    (folder / "number.yaml").write_text("1: 2\n")
    (folder / "type.yaml").write_text("epochs: many\n")
    (folder / "range.yaml").write_text("ema_decay: 1.5\n")
    make_checkpoints(folder, trained / "checkpoint_final.pth")
    return folder


def make_checkpoints(folder: Path, good: Path) -> None:
    content = torch.load(good, weights_only=True)
    whole = good.read_bytes()
    (folder / "zero.pth").write_bytes(b"")
    (folder / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    (folder / "damaged_run" / "checkpoint_latest.pth").write_bytes(whole[: len(whole) // 2])
    malice = Malice(folder / "was_run")
    torch.save({**content, "progress": malice}, folder / "malicious.pth")
    (folder / "malicious.pickle").write_bytes(pickle.dumps(malice, protocol=2))
    torch.save({**content, "schema": 99}, folder / "newer.pth")
    torch.save({"weights": torch.zeros(3)}, folder / "foreign.pth")
    unfit = copy.deepcopy(content)
    unfit["config"]["hidden_size"] = 16
    torch.save(unfit, folder / "unfit.pth")


def everything_in(*folders: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files, and the names of all folders (a lock may come and go in them)."""
    return {
        str(path): (0, 0) if path.is_dir() else (path.stat().st_size, path.stat().st_mtime_ns)
        for folder in folders
        for path in sorted(folder.rglob("*"))
    }


def error_of(result: Result) -> str:
    """The one line on stderr, which a line about decoding may come before."""
    lines = result.stderr.splitlines()
    if lines and DECODING.fullmatch(lines[0]):
        del lines[0]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize("about", CASES)
def test_one_line_exit_code_2_nothing_written(
    about: str,
    call: Call,
    bad: Path,
    trained: Path,
    trained_discrete: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = {"bad": bad, "run": trained, "discrete": trained_discrete, "photos": photos}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(bad / "empty"))  # no ffmpeg there
    before = everything_in(tmp_path, bad, trained)
    for case in each(CASES[about].values()):
        name, *args = shlex.split(case.line.format(**places))
        result = call(name.removeprefix("nkca-"), *args, code=2)
        line = error_of(result)
        assert line.startswith(f"{name}: error: ")
        assert re.search(case.says, line), line
        assert "Traceback" not in result.output
        assert result.stdout == ""
        assert everything_in(tmp_path, bad, trained) == before, "something was written"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_that_is_not_there(
    call: Call, trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in each([GOOD + " --device=cuda", SAMPLE + " --device=cuda"]):
        name, *args = shlex.split(line.format(run=trained, photos=photos))
        result = call(name.removeprefix("nkca-"), *args, code=2)
        assert "device cuda is not available here" in error_of(result)
        assert list(tmp_path.iterdir()) == []


def test_pickle_of_today_says_one_line(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps({"weights": [1.0, 2.0]}))
    result = call("sample", path, f"--save-dir={tmp_path / 'out'}", code=2)
    assert "model.pickle" in error_of(result)


def test_like_whose_checkpoint_is_gone(call: Call, trained: Path, tmp_path: Path) -> None:
    copied = tmp_path / "model.pth"
    copied.write_bytes((trained / "checkpoint_final.pth").read_bytes())
    made = tmp_path / "made"
    options = ("--num-samples=1", "--num-sampling-steps=1", "--device=cpu", "-q")
    call("sample", copied, *options, f"--save-dir={made}")
    copied.unlink()
    like = made / "seed_000000.png"
    result = call("sample", f"--like={like}", f"--save-dir={tmp_path / 'again'}", code=2)
    assert f"no such checkpoint: {copied}" in error_of(result)
    assert not (tmp_path / "again").exists()


def test_the_good_that_the_bad_is_made_from(
    call: Call, bad: Path, trained: Path, photos: Path, tmp_path: Path
) -> None:
    """The same commands succeed without what is wrong, so that the table tests what it says."""
    assert load_checkpoint(trained).optimizer is not None
    lines = [
        GOOD + " --max-steps=1 --batch-size=4",
        SAMPLE + " --num-sampling-steps=1 --num-samples=1",
        SAMPLE + " {bad}/good.png --inpainting-mask={bad}/white.png --num-sampling-steps=1",
    ]
    for number, line in enumerate(lines):
        out = tmp_path / str(number)
        filled = line.replace("=out", f"={out}").format(bad=bad, run=trained, photos=photos)
        name, *args = shlex.split(filled)
        call(name.removeprefix("nkca-"), *args)
        assert any(out.iterdir())
