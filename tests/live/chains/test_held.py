"""What all tiles have in common with a picture: exact in its bytes, and the law of the chain under it."""

import pytest
import torch
from exact_models import continuous_model, gaussian_model
from live_chains import exact_model, explorer_of, origin_of, steps
from torch import Tensor
from torch.nn.functional import avg_pool2d

from nkca.denoisers.exact import ImageListDenoiser
from nkca.errors import InputError
from nkca.kernels.continuous import ContinuousKernel
from nkca.live.chains.events import Discard, Hold, Level, Lock, MakeSteps, Paint, Undo
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.chains.finish import finish
from nkca.live.chains.held import sides_for
from nkca.live.chains.masks import pace_text
from nkca.live.session.file import parse_session, replay, session_of, to_json
from nkca.pixels import ContinuousPixels
from nkca.sampling.exact_bytes import luma

SHAPE = (3, 4, 6)
TILES = list(range(5))
GREY = 0  # the side that stands for grey values


def explorer(images: Tensor | None = None) -> Explorer:
    """Of a model that is unsure of everything but a mean, so that all tiles differ."""
    return Explorer(gaussian_model(SHAPE), Setup(len(TILES), seed=3, images=images))


def common(pictures: Tensor, side: int) -> Tensor:
    """What is held of uint8 pictures: (B, ...)."""
    return avg_pool2d(pictures.double(), side) if side else luma(pictures)


@pytest.mark.parametrize("side", [2, GREY])
def test_all_that_is_shown_has_exactly_what_is_held(side: int) -> None:
    held, free = explorer(), explorer()
    expected = common(held.state.moment.pictures[2:3], side)
    for each in (held, free):
        each.apply([Level(0.6), *([Hold(2, side)] if each is held else []), MakeSteps(4)])
    pictures = [held.state.moment.pictures, finish(held.model, held.state.moment, TILES)]
    for shown in pictures:
        assert torch.equal(common(shown, side), expected.expand_as(common(shown, side)))
        assert len({tuple(picture.flatten().tolist()) for picture in shown}) == len(TILES)
    assert not torch.equal(common(free.state.moment.pictures, side)[0], expected[0])


def test_the_finished_picture_is_held_if_that_was_seen() -> None:
    subject = explorer()
    subject.apply([Level(0.6), MakeSteps(2)])
    finished = finish(subject.model, subject.state.moment, [1])[0]
    assert not torch.equal(finished, subject.state.moment.pictures[1])
    subject.apply([Hold(1, 2, finished=True), MakeSteps(1)])
    assert torch.equal(common(subject.state.moment.pictures, 2)[4], common(finished[None], 2)[0])


def test_tiles_visit_the_pictures_that_agree_and_no_others_as_often_as_the_data_have_them() -> None:
    one, other = torch.tensor([[40, 200], [200, 40]]), torch.tensor([[200, 40], [40, 200]])
    dark, light = torch.full((2, 2), 60), torch.full((2, 2), 180)
    data = torch.stack([one, other, one, dark, light])[:, None].to(torch.uint8)
    pixels = ContinuousPixels()
    denoiser = ImageListDenoiser(ContinuousKernel(), pixels.to_state(data))
    model = continuous_model(denoiser, (1, 2, 2))
    subject = Explorer(model, Setup(batch_size=64, images=data[:1]))
    subject.apply([Level(0.7), Hold(0, 2), MakeSteps(20)])
    seen = torch.zeros(len(data))
    for _ in range(40):
        steps(subject, 3)
        shown = finish(model, subject.state.moment, list(range(64)))
        seen += (shown[:, None] == data).flatten(2).all(2).sum(0)
    assert seen[3] == seen[4] == 0
    assert seen[[0, 1]].sum() == 64 * 40
    assert abs(seen[0] / seen[[0, 1]].sum() - 2 / 3) < 0.08  # of the data that agree
    subject.apply([Hold(None), MakeSteps(30)])
    assert (finish(model, subject.state.moment, list(range(64))) == data[4]).flatten(1).all(1).any()


def test_locked_tiles_have_no_part_in_it() -> None:
    subject = explorer()
    subject.apply([Level(0.6), MakeSteps(3), Lock(0, True)])
    before = subject.state.moment
    shown = finish(subject.model, before, TILES)
    subject.apply([Hold(1, 2), MakeSteps(3)])
    after = subject.state.moment
    assert torch.equal(after.x[0], before.x[0])
    assert torch.equal(finish(subject.model, after, TILES)[0], shown[0])
    assert not torch.equal(common(after.pictures, 2)[0], common(after.pictures, 2)[1])


def test_pixels_can_be_held_too() -> None:
    subject = explorer()
    subject.apply([Level(0.6), Hold(1, 2)])
    pace = torch.zeros(4, 6, dtype=torch.uint8)
    pace[:, :3] = 255
    picture = subject.state.moment.pictures[1].clone()
    subject.apply([Paint(1, pace_text(pace)), MakeSteps(4)])
    shown = subject.state.moment.pictures[1]
    assert torch.equal(shown[:, :, 3:], picture[:, :, 3:])
    assert not torch.equal(shown, picture)
    assert torch.equal(common(shown[None], 2), common(picture[None], 2))


def test_a_tile_that_starts_again_has_it_at_once() -> None:
    subject = explorer()
    expected = common(subject.state.moment.pictures[2:3], 2)
    subject.apply([Level(0.6), Hold(2, 2), MakeSteps(2), Discard(4)])
    assert subject.state.moment.levels[4] == 1
    assert torch.equal(common(subject.state.moment.pictures[4:5], 2), expected)


def test_it_can_be_undone_and_ended() -> None:
    subject = explorer()
    subject.apply([Hold(0, 2)])
    assert subject.state.moment.held is not None
    subject.apply([Undo()])
    assert subject.state.moment.held is None
    subject.apply([Hold(0, 2), Hold(None)])
    assert subject.state.moment.held is None


@pytest.mark.parametrize(
    ("subject", "side", "message"),
    [
        (explorer(), 3, "blocks of 3 pixels do not divide 4x6"),
        (explorer_of(), GREY, "3 channels"),
        (explorer_of("categorical"), 2, "categories"),
    ],
    ids=["side", "grey", "categories"],
)
def test_what_cannot_be_held_is_refused(subject: Explorer, side: int, message: str) -> None:
    before = subject.state
    with pytest.raises(InputError, match=message):
        subject.apply([Hold(0, side)])
    assert subject.state is before


def test_sides_divide_the_picture() -> None:
    assert sides_for(gaussian_model((1, 12, 8))) == (2, 4)
    assert sides_for(exact_model("categorical")) == ()


def test_a_replay_is_bit_identical() -> None:
    subject = explorer()
    subject.apply([Level(0.6), Hold(2, GREY), MakeSteps(3), Hold(None), MakeSteps(2), Hold(1, 2)])
    steps(subject, 2)
    session = parse_session(to_json(session_of(origin_of(subject.model), subject)))
    again = Explorer(gaussian_model(SHAPE), session.setup)
    assert [*replay(again, session)][-1] == session.steps
    assert torch.equal(again.state.moment.x, subject.state.moment.x)
    assert torch.equal(again.state.moment.pictures, subject.state.moment.pictures)
