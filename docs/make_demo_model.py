"""A model in the package, from a finished run: python docs/make_demo_model.py RUN [FILE] [KEY=TEXT ...]

The average of weights in half precision, without weights, optimizer and the paths of this machine, and a
card. FILE is src/nkca/demo/demo.pt unless it is said. KEY=TEXT adds to the card, or changes it, as in
scores="FID ..., see docs/demo-model.md".
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nkca.demo import DEMO, MODELS
from nkca.errors import InputError
from nkca.models.build import restore
from nkca.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

MOST_BYTES = 8_000_000
CARD = {
    "name": "demo",
    "licence": "MIT, as nkca; trained on Fashion-MNIST, (c) 2017 Zalando SE, MIT",
    "more": "docs/demo-model.md",
}


WALK = {"chain_noise": "averaged"}  # of real numbers; what it has learned does not depend on it


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without folders that only this machine has: of the data set the name is left."""
    name = Path(config.get("dataset", "")).name
    walk = {} if config.get("discrete") else WALK
    return {**config, **walk, "dataset": name, "cache_dir": None, "eval_dataset": ""}


def slimmed(checkpoint: Checkpoint, card: Mapping[str, Any]) -> Checkpoint:
    """What sampling needs of it: the average in half precision, no weights, no optimizer.

    Of a weak model the matrices are in 8 bits, which guidance does not notice (docs/quality.md).

    Raises:
        InputError: if a weight is not finite or too large for half precision.
    """
    weak = {
        name: tensor.to(torch.float8_e4m3fn) if tensor.ndim > 1 else tensor
        for name, tensor in _halves(checkpoint.weak).items()
    }
    ema = _halves(checkpoint.ema)
    return replace(checkpoint, model={}, ema=ema, weak=weak, optimizer=None, card=card)


def _halves(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
    for name, tensor in halves.items():
        if not tensor.isfinite().all():
            raise InputError(f"the weight '{name}' has numbers that half precision does not hold")
    return halves


def card_of(checkpoint: Checkpoint, more: Mapping[str, str]) -> dict[str, Any]:
    """What the run says of itself, and what was said by hand."""
    progress = {key: checkpoint.progress.get(key) for key in ("step", "images", "seconds")}
    return {**CARD, **progress, "nkca": checkpoint.version, **more}


def largest_change(before: Checkpoint, after: Checkpoint) -> float:
    """The largest difference of a weight from the run's, relative to the largest of its tensor."""
    changes = [
        ((after.ema[name].double() - tensor.double()).abs().max() / tensor.abs().max().double())
        for name, tensor in before.ema.items()
        if tensor.is_floating_point() and tensor.any()
    ]
    return max(change.item() for change in changes)


def main(run: str, file: Path, more: Mapping[str, str]) -> None:
    """Make the file, read it again, and say what is in it."""
    whole = load_checkpoint(run)
    slim = slimmed(whole, card_of(whole, more))
    new = file.with_name(f".{file.name}.new")
    save_checkpoint(new, replace(slim, config=without_places(whole.config)))
    size = new.stat().st_size
    if size >= MOST_BYTES:
        new.unlink()
        raise InputError(f"{size:,} bytes are more than {MOST_BYTES:,}: a smaller --hidden-size")
    new.replace(file)
    again = load_checkpoint(file)
    restore(again, str(file), device="cpu")
    for key, value in again.card.items():
        print(f"{key:<10} {value}")
    print(
        f"{file}: {size:,} bytes; largest rounding of a weight {largest_change(whole, again):.1e}"
    )


if __name__ == "__main__":
    pairs = dict(text.split("=", 1) for text in sys.argv[2:] if "=" in text)
    files = [Path(text) for text in sys.argv[2:] if "=" not in text]
    main(sys.argv[1], files[0] if files else MODELS[DEMO], pairs)
