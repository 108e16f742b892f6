"""Requests for samples to files: the pixels, the names, the settings inside, and how much memory."""

import itertools
import json
import math
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from tables import each
from torch import Tensor
from toys import random_pictures, write_checkpoint

import nkca
from nkca.cli.sample import main
from nkca.config.sampling import SamplingConfig
from nkca.data.decode import Reader
from nkca.models.build import load_model
from nkca.models.model import Model
from nkca.pictures.grid import contact_sheet
from nkca.pictures.png import read_settings, save_png
from nkca.sampling import plan
from nkca.sampling.inputs import fit_picture
from nkca.sampling.plan import plan_samples
from nkca.sampling.request import Outputs, SampleRequest, read_request_settings
from nkca.sampling.sample_files import ANIMATION_FRAMES, make_samples

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "continuous": write_checkpoint(folder / "continuous.pth", 3),
        "discrete": write_checkpoint(folder / "discrete.pth", 1, discrete=True, num_classes=5),
    }


@pytest.fixture(params=["continuous", "discrete"])
def checkpoint(request: pytest.FixtureRequest, checkpoints: dict[str, Path]) -> Path:
    return checkpoints[request.param]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Every value of this picture differs from its neighbours."""
    pixels = np.random.default_rng(5).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """White in the upper right: no symmetry hides a swap or a flip."""
    paint = np.zeros((8, 8), np.uint8)
    paint[:3, 5:] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(paint).save(path)
    return path


def sample(*args: object, code: int = 0) -> Result:
    """Run nkca-sample in this process."""
    result = CliRunner().invoke(main, [*map(str, args), "--device=cpu"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def pixels(path: Path) -> Pixels:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def as_model_sees(photo: Path, checkpoint: Path) -> Pixels:
    channels = load_model(checkpoint, device="cpu").data_shape[0]
    return np.asarray(Image.open(photo).convert("L" if channels == 1 else "RGB"))


def assert_same_picture(left: Pixels, right: Pixels) -> None:
    """Equal but for one grey level: PyTorch's kernels round otherwise in batches of other sizes."""
    assert left.shape == right.shape
    assert np.abs(left.astype(int) - right.astype(int)).max() <= 1


# seeds and names


def test_same_seed_same_picture_in_any_batch(checkpoint: Path, tmp_path: Path) -> None:
    for batch_size in (1, 3, 8):
        sample(
            *(checkpoint, "--seeds=0-7", f"--batch-size={batch_size}"),
            *("--num-sampling-steps=12", f"--save-dir={tmp_path / str(batch_size)}"),
        )
    sample(checkpoint, "--seeds=5", "--num-sampling-steps=12", f"--save-dir={tmp_path / 'alone'}")
    made = [pixels(tmp_path / "8" / f"seed_{seed:06d}.png") for seed in range(8)]
    for batch_size, seed in itertools.product((1, 3), range(8)):
        other = pixels(tmp_path / str(batch_size) / f"seed_{seed:06d}.png")
        assert_same_picture(other, made[seed])
    assert_same_picture(pixels(tmp_path / "alone" / "seed_000005.png"), made[5])
    for one, other in itertools.combinations(made, 2):
        with pytest.raises(AssertionError):
            assert_same_picture(one, other)


def test_variants_too_are_the_same_in_any_batch(
    checkpoint: Path, photo: Path, tmp_path: Path
) -> None:
    options = ("--seeds=3-6", "--num-sampling-steps=5")
    for batch_size in (1, 4):
        out = tmp_path / str(batch_size)
        sample(checkpoint, photo, *options, f"--batch-size={batch_size}", f"--save-dir={out}")
    for name in names(tmp_path / "1"):
        assert_same_picture(pixels(tmp_path / "1" / name), pixels(tmp_path / "4" / name))


SEEDS: list[tuple[list[str], Sequence[int]]] = [
    ([], range(16)),
    (["--num-samples=3"], range(3)),
    (["--num-samples=2", "--seed=9"], [9, 10]),
    (["--seeds=4,1-2"], [1, 2, 4]),
    (["--seeds=1000000"], [1000000]),
    (["--seeds=4-6", "--num-samples=3"], [4, 5, 6]),
]


