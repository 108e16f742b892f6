"""The gallery: what is listed, its pictures, and that nothing else can be opened."""

import gc
import io
import json
import re
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from asking import Answer, Ask, answer, post
from PIL import Image
from tables import each

from nkca.data.listing import Listing, list_images
from nkca.live.web import gallery as galleries
from nkca.live.web.autosave import Autosave
from nkca.live.web.gallery import Gallery
from nkca.live.web.guard import HEADERS, Access
from nkca.live.web.identity import ByCookie
from nkca.live.web.messages import View
from nkca.live.web.opened import Settings
from nkca.live.web.seat import Saves
from nkca.live.web.server import make_server
from nkca.live.web.visitors import ALONE, Limits, Visitors
from nkca.live.web.worker import Worker
from nkca.models.checkpoint import LATEST
from nkca.models.local import LocalModel
from nkca.pictures.grid import contact_sheet
from nkca.pictures.png import save_png

SETTINGS = Settings(device="cpu", batch_size=3)
STEP, KEEP = {"do": "step", "times": 1}, {"do": "keep", "tile": 1}


def run_in(folder: Path, side: int = 8) -> Path:
    folder.mkdir(parents=True)
    return toys.write_checkpoint(folder / LATEST, side=side)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs, "8" and "16", and no packaged models beside."""
    monkeypatch.setattr(galleries, "packaged_models", list)
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "cache"))
    for side in (8, 16):
        run_in(tmp_path / "here" / str(side), side)
    return tmp_path / "here"


class Server:
    """A server with a gallery."""

    def __init__(self, folder: Path, each: bool = False, real: Listing | None = None) -> None:
        self.gallery, self.saved = Gallery(folder, SETTINGS), Autosave()
        identity, limits = (ByCookie(), Limits(2)) if each else (None, ALONE)
        self.visitors = Visitors(
            Worker(), self.gallery, identity, limits, lambda: Saves(self.saved)
        )
        self.app = make_server(self.visitors, Access(), View(), real)

    def ask(self, request: Ask) -> Answer:
        return answer(self.app, request)

    def facts(self, *headers: tuple[str, str]) -> Any:
        """What the gallery's page is told."""
        page = self.ask(Ask("/", headers=headers))
        assert page.status == 200
        (facts,) = re.findall(r'id="about">(.*?)</script>', page.body.decode())
        return json.loads(facts)

    def numbers(self) -> dict[str, int]:
        return {model["name"]: model["number"] for model in self.facts()["models"]}

    def open(self, number: object, *headers: tuple[str, str]) -> Answer:
        return self.ask(post(f"/api/models/{number}", b"{}", "application/json", *headers))


def turn(*events: dict[str, Any]) -> Ask:
    return post("/api/turn", json.dumps({"events": events}).encode())


def test_what_the_gallery_tells(folder: Path) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / LATEST).write_bytes(b"x" * 100)
    facts = Server(folder).facts()
    assert (facts["open"], facts["shared"]) == (None, True)
    found = {model["name"]: model for model in facts["models"]}
    assert set(found) == {"8", "16", "broken"}
    assert found["8"]["size"] == "8 × 8"
    assert (found["8"]["colour"], found["8"]["space"]) == ("colour", "continuous")
    assert (found["8"]["images"], found["8"]["step"], found["8"]["preview"]) == (0, 0, None)
    assert "not a PyTorch file" in found["broken"]["problem"]
    assert {model["packaged"] for model in found.values()} == {False}


def test_the_packaged_models_come_first(tmp_path: Path) -> None:
    run_in(tmp_path / "a")
    found = [card.model.name for card in Gallery(tmp_path, SETTINGS).look()]
    assert found == ["demo", "demo-emoji", "demo-pixels", "a"]


def test_names_with_markup_stay_text(folder: Path) -> None:
    run_in(folder / "<b>" / "</script><script>alert(1)<")
    run_in(folder / "\u202egnp\nx")
    run_in(folder / "\udcff\udcfe")
    server = Server(folder)
    page = server.ask(Ask("/")).body.decode()
    assert "<script>alert" not in page and "<b>" not in page
    names = [model["name"] for model in server.facts()["models"]]
    assert "?gnp?x" in names and "??" in names


