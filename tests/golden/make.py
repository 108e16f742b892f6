"""Make the checkpoints of one schema that every later nkca must still open.

Run it once for each schema, when `nkca.models.checkpoint.SCHEMA` has been raised, and commit
what it writes:

    PYTHONPATH=src python tests/golden/make.py

It refuses to overwrite the files of a schema that exists. Networks are tiny (hidden 8, one level,
1 x 8 x 8) and their gates are not zero, so that every weight
counts; Adam's state is left out, as it would double the files. Outputs are in float64, so that they
are the same on every machine.

The weights are not: made again elsewhere, biases differ by up to 4 * lr = 0.04, all other weights by
less than 1e-4. A GroupNorm of one channel a group (hidden 8, 8 groups) takes away the bias of the
convolution before it, so that the exact gradient of such a bias is 0. The computed one is rounding
noise, and Adam divides it by its own size: each of the two steps moves the bias by about lr, in a
direction that depends on the machine. Seeds, settings and code are the same: the code that made
schema 1 gives these differences too.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nkca.chain import Chain
from nkca.config.parsing import configure
from nkca.config.schema import RunConfig
from nkca.distributions.categorical import Categorical
from nkca.distributions.normal import Normal
from nkca.models.build import ModelSpec, new_denoiser
from nkca.models.checkpoint import SCHEMA, Checkpoint, save_checkpoint
from nkca.models.state_spaces import state_space
from nkca.networks.layers import Residual
from nkca.noise import step_noise
from nkca.training.build import build_learner
from nkca.training.learner import Learner, TrainingProgress

HERE = Path(__file__).parent
SHAPE = (1, 8, 8)
DATA_STD = 0.6
OPTIONS: dict[str, dict[str, Any]] = {
    "continuous": {"parametrisation": "preconditioned"},
    "categorical": {"discrete": True, "num_classes": 4},
}


def states(discrete: bool) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if discrete:
        return torch.randint(5, (2, *SHAPE), generator=generator)
    return torch.randn((2, *SHAPE), generator=generator)


def trained(config: RunConfig) -> Learner:
    """A learner after two steps, so that the average differs from the weights."""
    spec = ModelSpec(config.model, SHAPE, DATA_STD)
    network, ema_network = (new_denoiser(spec, 0) for _ in range(2))
    generator = torch.Generator().manual_seed(2)
    for layer in network.modules():
        if isinstance(layer, Residual):
            with torch.no_grad():
                nn.init.normal_(layer.gate, generator=generator)
    ema_network.load_state_dict(network.state_dict())
    kernel = state_space(config.model).kernel
    chain = Chain(kernel, network, kernel.default_lag)
    learner, progress = (
        build_learner(config.training, chain, network, ema_network),
        TrainingProgress(),
    )
    z = states(config.model.discrete).clamp(max=3 if config.model.discrete else 1)
    for step in range(2):
        progress = learner.step(progress, z, step_noise(0, step, 0, 2)).progress
    return learner


def posterior(p_z: object) -> dict[str, Tensor]:
    """The tensors of p(z|x)."""
    if isinstance(p_z, Normal):
        return {"mean": p_z.mean, "std": p_z.std}
    assert isinstance(p_z, Categorical)
    return {"log_probs": p_z.log_probs}


def main() -> None:
    """Write a checkpoint and what its average gives for both state spaces."""
    for name, options in OPTIONS.items():
        path = HERE / f"checkpoint_schema{SCHEMA}_{name}.pth"
        if path.exists():
            raise SystemExit(f"{path} exists; delete it by hand if it never was in a release")
        config = configure(
            {
                "recipe": "paper",
                "hidden_size": 8,
                "dim_mults": [1],
                "batch_size": 2,
                "lr": 0.01,
                **options,
            }
        )
        learner = trained(config)
        checkpoint = Checkpoint(
            config=config.to_flat(),
            data_shape=SHAPE,
            data_std=DATA_STD,
            progress={"step": 2, "images": 4, "seconds": 1.5, "skipped": 0, "best_loss": None},
            model=learner.network.state_dict(),
            ema=learner.ema_network.state_dict(),
        )
        save_checkpoint(path, checkpoint)
        x, level = states(config.model.discrete), torch.tensor([0.05, 0.7])
        with torch.no_grad():
            ema_network = learner.ema_network.double()
            found = posterior(
                ema_network(x if config.model.discrete else x.double(), level.double())
            )
        expected = {"x": x, "noise_level": level, **found}
        torch.save(expected, HERE / f"expected_schema{SCHEMA}_{name}.pt")
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
