"""Where states would end: what the page shows as finished pictures, and keeps.

The states of a chain at a level are noisy, and the mode of p(z|x) blurs what x leaves open. A finished
picture is the end of a short way down from x to the lowest level. It is a function of the tile's state
alone: the sampler is deterministic, or its noise is derived from the seed of the session and the tile. So
looking at finished pictures changes no chain.
"""

import torch
from torch import Tensor

from nkca.live.chains.tiles import Tiles
from nkca.live.chains.walking import as_held, holding
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.sampling.reconstruction import finishing


@torch.inference_mode()
def finish(model: Model, moment: Tiles, rows: list[int]) -> Tensor:
    """The finished pictures of some tiles, uint8 (len(rows), C, H, W) on the CPU.

    A tile at the lowest level is finished already. Other tiles cost `reconstruction.STEPS` denoiser
    evaluations for each level at which there are some, twice as many with guidance.
    """
    pictures = moment.pictures[rows].clone()
    kinds = [(moment.levels[row], moment.locked[row]) for row in rows]
    for kind in sorted({kind for kind in kinds if kind[0] > model.min_noise}):
        places = [place for place, of_row in enumerate(kinds) if of_row == kind]
        pictures[places] = _descend(model, moment, [rows[place] for place in places], kind[0])
    return pictures


def picture_of(model: Model, moment: Tiles, tile: int, finished: bool) -> Tensor:
    """The picture of a tile as a page shows it, finished or denoised: uint8 (C, H, W) on the CPU."""
    return finish(model, moment, [tile])[0] if finished else moment.pictures[tile]


def _descend(model: Model, moment: Tiles, rows: list[int], level: float) -> Tensor:
    """The finished pictures of tiles at one level."""
    chain = holding(model, model.guided(model.guidance), moment, rows)
    schedule = finishing(model, level)
    noise = Noise([derive_seed("live finish", moment.seed, row) for row in rows])
    sampler, levels = schedule.sample_with(model), schedule.levels(model)
    *_, last = sampler(chain, moment.x[rows], levels, noise)
    finished = model.pixels.to_uint8(last.p_z.mode()).cpu()
    return as_held(moment, rows, finished)
