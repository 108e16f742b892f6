"""The models that need not be named: those in the package, and those below a folder."""

import itertools
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nkca.config.parsing import configure
from nkca.demo import MODELS
from nkca.models import exported
from nkca.models.checkpoint import FINAL, LATEST, glance_at_checkpoint
from nkca.models.state_spaces import state_space

MAX_DEPTH, MAX_FOLDERS, MAX_ENTRIES = 4, 2000, 10_000  # entries of one folder
MAX_MODELS = 60
SKIPPED = {"__pycache__", "node_modules", "site-packages"}


@dataclass(frozen=True)
class LocalModel:
    """A model that was found: what it is called here, and its file."""

    name: str
    path: Path
    packaged: bool = False


@dataclass(frozen=True)
class ModelFacts:
    """What a model is: (C, H, W), the name of its state space, images seen, steps."""

    data_shape: tuple[int, int, int]
    space: str
    images: int
    step: int


def packaged_models() -> list[LocalModel]:
    """The models in the package, as far as they are installed."""
    return [LocalModel(name, path, True) for name, path in MODELS.items() if path.is_file()]


def models_below(folder: Path) -> list[LocalModel]:
    """The runs and exported models in ``folder`` and below it, the newest first, at most `MAX_MODELS`.

    Looks into at most `MAX_FOLDERS` folders, `MAX_DEPTH` deep, none of them hidden or within a model. No
    link is followed, so that everything lies below the folder.
    """
    found = list(itertools.islice(_search(folder), MAX_MODELS))
    return sorted(found, key=lambda model: (-_changed(model.path), model.name))


def facts_of(model: LocalModel) -> ModelFacts:
    """What a model is, without reading its weights.

    Raises:
        InputError: if it cannot be read.
    """
    read = glance_at_checkpoint(model.path)
    space = state_space(configure(read.config, model.name).model).name
    images = int(read.progress.get("images", 0))
    return ModelFacts(read.data_shape, space, images, int(read.progress["step"]))


def _search(folder: Path) -> Iterator[LocalModel]:
    waiting = deque([(folder, "", 0)])
    for _ in range(MAX_FOLDERS):
        if not waiting:
            return
        place, name, depth = waiting.popleft()
        files, folders = _entries(place)
        checkpoint = _checkpoint_among(files)
        if checkpoint:
            yield LocalModel(name or folder.resolve().name or ".", Path(files[checkpoint]))
        elif depth < MAX_DEPTH:
            deeper = sorted(set(folders) - SKIPPED)
            waiting += [(place / one, f"{name}/{one}".lstrip("/"), depth + 1) for one in deeper]


def _entries(folder: Path) -> tuple[Mapping[str, str], list[str]]:
    """The files in a folder, name -> path, and the names of the folders in it that are not hidden."""
    files, folders = {}, []
    try:
        with os.scandir(folder) as entries:
            for entry in itertools.islice(entries, MAX_ENTRIES):
                if entry.is_file(follow_symlinks=False):
                    files[entry.name] = entry.path
                elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    folders.append(entry.name)
    except OSError:  # not ours to read, or gone
        pass
    return files, folders


def _checkpoint_among(files: Mapping[str, str]) -> str | None:
    if {exported.WEIGHTS, exported.CONFIG} <= files.keys():
        return exported.WEIGHTS
    return next((name for name in (LATEST, FINAL) if name in files), None)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
