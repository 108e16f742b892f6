"""Bytes to states and back; the one rounding, by hand."""

from fractions import Fraction

import pytest
import torch
from tables import each

from nkca.pixels import SCRAMBLED_GREY, CategoricalPixels, ContinuousPixels

BYTES = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


def test_continuous_keeps_every_byte() -> None:
    pixels = ContinuousPixels()
    state = pixels.to_state(BYTES)
    assert state.dtype == torch.float32
    assert state.flatten()[0].item() == -1
    assert state.flatten()[255].item() == 1
    assert state.flatten()[51].item() == pytest.approx(-0.6, abs=1e-7)
    assert torch.equal(pixels.to_uint8(state), BYTES)
    # Rounded, not truncated: half a byte either way, less a little, is still the byte.
    inner = BYTES.flatten()[1:-1]
    for shift in (-0.49 / 127.5, 0.49 / 127.5):
        assert torch.equal(pixels.to_uint8(state + shift).flatten()[1:-1], inner)


def test_continuous_clips() -> None:
    state = torch.tensor([[[[-7.0, -1.001, 1.001, 7.0]]]])
    assert ContinuousPixels().to_uint8(state).flatten().tolist() == [0, 0, 255, 255]


def level_by_hand(byte: int, classes: int) -> int:
    """round(byte (K - 1) / 255), exactly; there are no ties: 2 byte (K - 1) is even, 255 odd."""
    return round(Fraction(byte * (classes - 1), 255))


def test_categorical_rounds_to_the_nearest_level() -> None:
    for classes in each([2, 3, 7, 10, 100, 256]):
        pixels = CategoricalPixels(classes)
        levels = pixels.to_state(BYTES)
        assert levels.dtype == torch.int64
        assert levels.flatten().tolist() == [level_by_hand(byte, classes) for byte in range(256)]
        assert set(levels.flatten().tolist()) == set(range(classes))
        shown = pixels.to_uint8(levels)
        by_hand = [round(Fraction(255 * level, classes - 1)) for level in levels.flatten().tolist()]
        assert shown.flatten().tolist() == by_hand
        assert (shown.long() - BYTES.long()).abs().max() <= 255 / (classes - 1) / 2 + 0.5


def test_categorical_by_hand() -> None:
    """The edges of levels: K = 2 between 127 and 128, K = 3 at 63.75 and 191.25, K = 10 at 14.2."""
    edges = {
        2: {127: 0, 128: 1},
        3: {63: 0, 64: 1, 191: 1, 192: 2},
        10: {14: 0, 15: 1, 240: 8, 241: 9},
    }
    for classes, expected in edges.items():
        levels = CategoricalPixels(classes).to_state(BYTES).flatten()
        assert {byte: levels[byte].item() for byte in expected} == expected
    assert torch.equal(CategoricalPixels(256).to_state(BYTES), BYTES.long())
    assert torch.equal(CategoricalPixels(256).to_uint8(BYTES.long()), BYTES)
    assert CategoricalPixels(3).to_uint8(torch.tensor([0, 1, 2])).tolist() == [0, 128, 255]


def test_showing_a_level_and_reading_it_back_loses_nothing_for_any_number_of_levels() -> None:
    for classes in range(2, 257):
        levels = torch.arange(classes)
        shown = CategoricalPixels(classes).to_uint8(levels)
        assert torch.equal(CategoricalPixels(classes).to_state(shown), levels), classes
        exact = levels.double() * 255 / (classes - 1)
        assert (shown.double() - exact).abs().max() < 0.5 + 1e-9, classes


def test_scrambled_pixels_are_mid_grey() -> None:
    for classes in each([2, 3, 10, 256]):
        shown = CategoricalPixels(classes).to_uint8(torch.tensor([classes - 1, classes, 0]))
        assert shown.tolist() == [255, SCRAMBLED_GREY, 0]
        assert SCRAMBLED_GREY == 128
        assert shown.dtype == torch.uint8
