"""The live page of palettes and label maps: from upload to download the colours and ids are exact."""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import torch
from asking import OCTETS, Answer, Ask, answer, post, turn
from live_chains import origin_of
from PIL import Image

from nkca.chain import Chain
from nkca.denoisers.exact import ImageListDenoiser
from nkca.kernels.categorical import CategoricalKernel
from nkca.live.chains.explorer import Setup
from nkca.live.session.file import parse_session
from nkca.live.session.replay import replay_to_files
from nkca.live.web.guard import Access
from nkca.live.web.server import make_app
from nkca.live.web.shared_explorer import SharedExplorer
from nkca.live.web.worker import Worker
from nkca.models.model import Model
from nkca.pixels import PalettePixels, as_pictures
from nkca.sampling.request import Outputs

Array: TypeAlias = npt.NDArray[np.uint8]
HEIGHT, WIDTH, TILES = 4, 6, 3
SPRITES = PalettePixels(((0, 0, 0, 0), (255, 0, 0, 255), (0, 255, 0, 255), (255, 255, 255, 128)))
LABELS = PalettePixels(((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)), ids=(0, 3, 7, 250))
GREY = (128, 128, 128, 255)  # of scrambled pixels
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[1:3, 2:] = True  # may change


def states() -> torch.Tensor:
    """Ten states that are the data, (10, 1, 4, 6): they differ in the middle alone."""
    random = torch.Generator().manual_seed(4)
    drawn = torch.randint(4, (10, 1, HEIGHT, WIDTH), generator=random)
    return torch.where(torch.from_numpy(MASK), drawn, drawn[-1:])


@dataclass(frozen=True)
class Page:
    """A live page in this process."""

    pixels: PalettePixels
    shared: SharedExplorer
    ask: Callable[[Ask], Answer]


@pytest.fixture(params=[SPRITES, LABELS], ids=["sprites", "labels"])
def page(request: pytest.FixtureRequest) -> Page:
    pixels: PalettePixels = request.param
    kernel = CategoricalKernel(pixels.num_classes)
    chain = Chain(kernel, ImageListDenoiser(kernel, states()), 0.5)
    shape = (len(pixels.colors[0]), HEIGHT, WIDTH)
    model = Model(chain, pixels, shape, 0.01, torch.device("cpu"))
    shared = SharedExplorer(model, origin_of(model), Setup(TILES, seed=1))
    app = make_app(shared, Worker(), Access())
    return Page(pixels, shared, lambda ask: answer(app, ask))


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def colors(image: Image.Image) -> set[Any]:
    return {color for _, color in image.convert("RGBA").getcolors() or ()}


def own_colors(pixels: PalettePixels) -> set[Any]:
    return {(*color, 255)[:4] for color in pixels.colors}


def ids_of(pixels: PalettePixels) -> Array:
    """What an indexed file of the last of the data holds."""
    ids: Array = np.array(pixels.ids or range(4), np.uint8)[states()[-1, 0].numpy()]
    return ids


def upload(pixels: PalettePixels) -> bytes:
    """The last of the data as a file: of labels their ids in grey, of sprites their colours."""
    image = Image.fromarray(ids_of(pixels))
    if pixels.ids is None:
        image = Image.fromarray(as_pictures(pixels.to_uint8(states()[-1:]))[0])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def start(page: Page, tile: int) -> None:
    """Put the upload into a tile, and let its middle change."""
    fitted = page.ask(post("/api/fit", upload(page.pixels), OCTETS))
    assert fitted.status == 200
    image = base64.b64encode(fitted.body).decode()
    mask = base64.b64encode(np.packbits(MASK.flatten()).tobytes()).decode()
    events = [
        {"do": "start", "tile": tile, "image": image},
        {"do": "paint", "tile": tile, "mask": mask},
    ]
    assert page.ask(turn(*events)).status == 200


def test_an_upload_is_read_exactly(page: Page) -> None:
    start(page, 1)
    shown = page.shared.explorer.state.moment.pictures[1]
    assert torch.equal(page.pixels.to_state(shown[None])[0], states()[-1])


def test_an_upload_of_other_labels_is_refused_in_one_line(page: Page) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH), 9, np.uint8)).save(file, "PNG")
    got = page.ask(post("/api/fit", file.getvalue(), OCTETS))
    assert got.status == (200 if page.pixels.ids is None else 422)  # of colours the nearest
    if got.status == 422:
        assert "has the label 9, the labels are 0, 3, 7, 250" in got.json["error"]
        assert "\n" not in got.json["error"]


def test_frames_have_the_colours_and_grey_where_pixels_are_scrambled(page: Page) -> None:
    level = {"do": "level", "level": 0.5}
    z = opened(page.ask(turn(level, {"do": "step", "times": 2}, show="z")).png)
    assert colors(z) <= own_colors(page.pixels)
    assert len(colors(z)) > 1
    x = opened(page.ask(turn(show="x")).png)
    assert colors(x) <= {*own_colors(page.pixels), GREY}
    assert GREY in colors(x)


def test_what_is_saved_is_indexed_exact_and_made_again_by_a_replay(
    page: Page, tmp_path: Path
) -> None:
    start(page, 1)
    walk = [{"do": "level", "level": 0.9}, {"do": "step", "times": 4}]
    page.ask(turn(*walk, {"do": "keep", "tile": 1}, {"do": "keep", "tile": 0}))
    kept = page.ask(Ask("/api/kept/1.png?download=1")).body
    image, ids = opened(kept), ids_of(page.pixels)
    assert image.mode == "P"
    assert colors(image) <= own_colors(page.pixels)
    found = np.asarray(image)
    assert np.array_equal(found[~MASK], ids[~MASK])
    assert not np.array_equal(found[MASK], ids[MASK])
    if page.pixels.ids is not None:
        assert set(np.unique(found)) <= set(page.pixels.ids)
    with zipfile.ZipFile(io.BytesIO(page.ask(Ask("/api/shelf.zip")).body)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert files["kept_0001.png"] == kept

    session = parse_session(files.pop("session.json"))
    model = page.shared.model
    for _ in replay_to_files(model, session.origin, session, Outputs(), tmp_path):
        pass
    for name, content in files.items():
        assert (tmp_path / name).read_bytes() == content
    tile = opened((tmp_path / "tile_0002.png").read_bytes())
    assert (tile.mode, tile.size) == ("P", (WIDTH, HEIGHT))
    assert np.array_equal(np.asarray(tile), found)
    assert json.loads(tile.info["nkca"])["tile"] == 1
