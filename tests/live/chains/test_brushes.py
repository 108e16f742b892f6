"""Masks of paces, whose chain keeps its law, and colours that are painted on pictures."""

import base64
import dataclasses
import io
import itertools

import numpy as np
import pytest
import torch
from live_chains import (
    CLASSES,
    SHAPE,
    SPACES,
    exact_model,
    explorer_of,
    origin_of,
    steps,
    ten_pictures,
)
from msgspec import structs
from oracles import default_dtype
from PIL import Image
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.exact import ImageListDenoiser
from nkca.errors import InputError
from nkca.kernels.averaged_noise import averaged_step
from nkca.kernels.categorical import CategoricalKernel
from nkca.live.chains.events import Colour, Level, Lock, MakeSteps, Paint, Undo
from nkca.live.chains.explorer import Explorer
from nkca.live.chains.masks import pace_text, parse_pace
from nkca.live.session.file import parse_session, replay, session_of, to_json

# --------------------------------------------------------------------------------------------
# The law of a chain whose pixels have paces

PIXELS, COLOURS = 3, 2


def list_chain(pace: Tensor | None) -> Chain:
    """The exact chain over four pictures of three pixels of two levels: 27 states."""
    kernel = CategoricalKernel(COLOURS)
    z = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]).view(4, 1, 1, PIXELS)
    return Chain(kernel, ImageListDenoiser(kernel, z), 0.6, pace=pace)


def states() -> Tensor:
    every = list(itertools.product(range(COLOURS + 1), repeat=PIXELS))
    return torch.tensor(every).view(-1, 1, 1, PIXELS)


def law(chain: Chain, level: float) -> Tensor:
    """The noised data at a level: (27,)."""
    assert isinstance(chain.denoiser, ImageListDenoiser)
    z, x = chain.denoiser.images, states()
    b = torch.full((len(z),), level)
    noised = chain.kernel.add_noise(z, b)
    return torch.stack([noised.log_prob(one.expand_as(z)).exp().mean() for one in x])


def moves(chain: Chain, level_x: float, level_y: float) -> Tensor:
    """The probability of every move: (27, 27), from row to column."""
    x = states()
    b_x, b_y = (torch.full((len(x),), level) for level in (level_x, level_y))
    p_y = chain.move(x, b_x, b_y, chain.believe(x, b_x))
    return torch.stack([p_y.log_prob(y.expand_as(x)).exp() for y in x], 1)


PACES = ([0.1, 0.5, 1.0], [1 / 255, 1 / 255, 1.0], [0.3, 0.3, 0.3])


@pytest.mark.parametrize("paces", PACES, ids=str)
def test_a_chain_with_paces_keeps_its_law_and_is_reversible(paces: list[float]) -> None:
    with default_dtype(torch.float64):
        chain = list_chain(torch.tensor(paces).view(1, 1, 1, PIXELS))
        for level_x, level_y in ((0.5, 0.5), (0.5, 0.2), (0.2, 0.5), (0.9, 0.05)):
            found = law(chain, level_x) @ moves(chain, level_x, level_y)
            assert (found - law(chain, level_y)).abs().max() < 1e-12
        flow = law(chain, 0.5)[:, None] * moves(chain, 0.5, 0.5)
        assert (flow - flow.T).abs().max() < 1e-12


def test_a_pace_that_depends_on_the_state_changes_the_law() -> None:
    """The control: pixels that are white move less, so there are too many of them."""
    with default_dtype(torch.float64):
        pace = torch.where(states() == 1, 0.1, 1.0)
        chain = list_chain(pace)
        assert (law(chain, 0.5) @ moves(chain, 0.5, 0.5) - law(chain, 0.5)).abs().max() > 1e-3


