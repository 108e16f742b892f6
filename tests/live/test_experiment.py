"""Choices from Python: offers, the log, bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from live_chains import SHAPE, SPACES, exact_model, ten_pictures

import nkca
from nkca.errors import InputError


@pytest.mark.parametrize("space", SPACES)
def test_offers_are_pictures_of_the_data_and_repeat(space: str, tmp_path: Path) -> None:
    walks = [nkca.Choices(exact_model(space), count=5, level=0.7, seed=4) for _ in range(2)]
    for taken in (3, 0, 0, 4):
        one, other = (walk.offer for walk in walks)
        assert one.shape == (5, 4, 6, 1)
        assert one.dtype == np.uint8
        assert np.array_equal(one, other)
        for picture in one:
            assert (
                (torch.from_numpy(picture.copy()).movedim(-1, 0) == ten_pictures())
                .flatten(1)
                .all(1)
                .any()
            )
        for walk in walks:
            walk.take(taken, milliseconds=100)
    assert [choice.taken for choice in walks[0].log] == [3, 0, 0, 4]
    walks[0].save(tmp_path / "choices.csv")
    lines = (tmp_path / "choices.csv").read_text().splitlines()
    assert len(lines) == 5
    other_seed = nkca.Choices(exact_model(space), count=5, level=0.7, seed=5)
    assert not np.array_equal(other_seed.offer, walks[0].offer)


def test_a_walk_starts_from_the_image() -> None:
    """At the lowest level proposals are the image itself."""
    image = ten_pictures()[7].movedim(0, -1).numpy()
    walk = nkca.Choices(exact_model(), count=3, level=0.01, image=image)
    assert (walk.offer == image).all()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"count": 1}, "count must be 2 to 64"),
        ({"steps": 0}, "steps must be 1 to 64"),
        ({"level": 1.5}, "level must be 0.01 to 1"),
        ({"level": float("nan")}, "level must be 0.01 to 1"),
        ({"image": np.zeros((4, 4, 1), np.uint8)}, r"image must be \(4, 6, 1\)"),
        ({"image": np.zeros(SHAPE)}, "image must be uint8"),
    ],
    ids=["count", "steps", "level", "nan", "size", "type"],
)
def test_bad_input_is_one_line(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        nkca.Choices(exact_model(), **asked)
    assert "\n" not in str(error.value)


def test_there_is_no_ninth_of_eight() -> None:
    with pytest.raises(InputError, match="there are 8 tiles"):
        nkca.Choices(exact_model()).take(8)
