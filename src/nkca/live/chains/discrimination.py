"""Real or made? How often a person tells pictures of the model from real ones.

Two-alternative forced choice: each trial shows a real picture and a made one side by side, in an order
drawn by lot, and asks which is real. Whoever cannot tell them apart is right in half of the trials,
whatever their bias towards "real"; a single picture with "yes or no" would measure that bias too. Made
pictures are samples of the model, from fresh seeds, drawn as `nkca-sample` does; real ones are fitted to
the model's size, and have its colours or levels where it has few.
"""

import math
import secrets
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from nkca.data.categories import reader_for
from nkca.data.listing import Listing, UnreadableImageError, open_source
from nkca.errors import InputError
from nkca.models.model import Model
from nkca.sampling.inputs import fit_content
from nkca.sampling.tasks import Schedule, draw_task, from_noise

SIDES = ("left", "right")
MAX_TRIALS = 200
CONFIDENCE = 0.95
_LOT = secrets.SystemRandom()


@dataclass(frozen=True)
class Trial:
    """A pair, uint8 (2, C, H, W), left and right; which side is real; its file; the seed of the other."""

    pair: Tensor
    real: str
    file: str
    seed: int


@dataclass(frozen=True)
class Answer:
    """Which side was taken for real, and after how many milliseconds; None: not known."""

    side: str
    milliseconds: int | None = None


class Discrimination:
    """A series of trials, which are made one by one; not thread-safe.

    Args:
        real: the real pictures; none is shown twice.
        count: of trials; fewer if there are fewer pictures.

    Raises:
        InputError: unless ``count`` is 1 to `MAX_TRIALS`.
    """

    def __init__(self, model: Model, real: Listing, count: int) -> None:
        if not 1 <= count <= MAX_TRIALS:
            raise InputError(f"a test has 1 to {MAX_TRIALS} trials, got {count}")
        self.model, self.listing, self.count = model, real, min(count, len(real))
        self._unused = _LOT.sample(range(len(real)), len(real))
        self.trials: list[Trial] = []
        self.answers: list[Answer] = []

    def pair(self, number: int) -> Tensor:
        """The pair of a trial, uint8 (2, C, H, W): of any until the one after the first without answer.

        Raises:
            InputError: of another trial, or if no real picture that is left can be read.
        """
        if not 0 <= number < min(self.count, len(self.answers) + 2):
            raise InputError(f"trial {number} cannot be seen yet")
        while len(self.trials) <= number:
            self.trials.append(self._make())
        return self.trials[number].pair

    def answer(self, number: int, answer: Answer) -> None:
        """Answer the first trial that has no answer. Raises `InputError` if it is not this one."""
        if number != len(self.answers) or number >= len(self.trials):
            raise InputError(f"trial {number} cannot be answered now")
        self.answers.append(answer)

    @torch.inference_mode()
    def _make(self) -> Trial:
        file, picture = self._real()
        pixels, seed = self.model.pixels, secrets.randbelow(2**53)
        real = pixels.to_uint8(pixels.to_state(picture[None].to(self.model.device))).cpu()
        made = draw_task(self.model, from_noise([seed]), Schedule()).cpu()
        side = _LOT.choice(SIDES)
        return Trial(torch.cat([real, made] if side == "left" else [made, real]), side, file, seed)

    def _real(self) -> tuple[str, Tensor]:
        """The name and the picture, uint8 (C, H, W), of the next file that can be read."""
        reader = reader_for(self.model.pixels)
        with open_source(self.listing) as read:
            while self._unused:
                index = self._unused.pop()
                try:
                    picture, _ = fit_content(read(index), self.model.data_shape, reader)
                except UnreadableImageError:
                    continue
                return self.listing.names[index], picture
        raise InputError("no other real picture can be read")

    def result(self) -> dict[str, Any]:
        """What was answered so far, as JSON.

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
            "interval": list(wilson_interval(right, count)),
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


def wilson_interval(
    successes: int, count: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The Wilson score interval of a share, from ``successes`` of ``count`` >= 1 (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, more = successes / count, z * z / count
    middle = (share + more / 2) / (1 + more)
    half = z * math.sqrt(share * (1 - share) / count + more / (4 * count)) / (1 + more)
    return max(0.0, middle - half), min(1.0, middle + half)
