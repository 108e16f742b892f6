"""The behaviour of live chains, with exact denoisers: what changes, what stays, what undo restores."""

import base64
import dataclasses
from collections.abc import Callable

import pytest
import torch
from live_chains import (
    SHAPE,
    SPACES,
    calls_of,
    exact_model,
    explorer_of,
    steps,
    ten_pictures,
)
from oracles import z_scores
from tables import each
from torch import Tensor

from nkca.chain import Chain
from nkca.config.sampling import SamplingConfig
from nkca.denoisers.exact import GaussianDenoiser
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.live.chains.events import (
    Anneal,
    Event,
    Jump,
    Keep,
    Level,
    Lock,
    MakeSteps,
    Move,
    Paint,
    Pause,
    Pick,
    RecordAnimation,
    Redo,
    Remove,
    Restart,
    Restore,
    RunChains,
    Select,
    Spread,
    Start,
    Undo,
)
from nkca.live.chains.explorer import NOTED_EVERY, Explorer, Setup
from nkca.live.chains.masks import pace_text
from nkca.live.chains.state import MAX_RECENT, ExpiredError
from nkca.live.chains.tiles import Tiles
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures

BOUND = 4.5  # standard errors


def now(explorer: Explorer) -> Tiles:
    return explorer.state.moment


def bits(mask: Tensor) -> str:
    return pace_text(255 * mask)


def half() -> Tensor:
    """An asymmetric mask, bool (H, W): repaint the right third and one corner."""
    mask = torch.zeros(SHAPE[1:], dtype=torch.bool)
    mask[:, 4:] = True
    mask[0, 0] = True
    return mask


def as_text(picture: Tensor) -> str:
    return base64.b64encode(png_bytes(as_pictures(picture.unsqueeze(0))[0])).decode()


@pytest.mark.parametrize("space", SPACES)
def test_an_anneal_from_noise_is_the_sampler(space: str) -> None:
    explorer = explorer_of(space, batch_size=1000)
    explorer.apply([Anneal(40)])
    for number in range(40):
        assert explorer.state.running, number
        explorer.step()
    assert not explorer.state.running
    assert now(explorer).noise_level == pytest.approx(0.01)
    assert set(now(explorer).levels) == {now(explorer).noise_level}
    same = (now(explorer).pictures[:, None] == ten_pictures()).flatten(2).all(2)
    assert same.sum(1).tolist() == [1] * 1000, "every picture is one of the ten"
    assert z_scores(same.sum(0), torch.full((10,), 0.1)).abs().max() < BOUND


@pytest.mark.parametrize("space", SPACES)
def test_a_step_takes_one_evaluation_and_a_level_none(space: str) -> None:
    explorer = explorer_of(space)
    steps(explorer, 1)
    calls = calls_of(explorer.model)
    calls.clear()
    steps(explorer, 3)
    assert calls == [6] * 3
    explorer.apply([Level(0.3)])
    assert calls == [6] * 3
    explorer.step()
    assert calls == [6] * 4
    assert set(now(explorer).levels) == {0.3}


def point(x: Tensor, noise_level: Tensor) -> Normal:
    """Of normal data the mean of p(z|x), without its deviation."""
    p_z = GaussianDenoiser(torch.tensor(0.0), torch.tensor(1.0))(x, noise_level)
    return Normal(p_z.mean, torch.zeros_like(p_z.std))


def test_tiles_that_average_noise_keep_normal_data() -> None:
    """Steps share their noise: with fresh noise a quarter of the variance would be lost."""
    model = exact_model()
    variance = 0.9**2 + 0.1
    for averages, expected in each([(True, variance), (False, 0.75 * variance)]):
        chain = Chain(model.chain.kernel, point, 0.5, averages)
        explorer = Explorer(dataclasses.replace(model, chain=chain), Setup(400, seed=1))
        explorer.apply([Level(0.1), MakeSteps(90)])
        assert float(now(explorer).x.var()) == pytest.approx(expected, rel=0.07)