def test_the_chain_of_averaged_noise_keeps_normal_data_whatever_the_paces() -> None:
    """The step is linear in x and in the draws r, r': its matrices show the covariance of y."""
    data = torch.tensor([[2.0, 0.7], [0.7, 0.5]], dtype=torch.float64)
    b, lag, a = 0.4, 0.2, 0.6
    one = torch.eye(2, dtype=torch.float64)
    law_x = a * a * data + b * one
    gain = a * data @ torch.linalg.inv(law_x)  # of the mean of p(z|x)

    def covariance(w: Tensor) -> Tensor:
        level = torch.full((2,), b, dtype=torch.float64)
        zero = torch.zeros(2, 1, 1, 2, dtype=torch.float64)

        def column(x: Tensor, r: Tensor, fresh: Tensor) -> Tensor:
            z = (x.flatten(1) @ gain.T).view_as(x)
            return averaged_step(x, (level, level), z, w, (r, fresh)).flatten(1).T

        unit = one.view(2, 1, 1, 2)
        of_x, of_r = column(unit, zero, zero), column(zero, unit, zero)
        of_fresh = column(zero, zero, unit)
        cross = of_x @ of_fresh @ of_r.T  # x has taken up of_fresh r in the step before
        return of_x @ law_x @ of_x.T + cross + cross.T + of_r @ of_r.T + of_fresh @ of_fresh.T

    paces = torch.tensor([0.1, 0.8], dtype=torch.float64)
    w = 1 - paces * (1 - lag)
    assert (covariance(w.view(1, 1, 1, 2)) - law_x).abs().max() < 1e-12
    shown = covariance(w.view(1, 1, 1, 2)) - (law_x + 0.1 * one)
    assert shown.abs().max() > 0.05, "the comparison can fail"


# --------------------------------------------------------------------------------------------
# The level brush


def graded(*columns: int) -> Tensor:
    """A pace for each column of the picture, uint8 (H, W)."""
    return torch.tensor(columns, dtype=torch.uint8).expand(SHAPE[1:]).contiguous()


def test_masks_survive_text_in_bits_and_in_bytes() -> None:
    for pace, size in ((graded(0, 255, 0, 0, 255, 0), 3), (graded(0, 255, 7, 0, 255, 128), 24)):
        text = pace_text(pace)
        assert len(base64.b64decode(text)) == size
        assert torch.equal(parse_pace(text, *SHAPE[1:]), pace)
    with pytest.raises(InputError, match="24 bits, or as many bytes, got 5 bytes"):
        parse_pace(base64.b64encode(bytes(5)).decode(), *SHAPE[1:])


@pytest.mark.parametrize("space", SPACES)
def test_pixels_of_a_higher_pace_move_more(space: str) -> None:
    explorer = explorer_of(space, 300)
    mask = pace_text(graded(0, 26, 77, 153, 230, 255))
    explorer.apply([Level(0.5), MakeSteps(8), *[Paint(tile, mask) for tile in range(300)]])
    before = explorer.state.moment
    steps(explorer, 1)
    after = explorer.state.moment
    assert torch.equal(after.pictures[..., 0], before.pictures[..., 0]), "0 is held"
    moved = (after.x - before.x).abs().float() if space == "continuous" else (after.x != before.x)
    by_column = moved.float().mean((0, 1, 2))[1:]
    assert (by_column.diff() > 0).all(), by_column
    assert by_column[0] < 0.6 * by_column[-1]


# --------------------------------------------------------------------------------------------
# The colour brush


def strokes(columns: slice, colour: int, level: float = 0.3, **more: bool) -> Colour:
    """Some columns of tile 2 are painted."""
    mask = torch.zeros(SHAPE[1:], dtype=torch.bool)
    mask[:, columns] = True
    return Colour(1, pace_text(255 * mask), png(np.full(SHAPE[1:], colour)), level, **more)


