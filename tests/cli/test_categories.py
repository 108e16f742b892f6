"""Label maps in, label maps out; a palette with transparency likewise: exact through all commands."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import Result
from PIL import Image
from tables import each

from nkca.config.parsing import read_yaml
from nkca.live.chains.events import Keep, Level, MakeSteps
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.session.file import Origin, session_of, to_json
from nkca.metrics.likelihood import code_length
from nkca.models.build import load_model
from nkca.models.checkpoint import digest, find_checkpoint
from nkca.pixels import PalettePixels

Call = Callable[..., Result]
TINY = (
    *("--recipe=paper", "--carry-over", "--hidden-size=8", "--dim-mults=[1]", "--batch-size=4"),
    *("--viz-freq=0", "--device=cpu", "--max-steps=2", "--no-cache"),
)
IDS = (0, 1, 2, 5, 6)
COLORS = [(0, 0, 0), (0, 128, 0), (255, 0, 0), (0, 0, 255), (255, 255, 0)]
CLEAR, HALF = (0, 0, 0, 0), (255, 255, 255, 128)


def label_maps() -> list[npt.NDArray[np.uint8]]:
    """Eight maps of 8 x 8: ground, a block of a kind of its own, nothing."""
    maps = []
    for number in range(8):
        ids = np.zeros((8, 8), np.uint8)
        ids[6:] = 1
        ids[1:5, number % 4 : number % 4 + 3] = IDS[2 + number % 3]
        maps.append(ids)
    return maps


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grey")
    for number, ids in enumerate(label_maps()):
        Image.fromarray(ids).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("indexed")
    table = np.zeros((256, 3), np.uint8)
    table[list(IDS)] = COLORS
    for number, ids in enumerate(label_maps()):
        image = Image.fromarray(ids)
        image.putpalette(table.tobytes(), "RGB")
        image.save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five colours, one half and one fully transparent, what lies below that differing."""
    folder = tmp_path_factory.mktemp("sprites")
    for number, ids in enumerate(label_maps()):
        picture = np.array([(9, number, 9, 0), (0, 128, 0, 255), HALF], np.uint8)[ids.clip(max=2)]
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def label_run(tmp_path_factory: pytest.TempPathFactory, call: Call, indexed: Path) -> Path:
    run = tmp_path_factory.mktemp("runs") / "labels"
    call("train", "--dataset", indexed, "--labels=auto", "--save-dir", run, *TINY)
    return run


@pytest.fixture(scope="module")
def sprite_run(tmp_path_factory: pytest.TempPathFactory, call: Call, sprites: Path) -> Path:
    run = tmp_path_factory.mktemp("runs") / "sprites"
    call("train", "--dataset", sprites, "--palette=auto", "--save-dir", run, *TINY)
    return run


def pngs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*_*.png"))


def test_samples_of_label_maps_hold_the_ids_and_colours_of_the_files(
    call: Call, label_run: Path, tmp_path: Path
) -> None:
    call(
        "sample",
        label_run,
        "--num-samples=3",
        "--num-sampling-steps=3",
        "--save-dir",
        tmp_path / "out",
    )
    files = pngs(tmp_path / "out")
    assert len(files) == 3
    for path in files:
        image = Image.open(path)
        assert (image.mode, image.size) == ("P", (8, 8))
        ids = np.asarray(image)
        assert set(np.unique(ids)) <= set(IDS)
        table = dict(zip(IDS, COLORS, strict=True))
        expected = np.array([table[number] for number in ids.flatten()]).reshape(8, 8, 3)
        assert np.array_equal(np.asarray(image.convert("RGB")), expected)


def test_held_pixels_are_the_ids_of_the_input_whatever_its_form(
    call: Call, label_run: Path, grey: Path, indexed: Path, tmp_path: Path
) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for name, source in each({"grey": grey / "3.png", "indexed": indexed / "3.png"}.items()):
        out = tmp_path / name
        call(
            *("sample", label_run, source, "--inpainting-mask", tmp_path / "mask.png"),
            *("--num-samples=2", "--num-sampling-steps=3", "--save-dir", out),
        )
        for path in pngs(out):
            assert np.array_equal(np.asarray(Image.open(path))[:, :4], label_maps()[3][:, :4])


