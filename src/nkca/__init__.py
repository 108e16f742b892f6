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
    from nkca.chain import Chain, Moment, Sampler
    from nkca.chain import run as run_chain
    from nkca.config.parsing import configure
    from nkca.denoisers.condition import Condition, Conditioned, hold
    from nkca.denoisers.conditions.block_means import hold_block_means
    from nkca.denoisers.conditions.grey import hold_grey
    from nkca.denoisers.conditions.linear import observe
    from nkca.denoisers.contract import Denoiser
    from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser, PixelPriorDenoiser
    from nkca.diagnostics.findings import StudyOptions
    from nkca.diagnostics.plots import plot_chain_report
    from nkca.diagnostics.study import study_chain
    from nkca.distributions.categorical import Categorical
    from nkca.distributions.contracts import Distribution, Factored, Posterior
    from nkca.distributions.normal import Normal
    from nkca.kernels.categorical import CategoricalKernel
    from nkca.kernels.continuous import ContinuousKernel
    from nkca.kernels.contract import Kernel
    from nkca.levels import LevelDraw, anneal
    from nkca.live.experiment import Choices
    from nkca.metrics.energies import LogRatio, log_ratio
    from nkca.metrics.measure import measure
    from nkca.models.build import load_model
    from nkca.models.checkpoint import export_model
    from nkca.models.model import Model
    from nkca.models.state_spaces import StateSpace
    from nkca.noise import Noise, sample_noise
    from nkca.pictures.grid import contact_sheet, grid
    from nkca.pictures.png import save_png
    from nkca.pixels import CategoricalPixels, ContinuousPixels, Pixels
    from nkca.runs.loop import train
    from nkca.runs.start import open_run
    from nkca.sampling.denoise import denoise
    from nkca.sampling.directions import find_directions
    from nkca.sampling.editing import edit
    from nkca.sampling.exploration import explore
    from nkca.sampling.interpolation import interpolate
    from nkca.sampling.known import coarse, grey_values, small_version
    from nkca.sampling.sample import sample
    from nkca.sampling.tasks import (
        Known,
        Schedule,
        Task,
        around,
        draw_task,
        from_noise,
        held,
        inpaint,
        knowing,
        run_task,
    )
    from nkca.sampling.translate import translate
    from nkca.training.build import Method
    from nkca.training.objective import Objective, Terms

_HOME = {
    "Categorical": "nkca.distributions.categorical",
    "CategoricalKernel": "nkca.kernels.categorical",
    "CategoricalPixels": "nkca.pixels",
    "Chain": "nkca.chain",
    "Choices": "nkca.live.experiment",
    "Condition": "nkca.denoisers.condition",
    "Conditioned": "nkca.denoisers.condition",
    "ContinuousKernel": "nkca.kernels.continuous",
    "ContinuousPixels": "nkca.pixels",
    "Denoiser": "nkca.denoisers.contract",
    "Distribution": "nkca.distributions.contracts",
    "Factored": "nkca.distributions.contracts",
    "GaussianDenoiser": "nkca.denoisers.exact",
    "ImageListDenoiser": "nkca.denoisers.exact",
    "Kernel": "nkca.kernels.contract",
    "Known": "nkca.sampling.tasks",
    "LevelDraw": "nkca.levels",
    "LogRatio": "nkca.metrics.energies",
    "Method": "nkca.training.build",
    "Model": "nkca.models.model",
    "Moment": "nkca.chain",
    "Noise": "nkca.noise",
    "Normal": "nkca.distributions.normal",
    "Objective": "nkca.training.objective",
    "PixelPriorDenoiser": "nkca.denoisers.exact",
    "Pixels": "nkca.pixels",
    "Posterior": "nkca.distributions.contracts",
    "Sampler": "nkca.chain",
    "Schedule": "nkca.sampling.tasks",
    "StateSpace": "nkca.models.state_spaces",
    "StudyOptions": "nkca.diagnostics.findings",
    "Task": "nkca.sampling.tasks",
    "Terms": "nkca.training.objective",
    "anneal": "nkca.levels",
    "around": "nkca.sampling.tasks",
    "coarse": "nkca.sampling.known",
    "configure": "nkca.config.parsing",
    "contact_sheet": "nkca.pictures.grid",
    "denoise": "nkca.sampling.denoise",
    "draw_task": "nkca.sampling.tasks",
    "edit": "nkca.sampling.editing",
    "explore": "nkca.sampling.exploration",
    "export_model": "nkca.models.checkpoint",
    "find_directions": "nkca.sampling.directions",
    "from_noise": "nkca.sampling.tasks",
    "grey_values": "nkca.sampling.known",
    "grid": "nkca.pictures.grid",
    "held": "nkca.sampling.tasks",
    "hold": "nkca.denoisers.condition",
    "hold_block_means": "nkca.denoisers.conditions.block_means",
    "hold_grey": "nkca.denoisers.conditions.grey",
    "inpaint": "nkca.sampling.tasks",
    "interpolate": "nkca.sampling.interpolation",
    "knowing": "nkca.sampling.tasks",
    "load_model": "nkca.models.build",
    "log_ratio": "nkca.metrics.energies",
    "measure": "nkca.metrics.measure",
    "observe": "nkca.denoisers.conditions.linear",
    "open_run": "nkca.runs.start",
    "plot_chain_report": "nkca.diagnostics.plots",
    "run_chain": "nkca.chain:run",
    "run_task": "nkca.sampling.tasks",
    "sample": "nkca.sampling.sample",
    "sample_noise": "nkca.noise",
    "save_png": "nkca.pictures.png",
    "small_version": "nkca.sampling.known",
    "study_chain": "nkca.diagnostics.study",
    "train": "nkca.runs.loop",
    "translate": "nkca.sampling.translate",
}

_RENAMED = {"State": "Moment", "compare": "measure"}

__all__ = [
    "Categorical",
    "CategoricalKernel",
    "CategoricalPixels",
    "Chain",
    "Choices",
    "Condition",
    "Conditioned",
    "ContinuousKernel",
    "ContinuousPixels",
    "Denoiser",
    "Distribution",
    "Factored",
    "GaussianDenoiser",
    "ImageListDenoiser",
    "InputError",
    "Kernel",
    "Known",
    "LevelDraw",
    "LogRatio",
    "Method",
    "Model",
    "Moment",
    "Noise",
    "Normal",
    "Objective",
    "PixelPriorDenoiser",
    "Pixels",
    "Posterior",
    "Sampler",
    "Schedule",
    "StateSpace",
    "StudyOptions",
    "Task",
    "Terms",
    "__version__",
    "anneal",
    "around",
    "coarse",
    "configure",
    "contact_sheet",
    "denoise",
    "draw_task",
    "edit",
    "explore",
    "export_model",
    "find_directions",
    "from_noise",
    "grey_values",
    "grid",
    "held",
    "hold",
    "hold_block_means",
    "hold_grey",
    "inpaint",
    "interpolate",
    "knowing",
    "load_model",
    "log_ratio",
    "measure",
    "observe",
    "open_run",
    "plot_chain_report",
    "run_chain",
    "run_task",
    "sample",
    "sample_noise",
    "save_png",
    "small_version",
    "study_chain",
    "train",
    "translate",
]


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        raise AttributeError(f"nkca.{name} is now nkca.{_RENAMED[name]}")
    if name not in _HOME:
        raise AttributeError(f"module 'nkca' has no attribute '{name}'")
    module, _, original_name = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), original_name or name)


def __dir__() -> list[str]:
    return sorted(__all__)
