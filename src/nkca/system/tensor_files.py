"""Files of tensors, PyTorch's and safetensors': nothing in them is run, and damage is one line."""

import errno
import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from nkca.errors import InputError

_DAMAGED = (RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError)


def load_pytorch(path: Path, content: bytes | None = None, mapped: bool = False) -> Any:
    """Tensors, on the CPU, and plain values in a file of PyTorch (`weights_only=True`: no code).

    Args:
        content: the bytes of the file at ``path``, where they have been read.
        mapped: map the tensors into memory, so that only those that are used are read.

    Raises:
        InputError: if it cannot be read, is of another kind or damaged, or holds anything else.
    """
    data = path if content is None else io.BytesIO(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickles that are refused below
            return torch.load(data, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(data):
            raise InputError(
                f"{path} holds something other than weights and plain values; refused, as it could "
                "run code"
            ) from error
        raise InputError(f"{path} is not a PyTorch file, or holds code") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a truncated file leads to a place before its start
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        raise InputError(f"{path} is not a PyTorch file, or is truncated or damaged") from error
    except _DAMAGED as error:
        raise InputError(f"{path} is not a PyTorch file, or is truncated or damaged") from error


def load_safetensors(path: Path, content: bytes | None = None) -> dict[str, Tensor]:
    """The tensors in a file of safetensors by name, on the CPU; without ``content``, mapped into memory.

    Args:
        content: the bytes of the file at ``path``, where they have been read.

    Raises:
        InputError: if it cannot be read, is of another kind or damaged.
    """
    try:
        if content is None:
            return safetensors.torch.load_file(path)
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