def test_a_model_with_a_sampler_shows_samples_at_once_and_after_a_restart() -> None:
    model = dataclasses.replace(exact_model(), sampling=SamplingConfig("dpm2m", "sigma", 20))

    def first(seed: int) -> Explorer:
        return Explorer(model, Setup(6, seed))

    def known(pictures: Tensor) -> list[bool]:
        return (pictures[:, None] == ten_pictures()).flatten(2).all(2).any(1).tolist()

    explorer = first(3)
    begun = now(explorer).pictures
    assert known(begun) == [True] * 6
    assert torch.equal(begun, now(first(3)).pictures)
    assert not torch.equal(begun, now(first(4)).pictures)
    explorer.apply([Level(0.3), MakeSteps(2), Restart("noise", 3)])
    assert torch.equal(now(explorer).pictures, begun)
    explorer.apply([Paint(0, bits(half())), Restart("noise", 5)])
    changed = (now(explorer).pictures[0] != begun[0])[0]
    assert changed.any()
    assert not changed[~half()].any(), "held pixels are kept"
    assert now(explorer).levels == (1.0,) * 6


def test_only_free_tiles_are_evaluated() -> None:
    explorer = explorer_of()
    explorer.apply([Lock(tile, True) for tile in (0, 2, 3)])
    calls_of(explorer.model).clear()
    steps(explorer, 3)
    assert calls_of(explorer.model) == [3] * 4, "one more, because the locks have changed"
    explorer.apply([Lock(tile, True) for tile in (1, 4, 5)])
    calls_of(explorer.model).clear()
    before = now(explorer)
    explorer.step()
    assert calls_of(explorer.model) == []
    assert torch.equal(now(explorer).x, before.x)
    assert now(explorer).change is None


@pytest.mark.parametrize("space", SPACES)
def test_locked_tiles_stay_and_others_move(space: str) -> None:
    explorer = explorer_of(space)
    explorer.apply([Level(0.8)])
    steps(explorer, 5)
    explorer.apply([Lock(2, True)])
    before = now(explorer)
    steps(explorer, 20)
    explorer.apply([Spread(0), Restart("noise", 9)])
    steps(explorer, 5)
    after = now(explorer)
    assert torch.equal(after.x[2], before.x[2])
    assert torch.equal(after.pictures[2], before.pictures[2])
    assert after.levels[2] == before.levels[2]
    for tile in (0, 1, 3, 4, 5):
        assert not torch.equal(after.x[tile], before.x[tile])
    explorer.apply([Lock(2, False)])
    steps(explorer, 20)
    assert not torch.equal(now(explorer).x[2], before.x[2])


@pytest.mark.parametrize("space", SPACES)
def test_spread_makes_equal_tiles_that_diverge(space: str) -> None:
    explorer = explorer_of(space)
    steps(explorer, 3)
    explorer.apply([Lock(5, True), Level(0.6)])
    before = now(explorer)
    explorer.apply([Spread(1)])
    for tile in range(5):
        assert torch.equal(now(explorer).x[tile], before.x[1])
        assert torch.equal(now(explorer).pictures[tile], before.pictures[1])
    assert torch.equal(now(explorer).x[5], before.x[5])
    steps(explorer, 5)
    states = {tuple(x.flatten().tolist()) for x in now(explorer).x}
    assert len(states) == 6, "each tile has its own noise"


def test_spread_at_a_low_level_stays_near() -> None:
    """Local exploration: at a low level all tiles keep the picture, at level 1 most lose it."""
    found = {}
    for level in (0.02, 1.0):
        explorer = explorer_of(batch_size=50)
        explorer.apply([Anneal(30)])
        steps(explorer, 30)
        picture = now(explorer).pictures[7]
        explorer.apply([Spread(7), Level(level)])
        steps(explorer, 5)
        found[level] = (now(explorer).pictures == picture).flatten(1).all(1).float().mean().item()
    assert found[0.02] == 1
    assert found[1.0] < 0.5


