"""A model to be shared: a folder that every command opens as it opens a checkpoint.

    model.safetensors   the averaged weights and, as ``weak.NAME``, those of the model that guides samples
    config.json         what a checkpoint holds beside weights
    README.md           a model card, to be completed by whoever shares it

A file of safetensors holds numbers only and is mapped into memory; nothing in the folder can run code.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from nkca.errors import InputError
from nkca.system.files import atomic_write, claimed_directory, write_text
from nkca.system.tensor_files import load_safetensors

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
_WEAK = "weak."


def is_exported(path: Path) -> bool:
    """Whether this is the folder of a model that was exported."""
    return (path / WEIGHTS).is_file() and (path / CONFIG).is_file()


def write_exported(
    directory: Path,
    content: Mapping[str, Any],
    ema: Mapping[str, Tensor],
    weak: Mapping[str, Tensor],
) -> Path:
    """Write the folder, or ``directory-2`` ... where something is there; returns it.

    Args:
        content: of `CONFIG`, plain values.
    """
    tensors = {**ema, **{_WEAK + name: tensor for name, tensor in weak.items()}}
    with claimed_directory(directory) as made:
        with atomic_write(made / WEIGHTS) as file:
            file.write(safetensors.torch.save({k: t.contiguous() for k, t in tensors.items()}))
        write_text(made / CARD, _card(content, sum(t.numel() for t in ema.values())))
        write_text(made / CONFIG, json.dumps(content, indent=2) + "\n")  # last: makes it a model
    return made


def read_exported(path: Path) -> dict[str, Any]:
    """The content of a checkpoint from the folder of ``path``, its file `WEIGHTS`.

    Raises:
        InputError: if a file is missing or damaged.
    """
    content = _read_config(path.with_name(CONFIG))
    ema: dict[str, Tensor] = {}
    weak: dict[str, Tensor] = {}
    for name, tensor in load_safetensors(path).items():
        if name.startswith(_WEAK):
            weak[name.removeprefix(_WEAK)] = tensor
        else:
            ema[name] = tensor
    return {**content, "model": {}, "ema": ema, "weak": weak, "optimizer": None}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not the config of a model of nkca")
    return content


def _card(content: Mapping[str, Any], weights: int) -> str:
    channels, height, width = content["data_shape"]
    config, progress = content["config"], content["progress"]
    kind = (
        "categories"
        if config.get("discrete")
        else {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    )
    facts = {
        "what": f"a stationary Markov chain over images of {width} x {height}, {kind}",
        "network": f"{weights / 1e6:.1f} million weights, hidden_size {config.get('hidden_size')}, "
        f"dim_mults {config.get('dim_mults')}",
        "training": f"{progress.get('step', 0):,} steps, {progress.get('images', 0):,} images, "
        f"recipe {config.get('recipe', 'paper')}, seed {config.get('seed', 0)}",
        "data": "to be completed: which images, from where",
        "licence": "to be completed: of the data and of the weights",
        "limits": "to be completed: what it cannot do, what it may copy (`nkca-metrics --train`)",
        **content.get("card", {}),
    }
    rows = "\n".join(f"| {name} | {text} |" for name, text in facts.items())
    return f"""---
library_name: nkca
tags: [markov-chain, image-generation, nkca]
---
# A model of nkca

| | |
|---|---|
{rows}

In this folder (nkca {content["version"]}, `pip install nkca`):

    nkca-sample . --save-grid              new images
    nkca-sample . picture.png              variants of a picture
    nkca-interactive .                     explore it in a browser
"""
