"""Small things that tests of measuring share: an extractor without weights, pictures, a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from nkca.chain import Chain
from nkca.config.parsing import configure
from nkca.data.cache import DecodedImages
from nkca.denoisers.exact import GaussianDenoiser, PixelPriorDenoiser
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.metrics.collect import CollectOptions, Subject
from nkca.metrics.extractors.contract import Array, Description, Features
from nkca.metrics.image_sets import ImageFiles
from nkca.metrics.measure import make_report
from nkca.metrics.measurement import Measurement
from nkca.metrics.report import Report
from nkca.models.build import ModelSpec, new_denoiser
from nkca.models.checkpoint import Checkpoint, save_checkpoint
from nkca.models.model import Model
from nkca.noise import Noise
from nkca.pixels import CategoricalPixels, ContinuousPixels, Pixels
from nkca.training.learner import Learner, StepReport, TrainingProgress

Pictures = npt.NDArray[np.uint8]
NOWHERE = CollectOptions(torch.device("cpu"), None)


class Trainer:
    """A learner and the progress of its steps, which a run keeps otherwise."""

    def __init__(self, learner: Learner, progress: TrainingProgress | None = None) -> None:
        self.learner = learner
        self.progress = progress or TrainingProgress()
        self.network, self.ema_network = learner.weights, learner.ema_network
        self.optimizer, self.chain = learner.optimizer, learner.chain

    def step(self, z: torch.Tensor, noise: Noise) -> StepReport:
        """One step on clean states z (B, C, H, W)."""
        report = self.learner.step(self.progress, z, noise)
        self.progress = report.progress
        return report


class ToyExtractor:
    """The mean of each quarter of each channel in units of 255, (B, 12), and 3 logits of those.

    Keeps the size of each batch in ``calls``, and stops before number ``stop_at`` as Ctrl-C would.
    """

    def __init__(self, note: str = "", classifies: bool = True, stop_at: int | None = None) -> None:
        self.description = Description("toy", "ab" * 32, "means of quarters", note)
        self.classifies = classifies
        self.stop_at = stop_at
        self.calls: list[int] = []

    def __call__(self, images: torch.Tensor) -> Features:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        self.calls.append(len(images))
        means = torch.nn.functional.adaptive_avg_pool2d(images.double() / 255, 2).flatten(1)
        features = means.float()
        return Features(features, 20 * features[:, [0, 5, 10]] if self.classifies else None)


def random_pictures(
    count: int, seed: int, channels: int = 3, side: int = 8, low: int = 0, high: int = 256
) -> Pictures:
    """Pictures (count, side, side, channels): one random colour each, and noise on it."""
    random = np.random.default_rng(seed)
    colors = random.uniform(low, high, (count, 1, 1, channels))
    noisy = colors + random.normal(0, 20, (count, side, side, channels))
    return noisy.clip(0, 255).astype(np.uint8)


def image_files(
    pictures: Pictures, model_pixels: Pixels | None = None, names: Sequence[str] = ()
) -> ImageFiles:
    """Pictures (N, H, W, C) as if they had been decoded from files."""
    chosen = tuple(names) or tuple(f"{number:03d}.png" for number in range(len(pictures)))
    histogram = np.bincount(pictures.reshape(-1), minlength=256)
    return ImageFiles(
        DecodedImages(pictures, chosen, (), histogram, False), Path("toys"), model_pixels
    )


def save_pictures(folder: Path, pictures: Pictures, suffix: str = ".png") -> Path:
    """Write pictures (N, H, W, C) as files 000, 001 ..."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
        image.save(folder / f"{number:03d}{suffix}")
    return folder


def write_checkpoint(path: Path, channels: int = 3, side: int = 8, **options: Any) -> Path:
    """A tiny model with random weights; ``options`` are those of a run."""
    config = configure({"hidden_size": 8, "dim_mults": [1], **options})
    spec = ModelSpec(config.model, (channels, side, side), 0.5)
    random = torch.Generator().manual_seed(3)
    weights = {
        name: weight + 0.2 * torch.randn(weight.shape, generator=random)
        for name, weight in new_denoiser(spec, seed=1).state_dict().items()
    }
    save_checkpoint(path, Checkpoint(config.to_flat(), spec.data_shape, 0.5, {}, weights, weights))
    return path


def three_sets() -> dict[str, Subject]:
    """Samples (30), a reference (40) and training images (35), alike but for chance."""
    return {
        "samples": image_files(random_pictures(30, seed=1)),
        "reference": image_files(random_pictures(40, seed=2)),
        "train": image_files(random_pictures(35, seed=3)),
    }


def measurement_of(subjects: Mapping[str, Subject], *warnings: str) -> Measurement:
    """What `nkca.metrics.measurement.open_measurement` would have opened."""
    return Measurement(dict(subjects), None, warnings)


def report_of(subjects: Mapping[str, Subject], **options: Any) -> Report:
    """The report on features of a `ToyExtractor` with such options."""
    return make_report(measurement_of(subjects), ToyExtractor(**options), NOWHERE)[0]


def normal(count: int, dimensions: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Array:
    """Independent normal features, float32 (count, dimensions)."""
    values = scale * np.random.default_rng(seed).standard_normal((count, dimensions)) + shift
    return values.astype(np.float32)


def column(*values: float) -> Array:
    """Features of one dimension, float32 (count, 1)."""
    return np.array(values, np.float32)[:, None]


def gaussian_model(std: float = 0.7) -> Model:
    """8 x 8 in three channels, independent normals around 0.3: wide enough to be cut off at white."""
    exact = GaussianDenoiser(torch.full((3, 8, 8), 0.3), torch.full((3, 8, 8), std))
    chain = Chain(ContinuousKernel(), exact, 0.5)
    return Model(chain, ContinuousPixels(), (3, 8, 8), 0.01, torch.device("cpu"))


def category_model() -> Model:
    """8 x 8 in three channels of four levels, all equally likely."""
    denoiser = PixelPriorDenoiser(torch.zeros(3, 8, 8, 4).log_softmax(-1))
    chain = Chain(CategoricalKernel(4), denoiser, 0.9)
    return Model(chain, CategoricalPixels(4), (3, 8, 8), 0.01, torch.device("cpu"))
