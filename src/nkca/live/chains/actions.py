"""What each event does to a session: story in, story out.

No denoiser evaluation, but for a restart from noise, which has to be pictured.
"""

import base64
import binascii
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nkca import levels
from nkca.data.decode import probe
from nkca.errors import InputError
from nkca.live.chains import events as do
from nkca.live.chains import tiles as of
from nkca.live.chains.recording import Recording
from nkca.live.chains.story import Kept, Story, kept_from, labelled
from nkca.live.chains.tiles import Tiles
from nkca.models.model import Model
from nkca.sampling.inputs import fit_content

GESTURE = 16  # versions: level changes that follow each other this closely are one action
MAX_KEPT = 1000


def act(model: Model, images: Tensor | None, story: Story, event: do.Event) -> Story:
    """The story after an event, any but a step.

    Args:
        images: uint8 (N, C, H, W), what a restart from images starts from.

    Raises:
        InputError: if it cannot be done.
    """
    tile = getattr(event, "tile", None)
    if tile is not None and tile >= len(story.moment):
        raise InputError(f"there are {len(story.moment)} tiles, counted from 0; got {tile}")
    match event:
        case do.Run() | do.Pause():
            return dataclasses.replace(story, running=isinstance(event, do.Run))
        case do.Record():
            return _record(story, event.on)
        case do.Level():
            return _level(model, story, event.level)
        case do.Anneal():
            return _anneal(model, story, event.steps)
        case do.Restart():
            return _restart(model, images, story, event)
        case do.Start():
            return _start(model, story, event)
        case do.Paint():
            return _paint(model, story, event)
    return _SIMPLE[type(event)](story, event)


def _level(model: Model, story: Story, level: float) -> Story:
    if level < model.min_noise:
        raise InputError(f"the noise level must be {model.min_noise:g} to 1, got {level:g}")
    present = story.moment
    moved = dataclasses.replace(present, noise_level=float(level), ahead=())
    label = f"level {level:.2f}"
    going_on = present.label.startswith("level") and story.history.past
    if going_on and present.version - present.labelled <= GESTURE:
        return story.moved(labelled(moved, label, present.version + 1))
    return story.acted(moved, label)


def _anneal(model: Model, story: Story, steps: int) -> Story:
    low, present = model.min_noise, story.moment
    path = levels.anneal(max(present.noise_level, low), low, steps)
    moved = dataclasses.replace(present, ahead=tuple(path[1:]))
    label = f"anneal, {steps} step{'s' * (steps > 1)}"
    return dataclasses.replace(story.acted(moved, label), running=True)


def _restart(model: Model, images: Tensor | None, story: Story, event: do.Restart) -> Story:
    started = of.anew(story.moment, event.seed)
    if event.source == "noise":
        started = of.from_noise(model, started)
    elif images is None:
        raise InputError("no images were given to restart from")
    else:
        started = of.from_images(model, started, dealt(images, started.free), started.free)
    return story.acted(started, f"restart from {event.source}")


def _start(model: Model, story: Story, event: do.Start) -> Story:
    present = story.moment
    tiles = present.free if event.tile is None else [event.tile]
    image = read_exact_image(event.image, model.data_shape)
    moved = of.from_images(model, present, dealt(image, tiles), tiles)
    where = "all tiles" if event.tile is None else f"tile {event.tile + 1}"
    return dataclasses.replace(story.acted(moved, f"a picture to {where}"), running=False)


def _paint(model: Model, story: Story, event: do.Paint) -> Story:
    _, height, width = model.data_shape
    mask = _mask(event.mask, height, width)
    as_seen = of.put(story.moment, [event.tile], story.seen(event.seen), event.tile)
    return story.acted(
        of.paint(model, as_seen, event.tile, mask), f"paint on tile {event.tile + 1}"
    )


def _record(story: Story, on: bool) -> Story:
    recording = Recording() if on else story.recording and story.recording.ended()
    return dataclasses.replace(story, recording=recording)


def _pick(story: Story, event: do.Pick) -> Story:
    if event.tile == story.moment.picked:
        return story
    moved = dataclasses.replace(story.moment, picked=event.tile)
    return story.acted(moved, "pick none" if event.tile is None else f"pick tile {event.tile + 1}")


def _spread(story: Story, event: do.Spread) -> Story:
    present = story.moment
    moved = of.put(present, present.free, story.seen(event.seen), event.tile)
    return story.acted(moved, f"spread from tile {event.tile + 1}")


