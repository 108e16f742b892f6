"""The pictures of reports: whole files of the right size that show what was found."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nkca.diagnostics.autocorrelation import Autocorrelation
from nkca.diagnostics.drift import STATISTICS, Drift, PictureDrift
from nkca.diagnostics.findings import ChainReport, EntropyProduction, LevelReport, StudyOptions
from nkca.diagnostics.plots import plot_chain_report
from nkca.diagnostics.reversibility import Reversibility
from nkca.metrics.plots import plot_fid_line


def level(noise_level: float, z: float = 1.0, accuracy: float = 0.5) -> LevelReport:
    table = tuple((z, -z / 2, 2 * z) for _ in STATISTICS)
    return LevelReport(
        noise_level=noise_level,
        drift=Drift((1, 2, 3), STATISTICS, table, table, 0.5),
        entropy_production=EntropyProduction(1e-4 * z, 1e-4, z, 0.3),
        late_production=EntropyProduction(0.5e-4 * z, 1e-4, z / 2, 0.3),
        reversibility=Reversibility(accuracy, 0.02, 0.5, 128, 1024),
        pixels=Autocorrelation(3.0, 0.5, 15, 4, 32, False, (1.0, 0.5, 0.2, 0.1)),
        picture_drift=PictureDrift((1, 2, 3), (1.0, 2.0, 2.0), 300, 0.4),
        features=Autocorrelation(7.0, None, 3, 4, 32, True, (1.0, 0.9, 0.8, 0.8)),
        score_steps=(0, 1, 2, 3),
        scores={"FID": (3.0, 3.1, 3.2, 3.0), "KID": (-1e-4, 0.0, 1e-4, 0.0), "third": (0.0,) * 4},
    )


def report_of(*levels: LevelReport) -> ChainReport:
    return ChainReport(StudyOptions(steps=3), 256, 192, 0.5, "inception", levels)


def drawn(path: Path) -> tuple[tuple[int, int], int]:
    """Size in pixels, and how many of them are neither white nor grey."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).astype(int)
        return image.size, int((np.ptp(pixels, axis=2) > 60).sum())


@pytest.mark.parametrize("count", [1, 9])
def test_a_report_is_one_page(tmp_path: Path, count: int) -> None:
    path = tmp_path / "page.png"
    plot_chain_report(report_of(*(level(0.1 * (n + 1)) for n in range(count))), path)
    size, coloured = drawn(path)
    assert size == (1400, 1000)
    assert coloured > 3000
    assert [file.name for file in tmp_path.iterdir()] == ["page.png"]


def test_extremes_and_what_is_missing_can_be_drawn(tmp_path: Path) -> None:
    nothing = Autocorrelation(None, None, 0, 4, 32, False, ())
    worst = replace(
        level(0.3, z=1000.0, accuracy=1.0),
        entropy_production=EntropyProduction(None, None, 1000.0, 0.0),
        pixels=nothing,
        picture_drift=None,
        features=None,
        score_steps=(),
        scores={},
    )
    still = replace(worst, drift=level(0.3, z=0.0).drift)
    for number, levels in enumerate(([worst], [worst, still], [still])):
        path = tmp_path / f"{number}.png"
        plot_chain_report(report_of(*levels), path)
        assert drawn(path)[0] == (1400, 1000)


def test_other_numbers_give_another_page(tmp_path: Path) -> None:
    pages = []
    for number, accuracy in enumerate((0.5, 0.5, 0.7)):
        path = tmp_path / f"{number}.png"
        plot_chain_report(report_of(level(0.3, accuracy=accuracy)), path)
        pages.append(path.read_bytes())
    assert pages[0] == pages[1]
    assert pages[0] != pages[2]


@pytest.mark.parametrize(("intercept", "slope"), [(12.3, 4000.0), (12.3, -4000.0), (0.0, 0.0)])
def test_a_line_of_fid(tmp_path: Path, intercept: float, slope: float) -> None:
    path = tmp_path / "line.png"
    points = [(n, intercept + slope / n) for n in (5000, 10000, 20000, 50000)]
    for some in (points, points[:1]):
        plot_fid_line(some, intercept, slope, path)
        size, coloured = drawn(path)
        assert size == (900, 600)
        assert coloured > 500


def test_matplotlib_is_imported_only_to_draw() -> None:
    code = "import sys, nkca.diagnostics.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
