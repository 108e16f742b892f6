"""Recipes: values of several options that go together, as defaults of a new run.

`paper` is empty: the defaults of the options are the paper's. `recommended` is what gives the best pictures
for the time (docs/quality.md): the network sees patches of 2 x 2 pixels and corrects the best linear
denoiser; it learns by denoising first, and adjusts the deviation of the chain's steps after; levels have a
log-normal sigma; the optimizer is Muon, its learning rate falls to zero. Categorical pixels take of it what
does not depend on real numbers, and learn by denoising alone (docs/categories.md). An
option that is named wins over the recipe.
"""

from collections.abc import Mapping
from typing import Any

from nkca.config.parsing import field_name, parse_value

PAPER, RECOMMENDED = "paper", "recommended"

LEARNING = {
    "optimizer": "muon",
    "lr": 1.5e-3,
    "adam_b2": 0.99,
    "lr_warmup": 100,
    "lr_decay": 0.5,
    "ema_length": 0.1,
}
_CONTINUOUS = {
    "parametrisation": "preconditioned",
    "denoise_first": 0.85,
    "adjust": "deviation",
    "chain_noise": "averaged",
    "level_draw": "log-normal",
    "min_noise": 1e-3,
    "sampler": "dpm2m",
    "ladder": "sigma",
    "num_sampling_steps": 9,
    "weak_at": 0.5,
    "guidance": 2.0,
}
CATEGORICAL = {"denoise_first": 1.0}
_TIME = {"max_time": 3300.0, "epochs": 1_000_000}
RECOMMENDED_VALUES = {"recipe": RECOMMENDED, **LEARNING, **_CONTINUOUS}  # of continuous pixels
_BUDGETS = ("epochs", "max_steps", "max_time")


def with_recipe(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a new run, with what its recipe adds to them.

    A budget is 55 minutes, if no option says how long to train.

    Raises:
        InputError: if the recipe, or whether pixels are categories, is not understood.
    """
    given = {field_name(key): value for key, value in options.items()}
    recipe = parse_value("recipe", given.get("recipe", RECOMMENDED))
    for name in ("palette", "labels"):
        if given.get(name):
            given.setdefault("discrete", True)
    is_discrete = parse_value("discrete", given.get("discrete", False))
    if recipe == PAPER:
        return {**given, "recipe": PAPER}
    budget = {} if any(name in given for name in _BUDGETS) else _TIME
    space = CATEGORICAL if is_discrete else _CONTINUOUS
    return {**LEARNING, **space, **budget, **given, "recipe": recipe}
