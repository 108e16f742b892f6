"""Checkpoints of the authors' original implementation, read as nkca's own.

They hold `model_state`, `ema`, `optimizer_state` and `session`; weight names are prefixed `module.`.
Only tensors and plain values are read. The optimizer is dropped: such a model is sampled, measured or
explored, not resumed.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

_RENAME = [
    (r"^module\.", ""),
    (r"^noise_embedding\.1\.", "trunk.level_embedding.first."),
    (r"^noise_embedding\.3\.", "trunk.level_embedding.second."),
    (r"^intensity_embedder\.0\.", "input."),
    (r"^(class|channel)_embedding_x\.", r"\1_embedding."),
    (r"^proj\.0\.block\.0\.", "trunk.head.conv."),
    (r"^proj\.0\.block\.1\.", "trunk.head.norm."),
    (r"^proj\.1\.", "trunk.output."),
    (r"^unet\.downs\.(\d+)\.3\.conv\.", r"trunk.unet.shrink.\1."),
    (r"^unet\.ups\.(\d+)\.3\.conv\.", r"trunk.unet.enlarge.\1."),
    (r"^unet\.downs\.(\d+)\.", r"trunk.unet.down.\1."),
    (r"^unet\.ups\.(\d+)\.", r"trunk.unet.up.\1."),
    (r"^unet\.mid_block([12])\.", r"trunk.unet.middle.block\1."),
    (r"^unet\.mid_attn\.", "trunk.unet.middle.attention."),
    (r"(\.(?:down|up)\.\d+)\.0\.", r"\1.block1."),
    (r"(\.(?:down|up)\.\d+)\.1\.", r"\1.attention."),
    (r"(\.(?:down|up)\.\d+)\.2\.", r"\1.block2."),
    (r"\.g$", ".gate"),
    (r"\.res_conv\.", ".skip."),
    (r"\.fn\.mlp\.1\.", ".fn.embedding."),
    (r"\.(block[12])\.block\.0\.", r".\1.conv."),
    (r"\.(block[12])\.block\.1\.", r".\1.norm."),
    (r"\.fn\.0\.to_(qkv|out)\.", r".fn.\1."),
    (r"\.attention\.fn\.1\.", ".attention.fn.norm."),
]


def translate_name(name: str) -> str:
    """Return nkca's name for a weight of the original."""
    for pattern, replacement in _RENAME:
        name = re.sub(pattern, replacement, name)
    return name


def translate_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename all weights of a state dictionary of the original."""
    return {translate_name(name): tensor for name, tensor in weights.items()}


def is_original(content: Mapping[str, Any]) -> bool:
    """Whether an unpickled file looks like a checkpoint of the original."""
    return {"model_state", "ema", "session"} <= content.keys()


_SESSION_OPTIONS = (
    "hidden_size",
    "dim_mults",
    "discrete",
    "num_classes",
    "data_augmentation",
    "batch_size",
    "lr",
    "adam_b1",
    "adam_b2",
    "min_noise",
    "ema_decay",
    "lag",
)


def translate_session(session: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run of the original as nkca's flat config.

    Raises:
        KeyError: if an option that the model depends on is missing.
    """
    for name in ("hidden_size", "dim_mults", "discrete", "data_shape"):
        session[name]
    return {name: session[name] for name in _SESSION_OPTIONS if name in session}
