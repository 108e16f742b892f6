"""The user's cache folder."""

import os
from pathlib import Path

import platformdirs

from nkca.errors import InputError


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
