"""Matplotlib figures without a window system or global state.

matplotlib is imported where a figure is made: it is slow, and few commands need it. Colours are Okabe and
Ito's, which the colour-blind can distinguish.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from nkca.system.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "#555555"
SMALL = 9.5  # points
DPI = 100


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure; width and height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write ``figure`` as PNG, atomically."""
    with atomic_write(Path(path)) as file:
        figure.savefig(file, format="png")


def add_title(axes: "Axes", title: str, reading: str) -> None:
    """What is shown, and below it how to read it."""
    axes.set_title(f"{title}\n", fontsize=12.5, fontweight="bold")
    axes.text(0.5, 1.02, reading, transform=axes.transAxes, ha="center", color=GREY, fontsize=10)
    axes.grid(alpha=0.25)


def leave_room(axes: "Axes", bottom: float, top: float, share: float) -> None:
    """Show values from ``bottom`` to ``top`` and leave a share of the height above for a legend."""
    axes.set_ylim(bottom, top)
    scale = axes.yaxis.get_transform()
    low, high = scale.transform([bottom, top])
    (end,) = scale.inverted().transform([low + (high - low) / (1 - share)])
    axes.set_ylim(bottom, end)
