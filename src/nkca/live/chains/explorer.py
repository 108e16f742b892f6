"""The behaviour of the live chains, without any web: events and steps in, a new state out.

explorer = Explorer(model, Setup(batch_size=16, seed=0))
explorer.apply([Level(0.3), Run()])
explorer.step()                         one Markov step, one denoiser evaluation
explorer.story.moment.pictures          uint8 (B, C, H, W)
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.live.chains import tiles as of
from nkca.live.chains.actions import act, dealt
from nkca.live.chains.events import Event, Step
from nkca.live.chains.history import empty_history
from nkca.live.chains.story import Story
from nkca.live.chains.tiles import Belief
from nkca.models.model import Model

NOTED_EVERY = 64  # steps between moments that are remembered unasked
START_LEVEL = 0.5


@dataclass(frozen=True)
class Setup:
    """What a session begins with.

    Args:
        noise_level: where the first step goes.
        images: uint8 (N, C, H, W) to start from, dealt out to the tiles in turn; None: from noise.
    """

    batch_size: int = 16
    seed: int = 0
    noise_level: float = START_LEVEL
    images: Tensor | None = None


class Explorer:
    """A model, and the story of a person exploring it; not for two threads at once.

    What has happened is the value `story`. Events are applied to it all or nothing: where a method
    raises, `InputError` or whatever else, nothing has changed.
    """

    def __init__(self, model: Model, setup: Setup) -> None:
        self.model, self.setup = model, setup
        self._belief: Belief | None = None
        self.story = self._first()

    @torch.inference_mode()
    def apply(self, events: Sequence[Event]) -> None:
        """Do what the events say, in order."""
        before = self.story
        try:
            for event in events:
                self._apply(event)
        except BaseException:
            self.story = before
            raise

    @torch.inference_mode()
    def step(self) -> None:
        """Make one Markov step, running or not: one denoiser evaluation, two after an action."""
        story, present = self.story, self.story.moment
        moved, belief = of.step(self.model, present, self._belief)
        history = story.history
        if present.step > 0 and present.step % NOTED_EVERY == 0:
            history = history.note(present)
        arrived = bool(present.ahead) and not moved.ahead
        story = dataclasses.replace(
            story.moved(moved).recorded(Step(1)),
            history=history,
            running=story.running and not arrived,
            recording=story.recording and story.recording.add(moved.pictures),
        )
        self.story, self._belief = story, belief

    def _apply(self, event: Event) -> None:
        if isinstance(event, Step):
            for _ in range(event.times):
                self.step()
            return
        story = act(self.model, self.setup.images, self.story, event)
        self.story = story.recorded(event) if event.recorded else story

    @torch.inference_mode()
    def _first(self) -> Story:
        setup = self.setup
        images = setup.images
        if images is not None:
            images = dealt(images, list(range(setup.batch_size)))
        moment = of.begin(self.model, setup.batch_size, setup.seed, setup.noise_level, images)
        return Story((moment,), empty_history(moment))
