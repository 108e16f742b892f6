"""The scale of the loss in float16 (Micikevicius et al. 2018, arXiv 1710.03740).

float16 ranges from 6e-8 to 65,504, so small gradients would underflow in the backward pass. Therefore the
loss is multiplied by a scale, and the gradients are divided by it in float32. The scale adapts: an overflow
halves it, many good steps double it. It is a power of two, so scaling does not round.

The initial scale and the patience are those of `torch.amp.GradScaler`. Our loss is summed over pixels, not
averaged: large images need a scale below 1 at first.
"""

INITIAL_SCALE = 65536.0
PATIENCE = 2000  # good steps after which a larger scale is tried
MIN_SCALE = 2.0**-16


def after_update(scale: float, good_steps: int, patience: int = PATIENCE) -> tuple[float, int]:
    """(scale, good steps since it changed) after a step with finite gradients."""
    return (2 * scale, 0) if good_steps + 1 >= patience else (scale, good_steps + 1)


def after_overflow(scale: float) -> tuple[float, int]:
    """(scale, good steps since it changed) after a step whose gradients were not finite."""
    return max(MIN_SCALE, scale / 2), 0
