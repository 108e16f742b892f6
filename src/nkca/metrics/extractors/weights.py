"""Where files of weights come from: this machine, else a download.

    the file that was named (a flag, an environment variable)  ->  any hash: the user's choice
    the user's cache, then PyTorch's                           ->  must have the expected hash
    a download into the user's cache                           ->  must have the expected hash

The reading itself is in `nkca.metrics.extractors.tensors`.
"""

import os
import socket
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch

from nkca.errors import InputError
from nkca.metrics.extractors.tensors import Weights, read_weights
from nkca.system.cache_dir import default_cache_dir

_TIMEOUT = 30.0  # seconds without an answer


class UnavailableError(InputError):
    """Weights or a package are missing on this machine; the message says how to get them."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights.

    Args:
        file_name: the name under which it is published and cached.
        sha256: of its bytes, hexadecimal; "" if it is not known: any hash is accepted.
        url: where it is published.
        size_bytes: for error messages; 0 if it is not known.
        flag: the command and its option that name another file; "" if there is none.
        variable: the environment variable that names another file; "" if there is none.
        aliases: other names that the same bytes have in PyTorch's cache.
    """

    file_name: str
    sha256: str
    url: str
    size_bytes: int = 0
    flag: str = ""
    variable: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def cached(self) -> Path:
        """Where it is, or would be, in the user's cache."""
        return default_cache_dir() / "weights" / self.file_name


INCEPTION = WeightsFile(
    file_name="weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    size_bytes=95_628_359,
    flag="nkca-metrics --features-weights",
    variable="NKCA_INCEPTION_WEIGHTS",
    aliases=("pt_inception-2015-12-05-6726825d.pth",),  # pytorch-fid's name
)


def locate_weights(wanted: WeightsFile, given: Path | None = None) -> tuple[Path, bool] | None:
    """Return (path, whether the user named it) of the file on this machine, or None.

    Raises:
        InputError: if the user named a file that is not there.
    """
    variable = os.environ.get(wanted.variable) if wanted.variable else None
    named, source = (given, wanted.flag) if given else (variable, wanted.variable)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise InputError(f"no such file of weights: {path} (given by {source})")
        return path, True
    torch_cache = Path(torch.hub.get_dir()) / "checkpoints"
    kept = [torch_cache / name for name in (wanted.file_name, *wanted.aliases)]
    found = [path for path in (wanted.cached, *kept) if path.is_file()]
    return (found[0], False) if found else None


def find_weights(
    wanted: WeightsFile,
    given: Path | None = None,
    *,
    download: bool = True,
    progress: bool = False,
) -> Weights:
    """Read the file from this machine, or download it into the user's cache first.

    Args:
        given: the file that the user named by ``wanted.flag``.
        download: if False, or if NKCA_OFFLINE is set in the environment, nothing is downloaded.
        progress: show a bar on standard error while downloading.

    Raises:
        UnavailableError: if it is not found and cannot be downloaded; the message says where to put it.
        InputError: if a named file is not there or a cached one has another hash.
    """
    found = locate_weights(wanted, given)
    if found is None:
        if not download or os.environ.get("NKCA_OFFLINE"):
            reason = "" if not download else " and NKCA_OFFLINE is set"
            raise UnavailableError(_missing_message(wanted, reason))
        _download(wanted, progress)
        found = wanted.cached, False
    path, chosen = found
    weights = read_weights(path)
    if not chosen and wanted.sha256 not in ("", weights.sha256):
        raise InputError(
            f"{path} is damaged: its SHA-256 is {weights.sha256}, not {wanted.sha256}; delete it"
        )
    return weights


def _download(wanted: WeightsFile, progress: bool) -> None:
    """Download the file to a temporary name, check its hash, then rename it: it is complete or absent."""
    waits = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)  # torch.hub sets no timeout, and a firewall may never answer
    try:
        wanted.cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(wanted.url, str(wanted.cached), wanted.sha256, progress)
    except (OSError, HTTPException, RuntimeError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise UnavailableError(
            _missing_message(wanted, f" and cannot be downloaded: {reason}")
        ) from error
    finally:
        socket.setdefaulttimeout(waits)


def _missing_message(wanted: WeightsFile, reason: str) -> str:
    places = [f"{wanted.flag}=FILE"] if wanted.flag else []
    places += [f"{wanted.variable}=FILE"] if wanted.variable else []
    facts = [f"{wanted.size_bytes / 1e6:.1f} MB"] if wanted.size_bytes else []
    facts += [f"SHA-256 {wanted.sha256}"] if wanted.sha256 else []
    return (
        f"{wanted.file_name} is not on this machine{reason}; get it from {wanted.url}"
        f"{' (' * bool(facts)}{', '.join(facts)}{')' * bool(facts)}"
        f" and give it {' or '.join([*places, f'as {wanted.cached}'])}"
    )
