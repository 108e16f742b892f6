"""What ships in the package: models and images named demo (clothes), demo-emoji and demo-pixels.

As with the data sets of those names, the string ``demo`` means what is in the package, whatever lies in
the current folder: a file or folder of your own is ``./demo``. A `Path` is always a path.
nkca-metrics, where both could be meant, takes ``demo:model`` and ``demo:images``.
"""

import os
from pathlib import Path

from nkca.errors import InputError

DEMO, DEMO_EMOJI, DEMO_PIXELS = "demo", "demo-emoji", "demo-pixels"
_HERE = Path(__file__).parent
MODELS: dict[str, Path] = {
    DEMO: _HERE / "demo.pt",
    DEMO_EMOJI: _HERE / "emoji.pt",
    DEMO_PIXELS: _HERE / "pixels.pt",
}
IMAGES: dict[str, Path] = {
    DEMO: _HERE / "demo.zip",
    DEMO_EMOJI: _HERE / "emoji.zip",
    DEMO_PIXELS: _HERE / "pixels.zip",
}


def model_path(name: str | Path) -> Path:
    """The path that a MODEL argument means: those of `MODELS` are files in the package.

    Raises:
        InputError: if that is missing from this installation.
    """
    if isinstance(name, str) and name in MODELS:
        path = MODELS[name]
        if not path.is_file():
            raise InputError(
                f"the model '{name}' is missing from this installation of nkca ({path}): install "
                f"nkca again; a file or folder of your own is ./{name}"
            )
        return path
    return Path(os.path.expanduser(name))  # noqa: PTH111  Path's raises for "~nobody"


def model_name(path: Path) -> str | None:
    """The name of a model in the package; None for any other file."""
    return next((name for name, file in MODELS.items() if file == path), None)


def path_as_argument(path: Path) -> str:
    """``path`` as the commands take it for a MODEL: a folder that is called demo is ``./demo``."""
    return f".{os.sep}{path}" if str(path) in MODELS else str(path)


def dataset_path(name: str) -> Path:
    """The path that ``--dataset`` means: those of `IMAGES` are zips in the package."""
    return IMAGES[name] if name in IMAGES else Path(name).expanduser()


def measured_path(name: str) -> str:
    """The path that a name in nkca-metrics means: ``demo:model``, ``demo:images`` are in the package.

    Raises:
        InputError: if it is ``demo`` or another of them alone, or a model is missing here.
    """
    if name in MODELS:
        raise InputError(
            f"'{name}' may be the model or the images in the package: {name}:model or {name}:images; "
            f"a file or folder of your own is ./{name}"
        )
    base, _, kind = name.rpartition(":")
    if base in MODELS and kind == "model":
        return str(model_path(base))
    return str(IMAGES[base]) if base in IMAGES and kind == "images" else name
