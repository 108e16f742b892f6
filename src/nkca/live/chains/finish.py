"""Where states would end: what the page shows as finished pictures, and keeps.

The states of a chain at a level are noisy, and the mode of p(z|x) blurs what x leaves open. A finished
picture is the end of a short way down from x to the lowest level. It is a function of the tile's state
alone: the sampler is deterministic, or its noise is derived from the seed of the session and the tile. So
looking at finished pictures changes no chain.
"""

import torch
from torch import Tensor

from nkca.live.chains.tiles import Tiles
from nkca.live.chains.walking import holding
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
    for level in sorted(
        {moment.levels[row] for row in rows if moment.levels[row] > model.min_noise}
    ):
        places = [place for place, row in enumerate(rows) if moment.levels[row] == level]
        pictures[places] = _descend(model, moment, [rows[place] for place in places], level)
    return pictures


def _descend(model: Model, moment: Tiles, rows: list[int], level: float) -> Tensor:
    """The finished pictures of tiles at one level."""
    chain = holding(model, model.guided(model.guidance), moment, rows)
    schedule = finishing(model, level)
    noise = Noise([derive_seed("live finish", moment.seed, row) for row in rows])
    sampler, levels = schedule.sample_with(model), schedule.levels(model)
    *_, last = sampler(chain, moment.x[rows], levels, noise)
    finished = model.pixels.to_uint8(last.p_z.mode()).cpu()
    return torch.where(moment.repaint[rows], finished, moment.pictures[rows])
