"""The session file: JSON with every recorded event, from which a session can be replayed."""

import base64
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
import torch
from msgspec import Meta

from nkca.config.image_size import describe
from nkca.errors import InputError
from nkca.live.chains.decoding import NotJSONError, decode
from nkca.live.chains.events import AnyEvent, Base64, Event, MakeSteps, Seed
from nkca.live.chains.exact_image import read_exact_image
from nkca.live.chains.explorer import Explorer, Setup
from nkca.models.model import Model
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures
from nkca.version import __version__

FORMAT, SCHEMA = "nkca-session", 4
FROM_SAMPLES = 3  # the schema from which on all tiles begin as samples
MAX_BYTES = 256 << 20
MAX_EVENTS = 1_000_000
MAX_BATCH = 1024
MAX_BRACES = 10_000  # of texts
MAX_PICTURES = 1 << 30  # decoded bytes of all images together; a small file can decode to many

Name: TypeAlias = Annotated[str, Meta(max_length=1000)]
Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
Side: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 14)]


class Origin(msgspec.Struct, frozen=True):
    """The model of a session, and the settings it runs with.

    Args:
        checkpoint: the name of its file.
        data_shape: channels, height and width of the pictures.
        lag: of the chain.
    """

    checkpoint: Name
    checkpoint_sha256: Name
    data_shape: tuple[Annotated[int, Meta(ge=1, le=4)], Side, Side]
    lag: Annotated[float, Meta(ge=0, lt=1)]
    precision: Precision
    device: Name


class SessionFile(Origin, frozen=True, forbid_unknown_fields=True, tag_field="format", tag=FORMAT):
    """The content of a session file.

    Args:
        schema: 1 was before the event ``select``; in 1 and 2 all tiles begin as noise; 4 has the event
            ``colour``, and masks of bytes.
        version: of nkca.
        batch_size: the number of tiles.
        seed: of the noise.
        level: at the beginning.
        images: what the tiles start from in turn, as base64 PNGs of the model's size.
        events: in order; the versions of frames count from 0.
    """

    schema: Annotated[int, Meta(ge=1, le=SCHEMA)]
    version: Name
    batch_size: Annotated[int, Meta(ge=1, le=MAX_BATCH)]
    seed: Seed
    level: Annotated[float, Meta(ge=1e-6, le=1)]
    images: Annotated[tuple[Base64, ...], Meta(max_length=MAX_BATCH)]
    events: Annotated[tuple[AnyEvent, ...], Meta(max_length=MAX_EVENTS)]


class _Kind(msgspec.Struct):
    """What a file says of itself; other fields are skipped."""

    format: str
    schema: int


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
    content = SessionFile(
        **msgspec.structs.asdict(session.origin),
        schema=FROM_SAMPLES - 1 if setup.from_prior else SCHEMA,
        version=__version__,
        batch_size=setup.batch_size,
        seed=setup.seed,
        level=setup.noise_level,
        images=tuple(base64.b64encode(png_bytes(image)).decode() for image in images),
        events=tuple(session.events),
    )
    return msgspec.json.encode(content)


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
        kind = decode(content, _Kind)
    except NotJSONError:
        raise
    except InputError:
        kind = _Kind("", 0)
    if kind.format != FORMAT:
        raise InputError("not a session of nkca-interactive")
    if kind.schema > SCHEMA:
        raise InputError(f"schema {str(kind.schema)[:20]} is not known here; update nkca")
    if content.count(b"{") > MAX_EVENTS + MAX_BRACES:
        raise InputError("more events than a session has")
    found = decode(content, SessionFile)
    shape = found.data_shape
    if shape[0] == 2:
        raise InputError("'data_shape' must have 1, 3 or 4 channels")
    if len(found.images) * math.prod(shape) > MAX_PICTURES:
        raise InputError("'images' are too many to fit into memory")
    for number, event in enumerate(found.events):
        if not event.recorded:
            name = event.__struct_config__.tag
            raise InputError(f"event {number}: '{name}' does not belong in a session")
    images = [read_exact_image(image, shape) for image in found.images]
    setup = Setup(
        found.batch_size,
        found.seed,
        found.level,
        torch.cat(images) if images else None,
        from_prior=found.schema < FROM_SAMPLES,
    )
    origin = Origin(**{name: getattr(found, name) for name in Origin.__struct_fields__})
    return Session(origin, setup, found.events)


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


def _size(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{describe(height, width)} with {channels} channel{'s' * (channels > 1)}"
