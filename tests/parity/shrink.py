"""The original implementation's numbers, packed small and unpacked without loss: see README.md.

    python tests/parity/shrink.py FOLDER

reads the full files from FOLDER, checks that nothing is lost, and writes `continuous.xz` and
`categorical.xz` beside this script. The tests call :func:`unpack`.
"""

import hashlib
import io
import lzma
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HERE = Path(__file__).parent
SEEDS = {"continuous": 1234, "categorical": 4321}  # found by trying seeds from 0
STREAM = 700_000  # more numbers than the networks have weights
FILTERS = [  # of four-byte numbers
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 2, "lp": 2, "pb": 2}
]

Weights = dict[str, Tensor]
Places = dict[str, list[Any]]  # name: [offset in the stream, fan-in, shape]


def uniform(seed: int) -> NDArray[np.float64]:
    """The start of the stream of ``torch.rand`` on the CPU after ``manual_seed``: float64 in [0, 1).

    It has 24 bits of each output of the Mersenne Twister, whose stream NumPy promises not to change.
    """
    bits = np.random.RandomState(seed).randint(0, 2**32, size=STREAM, dtype=np.uint32)
    return np.asarray((bits & 0xFFFFFF) / 2.0**24)


def scaled(stream: NDArray[np.float64], fan_in: int) -> Tensor:
    """PyTorch's starting values of a convolution or linear layer, float32: one rounding, as a fused
    multiply-add has it; the product of two float32 is exact in float64."""
    bound = np.float32(1 / math.sqrt(fan_in))
    return torch.from_numpy((stream * float(bound + bound) - float(bound)).astype(np.float32))


def find(weights: Weights, stream: NDArray[np.float64]) -> Places:
    """Where in the stream the weights stand that were drawn from it."""
    places: Places = {}
    for name, weight in weights.items():
        layer = weights.get(name.removesuffix("bias") + "weight", weight)
        fan_in = layer[0].numel()
        start = (float(weight.flatten()[0]) * math.sqrt(fan_in) + 1) / 2
        for offset in np.nonzero(np.abs(stream - start) < 1e-6)[0].tolist():
            if torch.equal(
                scaled(stream[offset : offset + weight.numel()], fan_in), weight.flatten()
            ):
                places[name] = [offset, fan_in, list(weight.shape)]
    return places


def digest(weights: Weights) -> str:
    """Of names and bits, in order."""
    total = hashlib.sha256()
    for name, weight in weights.items():
        total.update(name.encode() + weight.contiguous().numpy().tobytes())
    return total.hexdigest()


def pack(data: dict[str, Any], checkpoint: dict[str, Any], seed: int) -> bytes:
    """One file of what a state space's two files hold."""
    weights = data["state_dict"]
    for key in ("model_state", "ema"):
        assert digest(unprefixed(checkpoint[key])) == digest(weights), f"{key} has other weights"
    places = find(weights, uniform(seed))
    content = {
        "data": {name: value for name, value in data.items() if name != "state_dict"},
        "session": checkpoint["session"],
        "optimizer_state": checkpoint["optimizer_state"],
        "seed": seed,
        "names": list(weights),
        "drawn": places,
        "kept": {name: weight for name, weight in weights.items() if name not in places},
        "sha256": digest(weights),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return lzma.compress(buffer.getvalue(), filters=FILTERS)


def unprefixed(weights: Weights) -> Weights:
    return {name.removeprefix("module."): weight for name, weight in weights.items()}


def restore(packed: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reference numbers and the checkpoint that were packed, to the bit."""
    content = torch.load(io.BytesIO(lzma.decompress(packed)), weights_only=True)
    stream = uniform(content["seed"])
    weights = dict(content["kept"])
    for name, (offset, fan_in, shape) in content["drawn"].items():
        weights[name] = scaled(stream[offset : offset + math.prod(shape)], fan_in).view(shape)
    weights = {name: weights[name] for name in content["names"]}
    assert digest(weights) == content["sha256"], "the weights drawn are not the original's"
    prefixed = {f"module.{name}": weight for name, weight in weights.items()}
    checkpoint = {
        "model_state": prefixed,
        "ema": {name: weight.clone() for name, weight in prefixed.items()},
        "optimizer_state": content["optimizer_state"],
        "session": content["session"],
    }
    return {**content["data"], "state_dict": weights}, checkpoint


def unpack(folder: Path) -> None:
    """Write the full files that were packed into ``folder``."""
    for space in SEEDS:
        data, checkpoint = restore((HERE / f"{space}.xz").read_bytes())
        torch.save(data, folder / f"{space}.pt")
        torch.save(checkpoint, folder / f"original_{space}.pth")


def same(a: Any, b: Any) -> bool:
    """Whether two unpickled values are equal: types, keys, dtypes, shapes and bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        bits = [t.contiguous().numpy().tobytes() for t in (a, b)]
        return a.dtype == b.dtype and a.shape == b.shape and bits[0] == bits[1]
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def main(folder: Path) -> None:
    for space, seed in SEEDS.items():
        names = (f"{space}.pt", f"original_{space}.pth")
        data, checkpoint = (torch.load(folder / name, weights_only=True) for name in names)
        packed = pack(data, checkpoint, seed)
        assert same(restore(packed), (data, checkpoint)), "something was lost"
        (HERE / f"{space}.xz").write_bytes(packed)
        print(f"{space}.xz: {len(packed):,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
