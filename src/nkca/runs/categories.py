"""Which colours or labels a run models: found in the images, or named by the options.

The options say "auto", a number or a file; the run's config holds the colours and ids themselves.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from nkca.config.colors import (
    MOST_COLORS,
    Color,
    color_text,
    label_text,
    parse_colors,
    parse_labels,
)
from nkca.config.data import DataConfig
from nkca.config.parsing import parse_value
from nkca.config.schema import ModelConfig, RunConfig
from nkca.data.cache import DecodedImages
from nkca.data.categories import Categories, palette_of_file, reader_for
from nkca.data.decode import AS_PICTURES, Reader
from nkca.data.palettes import chosen_colors, distinct_colors, label_colors, read_palette
from nkca.errors import InputError
from nkca.models.state_spaces import state_space

Load = Callable[[DataConfig, Reader], DecodedImages]
COMPARED = 1000  # files whose palettes are looked at
LIKE_IDS = 64  # grey values below this may be ids of labels


def with_categories(config: RunConfig, load: Load) -> tuple[RunConfig, DecodedImages, list[str]]:
    """The config with the colours or labels of its images, these, and what to log.

    Args:
        load: decodes the images that it is given the options of.

    Raises:
        InputError: if there are too many or too few, or the file that is named is wrong.
    """
    load = functools.cache(load)  # what is counted and what is trained on may be the same
    model = config.model
    if not model.palette and not model.labels:
        images = load(config.data, AS_PICTURES)
        return config, images, _check_levels(config, images)
    said: list[str] = []
    if is_settled(model.palette):
        colors = parse_colors(model.palette)
        data = replace(config.data, channels=len(colors[0]))
        config = _with_colors(replace(config, data=data), colors, model.labels)
    else:
        if model.labels:
            config = _with_labels(config, load)
            said += _disagreement(config, load(replace(config.data, channels=1), Categories(())))
        else:
            config = _with_palette(config, load)
        said.append(_description(config))
    images = load(config.data, reader_for(state_space(config.model).pixels))
    return config, images, said


def is_settled(palette: tuple[str, ...]) -> bool:
    """Whether these are colours, not "auto", a number or a file that says which."""
    return bool(palette) and all(text.startswith("#") for text in palette)


def unless_settled(options: Mapping[str, Any], model: ModelConfig) -> dict[str, Any]:
    """The options without a palette or labels that the run of ``model`` has found already."""
    kept = dict(options)
    for name in ("palette", "labels"):
        asked = parse_value(name, options[name]) if name in options else ()
        if not asked or not getattr(model, name) or len(asked) > 1:
            continue
        same = asked[0] == "auto" or asked[0] == str(len(model.palette))
        if name == "palette" and not same and not asked[0].startswith("#"):
            same = (
                tuple(map(color_text, read_palette(Path(asked[0]).expanduser()))) == model.palette
            )
        if name == "labels" and not same:
            names, _ = _named_labels(Path(asked[0]).expanduser())
            same = tuple(label_text(n, names[n]) for n in sorted(names)) == model.labels
        if same:
            del kept[name]
    return kept


def _with_palette(config: RunConfig, load: Load) -> RunConfig:
    """The config with the colours of its images, of a file, or as many as it asks for."""
    asked = config.model.palette
    data = replace(config.data, channels=config.data.channels or 4)
    if len(asked) > 1:
        raise InputError(
            f"palette={list(asked)}: expected auto, a number, a file, or colours as #rrggbb"
        )
    if asked[0] == "auto" or asked[0].isdecimal():
        images = load(data, Categories()).images
        if config.data.channels is None and (images[..., 3] == 255).all():
            data = replace(data, channels=3)
            images = images[..., :3]
        colors = (
            distinct_colors(images) if asked[0] == "auto" else chosen_colors(images, int(asked[0]))
        )
    else:
        colors = read_palette(Path(asked[0]).expanduser())
        data = replace(data, channels=len(colors[0]))
    return _with_colors(replace(config, data=data), colors, ())


def _with_labels(config: RunConfig, load: Load) -> RunConfig:
    """The config with the ids in its images, or in a file, and with their colours."""
    asked = config.model.labels
    if config.data.fit == "pad":
        raise InputError("fit=pad is not for labels: no label says what a border is; use crop")
    if len(asked) > 1:
        raise InputError(f"labels={list(asked)}: expected auto or a YAML file")
    decoded = load(replace(config.data, channels=1), Categories(()))
    found = np.flatnonzero(decoded.histogram).tolist()
    names, colors = _named_labels(Path(asked[0]).expanduser()) if asked[0] != "auto" else ({}, {})
    unknown = [number for number in found if names and number not in names]
    if unknown:
        raise InputError(
            f"the images have labels that {asked[0]} lacks: {', '.join(map(str, unknown))}"
        )
    ids = sorted(names or found)
    if len(ids) < 2:
        raise InputError(f"the images have one label, {ids[0]}: there is nothing to learn")
    colors = _different(ids, {**_file_colors(config, decoded), **colors})
    texts = tuple(label_text(number, names.get(number, "")) for number in ids)
    config = replace(config, data=replace(config.data, channels=3))
    return _with_colors(config, tuple(colors[number] for number in ids), texts)


def _with_colors(
    config: RunConfig, colors: tuple[Color, ...], labels: tuple[str, ...]
) -> RunConfig:
    if not 2 <= len(colors) <= MOST_COLORS:
        raise InputError(f"a palette has 2 to {MOST_COLORS} colours, got {len(colors)}")
    if labels and len(parse_labels(labels)) != len(colors):
        raise InputError(f"{len(labels)} labels and {len(colors)} colours: expected one for each")
    texts = tuple(map(color_text, colors))
    model = replace(config.model, palette=texts, labels=labels, num_classes=len(texts))
    return replace(config, model=model)


def _named_labels(path: Path) -> tuple[dict[int, str], dict[int, Color]]:
    """Names and colours from YAML: "3: dress", or "3: {name: dress, color: '#ff8800'}"."""
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    for key, value in read_labels_yaml(path).items():
        about = value if isinstance(value, dict) else {"name": value}
        if not str(key).isdecimal() or int(key) > 255 or not set(about) <= {"name", "color"}:
            raise InputError(
                f"{path}: '{key}: {value}' is not an id of 0 to 255 with name and color"
            )
        names[int(key)] = str(about.get("name") or "")
        if "color" in about:
            colors[int(key)] = parse_colors((str(about["color"]),))[0][:3]
    return names, colors


def read_labels_yaml(path: Path) -> dict[Any, Any]:
    """The mapping in a YAML file; raises `InputError` if there is none."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as YAML: {said}") from None
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: expected lines such as '3: dress'")
    return content


