"""nkca-sample --export: a folder that the commands open."""

from collections.abc import Callable
from pathlib import Path

from click.testing import Result
from PIL import Image, ImageChops
from tables import each

Call = Callable[..., Result]


def same(left: Path, right: Path) -> bool:
    """Whether two files show the same picture."""
    with Image.open(left) as a, Image.open(right) as b:
        return ImageChops.difference(a, b).getbbox() is None


def test_a_folder_that_the_commands_open(
    call: Call, trained: Path, photos: Path, tmp_path: Path
) -> None:
    shared, steps = tmp_path / "shared", "--num-sampling-steps=2"
    assert (
        f"{shared}: complete its README.md" in call("sample", trained, f"--export={shared}").stdout
    )
    assert sorted(path.name for path in shared.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    for model, name in ((trained, "of-run"), (shared, "of-folder")):
        call("sample", model, "--num-samples=1", steps, f"--save-dir={tmp_path / name}", "--quiet")
    assert same(tmp_path / "of-run/seed_000000.png", tmp_path / "of-folder/seed_000000.png")
    sample = tmp_path / "of-folder/seed_000000.png"
    call("sample", f"--like={sample}", f"--save-dir={tmp_path / 'again'}", "--quiet")
    assert same(sample, tmp_path / "again/seed_000000.png")
    measured = ("--features=pixels", "--num-samples=4", steps, "--no-cache", "--quiet")
    call("metrics", shared, photos, *measured, f"--save-dir={tmp_path / 'metrics'}")
    assert (tmp_path / "metrics/metrics-FID.txt").exists()
    found = call("train", f"--dataset={photos}", f"--save-dir={shared}", code=2)
    assert "holds an exported model, whose run cannot be resumed" in found.stderr


def test_what_does_not_go_with_it(call: Call, trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "a"
    others = (
        *(
            "--seeds=3",
            "--save-grid",
            f"--save-dir={tmp_path / 'b'}",
            "--overwrite",
            "--sampler=ddim",
        ),
        *(
            "--batch-size=64",
            "--device=auto",
            "--precision=bf16",
            "--replay=a.json",
            "--like=a.png",
        ),
    )
    for option in each(others):
        found = call("sample", trained, "--export", target, option, code=2)
        assert f"draws nothing: leave out {option.partition('=')[0]}\n" in found.stderr
    assert "leave out the images" in call("sample", trained, "a", "--export", target, code=2).stderr
    assert "no checkpoint given" in call("sample", "--export", target, code=2).stderr
    assert list(tmp_path.iterdir()) == []
