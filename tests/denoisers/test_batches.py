"""What a denoiser says of an image in batches of any size: on the CPU, the same up to rounding."""

import pytest
import torch

import nkca

SIZES = (2, 3, 4, 7, 8, 9, 16, 17)
LARGEST = max(SIZES)


@pytest.mark.parametrize(("precision", "rounding"), [("fp32", 1e-5), ("bf16", 2**-7)])
def test_an_image_has_the_same_posterior_in_any_batch(precision: str, rounding: float) -> None:
    """Pixels are in [-1, 1]. An algorithm that is less exact for some sizes differs by 1e-2 in bfloat16."""
    model = nkca.load_model("demo", precision=precision, device="cpu", compile="auto")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(LARGEST, *model.data_shape, generator=generator)
    b = torch.linspace(0.2, 0.9, LARGEST)
    with torch.inference_mode():
        alone = torch.cat(
            [model.chain.denoiser(x[i : i + 1], b[i : i + 1]).mean for i in range(LARGEST)]
        )
        for count in SIZES:
            together = model.chain.denoiser(x[:count], b[:count]).mean
            torch.testing.assert_close(together, alone[:count], rtol=0, atol=rounding)
    assert alone.std() > 0.2
