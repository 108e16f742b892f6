"""Choices without the page: a source of stimuli for experiments with people.

choices = nkca.Choices(nkca.load_model("demo"), count=8, level=0.5)
choices.offer                       the pictures to choose among, uint8 (8, H, W, C)
choices.take(3, milliseconds=912)   the person takes the fourth; the next offer is made
choices.log                         what was offered and taken; `choices_csv` writes it
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nkca.errors import InputError, require
from nkca.live.chains.choices import Choice, choices_csv
from nkca.live.chains.events import Choose
from nkca.live.chains.explorer import START_LEVEL, Explorer, Setup
from nkca.live.chains.finish import finish
from nkca.models.model import Model
from nkca.pixels import as_pictures, as_tensor, check_image
from nkca.sampling.tasks import Schedule, draw_task, from_noise
from nkca.system.files import atomic_write


class Choices:
    """One walk by choices, see `nkca.live.chains.choices` for its law.

    Args:
        count: how many pictures are offered at once, the current one among them; 2 to 64.
        level: the noise level of the walk, in (0, 1].
        steps: transitions to the common origin of the proposals, and back; 1 to 64.
        seed: the same seed and choices make the same offers.
        image: uint8 (H, W, C) to start from; None: a sample of the model.

    Raises:
        InputError: if a value is out of range or the image does not fit the model.
    """

    def __init__(
        self,
        model: Model,
        count: int = 8,
        level: float = START_LEVEL,
        steps: int = 4,
        seed: int = 0,
        image: npt.ArrayLike | None = None,
    ) -> None:
        require(2 <= count <= 64, "count", "2 to 64", count)
        require(1 <= steps <= 64, "steps", "1 to 64", steps)
        require(model.min_noise <= level <= 1, "level", f"{model.min_noise:g} to 1", level)
        start = draw_task(model, from_noise([seed]), Schedule())
        if image is not None:
            channels, height, width = model.data_shape
            array = check_image(image, "image")
            if array.shape != (height, width, channels):
                wanted = (height, width, channels)
                raise InputError(f"image must be {wanted}, as the model's, got {array.shape}")
            start = as_tensor(array[None])
        self._steps = steps
        self._explorer = Explorer(model, Setup(count, seed, level, start))
        self._explorer.apply([Choose(0, steps)])

    @property
    def offer(self) -> npt.NDArray[np.uint8]:
        """The finished pictures to choose among, uint8 (count, H, W, C), in a random order."""
        moment = self._explorer.state.moment
        return as_pictures(finish(self._explorer.model, moment, list(range(len(moment)))))

    @property
    def log(self) -> tuple[Choice, ...]:
        """All choices so far."""
        return self._explorer.state.choices

    def take(self, number: int, milliseconds: int | None = None) -> None:
        """Take a picture of the offer, counted from 0; the next offer is made from it.

        Raises:
            InputError: if there is no such picture.
        """
        self._explorer.apply([Choose(number, self._steps, milliseconds=milliseconds)])

    def save(self, path: Path) -> None:
        """Write the log as CSV; see `choices_csv`. An existing file is replaced as a whole."""
        with atomic_write(path) as file:
            file.write(choices_csv(self.log))
