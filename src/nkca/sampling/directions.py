r"""Directions: principal components of the network's bottleneck, and samples moved along them.

Chains are run to a level and walk there; the bottleneck h of each state met is kept. The components v_k
are the orthonormal eigenvectors of the covariance of h, sorted by their variance s_k² (GANSpace, Härkönen
et al. 2020, arXiv 2004.02546; on denoisers Haas et al. 2023, arXiv 2303.11073). A move of c deviations
along component k evaluates the network with

    h + c s_k v_k          at levels from `LOWEST_MOVED` up

in place of h, in every step of sampling. It leaves the data's law. Components have no sign of their own:
the largest of their numbers is made positive.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from nkca.denoisers.bottleneck import Shifted, observe
from nkca.errors import InputError, require
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.sampling.tasks import Schedule, draw_task, from_noise, run_task
from nkca.system.files import atomic_write
from nkca.system.tensor_files import load_safetensors

LEVEL = 0.6  # of the states whose bottleneck is looked at: pictures are being decided there
STATES = 512
STATES_PER_WALK = 8
LOWEST_MOVED = 0.4  # moved below it too, pictures get holes and blots
AMOUNTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of a sheet's columns
FORMAT = "nkca directions 1"


@dataclass(frozen=True)
class Directions:
    """The components of a network's bottleneck at one level.

    Args:
        components: orthonormal, float32 (K, C, H, W).
        deviations: the standard deviation of h along each, (K,), falling.
        shares: of the whole variance of h, (K,).
    """

    components: Tensor
    deviations: Tensor
    shares: Tensor

    def moved(self, model: Model, moves: Mapping[int, float]) -> Model:
        """The model whose samples are moved by so many deviations along components, counted from 1.

        Raises:
            InputError: if there is no such component, an amount is not finite, or the network's bottleneck
                has another shape.
        """
        return self._shifted(model, self._shift(moves))

    def moved_each(self, model: Model) -> Model:
        """The model for batches of K x 7 states, moved by each of `AMOUNTS` along each component."""
        numbers = range(1, len(self.components) + 1)
        return self._shifted(
            model, torch.stack([self._shift({k: amount}) for k in numbers for amount in AMOUNTS])
        )

    def _shift(self, moves: Mapping[int, float]) -> Tensor:
        shift = torch.zeros_like(self.components[0])
        for number, amount in moves.items():
            known = f"1 to {len(self.components)}"
            require(1 <= number <= len(self.components), "the component of a move", known, number)
            require(math.isfinite(amount), "the amount of a move", "finite", amount)
            shift += amount * self.deviations[number - 1] * self.components[number - 1]
        return shift

    def _shifted(self, model: Model, shift: Tensor) -> Model:
        self._check(model)
        denoiser = Shifted(model.chain.denoiser, shift.to(model.device), low=LOWEST_MOVED)
        return replace(model, chain=replace(model.chain, denoiser=denoiser))

    def _check(self, model: Model) -> None:
        x = torch.zeros(1, *model.state_shape, device=model.device)
        x = model.chain.kernel.prior(tuple(x.shape)).sample(Noise([0])).to(model.device)
        with torch.inference_mode():
            _, seen = observe(model.chain.denoiser, x, torch.ones(1, device=model.device))
        own, here = tuple(seen.shape[1:]), tuple(self.components.shape[1:])
        if own != here:
            raise InputError(f"these directions are of another model: {here}, this one has {own}")


@torch.inference_mode()
def find_directions(
    model: Model,
    count: int,
    level: float = LEVEL,
    states: int = STATES,
    seed: int = 0,
    tick: Callable[[float], None] = lambda _share: None,
) -> Directions:
    """The ``count`` largest components over ``states`` states of the chain at ``level``.

    Raises:
        InputError: if there are fewer than ``count + 1`` states, or the level is out of range.
    """
    require(1 <= count < states, "the number of directions", f"in 1..{states - 1}", count)
    walks = math.ceil(states / STATES_PER_WALK)
    seeds = [derive_seed("directions", seed, walk) for walk in range(walks)]
    way = Schedule(
        1.0, level, model.sampling.num_sampling_steps, model.sampling.ladder, guidance=1.0
    )
    *_, last = run_task(model, from_noise(seeds), way)
    x, carried, noise = last.x, None, Noise(seeds)
    b = torch.full((walks,), level, device=model.device)
    seen = []
    for step in range(STATES_PER_WALK):
        p_z, features = observe(model.chain.denoiser, x, b)
        seen.append(features.float().cpu())
        x, carried = model.chain.step(x, (b, b), p_z, noise, carried)
        tick((step + 1) / STATES_PER_WALK)
    return principal_components(torch.cat(seen)[:states], count)


def principal_components(features: Tensor, count: int) -> Directions:
    """The ``count`` largest components of features, float (N, C, H, W), N above ``count``."""
    rows = features.flatten(1)
    rows = rows - rows.mean(0)
    _, singular, axes = torch.linalg.svd(rows, full_matrices=False)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * largest.sign()
    variance = singular.square() / (len(rows) - 1)
    shares = variance / variance.sum()
    components = axes[:count].unflatten(1, features.shape[1:]).contiguous()
    return Directions(components, variance[:count].sqrt(), shares[:count])


def direction_sheet(
    model: Model,
    directions: Directions,
    seed: int = 0,
    schedule: Schedule | None = None,
    tick: Callable[[float], None] = lambda _share: None,
) -> Tensor:
    """The picture of ``seed`` moved by each of `AMOUNTS` along each component: uint8 (K, 7, C, H, W)."""
    size = (len(directions.components), len(AMOUNTS))
    task = from_noise([seed] * (size[0] * size[1]))
    model = directions.moved_each(model)
    pictures = draw_task(model, task, schedule or Schedule(), tick=tick)
    return pictures.view(*size, *pictures.shape[1:])


def parse_moves(text: str) -> dict[int, float]:
    """Parse ``3:+2`` or ``1:-1.5,3:2``: components and how many deviations along each.

    Raises:
        InputError: for anything else, or a component named twice.
    """
    moves: dict[int, float] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*:\s*([+-]?\d+(?:\.\d*)?)\s*", part)
        if match is None:
            raise InputError(f"moves must look like 3:+2 or 1:-1.5,3:2, got '{text}'")
        if int(match[1]) in moves:
            raise InputError(f"moves name component {match[1]} twice: got '{text}'")
        moves[int(match[1])] = float(match[2])
    return moves


def moved(model: Model, moves: str | None, directions_file: str | None) -> Model:
    """The model moved along directions in a file, as in a request; without moves the model itself.

    Raises:
        InputError: if one of the two is missing, or does not fit the other or the model.
    """
    if moves is None and directions_file is None:
        return model
    if moves is None or directions_file is None:
        raise InputError(
            "move=3:+2 and directions_file, which nkca-sample --directions=8 writes, go together"
        )
    return load_directions(Path(directions_file)).moved(model, parse_moves(moves))


def save_directions(path: Path, directions: Directions) -> None:
    """Write directions as safetensors, atomically."""
    content = safetensors.torch.save(vars(directions), {"format": FORMAT})
    with atomic_write(path) as file:
        file.write(content)


def load_directions(path: Path) -> Directions:
    """Read what `save_directions` wrote.

    Raises:
        InputError: if the file is missing, damaged or holds anything else.
    """
    tensors = load_safetensors(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    whole = shapes.get("components", ())
    count = whole[:1]
    if len(whole) != 4 or shapes != {"components": whole, "deviations": count, "shares": count}:
        raise InputError(f"{path} holds no directions: nkca-sample CKPT --directions=8 writes some")
    return Directions(tensors["components"], tensors["deviations"], tensors["shares"])
