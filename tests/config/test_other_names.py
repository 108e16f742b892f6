"""Other programs' names and other spellings are understood, or answered with ours, which then work."""

import pytest
from tables import each

from nkca.config.other_names import (
    OPTIONS_ELSEWHERE,
    VALUES_ELSEWHERE,
    canonical,
    instead,
)
from nkca.config.parsing import OPTIONS, configure
from nkca.errors import InputError


def test_spellings() -> None:
    for written, ours in each(
        [
            ("num_samples", "num-samples"),
            ("Log_Normal", "log-normal"),
            ("parametrization", "parametrisation"),
        ]
    ):
        assert canonical(written) == ours
    given = {"parametrization": "Preconditioned", "level-draw": "log_normal", "lr": "2e-4"}
    meant = {"parametrisation": "preconditioned", "level_draw": "log-normal", "lr": 2e-4}
    assert configure(given) == configure(meant)


def test_a_value_of_another_program_is_answered_with_one_that_works() -> None:
    for name, written in each(
        [
            *(("device", word) for word in ("gpu", "nvidia")),
            *(("precision", word) for word in ("float32", "half", "bfloat16")),
            *(("channels", word) for word in ("gray", "grey", "color", "colour", "rgb", "rgba")),
            *(("data_augmentation", word) for word in ("hflip", "vflip", "horizontal_flip")),
            *(
                ("optimizer", "adamw"),
                ("recipe", "original"),
                ("sampler", "ddpm"),
                ("sampler", "dpm++"),
            ),
        ]
    ):
        with pytest.raises(InputError, match=": use ") as caught:
            configure({name: written})
        proposed = str(caught.value).rsplit(": use ")[1]
        accepted = configure({name: proposed}).to_flat()[name]
        assert str(accepted).strip("[']") == proposed


def test_an_option_of_another_program_is_answered_with_one_that_works() -> None:
    for written, ours in each(
        [
            *(("learning_rate", "lr"), ("steps", "max_steps"), ("output", "save_dir")),
            *(("image-size", "resize"), ("batch", "batch_size"), ("num_epochs", "epochs")),
            *(
                ("greyscale", "channels=1"),
                ("fp16", "precision=fp16"),
                ("hflip", "data_augmentation=fliph"),
            ),
        ]
    ):
        with pytest.raises(InputError, match=f"^unknown option '{written}'") as caught:
            configure({written: 1})
        name, *value = ours.split("=")
        assert (str(caught.value).endswith(f": use {ours}")) == (name in OPTIONS)
        if value:
            configure({name: value[0]})


def test_no_word_is_ours_and_another_programs() -> None:
    """Else a table would replace a right word; two of our options may have the same other name."""
    for ours, names in each([*OPTIONS_ELSEWHERE.items(), *VALUES_ELSEWHERE.items()]):
        assert ours.split("=")[0] not in names.split()
        assert len(set(names.split())) == len(names.split())


def test_what_is_not_alike_is_not_proposed() -> None:
    assert instead("gpu", ("cpu", "cuda")) == instead("grey", ("replay",)) == ""
    assert instead("hflip", ("flipv", "fliph")) == ": use fliph"
    assert instead("cup", ("cpu",)) == "", "too far"
    assert instead("papper", ("paper",)) == " (did you mean 'paper'?)"
