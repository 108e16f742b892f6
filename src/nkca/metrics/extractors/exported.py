"""A network of the user: a file made with `torch.export.save`, given by ``--features=net.pt2``.

    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    dim = torch.export.Dim.AUTO
    program = torch.export.export(net.eval(), (images,), dynamic_shapes=({0: dim, 2: dim, 3: dim},))
    torch.export.save(program, "net.pt2")

The program takes uint8 (B, 3, H, W), resizes and scales by itself, and returns features (B, D), or a
pair of features and logits (B, K) before the softmax.

Such a file is a program: opening it can run any code in it, for `torch.export.load` unpickles parts of
the file and evaluates expressions in it. Open only files that you trust as you trust a script.
"""

import io
import logging
import zipfile
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from nkca.config.image_size import describe
from nkca.errors import InputError
from nkca.metrics.extractors.contract import Description, Features, check_extractor_input
from nkca.metrics.extractors.tensors import Weights, read_weights

SUFFIX = ".pt2"
_NOTE = "the file's own network: numbers compare only with others from the same file"
_ADVICE = (
    "export with a dynamic batch dimension: torch.export.export(net, (images,), "
    "dynamic_shapes=({0: torch.export.Dim.AUTO},))"
)


class ExportedExtractor:
    """The program in a file as an extractor.

    Args:
        path: the file; its code is trusted, see the docstring of the module.
        device: where it computes.

    Raises:
        InputError: if it cannot be read, is not such a program, takes anything but one uint8
            (B, 3, H, W), or only batches of one size.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        file = read_weights(path)
        program = _load(file)
        self._path = path
        self._size = _image_size(program, path)
        self._network = move_to_device_pass(program, device).module()
        self._description = Description(path.name, file.sha256, "as the file does", _NOTE)

    @property
    def description(self) -> Description:
        """The file's name and hash."""
        return self._description

    def __call__(self, images: Tensor) -> Features:
        """Map uint8 (B, 3, H, W) on the extractor's device to features, perhaps logits.

        Raises:
            InputError: if the program does not accept images of this size, or does not return features.
        """
        check_extractor_input(images)
        height, width = images.shape[2:]
        need_height, need_width = self._size
        if need_height not in (None, height) or need_width not in (None, width):
            raise InputError(
                f"{self._path} takes images of {need_height or 'any'}x{need_width or 'any'}, not "
                f"{height}x{width} (height x width): use resize, or export with dynamic height and width"
            )
        try:
            with torch.no_grad():
                found = self._network(images)
        except AssertionError as error:  # a guard that torch.export has inserted
            reason = str(error).split("\n", 1)[0]
            raise InputError(
                f"{self._path} does not accept {len(images)} images of {describe(height, width)}: {reason}"
            ) from error
        return self._checked(found, len(images))

    def _checked(self, found: object, count: int) -> Features:
        """The program's output as features, checked, because the program is the user's."""
        outputs = list(found) if isinstance(found, (tuple, list)) else [found]
        tensors = [one for one in outputs if isinstance(one, Tensor)]
        fits = [one.is_floating_point() and one.shape[:-1] == (count,) for one in tensors]
        if not all(fits) or len(tensors) < len(outputs) or len(tensors) not in (1, 2):
            said = ", ".join(
                f"{one.dtype} {tuple(one.shape)}" if isinstance(one, Tensor) else type(one).__name__
                for one in outputs
            )
            raise InputError(
                f"{self._path} returns {said} for {count} images; expected floating point features "
                f"({count}, D), or a pair of them and logits ({count}, K)"
            )
        return Features(*(one.float() for one in tensors))


def _load(file: Weights) -> ExportedProgram:
    """Open the program.

    Raises:
        InputError: if it is not a program, or of a version that this PyTorch cannot read.
    """
    logger = logging.getLogger("torch.export")
    before, logger.disabled = logger.disabled, True  # it logs a traceback of the error raised below
    try:
        if not zipfile.is_zipfile(io.BytesIO(file.content)):
            raise ValueError("not an archive")
        return torch.export.load(io.BytesIO(file.content))
    except Exception as error:  # the file may hold anything, so any error is possible
        raise InputError(
            f"{file.path} is not a program written by torch.export.save that PyTorch "
            f"{torch.__version__} can read"
        ) from error
    finally:
        logger.disabled = before


def _image_size(program: ExportedProgram, path: Path) -> tuple[int | None, int | None]:
    """The (H, W) that the program requires, each None if it accepts any.

    Raises:
        InputError: if its input is not uint8 RGB images in batches of any size.
    """
    names = program.graph_signature.user_inputs
    inputs = [node.meta.get("val") for node in program.graph.nodes if node.name in names]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
        raise InputError(
            f"{path} takes {len(names)} inputs; expected one: images, uint8 (B, 3, H, W)"
        )
    images = inputs[0]
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise InputError(
            f"{path} takes {images.dtype} {tuple(images.shape)}; expected images, uint8 (B, 3, H, W)"
        )
    count, _, height, width = (n if type(n) is int else None for n in images.shape)
    if count is not None:
        raise InputError(f"{path} takes batches of exactly {count}; {_ADVICE}")
    return height, width
