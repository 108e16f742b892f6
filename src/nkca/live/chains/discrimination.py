"""Real or made? How often a person tells pictures of the model from real ones.

Two-alternative forced choice: each trial shows a real picture and a made one side by side, in an order
drawn by lot, and asks which is real. Whoever cannot tell them apart is right in half of the trials,
whatever their bias towards "real"; a single picture with "yes or no" would measure that bias too. Made
pictures are samples of the model, from fresh seeds, drawn as `nkca-sample` does; real ones are fitted to
the model's size, and have its colours or levels where it has few.
"""

import math
import secrets
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Annotated, Literal, TypeAlias, TypedDict, get_args

import torch
from msgspec import Meta, Struct
from torch import Tensor

from nkca.data.categories import reader_for
from nkca.data.listing import Listing, UnreadableImageError, open_source
from nkca.errors import InputError
from nkca.live.chains.events import Count
from nkca.models.model import Model
from nkca.sampling.inputs import fit_content
from nkca.sampling.tasks import Schedule, draw_task, from_noise

Side: TypeAlias = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)
MAX_TRIALS = 200
CANDIDATES = 1000  # real pictures for a test, of which some may be unreadable
CONFIDENCE = 0.95
_LOT = secrets.SystemRandom()


@dataclass(frozen=True)
class Trial:
    """Which side is real, its file, and the seed of the other."""

    real: Side
    file: str
    seed: int


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/trials/ID/N: which side was taken for real, after how long; null: not known."""

    side: Side
    milliseconds: Count | None = None


class Answered(TypedDict):
    """A trial and its answer."""

    real: Side
    answer: Side
    milliseconds: int | None
    real_file: str
    made_seed: int


class TestResult(TypedDict):
    """GET /api/trials/ID/result.json: how often real and made pictures were told apart."""

    task: str
    trials: int
    told_apart: int
    share: float
    share_by_chance: float
    confidence: float
    interval: Annotated[tuple[float, float], Meta(description="of the share")]
    interval_method: str
    answers: list[Answered]


@dataclass
class Discrimination:
    """A series of trials, which are made one by one; not thread-safe.

    Args:
        count: of trials.
        unused: real pictures, by their places in the listing, none of which was shown.
        pairs: uint8 (2, C, H, W), left and right, of the trials without an answer.
    """

    count: int
    unused: list[int]
    trials: list[Trial] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    pairs: dict[int, Tensor] = field(default_factory=dict)

    def pair(self, number: int, model: Model, real: Listing) -> Tensor:
        """The pair of the first trial without an answer, or of the next, uint8 (2, C, H, W).

        Raises:
            InputError: of another trial, or if no real picture that is left can be read.
        """
        first = len(self.answers)
        if not first <= number < min(self.count, first + 2):
            raise InputError(f"trial {number} cannot be seen now")
        while len(self.trials) <= number:
            self._make(model, real)
        return self.pairs[number]

    def answer(self, number: int, answer: Answer) -> None:
        """Answer the first trial that has no answer. Raises `InputError` if it is not this one."""
        if number != len(self.answers) or number >= len(self.trials):
            raise InputError(f"trial {number} cannot be answered now")
        self.answers.append(answer)
        del self.pairs[number]

    @torch.inference_mode()
    def _make(self, model: Model, listing: Listing) -> None:
        file, picture = self._next_real(model, listing)
        pixels, seed = model.pixels, secrets.randbelow(2**53)
        real = pixels.to_uint8(pixels.to_state(picture[None].to(model.device))).cpu()
        made = draw_task(model, from_noise([seed]), Schedule()).cpu()
        side = _LOT.choice(SIDES)
        self.pairs[len(self.trials)] = torch.cat([real, made] if side == "left" else [made, real])
        self.trials.append(Trial(side, file, seed))

    def _next_real(self, model: Model, listing: Listing) -> tuple[str, Tensor]:
        """The name and the picture, uint8 (C, H, W), of the next file that can be read."""
        reader = reader_for(model.pixels)
        with open_source(listing) as read:
            while self.unused:
                index = self.unused.pop()
                try:
                    picture, _ = fit_content(read(index), model.data_shape, reader)
                except UnreadableImageError:
                    continue
                return listing.names[index], picture
        raise InputError("no other real picture can be read")

    def result(self) -> TestResult:
        """What was answered so far.

        Raises:
            InputError: if nothing was.
        """
        if not self.answers:
            raise InputError("nothing has been answered yet")
        answered = list(zip(self.trials, self.answers, strict=False))
        right, count = sum(t.real == a.side for t, a in answered), len(answered)
        return {
            "task": "two-alternative forced choice: which of two pictures is real",
            "trials": count,
            "told_apart": right,
            "share": right / count,
            "share_by_chance": 0.5,
            "confidence": CONFIDENCE,
            "interval": wilson_interval(right, count),
            "interval_method": "Wilson",
            "answers": [
                {
                    "real": trial.real,
                    "answer": answer.side,
                    "milliseconds": answer.milliseconds,
                    "real_file": trial.file,
                    "made_seed": trial.seed,
                }
                for trial, answer in answered
            ],
        }


def new_test(real: Listing, count: int) -> Discrimination:
    """A test of ``count`` trials, 1 to `MAX_TRIALS`; fewer if there are fewer real pictures."""
    unused = _LOT.sample(range(len(real)), min(len(real), CANDIDATES))
    return Discrimination(min(count, len(real)), unused)


def wilson_interval(
    successes: int, count: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The Wilson score interval of a share, from ``successes`` of ``count`` >= 1 (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, more = successes / count, z * z / count
    middle = (share + more / 2) / (1 + more)
    half = z * math.sqrt(share * (1 - share) / count + more / (4 * count)) / (1 + more)
    return max(0.0, middle - half), min(1.0, middle + half)