@pytest.mark.parametrize("space", SPACES)
def test_events_apply_to_what_was_seen(space: str) -> None:
    explorer = explorer_of(space)
    steps(explorer, 3)
    seen = now(explorer)
    steps(explorer, 4)
    explorer.apply([Keep(4, seen.version), Lock(3, True, seen.version)])
    assert torch.equal(explorer.state.shelf[0].picture, seen.pictures[4])
    assert explorer.state.shelf[0].step == seen.step
    assert torch.equal(now(explorer).x[3], seen.x[3])
    explorer.apply([Spread(1, seen.version)])
    assert torch.equal(now(explorer).x[0], seen.x[1])
    steps(explorer, MAX_RECENT)
    with pytest.raises(ExpiredError, match="no longer stored"):
        explorer.apply([Keep(4, seen.version)])


def test_a_tile_is_copied_with_its_level_and_mask() -> None:
    explorer = explorer_of()
    explorer.apply([Level(0.8), MakeSteps(1)])
    seen = now(explorer)
    explorer.apply([Lock(5, True), Level(0.2), MakeSteps(1)])
    assert now(explorer).levels == (0.2,) * 5 + (0.8,)
    explorer.apply([Spread(1, seen.version)])
    assert now(explorer).levels == (0.8,) * 6
    explorer.apply([MakeSteps(1), Paint(0, bits(half())), Start(0, as_text(ten_pictures()[1]))])
    assert now(explorer).masked == [], "a new picture has no mask"
    assert now(explorer).levels == (0.01, 0.2, 0.2, 0.2, 0.2, 0.8)


def test_paint_applies_to_what_was_seen() -> None:
    explorer = explorer_of()
    explorer.apply([Level(1.0), MakeSteps(3)])
    seen = now(explorer)
    explorer.apply([MakeSteps(5), Paint(1, bits(half()), seen.version)])
    assert torch.equal(now(explorer).pictures[1], seen.pictures[1])
    painted = half()
    assert torch.equal(now(explorer).x[1][:, painted], seen.x[1][:, painted])
    assert (now(explorer).x[1] != seen.x[1])[:, ~painted].all(), "held pixels are noised afresh"
    assert now(explorer).levels == (1.0,) * 6


@pytest.mark.parametrize("space", SPACES)
def test_steps_of_one_tile_move_no_other(space: str) -> None:
    explorer = explorer_of(space)
    explorer.apply([Level(0.8), MakeSteps(2)])
    before = now(explorer)
    calls_of(explorer.model).clear()
    explorer.apply([Level(0.6), MakeSteps(3, only=4)])
    assert calls_of(explorer.model) == [1] * 4
    assert [torch.equal(*rows) for rows in zip(now(explorer).x, before.x, strict=True)] == [
        tile != 4 for tile in range(6)
    ]
    assert now(explorer).levels == (0.8,) * 4 + (0.6, 0.8)
    explorer.apply([MakeSteps(1), MakeSteps(2), MakeSteps(1, only=4)])
    assert list(explorer.state.record)[-3:] == [
        MakeSteps(3, only=4),
        MakeSteps(3),
        MakeSteps(1, only=4),
    ]
    assert now(explorer).levels == (0.6,) * 6
    explorer.apply([Lock(4, True)])
    locked = now(explorer).x
    explorer.apply([MakeSteps(2, only=4)])
    assert torch.equal(now(explorer).x, locked), "a locked tile stays"
    explorer.apply([Restart("noise", 1)])
    assert (now(explorer).x[:4] != locked[:4]).flatten(1).any(1).all()


def test_noise_is_shared_only_with_a_step_of_the_same_tiles() -> None:
    model = exact_model()
    chain = dataclasses.replace(model.chain, averages_noise=True, denoiser=point)

    def after(between: Event) -> Tensor:
        explorer = Explorer(dataclasses.replace(model, chain=chain), Setup(6, seed=1))
        explorer.apply([Level(0.1), MakeSteps(3), between, MakeSteps(1)])
        return now(explorer).x

    begun_anew = after(Level(0.1))
    assert torch.equal(after(MakeSteps(1, only=0))[1:], begun_anew[1:])
    assert not torch.equal(after(MakeSteps(1)), begun_anew)


def test_a_level_ends_an_anneal() -> None:
    explorer = explorer_of()
    explorer.apply([Anneal(10)])
    steps(explorer, 3)
    assert len(now(explorer).ahead) == 7
    explorer.apply([Level(0.6)])
    steps(explorer, 2)
    assert now(explorer).noise_level == 0.6
    assert explorer.state.running


