"""Make the recorded sessions that every later nkca must still replay to the same pixels.

    PYTHONPATH=src python tests/golden/make_sessions.py

Writes, beside this file, `session_continuous.json` and `session_categorical.json`, recorded with the
checkpoints of schema 1, and `sessions.json`, the pixels (hexadecimal) of every picture that
`nkca-sample CHECKPOINT --replay=SESSION` makes of them. It refuses to overwrite.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from nkca.live.chains import events as event
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.session.export import shelf_files, tile_files
from nkca.live.session.file import Origin, session_of, to_json
from nkca.models.build import load_model
from nkca.models.checkpoint import digest
from nkca.models.model import Model
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures, as_tensor

HERE = Path(__file__).parent
MASK = "//8AAAAAAAA="  # the two upper rows of 8x8
SEED = 11


def images() -> Tensor:
    """What a session starts from: two pictures, uint8 (2, 1, 8, 8)."""
    ramp = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8, 1)
    return as_tensor(np.stack([ramp, 255 - ramp.transpose(1, 0, 2)]))


def events() -> list[event.Event]:
    """Everything that a session records, each at least once."""
    picture = base64.b64encode(png_bytes(as_pictures(images())[1])).decode()
    return [
        *[event.MakeSteps(3), event.Keep(1), event.Spread(1), event.Level(0.3), event.MakeSteps(4)],
        *[event.Lock(2, True), event.Keep(0), event.Paint(3, MASK), event.MakeSteps(2)],
        *[event.Undo(), event.Redo(), event.MakeSteps(1), event.Undo(), event.Anneal(3)],
        *[event.MakeSteps(3), event.Keep(3), event.Keep(1, seen=18), event.Restart("noise", 5)],
        *[event.MakeSteps(2), event.Keep(2), event.Start(0, picture), event.MakeSteps(1)],
        *[event.Pick(1), event.Lock(2, False), event.MakeSteps(1), event.Keep(0), event.Jump(9)],
        *[
            event.MakeSteps(2),
            event.Keep(1),
            event.Restart("images", 7),
            event.MakeSteps(3),
            event.Keep(0),
        ],
        *[event.Paint(1, MASK), event.Level(0.15), event.MakeSteps(2), event.Keep(1)],
        *[event.Remove(2), event.Remove(4), event.Restore(2), event.Move(3, 0), event.MakeSteps(1)],
    ]


def explored(model: Model, seed: int) -> Explorer:
    """The session, done."""
    explorer = Explorer(model, Setup(batch_size=4, seed=seed, images=images()))
    explorer.apply(events())
    return explorer


def pictures(origin: Origin, explorer: Explorer) -> dict[str, str]:
    """The pixels of each file, hexadecimal, that a replay writes."""
    state = explorer.state
    found = {}
    for name, content in [*shelf_files(origin, state.shelf), *tile_files(origin, state.moment)]:
        with Image.open(io.BytesIO(content)) as image:
            found[name] = image.tobytes().hex()
    return found


def main() -> None:
    """Record a session with either checkpoint."""
    hashes = {}
    for name in ("continuous", "categorical"):
        path = HERE / f"session_{name}.json"
        if path.exists():
            raise SystemExit(f"{path} exists; what it shows must stay the same")
        file = HERE / f"checkpoint_schema1_{name}.pth"
        model = load_model(file, device="cpu")
        origin = Origin(file.name, digest(file), model.data_shape, model.chain.lag, "fp32", "cpu")
        explorer = explored(model, SEED)
        hashes[name] = pictures(origin, explorer)
        path.write_bytes(to_json(session_of(origin, explorer)))
        print(f"{path}: {path.stat().st_size} bytes, {len(hashes[name])} pictures")
    (HERE / "sessions.json").write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
