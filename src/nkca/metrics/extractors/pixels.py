"""Pixels as features: no network, for small images and for tests."""

from torch import Tensor

from nkca.config.image_size import describe
from nkca.errors import InputError
from nkca.metrics.extractors.contract import Description, Features, check_extractor_input

NAME = "pixels"
MAX_DIMENSIONS = 4096


class PixelsExtractor:
    """The pixels of each image, flattened; no logits."""

    @property
    def description(self) -> Description:
        """It has no weights and no resize; features of images of two sizes are not comparable."""
        return Description(NAME, "", "x / 127.5 - 1, flattened")

    def __call__(self, images: Tensor) -> Features:
        """Map uint8 (B, 3, H, W) to float32 (B, 3 * H * W) in [-1, 1].

        Raises:
            InputError: if there are more than `MAX_DIMENSIONS` features.
        """
        check_extractor_input(images)
        return self.of_unrounded(images.float())

    def of_unrounded(self, images: Tensor) -> Features:
        """Map float32 (B, 3, H, W) in [0, 255]; see `__call__`."""
        dimensions = images[0].numel()
        if dimensions > MAX_DIMENSIONS:
            height, width = images.shape[2:]
            raise InputError(
                f"pixels as features are for small images: {describe(height, width)} in RGB are "
                f"{dimensions} dimensions, at most {MAX_DIMENSIONS} are allowed"
            )
        return Features((images / 127.5 - 1).flatten(1))
