"""The pages of plots in docs/metrics.md: python docs/make_chain_pages.py RUN DIR

chain-demo.png    the chain of RUN (a run's directory), from the bundled pictures
chain-exact.png   a chain whose denoiser is known exactly: the data are 200 of these pictures, no more
chain-broken.png  the same chain, but x is kept with w^1.1 where the noise counts on w

and prints their tables. About twenty minutes on two cores.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from nkca.chain import Chain
from nkca.config.data import DataConfig
from nkca.data.dataset import load_dataset
from nkca.denoisers.exact import ImageListDenoiser
from nkca.diagnostics.findings import StudyOptions
from nkca.diagnostics.page import ChainPage, distances_to
from nkca.diagnostics.record import Judge
from nkca.diagnostics.study import study_chain
from nkca.distributions.contracts import Distribution, Posterior
from nkca.kernels.continuous import ContinuousKernel, push_affine
from nkca.kernels.contract import Lag
from nkca.levels import expand
from nkca.metrics.collect import CollectOptions, collect
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.image_sets import ArrayImages
from nkca.models.build import load_model
from nkca.models.model import Model
from nkca.pixels import ContinuousPixels, as_tensor
from nkca.system.cache_dir import default_cache_dir

CPU = torch.device("cpu")
KNOWN = 200


@dataclass(frozen=True)
class BrokenKernel(ContinuousKernel):
    """The continuous kernel without its cap, keeping w^1.1 of x where the variance is that of w."""

    def transition(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: Lag
    ) -> Distribution:
        """p(y|x), wrong on purpose."""
        b_x, b_y = expand(level_x, x), expand(level_y, x)
        scale = (1 - b_y) - (1 - b_x) * lag
        return push_affine(p_z, shift=lag**1.1 * x, scale=scale, variance=b_y - lag**2 * b_x)


def exact_model(images: Tensor) -> Model:
    """A model that knows its data: exactly these images, uint8 (N, C, H, W)."""
    kernel, pixels = ContinuousKernel(), ContinuousPixels()
    chain = Chain(kernel, ImageListDenoiser(kernel, pixels.to_state(images)), kernel.default_lag)
    channels, height, width = images.shape[1:]
    return Model(chain, pixels, (channels, height, width), 0.01, CPU)


def study(name: str, model: Model, real: Tensor, images: Tensor, directory: Path) -> None:
    """Write a page about chains from ``images``, compared with ``real`` ones, and print its table."""
    extractor = open_extractor("efficientnet-lite0", CPU)
    known = collect(ArrayImages(real), extractor, CollectOptions(CPU, default_cache_dir()))
    judge = Judge(extractor, distances_to(known))
    with tqdm(desc=name) as bar:
        for step in study_chain(model, images, StudyOptions(), judge):
            bar.total = step.total
            bar.update()
    assert step.report is not None
    page = ChainPage(step.report, {})
    page.save(directory)
    (directory / "chain.png").rename(directory / f"chain-{name}.png")
    (directory / "chain.json").unlink()
    print(f"\n{name}: {page.table()}", flush=True)


def main(run: Path, directory: Path) -> None:
    """Make the three pages."""
    demo = as_tensor(load_dataset(DataConfig(dataset="demo")).images.copy())
    exact = exact_model(demo[:KNOWN])
    broken = replace(exact, chain=replace(exact.chain, kernel=BrokenKernel()))
    study("demo", load_model(run), demo, demo, directory)
    drawn = torch.randint(
        KNOWN, (StudyOptions().images,), generator=torch.Generator().manual_seed(0)
    )
    for name, model in (("exact", exact), ("broken", broken)):
        study(name, model, demo[:KNOWN], demo[drawn], directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
