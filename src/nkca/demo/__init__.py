"""What ships in the package: a model and images, both named ``demo``.

As with the data set of that name, the string ``demo`` means what is in the package, whatever lies in
the current folder: a file or folder of your own is ``./demo``. A `Path` is always a path.
"""

import os
from pathlib import Path

from nkca.errors import InputError

DEMO = "demo"
MODEL = Path(__file__).with_name("demo.pt")
IMAGES = Path(__file__).with_name("demo.zip")


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
    """The path that ``--dataset`` means: ``demo`` is the zip in the package."""
    return IMAGES if name == DEMO else Path(name).expanduser()
