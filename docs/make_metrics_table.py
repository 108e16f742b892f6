"""The table of docs/metrics.md: python docs/make_metrics_table.py RUN [SHEET.png]

Half of the bundled pictures is the reference; the other half, samples of RUN (a run's directory) and
damaged copies of the other half are measured against it, 1,000 images each, so that the table can be
held against what a person sees in the sheet: one row of examples for each row of the table.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad
from tqdm import tqdm

from nkca.config.data import DataConfig
from nkca.data.dataset import load_dataset
from nkca.metrics.collect import CollectOptions, collect
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.extractors.contract import Extractor
from nkca.metrics.image_sets import ArrayImages, ImageSet, Samples
from nkca.metrics.scores.score import Scores, score
from nkca.metrics.statistics import Statistics
from nkca.models.build import load_model
from nkca.models.checkpoint import digest
from nkca.pictures.grid import grid
from nkca.pictures.png import save_png
from nkca.pixels import as_pictures, as_tensor
from nkca.system.cache_dir import default_cache_dir

COUNT, SHOWN = 1000, 16
HEAD = "FID|FID∞|KID x 1000|IS|precision|recall|density|coverage|data copying|copies"


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Convolved with a Gaussian of that standard deviation in pixels."""
    weights = torch.exp(-0.5 * (torch.arange(-3, 4) / deviation) ** 2)
    kernel = torch.outer(weights, weights) / weights.sum() ** 2
    padded = pad(images.float(), (3, 3, 3, 3), mode="replicate")
    return conv2d(padded, kernel[None, None]).round().to(torch.uint8)


def noisy(images: Tensor, deviation: float) -> Tensor:
    """With normal noise of that standard deviation in grey levels."""
    noise = deviation * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


def shuffled(images: Tensor) -> Tensor:
    """Cut into 16 tiles of 7 x 7 pixels, put together in a random order, another for each image."""
    generator = torch.Generator().manual_seed(0)
    tiles = images.unfold(2, 7, 7).unfold(3, 7, 7).flatten(1, 3)
    mixed = torch.stack([each[torch.randperm(16, generator=generator)] for each in tiles])
    return mixed.reshape(-1, 4, 4, 7, 7).permute(0, 1, 3, 2, 4).reshape(-1, 1, 28, 28)


def subjects(run: Path) -> dict[str, ImageSet]:
    """The rows of the table, best first as a person would rank them; the first is the reference."""
    demo = as_tensor(load_dataset(DataConfig(dataset="demo")).images.copy())
    train, other = demo[0::2], demo[1::2]
    model = load_model(run)
    return {
        "the reference itself (copies)": ArrayImages(train),
        "other half": ArrayImages(other),
        "blurred, 0.6 pixels": ArrayImages(blurred(other, 0.6)),
        "noisy, 10 grey levels": ArrayImages(noisy(other, 10)),
        "demo model": Samples(model, (str(run), digest(run)), COUNT),
        "blurred, 1 pixel": ArrayImages(blurred(other, 1)),
        "noisy, 40 grey levels": ArrayImages(noisy(other, 40)),
        "shuffled": ArrayImages(shuffled(other)),
    }


def features(name: str, images: ImageSet, extractor: Extractor) -> Statistics:
    """The features of a row, with a bar where they are not in the cache."""
    options = CollectOptions(torch.device("cpu"), default_cache_dir(), 50)
    bar = tqdm(desc=name, total=len(images))

    def show(done: float, _: int) -> None:
        bar.update(int(done) - bar.n)

    with bar:
        return collect(images, extractor, options, show)


def row(name: str, scores: Scores) -> str:
    """A line of Markdown."""
    assert scores.fid is not None
    assert scores.fid_line is not None
    assert scores.kid is not None
    assert scores.manifold is not None
    assert scores.memorisation is not None
    near, copying = scores.manifold, scores.memorisation
    found = scores.inception_score
    cells = [
        f"{scores.fid:.2f}",
        f"{scores.fid_line.intercept:.2f}",
        f"{1000 * scores.kid.mean:.2f}",
        "-" if found is None else f"{found.mean:.2f} ± {found.deviation:.2f}",
        *(f"{v:.3f}" for v in (near.precision, near.recall, near.density, near.coverage)),
        f"{copying.data_copying:.3f}",
        f"{copying.copies:.3f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main(run: Path, sheet: Path | None) -> None:
    """Print the table."""
    rows = subjects(run)
    if sheet is not None:
        shown = torch.cat([images.batch(range(SHOWN)) for images in rows.values()])
        save_png(sheet, grid(as_pictures(shown), columns=SHOWN, zoom=2))
    extractor = open_extractor("efficientnet-lite0", torch.device("cpu"))
    found = {name: features(name, images, extractor) for name, images in rows.items()}
    reference = next(iter(found.values()))
    print(f"| samples | {' | '.join(HEAD.split('|'))} |")
    print("|---" * (len(HEAD.split("|")) + 1) + "|")
    for name, statistics in found.items():
        print(row(name, score(statistics, reference, train=reference)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
