"""`nkca::norm_mish` keeps PyTorch's rules at its edge: devices, dtypes, transforms, export, memory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import nkca
from nkca.config.schema import ModelConfig
from nkca.models.build import ModelSpec, new_denoiser
from nkca.networks import norm_mish as by_pytorch
from nkca.networks.compilation import compile_network
from nkca.networks.cpu.norm_mish import _backward, _forward, norm_mish

pytestmark = pytest.mark.usefixtures("_kernels")
CPU = torch.device("cpu")
SPEC = ModelSpec(ModelConfig(hidden_size=16, dim_mults=(1, 2)), (1, 8, 8), 0.5)


def image(seed: int = 0, dtype: torch.dtype = torch.float32, batch: int = 2) -> Tensor:
    """(batch, 16, 5, 4), channels last."""
    x = torch.randn(
        batch, 16, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float32
    )
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def rows(count: int, seed: int) -> Tensor:
    """(count, 16)."""
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # inside opcheck
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pytorchs_own_checks(dtype: torch.dtype) -> None:
    x, weight, bias = (
        t.requires_grad_() for t in (image(dtype=dtype), rows(1, 1)[0], rows(1, 6)[0])
    )
    for operand, skip in (
        (None, None),
        (rows(2, 2).requires_grad_(), None),
        (rows(1, 2).requires_grad_(), image(3, dtype).requires_grad_()),
    ):
        torch.library.opcheck(_forward, (x, weight, bias, operand, skip, 8, 1e-5))
    _, mean, inverse = _forward(x.detach(), weight.detach(), bias.detach(), None, None, 8, 1e-5)
    for gate in (None, rows(1, 4)):
        given = (
            x.detach(),
            image(5, dtype),
            weight.detach(),
            bias.detach(),
            gate,
            mean,
            inverse,
            8,
        )
        torch.library.opcheck(_backward, given)


@pytest.fixture
def _default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_default_dtype")
def test_another_default_dtype_changes_nothing() -> None:
    norm, x = nn.GroupNorm(8, 16, dtype=torch.float32), image().requires_grad_()
    for function in (norm_mish, by_pytorch.norm_mish):
        torch.autograd.backward(function(x, norm).sum())
    ours, theirs = torch.autograd.grad(norm_mish(x, norm).square().sum(), [x, norm.weight])
    exact = [t.detach().double().requires_grad_() for t in (x, norm.weight, norm.bias)]
    out = nn.functional.mish(nn.functional.group_norm(exact[0], 8, exact[1], exact[2], norm.eps))
    for found, wanted in zip(
        (ours, theirs), torch.autograd.grad(out.square().sum(), exact[:2]), strict=True
    ):
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max().clamp(min=1)


def test_another_default_device_and_tensors_without_data() -> None:
    norm, x = nn.GroupNorm(8, 16), image().requires_grad_()
    wanted = norm_mish(x, norm)
    with torch.device("meta"):
        found = norm_mish(x, norm)
        (gradient,) = torch.autograd.grad(found.sum(), x)
        assert gradient.device.type == "cpu"
        assert norm_mish(torch.empty(2, 16, 5, 4), norm.to("meta")).device.type == "meta"
    assert torch.equal(found, wanted)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = norm_mish(mode.from_tensor(image()), nn.GroupNorm(8, 16))
    assert fake.shape == (2, 16, 5, 4)
    assert fake.is_contiguous(memory_format=torch.channels_last)


def test_transforms_of_functions() -> None:
    norm = nn.GroupNorm(8, 16).requires_grad_(False)
    gate, skip = rows(1, 2)[:, :, None, None], image(3)

    def loss(x: Tensor, function: by_pytorch.NormMish = norm_mish) -> Tensor:
        return function(x, norm, residual=(gate, skip)).square().sum()

    x = image()
    expected = torch.func.grad(lambda x: loss(x, by_pytorch.norm_mish))(x)
    torch.testing.assert_close(torch.func.grad(loss)(x), expected, rtol=1e-4, atol=1e-4)
    many = torch.stack([image(seed) for seed in range(3)])
    torch.testing.assert_close(torch.vmap(loss)(many), torch.stack([loss(one) for one in many]))
    each = torch.vmap(torch.func.grad(loss))(many)
    torch.testing.assert_close(each, torch.stack([torch.func.grad(loss)(one) for one in many]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bias": rows(2, 0)[0, :8]}, r"bias is torch.float32 \(8,\)"),
        ({"bias": rows(1, 0)[0].double()}, "bias is torch.float64"),
        ({"weight": rows(1, 0)[0].bfloat16()}, "weight is torch.bfloat16"),
        ({"weight": torch.ones(32)[::2]}, r"weight .* strides \(2,\)"),
        ({"operand": rows(3, 0)}, r"operand is torch.float32 \(3, 16\)"),
        ({"skip": image(1, torch.bfloat16)}, "skip is torch.bfloat16"),
        ({"skip": image(1).contiguous()}, "skip .* channels last"),
        ({"x": image().double()}, "x is torch.float64"),
        ({"groups": 3}, "3 groups of 16 channels"),
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object], message: str) -> None:
    given: dict[str, Any] = {
        "x": image(),
        "weight": rows(1, 1)[0],
        "bias": rows(1, 2)[0],
        "operand": rows(2, 3),
    }
    given |= {"skip": None, "groups": 8, "epsilon": 1e-5, **wrong}
    if wrong.keys() & {"skip"}:
        given["operand"] = rows(1, 3)
    with pytest.raises(ValueError, match=message):
        _forward(**given)


def test_a_denoiser_is_exported() -> None:
    denoiser = compile_network(new_denoiser(SPEC, seed=0), CPU, "on").eval()
    x, b = torch.randn(3, 1, 8, 8), torch.full((3,), 0.5)

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.denoiser = denoiser

        def forward(self, x: Tensor, b: Tensor) -> Tensor:
            mean: Tensor = self.denoiser(x, b).mean
            return mean

    program = torch.export.export(Mean(), (x, b))
    assert "nkca.norm_mish" in program.graph_module.code
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x, b), denoiser(x, b).mean)


def test_memory_that_runs_out_is_an_exception() -> None:
    """In a process of its own: 1 GiB is what it may have beside PyTorch."""
    script = (
        "import resource, torch\n"
        "from torch import nn\n"
        "from nkca.networks.cpu.norm_mish import norm_mish\n"
        "x = torch.zeros(1, 16, 4096, 2048).contiguous(memory_format=torch.channels_last)\n"
        "norm_mish(x[:, :, :8, :8].contiguous(memory_format=torch.channels_last), nn.GroupNorm(8, 16))\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))\n"
        "try:\n    norm_mish(x, nn.GroupNorm(8, 16))\n"
        "except RuntimeError as error:\n    print('no memory:', str(error).splitlines()[0])\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("no memory:")


def test_without_the_folder_only_speed_is_lost(tmp_path: Path) -> None:
    package = tmp_path / "nkca"
    source = Path(nkca.__file__).parent
    package.mkdir()
    for path in source.iterdir():
        if path.name != "networks":
            (package / path.name).symlink_to(path)
    (package / "networks").mkdir()
    for path in (source / "networks").iterdir():
        if path.name not in ("cpu", "__pycache__"):
            (package / "networks" / path.name).symlink_to(path)
    script = (
        "import nkca\n"
        "from nkca.networks.compilation import why_not_compiled\n"
        "assert 'nkca.networks.cpu' in why_not_compiled()\n"
        "model = nkca.load_model('demo')\n"
        "print(nkca.sample(model, [0]).shape, nkca.__file__)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"(1, 28, 28, 1) {package / '__init__.py'}"