def test_real_pictures_are_shown_beside_those_of_the_open_model(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    Image.new("RGB", (32, 32), (200, 9, 9)).save(tmp_path / "real" / "red.png")
    server = Server(folder, real=list_images(tmp_path / "real"))
    begin = post("/api/trials", b'{"count": 3}')
    assert server.ask(begin).status == 410, "no model is open"
    for side in (8, 16):
        assert server.open(server.numbers()[str(side)]).status == 200
        assert server.ask(Ask("/api/about")).json["real"] == 1
        test = server.ask(begin).json
        assert test["count"] == 1
        pair = server.ask(Ask(f"/api/trials/{test['id']}/0.png"))
        assert Image.open(io.BytesIO(pair.body)).size == (2 * side, side)
    assert server.open(server.numbers()["8"]).status == 200
    assert server.ask(Ask(f"/api/trials/{test['id']}/0.png")).status == 404, "ended with its model"


def test_a_model_is_opened_and_another_one_takes_its_place(folder: Path) -> None:
    server = Server(folder)
    for request in (turn(), Ask("/api/about"), Ask("/api/session.json"), Ask("/api/sessions")):
        got = server.ask(request)
        assert got.status == 410 and "no model is open" in got.json["error"], request.path
    assert server.ask(Ask("/live")).headers["location"] == "/"
    numbers = server.numbers()
    assert server.open(numbers["8"]).json == {"ok": True}
    assert server.ask(Ask("/live")).status == 200
    about = server.ask(Ask("/api/about")).json
    assert (about["data_shape"], about["batch"], about["gallery"]) == ([3, 8, 8], 3, True)
    head = server.ask(turn(STEP)).head
    assert server.facts()["open"] == numbers["8"]
    assert server.open(numbers["8"]).status == 200
    assert server.ask(turn()).head["step"] == 1, "the same chains go on"
    old = weakref.ref(server.visitors.seats[0].shared.model.chain.denoiser)
    assert server.open(numbers["16"]).status == 200
    assert server.ask(Ask("/api/about")).json["data_shape"] == [3, 16, 16]
    after = server.ask(turn()).head
    assert (after["step"], after["epoch"] != head["epoch"]) == (0, True)
    gc.collect()
    assert old() is None, "one model at a time"
    (saved,) = server.saved.written
    assert json.loads(saved.read_text())["data_shape"] == [3, 8, 8], "the session is saved"
    answered = server.ask(
        post("/api/turn", json.dumps({"events": [STEP], "epoch": head["epoch"]}).encode())
    )
    assert answered.status == 409, "a page of the old model changes nothing"


def test_only_listed_models_can_be_opened(folder: Path) -> None:
    server = Server(folder)
    assert server.open(0).status == 404, "nothing is listed yet"
    numbers = server.numbers()
    hostile = ("2", "-1", "00", "0x0", "٠", "1e0", "0.png", "..%2f..%2fetc", "demo", "9" * 5000)
    for number in each((*hostile, str(folder / "8"), "%00", "8", "0%20")):
        assert server.open(number).status in (404, 405), number
        assert server.ask(Ask(f"/api/models/{number}.png")).status == 404, number
    path = f"/api/models/{numbers['8']}"
    assert server.ask(post(path, b"x=1", "application/x-www-form-urlencoded")).status == 415
    assert server.ask(post(path, b"{}", "text/plain")).status == 415
    assert server.ask(Ask(path)).status == 405
    foreign = ("Origin", "http://attacker.example")
    assert server.open(numbers["8"], foreign).status == 403
    assert server.ask(Ask(path, "POST", [("Content-Type", "application/json")])).status == 200


def test_a_model_that_cannot_be_opened_leaves_all_as_it_was(folder: Path) -> None:
    server = Server(folder)
    numbers = server.numbers()
    server.open(numbers["8"])
    server.ask(turn(STEP))
    (folder / "16" / LATEST).write_bytes(b"damaged now")
    got = server.open(numbers["16"])
    assert got.status == 422 and "not a PyTorch file" in got.json["error"]
    assert server.ask(turn()).head["step"] == 1
    (folder / "16" / LATEST).unlink()
    assert server.open(numbers["16"]).status == 422
    assert server.ask(Ask(f"/api/models/{numbers['16']}.png")).status == 422
    assert set(server.numbers()) == {"8"}
    assert server.numbers()["8"] == numbers["8"], "numbers stay"


def picture(got: Answer) -> Any:
    assert (got.status, got.headers["content-type"]) == (200, "image/png"), got.body
    return np.asarray(Image.open(io.BytesIO(got.body)))


def test_a_picture_is_drawn_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    draw = galleries._drawn

    def noted(model: LocalModel, settings: Settings) -> bytes:
        drawn.append(model.name)
        return draw(model, settings)

    monkeypatch.setattr(galleries, "_drawn", noted)
    server = Server(folder)
    path = f"/api/models/{server.numbers()['8']}.png"
    first = picture(server.ask(Ask(path)))
    assert first.shape == (8, 8, 3)
    again = Server(folder)
    again.numbers()
    assert np.array_equal(picture(again.ask(Ask(path))), first)
    assert drawn == ["8"]
    toys.write_checkpoint(folder / "8" / LATEST, side=8, hidden_size=16)
    again.numbers()
    assert not np.array_equal(picture(again.ask(Ask(path))), first), "it was trained on"
    monkeypatch.setenv("NKCA_CACHE", str(folder / "8" / LATEST / "no folder"))
    assert picture(again.ask(Ask(path))).shape == (8, 8, 3), "without a cache too"


def test_the_newest_preview_is_taken_if_there_is_one(folder: Path) -> None:
    random = np.random.default_rng(0)
    sheets = {
        step: random.integers(0, 256, (16, 8, 8, 3), dtype=np.uint8) for step in (900, 1000, 2000)
    }
    previews = folder / "8" / "previews"
    previews.mkdir()
    for step, images in sheets.items():
        save_png(previews / f"step_{step:09d}.png", contact_sheet(images))
    (previews / "step_3.png.txt").write_text("x")
    (previews / "step_999999.png").symlink_to(previews / "step_000000900.png")
    server = Server(folder)
    path = f"/api/models/{server.numbers()['8']}.png"
    assert np.array_equal(picture(server.ask(Ask(path))), sheets[2000][0])
    (card,) = (one for one in server.facts()["models"] if one["name"] == "8")
    assert card["preview"] == 2000
    for content in (b"no picture", (previews / "step_000000900.png").read_bytes()[:99]):
        (previews / "step_000002000.png").write_bytes(content)
        assert picture(server.ask(Ask(path))).shape == (8, 8, 3), "drawn"


def test_a_picture_that_takes_too_long_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries, "DRAW_SECONDS", -1.0)
    server = Server(folder)
    path = f"/api/models/{server.numbers()['8']}.png"
    for _ in range(2):
        got = server.ask(Ask(path))
        assert got.status == 404 and "takes more than" in got.json["error"]


