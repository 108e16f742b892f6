"""Where files are kept that can be made or fetched again."""

import os
from pathlib import Path

import platformdirs


def default_cache_dir() -> Path:
    """Return the folder named by the environment's NKCA_CACHE, else the user's cache folder."""
    chosen = os.environ.get("NKCA_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("nkca"))