def png(pixels: object) -> str:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("space", SPACES)
def test_painted_colours_are_noised_to_the_level(space: str) -> None:
    """At the lowest level, where an exact model still knows nothing else than its list of pictures."""
    explorer = explorer_of(space, 4)
    explorer.apply([Level(0.3), MakeSteps(3), Lock(3, True)])
    before = explorer.state.moment
    mask = pace_text(graded(0, 0, 0, 0, 0, 255))
    explorer.apply([Paint(1, mask), strokes(slice(2), 85, 0.2)])
    after = explorer.state.moment
    assert after.levels == (0.3, 0.2, 0.3, 0.3)
    assert after.noise_level == 0.2
    held = torch.full((4, 5), 85, dtype=torch.uint8)
    held[:, 2:] = before.pictures[1, 0, :, 2:5]
    assert torch.equal(after.pictures[1, 0, :, :5], held), "strokes over the picture, and held"
    z = explorer.model.pixels.to_state(held)
    noised = after.x[1, 0, :, :5]
    if space == "continuous":
        assert (noised - 0.8 * z).square().mean() < 4 * 0.2
    else:
        assert ((noised == z) | (noised == CLASSES)).all()
    assert torch.equal(after.x[[0, 2, 3]], before.x[[0, 2, 3]])

    explorer.apply([strokes(slice(1), 170, 0.4, everywhere=True)])
    everywhere = explorer.state.moment
    assert everywhere.levels == (0.4, 0.4, 0.4, 0.3)
    assert not torch.equal(everywhere.x[0], everywhere.x[2]), "each has noise of its own"
    assert torch.equal(everywhere.x[3], before.x[3]), "tile 4 is locked"
    explorer.apply([Undo(), Undo(), Undo()])
    assert torch.equal(explorer.state.moment.x, before.x)


def test_a_chain_makes_painted_colours_real() -> None:
    """Strokes in the colours of a picture of the list, over most of another one: it becomes that one."""
    explorer = explorer_of(batch_size=40)
    one = ten_pictures()[4]
    most = torch.ones(SHAPE[1:], dtype=torch.bool)
    most[:, 5] = False
    for mask, expected in ((most, True), (~most, False)):
        drawn = Colour(0, pace_text(255 * mask), png(one[0]), 0.15, everywhere=True)
        explorer.apply([drawn, MakeSteps(1)])
        same = (explorer.state.moment.pictures == one).flatten(1).all(1).float().mean()
        assert (same > 0.9) == expected
        explorer.apply([Undo()])


def test_strokes_that_cannot_be_used_are_refused() -> None:
    explorer = explorer_of()
    before = explorer.state
    good = strokes(slice(1), 0)
    cases = (
        ({"image": "%"}, "the image is not base64"),
        ({"image": base64.b64encode(b"no picture").decode()}, "cannot use the image"),
        ({"image": png(np.zeros((2, 2)))}, r"expected 4x6 \(height x width\), got 2x2"),
        ({"mask": "AAAA" * 3}, "24 bits, or as many bytes, got 9"),
        ({"level": 0.001}, "level must be 0.01 to 1"),
    )
    for change, message in cases:
        with pytest.raises(InputError, match=message):
            explorer.apply([structs.replace(good, **change)])
    assert explorer.state is before
    explorer.apply([Lock(tile, True) for tile in range(6)])
    with pytest.raises(InputError, match="all tiles are locked"):
        explorer.apply([structs.replace(good, everywhere=True)])


@pytest.mark.parametrize("space", SPACES)
def test_brushes_replay_to_the_bit(space: str) -> None:
    explorer = explorer_of(space, 3)
    painted = [
        Paint(1, pace_text(graded(0, 26, 77, 153, 230, 255))),
        MakeSteps(3),
        strokes(slice(2, 4), 170, finished=True),
        MakeSteps(3),
        strokes(slice(2), 85, 0.25, everywhere=True),
        MakeSteps(2),
    ]
    explorer.apply([Level(0.4), MakeSteps(2), *painted])
    session = parse_session(to_json(session_of(origin_of(explorer.model), explorer)))
    again = Explorer(exact_model(space), session.setup)
    list(replay(again, session))
    for name in ("x", "pictures", "pace"):
        a, b = (getattr(one.state.moment, name) for one in (explorer, again))
        assert torch.equal(a, b), name
    other = dataclasses.replace(session.setup, seed=1)
    different = Explorer(exact_model(space), other)
    list(replay(different, session))
    assert not torch.equal(different.state.moment.x, explorer.state.moment.x)
