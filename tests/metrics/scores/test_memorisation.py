"""Copies are found; what is not copied gives 0.5; no set wins by being larger."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from toys import column, normal

from nkca.errors import InputError
from nkca.metrics.scores.memorisation import CLOSEST_PAIRS, memorisation

# by hand, on a line


def test_by_hand_with_held_out_images() -> None:
    """Samples 0, 4, 12; training 1, 10; held out 3, 7.

    To training: 1, 3, 2, median 2, of images 0, 0, 1. To held out: 3, 1, 5, median 3.
    Nearer to training: 0 and 12, 2/3. Unseen to training: 2 and 3.
    P(sample < unseen): 1 is below both, 3 below none and equal to one, 2 below one and equal to one:
    (1 + 0.25 + 0.75) / 3.
    """
    found = memorisation(column(0, 4, 12), column(1, 10), column(3, 7))
    assert found.train_distance == pytest.approx(2)
    assert found.held_out_distance == pytest.approx(3)
    assert found.nearer_training == pytest.approx(2 / 3)
    assert found.data_copying == pytest.approx(2 / 3)
    assert found.copies == 0
    assert found.closest == ((0, 0, 1.0), (2, 1, 2.0), (1, 0, 3.0))


def test_by_hand_without_held_out_images() -> None:
    """Training 0, 1, 5 seen from the others: 1, 1, 4. Samples 0, 3, 7 are 0, 2, 2 away.

    0 is below all, 2 is below the 4 alone: (1 + 1/3 + 1/3) / 3; one of three is a copy.
    """
    found = memorisation(column(0, 3, 7), column(0, 1, 5))
    assert found.data_copying == pytest.approx(5 / 9)
    assert found.train_distance == pytest.approx(2)
    assert found.copies == pytest.approx(1 / 3)
    assert (found.held_out_distance, found.nearer_training) == (None, None)
    assert found.closest == ((0, 0, 0.0), (1, 1, 2.0), (2, 2, 2.0))


def test_data_copying_is_the_mann_whitney_statistic() -> None:
    samples, train, held_out = (
        normal(30, 3, seed=1),
        normal(40, 3, seed=2),
        normal(20, 3, seed=3),
    )
    near = [min(np.linalg.norm(x - y) for y in train) for x in samples.astype(float)]
    unseen = [min(np.linalg.norm(x - y) for y in train) for x in held_out.astype(float)]
    wins = [(a < b) + (a == b) / 2 for a, b in itertools.product(near, unseen)]
    found = memorisation(samples, train, held_out)
    assert found.data_copying == pytest.approx(float(np.mean(wins)), abs=1e-12)


# copies


def test_exact_copies_are_all_found() -> None:
    train, held_out = normal(60, 8, seed=4), normal(60, 8, seed=5)
    found = memorisation(train[10:40], train, held_out)
    assert found.copies == 1
    assert found.data_copying == 1
    assert found.nearer_training == 1
    assert found.train_distance == 0
    assert memorisation(train[10:40], train).data_copying == 1
    assert found.closest == tuple((i, i + 10, 0.0) for i in range(CLOSEST_PAIRS))


def test_copies_with_a_little_noise_are_no_copies_but_near() -> None:
    train, held_out = normal(60, 8, seed=6), normal(60, 8, seed=7)
    found = memorisation(train[:30] + 0.01 * normal(30, 8, seed=8), train, held_out)
    assert found.copies == 0
    assert found.data_copying > 0.99
    assert found.nearer_training == 1


def test_copies_of_held_out_images_are_not_copies_of_training_images() -> None:
    train, held_out = normal(60, 8, seed=9), normal(60, 8, seed=10)
    found = memorisation(held_out[:30], train, held_out)
    assert found.copies == 0
    assert found.nearer_training == 0
    assert found.held_out_distance == 0
    assert found.train_distance > 0
    assert found.data_copying == pytest.approx(0.5, abs=0.1), "as near as what was held out"


def test_the_copy_among_others_is_shown_first() -> None:
    samples, train = normal(50, 8, seed=11), normal(70, 8, seed=12)
    samples[33] = train[5]
    samples[7] = train[61] + np.float32(0.01)
    found = memorisation(samples, train)
    assert found.copies == pytest.approx(1 / 50)
    assert found.closest[0] == (33, 5, 0.0)
    assert found.closest[1][:2] == (7, 61)
    assert len(found.closest) == CLOSEST_PAIRS
    distances = [distance for *_, distance in found.closest]
    assert distances == sorted(distances)


# no bias


@pytest.mark.parametrize("seed", range(4))
def test_training_and_held_out_images_change_places(seed: int) -> None:
    """Of equal number: what is nearer to one is not nearer to the other."""
    samples, train, held_out = (normal(50, 4, 3 * seed + part) for part in range(3))
    found = memorisation(samples, train, held_out)
    swapped = memorisation(samples, held_out, train)
    assert found.nearer_training is not None
    assert swapped.nearer_training == pytest.approx(1 - found.nearer_training, abs=1e-12)
    assert swapped.train_distance == pytest.approx(found.held_out_distance)
    assert swapped.held_out_distance == pytest.approx(found.train_distance)
    assert found.nearer_training != 0.5, "a tie would hide a swap"


def test_a_set_that_is_ours_alone_is_not_copied() -> None:
    """Independent sets: 0.5 within 4 standard errors (binomial for 2000 samples, 0.011, plus that of
    which 400 images there are: 20 draws show a deviation of 0.013)."""
    samples, train, held_out = (
        normal(2000, 4, 21),
        normal(400, 4, 22),
        normal(400, 4, 23),
    )
    found = memorisation(samples, train, held_out)
    assert found.nearer_training == pytest.approx(0.5, abs=4 * 0.018)
    assert found.data_copying == pytest.approx(0.5, abs=4 * 0.018)
    assert found.copies == 0


@pytest.mark.parametrize(("train_count", "held_out_count"), [(2000, 100), (100, 2000)])
def test_the_larger_set_has_no_advantage(train_count: int, held_out_count: int) -> None:
    """20 times as many images hold the nearest one with probability 20/21, or 1/21, by chance."""
    samples = normal(1000, 3, seed=24)
    train, held_out = (
        normal(train_count, 3, seed=25),
        normal(held_out_count, 3, seed=26),
    )
    found = memorisation(samples, train, held_out)
    assert found.nearer_training == pytest.approx(0.5, abs=0.12)
    assert found.held_out_distance is not None
    naive = np.linalg.norm(samples[:, None, :] - train, axis=2).min(1)
    naive_held_out = np.linalg.norm(samples[:, None, :] - held_out, axis=2).min(1)
    assert abs(np.mean(naive < naive_held_out) - 0.5) > 0.4, "the case is too easy"
    assert found.train_distance == pytest.approx(float(np.median(naive)), rel=1e-5), "to all of it"


def test_the_seed_decides_which_part_of_the_larger_set() -> None:
    samples, train, held_out = (
        normal(200, 3, 27),
        normal(300, 3, 28),
        normal(30, 3, 29),
    )
    found = memorisation(samples, train, held_out)
    assert found == memorisation(samples.copy(), train, held_out)
    others = [memorisation(samples, train, held_out, seed=seed) for seed in range(1, 4)]
    assert len({other.nearer_training for other in others}) > 1
    other = others[0]
    assert other == replace(
        found,
        nearer_training=other.nearer_training,
        held_out_distance=found.held_out_distance,  # all of the smaller set, whatever the seed
    )


# ties and duplicates


def test_ties_count_half() -> None:
    """Held-out images that are the training images: every sample is as near to one as to the other."""
    samples, train = normal(20, 3, seed=30), normal(15, 3, seed=31)
    found = memorisation(samples, train, train.copy())
    assert found.nearer_training == 0.5
    assert found.data_copying == 0, "what was held out is in the training set: nothing is nearer"
    both = memorisation(train, train, train.copy())
    assert both.data_copying == 0.5, "copies, both of them"
    assert both.copies == 1


def test_duplicates_in_the_training_set() -> None:
    """Each image twice: seen from the others, unseen images are copies too, so copies tie."""
    train = np.repeat(normal(20, 3, seed=32), 2, axis=0)
    found = memorisation(train[::2], train)
    assert found.copies == 1
    assert found.data_copying == 0.5
    assert [pair[:2] for pair in found.closest] == [(i, 2 * i) for i in range(CLOSEST_PAIRS)]


# too few


def test_the_fewest_images() -> None:
    one, two = normal(1, 3, seed=33), normal(2, 3, seed=34)
    assert len(memorisation(one, two, one).closest) == 1
    none = np.empty((0, 3), np.float32)
    for few in ((one, one, one), (one, one, None), (none, two, one), (one, two, none)):
        with pytest.raises(InputError, match="needs samples, 2 training images and held-out ones"):
            memorisation(*few)
