"""The checkpoint file that all four commands share.

    format          "nkca-checkpoint"
    schema          1; a newer one is refused, an older one is migrated when it is read
    version         of the nkca that wrote it
    config          every option of the run, flat, plain values
    data_shape      [C, H, W]
    data_std        standard deviation of the data's pixels, in units of [-1, 1]
    progress        step, images, seconds, skipped ...
    model, ema      weights and their average, by name; a model to be shipped has only the average,
                    in half precision, which is float32 again once it is read
    weak            the average at an earlier step, which may guide samples; may be absent
    optimizer       Adam's state by weight name, or None
    card            what users should know of a model that is shipped; may be absent

Only tensors and plain values are written, and only those are read (`weights_only=True`): a checkpoint
cannot run code. Files are written beside the target, fsynced and renamed: a crash leaves the old one.
Checkpoints of the authors' original implementation are read too, without their optimizer, and folders of
exported models (`nkca.models.exported`).
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nkca.demo import MODELS, model_path
from nkca.errors import InputError
from nkca.models import exported, original_checkpoint
from nkca.system.files import atomic_write
from nkca.system.tensor_files import load_pytorch
from nkca.version import __version__

logger = logging.getLogger("nkca")

FORMAT = "nkca-checkpoint"
SCHEMA = 1
SHORT = (torch.float16, torch.float8_e4m3fn)  # dtypes of models to be shipped
LATEST, FINAL, BEST = "checkpoint_latest.pth", "checkpoint_final.pth", "checkpoint_best.pth"


@dataclass(frozen=True)
class Checkpoint:
    """A run at one step, or what sampling needs of it; the module's docstring explains the fields."""

    config: Mapping[str, Any]
    data_shape: tuple[int, int, int]
    data_std: float
    progress: Mapping[str, Any]
    model: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    optimizer: Mapping[str, Any] | None = None
    version: str = __version__
    card: Mapping[str, Any] = field(default_factory=dict)
    weak: Mapping[str, Tensor] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` atomically: after a crash the file is the old one or the new one, whole."""
    content = _plain_content(checkpoint) | {
        "model": dict(checkpoint.model),
        "ema": dict(checkpoint.ema),
        "optimizer": checkpoint.optimizer,
        **({"weak": dict(checkpoint.weak)} if checkpoint.weak else {}),
    }
    with atomic_write(path) as file:
        torch.save(content, file)


def export_model(name: str | Path, directory: str | Path) -> Path:
    """Write the model in a checkpoint as a folder to be shared, see `nkca.models.exported`; returns it.

    Args:
        name: see `find_checkpoint`.
        directory: is made; where it holds something ``directory-2`` ... is.

    Raises:
        InputError: if the checkpoint cannot be read, or the folder not be written to.
    """
    checkpoint = load_checkpoint(name)
    content = _plain_content(checkpoint)
    return exported.write_exported(Path(directory), content, checkpoint.ema, checkpoint.weak)


def _plain_content(checkpoint: Checkpoint) -> dict[str, Any]:
    """All of it but tensors."""
    plain = {
        "format": FORMAT,
        "schema": SCHEMA,
        "version": checkpoint.version,
        "config": dict(checkpoint.config),
        "data_shape": list(checkpoint.data_shape),
        "data_std": checkpoint.data_std,
        "progress": dict(checkpoint.progress),
        **({"card": dict(checkpoint.card)} if checkpoint.card else {}),
    }
    content: dict[str, Any] = json.loads(json.dumps(plain, default=_number))
    return content


def _number(value: Any) -> Any:
    """The Python number behind a number of NumPy or PyTorch."""
    return value.item()


def find_checkpoint(name: str | Path) -> Path:
    """The file that a MODEL means: one in the package, a file, or a directory's latest, else final one.

    Of an exported model it is the file of weights.

    Raises:
        InputError: if there is none.
    """
    path = model_path(name)
    if exported.is_exported(path):
        return path / exported.WEIGHTS
    if path.is_dir():
        found = [path / name for name in (LATEST, FINAL) if (path / name).is_file()]
        if not found:
            raise InputError(f"no {FINAL} or {LATEST} in the directory {path}")
        return found[0]
    if not path.is_file():
        raise InputError(f"no such checkpoint: {path}")
    return path


def load_checkpoint(name: str | Path) -> Checkpoint:
    """Read a checkpoint of nkca or of the original; tensors are on the CPU, weights float32.

    Args:
        name: see `find_checkpoint`.

    Raises:
        InputError: if the file is missing, truncated, foreign, newer, damaged, or holds code.
    """
    file = find_checkpoint(name)
    return _checked(name, _content(file))


def glance_at_checkpoint(name: str | Path) -> Checkpoint:
    """As `load_checkpoint`, for what stands beside the weights: these are mapped into memory, not read."""
    file = find_checkpoint(name)
    exports = file.name == exported.WEIGHTS
    return _checked(name, _content(file) if exports else load_pytorch(file, mapped=True))


def read_checkpoint(name: str | Path) -> tuple[Checkpoint, str]:
    """As `load_checkpoint`, and the `digest` of the very bytes that it was made of: one read.

    The file is held in memory as well, while it is read.
    """
    file = find_checkpoint(name)
    if file.name == exported.WEIGHTS:
        return _checked(name, _content(file)), digest(file)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    return _checked(name, load_pytorch(file, data)), hashlib.sha256(data).hexdigest()


def _checked(name: str | Path, content: Any) -> Checkpoint:
    path = model_path(name)
    _warn_of_namesake(name)
    if isinstance(content, Mapping) and original_checkpoint.is_original(content):
        return _from_original(content, path)
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise InputError(f"{path} is a PyTorch file, but not a checkpoint of nkca")
    schema = content.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise InputError(f"{path} is damaged: it has no valid schema number")
    if schema > SCHEMA:
        raise InputError(
            f"{path} was written by a newer nkca {content.get('version', '')} (schema {schema}, this "
            f"one reads up to {SCHEMA}): upgrade nkca"
        )
    return _from_content(content, path)


def _warn_of_namesake(name: str | Path) -> None:
    """Warn if the name of a packaged model may have been meant as a run in the current folder."""
    if isinstance(name, str) and name in MODELS:
        with contextlib.suppress(InputError):
            find_checkpoint(Path(name))
            logger.warning(
                "%s is the model in the package; the run in this folder is ./%s", name, name
            )


def digest(name: str | Path) -> str:
    """SHA-256 of the bytes of the file that ``name`` means (`find_checkpoint`), hexadecimal.

    Of an exported model, of its config and its weights, one after the other.
    """
    path, total = find_checkpoint(name), hashlib.sha256()
    config = [path.with_name(exported.CONFIG)] if path.name == exported.WEIGHTS else []
    for part in (*config, path):
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def _content(path: Path) -> Any:
    """What is in a file, of an exported model or of PyTorch."""
    if path.name == exported.WEIGHTS:
        return exported.read_exported(path)
    return load_pytorch(path)


def _from_content(content: Mapping[str, Any], path: Path) -> Checkpoint:
    try:
        channels, height, width = map(int, content["data_shape"])
        if min(channels, height, width) < 1:
            raise ValueError(f"its images are of {height}x{width}, {channels} channels")
        optimizer = content["optimizer"]
        return Checkpoint(
            config=dict(content["config"]),
            data_shape=(channels, height, width),
            data_std=float(content["data_std"]),
            progress={**content["progress"], "step": int(content["progress"].get("step", 0))},
            model=_weights(content["model"]),
            ema=_weights(content["ema"]),
            optimizer=optimizer
            and {
                "step": int(optimizer["step"]),
                "mean": _weights(optimizer["mean"]),
                "square": _weights(optimizer["square"]),
            },
            version=str(content["version"]),
            card=dict(content.get("card", {})),
            weak=_weights(content.get("weak", {})),
        )
    except KeyError as error:
        raise InputError(f"{path} is damaged: it lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise TypeError("its weights are no mapping")
    for name, tensor in content.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"'{name}' is no tensor")
    return {
        name: tensor.float() if tensor.dtype in SHORT else tensor
        for name, tensor in content.items()
    }


def _from_original(content: Mapping[str, Any], path: Path) -> Checkpoint:
    try:
        return Checkpoint(
            config=original_checkpoint.translate_session(content["session"]),
            data_shape=tuple(content["session"]["data_shape"]),
            data_std=1.0,
            progress={"step": int(content["session"]["global_step"])},
            model=original_checkpoint.translate_weights(content["model_state"]),
            ema=original_checkpoint.translate_weights(content["ema"]),
            version="original",
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} looks like a checkpoint of the original, but lacks {error}"
        ) from error
