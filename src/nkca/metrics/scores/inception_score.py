"""Inception Score (Salimans et al. 2016): exp of the mean KL divergence of p(class | image) from p(class).

It depends only on the samples, not on a reference.
"""

from dataclasses import dataclass

import numpy as np
import torch

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array


@dataclass(frozen=True)
class InceptionScore:
    """Mean and standard deviation over ``splits`` parts of the samples."""

    mean: float
    deviation: float
    splits: int


def inception_score(logits: Array, splits: int = 10, seed: int = 2020) -> InceptionScore:
    """The score of logits (N, K), shuffled (as torch-fidelity does, seed included) and split.

    Raises:
        InputError: for fewer samples than splits.
    """
    if len(logits) < splits:
        raise InputError(
            f"Inception Score over {splits} splits needs {splits} images, got {len(logits)}"
        )
    order = np.random.RandomState(seed).permutation(len(logits))
    scores = []
    for split in range(splits):
        rows = order[split * len(logits) // splits : (split + 1) * len(logits) // splits]
        log_p = torch.from_numpy(logits[rows]).double().log_softmax(1)
        p = log_p.exp()
        divergence = p * (log_p - p.mean(0).log())
        scores.append(torch.where(p > 0, divergence, 0).sum(1).mean().exp().item())
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), splits)
