"""A page of plots about a chain.

Each level has its own colour and marker. Bars are two standard errors each way.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nkca.diagnostics.autocorrelation import Autocorrelation
from nkca.diagnostics.findings import ChainReport, LevelReport
from nkca.diagnostics.significance import threshold
from nkca.pictures.figure import (
    COLOURS,
    GREY,
    MARKERS,
    SMALL,
    add_title,
    leave_room,
    new_figure,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_P_VALUE = 0.05  # of the threshold line in the plot of drift


def plot_chain_report(report: ChainReport, path: str | Path) -> None:
    """Write one page about a chain as PNG, 1400 x 1000 pixels, atomically."""
    figure = new_figure(14, 10)
    names = [*report.levels[0].scores][:2]
    axes = iter(figure.subplots(2, 3 if names else 2).flat)
    _drift(next(axes), report)
    _entropy_production(next(axes), report)
    _arrow_of_time(next(axes), report)
    for name in names:
        _scores(next(axes), report, name)
    _autocorrelation(next(axes), report)
    for unused in axes:
        unused.set_axis_off()
    figure.suptitle(
        f"The chain, started from {report.chains} noised images and left at one noise level for "
        f"{report.options.steps} steps (lag {report.lag:g})",
        fontsize=15,
    )
    save_figure(figure, path)


def _styled(report: ChainReport) -> Iterator[tuple[LevelReport, dict[str, Any]]]:
    """Levels with the style of their markers: later ones are smaller, so that none is hidden."""
    for number, level in enumerate(report.levels):
        turn = number % len(COLOURS)
        yield (
            level,
            {"color": COLOURS[turn], "marker": MARKERS[turn], "ms": max(4, 10 - 2 * number)},
        )


def _step_axis(axes: "Axes", steps: tuple[int, ...], label: str) -> None:
    """Steps 1, 2, 4 ... at equal distances."""
    axes.set_xticks(range(len(steps)), [str(step) for step in steps])
    axes.set_xlabel(label)


def _drift(axes: "Axes", report: ChainReport) -> None:
    for level, style in _styled(report):
        drift = level.drift
        label = f"noise {level.noise_level:g}: {_p(drift.p_value)}"
        axes.plot(drift.largest, label=label, **style)
    first = report.levels[0].drift
    limit = threshold(LINE_P_VALUE, first.comparisons)
    axes.axhline(
        limit, color=GREY, linestyle="--", label=f"chance exceeds it in {LINE_P_VALUE:.0%}"
    )
    top = max(5.0, 1.3 * max(max(level.drift.largest) for level in report.levels))
    axes.set_yscale("symlog", linthresh=5, linscale=2)
    leave_room(axes, 0, top, share=0.25)
    ticks = [value for value in (0, 1, 2, 3, 4, 5, 10, 20, 50, 100, 300, 1000) if value <= top]
    axes.set_yticks(ticks, [str(value) for value in ticks])
    axes.set_yticks([], minor=True)
    _step_axis(axes, first.steps, "step (last of the steps averaged)")
    axes.set_ylabel("largest change of a statistic, standard errors")
    add_title(axes, "Is it stationary?", "above the dashed line: it leaves the noised data")
    axes.legend(fontsize=SMALL, loc="upper left")


def _level_axis(axes: "Axes", report: ChainReport) -> None:
    """A tick for each level, at equal distances."""
    names = [f"{level.noise_level:g}" for level in report.levels]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xlabel("noise level")


def _point(axes: "Axes", place: float, value: float, error: float, note: str, **style: Any) -> None:
    """A value with a bar of two standard errors each way, and a note above."""
    axes.errorbar(place, value, 2 * error, capsize=6, **style)
    axes.annotate(
        note,
        (place, value + 2 * error),
        xytext=(0, 5),
        textcoords="offset points",
        color=style["color"],
        fontsize=SMALL,
        ha="center",
    )


def _entropy_production(axes: "Axes", report: ChainReport) -> None:
    for place, (level, style) in enumerate(_styled(report)):
        found = level.entropy_production
        if found is None or found.mean is None or found.standard_error is None:
            middle, text = axes.get_xaxis_transform(), "infinite" if found else "unknown"
            axes.text(place, 0.6, text, transform=middle, ha="center", color=style["color"])
            continue
        _point(axes, place, found.mean, found.standard_error, _p(found.p_value), **style)
        late = level.late_production
        if late is not None and late.mean is not None and late.standard_error is not None:
            hollow = {**style, "mfc": "white", "alpha": 0.6}
            _point(axes, place + 0.3, late.mean, late.standard_error, "", **hollow)
    axes.axhline(0, color=GREY, linestyle="--")
    axes.margins(y=0.15)
    axes.yaxis.set_major_formatter("{x:g}")
    _level_axis(axes, report)
    axes.set_ylabel("entropy production, nats per dimension and step")
    add_title(
        axes, "Is it reversible?", "0: each step is as likely as its reverse (hollow: later half)"
    )


def _arrow_of_time(axes: "Axes", report: ChainReport) -> None:
    for place, (level, style) in enumerate(_styled(report)):
        found = level.reversibility
        _point(axes, place, found.accuracy, found.standard_error, _p(found.p_value), **style)
    axes.axhline(0.5, color=GREY, linestyle="--")
    axes.set_ylim(0.4, 1.1)
    _level_axis(axes, report)
    axes.set_ylabel("share of held-out steps classified correctly")
    add_title(
        axes, "Does a network see the arrow of time?", "0.5: forward and backward look the same"
    )


def _scores(axes: "Axes", report: ChainReport, name: str) -> None:
    for level, style in _styled(report):
        drift = level.picture_drift
        label = f"noise {level.noise_level:g}" + (f": {_p(drift.p_value)}" if drift else "")
        axes.plot(level.scores[name], label=label, **style)
    axes.margins(y=0.2)
    _step_axis(axes, report.levels[0].score_steps, "step")
    axes.set_ylabel(f"{name} ({report.extractor})")
    reading = "distance to real images; flat: no worse than at the start"
    add_title(axes, f"{name} of the pictures it shows", reading)
    axes.legend(fontsize=SMALL, title="drift of the features", title_fontsize=SMALL)


def _autocorrelation(axes: "Axes", report: ChainReport) -> None:
    for level, style in _styled(report):
        kinds = (("pixels", "-", level.pixels), ("features", "--", level.features))
        for kind, line, found in kinds:
            if found is not None:
                label = f"noise {level.noise_level:g}, {kind}: {_tau(found)}"
                axes.plot(found.curve, line, color=style["color"], label=label)
    axes.axhline(0, color=GREY, linewidth=0.8)
    leave_room(axes, -0.15, 1.05, share=min(0.5, 0.02 + 0.053 * (len(axes.lines) - 1)))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("steps apart")
    axes.set_ylabel("autocorrelation")
    add_title(axes, "How fast does it forget?", "τ: steps that are worth one independent image")
    axes.legend(fontsize=SMALL, loc="upper right")


def _tau(found: Autocorrelation) -> str:
    if found.tau is None:
        return "nothing varies"
    if found.error is None:
        return f"τ > {found.tau:.0f}?"
    return f"τ = {found.tau:.3g} ± {found.error:.1g}"


def _p(p_value: float) -> str:
    return f"p = {p_value:.2g}" if p_value > 1e-99 else "p < 1e-99"
