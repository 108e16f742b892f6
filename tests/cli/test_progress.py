"""Progress: a bar on a terminal, lines elsewhere, nothing when quiet."""

import contextlib
import io
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from tables import each

from nkca.cli import progress
from nkca.cli.progress import ProgressBar, messages
from nkca.config.parsing import duration
from nkca.sampling import sample_files


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def train_ten(bar: ProgressBar) -> None:
    with bar as show:
        show.on_decode(0, 32)
        show.on_decode(32, 32)
        for step in range(1, 11):
            show("", 4 * step, 40, "images", f"step {step}, loss 0.5")


@contextlib.contextmanager
def on_terminal(columns: int = 120) -> Iterator[Terminal]:
    with contextlib.redirect_stderr(Terminal()) as terminal, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        yield terminal


def test_a_bar_on_a_terminal() -> None:
    with on_terminal() as terminal:
        train_ten(ProgressBar(quiet=False))
    decoding, last = (line for line in terminal.getvalue().split("\n") if line)
    said = r"100% \|.*\| decoding images: 16 of 16, 0:00:00 left, [\d.e+]+/s"
    assert re.search(said, decoding), decoding
    said = r"100% \|.*\| step 10, loss 0.5, 0:00:00 left, [\d.e+]+ images/s, 40 of 40 images"
    assert re.search(said, last), last


def test_a_narrow_terminal_keeps_step_loss_and_time_left() -> None:
    for columns, said in each(
        {
            70: r"100% \|.*\| step 12,345, loss 0.01234, 0:00:00 left",
            60: r"100% \|.*\| step 12,345, loss 0.01234, 0:00:00 left",
            50: "step 12,345, loss 0.01234, 0:00:00 left",
            40: "step 12,345, loss 0.01234, 0:00:00 left",
            39: "step 12,345 loss 0.01234 0:00:00 left",
        }.items()
    ):
        with on_terminal(columns) as terminal, ProgressBar(quiet=False) as show:
            show("", 0, 400000, "images")
            show("", 400000, 400000, "images", "step 12,345, loss 0.01234")
        last = terminal.getvalue().rstrip("\n").split("\r")[-1]
        assert re.search(said, last), last
        assert len(last) < columns


def test_a_message_goes_above_the_bar() -> None:
    with on_terminal() as terminal, messages(), ProgressBar(quiet=False) as show:
        show("features", 0, 8)
        logging.getLogger("nkca").info("told")
        show("features", 8, 8)
    assert "\rtold\n" in terminal.getvalue(), "on a line of its own"


def test_off_a_terminal_work_with_a_name_is_announced(capsys: pytest.CaptureFixture[str]) -> None:
    train_ten(ProgressBar(quiet=False))
    assert capsys.readouterr().err == "decoding images: 16\n", "what takes seconds says no more"


def test_lines_off_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with ProgressBar(quiet=False) as show:
        for done in (0, 500, 1500):
            show("features of samples", done, 2000)
        show("", 0, 3, "steps")
        show("", 2, 3, "steps")
    begins, *lines, steps = capsys.readouterr().err.splitlines()
    assert begins == "features of samples: 2,000"
    for line, count in zip(lines, ("500", "1,500"), strict=True):
        rest = r"of 2,000, 0:00:00 left, [\d.e+]+/s"
        assert re.fullmatch(f"features of samples: {count} {rest}", line), line
    assert re.fullmatch(r"2 of 3 steps, 0:00:00 left, [\d.e+]+ steps/s", steps), steps


def test_the_same_work_on_other_images_begins_again(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(quiet=False) as show:
        for done, total in ((0, 32), (32, 32), (0, 8), (8, 8)):
            show.on_decode(done, total)
    assert capsys.readouterr().err == "decoding images: 16\ndecoding images: 4\n"


def test_quiet_shows_nothing() -> None:
    with on_terminal() as terminal:
        train_ten(ProgressBar(quiet=True))
    assert terminal.getvalue() == ""


def test_nothing_to_do() -> None:
    with on_terminal() as terminal, ProgressBar(quiet=False) as show:
        show("", 0, 0, "steps")
    assert "0 of 0 steps" in terminal.getvalue()


def test_durations() -> None:
    assert [duration(s) for s in (-1, 59.6, 3723)] == ["0:00:00", "0:01:00", "1:02:03"]


def test_long_work_says_at_its_start_how_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with ProgressBar(quiet=False, long_work="8 pictures take about {}; stop when you like") as show:
        for label in ("features of x", ""):
            for second in range(9):
                now += 1
                show(label, second, 200)
        for second in range(9):
            now += 1
            show("short", second, 40)
    said = [line for line in capsys.readouterr().err.splitlines() if "take" in line]
    assert said == [
        "features of x: 200 take about 0:03:17",
        "8 pictures take about 0:03:17; stop when you like",
    ]
    with on_terminal() as terminal, ProgressBar(quiet=False) as show:
        for second in range(5):
            now += 1
            show("features", second, 200)
    assert "\rfeatures: 200 take about 0:03:17\n" in terminal.getvalue()


def test_a_billion_samples_say_how_much_they_take(
    call: Callable[..., Result], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sample_files, "_run_batch", stop)
    options = (
        trained,
        f"--save-dir={tmp_path / 'out'}",
        "--num-samples=1000000000",
        "--device=cpu",
    )
    said = call("sample", *options, code=130).stderr
    assert "1,000,000,000 pictures take up to 178.8 GiB on the disk\n" in said
    said = call(
        "sample", trained, f"--save-dir={tmp_path / 'two'}", "--num-samples=2", code=130
    ).stderr
    assert "GiB" not in said
