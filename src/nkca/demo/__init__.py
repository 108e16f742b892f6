"""What ships in the package: a model and images, both named ``demo``, and a set ``demo-emoji``.

As with the data set of that name, the string ``demo`` means what is in the package, whatever lies in
the current folder: a file or folder of your own is ``./demo``. A `Path` is always a path.
nkca-metrics, where both could be meant, takes ``demo:model`` and ``demo:images``.
"""

import os
from pathlib import Path

from nkca.errors import InputError

DEMO = "demo"
DEMO_EMOJI = "demo-emoji"
DEMO_MODEL, DEMO_IMAGES = f"{DEMO}:model", f"{DEMO}:images"
PACKAGED = (DEMO_IMAGES, DEMO_EMOJI)  # sets of images, as nkca-metrics names them
MODEL = Path(__file__).with_name("demo.pt")
IMAGES = Path(__file__).with_name("demo.zip")
EMOJI = Path(__file__).with_name("emoji.zip")


def model_path(name: str | Path) -> Path:
    """The path that a MODEL argument means: ``demo`` is the file in the package.

    Raises:
        InputError: if that is missing from this installation.
    """
    if name == DEMO and isinstance(name, str):
        if not MODEL.is_file():
            raise InputError(
                f"the model '{DEMO}' is missing from this installation of nkca ({MODEL}): install "
                f"nkca again; a file or folder of your own is ./{DEMO}"
            )
        return MODEL
    return Path(os.path.expanduser(name))  # noqa: PTH111  Path's raises for "~nobody"


def path_as_argument(path: Path) -> str:
    """``path`` as the commands take it for a MODEL: a folder that is called demo is ``./demo``."""
    return f".{os.sep}{path}" if str(path) == DEMO else str(path)


def dataset_path(name: str) -> Path:
    """The path that ``--dataset`` means: ``demo`` and ``demo-emoji`` are zips in the package."""
    packaged = {DEMO: IMAGES, DEMO_EMOJI: EMOJI}
    return packaged[name] if name in packaged else Path(name).expanduser()


def measured_path(name: str) -> str:
    """The path that a name in nkca-metrics means: ``demo:model`` and ``demo:images`` are in the package.

    Raises:
        InputError: if it is ``demo`` alone, or the model is missing from this installation.
    """
    if name == DEMO:
        raise InputError(
            f"'{DEMO}' may be the model or the images in the package: {DEMO_MODEL} or {DEMO_IMAGES}; "
            f"a file or folder of your own is ./{DEMO}"
        )
    if name == DEMO_MODEL:
        return str(model_path(DEMO))
    return str(dataset_path(DEMO if name == DEMO_IMAGES else name)) if name in PACKAGED else name
