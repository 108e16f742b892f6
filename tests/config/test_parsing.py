"""Every option: its help, its syntaxes, its range; the resolved file loads back."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from tables import each

from nkca.config.every import Every
from nkca.config.parsing import (
    OPTIONS,
    SECTIONS,
    TYPES,
    configure,
    parse_duration,
    parse_size,
    parse_value,
    read_yaml,
    write_yaml,
)
from nkca.config.schema import RunConfig
from nkca.errors import InputError

UNUSUAL: dict[str, Any] = {
    "hidden_size": 16, "dim_mults": [1, 1, 3], "discrete": True, "num_classes": 7, "dataset": "a: b #c",
    "resize": [48, 32], "fit": "pad", "channels": 4, "background": "#ff0080",
    "data_augmentation": ["fliph", "flipv"], "strict": True,
    "cache": False, "cache_dir": "no", "data_workers": 3, "epochs": 3, "max_steps": 10,
    "max_time": 90.5, "batch_size": 12, "accumulate": 3,
    "activation_checkpointing": 2, "max_memory": 2**33, "lr": 1e-5, "adam_b1": 0.5, "adam_b2": 0.25,
    "lr_warmup": 9, "ema_decay": 0.5, "ema_warmup": True, "grad_clip": 1.5, "min_noise": 0.5,
    "lag": 0.125, "seed": 2**40, "device": "cpu", "precision": "bf16", "compile": "off",
    "checkpoint_freq": "100kimg", "viz_freq": 0, "eval_freq": "90s", "keep": 2, "parametrisation": "paper",
    "eval_samples": 9, "patch_size": 2, "optimizer": "muon", "recipe": "recommended",
    "denoise_first": 0.25, "adjust": "both", "carry_over": True, "denoise_weight": 0.5,
    "palette": ["#000000", "#ff8800"], "labels": ["3", "4=dress"],
    "level_draw": "adaptive", "level_mean": 0.5, "level_std": 2.0, "lr_decay": 0.25, "ema_length": 0.1,
    "sampler": "ancestral", "ladder": "sigma", "num_sampling_steps": 17, "guidance": 1.5, "weak_at": 0.3,
    "chain_noise": "fresh", "augment": 0.0, "coarse_to_fine": [],
    "eval_sampling_steps": 3, "eval_time": 2.5, "eval_dataset": "c", "eval_features": "net.pt2",
}  # fmt: skip


def message(options: dict[str, Any], source: str = "") -> str:
    with pytest.raises(InputError) as caught:
        configure(options, source)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_every_option_has_a_sentence_of_help_and_one_home() -> None:
    fields = [f for section in SECTIONS.values() for f in dataclasses.fields(section)]
    assert len(fields) == len(OPTIONS) == len(TYPES) > 30
    for field in fields:
        text = field.metadata["help"]
        assert text[0].isupper() or text[0].isdigit(), field.name
        sentence, *default = text.split("  [default: ")
        assert sentence.endswith("."), field.name
        assert all(words.endswith("]") for words in default), field.name
        assert 15 < len(text) < 120, field.name
    assert [f.name for f in dataclasses.fields(RunConfig)] == list(SECTIONS)


def test_defaults_are_those_of_the_paper() -> None:
    config = configure({})
    assert config == RunConfig()
    training = config.training
    assert (training.lr, training.adam_b1, training.adam_b2) == (1e-4, 0.9, 0.999)
    assert (training.ema_decay, training.min_noise, training.lag) == (0.999, 0.01, None)
    assert config.model.parametrisation == "paper"


def test_a_resolved_config_loads_back(tmp_path: Path) -> None:
    for options in ({}, UNUSUAL):
        config = configure(options)
        path = tmp_path / "config.yaml"
        write_yaml(path, config)
        assert configure(read_yaml(path)) == config
        assert configure(config.to_flat()) == config
        flat = config.to_flat()
        assert flat.keys() == OPTIONS.keys()
        for name, value in options.items():
            assert flat[name] == value
        plain = (int, float, str, bool, list, type(None))
        assert all(type(value) in plain for value in flat.values())


def test_the_unusual_values_above_are_all_options_and_no_defaults() -> None:
    defaults = configure({}).to_flat()
    assert UNUSUAL.keys() == OPTIONS.keys()
    changed = {name for name in OPTIONS if UNUSUAL[name] != defaults[name]}
    # those that are left have other values with continuous pixels alone
    same = {
        "parametrisation",
        "adjust",
        "chain_noise",
        "augment",
        "coarse_to_fine",
    }
    assert changed == OPTIONS.keys() - same


VALUES: dict[str, list[tuple[object, object]]] = {
    "dim_mults": [
        (text, (1, 2))
        for text in ("[1, 2]", "1,2", "1, 2", "(1, 2)", "[1,2]", " [ 1 , 2 ] ", "1 2", [1, 2], (1, 2),
                     ["1", "2"])
    ],
    "data_augmentation": [
        ("[fliph]", ("fliph",)), ("fliph", ("fliph",)), ("['fliph', \"flipv\"]", ("fliph", "flipv")),
        ("fliph,flipv", ("fliph", "flipv")), ("[]", ()), ("", ()), ([], ()), (["flipv"], ("flipv",)),
    ],
    "max_time": [
        (90, 90.0), (1.5, 1.5), ("90", 90.0), ("45s", 45.0), ("30m", 1800.0), ("1h30m", 5400.0),
        ("2h", 7200.0), ("1h1m1s", 3661.0), ("1.5h", 5400.0), (" 10M ", 600.0),
    ],
    "viz_freq": [
        (250, Every(250)), ("250", Every(250)), (250.0, Every(250)), (0, Every(0)),
        ("5min", Every(300, "seconds")), ("5m", Every(300, "seconds")), ("1h", Every(3600, "seconds")),
        ("90s", Every(90, "seconds")), ("100kimg", Every(100_000, "images")),
        ("2500 img", Every(2500, "images")), ("1.5Mimg", Every(1_500_000, "images")),
        ("64 images", Every(64, "images")), (Every(7), Every(7)),
    ],
    "max_memory": [
        ("8G", 8 * 2**30), ("800M", 800 * 2**20), ("1.5 GiB", 1610612736), ("2gb", 2**31), ("1T", 2**40),
        ("4096k", 4 * 2**20), (2**31, 2**31), ("1048576", 2**20),
    ],
    "discrete": [
        (True, True), (False, False), ("true", True), ("FALSE", False), ("yes", True), ("No", False),
    ],
    "epochs": [("7", 7), (7.0, 7)],
    "lr": [("1e-3", 0.001), (1, 1.0)],
    "resize": [
        (None, None), ("none", None), ("64", 64), ("48x64", (48, 64)), ("48X64", (48, 64)),
        ([48, 64], (48, 64)), ("[48, 64]", (48, 64)), ("64x64", 64), ([64, 64], 64),
    ],
    "lag": [("null", None), ("0.25", 0.25)],
    "channels": [("3", 3)],
    "dataset": [("7", "7")],
    "cache_dir": [("", None)],
    "seed": [(str(2**62), 2**62), (2**53 + 1, 2**53 + 1), (str(2**53 + 1), 2**53 + 1)],
}  # fmt: skip


def test_values_from_the_command_line_and_from_yaml() -> None:
    for name, value, expected in each((n, *row) for n, rows in VALUES.items() for row in rows):
        found = parse_value(name, value)
        assert found == expected
        assert type(found) is type(expected)
        flat = list(expected) if isinstance(expected, tuple) else expected
        flat = flat.plain if isinstance(flat, Every) else flat
        assert configure({name: value}).to_flat()[name] == flat


NO_DURATIONS: tuple[Any, ...] = ("", "m", "1d", "-5", "1m1h", "1..5h", "ten", "30 m s", True, None)
NO_SIZES: tuple[Any, ...] = ("", "G", "8X", "-1G", "1..5G", "8 G B", "much", True, None, "1e9")


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (parse_duration, VALUES["max_time"], NO_DURATIONS),
        (parse_size, VALUES["max_memory"], NO_SIZES),
    ],
)
def test_durations_and_sizes(parse: Any, good: Any, bad: tuple[Any, ...]) -> None:
    for text, expected in each(good):
        assert parse(text) == expected
    for text in each(bad):
        with pytest.raises((ValueError, TypeError)):
            parse(text)


def test_an_unknown_option_names_the_nearest() -> None:
    for key, near in each(
        [
            ("hidden-sise", "hidden_size"),
            ("epoch", "epochs"),
            ("dim_mult", "dim_mults"),
            ("batchsize", "batch_size"),
        ]
    ):
        text = message({key: 1}, "my.yaml")
        assert text == f"my.yaml: unknown option '{key}' (did you mean '{near}'?)"
    assert message({"zzzzzz": 1}) == "unknown option 'zzzzzz'"


def test_dashes_and_underscores_are_the_same() -> None:
    assert configure({"hidden-size": 16}) == configure({"hidden_size": 16})


OUT_OF_RANGE: list[tuple[str, Any]] = [
    ("hidden_size", 0), ("hidden_size", -8), ("hidden_size", 12), ("dim_mults", []), ("dim_mults", [1, 0]),
    ("dim_mults", [-1]), ("num_classes", 1), ("num_classes", 257), ("parametrisation", "papr"),
    ("resize", 0), ("resize", -1), ("resize", (8, 0)), ("fit", "stretch"),
    ("channels", 2), ("channels", 0), ("data_augmentation", ["flip"]),
    ("data_workers", 0), ("epochs", 0), ("epochs", -1), ("max_steps", 0), ("max_time", 0),
    ("max_time", -3), ("batch_size", 0), ("accumulate", 0), ("accumulate", 33),
    ("activation_checkpointing", -1), ("activation_checkpointing", 5), ("max_memory", 8),
    ("lr", 0), ("lr", -1),
    ("lr", math.inf), ("lr", math.nan), ("lr_warmup", -1), ("adam_b1", 1), ("adam_b1", -0.1),
    ("adam_b2", 1.0), ("ema_decay", 1), ("ema_decay", math.nan), ("grad_clip", 0), ("grad_clip", -1),
    ("grad_clip", math.nan), ("min_noise", 0), ("min_noise", 1), ("min_noise", math.nan), ("lag", 1),
    ("lag", -0.1), ("lag", math.nan), ("seed", -1), ("seed", 2**63), ("device", "gpu"),
    ("precision", "fp8"), ("compile", "yes"), ("checkpoint_freq", 0), ("viz_freq", -1),
    ("eval_freq", -1), ("eval_freq", "5x"), ("viz_freq", "100k"), ("viz_freq", 2.5), ("viz_freq", True),
    ("checkpoint_freq", "0img"), ("checkpoint_freq", "0s"), ("checkpoint_freq", "1e999"),
    ("coarse_to_fine", "[16, 8]"), ("coarse_to_fine", "[8]"), ("coarse_to_fine", "[0, 8]"),
    ("coarse_to_fine", "[8, 8]"), ("coarse_to_fine", "small"), ("keep", -1), ("patch_size", 0),
    ("optimizer", "sgd"), ("recipe", "best"),
    ("denoise_weight", -0.1), ("denoise_weight", math.inf),
    ("denoise_first", -0.1), ("denoise_first", 1.1), ("level_draw", "normal"), ("adjust", "mean"),
    ("level_mean", math.inf), ("level_std", 0), ("level_std", math.nan), ("lr_decay", -0.1),
    ("lr_decay", 1.5), ("lr_decay", math.nan), ("ema_length", 0), ("ema_length", 1.5),
    ("ema_length", math.nan),
    ("sampler", "chian"), ("chain_noise", "none"), ("ladder", "log"), ("num_sampling_steps", -1),
    ("guidance", math.nan), ("augment", -0.1), ("augment", 1.5), ("weak_at", -0.1), ("weak_at", 1.1),
    ("eval_samples", 1), ("eval_sampling_steps", -1), ("eval_time", 0), ("eval_time", -1),
]  # fmt: skip

WRONG_TYPE: list[tuple[str, Any]] = [
    ("hidden_size", "big"), ("hidden_size", 8.5), ("hidden_size", True), ("hidden_size", None),
    ("hidden_size", [8]), ("hidden_size", ""), ("hidden_size", math.inf), ("hidden_size", math.nan),
    ("hidden_size", "8.0.1"), ("dim_mults", "1;2"), ("dim_mults", 3), ("dim_mults", None),
    ("dim_mults", "a,b"),
    ("dim_mults", [1.5]), ("dim_mults", [[1], [2]]), ("discrete", 1), ("discrete", "maybe"),
    ("discrete", None),
    ("dataset", 7), ("dataset", None), ("lr", "fast"), ("lr", None), ("lr", True), ("lag", "high"),
    ("lag", False), ("max_time", "soon"), ("max_time", True), ("resize", "big"), ("device", 3),
    ("channels", "three"), ("data_augmentation", 3), ("data_augmentation", [1]), ("epochs", {"a": 1}),
    ("seed", "1e400"), ("accumulate", "many"), ("accumulate", 1.5), ("max_memory", "much"),
    ("activation_checkpointing", True), ("max_memory", True),
]  # fmt: skip


def test_a_wrong_value_names_its_option_and_the_source() -> None:
    for name, value in each(OUT_OF_RANGE + WRONG_TYPE):
        text = message({name: value}, "my.yaml")
        assert text.startswith("my.yaml: ")
        assert name in text


def test_every_option_with_a_range_is_in_the_table() -> None:
    free = {
        "discrete",
        "carry_over",
        "dataset",
        "background",
        "strict",
        "cache",
        "cache_dir",
        "ema_warmup",
    }
    free |= {"eval_dataset", "eval_features", "palette", "labels"}
    assert {name for name, _ in OUT_OF_RANGE} == OPTIONS.keys() - free


MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"device": "gpu"}, "device must be one of auto, cpu, cuda, mps"),
    ({"parametrisation": "precondition"}, "did you mean 'preconditioned'"),
    ({"data_augmentation": "fliphh"}, "did you mean 'fliph'"),
    ({"data_augmentation": "[flip]"}, "fliph, flipv or both, got flip (did you mean 'flip"),
    ({"hidden_size": "big"}, "hidden_size must be a whole number, got 'big'"),
    ({"dim_mults": "a"}, "dim_mults must be a list of whole numbers such as [1, 2], got 'a'"),
    ({"dim_mults": "[one, two]"}, "dim_mults must be a list"),
    ({"dim_mults": "[]"}, "dim_mults must be"),
    ({"discrete": True, "parametrisation": "preconditioned"}, "continuous pixels, not discrete"),
    ({"palette": "auto"}, "palette is for discrete pixels, not continuous"),
    ({"carry_over": True}, "carry_over is for discrete pixels, not continuous"),
    ({"denoise_weight": 0.1}, "denoise_weight is for discrete pixels, not continuous"),
    ({"sampler": "ancestral"}, "sampler=ancestral is for discrete pixels, not continuous"),
    ({"discrete": True, "adjust": "deviation"}, "are for continuous pixels, not discrete"),
    ({"discrete": True, "num_classes": "1"}, "num_classes must be 2 to 256"),
    ({"channels": "2"}, "channels must be one of 1, 3, 4"),
    ({"resize": "0"}, "resize must be 1 to 16384 pixels a side, got 0"),
    ({"resize": "64x"}, "a size such as 64, or 48x64 (height x width), got '64x'"),
    ({"resize": "16x20000"}, "resize must be 1 to 16384 pixels a side"),
    (
        {"fit": "croop"},
        "fit must be one of crop, pad, commonest, got 'croop' (did you mean 'crop'?)",
    ),
    ({"batch_size": "0"}, "batch_size must be positive, got 0"),
    ({"epochs": "inf"}, "epochs must be a whole number, got 'inf'"),
    ({"lag": "1.5"}, "lag must be in [0, 1), got 1.5"),
    ({"min_noise": "0"}, "min_noise must be in (0, 1), got 0"),
    ({"lr": "nan"}, "lr must be positive and finite, got nan"),
    (
        {"max_time": "soon"},
        "max_time must be a time such as 90 (seconds), 30m or 1h30m, got 'soon'",
    ),
    ({"max_memory": 8}, "max_memory must be at least 1M, as in 8G, got 8"),
    ({"max_memory": "lots"}, "an amount of memory such as 8G or 800M, got 'lots'"),
    ({"accumulate": "most"}, "accumulate must be a whole number or auto, got 'most'"),
    ({"accumulate": 0}, "accumulate must be positive, got 0"),
    ({"batch_size": 4, "accumulate": 5}, "accumulate must be at most the batch size 4, got 5"),
    ({"activation_checkpointing": -1}, "at least 0, got -1"),
    ({"activation_checkpointing": 3, "dim_mults": [1, 2]}, "at most the 2 level(s)"),
]


def test_messages() -> None:
    for options, words in each(MESSAGES):
        text = message(options, "my.yaml")
        assert text.startswith("my.yaml: ")
        assert words in text


# Files


def test_files_that_are_no_config(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for text, words in each(
        [
            ("a: [1", "is not valid YAML"),
            ("- 1\n- 2\n", "must hold 'option: value' lines, got list"),
            ("just words", "must hold 'option: value' lines, got str"),
            ("!!python/object/apply:os.system ['touch proof']", "is not valid YAML"),
        ]
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            read_yaml(path)
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such config file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot read config file"):
        read_yaml(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"dataset: caf\xe9\n")
    with pytest.raises(InputError, match="cannot read config file"):
        read_yaml(path)


def test_yaml_words_on_and_off_are_choices(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for word in ("on", "off", "auto"):
        path.write_text(f"compile: {word}\n", encoding="utf-8")
        assert configure(read_yaml(path)).training.compile == word


def test_yaml_numbers_without_a_point_are_numbers(tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-4 as text; a learning rate is one all the same."""
    path = tmp_path / "c.yaml"
    path.write_text(
        "lr: 1e-4\ndim_mults: [1, 2]\nmax_time: 1h30m\ndiscrete: yes\n", encoding="utf-8"
    )
    config = configure(read_yaml(path))
    assert config.training.lr == 1e-4
    assert config.model.dim_mults == (1, 2)
    assert config.training.max_time == 5400
    assert config.model.discrete is True
