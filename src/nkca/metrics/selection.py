r"""Selection: of M samples the N that a small classifier cannot well tell from data.

A classifier c of data against samples, with as much weight on either, estimates the ratio of densities

    r(z) = p_data(z) / p_model(z) = c(z) / (1 - c(z))

so samples drawn with weights r are nearer to the data's law than the model's (the reweighting by noise
contrast of NCP-VAE, Aneja et al. 2020, arXiv 2010.02917). N are drawn without replacement: the N largest of
ln r + g, g standard Gumbel; near N = M hardly anything is left to choose.

No sample is weighed by a classifier that has seen it: each half of the samples is weighed by one trained on
the other half. Of the data 60 % train, 20 % say when training stops, 20 % are held out for the gain:

    loss     of the classifier on held-out data and unseen samples, nats; ln 2 if it can tell nothing
    KID      of the N selected to held-out data, and of random N: features that the classifier never sees
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from nkca.errors import require
from nkca.metrics.extractors.contract import Array
from nkca.metrics.scores.kernel_distance import kernel_distance
from nkca.networks.layers import initialise
from nkca.noise import derive_seed

WIDTHS = (16, 32, 64)  # of the classifier's layers, each at half the resolution of the one before
STEPS, BATCH, CHECK_EVERY = 200, 32, 20
LEAST = 20  # images of a set, for halves and parts that have some
RANDOM_SUBSETS = 50


@dataclass(frozen=True)
class Selection:
    """The samples that were selected, and what is known of the choice.

    Args:
        chosen: numbers of N samples, the most data-like first.
        log_ratios: ln r of each sample, (M,), estimated without it.
        held_out: numbers of the data that took no part.
        losses: held-out loss with all M samples, and with the N selected ones in their place.
    """

    chosen: tuple[int, ...]
    log_ratios: Tensor
    held_out: tuple[int, ...]
    losses: tuple[float, float]


@dataclass(frozen=True)
class Gain:
    """KID to held-out data: of the selected samples, and mean and deviation of random choices as large."""

    selected: float
    random: float
    deviation: float
    draws: list[float] = field(repr=False, default_factory=list)

    def describe(self) -> str:
        """A sentence on whether the choice is better than chance."""
        gain = (self.random - self.selected) / max(self.deviation, 1e-12)
        verdict = "a gain" if gain > 2 else "a loss" if gain < -2 else "no gain beyond chance"
        return (
            f"KID to held-out data {self.selected:.5f}; of random choices {self.random:.5f} "
            f"± {self.deviation:.5f}: {verdict}"
        )


def select(
    samples: Tensor,
    data: Tensor,
    count: int,
    seed: int = 0,
    tick: Callable[[float], None] = lambda _share: None,
) -> Selection:
    """Choose ``count`` of the samples, uint8 (M, C, H, W), with data uint8 (n, C, H, W), on the CPU.

    Raises:
        InputError: unless 1 <= count < M, and both sets have at least `LEAST` images.
    """
    least = f"at least {LEAST} images"
    require(len(samples) >= LEAST, "the samples to select from", least, len(samples))
    require(len(data) >= LEAST, "the data to select by", least, len(data))
    expected = f"in 1..{len(samples) - 1}, fewer than the samples"
    require(1 <= count < len(samples), "the number to select", expected, count)
    random = torch.Generator().manual_seed(derive_seed("select", seed))
    real, fake = (_inputs(images) for images in (data, samples))
    order, halves = torch.randperm(len(real), generator=random), _halves(len(fake), random)
    train, check, held_out = order.tensor_split([len(real) * 6 // 10, len(real) * 8 // 10])
    log_ratios, of_data = torch.empty(len(fake)), []
    for number, (seen, unseen) in enumerate([halves, halves[::-1]]):
        stop = len(seen) * 8 // 10
        classifier = fit_classifier(
            (real[train], fake[seen[:stop]]), (real[check], fake[seen[stop:]]), random
        )
        log_ratios[unseen] = _logits(classifier, fake[unseen])
        of_data.append(_logits(classifier, real[held_out]))
        tick((number + 1) / 2)
    uniform = torch.rand(len(fake), generator=random).clamp(1e-12, 1 - 1e-7)
    keys = log_ratios - (-uniform.log()).log()
    chosen = keys.topk(count).indices
    chosen = chosen[log_ratios[chosen].argsort(descending=True)]
    logits = torch.cat(of_data)
    losses = (_loss(logits, log_ratios).item(), _loss(logits, log_ratios[chosen]).item())
    return Selection(tuple(chosen.tolist()), log_ratios, tuple(held_out.tolist()), losses)


def selection_gain(samples: Array, held_out: Array, chosen: tuple[int, ...], seed: int = 0) -> Gain:
    """The gain in KID, from features (M, D) of all samples and (n, D) of held-out data."""
    random = np.random.default_rng(seed)
    draws = [
        kernel_distance(samples[random.permutation(len(samples))[: len(chosen)]], held_out).mean
        for _ in range(RANDOM_SUBSETS)
    ]
    selected = kernel_distance(samples[list(chosen)], held_out).mean
    return Gain(selected, float(np.mean(draws)), float(np.std(draws, ddof=1)), draws)


def fit_classifier(
    train: tuple[Tensor, Tensor], check: tuple[Tensor, Tensor], random: torch.Generator
) -> nn.Module:
    """A classifier of data against samples: images (B, C, H, W) in [-1, 1] -> ln r, (B, 1).

    Args:
        train: data and samples to learn from.
        check: data and samples that decide after how many steps it is best; 0 is possible.
    """
    classifier = _network(train[0].shape[1], random)
    optimizer = torch.optim.AdamW(classifier.parameters(), 1e-3, weight_decay=0.1)
    best, kept = float("inf"), {}
    for step in range(STEPS + 1):
        if step % CHECK_EVERY == 0:
            loss = _loss(*(_logits(classifier, images) for images in check)).item()
            if loss < best:
                best, kept = loss, {k: v.clone() for k, v in classifier.state_dict().items()}
        rows = (torch.randint(len(images), (BATCH,), generator=random) for images in train)
        batch = [images[chosen] for images, chosen in zip(train, rows, strict=True)]
        with torch.enable_grad():
            loss_of_batch = _loss(*(classifier(images)[:, 0] for images in batch))
            optimizer.zero_grad()
            loss_of_batch.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    classifier.load_state_dict(kept)
    return classifier


def _network(channels: int, random: torch.Generator) -> nn.Module:
    """Convolutions of stride 2, their mean over positions, a linear layer whose weights start at 0."""
    layers: list[nn.Module] = []
    for before, width in zip((channels, *WIDTHS), WIDTHS, strict=False):
        layers += [
            nn.Conv2d(before, width, 3, stride=2, padding=1),
            nn.GroupNorm(8, width),
            nn.Mish(),
        ]
    last = nn.Linear(WIDTHS[-1], 1)
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
    initialise(network, random)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return network


def _loss(of_data: Tensor, of_samples: Tensor) -> Tensor:
    """Cross-entropy in nats with half the weight on either set; ln 2 for logits of 0."""
    return (softplus(-of_data).mean() + softplus(of_samples).mean()) / 2


def _logits(classifier: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([classifier(part)[:, 0] for part in torch.split(images, 256)])


def _halves(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(count, generator=random)
    return order[: count // 2], order[count // 2 :]


def _inputs(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1
