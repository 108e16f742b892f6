"""nkca: stationary Markov chains over images, trained by contrastive adjustment.

>>> import nkca
>>> with nkca.open_run({"dataset": "demo", "max_steps": 500}, "runs/clothes") as run:
...     for report in nkca.train(run): ...
>>> model = nkca.load_model("runs/clothes")
>>> images = nkca.sample(model, seeds=range(16))

Names are imported when they are first used: ``import nkca`` itself is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

from nkca.errors import InputError
from nkca.version import __version__

if TYPE_CHECKING:
    from nkca.chain import Chain, Moment
    from nkca.chain import run as run_chain
    from nkca.config.parsing import configure
    from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser, PixelPriorDenoiser
    from nkca.diagnostics.findings import StudyOptions
    from nkca.diagnostics.plots import plot_chain_report
    from nkca.diagnostics.study import study_chain
    from nkca.kernels.categorical import CategoricalKernel
    from nkca.kernels.continuous import ContinuousKernel
    from nkca.levels import anneal
    from nkca.metrics.measure import compare
    from nkca.models.build import load_model
    from nkca.models.model import Model
    from nkca.noise import sample_noise
    from nkca.pictures.grid import contact_sheet, grid
    from nkca.pictures.png import save_png
    from nkca.pixels import CategoricalPixels, ContinuousPixels
    from nkca.runs.loop import train
    from nkca.runs.start import open_run
    from nkca.sampling.sample import sample
    from nkca.sampling.tasks import Schedule

_HOME = {
    "CategoricalKernel": "nkca.kernels.categorical",
    "CategoricalPixels": "nkca.pixels",
    "Chain": "nkca.chain",
    "ContinuousKernel": "nkca.kernels.continuous",
    "ContinuousPixels": "nkca.pixels",
    "GaussianDenoiser": "nkca.denoisers.exact",
    "ImageListDenoiser": "nkca.denoisers.exact",
    "Model": "nkca.models.model",
    "PixelPriorDenoiser": "nkca.denoisers.exact",
    "Schedule": "nkca.sampling.tasks",
    "Moment": "nkca.chain",
    "StudyOptions": "nkca.diagnostics.findings",
    "anneal": "nkca.levels",
    "compare": "nkca.metrics.measure",
    "configure": "nkca.config.parsing",
    "contact_sheet": "nkca.pictures.grid",
    "grid": "nkca.pictures.grid",
    "load_model": "nkca.models.build",
    "open_run": "nkca.runs.start",
    "plot_chain_report": "nkca.diagnostics.plots",
    "run_chain": "nkca.chain:run",
    "sample": "nkca.sampling.sample",
    "sample_noise": "nkca.noise",
    "save_png": "nkca.pictures.png",
    "study_chain": "nkca.diagnostics.study",
    "train": "nkca.runs.loop",
}

__all__ = [
    "CategoricalKernel",
    "CategoricalPixels",
    "Chain",
    "ContinuousKernel",
    "ContinuousPixels",
    "GaussianDenoiser",
    "ImageListDenoiser",
    "InputError",
    "Model",
    "Moment",
    "PixelPriorDenoiser",
    "Schedule",
    "StudyOptions",
    "__version__",
    "anneal",
    "compare",
    "configure",
    "contact_sheet",
    "grid",
    "load_model",
    "open_run",
    "plot_chain_report",
    "run_chain",
    "sample",
    "sample_noise",
    "save_png",
    "study_chain",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nkca' has no attribute '{name}'")
    module, _, original_name = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), original_name or name)


def __dir__() -> list[str]:
    return sorted(__all__)
