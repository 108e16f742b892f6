"""Do samples copy training images? Distances to the nearest training image, against a baseline.

A distance has no meaning by itself: it depends on the features, the number of images and the variety of the
data. The baseline is the distance of images that the model has not seen: of held-out images or, without
them, of each training image to the others.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array
from nkca.metrics.scores.manifold import nearest_neighbours

CLOSEST_PAIRS = 16


@dataclass(frozen=True)
class Memorisation:
    """How close samples are to training images.

    Args:
        train_distance: median distance of a sample to its nearest training image.
        held_out_distance: the same to the nearest of as many held-out images; None without them.
        nearer_training: share of samples nearer to training than to held-out images: 0.5 where
            nothing is copied, 1 where all is; ties count half. None without held-out images.
        data_copying: probability that a sample is nearer to the training set than an unseen image is
            (held-out, or a training image among the others): 0.5 where nothing is copied (the
            statistic of Meehan, Chaudhuri and Dasgupta 2020).
        copies: share of samples at distance 0 of a training image.
        closest: (sample, training image, distance) of the closest pairs.
    """

    train_distance: float
    held_out_distance: float | None
    nearer_training: float | None
    data_copying: float
    copies: float
    closest: tuple[tuple[int, int, float], ...]


def memorisation(
    samples: Array, train: Array, held_out: Array | None = None, seed: int = 0
) -> Memorisation:
    """Compare features (N, D) of samples, (M, D) of training images, and held-out ones, if any.

    In a larger set the nearest neighbour is closer by chance, so as many held-out as training images are
    compared: a random part of the larger set.

    Raises:
        InputError: for fewer than 2 training images, or no sample or held-out image.
    """
    if len(train) < 2 or not len(samples) or (held_out is not None and not len(held_out)):
        raise InputError("memorisation needs samples, 2 training images and held-out ones, if any")
    to_train, which = nearest_neighbours(samples, train)
    held_out_distance = nearer_training = None
    if held_out is None:
        unseen, _ = nearest_neighbours(train, train, leave_out_itself=True)
    else:
        unseen, _ = nearest_neighbours(held_out, train)
        size = min(len(train), len(held_out))
        random = np.random.default_rng(seed)
        fair_train, _ = nearest_neighbours(samples, _random_subset(train, size, random))
        fair_held_out, _ = nearest_neighbours(samples, _random_subset(held_out, size, random))
        held_out_distance = _median(fair_held_out)
        nearer_training = _win_rate(fair_train - fair_held_out)
    order = to_train.argsort(stable=True)[:CLOSEST_PAIRS]
    return Memorisation(
        train_distance=_median(to_train),
        held_out_distance=held_out_distance,
        nearer_training=nearer_training,
        data_copying=_probability_below(to_train, unseen),
        copies=(to_train == 0).double().mean().item(),
        closest=tuple((int(i), int(which[i]), float(to_train[i])) for i in order),
    )


def _random_subset(features: Array, size: int, random: np.random.Generator) -> Array:
    if size == len(features):
        return features
    return features[np.sort(random.permutation(len(features))[:size])]


def _median(distance: Tensor) -> float:
    return float(np.median(distance.numpy()))


def _win_rate(difference: Tensor) -> float:
    return ((difference < 0).double() + 0.5 * (difference == 0).double()).mean().item()


def _probability_below(a: Tensor, b: Tensor) -> float:
    """P(a < b) + P(a = b) / 2 for random members: the Mann-Whitney statistic over N M."""
    ordered = b.sort().values
    below_or_equal = torch.searchsorted(ordered, a, right=True)
    below = torch.searchsorted(ordered, a)
    smaller = (len(b) - below_or_equal) + 0.5 * (below_or_equal - below)
    return smaller.double().mean().item() / len(b)
