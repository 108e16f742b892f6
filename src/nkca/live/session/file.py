"""The session file: JSON with every recorded event, from which a session can be replayed.

format, schema, version     "nkca-session", 3 (1: before `select`, 2: before `choose`), of nkca
checkpoint, checkpoint_sha256, data_shape, lag, precision, device
batch_size, seed, level     the `Setup` of the session
images                      the images that it started from, as base64 PNGs of the model's size
events                      see `nkca.live.chains.events`; versions count from 0
"""

import base64
import dataclasses
import json
import math
import typing
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nkca.config.image_size import describe
from nkca.errors import InputError
from nkca.live.chains.event_json import as_json, parse_event
from nkca.live.chains.events import MAX_SEED, Event, MakeSteps
from nkca.live.chains.exact_image import read_exact_image
from nkca.live.chains.explorer import Explorer, Setup
from nkca.models.model import Model
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures
from nkca.version import __version__

FORMAT, SCHEMA = "nkca-session", 3
FROM_SAMPLES = 3  # the schema from which on all tiles begin as samples
MAX_BYTES = 256 << 20
MAX_EVENTS = 1_000_000
MAX_BATCH = 1024
MAX_LISTS = 10_000  # a session has three, but text may contain a bracket
MAX_COMMAS = 5 * MAX_EVENTS
MAX_PICTURES = 1 << 30  # decoded bytes of all images together; a small file can decode to many


@dataclass(frozen=True)
class Origin:
    """The model of a session, and the settings it runs with."""

    checkpoint: str
    checkpoint_sha256: str
    data_shape: tuple[int, int, int]
    lag: float
    precision: str
    device: str


@dataclass(frozen=True)
class Session:
    """The model, the setup and the events of a session."""

    origin: Origin
    setup: Setup
    events: Collection[Event]

    @property
    def steps(self) -> int:
        """The number of Markov steps in a replay."""
        return sum(event.times for event in self.events if isinstance(event, MakeSteps))


def session_of(origin: Origin, explorer: Explorer) -> Session:
    """The session of an explorer so far."""
    return Session(origin, explorer.setup, explorer.state.record)


def to_json(session: Session) -> bytes:
    """The content of the session file, UTF-8."""
    setup = session.setup
    images = () if setup.images is None else as_pictures(setup.images)
    content = {
        "format": FORMAT,
        "schema": FROM_SAMPLES - 1 if setup.from_prior else SCHEMA,
        "version": __version__,
        **dataclasses.asdict(session.origin),
        "batch_size": setup.batch_size,
        "seed": setup.seed,
        "level": setup.noise_level,
        "images": [base64.b64encode(png_bytes(image)).decode() for image in images],
        "events": [as_json(event) for event in session.events],
    }
    return json.dumps(content, separators=(",", ":")).encode()


