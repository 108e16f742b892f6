"""Whether what a run has learned is worth keeping."""

from dataclasses import replace

from torch import nn

from nkca.denoisers.precision import HalfPrecision
from nkca.errors import InputError
from nkca.pixels import as_tensor
from nkca.runs.run import Run
from nkca.system.device import send
from nkca.training.objective import evaluate

ADVICE = "Try a lower lr, grad_clip=100, lr_warmup=1000 or precision=fp32"
IMAGES = 4  # whose loss is tried


def is_sound(run: Run) -> bool:
    """Whether all weights are finite, and give at least one image a finite loss; so for their average.

    A step's loss is that of the weights before it: this is the only look at what it made of them.
    """
    learner = run.learner
    return all(_is_sound(run, network) for network in (learner.weights, learner.ema_network))


def check_sound(run: Run) -> None:
    """Raise `InputError` unless `is_sound`."""
    if not is_sound(run):
        raise InputError(
            f"training diverged: the weights after step {run.progress.step} have no finite loss and are "
            f"not saved; checkpoints in {run.directory} are as they were. {ADVICE}"
        )


def _is_sound(run: Run, network: nn.Module) -> bool:
    if not all(bool(weight.isfinite().all()) for weight in network.state_dict().values()):
        return False
    learner, model = run.learner, run.ema_model
    count = min(IMAGES, learner.part_size, len(run.images))
    z = model.pixels.to_state(send(as_tensor(run.images.images[:count].copy()), model.device))
    denoiser, forward = learner.chain.denoiser, network.forward  # not compiled, for so few images
    if isinstance(denoiser, HalfPrecision):
        forward = replace(denoiser, denoiser=forward)
    chain = replace(learner.chain, denoiser=forward)
    terms = evaluate(learner.objective_at(run.share), learner.draw, chain, z)
    return bool(terms.loss.isfinite().any())
