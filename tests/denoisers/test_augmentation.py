"""Augmentation that the network is told of: what it does to images, and that zero means untouched."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tables import each
from torch import Tensor

from nkca.config.parsing import configure
from nkca.denoisers import augmentation
from nkca.denoisers.augmentation import DRAWS, augmented, parameter_count
from nkca.errors import InputError
from nkca.models.build import ModelSpec, new_denoiser
from nkca.models.checkpoint import FINAL, load_checkpoint
from nkca.noise import sample_noise
from nkca.pictures.png import save_png
from nkca.runs.loop import train
from nkca.runs.start import open_run

SHAPE = (3, 16, 16)


def pictures(count: int = 64, channels: int = 3) -> Tensor:
    """Smooth random pictures, (count, channels, 16, 16) in [-1, 1]."""
    coarse = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return 2 * torch.nn.functional.interpolate(coarse, size=16, mode="bicubic").clamp(0, 1) - 1


def of(name: str, value: float, z: Tensor) -> tuple[Tensor, Tensor]:
    """The images z under one transformation of that strength, and the parameters."""
    places = {"mirror": 0, "shift": 1, "scale": 2, "turn": 3, "stretch": 4}
    happens, uniform, normal = (torch.zeros(len(z), DRAWS) for _ in range(3))
    uniform += 0.5
    happens[:, places[name]] = 1
    if name == "shift":
        normal[:, 0] = value * 8
    if name == "scale":
        normal[:, 2] = value / 0.2
    if name == "turn":
        uniform[:, 0] = 0.5 + value / (2 * math.pi)
    return augmentation._moved(z, happens, uniform, normal)


def test_nothing_happens_at_probability_zero_and_the_parameters_are_zero() -> None:
    for channels in each([1, 3, 4]):
        z = pictures(channels=channels)
        same, parameters = augmented(z, sample_noise(range(64)), 0.0)
        assert torch.equal(same, z)
        assert parameters.shape == (64, parameter_count(channels))
        assert not parameters.any()


def test_an_image_is_changed_exactly_where_its_parameters_are_not_zero() -> None:
    z = pictures(512)
    changed, parameters = augmented(z, sample_noise(range(512)), 0.12)
    is_changed = (changed != z).flatten(1).any(1)
    assert torch.equal(is_changed, parameters.any(1))
    expected = 1 - (1 - 0.12) ** 9
    assert abs(is_changed.float().mean().item() - expected) < 4.5 * (0.25 / 512) ** 0.5
    assert changed.isfinite().all()
    again, same = augmented(z, sample_noise(range(512)), 0.12)
    assert torch.equal(again, changed)
    assert torch.equal(same, parameters)


def test_geometry_is_what_its_parameters_say() -> None:
    z = pictures()
    mirrored, parameters = of("mirror", 1.0, z)
    torch.testing.assert_close(mirrored, z.flip(-1), atol=1e-5, rtol=0)
    assert parameters[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    moved, parameters = of("shift", 4 / 16, z)
    torch.testing.assert_close(moved[..., 4:], z[..., :-4], atol=1e-5, rtol=0)
    assert parameters[0, 1].item() == pytest.approx(4 / 16)
    turned, parameters = of("turn", math.pi / 2, z)
    torch.testing.assert_close(turned, z.rot90(-1, (2, 3)), atol=1e-4, rtol=0)
    assert parameters[0, 4:6].tolist() == pytest.approx([-1, 1], abs=1e-6)
    enlarged, parameters = of("scale", 1.0, z)
    small = torch.nn.functional.avg_pool2d(enlarged, 2)
    assert (small - z[..., 4:12, 4:12]).abs().mean() < 0.05
    assert parameters[0, 3].item() == pytest.approx(1.0)


def test_colours_keep_grey_and_transparency() -> None:
    grey = torch.full((256, 4, 16, 16), 0.25)
    happens, uniform, normal = (
        torch.zeros(256, DRAWS),
        torch.rand(256, DRAWS),
        torch.zeros(256, DRAWS),
    )
    happens[:, 7:9], normal[:, 6] = 1, 0.7
    changed, parameters = augmentation._coloured(grey, happens, uniform, normal)
    torch.testing.assert_close(changed, grey, atol=1e-5, rtol=0)
    assert parameters.all(0).all()
    z = torch.cat([pictures(256), grey[:, 3:]], 1)
    changed, _ = augmentation._coloured(z, happens, uniform, normal)
    assert torch.equal(changed[:, 3:], z[:, 3:])
    torch.testing.assert_close(changed[:, :3].mean(1), z[:, :3].mean(1), atol=1e-5, rtol=0)
    assert (changed[:, :3] - z[:, :3]).abs().mean() > 0.1


def test_a_network_that_is_told_nothing_is_told_zero() -> None:
    config = configure({"hidden_size": 8, "dim_mults": [1], "augment": 0.1}).model
    network = new_denoiser(ModelSpec(config, (3, 8, 8), 0.5), 0)
    x, level = (
        torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)),
        torch.ones(2) / 2,
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05)
        silent = network(x, level).mean
        assert torch.equal(silent, network(x, level, torch.zeros(2, parameter_count(3))).mean)
        assert not torch.equal(silent, network(x, level, torch.ones(2, parameter_count(3))).mean)


def test_a_run_with_augmentation_learns_resumes_and_samples(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        save_png(tmp_path / f"photos/{number}.png", pixels, {})
    options = {
        "dataset": str(tmp_path / "photos"), "hidden_size": 8, "dim_mults": [1], "augment": 0.5,
        "batch_size": 4, "max_steps": 6, "device": "cpu", "viz_freq": 0, "accumulate": 2,
    }  # fmt: skip
    for name, stops in (("whole", (6,)), ("parts", (2, 6))):
        for stop in stops:
            with open_run(options, tmp_path / name) as run:
                for _ in train(run, lambda run=run, stop=stop: run.progress.step >= stop):  # type: ignore[misc]
                    pass
    whole, parts = (load_checkpoint(tmp_path / name / FINAL) for name in ("whole", "parts"))
    assert whole.config["augment"] == 0.5
    assert "trunk.condition.weight" in whole.ema
    assert all(torch.equal(tensor, parts.model[name]) for name, tensor in whole.model.items())
    with (
        pytest.raises(InputError, match="augment"),
        open_run({**options, "augment": 0.1}, tmp_path / "whole"),
    ):
        pass
    with pytest.raises(InputError, match="continuous pixels, not discrete"):
        configure({"discrete": True, "augment": 0.1})
