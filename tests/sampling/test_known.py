"""What is known of pictures is exact in their bytes, alone and together; the chain agrees with it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from tables import each
from torch import Tensor
from toys import category_model, gaussian_model

from nkca.denoisers.conditions.block_means import block_means
from nkca.denoisers.conditions.grey import grey
from nkca.errors import InputError
from nkca.sampling.exact_bytes import luma, with_block_sums, with_grey
from nkca.sampling.known import coarse, grey_values, small_version
from nkca.sampling.tasks import (
    Known,
    Schedule,
    around,
    draw_task,
    from_noise,
    held,
    knowing,
    run_task,
)

RANDOM = torch.Generator().manual_seed(4)
FREE = torch.tensor(True)
FEW = Schedule(num_steps=8)


def images(count: int, channels: int = 3) -> Tensor:
    """8 x 8 noise, with parts that are black and white: there bytes are cut off."""
    made = torch.randint(0, 256, (count, channels, 8, 8), generator=RANDOM)
    made[..., :3], made[..., 6:] = 0, 255
    return made.to(torch.uint8)


def sums(picture: Tensor, side: int) -> Tensor:
    return (block_means(picture.double(), side) * side**2).round().long()


def pillow_grey(picture: Tensor) -> Tensor:
    """The "L" of uint8 (B, 3, H, W), by Pillow."""
    converted = [Image.fromarray(p.movedim(0, -1).numpy()).convert("L") for p in picture]
    return torch.tensor(np.stack([np.array(image) for image in converted])).unsqueeze(1)


def test_luma_is_pillows_bit_for_bit() -> None:
    picture = torch.randint(0, 256, (3, 3, 40, 40), generator=RANDOM).to(torch.uint8)
    assert torch.equal(luma(picture).to(torch.uint8), pillow_grey(picture))
    assert not torch.equal(luma(picture.flip(1)).to(torch.uint8), pillow_grey(picture))


def test_any_picture_gets_any_sums_and_any_grey() -> None:
    picture, wanted = images(5), images(1)
    for side in each((2, 4, 8)):
        made = with_block_sums(picture, sums(wanted, side), side, FREE)
        assert torch.equal(sums(made, side), sums(wanted, side).expand(5, -1, -1, -1))
        assert torch.equal(with_block_sums(made, sums(wanted, side), side, FREE), made)
    for level in each((pillow_grey(wanted), torch.tensor(0), torch.tensor(255))):
        wanted_grey = level.expand(1, 1, 8, 8)
        made = with_grey(picture, wanted_grey, FREE)
        assert torch.equal(luma(made), wanted_grey.long().expand(5, 1, 8, 8))
        assert torch.equal(with_grey(made, wanted_grey, FREE), made)


def test_a_picture_that_is_right_but_for_rounding_moves_by_one() -> None:
    state = 60 + 100 * torch.rand(4, 3, 8, 8, generator=RANDOM)
    exact = state - block_means(state, 4).frac().repeat_interleave(4, 2).repeat_interleave(4, 3)
    rounded = exact.round().to(torch.uint8)
    wanted = (block_means(exact, 4) * 16).round().long()
    assert not torch.equal(sums(rounded, 4), wanted)
    made = with_block_sums(rounded, wanted, 4, FREE)
    assert (made.int() - rounded.int()).abs().max() == 1


def test_what_is_not_free_does_not_move() -> None:
    picture, wanted = images(3), images(1)
    free = torch.zeros(8, 8, dtype=torch.bool)
    free[1:3, :7] = True
    free[5, 5] = True
    for made in each(
        (
            with_block_sums(picture, sums(wanted, 4), 4, free),
            with_grey(picture, pillow_grey(wanted), free),
        )
    ):
        assert torch.equal(made[..., ~free], picture[..., ~free])
        assert not torch.equal(made, picture)


def test_pictures_have_what_is_known_and_without_it_they_do_not() -> None:
    model, reference = gaussian_model(), images(1)
    small = block_means(reference.double(), 4).round().to(torch.uint8)
    task = from_noise(range(6))
    facts: dict[str, tuple[Known, Callable[[Tensor], Tensor], Tensor]] = {
        "coarse": (coarse(reference, 4), lambda p: sums(p, 4), sums(reference, 4)),
        "small": (small_version(small, model), lambda p: sums(p, 4), 16 * small.long()),
        "grey": (grey_values(pillow_grey(reference)), pillow_grey, pillow_grey(reference)),
    }
    unaware = draw_task(model, task, FEW)
    for known, of, wanted in each(facts.values()):
        told = draw_task(model, knowing(task, known), FEW)
        assert (of(told) == wanted).all()
        assert (of(unaware) == wanted).float().mean() < 0.1
        assert (told[0] != told[1]).float().mean() > 0.5  # the rest differs
        *_, last = run_task(model, knowing(task, known), FEW)
        believed = (last.p_z.mean.double() + 1) * 127.5
        agrees = grey(believed) if of is pillow_grey else 16 * block_means(believed, 4)
        assert (agrees - wanted).abs().max() < 1e-2  # before bytes are rounded and cut off


def test_they_compose_with_each_other_and_with_held_pixels() -> None:
    model, photo = gaussian_model(0.1), images(1)
    reference = torch.randint(100, 156, (1, 3, 8, 8), generator=RANDOM).to(torch.uint8)
    repaint = torch.ones(8, 8, dtype=torch.bool)
    repaint[:4, :4] = False
    repaint[6, 6] = False
    photos = photo.expand(4, -1, -1, -1)
    task = around(photos, range(4))
    told = (held(photos, repaint), coarse(reference, 4), grey_values(pillow_grey(reference)))
    made = draw_task(model, knowing(task, *told), FEW)
    assert torch.equal(made[..., ~repaint], photos[..., ~repaint])
    grey_is_right = luma(made) == pillow_grey(reference)
    assert grey_is_right[..., repaint].all()
    assert not grey_is_right[..., ~repaint].all()
    off = (sums(made, 4) - sums(reference, 4)).abs() / 16
    assert off[..., 0, 0].max() > 3  # a block that is held is what it is
    assert off.flatten(2)[..., 1:3].max() < 1  # grey is exact, and moves means by less than a level
    without_grey = draw_task(model, knowing(task, *told[:2]), FEW)
    assert torch.equal(
        sums(without_grey, 4).flatten(2)[..., 1:],
        sums(reference, 4).expand(4, -1, -1, -1).flatten(2)[..., 1:],
    )
    assert torch.equal(without_grey[..., ~repaint], photos[..., ~repaint])


def test_what_makes_no_sense_is_one_line() -> None:
    model, grey_model = gaussian_model(), category_model()
    reference = images(1)
    wrongs: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: coarse(reference, 3), "do not divide 8x8: use one of 2, 4"),
        (
            lambda: small_version(reference[..., :3, :4], model),
            "3x4 is no small version of 8x8",
        ),
        (lambda: small_version(reference, model), "8x8 is no small version of 8x8"),
        (lambda: coarse(reference, 4).condition(grey_model), "has categories"),
        (lambda: grey_values(reference[:, :1]).condition(grey_model), "has categories"),
    )
    for known, said in each(wrongs):
        with pytest.raises(InputError, match=said):
            known()
