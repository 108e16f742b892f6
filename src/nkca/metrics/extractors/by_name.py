"""Extractors by name."""

import contextlib
import importlib.util
from pathlib import Path

import torch

from nkca.config.image_size import describe
from nkca.config.other_names import instead
from nkca.errors import InputError
from nkca.metrics.extractors import fidelity, pixels, timm_models
from nkca.metrics.extractors.contract import Extractor
from nkca.metrics.extractors.weights import INCEPTION, UnavailableError, locate_weights

INCEPTION_NAME = "inception"
_FILE = ".pt2"


def known_extractors() -> tuple[str, ...]:
    """All names that `open_extractor` knows, besides paths of files."""
    return (
        INCEPTION_NAME,
        timm_models.LITE0,
        *timm_models.DINOV2,
        *fidelity.CLIP,
        pixels.NAME,
    )


def available_extractors() -> tuple[str, ...]:
    """The names that `open_extractor` can open on this machine without a download."""
    found = [pixels.NAME, f"FILE{_FILE}"]
    if importlib.util.find_spec(timm_models.PACKAGE):
        found += [timm_models.LITE0] if importlib.util.find_spec(timm_models.LITE0_PACKAGE) else []
        found += timm_models.local_dinov2()
    if importlib.util.find_spec(fidelity.PACKAGE):
        with contextlib.suppress(InputError):  # the environment variable may name a missing file
            found += [INCEPTION_NAME] if locate_weights(INCEPTION) else []
        found += fidelity.local_clip()
    return tuple(found)


def open_extractor(
    name: str,
    device: torch.device,
    *,
    weights: Path | None = None,
    download_progress: bool = False,
) -> Extractor:
    """Open an extractor for images on ``device``.

    Args:
        name: one of `known_extractors`, ``timm:NAME`` for a network of timm, or the path of a file
            that ends in ``.pt2``: such a file is a program that is run, see
            `nkca.metrics.extractors.exported`.
        weights: a file of weights to use instead of the standard one, of Inception, DINOv2 or timm.
        download_progress: show a bar on standard error while Inception's weights are downloaded.

    Raises:
        InputError: if the name is unknown, weights are given to an extractor that takes none, or a
            needed file is missing, damaged or of another kind.
    """
    takes_weights = name in (INCEPTION_NAME, *timm_models.DINOV2) or name.startswith(
        timm_models.PREFIX
    )
    if weights is not None and not takes_weights:
        raise InputError(
            f"a file of weights is for the features inception, dinov2 and timm:NAME, not for {name}"
        )
    try:
        return _open(name, device, weights, download_progress)
    except UnavailableError as error:
        here = ", ".join(available_extractors())
        raise InputError(f"{error}; features that work here now: {here}") from error


def _open(name: str, device: torch.device, weights: Path | None, progress: bool) -> Extractor:
    if name == INCEPTION_NAME:
        return fidelity.open_inception(device, weights, progress)
    if name in fidelity.CLIP:
        return fidelity.open_clip(name, device)
    if name in timm_models.DINOV2:
        return timm_models.open_dinov2(name, device, weights)
    if name == timm_models.LITE0:
        return timm_models.open_lite0(device)
    if name.startswith(timm_models.PREFIX):
        return timm_models.open_timm(name, device, weights)
    if name == pixels.NAME:
        return pixels.PixelsExtractor()
    if name.lower().endswith(_FILE):
        from nkca.metrics.extractors.exported import ExportedExtractor  # a second to import

        return ExportedExtractor(Path(name).expanduser(), device)
    raise InputError(
        f"unknown features {name}{instead(name, known_extractors())}; expected a FILE{_FILE}, timm:NAME or "
        f"one of: {', '.join(known_extractors())}"
    )


def best_extractor(height: int, width: int) -> str:
    """The best extractor that works on this machine without a download, for images of that size.

    Raises:
        InputError: if there is none.
    """
    here = available_extractors()
    for name in (INCEPTION_NAME, timm_models.LITE0):
        if name in here:
            return name
    if 3 * height * width <= pixels.MAX_DIMENSIONS:
        return pixels.NAME
    raise InputError(
        f"no extractor for images of {describe(height, width)} is on this machine: "
        f"pip install 'nkca[metrics]', or name a FILE{_FILE}"
    )
