"""Translation: a picture of another domain, such as a drawing, is moved into the model's.

At a high enough level the noised pictures of both domains are alike, so that the chain goes on from there
as if the picture had been one of its own (Meng et al. 2022, SDEdit, arXiv 2108.01073). The higher it
starts, the more like the model's and the less like the picture; with its coarse structure held it may start
higher.
"""

from collections.abc import Sequence

from torch import Tensor

from nkca.sampling.known import coarse
from nkca.sampling.tasks import Schedule, Task, around, knowing

TRANSLATION = Schedule(max_noise=0.6, num_steps=100, ladder="linear", sampler="chain")
"""How pictures are translated by default."""


def translate(images: Tensor, seeds: Sequence[int], scale: int | None = None) -> Task:
    """Pictures of the model's domain that resemble uint8 images (B, C, H, W), one a seed.

    Args:
        scale: means of blocks of scale x scale pixels are held; None: nothing is.

    Raises:
        InputError: unless ``scale`` divides H and W.
    """
    known = () if scale is None else (coarse(images, scale),)
    return knowing(around(images, seeds), *known, usual=TRANSLATION)