def cookie_of(got: Answer) -> tuple[str, str]:
    return ("Cookie", got.headers["set-cookie"].split(";")[0])


def test_each_visitor_opens_a_model_of_its_own(folder: Path) -> None:
    server = Server(folder, each=True)
    numbers = server.numbers()
    one, two = cookie_of(server.ask(Ask("/"))), cookie_of(server.ask(Ask("/")))
    assert server.open(numbers["8"]).status == 410, "without a cookie"
    assert server.open(numbers["8"], one).status == 200
    assert server.facts(one)["open"] == numbers["8"]
    assert (server.facts(two)["open"], server.facts(two)["shared"]) == (None, False)
    assert server.ask(Ask("/live", headers=[two])).headers["location"] == "/"
    assert server.open(numbers["8"], two).status == 200
    models = {id(seat.shared.model) for seat in server.visitors.seats}
    assert len(models) == 1, "in memory once"
    assert server.open(numbers["16"], two).status == 200
    shapes = [server.ask(Ask("/api/about", headers=[who])).json["data_shape"] for who in (one, two)]
    assert shapes == [[3, 8, 8], [3, 16, 16]]
    late = server.ask(Ask("/"))
    assert late.status == 503 and "all 2 places are taken" in late.body.decode()


def test_every_response_has_the_security_headers(folder: Path) -> None:
    server = Server(folder)
    numbers = server.numbers()
    for path in ("/", "/live", f"/api/models/{numbers['8']}.png", "/api/models/77.png"):
        headers = server.ask(Ask(path)).headers
        assert {name: headers[name.lower()] for name in HEADERS} == HEADERS, path
