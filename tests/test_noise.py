"""One stream for each sample, whatever batch it is in."""

import math

import pytest
import torch

from nkca.errors import InputError
from nkca.noise import Noise, derive_seed, sample_noise, step_noise


@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_sample_i_is_the_same_in_any_batch(draw: str) -> None:
    def draws(seeds: list[int]) -> torch.Tensor:
        noise = sample_noise(seeds)
        like = torch.empty(len(seeds), 2, 3)
        return torch.stack([getattr(noise, draw)(like) for _ in range(3)], 1)

    alone = draws([17])[0]
    assert torch.equal(draws([3, 17, 5])[1], alone)
    assert torch.equal(draws([17, 17])[1], alone)
    assert not torch.equal(draws([18])[0], alone)
    assert not torch.equal(alone[0], alone[1])


def test_streams_of_a_training_step_depend_on_the_row_of_the_global_batch() -> None:
    like = torch.empty(4, 5)
    whole = step_noise(1, 10, 0, 4).normal(like)
    assert torch.equal(step_noise(1, 10, 2, 2).normal(like[:2]), whole[2:])
    assert not torch.equal(step_noise(1, 11, 0, 4).normal(like), whole)
    assert not torch.equal(step_noise(2, 10, 0, 4).normal(like), whole)


def test_slices_share_their_streams() -> None:
    like = torch.empty(3, 4)
    whole = sample_noise([1, 2, 3])
    first, second = whole.normal(like), whole.normal(like)
    noise = sample_noise([1, 2, 3])
    part = noise[1:]
    assert len(part) == 2
    assert torch.equal(part.normal(like[1:]), first[1:])
    mixed = noise.normal(like)  # rows 1 and 2 have moved on, row 0 has not
    assert torch.equal(mixed[0], first[0])
    assert torch.equal(mixed[1:], second[1:])


def test_draws_have_the_dtype_of_what_they_are_like() -> None:
    noise = sample_noise([1])
    assert noise.normal(torch.empty(1, 2, dtype=torch.float64)).dtype == torch.float64
    u = noise.uniform(torch.empty(1, 1000))
    assert u.dtype == torch.float32
    assert 0 <= u.min() < 0.01
    assert 0.99 < u.max() < 1


def test_a_batch_of_another_size_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="3 rows for 2 streams"):
        Noise([1, 2]).normal(torch.empty(3, 1))


def test_seeds_of_close_keys_differ() -> None:
    keys: list[tuple[int | str, ...]] = [
        ("train", 1, 23), ("train", 12, 3), ("train", 123), ("train", "1", 23), ("train", 1, "23"),
        ("train", 1, 2, 3), ("sample", 1), ("sample", 2), ("sample",), ("sample1",), (1,), ("1",),
        ("train", -1), ("a", "b"), ("ab",), ("a, b",), ("a', 'b",),
    ]  # fmt: skip
    keys += [("order", 0, epoch) for epoch in range(500)]
    seeds = {derive_seed(*key) for key in keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed("train", 1, 23) == derive_seed("train", 1, 23)


def test_a_seed_is_the_same_in_every_version() -> None:
    """Users' seeds are kept: sample 17 shows the same picture after an upgrade."""
    assert derive_seed("sample", 17) == 6555876943626688946
    assert derive_seed("train", 0, 0, 0) == 1302664161601079205


def test_neighbouring_streams_are_unrelated() -> None:
    n = 20_000
    x, y = sample_noise([100, 101]).normal(torch.empty(2, n))

    def z(other: torch.Tensor) -> float:
        return math.sqrt(n) * abs(float((x * other).mean()))

    assert z(y) < 4.5
    assert z(y + 0.1 * x) > 4.5  # control


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    sample_noise([1]).normal(torch.empty(1, 3))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_of_samples_are_in_63_bits(seed: int) -> None:
    sample_noise([0, 2**63 - 1])
    with pytest.raises(InputError, match=r"seeds must be in 0\.\.2\^63-1"):
        sample_noise([0, seed])
