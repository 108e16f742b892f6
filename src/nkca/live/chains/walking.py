"""Markov steps of the tiles: tiles in, tiles out."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.condition import hold
from nkca.distributions.contracts import Posterior
from nkca.live.chains.tiles import FULL_PACE, Tiles, tile_noise, with_value
from nkca.models.model import Model


@dataclass(frozen=True)
class Prediction:
    """The denoiser's prediction p(z|x) for some tiles, valid for every moment with this x.

    A new mask always comes with a new x (`starting.paint`), so masks need not be compared.
    """

    x: Tensor
    rows: list[int]
    p_z: Posterior

    def fits(self, moment: Tiles, rows: list[int]) -> bool:
        """Whether the prediction is valid for these tiles of this moment."""
        return self.x is moment.x and self.rows == rows


def holding(model: Model, chain: Chain, moment: Tiles, rows: list[int]) -> Chain:
    """The chain that keeps what these tiles hold, and moves other pixels at their pace.

    ``rows`` are tiles of which all are locked, or none.
    """
    if moment.held is not None and not moment.locked[rows[0]]:
        chain = chain.conditioned(moment.held.known().condition(model))
    pace = moment.pace[rows]
    if (pace == FULL_PACE).all():
        return chain
    held = pace == 0
    whole = (pace == FULL_PACE) | held
    if not whole.all():
        share = (pace / FULL_PACE).masked_fill(whole, 1.0)
        chain = dataclasses.replace(chain, pace=share.to(model.device))
    if not held.any():
        return chain
    model.check_full_size("held pixels")
    z = model.pixels.to_state(moment.pictures[rows].to(model.device))
    return chain.conditioned(hold(held.to(model.device), z))


def predict(model: Model, moment: Tiles, rows: list[int]) -> Prediction:
    """Evaluate the denoiser once for these tiles, at least one."""
    levels = torch.tensor([moment.levels[row] for row in rows], device=model.device)
    chain = holding(model, model.chain, moment, rows)
    return Prediction(moment.x, rows, chain.believe(moment.x[rows], levels))


def step(
    model: Model, moment: Tiles, prediction: Prediction | None, only: int | None = None
) -> tuple[Tiles, Prediction | None]:
    """One Markov step of the free tiles, or of ``only`` one if it is free, to the requested level.

    Evaluates the denoiser at the new x, and first at the old x if ``prediction`` does not fit it.
    """
    rows = moment.walking(only)
    target, *ahead = moment.ahead or (moment.noise_level,)
    moved = dataclasses.replace(
        moment,
        step=moment.step + 1,
        noise_level=target,
        ahead=tuple(ahead),
        change=None,
        stepped=moment.version + 1,
        only=only,
    )
    if not rows:
        return moved, None
    if prediction is None or not prediction.fits(moment, rows):
        prediction = predict(model, moment, rows)
    level_y = torch.full((len(rows),), target, device=model.device)
    x = moment.x.clone()
    x[rows] = _next_states(model, moment, only, level_y, prediction)
    moved = dataclasses.replace(moved, x=x, levels=with_value(moment.levels, rows, target))
    prediction = predict(model, moved, rows)
    moved = with_pictures(model, moved, prediction)
    change = (moved.pictures[rows].float() - moment.pictures[rows]).abs().mean().item() / 255
    return dataclasses.replace(moved, change=change), prediction


def _next_states(
    model: Model, moment: Tiles, only: int | None, level_y: Tensor, prediction: Prediction
) -> Tensor:
    """The states of the tiles of ``prediction`` after a step."""
    rows, p_z = prediction.rows, prediction.p_z
    x = moment.x[rows]
    level_x = torch.tensor([moment.levels[row] for row in rows], device=model.device)
    carried = None
    if model.chain.averages_noise and (moment.stepped, moment.only) == (moment.version, only):
        before = dataclasses.replace(moment, version=moment.version - 1)
        carried = tile_noise(before, rows).normal(x)  # what the step to x drew
    chain = holding(model, model.chain, moment, rows)
    return chain.step(x, (level_x, level_y), p_z, tile_noise(moment, rows), carried)[0]


def with_pictures(model: Model, moment: Tiles, prediction: Prediction) -> Tiles:
    """The moment with new pictures: the mode of p(z|x), and what is held unchanged."""
    rows = prediction.rows
    shown = model.pixels.to_uint8(prediction.p_z.mode()).cpu()
    pictures = moment.pictures.clone()
    pictures[rows] = as_held(moment, rows, shown)
    return dataclasses.replace(moment, pictures=pictures)


def as_held(moment: Tiles, rows: list[int], pictures: Tensor) -> Tensor:
    """Pictures of tiles, uint8 (len(rows), C, H, W), changed where they are not exactly as is held."""
    free = moment.repaint[rows]
    exact = torch.where(free, pictures, moment.pictures[rows])
    if moment.held is None or moment.locked[rows[0]]:
        return exact
    return moment.held.known().settle(exact, free)[0]
