"""What endurance.py gives to the commands: good files, bad files, and command lines that are wrong."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from endurance_process import start, wait
from PIL import Image

COMMANDS = ("train", "sample", "metrics", "interactive")
TINY = (
    "--recipe=paper --hidden-size=8 --dim-mults=[1] --batch-size=4 --device=cpu --viz-freq=2 "
    "--checkpoint-freq=1 --num-sampling-steps=2 --eval-freq=0"
)
TRAIN = f"nkca-train --dataset={{photos}} {TINY}"
SAMPLE = "nkca-sample {run} --device=cpu --num-sampling-steps=2"
METRICS = "nkca-metrics {photos} {others} --features=pixels --device=cpu"
SERVE = "nkca-interactive {run} --no-browser --device=cpu"


@dataclass(frozen=True)
class Place:
    """A folder for everything, and the names that command lines use."""

    root: Path

    def fill(self, line: str, **more: object) -> str:
        """The command line with paths."""
        names = {name: self.root / name for name in ("photos", "others", "run", "bad")}
        return line.format(**names, **more)


def prepare(root: Path) -> Place:
    """Pictures, things that are wrong, a trained run and statistics."""
    for name, seed in (("photos", 0), ("others", 1)):
        (root / name).mkdir()
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
        for number, picture in enumerate(pixels):
            Image.fromarray(picture).save(root / name / f"{number:02d}.png")
    bad = root / "bad"
    for name in ("empty", "unreadable", "mixed"):
        (bad / name).mkdir(parents=True)
    (bad / "text.txt").write_text("words\n")
    for name in ("text.png", "text.pth", "text.npz", "text.json", "text.pt2", "unreadable/a.png"):
        (bad / name).write_text("words\n")
    for name in ("zero.pth", "zero.png", "zero.npz", "zero.json", "zero.zip"):
        (bad / name).write_bytes(b"")
    (bad / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    (bad / "broken.tar").write_bytes(b"words" * 300)
    (bad / "list.yaml").write_text("- epochs\n")
    (bad / "key.yaml").write_text("epoch: 3\n")
    (bad / "broken.yaml").write_text("epochs: [3\nlr: }\n")
    (bad / "range.yaml").write_text("ema_decay: 1.5\n")
    (bad / "list.json").write_text("[1, 2]\n")
    Image.new("RGB", (8, 8)).save(bad / "mixed" / "a.png")
    Image.new("RGB", (16, 16)).save(bad / "mixed" / "b.png")
    Image.new("L", (8, 8), 0).save(bad / "black.png")
    place = Place(root)
    line = place.fill(TRAIN) + f" --max-steps=2 --save-dir={root / 'run'}"
    ended = wait(start(line, root / "first", root / "cache"), root / "first")
    assert ended.status == 0, ended.err
    whole = (root / "run" / "checkpoint_final.pth").read_bytes()
    (bad / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (bad / "cut.png").write_bytes((root / "photos" / "00.png").read_bytes()[:60])
    torch.save({"weights": torch.zeros(3)}, bad / "foreign.pth")
    line = (
        place.fill(METRICS) + f" --save-stats={root / 'stats.npz'} --save-dir={root / 'measured'}"
    )
    ended = wait(start(line, root / "second", root / "cache"), root / "second")
    assert ended.status == 0, ended.err
    return place


def bad_lines() -> Iterator[str]:
    """Command lines that are each wrong in one way."""
    wrong = {
        "train": {
            **dict.fromkeys(("hidden-size", "batch-size", "epochs"), ("0", "-1", "1.5", "word", "nan")),
            **dict.fromkeys(("lr", "grad-clip"), ("0", "-1", "nan", "word")),
            **dict.fromkeys(("ema-decay", "lag", "adam-b1"), ("-0.1", "1.5", "nan", "word")),
            **dict.fromkeys(("checkpoint-freq", "accumulate"), ("-1", "word")),
            **dict.fromkeys(("recipe", "sampler", "ladder", "precision", "device"), ("word",)),
            "dim-mults": ("[]", "[0]", "[1,-2]", "word", "{{}}"),
            "resize": ("0", "-8", "word"),
            "channels": ("0", "2", "5", "word"),
            "background": ("whit", "#12"),
            "dataset": tuple(f"{{bad}}/{n}" for n in ("none", "empty", "unreadable", "mixed", "text.txt",
                             "broken.zip", "broken.tar", "zero.zip")),
            "config": tuple(f"{{bad}}/{n}" for n in ("none.yaml", "list.yaml", "key.yaml", "broken.yaml",
                            "range.yaml", "cut.png")),
            "max-time": ("-1", "word", "nan"),
            "num-classes": ("1", "300", "word"),
        },
        "sample": {
            "seeds": ("", "word", "9-3", "-1", "1,1", "0-9,5", str(2**63), "1;2"),
            "seed": ("-1", "word", str(2**63)),
            "num-samples": ("0", "-1", "word"),
            "batch-size": ("0", "-1", "word"),
            "max-sampling-noise": ("0", "2", "-1", "nan", "inf", "word", "0.5"),
            "min-sampling-noise": ("0", "2", "-1", "nan", "word"),
            "lag": ("1", "-0.5", "nan", "word"),
            "guidance": ("2", "nan", "word"),
            "corrector-steps": ("-1", "word"),
            "samples-per-walk": ("0", "word"),
            "sampler": ("euler",),
            "ladder": ("log",),
            "visualize": ("y",),
            "precision": ("fp8",),
            "device": ("gpu", "tpu"),
            "save-animation": ("avi",),
            "save-dir": ("{bad}/text.txt", "{bad}/text.txt/below"),
            "inpainting-mask": ("{bad}/none.png", "{bad}/black.png"),
        },
        "metrics": {
            "features": ("word", "{bad}/none.pt2", "{bad}/text.pt2"),
            "num-samples": ("0", "13", "word"),
            "train": ("{bad}/none", "{bad}/empty", "{bad}/mixed"),
            "held-out": ("{bad}/none", "{bad}/unreadable"),
            "resize": ("0", "word"),
            "save-stats": ("{bad}/text.npz", "{bad}/none/a.npz"),
            "features-weights": ("{bad}/none.pth",),
            "seed": ("-1", "word"),
            "batch-size": ("0", "word"),
            "chain-levels": ("word", "", "0.1,0.1"),
            "chain-steps": ("0", "word"),
            "chain-images": ("3", "word"),
            "save-dir": ("{bad}/text.txt",),
            "reference": ("original",),
        },
        "interactive": {
            "batch-size": ("0", "1025", "word"),
            "lag": ("1", "-1", "nan", "word"),
            "seed": ("-1", "word", str(2**53)),
            "session": tuple(f"{{bad}}/{n}" for n in ("none.json", "text.json", "zero.json", "list.json",
                             "black.png", "empty")),
            "host": ("192.0.2.1",),
            "port": ("-1", "65536", "word"),
            "visualize": ("y",),
            "precision": ("fp8",),
            "device": ("gpu",),
            "compile": ("maybe",),
        },
    }  # fmt: skip
    good = {
        "train": TRAIN + " --max-steps=1 --save-dir=out",
        "sample": SAMPLE,
        "metrics": METRICS,
        "interactive": SERVE,
    }
    for command, options in wrong.items():
        for option, values in options.items():
            yield from (f"{good[command]} --{option}={shlex.quote(value)}" for value in values)
        yield good[command] + " --no-such-flag"
    for name in ("none.pth", "zero.pth", "text.pth", "cut.pth", "foreign.pth", "empty", "text.txt"):
        yield f"nkca-sample {{bad}}/{name} --device=cpu"
        yield f"nkca-interactive {{bad}}/{name} --no-browser --device=cpu"
    for name in ("none", "text.txt", "empty", "broken.zip", "text.npz", "zero.npz", "cut.pth"):
        yield f"nkca-metrics {{photos}} {{bad}}/{name} --features=pixels --device=cpu"
        yield f"nkca-metrics {{bad}}/{name} {{photos}} --features=pixels --device=cpu"
    for name in ("none.png", "text.png", "zero.png", "cut.png", "empty"):
        yield f"{SAMPLE} {{bad}}/{name}"
        yield f"{SERVE} {{bad}}/{name}"
        yield f"nkca-sample --like={{bad}}/{name}"
    for command in COMMANDS:
        yield f"nkca-{command}"
    yield f"{SAMPLE} --inpainting-mask={{bad}}/black.png"
    yield f"{SAMPLE} --export={{bad}}/text.txt"
    yield f"{SAMPLE} --replay={{bad}}/text.json"
