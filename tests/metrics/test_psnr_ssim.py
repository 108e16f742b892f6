"""PSNR and SSIM by hand."""

import math

import numpy as np
import pytest
import torch

from nkca.errors import InputError
from nkca.metrics.psnr_ssim import psnr, ssim

RANDOM = torch.Generator().manual_seed(2)
PICTURE = torch.randint(0, 200, (2, 3, 13, 14), generator=RANDOM).to(torch.uint8)


def test_psnr_of_a_known_error() -> None:
    found = psnr(PICTURE + torch.tensor([[[[5]]], [[[10]]]], dtype=torch.uint8), PICTURE)
    assert found.tolist() == pytest.approx([20 * math.log10(255 / n) for n in (5, 10)])
    assert psnr(PICTURE, PICTURE).isinf().all()


def test_ssim_is_the_mean_over_windows() -> None:
    """Window by window, as the paper's formula has it."""
    other = (PICTURE.int() + torch.randint(-40, 50, PICTURE.shape, generator=RANDOM)).clamp(0, 255)
    place = np.arange(11) - 5
    weights = np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    for x, y, found in zip(PICTURE, other, ssim(PICTURE, other.to(torch.uint8)), strict=True):
        values = []
        for row in range(3):
            for column in range(4):
                for c in range(3):
                    one, two = (
                        p[c, row : row + 11, column : column + 11].double().numpy() for p in (x, y)
                    )
                    mean, mean_2 = (weights * one).sum(), (weights * two).sum()
                    var, var_2 = (
                        (weights * (p - m) ** 2).sum() for p, m in ((one, mean), (two, mean_2))
                    )
                    both = (weights * (one - mean) * (two - mean_2)).sum()
                    c1, c2 = 2.55**2, 7.65**2
                    top = (2 * mean * mean_2 + c1) * (2 * both + c2)
                    values.append(top / ((mean**2 + mean_2**2 + c1) * (var + var_2 + c2)))
        assert found.item() == pytest.approx(np.mean(values), abs=1e-9)
        assert found < 0.99
    assert ssim(PICTURE, PICTURE).tolist() == pytest.approx([1, 1])


def test_small_pictures_have_no_ssim() -> None:
    with pytest.raises(InputError, match="11x11 and more, not 8x14"):
        ssim(PICTURE[..., :8, :], PICTURE[..., :8, :])
