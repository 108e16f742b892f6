"""The scale of the loss in float16 (Micikevicius et al. 2018, arXiv 1710.03740).

float16 ends at 65,504 and has nothing below 6e-8, so small gradients would vanish on their way back. The
loss is multiplied by a scale first and the gradients are divided by it in float32 after. The scale follows
them: an overflow halves it, many good steps double it. It is a power of two, so it rounds nothing.

Start and patience are those of `torch.amp.GradScaler`. Our loss is summed over pixels, not averaged: large
images need a scale below 1 at first.
"""

INITIAL_SCALE = 65536.0
PATIENCE = 2000  # good steps after which a larger scale is tried
MIN_SCALE = 2.0**-16


def after_update(scale: float, good_steps: int, patience: int = PATIENCE) -> tuple[float, int]:
    """The scale and the good steps it has had, after one more of them."""
    return (2 * scale, 0) if good_steps + 1 >= patience else (scale, good_steps + 1)


def after_overflow(scale: float) -> tuple[float, int]:
    """The scale and the good steps it has had, after gradients that were not finite."""
    return max(MIN_SCALE, scale / 2), 0