def test_file_names_carry_the_seed(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    for number, (flags, seeds) in each(enumerate(SEEDS)):
        out = tmp_path / str(number)
        result = sample(
            checkpoints["continuous"], *flags, "--num-sampling-steps=0", f"--save-dir={out}"
        )
        assert names(out) == [f"seed_{seed:06d}.png" for seed in seeds]
        count = len(seeds)
        assert result.stdout == f"{count} picture{'s' * (count > 1)} in {out}\n"


def test_variants_of_images_of_equal_stems_do_not_collide(
    checkpoints: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "photo.jpg"
    other.parent.mkdir()
    Image.new("RGB", (8, 8), (0, 0, 0)).save(other)
    third = tmp_path / "third.png"
    third.write_bytes(photo.read_bytes())
    options = ("--num-samples=2", "--num-sampling-steps=1", "--max-sampling-noise=0.05")
    out = tmp_path / "out"
    sample(checkpoints["continuous"], photo, other, third, *options, f"--save-dir={out}")
    stems = ("0000_photo", "0001_photo", "0002_third")
    assert names(out) == [f"{stem}_seed_{seed:06d}.png" for stem in stems for seed in (0, 1)]
    assert np.array_equal(
        pixels(out / "0000_photo_seed_000001.png"), pixels(out / "0002_third_seed_000001.png")
    )
    assert not np.array_equal(
        pixels(out / "0000_photo_seed_000001.png"), pixels(out / "0001_photo_seed_000001.png")
    )
    sample(checkpoints["continuous"], photo, third, *options, f"--save-dir={tmp_path / 'plain'}")
    assert "photo_seed_000000.png" in names(tmp_path / "plain")


def test_one_image_given_twice(checkpoints: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sample(
        *(checkpoints["continuous"], photo, photo, "--num-sampling-steps=1"), f"--save-dir={out}"
    )
    assert len(names(out)) == 2


# inpainting


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("visualize", ["z", "x"])
def test_held_pixels_are_bit_exact_and_white_is_repainted(
    invert: bool, visualize: str, checkpoint: Path, photo: Path, mask: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sample(
        *(checkpoint, photo, f"--inpainting-mask={mask}", "--num-samples=3"),
        *("--invert-mask",) * invert,
        *(f"--visualize={visualize}", "--num-sampling-steps=7", f"--save-dir={out}"),
    )
    before, repaint = as_model_sees(photo, checkpoint), (pixels(mask) > 0) != invert
    assert len(names(out)) == 3
    for name in names(out):
        after = pixels(out / name)
        assert np.array_equal(after[~repaint], before[~repaint]), "held pixels changed"
        assert (after[repaint] != before[repaint]).mean() > 0.5, "nothing was repainted"


def test_intermediate_pictures_hold_too(
    checkpoint: Path, photo: Path, mask: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sample(
        *(checkpoint, photo, f"--inpainting-mask={mask}", "--num-sampling-steps=3"),
        *("--save-intermediate", "--visualize=x", f"--save-dir={out}"),
    )
    before, held = as_model_sees(photo, checkpoint), pixels(mask) == 0
    steps = list((out / "intermediate" / "photo_seed_000000").iterdir())
    assert len(steps) == 4
    assert all(np.array_equal(pixels(step)[held], before[held]) for step in steps)


# images of any kind


def test_images_are_fitted_and_it_is_said(checkpoint: Path, tmp_path: Path) -> None:
    image = tmp_path / "wide.png"
    Image.new("RGBA", (31, 12), (9, 9, 9, 128)).save(image)
    out = tmp_path / "out"
    result = sample(checkpoint, image, "--num-sampling-steps=1", f"--save-dir={out}")
    assert f"{image}: 12x31 (height x width) fitted to 8x8" in result.stderr
    assert pixels(out / "wide_seed_000000.png").shape[:2] == (8, 8)
    quiet = sample(checkpoint, image, "--num-sampling-steps=1", f"--save-dir={out}-b", "-q")
    assert quiet.output == ""


def test_an_image_that_fits_is_not_spoken_of(checkpoint: Path, photo: Path, tmp_path: Path) -> None:
    result = sample(checkpoint, photo, "--num-sampling-steps=1", f"--save-dir={tmp_path / 'out'}")
    assert result.stderr == ""


def test_a_low_level_stays_near_the_image(
    checkpoints: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    """With the noisy state shown, so that the untrained network has no say: x is z with noise."""
    distances = []
    for level in (1e-6, 0.3):
        out = tmp_path / str(level)
        sample(
            *(checkpoints["continuous"], photo, "--visualize=x", "--num-sampling-steps=0"),
            *(f"--max-sampling-noise={level}", f"--min-sampling-noise={level}"),
            f"--save-dir={out}",
        )
        after = pixels(out / "photo_seed_000000.png").astype(int)
        distances.append(np.abs(after - pixels(photo)).mean())
    assert distances[0] < 1
    assert distances[1] > 20


# what else is saved


def test_grid_intermediate_and_animation(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = sample(
        *(checkpoint, "--num-samples=5", "--batch-size=2", "--num-sampling-steps=4"),
        *("--save-grid", "--save-intermediate", "--save-animation=gif", f"--save-dir={out}"),
    )
    singles = [f"seed_{seed:06d}" for seed in range(5)]
    assert names(out) == sorted(
        [*(f"{name}.png" for name in singles), "animation.gif", "grid.png", "intermediate"]
    )
    assert names(out / "intermediate") == singles
    for name in singles:
        levels = [1.0, 0.7525, 0.505, 0.2575, 0.01]
        steps = [f"step_{step:04d}_level_{level:.4f}.png" for step, level in enumerate(levels)]
        assert names(out / "intermediate" / name) == steps
        assert np.array_equal(
            pixels(out / "intermediate" / name / steps[-1]), pixels(out / f"{name}.png")
        )
    pictures = np.stack([pixels(out / f"{name}.png").reshape(8, 8, -1) for name in singles])
    sheet = contact_sheet(pictures)
    assert np.array_equal(pixels(out / "grid.png").reshape(sheet.shape), sheet)
    with Image.open(out / "animation.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 5
    for name in ("grid.png", "animation.gif", "intermediate"):
        assert f"  {out / name}\n" in result.stdout


@pytest.mark.parametrize(("kind", "steps"), [("gif", 3), ("webp", 3), ("gif", 250), ("webp", 250)])
def test_animations_are_bounded(
    kind: str, steps: int, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sample(
        *(checkpoints["continuous"], "--num-samples=1", f"--num-sampling-steps={steps}"),
        *(f"--save-animation={kind}", f"--save-dir={out}"),
    )
    with Image.open(out / f"animation.{kind}") as animation:
        count = getattr(animation, "n_frames", 1)
    if steps == 3:
        assert count == 4
    else:
        assert ANIMATION_FRAMES / 2 < count <= ANIMATION_FRAMES + 1


def test_visualize_x_shows_the_noisy_state(checkpoint: Path, tmp_path: Path) -> None:
    options = (checkpoint, "--seeds=1", "--num-sampling-steps=0", "--min-sampling-noise=1")
    sample(*options, "--visualize=x", f"--save-dir={tmp_path / 'x'}")
    sample(*options, f"--save-dir={tmp_path / 'z'}")
    x, z = (pixels(tmp_path / kind / "seed_000001.png") for kind in ("x", "z"))
    assert not np.array_equal(x, z)
    if "discrete" in checkpoint.name:
        assert np.unique(x).tolist() == [128], "all scrambled is mid grey"
    else:
        assert {0, 255} <= set(np.unique(x)), "N(0, 1) leaves [-1, 1]"


def test_anneals_of_any_length_are_finite(checkpoint: Path) -> None:
    model = load_model(checkpoint, device="cpu")
    for steps in each([0, 1, 2, 33, 1000]):
        task_states = list(states_of(model, steps))
        assert len(task_states) == steps + 1
        for x, mode in task_states[-2:]:
            assert x.isfinite().all()
            assert mode.isfinite().all()


def states_of(model: Model, steps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    from nkca.sampling.tasks import Schedule, from_noise, run_task

    for state in run_task(model, from_noise([0, 1]), Schedule(num_steps=steps)):
        yield state.x.double(), state.p_z.mode().double()


# settings inside, and again


def test_settings_are_in_every_png(
    checkpoints: dict[str, Path], photo: Path, mask: Path, tmp_path: Path
) -> None:
    out, checkpoint = tmp_path / "out", checkpoints["continuous"]
    sample(
        *(checkpoint, photo, f"--inpainting-mask={mask}", "--seeds=3-4", "--save-grid"),
        *("--num-sampling-steps=2", "--max-sampling-noise=0.7", "--lag=0.3", f"--save-dir={out}"),
    )
    settings = read_settings(out / "photo_seed_000004.png")
    expected = {
        "checkpoint": str(checkpoint),
        "seeds": "4",
        "images": [str(photo)],
        "inpainting_mask": str(mask),
        "num_sampling_steps": 2,
        "max_sampling_noise": 0.7,
        "lag": 0.3,
        "version": nkca.__version__,
    }
    assert {key: settings[key] for key in expected} == expected
    assert len(settings["checkpoint_sha256"]) == 64
    assert read_settings(out / "grid.png")["seeds"] == "3-4"
    with Image.open(out / "photo_seed_000004.png") as image:
        assert json.loads(image.info["nkca"]) == settings, "any reader of PNG text finds it"


LIKE = {
    "from noise": ["--seeds=2-4", "--num-sampling-steps=6"],
    "noisy state": ["--seeds=2-4", "--num-sampling-steps=6", "--visualize=x", "--lag=0.2"],
    "variant": ["{photo}", "--num-samples=3", "--max-sampling-noise=0.4", "--seed=5"],
    "inpainting": ["{photo}", "--inpainting-mask={mask}", "--num-samples=3", "--invert-mask"],
    "relative paths": ["photo.png", "--inpainting-mask=mask.png", "--num-samples=3"],
}


@pytest.mark.parametrize("flags", LIKE.values(), ids=LIKE.keys())
def test_like_repeats_bit_for_bit(
    flags: list[str],
    checkpoint: Path,
    photo: Path,
    mask: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From another directory: a picture made alone, and a whole sheet made in the same batch.

    One picture of a batch, made alone, is the same but for rounding.
    """
    monkeypatch.chdir(tmp_path)
    filled = [flag.format(photo=photo, mask=mask) for flag in flags]
    steps = [] if "--num-sampling-steps=6" in flags else ["--num-sampling-steps=6"]
    sample(checkpoint, *filled, *steps, "--save-grid", "--save-dir=first")
    first = tmp_path / "first"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    name = names(first)[1]  # of grid.png and three samples
    assert "seed" in name
    result = sample(f"--like={first / name}", f"--save-dir={tmp_path / 'one'}")
    assert result.stderr == ""
    assert names(tmp_path / "one") == [name]
    assert_same_picture(pixels(tmp_path / "one" / name), pixels(first / name))
    sample(f"--like={tmp_path / 'one' / name}", f"--save-dir={tmp_path / 'two'}")
    assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    sample(f"--like={first / 'grid.png'}", "--save-grid", f"--save-dir={tmp_path / 'all'}")
    assert names(tmp_path / "all") == names(first)
    for name in names(first):
        assert (tmp_path / "all" / name).read_bytes() == (first / name).read_bytes()


def test_flags_change_what_like_repeats(
    checkpoints: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    checkpoint, first = checkpoints["continuous"], tmp_path / "first"
    options = ("--seeds=7", "--num-sampling-steps=4", "--max-sampling-noise=0.6")
    sample(checkpoint, photo, *options, f"--save-dir={first}")
    like = first / "photo_seed_000007.png"
    changes: dict[str, tuple[list[str], dict[str, Any]]] = {
        "steps": (["--num-sampling-steps=5"], {"num_sampling_steps": 5}),
        "level": (["--noise-level-max=0.5"], {"max_sampling_noise": 0.5}),
        "lag": (["--lag=0.9"], {"lag": 0.9}),
        "x": (["--visualize=x"], {"visualize": "x"}),
        "seed": (["--seed=8"], {"seeds": "8"}),
    }
    for label, (flags, expected) in changes.items():
        out = tmp_path / label
        sample(f"--like={like}", *flags, f"--save-dir={out}")
        (name,) = names(out)
        before, after = read_settings(like), read_settings(out / name)
        assert after == {**before, **expected}
        assert not np.array_equal(pixels(out / name), pixels(like)), label
    sample(f"--like={like}", "--num-samples=3", "--seed=7", f"--save-dir={tmp_path / 'more'}")
    assert names(tmp_path / "more") == [f"photo_seed_{seed:06d}.png" for seed in (7, 8, 9)]
    assert_same_picture(pixels(tmp_path / "more" / "photo_seed_000007.png"), pixels(like))


def test_like_with_another_checkpoint_warns(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    own = tmp_path / "model.pth"
    own.write_bytes(checkpoints["continuous"].read_bytes())
    sample(own, "--seeds=1", "--num-sampling-steps=2", f"--save-dir={tmp_path / 'first'}")
    like = tmp_path / "first" / "seed_000001.png"
    write_checkpoint(own, 3, parametrisation="preconditioned")
    result = sample(f"--like={like}", f"--save-dir={tmp_path / 'second'}")
    assert result.stderr == f"warning: {own} is not the file that made {like}\n"
    assert not np.array_equal(pixels(tmp_path / "second" / "seed_000001.png"), pixels(like))
    moved = sample(checkpoints["continuous"], f"--like={like}", f"--save-dir={tmp_path / 'moved'}")
    assert moved.stderr == "", "the same file under another name"
    assert np.array_equal(pixels(tmp_path / "moved" / "seed_000001.png"), pixels(like))


# directories


def test_a_directory_is_never_overwritten(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = (checkpoints["continuous"], "--num-sampling-steps=0", f"--save-dir={out}")
    sample(*options, "--seeds=0")
    before = (out / "seed_000000.png").stat().st_mtime_ns
    for number in (2, 3):
        result = sample(*options, "--seeds=0")
        fresh = tmp_path / f"out-{number}"
        assert result.stderr == f"{out} holds something already; writing to {fresh}\n"
        assert result.stdout == f"1 picture in {fresh}\n"
        assert names(fresh) == ["seed_000000.png"]
    assert (out / "seed_000000.png").stat().st_mtime_ns == before
    result = sample(*options, "--seeds=0-1", "--overwrite")
    assert result.stderr == ""
    assert (out / "seed_000000.png").stat().st_mtime_ns > before
    assert names(out) == ["seed_000000.png", "seed_000001.png"]
    assert names(tmp_path) == ["out", "out-2", "out-3"]


def test_the_summary_names_only_what_was_made_now(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = (checkpoints["continuous"], "--num-sampling-steps=0", f"--save-dir={out}")
    sample(*options, "--num-samples=2", "--save-grid")
    result = sample(*options, "--num-samples=2", "--overwrite")
    assert "grid.png" not in result.stdout


# the library's side


def test_progress_counts_every_evaluation(checkpoint: Path, tmp_path: Path) -> None:
    model = load_model(checkpoint, device="cpu")
    request = SampleRequest(str(checkpoint), seeds="0-4", num_sampling_steps=3)
    steps = list(make_samples(plan_samples(model, request, Outputs(grid=True)), tmp_path, 2))
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[-1] == steps[0].total == math.ceil(5 / 2) * 4
    assert {step.total for step in steps} == {12}
    files = [file.name for step in steps for file in step.files]
    assert files == [*(f"seed_{seed:06d}.png" for seed in range(5)), "grid.png"]


def test_a_plan_checks_everything_before_anything_is_written(
    checkpoints: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    model = load_model(checkpoints["continuous"], device="cpu")
    good = SampleRequest("model.pth", images=(str(photo),), num_sampling_steps=1)
    before = names(tmp_path)
    for bad, message in (
        (replace(good, seeds="3-1"), "seeds must rise"),
        (replace(good, images=(str(photo), "none.png")), "no such image: none.png"),
        (replace(good, inpainting_mask="none.png"), "no such mask: none.png"),
        (replace(good, max_sampling_noise=1.5), "noise levels must"),
        (replace(good, num_sampling_steps=-1), "sampling steps must"),
        (replace(good, images=(), inpainting_mask=str(photo)), "inpainting needs an image"),
    ):
        with pytest.raises(nkca.InputError, match=message):
            plan_samples(model, bad, Outputs())
    with pytest.raises(nkca.InputError, match=r"lag must be in \[0, 1\)"):
        load_model(checkpoints["continuous"], device="cpu", lag=1.0)
    assert names(tmp_path) == before


def test_each_picture_is_decoded_once(
    checkpoints: dict[str, Path], photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def counted(path: Path, shape: tuple[int, int, int], reader: Reader) -> tuple[Tensor, str]:
        read.append(path)
        return fit_picture(path, shape, reader)

    monkeypatch.setattr(plan, "fit_picture", counted)
    model = load_model(checkpoints["continuous"], device="cpu")
    request = SampleRequest("model.pth", images=(str(photo),), seeds="0-4", num_sampling_steps=1)
    steps = list(make_samples(plan_samples(model, request, Outputs()), tmp_path, batch_size=1))
    assert len([file for step in steps for file in step.files]) == 5
    assert read == [photo]


def test_defaults_of_the_three_tasks() -> None:
    noise = SampleRequest("model.pth")
    variant = replace(noise, images=("a.png",))
    inpainting = replace(variant, inpainting_mask="mask.png")
    assert [r.schedule().max_noise for r in (noise, variant, inpainting)] == [1.0, 0.5, 1.0]
    assert replace(variant, max_sampling_noise=0.3).schedule().max_noise == 0.3
    assert {r.schedule().min_noise for r in (noise, variant, inpainting)} == {None}
    assert [r.schedule().num_steps for r in (noise, variant)] == [None, None]  # the model's
    assert inpainting.schedule().num_steps == 100
    walks = SampleRequest("model.pth", samples_per_walk=4)
    assert walks.schedule().max_noise == 0.6


def test_a_png_records_the_models_own_way_of_sampling(tmp_path: Path) -> None:
    """So that it is repeated in the same way whatever the defaults become."""
    model = load_model(write_checkpoint(tmp_path / "model.pth"), device="cpu")
    own = replace(model, sampling=SamplingConfig("dpm2m", "sigma", 3, guidance=2.0))
    recorded = plan_samples(own, SampleRequest("model.pth"), Outputs()).request
    assert recorded.guidance == 1.0  # as there is no weak model
    own = replace(own, weak=model.chain.denoiser)
    recorded = plan_samples(own, SampleRequest("model.pth"), Outputs()).request
    assert recorded.guidance == 2.0
    assert (recorded.sampler, recorded.ladder, recorded.num_sampling_steps) == ("dpm2m", "sigma", 3)
    save_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8), {})
    save_png(tmp_path / "mask.png", np.full((8, 8, 3), 255, np.uint8), {})
    image, mask = str(tmp_path / "a.png"), str(tmp_path / "mask.png")
    inpainting = SampleRequest("model.pth", images=(image,), inpainting_mask=mask)
    recorded = plan_samples(own, inpainting, Outputs()).request
    assert (recorded.sampler, recorded.ladder, recorded.num_sampling_steps) == (
        "chain", "linear", 100,
    )  # fmt: skip
    named = SampleRequest("model.pth", num_sampling_steps=5, sampler="chain")
    recorded = plan_samples(own, named, Outputs()).request
    assert (recorded.sampler, recorded.ladder, recorded.num_sampling_steps) == ("chain", "sigma", 5)


def test_a_png_from_before_samplers_is_repeated_by_the_chain(tmp_path: Path) -> None:
    save_png(tmp_path / "old.png", np.zeros((2, 2, 3), np.uint8), {"checkpoint": "model.pth"})
    settings = read_request_settings(tmp_path / "old.png")
    assert (settings["sampler"], settings["ladder"]) == ("chain", "linear")
    assert settings["guidance"] == 1.0


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    """Peak of what Python and NumPy allocate, for 8 and for 72 samples of 32x32 in batches of 8.

    Keeping the 64 pictures more would take 64 * 3 * 32 * 32 = 197 kB; the bound is half of that, as
    names, generators and PNG buffers come and go.
    """
    path = write_checkpoint(tmp_path / "large.pth", 3, side=32)
    model = load_model(path, device="cpu")

    def peak(count: int) -> int:
        request = SampleRequest(str(path), seeds=f"0-{count - 1}", num_sampling_steps=2)
        plan = plan_samples(model, request, Outputs(intermediate=True))
        folder = tmp_path / str(count)
        folder.mkdir(exist_ok=True)
        tracemalloc.start()
        for _ in make_samples(plan, folder, batch_size=8):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(8)  # imports, caches
    assert peak(72) - peak(8) < 100_000


def test_memory_does_not_grow_with_the_number_of_steps(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    """Animations keep at most `ANIMATION_FRAMES` + 1 frames, whatever the number of steps."""
    model = load_model(checkpoints["continuous"], device="cpu")

    def peak(steps: int) -> int:
        request = SampleRequest("model.pth", seeds="0", num_sampling_steps=steps)
        plan = plan_samples(model, request, Outputs(animation="gif"))
        tracemalloc.start()
        for _ in make_samples(plan, tmp_path):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(2)
    few, many = peak(99), peak(500)
    frame = contact_sheet(np.zeros((1, 8, 8, 3), np.uint8)).nbytes
    assert few > 100 * frame, "the measure sees frames"
    assert many < few + 25 * frame


def test_a_sheet_of_variants_begins_each_row_with_its_image(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    images = [tmp_path / "a.png", tmp_path / "b.png"]
    for number, image in enumerate(images):
        save_png(image, random_pictures(1, seed=number)[0])
    out = tmp_path / "out"
    sample(checkpoints["continuous"], *images, "--seeds=3-5", "--save-grid", f"--save-dir={out}")
    rows = [
        np.asarray(Image.open(path))
        for image in images
        for path in (image, *sorted(out.glob(f"{image.stem}_*.png")))
    ]
    assert len(rows) == 8
    assert np.array_equal(np.asarray(Image.open(out / "grid.png")), contact_sheet(rows, columns=4))