def test_a_mask_of_labels_repaints_these_labels_of_each_image(
    call: Call, label_run: Path, indexed: Path, tmp_path: Path
) -> None:
    maps = label_maps()
    for mask, ids in each(
        {"labels:0": [0], "labels:5,1": [1, 5], "labels:5,1 --invert-mask": [0, 2, 6]}.items()
    ):
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        call(
            *("sample", label_run, indexed / "1.png", indexed / "4.png", "--num-samples=2"),
            *(f"--inpainting-mask={mask}".split()),
            *("--num-sampling-steps=3", "--max-sampling-noise=1", "--save-dir", out),
        )
        changed = 0
        for path in pngs(out):
            before, after = maps[int(path.name[0])], np.asarray(Image.open(path))
            repainted = np.isin(before, ids)
            assert np.array_equal(after[~repainted], before[~repainted])
            assert set(np.unique(after)) <= set(IDS)
            changed += int((after != before).sum())
        assert changed
        again = tmp_path / f"{out.name}-again"
        call("sample", f"--like={pngs(out)[0]}", "--save-dir", again)
        assert pngs(again)[0].read_bytes() == pngs(out)[0].read_bytes()


def test_bad_masks_of_labels_are_one_line(
    call: Call, label_run: Path, sprite_run: Path, grey: Path, sprites: Path, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(nothing)
    for run, image, mask, expected in each(
        [
            (label_run, grey / "1.png", "labels:3", "no label 3, its labels are 0, 1, 2, 5, 6"),
            (label_run, grey / "1.png", "labels:0,999", "no label 999"),
            (label_run, grey / "1.png", "labels:", "expected ids such as labels:3,7"),
            (label_run, grey / "1.png", "labels:1;2", "expected ids such as labels:3,7"),
            (label_run, grey / "1.png", "labels:-1", "expected ids such as labels:3,7"),
            (label_run, nothing, "labels:1,2", "nothing.png: mask labels:1,2 repaints nothing"),
            (label_run, nothing, "labels:0 --invert-mask", "the image has only these labels"),
            (sprite_run, sprites / "1.png", "labels:1", "is for models of label maps"),
            (label_run, None, "labels:1", "inpainting needs an image"),
        ]
    ):
        images = [] if image is None else [image]
        out = tmp_path / "out"
        args = (run, *images, *f"--inpainting-mask={mask}".split(), "--save-dir", out)
        result = call("sample", *args, code=2)
        assert expected in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert not out.exists()


def test_a_sample_is_made_again_from_its_own_file(
    call: Call, label_run: Path, tmp_path: Path
) -> None:
    call("sample", label_run, "--seeds=5", "--num-sampling-steps=3", "--save-dir", tmp_path / "a")
    first = pngs(tmp_path / "a")[0]
    call("sample", f"--like={first}", "--save-dir", tmp_path / "b")
    assert pngs(tmp_path / "b")[0].read_bytes() == first.read_bytes()


def test_a_live_session_is_replayed_to_the_same_indexed_files(
    call: Call, label_run: Path, sprite_run: Path, tmp_path: Path
) -> None:
    for run in each([label_run, sprite_run]):
        model, file = load_model(run, device="cpu"), find_checkpoint(run)
        origin = Origin(file.name, digest(file), model.data_shape, model.chain.lag, "fp32", "cpu")
        explorer = Explorer(model, Setup(batch_size=2, seed=3))
        explorer.apply([MakeSteps(2), Level(0.4), MakeSteps(2), Keep(1), MakeSteps(1)])
        session = tmp_path / f"{run.name}.json"
        session.write_bytes(to_json(session_of(origin, explorer)))
        out, state = tmp_path / run.name, explorer.state
        call("sample", run, f"--replay={session}", "--save-dir", out, "--device=cpu")
        expected = {"kept_0001": state.shelf[0].picture, "tile_0001": state.moment.pictures[0]}
        pixels = model.pixels
        assert isinstance(pixels, PalettePixels)
        for name, picture in expected.items():
            image = Image.open(out / f"{name}.png")
            assert image.mode == "P"
            ids = np.array(pixels.ids or range(pixels.num_classes))
            index = ids[pixels.to_state(picture[None])[0, 0]]
            assert np.array_equal(np.asarray(image), index)
            shown = np.asarray(image.convert("RGBA" if len(picture) == 4 else "RGB"))
            assert np.array_equal(shown, picture.movedim(0, -1).numpy())


def test_samples_of_sprites_have_their_colours_and_transparency(
    call: Call, sprite_run: Path, tmp_path: Path
) -> None:
    pixels = load_model(sprite_run).pixels
    assert isinstance(pixels, PalettePixels)
    assert set(pixels.colors) == {CLEAR, (0, 128, 0, 255), HALF}
    call(
        "sample",
        sprite_run,
        "--num-samples=4",
        "--num-sampling-steps=3",
        "--save-dir",
        tmp_path / "o",
    )
    found = set()
    for path in pngs(tmp_path / "o"):
        image = Image.open(path)
        assert image.mode == "P"
        found |= {color for _, color in image.convert("RGBA").getcolors() or ()}
    assert found <= set(pixels.colors)
    assert len(found) > 1


def test_metrics_read_label_maps_as_the_model_does(
    call: Call, label_run: Path, grey: Path, tmp_path: Path
) -> None:
    """Files without colours have, by their ids, the colours of the samples: their own distance is 0."""
    args = ("--features=pixels", "--num-sampling-steps=2", "--no-cache", "--device=cpu")
    result = call(
        "metrics", label_run, grey, "--num-samples=8", *args, "--save-dir", tmp_path / "m"
    )
    assert "8x8" in result.stdout
    strange = tmp_path / "strange"
    strange.mkdir()
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(strange / "a.png")
    refused = call("metrics", label_run, strange, *args, "--save-dir", tmp_path / "n", code=2)
    assert "label 7" in refused.stderr
    assert "0, 1, 2, 5, 6" in refused.stderr


def test_likelihood_is_that_of_the_library(
    call: Call, label_run: Path, grey: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = call("metrics", label_run, grey, "--likelihood", "--no-cache", "--save-dir", out)
    saved = json.loads((out / "likelihood.json").read_text())
    table = dict(zip(IDS, COLORS, strict=True))
    colors = [[[table[pixel] for pixel in row] for row in ids.tolist()] for ids in label_maps()]
    images = torch.tensor(colors, dtype=torch.uint8).movedim(-1, 1)
    expected = code_length(load_model(label_run), images)
    assert saved["bits_per_dimension"] == pytest.approx(expected.bits_per_dimension, rel=1e-4)
    assert (saved["images"], saved["draws"]) == (8, 16)
    assert f"{expected.bits_per_dimension:.3f}" in result.stdout
    for args, said in each(
        [
            ((label_run,), "needs images"),
            ((label_run, grey, "--chain"), "one at a time"),
            ((grey, photos), "need a checkpoint"),
        ]
    ):
        refused = call("metrics", *args, "--likelihood", "--save-dir", tmp_path / "no", code=2)
        assert said in refused.stderr
        assert not (tmp_path / "no").exists()


def test_the_same_command_resumes(call: Call, label_run: Path, indexed: Path) -> None:
    again = [arg for arg in TINY if not arg.startswith("--max-steps")]
    call(
        "train",
        "--dataset",
        indexed,
        "--labels=auto",
        "--save-dir",
        label_run,
        *again,
        "--max-steps=3",
    )
    config = read_yaml(label_run / "config.yaml")
    assert list(config["labels"]) == [str(number) for number in IDS]
    assert config["num_classes"] == 5


def test_names_and_colours_come_from_a_file(call: Call, grey: Path, tmp_path: Path) -> None:
    (tmp_path / "l.yaml").write_text(
        "0: sky\n1: ground\n2: {name: red thing, color: '#ff0000'}\n5: {}\n6:\n9: unused\n"
    )
    run = tmp_path / "run"
    call("train", "--dataset", grey, "--labels", tmp_path / "l.yaml", "--save-dir", run, *TINY)
    config = read_yaml(run / "config.yaml")
    assert list(config["labels"]) == ["0=sky", "1=ground", "2=red_thing", "5", "6", "9=unused"]
    assert config["palette"][2] == "#ff0000"
    assert len(set(config["palette"])) == 6


def test_palettes_that_disagree_about_a_label_are_said(
    call: Call, indexed: Path, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(indexed, mixed)
    with Image.open(mixed / "5.png") as image:
        table = image.getpalette("RGB")
        image.load()
    assert table is not None
    table[3:6] = [1, 2, 3]
    image.putpalette(table)
    image.save(mixed / "5.png", transparency=0)  # indexed, with alpha: ids all the same
    for folder, expected in each(
        {mixed: "0.png and 5.png have different colours for label 1", indexed: ""}.items()
    ):
        run = tmp_path / f"run-{folder.name}"
        result = call("train", "--dataset", folder, "--labels=auto", "--save-dir", run, *TINY)
        assert ("have different colours" in result.stderr) == bool(expected)
        assert expected in result.stderr
        assert list(read_yaml(run / "config.yaml")["labels"]) == [str(number) for number in IDS]


def write(folder: Path, picture: npt.NDArray[np.uint8]) -> Path:
    folder.mkdir()
    for number in range(4):
        Image.fromarray(np.roll(picture, number, 0)).save(folder / f"{number}.png")
    return folder


def test_bad_input_is_one_line(call: Call, grey: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    many = write(tmp_path / "many", random.integers(0, 256, (32, 32, 3), np.uint8))
    one = write(tmp_path / "one", np.zeros((8, 8), np.uint8))
    color = write(tmp_path / "color", random.integers(0, 256, (8, 8, 3), np.uint8))
    deep = tmp_path / "deep"
    deep.mkdir()
    Image.fromarray(np.full((8, 8), 300, np.uint16)).save(deep / "a.png")
    (tmp_path / "few.yaml").write_text("0: sky\n1: ground\n")
    (tmp_path / "bad.yaml").write_text("- 1\n- 2\n")
    (tmp_path / "odd.yaml").write_text("zero: sky\n")
    (tmp_path / "a.gpl").write_text("GIMP Palette\n1 2 3\n")
    cases: list[tuple[Path, str, str]] = [
        (many, "--palette=auto", "a palette at most 256"),
        (many, "--palette=1", "2 to 256 colours, got 1"),
        (many, "--palette=300", "2 to 256 colours, got 300"),
        (many, "--palette=#000000", "2 to 256 colours, got 1"),
        (many, "--palette=#000000,#ffffff --labels=1,2,3", "3 labels and 2 colours"),
        (many, "--palette=#00000g,#ffffff", "expected colours"),
        (many, "--palette=auto,2", "expected auto, a number, a file, or colours"),
        (many, f"--palette={tmp_path / 'missing.gpl'}", "cannot be read"),
        (many, f"--palette={tmp_path / 'a.gpl'}", "1 colours, expected 2 to 256"),
        (one, "--palette=auto", "one colour"),
        (one, "--labels=auto", "one label, 0"),
        (color, "--labels=auto", "no label map: expected grey or indexed pixels"),
        (deep, "--labels=auto", "expected ids of 0 to 255"),
        (grey, f"--labels={tmp_path / 'few.yaml'}", "lacks: 2, 5, 6"),
        (grey, f"--labels={tmp_path / 'bad.yaml'}", "expected lines such as '3: dress'"),
        (grey, f"--labels={tmp_path / 'odd.yaml'}", "is not an id of 0 to 255"),
        (grey, f"--labels={tmp_path / 'missing.yaml'}", "cannot be read as YAML"),
        (grey, "--labels=auto --fit=pad", "fit=pad is not for labels"),
        (grey, "--discrete --num-classes=2", "all images are equal"),
        (grey, "--discrete --num-classes=1", "num_classes must be 2 to 256"),
        (
            grey,
            "--labels=auto --parametrisation=preconditioned",
            "for continuous pixels, not discrete",
        ),
        (grey, "--labels=auto --resize=0", "resize"),
    ]
    for dataset, options, expected in each(cases):
        run = tmp_path / "run"
        result = call(
            "train", "--dataset", dataset, *options.split(), "--save-dir", run, *TINY, code=2
        )
        *before, error = result.stderr.strip().splitlines()
        assert all(line.startswith("decoding images") for line in before)
        assert expected in error
        assert not run.exists()


def test_levels_of_label_maps_and_of_drawings_come_with_advice(
    call: Call, grey: Path, sprites: Path, tmp_path: Path
) -> None:
    """The data lose something, and what is proposed works."""
    for dataset, levels, advice in each(
        [
            (grey, "--num-classes=128", "labels=auto"),
            (sprites, "--num-classes=4", "palette=auto"),
        ]
    ):
        run = tmp_path / dataset.name
        result = call("train", "--dataset", dataset, "--discrete", levels, "--save-dir", run, *TINY)
        assert advice in result.stderr
        call(
            "train",
            "--dataset",
            dataset,
            f"--{advice}",
            "--save-dir",
            tmp_path / f"{dataset.name}-2",
            *TINY,
        )
