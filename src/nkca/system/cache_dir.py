"""The user's cache folder."""

import functools
import logging
import os
from pathlib import Path

import platformdirs

from nkca.errors import InputError

logger = logging.getLogger("nkca")


def default_cache_dir() -> Path:
    """Return the folder named by the environment's NKCA_CACHE, else the user's cache folder.

    Raises:
        InputError: if that cannot be told.
    """
    chosen = os.environ.get("NKCA_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("nkca"))
    except (RuntimeError, KeyError) as error:  # a user without a home
        raise InputError(f"cannot tell the cache folder, set NKCA_CACHE to one: {error}") from None


def usable_cache_dir() -> Path | None:
    """`default_cache_dir`; unless NKCA_CACHE names it, None and a warning where it cannot be written to.

    Raises:
        InputError: if the environment's NKCA_CACHE cannot be told.
    """
    if os.environ.get("NKCA_CACHE"):
        return default_cache_dir()
    try:
        folder = default_cache_dir()
        reason = _why_not_writable(folder)
    except InputError as error:
        folder, reason = Path(), str(error)
    if reason:
        _warn(reason)
        return None
    return folder


def _why_not_writable(folder: Path) -> str:
    """Why nothing can be written into ``folder``, which is made if it is missing; "" if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"cannot write the cache in {folder}: {error.strerror or error}"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"cannot write the cache in {folder}"


@functools.cache
def _warn(reason: str) -> None:
    """Say it once in a process."""
    logger.warning("%s; nothing is cached, and decoded images are kept in memory", reason)
