"""What the package does for one caller changes nothing of the process for the others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import logging
import os
import signal
import socket
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # PyTorch sets a variable and filters when this is imported, by torchvision too
import torch.utils.tensorboard.writer
from torch.nn.modules import module as hooks

import nkca
from nkca.metrics.collect import CollectOptions
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.measure import make_report
from nkca.metrics.measurement import MeasureRequest, open_measurement
from nkca.runs.loop import train as train_run
from nkca.runs.start import open_run
from nkca.sampling.tasks import Schedule

folder = Path(sys.argv[1])
torch.manual_seed(1234)


def state():
    logger = logging.getLogger("nkca")
    return {
        "warning filters": list(warnings.filters),
        "environment": dict(os.environ),
        "socket's default": socket.getdefaulttimeout(),
        "torch's generator": torch.get_rng_state().numpy().tobytes(),
        "numpy's generator": repr(np.random.get_state()),
        "hooks of all modules": [
            len(table)
            for name, table in sorted(vars(hooks).items())
            if name.startswith("_global_") and hasattr(table, "items")
        ],
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "determinism": torch.are_deterministic_algorithms_enabled(),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "logger": (logger.level, logger.propagate, list(logger.handlers)),
        "working directory": os.getcwd(),
    }


def load():
    global model
    model = nkca.load_model("demo", device="cpu", compile="auto")


def sample():
    nkca.sample(model, seeds=range(2), schedule=Schedule(num_steps=2))


def train():
    options = {"dataset": "demo", "recipe": "paper", "hidden_size": 8, "dim_mults": [1, 2], "batch_size": 4}
    options |= {"max_steps": 2, "eval_samples": 4, "device": "cpu", "resize": 28}
    with open_run(options, folder / "run") as run:
        assert len(list(train_run(run))) == 2


def measure():
    request = MeasureRequest("demo:model", "demo:images", num_samples=4, device="cpu", compile="auto")
    measurement = open_measurement(request)
    extractor = open_extractor("pixels", torch.device("cpu"))
    make_report(measurement, extractor, CollectOptions(torch.device("cpu"), folder / "cache", 4))


def explore():
    from nkca.live.chains.events import RunChains
    from nkca.live.chains.explorer import Setup
    from nkca.live.session.file import Origin
    from nkca.live.web.messages import Turn
    from nkca.live.web.shared_explorer import SharedExplorer

    origin = Origin("demo", "0" * 64, model.data_shape, model.chain.lag, "fp32", "cpu")
    shared = SharedExplorer(model, origin, Setup(2))
    during = []

    def unwanted():
        during.append(state()["hooks of all modules"])
        return len(during) > 20

    shared.turn(Turn(events=(RunChains(),), steps=2), unwanted)
    assert len(during) == 21
    assert during == [before["hooks of all modules"]] * 21


before = state()
for work in (load, sample, train, measure, explore):
    work()
    after = state()
    changed = [name for name in before if after[name] != before[name]]
    assert not changed, f"{work.__name__} changes {', '.join(changed)}"
    print(work.__name__)
"""


@pytest.mark.slow
def test_nothing_of_the_process_is_left_changed(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "OMP_NUM_THREADS": "1",
        "NKCA_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["load", "sample", "train", "measure", "explore"]