def _file_colors(config: RunConfig, decoded: DecodedImages) -> dict[int, Color]:
    """The colours in the first image file, if it is indexed and lies in a folder."""
    path = Path(config.data.dataset).expanduser() / decoded.names[0]
    return palette_of_file(path) if path.is_file() else {}


def _disagreement(config: RunConfig, decoded: DecodedImages) -> list[str]:
    """What to log where indexed files give a label several colours, as palettes of their own do."""
    ids = parse_labels(config.model.labels)
    first: dict[int, tuple[str, Color]] = {}
    for name in decoded.names[:COMPARED]:
        path = Path(config.data.dataset).expanduser() / name
        colors = palette_of_file(path) if path.is_file() else {}
        for number in ids.keys() & colors:
            other, color = first.setdefault(number, (name, colors[number]))
            if color != colors[number]:
                return [
                    f"{other} and {name} have different colours for label {number}: ids are taken as they "
                    "are, whatever their colours; of pictures with palettes of their own use palette=auto"
                ]
    return []


def _different(ids: list[int], colors: dict[int, Color]) -> dict[int, Color]:
    """A colour for each id, no two alike: those given, unless another label has it, else our own."""
    spare = iter(label_colors(2 * MOST_COLORS))
    result: dict[int, Color] = {}
    for number in ids:
        color = colors.get(number)
        if color is None or color in result.values():
            color = next(c for c in spare if c not in result.values() and c not in colors.values())
        result[number] = color
    return result


def _description(config: RunConfig) -> str:
    model = config.model
    if model.labels:
        return f"labels: {', '.join(model.labels[:16])}{' ...' * (len(model.labels) > 16)}"
    colors = f"{', '.join(model.palette[:8])}{' ...' * (len(model.palette) > 8)}"
    return f"palette of {len(model.palette)} colours: {colors}"


def _check_levels(config: RunConfig, images: DecodedImages) -> list[str]:
    """Advice where levels lose what images of categories say; refuse what they make constant."""
    if not config.model.discrete:
        return []
    present = np.flatnonzero(images.histogram)
    levels = torch.unique(state_space(config.model).pixels.to_state(torch.from_numpy(present)))
    if len(levels) < 2 <= len(present):
        raise InputError(
            f"with {config.model.num_classes} levels all images are equal: they have the values "
            f"{present[0]} to {present[-1]}; if these are ids of labels, use labels=auto, else a larger "
            "num_classes"
        )
    if images.images.shape[3] == 1:
        if len(levels) < len(present) and present[-1] < LIKE_IDS:
            return [
                f"the images have the values {present[0]} to {present[-1]}, of which {len(levels)} "
                "levels are left: if these are ids of labels, use labels=auto"
            ]
        return []
    try:
        count = len(distinct_colors(np.asarray(images.images[:1000])))
    except InputError:
        return []
    return [f"the images have only {count} colours: palette=auto models these, no others"]
