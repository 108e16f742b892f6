"""The one file: what comes back, what a crash leaves, and everything that is not a checkpoint."""

import io
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tables import each
from torch import Tensor

from nkca.config.parsing import configure
from nkca.distributions.categorical import Categorical
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.models.build import ModelSpec, load_model, new_denoiser
from nkca.models.checkpoint import (
    FINAL,
    LATEST,
    SCHEMA,
    Checkpoint,
    digest,
    find_checkpoint,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from nkca.version import __version__

GOLDEN = Path(__file__).parents[1] / "golden"
CONFIG = configure({"hidden_size": 8, "dim_mults": [1], "data_augmentation": ["fliph"], "seed": 3})


def checkpoint() -> Checkpoint:
    """A small one, whose tensors are not a network's."""
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2], dtype=torch.int64)}
    return Checkpoint(
        config=CONFIG.to_flat(),
        data_shape=(1, 8, 8),
        data_std=0.61,
        progress={"step": 12, "seconds": 1.25, "best_loss": None},
        model=weights,
        ema={name: tensor + 1 for name, tensor in weights.items()},
        optimizer={"step": 12, "mean": {"a": torch.ones(2)}, "square": {"a": torch.zeros(2)}},
    )


def refused(path: Path) -> str:
    """Why the file is refused: one line that names it."""
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def same_tensors(a: Any, b: Any) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# There and back


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    path, before = tmp_path / "c.pth", checkpoint()
    save_checkpoint(path, before)
    after = load_checkpoint(path)
    assert after.config == before.config
    assert configure(after.config) == CONFIG
    assert after.data_shape == (1, 8, 8)
    assert after.data_std == 0.61
    assert after.progress == before.progress
    assert after.version == __version__
    assert same_tensors(after.model, before.model)
    assert same_tensors(after.ema, before.ema)
    assert not same_tensors(after.ema, before.model)
    assert after.optimizer is not None
    assert before.optimizer is not None
    assert after.optimizer["step"] == 12
    assert same_tensors(after.optimizer["mean"], before.optimizer["mean"])
    assert [file.name for file in tmp_path.iterdir()] == ["c.pth"]
    save_checkpoint(path, replace(before, optimizer=None))
    assert load_checkpoint(path).optimizer is None
    assert load_checkpoint(path).weak == {}
    weak = {name: t / 2 for name, t in before.ema.items()}
    save_checkpoint(path, replace(before, weak=weak))
    assert same_tensors(load_checkpoint(path).weak, weak)


def test_tuples_and_numpy_numbers_come_back_plain(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    config = {
        "dim_mults": (1, 2), "lr": np.float32(0.5), "epochs": np.int64(7), "ema_decay": np.float64(0.9),
        "strict": np.bool_(True), "data_augmentation": ("fliph",), "lag": None,
    }  # fmt: skip
    progress = {"step": np.int64(3), "seconds": np.float64(1.5)}
    shape = (np.int64(1), np.int64(8), np.int64(8))
    save_checkpoint(
        path,
        replace(
            checkpoint(),
            config=config,
            progress=progress,
            data_shape=shape,
            data_std=np.float32(0.5),
        ),
    )
    after = load_checkpoint(path)
    plain = {
        "dim_mults": [1, 2], "lr": 0.5, "epochs": 7, "ema_decay": 0.9, "strict": True,
        "data_augmentation": ["fliph"], "lag": None,
    }  # fmt: skip
    assert after.config == plain
    assert [type(v) for v in after.config.values()] == [type(v) for v in plain.values()]
    assert after.progress == {"step": 3, "seconds": 1.5}
    assert [type(v) for v in after.progress.values()] == [int, float]
    assert after.data_shape == (1, 8, 8)
    assert type(after.data_std) is float


def test_a_crash_while_saving_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / LATEST
    save_checkpoint(path, checkpoint())
    before = path.read_bytes()

    def crash(_: object, file: io.BufferedWriter) -> None:
        file.write(b"PK\x03\x04 half a checkpoint")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", crash)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(path, replace(checkpoint(), data_std=0.9))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [LATEST]
    save_checkpoint(path, replace(checkpoint(), data_std=0.9))  # and the next save succeeds
    assert load_checkpoint(path).data_std == 0.9


# Everything that is not a checkpoint


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    save_checkpoint(path, checkpoint())
    whole = path.read_bytes()
    lengths = [*range(64), *range(64, len(whole) - 1, 97), len(whole) - 1]
    for length in lengths:
        path.write_bytes(whole[:length])
        refused(path)
    path.write_bytes(whole)
    assert load_checkpoint(path).data_std == 0.61


def test_a_damaged_file_is_refused_or_read_never_a_traceback(tmp_path: Path) -> None:
    """Single bytes changed, all over the file: a zip's checksums catch what matters."""
    path = tmp_path / "c.pth"
    save_checkpoint(path, checkpoint())
    whole = path.read_bytes()
    count = 0
    for position in range(0, len(whole), 41):
        damaged = bytearray(whole)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
        except InputError as error:
            assert "\n" not in str(error)
            count += 1
    assert count > 10


class Malice:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "pickle0", "inside"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    path, proof = tmp_path / "c.pth", tmp_path / "proof"
    malice = Malice(proof)
    if form == "zip":
        torch.save(malice, path)
    elif form == "legacy":
        torch.save(malice, path, _use_new_zipfile_serialization=False)
    elif form == "inside":
        save_checkpoint(path, checkpoint())
        content = torch.load(path, weights_only=True)
        torch.save({**content, "optimizer": malice}, path)
    else:
        path.write_bytes(pickle.dumps(malice, protocol=0 if form == "pickle0" else 2))
    refused(path)
    assert not proof.exists()
    if form == "pickle":  # control: it would have run
        pickle.loads(path.read_bytes())
        assert proof.exists()


def not_checkpoints() -> dict[str, bytes]:
    """Files of other kinds by name."""

    def saved(content: object) -> bytes:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "nothing here")
    return {
        "state_dict": saved({"conv.weight": torch.ones(2)}),
        "tensor": saved(torch.ones(3)),
        "list": saved([1, 2]),
        "number": saved(7),
        "other_format": saved({"format": "another-checkpoint", "schema": 1}),
        "text": b"hidden_size: 128\nepochs: 500\n",
        "text_of_digits": b"12345",
        "empty": b"",
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "zip": archive.getvalue(),
        "numpy": b"\x93NUMPY\x01\x00" + bytes(64),
        "zeros": bytes(1000),
        "pickle": pickle.dumps({"a": 1}),
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
    }


