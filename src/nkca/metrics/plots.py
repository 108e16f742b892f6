"""The plot of FID against sample size."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nkca.pictures.figure import (
    COLOURS,
    add_title,
    new_figure,
    save_figure,
)

if TYPE_CHECKING:
    pass


def plot_fid_line(
    points: Sequence[tuple[int, float]],
    intercept: float,
    slope: float,
    path: str | Path,
    name: str = "FID",
) -> None:
    """Write a PNG of a Fréchet distance against 1 / n, n the number of images, with its line, atomically.

    Args:
        points: (n, FID at n); at least one.
        intercept: of the line: FID of infinitely many images.
        slope: of the line, in FID per 1 / n.
        name: what the distance is called.
    """
    figure = new_figure(9, 6)
    axes = figure.subplots()
    x = [1 / n for n, _ in points]
    end = 1.05 * max(x)
    axes.plot([0, end], [intercept, intercept + slope * end], color=COLOURS[1], label="fitted line")
    axes.plot(x, [fid for _, fid in points], "o", color=COLOURS[0], label=f"{name} of n images")
    label = f"infinitely many images: {intercept:.3f}"
    axes.plot(0, intercept, "*", color=COLOURS[1], ms=18, clip_on=False, zorder=3, label=label)
    ticks = [0.0]
    for tick in sorted(x):
        if tick - ticks[-1] > 0.08 * end:
            ticks.append(tick)
    axes.set_xticks(ticks, ["∞", *(f"{round(1 / tick):,}" for tick in ticks[1:])])
    axes.set_xlim(0, end)
    axes.margins(y=0.15)
    axes.set_xlabel("number of images n, at 1 / n")
    axes.set_ylabel(f"{name} (lower is better)")
    add_title(
        axes, f"{name} depends on the number of images", "the estimate for infinitely many does not"
    )
    axes.legend(loc="upper left" if slope >= 0 else "lower left")
    save_figure(figure, path)