@pytest.mark.parametrize("space", SPACES)
def test_painted_pixels_change_and_the_rest_is_held(space: str) -> None:
    explorer = explorer_of(space, batch_size=40)
    steps(explorer, 3)
    before = now(explorer).pictures
    explorer.apply([Paint(1, bits(half()))])
    assert now(explorer).masked == [1]
    assert torch.equal(now(explorer).pictures, before), "painting alone changes nothing"
    explorer.apply([Level(1.0)])
    changed = torch.zeros(SHAPE[1:], dtype=torch.bool)
    for _ in range(30):
        explorer.step()
        picture = now(explorer).pictures[1]
        assert torch.equal(picture[:, ~half()], before[1][:, ~half()])
        changed |= (picture != before[1])[0]
    assert changed.any()
    explorer.apply([Level(0.3)])
    explorer.apply([Spread(1)])
    assert now(explorer).masked == list(range(40)), "spread copies the mask too"
    explorer.apply([Paint(1, bits(torch.zeros(SHAPE[1:], dtype=torch.bool)))])
    assert 1 not in now(explorer).masked


@pytest.mark.parametrize("space", SPACES)
def test_held_pixels_are_exactly_those_of_the_picture(space: str) -> None:
    explorer = explorer_of(space)
    image = (
        torch.arange(24, dtype=torch.uint8).reshape(SHAPE) * 10 + 7
    )  # grey values between those of the model
    explorer.apply([Start(2, as_text(image)), Paint(2, bits(half()))])
    steps(explorer, 4)
    assert torch.equal(now(explorer).pictures[2][:, ~half()], image[:, ~half()])


def test_repainted_pixels_agree_with_held_ones() -> None:
    """Inpainting is exact: the result is the only image of the list that fits the held pixels."""
    explorer = explorer_of(batch_size=200)
    image = ten_pictures()[3]
    explorer.apply([Start(None, as_text(image)), *[Paint(t, bits(half())) for t in range(200)]])
    explorer.apply([Restart("noise", 1), Anneal(40)])
    steps(explorer, 40)
    assert torch.equal(now(explorer).pictures, image.expand(200, *SHAPE))


def test_a_new_mask_holds_what_is_seen() -> None:
    explorer = explorer_of(batch_size=40)
    explorer.apply([Level(1.0), Paint(0, bits(half()))])
    steps(explorer, 5)
    seen = now(explorer).pictures[0]
    other = ~half()
    explorer.apply([Paint(0, bits(other))])
    steps(explorer, 5)
    assert torch.equal(now(explorer).pictures[0][:, ~other], seen[:, ~other])


@pytest.mark.parametrize("space", SPACES)
def test_a_picture_is_shown_unchanged_and_noised_by_the_next_step(space: str) -> None:
    explorer = explorer_of(space)
    image = ten_pictures()[6]
    explorer.apply([RunChains(), Level(0.1), Start(2, as_text(image))])
    assert not explorer.state.running, "so that the user can see it and paint on it"
    assert torch.equal(now(explorer).pictures[2], image)
    steps(explorer, 3)
    assert torch.equal(now(explorer).pictures[2], image), "a low level does not change it"
    explorer.apply([Start(None, as_text(image))])
    assert torch.equal(now(explorer).pictures, image.expand(6, *SHAPE))


@pytest.mark.parametrize("space", SPACES)
def test_given_images_start_the_tiles_in_turn(space: str) -> None:
    images = ten_pictures()[:4]
    explorer = Explorer(exact_model(space), Setup(6, images=images))
    assert torch.equal(now(explorer).pictures, images[[0, 1, 2, 3, 0, 1]])
    explorer.apply([Level(1.0)])
    steps(explorer, 10)
    assert not torch.equal(now(explorer).pictures, images[[0, 1, 2, 3, 0, 1]])
    explorer.apply([Restart("images", 0)])
    assert torch.equal(now(explorer).pictures, images[[0, 1, 2, 3, 0, 1]])
    explorer.apply([Level(1.0), MakeSteps(5), Lock(1, True)])
    locked = now(explorer).pictures[1]
    explorer.apply([Restart("images", 0)])
    assert torch.equal(now(explorer).pictures[2:], images[[2, 3, 0, 1]])
    assert torch.equal(now(explorer).pictures[1], locked)
    with pytest.raises(InputError, match="no images were given"):
        explorer_of(space).apply([Restart("images", 0)])


