"""Does measuring cost more than the extractor itself, and what do the scores cost?

    python benchmarks/metrics.py [EXTRACTOR] [IMAGES]

Three ways through the same images (the demo's, repeated), in turns in one process: the bare extractor
on tensors that lie in memory; `collect`, which reads, converts, extracts and keeps what it finds; and
`collect` again, from the cache. Then the scores, on random features of the size of Inception's.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from nkca.config.data import DataConfig
from nkca.data.dataset import load_dataset
from nkca.metrics.collect import CollectOptions, collect
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.image_sets import ImageFiles, ImageSubset
from nkca.metrics.scores.frechet import frechet_distance, frechet_line
from nkca.metrics.scores.kernel_distance import kernel_distance
from nkca.metrics.scores.manifold import manifold
from nkca.metrics.scores.moments import Moments
from nkca.pixels import as_tensor, to_rgb

BATCH, ROUNDS = 64, 5


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def throughput(name: str, count: int) -> None:
    """Images per second of the three ways: medians of `ROUNDS`, and of the ratios within a round."""
    extractor = open_extractor(name, torch.device("cpu"))
    decoded = load_dataset(DataConfig(dataset="demo"))
    files = ImageSubset(ImageFiles(decoded, Path("demo")), range(count))
    images = to_rgb(as_tensor(decoded.images[:count])).contiguous()

    def bare() -> None:
        for first in range(0, count, BATCH):
            extractor(images[first : first + BATCH])

    bare()
    times: dict[str, list[float]] = {"bare extractor": [], "collect": [], "collect, cached": []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as place:
            options = CollectOptions(torch.device("cpu"), Path(place), BATCH)
            times["bare extractor"].append(seconds(bare))
            times["collect"].append(seconds(lambda: collect(files, extractor, options)))  # noqa: B023
            times["collect, cached"].append(seconds(lambda: collect(files, extractor, options)))  # noqa: B023
    print(f"{name}, {count} images, batches of {BATCH}, {ROUNDS} rounds")
    for way, taken in times.items():
        ratio = statistics.median(
            t / b for t, b in zip(taken, times["bare extractor"], strict=True)
        )
        print(
            f"  {way:<16} {count / statistics.median(taken):9.1f} images/s, {ratio:.4f} x the time"
        )


def scores(count: int = 5000, few: int = 1000, dimensions: int = 2048) -> None:
    """Seconds of each score for two sets of random features, medians of 3."""
    random = np.random.default_rng(0)
    scale = np.logspace(0, -2, dimensions)
    a, b = ((random.normal(size=(count, dimensions)) * scale).astype(np.float32) for _ in range(2))
    x, y, z = (Moments.of(torch.from_numpy(f)).gaussian() for f in (a, b, a[:few]))
    print(f"scores of {count} and {count} features of {dimensions} dimensions")
    for name, work in (
        ("FID from statistics", lambda: frechet_distance(x, y)),
        (f"FID, {few} samples", lambda: frechet_distance(z, y)),
        ("FID∞, 10 points", lambda: frechet_line(a, y)),
        ("KID, 100 subsets of 1000", lambda: kernel_distance(a, b)),
        ("precision to coverage", lambda: manifold(a, b)),
    ):
        print(f"  {name:<27} {statistics.median(seconds(work) for _ in range(3)):6.2f} s")


if __name__ == "__main__":
    throughput(
        sys.argv[1] if len(sys.argv) > 1 else "efficientnet-lite0",
        int(sys.argv[2]) if len(sys.argv) > 2 else 640,
    )
    scores()
