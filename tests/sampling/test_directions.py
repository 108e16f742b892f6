"""Directions: the components are those of the features, and moves go where they say."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tables import each
from toys import write_checkpoint

from nkca.denoisers.bottleneck import Shifted, observe
from nkca.errors import InputError
from nkca.models.build import load_model
from nkca.models.model import Model
from nkca.sampling.directions import (
    AMOUNTS,
    direction_sheet,
    find_directions,
    load_directions,
    moved,
    parse_moves,
    principal_components,
    save_directions,
)
from nkca.sampling.tasks import Schedule, draw_task, from_noise

SHORT = Schedule(num_steps=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("model") / "model.pth"
    return load_model(write_checkpoint(path, 1, num_sampling_steps=4), device="cpu")


def state(model: Model, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, *model.data_shape, generator=generator)
    return x, torch.full((count,), 0.6)


def test_components_are_the_axes_that_the_features_were_made_of() -> None:
    generator = torch.Generator().manual_seed(4)
    axes = torch.linalg.qr(torch.randn(12, 3, generator=generator))[0].T
    deviations = torch.tensor([5.0, 2.0, 0.5])
    scores = torch.randn(4000, 3, generator=generator) * deviations
    features = (7 + scores @ axes).view(-1, 3, 2, 2)
    found = principal_components(features, 2)
    assert found.components.shape == (2, 3, 2, 2)
    overlaps = found.components.flatten(1) @ axes.T
    torch.testing.assert_close(overlaps.abs(), torch.eye(3)[:2], atol=0.03, rtol=0)
    torch.testing.assert_close(found.deviations, deviations[:2], rtol=0.05, atol=0)
    shares = deviations.square() / deviations.square().sum()
    torch.testing.assert_close(found.shares, shares[:2], rtol=0.05, atol=0)


def test_a_shift_moves_the_bottleneck_and_leaves_nothing_behind(model: Model) -> None:
    x, b = state(model)
    plain, features = observe(model.chain.denoiser, x, b)
    shift = torch.ones_like(features[0])
    again = model.chain.denoiser(x, b)
    shifted = Shifted(model.chain.denoiser, shift)(x, b)
    assert torch.equal(plain.mean, again.mean)
    assert not torch.allclose(shifted.mean, plain.mean)
    assert torch.equal(Shifted(model.chain.denoiser, 0 * shift)(x, b).mean, plain.mean)
    above = Shifted(model.chain.denoiser, shift, low=0.7)
    assert torch.equal(above(x, b).mean, plain.mean)  # 0.6 is below
    assert torch.equal(model.chain.denoiser(x, b).mean, plain.mean)


def test_a_compiled_network_is_shifted_too(tmp_path: Path) -> None:
    model = load_model(write_checkpoint(tmp_path / "model.pth", 1), device="cpu")
    x, b = state(model)
    expected = Shifted(model.chain.denoiser, torch.ones(1))(x, b).mean
    network = model.chain.denoiser
    assert isinstance(network, torch.nn.Module)
    network.compile(backend="eager")
    network(x, b)
    assert torch.equal(Shifted(network, torch.ones(1))(x, b).mean, expected)
    assert network._compiled_call_impl is not None


def test_a_sheet_is_made_of_moves_and_the_file_repeats_them(model: Model, tmp_path: Path) -> None:
    directions = find_directions(model, 2, states=16)
    sheet = direction_sheet(model, directions, 5, SHORT)
    assert sheet.shape == (2, len(AMOUNTS), 1, 8, 8)
    save_directions(tmp_path / "directions.safetensors", directions)
    found = load_directions(tmp_path / "directions.safetensors")
    one = draw_task(found.moved(model, {2: -3.0}), from_noise([5]), SHORT)
    assert (one.int() - sheet[1, 0].int()).abs().max() <= 1
    assert (one.int() - sheet[0, 0].int()).abs().max() > 1  # the control: the other component
    still = draw_task(model, from_noise([5]), SHORT)
    assert (still.int() - sheet[:, 3].int()).abs().max() <= 1


def test_moves_are_parsed_or_refused() -> None:
    assert parse_moves("3:+2") == {3: 2.0}
    assert parse_moves("1:-1.5, 3:2") == {1: -1.5, 3: 2.0}
    for text in each(["", "3", "3:", "3:x", "a:2", "3:2;4:1", "1:1,1:2"]):
        with pytest.raises(InputError, match="moves"):
            parse_moves(text)


def test_directions_that_do_not_fit_are_refused(model: Model, tmp_path: Path) -> None:
    directions = find_directions(model, 2, states=16)
    with pytest.raises(InputError, match="1 to 2"):
        directions.moved(model, {3: 1.0})
    wide = principal_components(torch.randn(9, 5, 2, 2), 2)
    with pytest.raises(InputError, match="of another model"):
        wide.moved(model, {1: 1.0})
    with pytest.raises(InputError, match="go together"):
        moved(model, "1:2", None)
    save_directions(tmp_path / "file", replace(directions, shares=directions.shares[:1]))
    with pytest.raises(InputError, match="holds no directions"):
        load_directions(tmp_path / "file")
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(InputError, match="not a safetensors file"):
        moved(model, "1:2", str(tmp_path / "text"))
