"""Coarse to fine: the same network learns on small images first, of means of s x s pixels.

A small image costs s² times less, and what is large in a picture is in it (ProGAN: Karras et al. 2018,
arXiv 1710.10196). The mean of s x s draws of noise has 1 / s of its standard deviation, so an image at
sigma looks like its small version at sigma / s: levels are drawn as ever, small images get noise of
sigma / s, and the network is told sigma. So at every level it is asked for what is equally uncertain in
both, and its level embedding sees the same levels all the time.

ProGAN's networks grow. Here all layers see images of all sizes, for they are convolutions over patches, so
none has to enter later through a gate. What they learn of small images they must in part learn anew, as the
details are others.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from nkca.chain import Chain
from nkca.config.image_size import describe
from nkca.config.schema import COARSE_SHARE
from nkca.denoisers.learned import see_pooled
from nkca.errors import InputError
from nkca.kernels.continuous import pooled_levels
from nkca.noise import Noise
from nkca.training.learner import Learner
from nkca.training.objective import Objective, Terms


def poolings(sizes: Sequence[int], height: int, width: int, patch_size: int) -> tuple[int, ...]:
    """The side s of the squares for each of ``sizes``, which are heights of images; (1,) for none.

    Raises:
        InputError: unless the last size is the images' and each pools squares to whole patches.
    """
    if not sizes:
        return (1,)
    listed = f"coarse_to_fine={list(sizes)}"
    if sizes[-1] != height:
        raise InputError(f"{listed} must end with the height of the images, {height}")
    for size in sizes:
        s = height // size
        if height % size or width % s or size % patch_size or width // s % patch_size:
            patches = "" if patch_size == 1 else f" in patches of {patch_size} x {patch_size}"
            raise InputError(
                f"{listed}: images of {describe(height, width)} cannot be pooled to height {size}{patches}"
            )
    return tuple(height // size for size in sizes)


def pooling_at(share: float, poolings: Sequence[int]) -> int:
    """That of a run of which ``share`` is done: those but the last have equal parts of `COARSE_SHARE`."""
    coarse = len(poolings) - 1
    phase = min(coarse, int(share / COARSE_SHARE * coarse))
    return poolings[phase]


def pooled_objective(objective: Objective, pooling: int) -> Objective:
    """The objective of pooled states at levels of the whole image.

    Its loss is of as many pixels as that of whole images, so that gradients are of one scale in all phases.
    """

    def pooled(chain: Chain, z: Tensor, noise_level: Tensor, noise: Noise) -> Terms:
        terms = objective(chain, z, pooled_levels(noise_level, pooling), noise)
        return replace(terms, loss=pooling**2 * terms.loss)

    return pooled


def pooled_learner(learner: Learner, pooling: int) -> Learner:
    """The learner whose states are pooled; its networks are told, and see images of that size alone."""
    for network in filter(None, (learner.weights, learner.ema_network, learner.weak_network)):
        see_pooled(network, pooling)
    first = learner.first and (learner.first[0], pooled_objective(learner.first[1], pooling))
    return replace(learner, objective=pooled_objective(learner.objective, pooling), first=first)
