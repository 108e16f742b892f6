"""Recipes: which options they set, and that what a person names wins."""

import pytest
from tables import each

from nkca.config.parsing import OPTIONS, configure
from nkca.config.recipes import CATEGORICAL, LEARNING, RECOMMENDED_VALUES, with_recipe
from nkca.config.schema import RunConfig
from nkca.errors import InputError


def test_paper_is_the_defaults_and_recommended_the_default_of_a_new_run() -> None:
    assert configure(with_recipe({"recipe": "paper"})) == RunConfig()
    recommended = configure(with_recipe({}))
    assert recommended == configure(with_recipe({"recipe": "recommended"}))
    flat, paper = recommended.to_flat(), RunConfig().to_flat()
    differ = {name for name in OPTIONS if flat[name] != paper[name]}
    assert differ == RECOMMENDED_VALUES.keys() | {"max_time", "epochs"}
    assert all(flat[name] == value for name, value in RECOMMENDED_VALUES.items())


def test_named_options_win_in_any_spelling() -> None:
    config = configure(with_recipe({"num-sampling-steps": "7", "optimizer": "adam"}))
    assert config.sampling.num_sampling_steps == 7
    assert config.training.optimizer == "adam"
    assert config.training.lr_decay == RECOMMENDED_VALUES["lr_decay"]


@pytest.mark.parametrize("named", [{"epochs": 3}, {"max_steps": 9}, {"max_time": "2h"}])
def test_the_hour_is_for_those_who_do_not_say_how_long(named: dict[str, object]) -> None:
    config = configure(with_recipe(named))
    assert config == configure({**RECOMMENDED_VALUES, **named})
    assert configure(with_recipe({})).training.max_time == 3300


def test_categories_take_what_does_not_depend_on_real_numbers_and_denoise() -> None:
    for asked in each([{"discrete": "true"}, {"palette": "auto"}, {"labels": "auto"}]):
        config = configure(with_recipe(asked))
        flat, paper = config.to_flat(), configure({**asked, "discrete": True}).to_flat()
        differ = {name: flat[name] for name in OPTIONS if flat[name] != paper[name]}
        times = {name: flat[name] for name in ("epochs", "max_time")}
        assert differ == {"recipe": "recommended", **LEARNING, **CATEGORICAL, **times}
        assert config.sampling.sampler == "chain"
        assert not config.model.carry_over
    named = configure(with_recipe({"discrete": True, "carry_over": True, "denoise-first": "0.5"}))
    assert (named.model.carry_over, named.training.denoise_first) == (True, 0.5)


def test_categories_of_the_paper_are_as_published() -> None:
    config = configure(with_recipe({"discrete": True, "recipe": "paper"}))
    assert config == configure({"discrete": True})
    assert (config.model.carry_over, config.training.denoise_first) == (False, 0.0)
    assert (config.training.denoise_weight, config.training.optimizer) == (0.0, "adam")


def test_a_recipe_that_is_not_known_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"recipe must be one of recommended, paper.*'paper'"):
        with_recipe({"recipe": "papr"})
