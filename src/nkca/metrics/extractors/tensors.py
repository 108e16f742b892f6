"""Files of weights: read once, hashed; only tensors are loaded from them.

The hashed bytes are those that are loaded, even if the file changes in between. Only tensors and plain
values are unpickled (`weights_only=True`), so a file of weights cannot run code.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import Tensor

from nkca.errors import InputError
from nkca.system.tensor_files import load_pytorch, load_safetensors


@dataclass(frozen=True, eq=False)
class Weights:
    """A file's bytes, read once.

    Args:
        path: for error messages.
        content: all of the file.
        sha256: of ``content``, hexadecimal.
    """

    path: Path
    content: bytes
    sha256: str


def read_weights(path: Path) -> Weights:
    """Read and hash a file.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror or error}") from error
    return Weights(path, content, hashlib.sha256(content).hexdigest())


def parse_weights(weights: Weights) -> dict[str, Tensor]:
    """The tensors of a state dictionary by name, on the CPU; no code in the file is run.

    The file is PyTorch's or, by its name, one of safetensors.

    Raises:
        InputError: if the file holds anything else.
    """
    if weights.path.suffix == ".safetensors":
        return load_safetensors(weights.path, weights.content)
    found = load_pytorch(weights.path, weights.content)
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise InputError(f"{weights.path} holds more than weights by name (a state dictionary)")
    return cast(dict[str, Tensor], found)
