"""The live chains without any web: events and steps in, a new state out.

explorer = Explorer(model, Setup(batch_size=16, seed=0))
explorer.apply([Level(0.3), RunChains()])
explorer.step()                         one Markov step
explorer.state.moment.pictures          uint8 (B, C, H, W)
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.live.chains import starting, walking
from nkca.live.chains.actions import act, image_per_tile
from nkca.live.chains.events import Event, MakeSteps
from nkca.live.chains.history import empty_history
from nkca.live.chains.state import ExplorerState
from nkca.live.chains.walking import Prediction
from nkca.models.model import Model

NOTED_EVERY = 64  # steps between moments that the history stores automatically
START_LEVEL = 0.5


@dataclass(frozen=True)
class Setup:
    """What a session begins with.

    Args:
        noise_level: the level of the first step.
        images: uint8 (N, C, H, W) to start from, one for each tile in turn; None: start from samples.
        from_prior: see `nkca.live.chains.tiles.Tiles`.
    """

    batch_size: int = 16
    seed: int = 0
    noise_level: float = START_LEVEL
    images: Tensor | None = None
    from_prior: bool = False


class Explorer:
    """A model and the state of its chains, which events and steps change; not thread-safe.

    `state` is immutable and replaced as a whole. A method that raises, `InputError` or anything else,
    leaves it unchanged.
    """

    def __init__(self, model: Model, setup: Setup, state: ExplorerState | None = None) -> None:
        """Begin with a state of another explorer of this model and setup, or with new chains."""
        self.model, self.setup = model, setup
        self._prediction: Prediction | None = None
        self.state = self._initial_state() if state is None else state

    @torch.inference_mode()
    def apply(self, events: Sequence[Event]) -> None:
        """Apply events in order: all of them or, after an error, none."""
        before = self.state
        try:
            for event in events:
                self._apply(event)
        except BaseException:
            self.state = before
            raise

    @torch.inference_mode()
    def step(self, only: int | None = None) -> None:
        """Make one Markov step, running or not, of all tiles or of ``only`` one.

        Costs one denoiser evaluation, two after some actions.
        """
        state, present = self.state, self.state.moment
        moved, prediction = walking.step(self.model, present, self._prediction, only)
        history = state.history
        if present.step > 0 and present.step % NOTED_EVERY == 0:
            history = history.note(present)
        arrived = bool(present.ahead) and not moved.ahead
        state = dataclasses.replace(
            state.moved(moved).recorded(MakeSteps(1, only)),
            history=history,
            running=state.running and not arrived,
            recording=state.recording and state.recording.add(moved.pictures),
        )
        self.state, self._prediction = state, prediction

    def _apply(self, event: Event) -> None:
        if isinstance(event, MakeSteps):
            for _ in range(event.times):
                self.step(event.only)
            return
        state = act(self.model, self.setup.images, self.state, event)
        self.state = state.recorded(event) if event.recorded else state

    @torch.inference_mode()
    def _initial_state(self) -> ExplorerState:
        setup = self.setup
        images = setup.images
        if images is not None:
            images = image_per_tile(images, list(range(setup.batch_size)))
        moment = starting.first_tiles(
            self.model,
            setup.batch_size,
            setup.seed,
            setup.noise_level,
            images,
            setup.from_prior,
        )
        return ExplorerState((moment,), empty_history(moment))
