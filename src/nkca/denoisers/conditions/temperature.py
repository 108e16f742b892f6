r"""Temperature of categories: logits divided by t.

    p_t(z_i | x) proportional to p(z_i | x)^(1/t)

Below 1 what is likely becomes likelier. It is no knowledge of z: with t other than 1 the chain leaves the
data's law. Continuous states need no condition, as there all normal draws are multiplied by t
(`nkca.noise.Noise.tempered`).
"""

from typing import Protocol, runtime_checkable

from nkca.denoisers.condition import Condition
from nkca.distributions.contracts import Posterior


@runtime_checkable
class Temperable(Protocol):
    """A posterior whose logits can be divided by a temperature."""

    def tempered(self, temperature: float) -> Posterior:
        """Proportional to p to the power 1 / temperature."""
        ...


def temper(temperature: float) -> Condition:
    """The condition that divides logits by ``temperature`` > 0, where a posterior has logits."""

    def condition(p_z: Posterior) -> Posterior:
        return p_z.tempered(temperature) if isinstance(p_z, Temperable) else p_z

    return condition
