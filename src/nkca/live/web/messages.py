"""What the page and the server tell each other: ``docs/make_schemas.py`` makes the page's types of these.

A `Turn` is checked while it is read (`nkca.live.chains.decoding`). The server's own messages are dicts,
which mypy and a test compare with their types.
"""

from typing import Annotated, Literal, TypeAlias, TypedDict

from msgspec import Meta, Struct

from nkca.live.chains.discrimination import MAX_TRIALS
from nkca.live.chains.events import (
    MAX_COUNT,
    MAX_TIMES,
    AnyEvent,
    Count,
    Tile,
)

MAX_EVENTS = 64  # of a turn

Show: TypeAlias = Literal["finished", "z", "x", "both"]
ListName: TypeAlias = Literal["history", "shelf", "masks"]
Version: TypeAlias = Annotated[int, Meta(ge=-1, le=MAX_COUNT)]


class View(Struct, frozen=True):
    """How tiles are shown.

    Args:
        show: "finished", where the state would end (`nkca.live.chains.finish`), "z", the denoised picture,
            "x", the noisy state, or "both", x on the left.
        rescale: stretch the contrast of each tile to the full range.
    """

    show: Show = "z"
    rescale: bool = False


class Turn(View, frozen=True, forbid_unknown_fields=True):
    """One request of a page.

    Args:
        seen: the version of the newest frame that the page has; -1: none.
        epoch: the epoch of that frame; null: the current one.
        steps: how many steps to make if the chains are running.
        have: for each list the number of the version that the page has.
        only: the one tile that the steps move; null: all unlocked ones.
        pictured: the version whose tiles the page shows, as the head of a frame said; null: `seen`.
    """

    seen: Version = -1
    epoch: Count | None = None
    events: Annotated[tuple[AnyEvent, ...], Meta(max_length=MAX_EVENTS)] = ()
    steps: Annotated[int, Meta(ge=0, le=MAX_TIMES)] = 0
    have: dict[ListName, Count] = {}
    only: Tile | None = None
    pictured: Version | None = None


class NewTest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/trials: begin a test of real and made pictures, of so many pairs at most."""

    count: Annotated[int, Meta(ge=1, le=MAX_TRIALS)]


class Entry(TypedDict):
    """A moment of the history."""

    id: int
    action: Annotated[int, Meta(description="the version that the action made")]
    label: str
    step: int
    level: float
    automatic: Annotated[bool, Meta(description="no action of the user")]


class Branch(TypedDict):
    """A future that was left."""

    root: Annotated[int, Meta(description="the action that it followed")]
    entries: list[Entry]


class History(TypedDict):
    """The film strip."""

    version: Annotated[int, Meta(description="changes with the list")]
    position: Annotated[int, Meta(description="of the present")]
    entries: Annotated[list[Entry], Meta(description="oldest first")]
    branches: list[Branch]


class Kept(TypedDict):
    """A picture on the shelf."""

    id: int
    name: str
    tile: int
    step: int
    level: float


class Shelf(TypedDict):
    """The pictures on the shelf, in order."""

    version: int
    items: list[Kept]
    removed: Annotated[int, Meta(description="how many can be restored")]
    removed_items: list[int]


class Masks(TypedDict):
    """The mask of each masked tile, by its number, as text (`nkca.live.chains.masks`)."""

    version: int
    tiles: dict[str, str]


class Replaying(TypedDict):
    """Steps of the replay."""

    done: int
    total: int


class Recorded(TypedDict):
    """The recording."""

    frames: int
    on: bool


class Held(TypedDict):
    """What all tiles have in common with a picture."""

    side: Annotated[int, Meta(description="of blocks whose means are held; 0: grey values are")]


class StateFields(TypedDict):
    """The state of the chains."""

    version: int
    step: int
    batch: int
    level: float
    annealing: Annotated[int, Meta(description="steps left")]
    running: bool
    seed: int
    change: float | None
    picked: int | None
    locked: list[int]
    masked: list[int]
    held: Held | None
    tile_levels: list[float]
    choosing: Annotated[bool, Meta(description="whether the tiles are offered for a choice")]
    choices: Annotated[int, Meta(description="made so far")]
    can_undo: bool
    can_redo: bool
    recording: Recorded | None


class Head(StateFields):
    """What a frame says beside its picture; of the lists only those that the page has not."""

    epoch: Annotated[int, Meta(description="identifies the session")]
    pictured: Annotated[
        int | None,
        Meta(description="the version whose pictures the page has now; null: they will come"),
    ]
    history: History | None
    shelf: Shelf | None
    masks: Masks | None
    replaying: Replaying | None
    step_ms: float | None
    notice: Annotated[str | None, Meta(description="a message of the command")]


class ModelFacts(TypedDict):
    """The model, and the chains."""

    checkpoint: str
    digest: str
    data_shape: Annotated[tuple[int, int, int], Meta(description="channels, height, width")]
    batch: int
    min_level: float
    seed: int
    images: Annotated[int, Meta(description="how many the chains started from")]
    categorical: bool
    palette: Annotated[
        tuple[tuple[int, ...], ...] | None,
        Meta(description="the colours of the model's pixels, of one to four channels; null: any"),
    ]
    sides: Annotated[list[int], Meta(description="of blocks whose means can be held")]
    mp4: Annotated[bool, Meta(description="whether recordings can be had so")]
    gif: bool
    device: str
    version: Annotated[str, Meta(description="of nkca")]


class Limits(TypedDict):
    """What the server refuses to exceed."""

    max_anneal: Annotated[int, Meta(description="steps")]
    max_events: Annotated[int, Meta(description="of a turn")]
    max_seed: int
    max_trials: Annotated[int, Meta(description="of a test of real and made pictures")]
    max_recording_pixels: Annotated[int, Meta(description="of all frames of a file together")]
    max_upload_bytes: Annotated[int, Meta(description="of a picture")]
    max_session_bytes: int


class About(ModelFacts, Limits):
    """GET /api/about: what does not change."""

    show: Show
    rescale: bool
    real: Annotated[
        int, Meta(description="how many real pictures there are to be told from made ones")
    ]
    gallery: Annotated[bool, Meta(description="whether there are other models to choose")]