def _lock(story: Story, event: do.Lock) -> Story:
    moved = story.moment
    if event.locked and not moved.locked[event.tile]:
        moved = of.put(moved, [event.tile], story.seen(event.seen), event.tile)
    name = "lock" if event.locked else "unlock"
    return story.acted(of.lock(moved, event.tile, event.locked), f"{name} tile {event.tile + 1}")


def _undo(story: Story, _: do.Undo) -> Story:
    return _back(story, *story.history.undo(story.moment))


def _redo(story: Story, _: do.Redo) -> Story:
    return _back(story, *story.history.redo(story.moment))


def _jump(story: Story, event: do.Jump) -> Story:
    return _back(story, *story.history.jump(story.moment, event.to))


def _back(story: Story, history: Any, moment: Tiles) -> Story:
    return dataclasses.replace(story.moved(moment), history=history, running=False)


def _keep(story: Story, event: do.Keep) -> Story:
    if len(story.shelf) >= MAX_KEPT:
        raise InputError(f"the shelf is full: it holds {MAX_KEPT} pictures")
    item = 1 + max((kept.item for kept in story.shelf + story.removed), default=0)
    kept = kept_from(story.seen(event.seen), event.tile, item)
    return dataclasses.replace(story, shelf=(*story.shelf, kept))


def _remove(story: Story, event: do.Remove) -> Story:
    kept = _item(story.shelf, event.item, "on the shelf")
    shelf = tuple(other for other in story.shelf if other is not kept)
    return dataclasses.replace(story, shelf=shelf, removed=(*story.removed, kept)[-MAX_KEPT:])


def _restore(story: Story, event: do.Restore) -> Story:
    kept = _item(story.removed, event.item, "among the removed ones")
    if len(story.shelf) >= MAX_KEPT:
        raise InputError(f"the shelf is full: it holds {MAX_KEPT} pictures")
    removed = tuple(other for other in story.removed if other is not kept)
    return dataclasses.replace(story, shelf=(*story.shelf, kept), removed=removed)


def _move(story: Story, event: do.Move) -> Story:
    kept = _item(story.shelf, event.item, "on the shelf")
    shelf = [other for other in story.shelf if other is not kept]
    shelf.insert(event.to, kept)
    return dataclasses.replace(story, shelf=tuple(shelf))


def _item(shelf: tuple[Kept, ...], item: int, where: str) -> Kept:
    for kept in shelf:
        if kept.item == item:
            return kept
    raise InputError(f"there is no picture {item} {where}")


_SIMPLE: dict[type[do.Event], Callable[[Story, Any], Story]] = {
    do.Pick: _pick,
    do.Spread: _spread,
    do.Lock: _lock,
    do.Undo: _undo,
    do.Redo: _redo,
    do.Jump: _jump,
    do.Keep: _keep,
    do.Remove: _remove,
    do.Restore: _restore,
    do.Move: _move,
}


def dealt(images: Tensor, tiles: list[int]) -> Tensor:
    """One image for each tile, in turn: (N, C, H, W) -> (len(tiles), C, H, W)."""
    return images[torch.tensor([tile % len(images) for tile in tiles], dtype=torch.long)]


def _mask(text: str, height: int, width: int) -> Tensor:
    bits = np.unpackbits(np.frombuffer(_bytes(text, "mask"), np.uint8))
    if len(bits) != -(-height * width // 8) * 8:
        raise InputError(f"event paint: the mask must have {height * width} bits, got {len(bits)}")
    return torch.from_numpy(bits[: height * width].reshape(height, width)).bool()


def read_exact_image(text: object, data_shape: tuple[int, int, int]) -> Tensor:
    """A picture file of the model's size in base64 as uint8 (1, C, H, W).

    Raises:
        InputError: if it is anything else.
    """
    _, height, width = data_shape
    try:
        content = _bytes(text, "image")
        found = probe(content)
        if (found.width, found.height) != (width, height):
            raise InputError(f"expected {width}x{height}, got {found.width}x{found.height}")
        picture, _ = fit_content(content, data_shape)
    except InputError as error:
        raise InputError(f"cannot take the image: {error}") from None
    return picture.unsqueeze(0)


def _bytes(text: object, what: str) -> bytes:
    try:
        if not isinstance(text, str):
            raise ValueError("no text")
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the {what} is not base64: {error}") from None