def test_files_of_other_kinds_are_refused_in_one_line(tmp_path: Path) -> None:
    path, files = tmp_path / "file.pth", not_checkpoints()
    for kind in each(files):
        path.write_bytes(files[kind])
        message = refused(path)
        if kind in ("state_dict", "tensor", "list", "number", "other_format"):
            assert "not a checkpoint of nkca" in message
        with pytest.raises(InputError):
            load_model(path)


def content_of(path: Path) -> dict[str, Any]:
    save_checkpoint(path, checkpoint())
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def test_a_newer_schema_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save(content_of(path) | {"schema": SCHEMA + 1, "version": "9.8.7"}, path)
    message = refused(path)
    assert "newer nkca 9.8.7" in message
    assert "upgrade" in message


KINDS_OF_DAMAGE: list[tuple[str, object, str]] = [
    *[("schema", schema, "no valid schema number") for schema in (0, -1, "1", None, 1.5)],
    *[("data_shape", shape, "damaged") for shape in ([3, 8], None, "abc")],
    *[("data_std", std, "damaged") for std in ("wide", None)],
    *[("config", config, "damaged") for config in (5, "text")],
    ("model", 5, "damaged"), ("ema", None, "damaged"), ("progress", 7, "damaged"),
]  # fmt: skip


def test_a_key_of_the_wrong_kind_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    content = content_of(path)
    for key, value, words in each(KINDS_OF_DAMAGE):
        torch.save(content | {key: value}, path)
        assert words in refused(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    content = content_of(path)
    assert len(content) == 10
    for key in each(content.keys() - {"format"}):
        torch.save({name: content[name] for name in content if name != key}, path)
        assert key in refused(path)


def test_weights_that_are_not_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    content = content_of(path)
    for value in each([5, "text", None]):
        torch.save(content | {"ema": {"a": value}}, path)
        with pytest.raises(InputError) as caught:
            load_model(path)
        assert str(path) in str(caught.value)


def test_an_incomplete_checkpoint_of_the_original_names_what_it_lacks(tmp_path: Path) -> None:
    session = {
        "hidden_size": 8, "dim_mults": [1], "discrete": False, "data_shape": (1, 8, 8),
        "global_step": 1,
    }  # fmt: skip
    path = tmp_path / "c.pth"
    content: dict[str, Any] = {"model_state": {}, "ema": {}}
    torch.save({**content, "session": session}, path)
    assert load_checkpoint(path).version == "original"
    for key in each(session):
        left = {name: value for name, value in session.items() if name != key}
        torch.save({**content, "session": left}, path)
        assert key in refused(path)


# Which file, of a directory


def test_a_directory_is_its_latest_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint_final\.pth or checkpoint_latest\.pth"):
        find_checkpoint(tmp_path)
    save_checkpoint(tmp_path / "checkpoint_00001000.pth", checkpoint())
    refused(tmp_path)
    save_checkpoint(tmp_path / FINAL, replace(checkpoint(), data_std=0.2))
    assert load_checkpoint(tmp_path).data_std == 0.2
    save_checkpoint(tmp_path / LATEST, replace(checkpoint(), data_std=0.1))
    os.utime(tmp_path / FINAL, (2e9, 2e9))  # a copy lost the times: names decide
    assert load_checkpoint(tmp_path).data_std == 0.1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such checkpoint" in refused(tmp_path / "none.pth")


def test_a_checkpoint_and_its_digest_come_from_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file takes its place as soon as the first has been read."""
    path = tmp_path / LATEST
    save_checkpoint(path, checkpoint())
    before, own = load_checkpoint(path), digest(path)
    read_bytes = Path.read_bytes

    def then_replaced(file: Path) -> bytes:
        data = read_bytes(file)
        file.write_bytes(b"another")
        return data

    monkeypatch.setattr(Path, "read_bytes", then_replaced)
    read, sha256 = read_checkpoint(path)
    assert sha256 == own != digest(path)
    assert read.progress == before.progress
    assert read.ema.keys() == before.ema.keys()


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / LATEST
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(path) == digest(tmp_path) == known


# From a checkpoint to a model


def with_network(**config: Any) -> tuple[Checkpoint, dict[str, Tensor]]:
    own = configure({"hidden_size": 8, "dim_mults": [1], **config})
    weights = new_denoiser(ModelSpec(own.model, (1, 8, 8), 0.6), 0).state_dict()
    return replace(checkpoint(), config=own.to_flat(), model=weights, ema=weights), weights


def test_a_model_opens_with_what_its_run_was_given(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    saved, weights = with_network(lag=0.25, min_noise=0.03)
    save_checkpoint(path, replace(saved, model={n: t + 1 for n, t in weights.items()}))
    model = load_model(path, device="cpu")
    assert model.chain.lag == 0.25
    assert model.min_noise == 0.03
    assert model.data_shape == (1, 8, 8)
    assert isinstance(model.chain.denoiser, torch.nn.Module)
    assert same_tensors(model.chain.denoiser.state_dict(), weights)  # the average, not the weights
    assert not any(p.requires_grad for p in model.chain.denoiser.parameters())
    assert load_model(path, device="cpu", lag=0.9).chain.lag == 0.9
    save_checkpoint(path, with_network()[0])
    assert load_model(path, device="cpu").chain.lag == 0.5
    save_checkpoint(path, with_network(discrete=True)[0])
    assert load_model(path, device="cpu").chain.lag == 0.95


def test_weights_that_do_not_fit_the_config_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    saved, _ = with_network()
    others: list[dict[str, Any]] = [{"hidden_size": 16}, {"dim_mults": [1, 2]}, {"discrete": True}]
    for config in each(others):
        save_checkpoint(path, replace(saved, config={**saved.config, **config}))
        with pytest.raises(InputError, match="do not fit its config") as caught:
            load_model(path, device="cpu")
        message = str(caught.value)
        assert str(path) in message
        assert "\n" not in message
        assert len(message) < 400


def test_a_config_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    saved, _ = with_network()
    save_checkpoint(path, replace(saved, config={**saved.config, "hidden_sise": 8}))
    with pytest.raises(InputError, match="unknown option 'hidden_sise'") as caught:
        load_model(path, device="cpu")
    assert str(path) in str(caught.value)


# Files of every schema there has been; tests/golden/make.py makes those of a new one


@pytest.mark.parametrize("name", ["continuous", "categorical"])
@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_checkpoints_of_every_schema_open(schema: int, name: str) -> None:
    path = GOLDEN / f"checkpoint_schema{schema}_{name}.pth"
    expected = torch.load(GOLDEN / f"expected_schema{schema}_{name}.pt", weights_only=True)
    assert path.stat().st_size < 300_000
    saved = load_checkpoint(path)
    assert saved.progress["step"] == 2
    assert saved.data_shape == (1, 8, 8)
    assert saved.data_std == 0.6
    model = load_model(path, device="cpu")
    assert model.chain.lag == (0.95 if name == "categorical" else 0.5)
    network = model.chain.denoiser
    assert isinstance(network, torch.nn.Module)
    network.double()  # so that the outputs are the same on every machine
    x, level = expected["x"], expected["noise_level"].double()
    x = x if name == "categorical" else x.double()
    p_z = network(x, level)
    assert isinstance(p_z, Categorical | Normal)
    for field in ("log_probs",) if name == "categorical" else ("mean", "std"):
        assert (getattr(p_z, field) - expected[field]).abs().max() < 1e-6
    network.load_state_dict(saved.model)  # control: the weights are not their average
    other = network(x, level)
    field = "log_probs" if name == "categorical" else "mean"
    assert (getattr(other, field) - expected[field]).abs().max() > 1e-4