@pytest.mark.parametrize("space", SPACES)
def test_the_seed_determines_the_noise(space: str) -> None:
    def run(seed: int, again: bool = False) -> Tensor:
        explorer = explorer_of(space, seed=5)
        steps(explorer, 3)
        if again:
            explorer.apply([Restart("noise", 8)])
            steps(explorer, 2)
        explorer.apply([Restart("noise", seed)])
        steps(explorer, 4)
        return now(explorer).x

    first = explorer_of(space, seed=5)
    steps(first, 4)
    assert torch.equal(run(5), first.state.moment.x), (
        "a restart with the first seed equals the start"
    )
    assert torch.equal(run(6), run(6, again=True)), "independent of what was before"
    assert not torch.equal(run(6), run(5))


def test_undo_and_redo_restore_moments() -> None:
    explorer = explorer_of()
    steps(explorer, 2)
    a = now(explorer)
    explorer.apply([Level(0.3), Spread(3), RunChains()])
    b = now(explorer)
    steps(explorer, 2)
    c = now(explorer)
    explorer.apply([Undo()])
    assert not explorer.state.running
    assert torch.equal(now(explorer).x, a.x)
    assert now(explorer).noise_level == 0.3
    explorer.apply([Undo()])
    assert now(explorer).noise_level == 0.5
    with pytest.raises(InputError, match="nothing to undo"):
        explorer.apply([Undo()])
    explorer.apply([Redo(), Redo()])
    assert torch.equal(now(explorer).x, c.x)
    assert not torch.equal(b.x, c.x)
    with pytest.raises(InputError, match="nothing to redo"):
        explorer.apply([Redo()])


def test_a_selection_is_no_action_and_keeps_the_future() -> None:
    explorer, other = explorer_of(), explorer_of()
    for each_of in (explorer, other):
        each_of.apply([MakeSteps(2), Spread(1), MakeSteps(1), Level(0.3), Undo(), Undo()])
    before = explorer.state
    explorer.apply([Select(tile % 6) for tile in range(20)])
    assert explorer.state.history is before.history
    assert (now(explorer).picked, now(explorer).version) == (1, before.moment.version)
    explorer.apply([Redo(), MakeSteps(1), Redo()])
    assert now(explorer).picked == 1, "it belongs to the user, not to the moment"
    other.apply([Redo(), MakeSteps(1), Redo()])
    assert torch.equal(now(explorer).x, now(other).x), "no noise depends on it"
    assert len([event for event in explorer.state.record if isinstance(event, Select)]) == 20


def test_a_pick_of_an_old_session_is_an_action() -> None:
    explorer = explorer_of()
    explorer.apply([Pick(None), Pick(2), Pick(2)])
    assert len(explorer.state.history.past) == 1


def test_an_action_repeated_after_an_undo_draws_new_noise() -> None:
    explorer = explorer_of()
    steps(explorer, 2)
    explorer.apply([Spread(1)])
    steps(explorer, 3)
    first = now(explorer)
    explorer.apply([Undo(), Spread(1)])
    steps(explorer, 3)
    assert now(explorer).step == first.step
    assert not torch.equal(now(explorer).x, first.x)


UNDOABLE: dict[str, Callable[[], Event]] = {
    "spread": lambda: Spread(2),
    "level": lambda: Level(0.7),
    "mask": lambda: Paint(2, bits(half())),
    "lock": lambda: Lock(2, True),
    "start": lambda: Start(2, as_text(ten_pictures()[0])),
    "restart": lambda: Restart("noise", 3),
    "anneal": lambda: Anneal(5),
}