def read_session(path: Path) -> Session:
    """Read a session file.

    Raises:
        InputError: if it is not a valid session file.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file" if path.exists() else f"no such session: {path}")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} is larger than a session file can be ({MAX_BYTES >> 20} MiB)")
    try:
        return parse_session(path.read_bytes())
    except InputError as error:
        raise InputError(f"cannot read session {path}: {error}") from None


def parse_session(content: bytes) -> Session:
    """Parse the content of a session file.

    Raises:
        InputError: if a field is unknown, missing or invalid.
    """
    try:
        if content.count(b"[") > MAX_LISTS or content.count(b",") > MAX_COMMAS:
            raise ValueError("more lists or values than a session has")
        found = json.loads(content, object_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError("not a session of nkca-interactive")
    if isinstance(found.get("schema"), int) and found["schema"] > SCHEMA:
        raise InputError(f"schema {str(found['schema'])[:20]} is not known here; update nkca")
    unknown = found.keys() - _FIELDS.keys()
    if unknown:
        raise InputError(f"unknown field '{min(unknown)[:40]}'")
    for name, (kind, fits, expected) in _FIELDS.items():
        value = found.get(name)
        if not isinstance(value, kind) or isinstance(value, bool) or not fits(value):
            raise InputError(f"'{name}' must be {expected}, got {repr(value)[:40]}")
    shape = typing.cast("tuple[int, int, int]", tuple(found["data_shape"]))
    plain = ("checkpoint", "checkpoint_sha256", "lag", "precision", "device")
    origin = Origin(data_shape=shape, **{name: found[name] for name in plain})
    if len(found["images"]) * math.prod(shape) > MAX_PICTURES:
        raise InputError("'images' are too many to fit into memory")
    images = [read_exact_image(image, shape) for image in found["images"]]
    setup = Setup(
        found["batch_size"],
        found["seed"],
        float(found["level"]),
        torch.cat(images) if images else None,
        from_prior=found["schema"] < FROM_SAMPLES,
    )
    events = tuple(map(parse_event, found["events"]))
    for number, event in enumerate(events):
        if not event.recorded:
            raise InputError(f"event {number}: '{event.name}' does not belong in a session")
    return Session(origin, setup, events)


def check_model(session: Session, model: Model) -> None:
    """Raise `InputError` if the session cannot be replayed with a model of this shape and these levels."""
    shape = session.origin.data_shape
    if shape != model.data_shape:
        raise InputError(
            f"the session is of {_size(shape)}, the model of {_size(model.data_shape)}: "
            f"it was made with {session.origin.checkpoint}"
        )
    if session.setup.noise_level < model.min_noise:
        raise InputError(
            f"the session begins at level {session.setup.noise_level:g}, "
            f"the model's lowest is {model.min_noise:g}"
        )


def caveat(made: Origin, here: Origin) -> str | None:
    """Why a replay here may differ from the recorded session, or None if it should not."""
    if made.checkpoint_sha256 != here.checkpoint_sha256:
        name = "".join(letter if letter.isprintable() else "?" for letter in made.checkpoint)
        return f"the session was made with another checkpoint, {name}"
    if made.device != here.device:
        return (
            f"the session was made on {made.device}, this is {here.device}: it may differ a little"
        )
    return None


def replay(explorer: Explorer, session: Session) -> Iterator[int]:
    """Apply all events to a new explorer; yields the number of steps done, after each step or event.

    Raises:
        InputError: if an event cannot be applied, for example because the file was edited.
    """
    done = 0
    for number, event in enumerate(session.events):
        try:
            if isinstance(event, MakeSteps):
                for _ in range(event.times):
                    explorer.step(event.only)
                    done += 1
                    yield done
            else:
                explorer.apply([event])
                yield done
        except InputError as error:
            raise InputError(f"event {number} of the session: {error}") from None


def _object(value: dict[str, Any]) -> dict[str, Any]:
    """What JSON makes of an object; a call of Python, between which other threads can run."""
    return value


def _size(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{describe(height, width)} with {channels} channel{'s' * (channels > 1)}"


def _is_shape(value: list[object]) -> bool:
    whole = len(value) == 3 and all(type(side) is int and 0 < side <= 1 << 14 for side in value)
    return whole and value[0] in (1, 3, 4)


def _is_text(value: str) -> bool:
    return len(value) <= 1000


def _within(low: float, high: float) -> Callable[[float], bool]:
    return lambda value: low <= value <= high


_FIELDS: dict[str, tuple[Any, Callable[[Any], bool], str]] = {
    "format": (str, _is_text, "text"),
    "schema": (int, _within(1, SCHEMA), f"1 to {SCHEMA}"),
    "version": (str, _is_text, "text"),
    "checkpoint": (str, _is_text, "text"),
    "checkpoint_sha256": (str, _is_text, "text"),
    "precision": (str, {"fp32", "bf16", "fp16"}.__contains__, "fp32, bf16 or fp16"),
    "device": (str, _is_text, "text"),
    "data_shape": (list, _is_shape, "[1, 3 or 4, height, width]"),
    "lag": (int | float, lambda lag: 0 <= lag < 1, "a number in [0, 1)"),
    "batch_size": (int, _within(1, MAX_BATCH), f"a whole number from 1 to {MAX_BATCH}"),
    "seed": (int, _within(0, MAX_SEED), "a whole number from 0 to 2^53 - 1"),
    "level": (int | float, _within(1e-6, 1), "a noise level in (0, 1]"),
    "images": (list, lambda images: len(images) <= MAX_BATCH, f"at most {MAX_BATCH} pictures"),
    "events": (list, lambda events: len(events) <= MAX_EVENTS, f"at most {MAX_EVENTS} events"),
}
