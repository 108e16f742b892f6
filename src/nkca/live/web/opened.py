"""A model that was opened for the page, and its first chains, which all visitors begin with."""

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nkca.data.categories import reader_for
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.chains.state import ExplorerState
from nkca.live.session.file import Origin, Precision
from nkca.live.web.shared_explorer import SharedExplorer
from nkca.models.build import restore
from nkca.models.checkpoint import find_checkpoint, read_checkpoint
from nkca.models.model import Model
from nkca.sampling.inputs import fit_picture

logger = logging.getLogger("nkca")
EPOCHS = 1 << 30


@dataclass(frozen=True)
class Settings:
    """How models are opened: the options of the command, see there.

    Args:
        lag: None is the run's own.
    """

    device: str = "auto"
    precision: Precision = "fp32"
    compile: str = "off"
    lag: float | None = None
    batch_size: int = 16
    seed: int = 0


@dataclass(frozen=True)
class Opened:
    """A model, what session files say of it, and the setup and state of its first chains."""

    model: Model
    origin: Origin
    setup: Setup
    first: ExplorerState

    def explorer(self) -> SharedExplorer:
        """New chains, which begin with the first state: it is drawn once for all."""
        epoch = secrets.randbelow(EPOCHS)
        return SharedExplorer(self.model, self.origin, self.setup, epoch, self.first)


def open_model(name: str | Path, settings: Settings, images: tuple[Path, ...] = ()) -> Opened:
    """Open a checkpoint and draw the first state.

    Args:
        name: see `nkca.models.checkpoint.find_checkpoint`.
        images: pictures to start from.

    Raises:
        InputError: if the checkpoint or a picture cannot be read.
    """
    read, sha256 = read_checkpoint(name)
    model = restore(
        read,
        str(name),
        device=settings.device,
        precision=settings.precision,
        lag=settings.lag,
        compile=settings.compile,
    )
    origin = Origin(
        find_checkpoint(name).name,
        sha256,
        model.data_shape,
        model.chain.lag,
        settings.precision,
        model.device.type,
    )
    setup = Setup(settings.batch_size, settings.seed, images=_pictures(model, images))
    return Opened(model, origin, setup, Explorer(model, setup).state)


def _pictures(model: Model, images: tuple[Path, ...]) -> Tensor | None:
    reader = reader_for(model.pixels)
    fitted = [fit_picture(image, model.data_shape, reader) for image in images]
    for _, done in fitted:
        if done:
            logger.info(done)
    return torch.stack([picture for picture, _ in fitted]) if fitted else None
