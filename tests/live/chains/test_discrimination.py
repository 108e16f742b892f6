"""Real or made: pairs whose order is drawn by lot, answers in their order, a share with its interval."""

import random
from pathlib import Path

import pytest
import torch
from live_chains import SHAPE, SPACES, exact_model, ten_pictures
from PIL import Image
from scipy.stats import binomtest  # type: ignore[import-untyped]

from nkca.data.listing import Listing, list_images
from nkca.errors import InputError
from nkca.live.chains import discrimination
from nkca.live.chains.discrimination import Answer, new_test, wilson_interval

REAL = 8


@pytest.fixture
def real(tmp_path: Path) -> Listing:
    """Pictures of one grey value each, which are none of the model's."""
    for number in range(REAL):
        Image.new("L", (SHAPE[2], SHAPE[1]), 10 * number).save(tmp_path / f"{number:02d}.png")
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    return list_images(tmp_path)


@pytest.mark.parametrize("space", SPACES)
def test_pairs_of_a_real_and_a_made_picture(
    space: str, real: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discrimination, "_LOT", random.Random(3))
    model, files, sides = exact_model(space), set(), []
    test = new_test(real, 200)
    assert test.count == REAL + 1, "the damaged one is found later"
    for number in range(REAL):
        left, right = test.pair(number, model, real)
        trial = test.trials[number]
        one, other = (left, right) if trial.real == "left" else (right, left)
        grey = torch.full((1, *SHAPE), 10 * int(trial.file[:2]), dtype=torch.uint8)
        levels = model.pixels.to_uint8(model.pixels.to_state(grey))[0]
        assert torch.equal(one, levels), "with the model's levels"
        assert any(torch.equal(other, picture) for picture in ten_pictures())
        files.add(trial.file)
        sides.append(trial.real)
        test.answer(number, Answer("left" if number else "right", 7))
    assert len(files) == REAL
    assert 1 < sides.count("left") < REAL - 1
    with pytest.raises(InputError, match="no other real picture"):
        test.pair(REAL, model, real)
    result = test.result()
    right = sum(side == ("left" if number else "right") for number, side in enumerate(sides))
    assert (result["trials"], result["told_apart"]) == (REAL, right)
    assert [one["real"] for one in result["answers"]] == sides


def test_trials_are_answered_once_and_in_order(real: Listing) -> None:
    model, test = exact_model(), new_test(real, 5)
    with pytest.raises(InputError, match="nothing has been answered"):
        test.result()
    test.pair(1, model, real)
    for number in (2, -1):
        with pytest.raises(InputError, match="cannot be seen now"):
            test.pair(number, model, real)
    before = [test.pair(number, model, real).clone() for number in (0, 1)]
    assert torch.equal(test.pair(0, model, real), before[0])
    test.answer(0, Answer("left"))
    assert torch.equal(test.pair(1, model, real), before[1])
    with pytest.raises(InputError, match="cannot be seen now"):
        test.pair(0, model, real)
    assert test.pairs.keys() == {1}, "answered pairs take no memory"
    for number in (0, 2):
        with pytest.raises(InputError, match="cannot be answered now"):
            test.answer(number, Answer("left"))
    assert test.result()["trials"] == 1, "of those that were answered alone"


def test_the_interval_is_wilsons() -> None:
    for successes, count in ((0, 5), (5, 5), (12, 20), (1, 200), (100, 200)):
        expected = binomtest(successes, count).proportion_ci(0.95, "wilson")
        assert wilson_interval(successes, count) == pytest.approx((expected.low, expected.high))