@pytest.mark.parametrize("name", UNDOABLE)
def test_every_action_can_be_undone(name: str) -> None:
    explorer = explorer_of()
    steps(explorer, 2)
    before = now(explorer)
    explorer.apply([UNDOABLE[name]()])
    steps(explorer, 2)
    explorer.apply([Undo()])
    after = now(explorer)
    assert after.version > before.version
    for field in ("x", "pictures", "repaint"):
        assert torch.equal(getattr(after, field), getattr(before, field)), field
    for field in ("levels", "locked", "noise_level", "ahead", "seed", "step"):
        assert getattr(after, field) == getattr(before, field), field


def test_a_drag_of_the_level_is_one_action() -> None:
    explorer = explorer_of()
    for number in range(30):
        explorer.apply([Level(0.5 - number / 100)])
        if number % 3 == 0:
            explorer.step()
    assert len(explorer.state.history.past) == 1
    steps(explorer, 20)
    explorer.apply([Level(0.6)])
    assert len(explorer.state.history.past) == 2
    explorer.apply([Undo(), Undo()])
    assert now(explorer).noise_level == 0.5


def test_jumps_lose_nothing() -> None:
    explorer = explorer_of()
    seen = {}
    for tile in range(5):
        steps(explorer, 2)
        seen[now(explorer).version] = now(explorer)
        explorer.apply([Spread(tile)])
    steps(explorer, 1)
    last = now(explorer)
    second = list(seen)[1]
    explorer.apply([Jump(second)])
    assert torch.equal(now(explorer).x, seen[second].x)
    explorer.apply([Jump(last.version)])
    assert torch.equal(now(explorer).x, last.x)
    history = explorer.state.history
    assert len(history.entries) == 5
    with pytest.raises(InputError, match="no longer in the history"):
        explorer.apply([Jump(9999)])


def test_long_runs_store_moments_automatically() -> None:
    explorer = explorer_of()
    steps(explorer, 3 * NOTED_EVERY + 1)
    entries = explorer.state.history.entries
    assert [e.moment.step for e in entries] == [NOTED_EVERY, 2 * NOTED_EVERY, 3 * NOTED_EVERY]
    assert not explorer.state.history.can_undo
    explorer.apply([Jump(entries[0].moment.version)])
    assert now(explorer).step == NOTED_EVERY


def test_the_shelf() -> None:
    explorer = explorer_of()
    for tile in range(4):
        explorer.step()
        explorer.apply([Keep(tile)])

    def items() -> list[int]:
        return [kept.item for kept in explorer.state.shelf]

    explorer.apply([Move(1, 2)])
    assert items() == [2, 3, 1, 4]
    explorer.apply([Remove(3)])
    assert items() == [2, 1, 4]
    explorer.apply([Keep(0), Restore(3)])
    assert items() == [2, 1, 4, 5, 3], "numbers are not reused"
    explorer.apply([Remove(5), Keep(1)])
    assert items() == [2, 1, 4, 3, 6]
    with pytest.raises(InputError, match="no picture 9"):
        explorer.apply([Remove(9)])


def test_events_are_applied_all_or_none() -> None:
    explorer = explorer_of()
    steps(explorer, 2)
    before = explorer.state
    with pytest.raises(InputError, match="6 tiles"):
        explorer.apply([Spread(1), MakeSteps(3), Keep(0), Level(0.2), Keep(6)])
    assert explorer.state is before


def test_a_level_below_the_trained_ones_is_refused() -> None:
    with pytest.raises(InputError, match=r"0\.01 to 1"):
        explorer_of().apply([Level(0.005)])


def test_recordings_are_bounded() -> None:
    explorer = explorer_of(batch_size=2)
    explorer.apply([RecordAnimation(True)])
    steps(explorer, 1000)
    recording = explorer.state.recording
    assert recording is not None
    assert len(recording.frames) <= 400
    assert recording.steps == 1000
    assert len(recording.frames) == -(-1000 // recording.stride)
    explorer.apply([RecordAnimation(False)])
    steps(explorer, 10)
    assert explorer.state.recording is not None
    assert explorer.state.recording.frames == recording.frames


def test_running_is_not_recorded() -> None:
    explorer = explorer_of()
    explorer.apply([RunChains(), Level(0.3), Pause(), RecordAnimation(True)])
    steps(explorer, 70)
    assert list(explorer.state.record) == [Level(0.3), MakeSteps(64), MakeSteps(6)]
