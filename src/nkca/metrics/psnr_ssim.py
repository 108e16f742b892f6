r"""How close a picture is to the truth: PSNR and SSIM.

    PSNR = 10 log10(255² / mean squared error)                                    in dB

SSIM (Wang et al. 2004, doi:10.1109/TIP.2003.819861) compares means, variances and covariance in a window
that slides over both pictures; 1 only if they are equal. The window is Gaussian of standard deviation 1.5,
cut off at 11 x 11, without padding; C1 = (0.01 255)², C2 = (0.03 255)²; the mean is over channels and
places.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from nkca.errors import InputError

WINDOW, SPREAD = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(picture: Tensor, truth: Tensor) -> Tensor:
    """In dB, float64 (B,), of uint8 pictures (B, C, H, W); infinite where they are equal."""
    error = (picture.double() - truth.double()).square().flatten(1).mean(1)
    return 10 * (255**2 / error).log10()


def ssim(picture: Tensor, truth: Tensor) -> Tensor:
    """In (-1, 1], float64 (B,), of uint8 pictures (B, C, H, W).

    Raises:
        InputError: if they are smaller than the window.
    """
    if min(picture.shape[2:]) < WINDOW:
        height, width = picture.shape[2:]
        raise InputError(
            f"SSIM is for pictures of {WINDOW}x{WINDOW} and more, not {height}x{width}"
        )
    x, y = (p.double().flatten(0, 1).unsqueeze(1) for p in (picture, truth))
    place = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = (-0.5 * (place / SPREAD).square()).exp()
    window = torch.outer(line, line)[None, None] / line.sum() ** 2

    def mean(values: Tensor) -> Tensor:
        return conv2d(values, window)

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    likeness /= (mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2)
    return likeness.view(len(picture), -1).mean(1)
