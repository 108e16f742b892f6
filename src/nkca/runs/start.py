"""What a run's directory says about the run: its newest checkpoint, and what may change."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nkca.config.schema import RunConfig, configure, field_name
from nkca.errors import InputError
from nkca.models.checkpoint import BEST, FINAL, LATEST, Checkpoint, load_checkpoint


def newest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint in ``directory`` that is furthest on, or None.

    By name, as copies lose times: the latest is saved before the final one and with every numbered
    one, so it is never behind; without it the final, the highest number, the best.
    """
    numbered = sorted(directory.glob("checkpoint_[0-9]*.pth"), reverse=True)
    candidates = [directory / LATEST, directory / FINAL, *numbered, directory / BEST]
    return next((path for path in candidates if path.is_file()), None)


def resolve(
    options: Mapping[str, Any], directory: Path
) -> tuple[RunConfig, Checkpoint | None, dict[str, str]]:
    """Defaults < the run's own config, if it has begun < ``options``.

    Returns:
        The config, the checkpoint to resume from, and what changes: option -> "old -> new".

    Raises:
        InputError: if an option is wrong, or would change the model of a run that has begun.
    """
    path = newest_checkpoint(directory)
    if path is None:
        return configure(options), None, {}
    checkpoint = load_checkpoint(path)
    if checkpoint.optimizer is None:
        raise InputError(
            f"{path} has no optimizer state, so its run cannot be resumed: it is for sampling; "
            "use another --save-dir"
        )
    before = configure(checkpoint.config, str(path))
    config = configure(
        {**before.to_flat(), **{field_name(key): value for key, value in options.items()}}
    )
    old, new = before.to_flat(), config.to_flat()
    changes = {name: f"{old[name]} -> {new[name]}" for name in new if old[name] != new[name]}
    fixed = [f"{name} ({changes[name]})" for name in asdict(config.model) if name in changes]
    if fixed:
        raise InputError(
            f"{directory} holds a run of another model: {', '.join(fixed)}; use another --save-dir, "
            "or leave these options as they were"
        )
    return config, checkpoint, changes


def check_data_shape(checkpoint: Checkpoint, shape: tuple[int, int, int], directory: Path) -> None:
    """Raise `InputError` if the images are not of the run's shape (C, H, W)."""
    if checkpoint.data_shape != shape:
        channels, height, width = checkpoint.data_shape
        raise InputError(
            f"{directory} holds a run on {width}x{height} images of {channels} channels, these are "
            f"{shape[2]}x{shape[1]} of {shape[0]}: use --resize, --channels or another --save-dir"
        )
