"""The server follows its protocol and survives errors."""

import asyncio
import base64
import dataclasses
import gzip
import io
import json
import os
import re
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from asking import JSON, OCTETS, Answer, Ask, answer, asking, post, turn
from live_chains import SHAPE, exact_model, origin_of, ten_pictures
from msgspec.structs import replace
from PIL import Image
from torch import Tensor, nn

from nkca.data.decode import fit
from nkca.distributions.normal import Normal
from nkca.live.chains.explorer import Setup
from nkca.live.web.guard import HEADERS, Access
from nkca.live.web.page import page_files
from nkca.live.web.server import FIT_BYTES, make_app
from nkca.live.web.shared_explorer import SharedExplorer
from nkca.live.web.worker import FullError, Worker
from nkca.models.model import Model

Asked: TypeAlias = Callable[[Ask], Answer]

RUN, PAUSE, STEP = {"do": "run"}, {"do": "pause"}, {"do": "step", "times": 1}
KEEP = {"do": "keep", "tile": 2}


@pytest.fixture
def shared() -> SharedExplorer:
    model = exact_model()
    return SharedExplorer(model, origin_of(model), Setup(4, seed=5))


@pytest.fixture
def ask(shared: SharedExplorer) -> Asked:
    """Sends requests to the server of `shared`."""
    app = make_app(shared, Worker(), Access())
    return lambda request: answer(app, request)


def pixels(content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(content)))


def png_of(size: tuple[int, int], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, kind)
    return file.getvalue()


# --------------------------------------------------------------------------------------------
# Turns


def test_a_turn(ask: Asked, shared: SharedExplorer) -> None:
    got = ask(turn(RUN, seen=-1, steps=2, show="both"))
    assert got.status == 200
    assert got.headers["content-type"] == OCTETS
    assert (got.head["version"], got.head["step"], got.head["running"]) == (2, 2, True)
    assert pixels(got.png).shape == (4 * SHAPE[1], 2 * SHAPE[2])
    assert got.head["version"] == shared.explorer.state.moment.version
    assert ask(turn(seen=2)).png == b""
    assert ask(turn(seen=1)).png, "there is a newer frame"


def test_two_tabs_share_one_chain(ask: Asked, shared: SharedExplorer) -> None:
    one = two = ask(turn(RUN)).head["version"]
    for _ in range(5):
        one = ask(turn(seen=one, steps=1)).head["version"]
        got = ask(turn(seen=two, steps=1))
        two = got.head["version"]
        assert got.png
    assert one == two == shared.explorer.state.moment.step == 5


def test_lists_come_only_when_they_have_changed(ask: Asked) -> None:
    lists = ("history", "shelf", "masks")
    head = ask(turn()).head
    have = {name: head[name]["version"] for name in lists}
    assert [ask(turn(have=have)).head[name] for name in lists] == [None, None, None]
    head = ask(turn(KEEP, have=have)).head
    assert [head[name] is None for name in lists] == [True, False, True]
    assert [(item["id"], item["name"]) for item in head["shelf"]["items"]] == [(1, "kept_0001")]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"do": "keep", "tile": 2, "seen": 9}, 409),
        ({"do": "keep", "tile": 4}, 422),
        ({"do": "fly"}, 422),
        ({"do": "restart", "source": "images", "seed": 1}, 422),
    ],
)
def test_an_event_that_cannot_be_applied_changes_nothing(
    ask: Asked, shared: SharedExplorer, event: dict[str, Any], status: int
) -> None:
    ask(turn(RUN, steps=2))
    state = shared.explorer.state
    got = ask(turn({"do": "level", "level": 0.2}, event, steps=1))
    assert got.status == status
    assert list(got.json) == ["error"]
    assert "\n" not in got.json["error"]
    assert shared.explorer.state is state


def test_an_error_that_quotes_the_request_is_valid_json(ask: Asked) -> None:
    got = ask(post("/api/turn", rb'{"events": [{"do": "\u2028\nfly\""}]}'))
    assert got.status == 422
    assert got.json["error"] == "event 0: unknown event ' fly\"'"


# --------------------------------------------------------------------------------------------
# Downloads


def test_about(ask: Asked) -> None:
    about = ask(Ask("/api/about")).json
    assert about["data_shape"] == list(SHAPE)
    assert (about["batch"], about["seed"], about["min_level"], about["images"]) == (4, 5, 0.01, 0)
    assert (about["show"], about["rescale"], about["categorical"]) == ("z", False, False)
    assert about["max_upload_bytes"] >= 1 << 20


def test_the_page_and_its_parts(ask: Asked) -> None:
    assert ask(Ask("/")).headers["content-type"] == "text/html; charset=utf-8"
    assert ask(Ask("/static/style.css")).headers["content-type"] == "text/css; charset=utf-8"
    assert ask(Ask("/static/app.js")).headers["content-type"] == "text/javascript; charset=utf-8"
    assert ask(Ask("/static/none.js")).status == 404
    for name in page_files():
        assert ask(Ask(f"/static/{name}")).status == 200, name


def test_a_file_of_the_page_is_sent_once_and_compressed(ask: Asked) -> None:
    plain = ask(Ask("/static/app.js"))
    assert "content-encoding" not in plain.headers
    assert plain.headers["cache-control"] == "no-cache", "kept, but asked about again"
    packed = ask(Ask("/static/app.js", headers=[("Accept-Encoding", "br, gzip")]))
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.body) == plain.body
    tag = packed.headers["etag"]
    assert tag == plain.headers["etag"] != ask(Ask("/static/loop.js")).headers["etag"]
    for known in (tag, f'"other", {tag}', "*"):
        got = ask(Ask("/static/app.js", headers=[("If-None-Match", known)]))
        assert (got.status, got.body, got.headers["etag"]) == (304, b"", tag), known
    assert ask(Ask("/static/app.js", headers=[("If-None-Match", '"other"')])).status == 200


def test_the_page_holds_the_facts_of_about() -> None:
    """They save the page a request; a name with markup in it stays text."""
    model = exact_model()
    origin = replace(origin_of(model), checkpoint="</script><script>alert(1)")
    app = make_app(SharedExplorer(model, origin, Setup(4, seed=5)), Worker(), Access())
    page = answer(app, Ask("/")).body.decode()
    assert "alert(1)" in page and "<script>alert" not in page
    (facts,) = re.findall(r'<script type="application/json" id="about">(.*?)</script>', page)
    assert json.loads(facts) == answer(app, Ask("/api/about")).json
    packed = answer(app, Ask("/", headers=[("Accept-Encoding", "gzip")]))
    assert gzip.decompress(packed.body).decode() == page


@pytest.mark.parametrize("path", ["/", "/api/about", "/api/none", "/static/x", "/api/turn"])
def test_every_response_has_the_security_headers(ask: Asked, path: str) -> None:
    headers = ask(Ask(path)).headers
    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS


EMPTY = [
    "/api/choices.csv",
    "/api/shelf.png",
    "/api/shelf.zip",
    "/api/recording.gif",
    "/api/recording.mp4",
]


@pytest.mark.parametrize("path", EMPTY)
def test_nothing_to_download_yet(ask: Asked, path: str) -> None:
    assert ask(Ask(path)).status == 409
    ask(turn({"do": "record", "on": True}))
    assert ask(Ask(path)).status == 409


def test_kept_pictures_can_be_downloaded(ask: Asked, shared: SharedExplorer) -> None:
    ask(turn(RUN, KEEP, {"do": "keep", "tile": 0}, steps=3))
    picture = shared.explorer.state.shelf[0].picture
    got = ask(Ask("/api/kept/1.png?download=1"))
    assert got.headers["content-disposition"] == 'attachment; filename="kept_0001.png"'
    assert np.array_equal(pixels(got.body), picture[0])
    settings = json.loads(Image.open(io.BytesIO(got.body)).info["nkca"])
    assert (settings["tile"], settings["checkpoint"]) == (2, "exact.pth")
    assert "content-disposition" not in ask(Ask("/api/kept/1.png")).headers
    assert ask(Ask("/api/shelf.png")).headers["content-type"] == "image/png"
    with zipfile.ZipFile(io.BytesIO(ask(Ask("/api/shelf.zip")).body)) as archive:
        assert archive.namelist() == ["kept_0001.png", "kept_0002.png", "session.json"]
        assert archive.read("kept_0001.png") == got.body
    for missing in ("3", "01", "1" * 5000, "x"):
        assert ask(Ask(f"/api/kept/{missing}.png")).status == 404


def test_moments_have_thumbnails(ask: Asked) -> None:
    head = ask(turn(STEP, {"do": "level", "level": 0.2}, STEP)).head
    (entry,) = head["history"]["entries"]
    sheet = pixels(ask(Ask(f"/api/moments/{entry['id']}.png")).body)
    assert sheet.shape[0] > SHAPE[1]
    for missing in ("77", "1" * 5000, "-1"):
        assert ask(Ask(f"/api/moments/{missing}.png")).status == 404


def test_a_recording_is_an_animation(ask: Asked) -> None:
    ask(turn({"do": "record", "on": True}, {"do": "step", "times": 5}))
    got = ask(Ask("/api/recording.gif"))
    assert got.headers["content-type"] == "image/gif"
    assert getattr(Image.open(io.BytesIO(got.body)), "n_frames", 0) >= 2


def test_a_recording_of_some_tiles_in_a_size(ask: Asked, shared: SharedExplorer) -> None:
    ask(turn({"do": "record", "on": True}, STEP, STEP))
    for tiles, shape in (("2", (3 * SHAPE[1], 3 * SHAPE[2])), ("0,2", (16, 2 * 18 + 6))):
        got = ask(Ask(f"/api/recording.gif?tiles={tiles}&zoom=3"))
        with Image.open(io.BytesIO(got.body)) as image:
            assert (image.height, image.width) == shape
            image.seek(getattr(image, "n_frames", 1) - 1)
            last = np.asarray(image.convert("L"))
    large = shared.explorer.state.moment.pictures[[0, 2], 0].repeat_interleave(3, 1)
    for picture, left in zip(large.repeat_interleave(3, 2).numpy(), (2, 22), strict=True):
        assert np.array_equal(last[2:14, left : left + 18], picture)
    for query in ("tiles=4&zoom=3", "tiles=&zoom=3", "tiles=0", "zoom=3", "tiles=0&zoom=0"):
        assert ask(Ask(f"/api/recording.gif?{query}")).status == 422, query
    assert ask(Ask("/api/recording.gif?tiles=-1&zoom=2")).status == 422
    large_one = ask(Ask("/api/recording.gif?tiles=0,0,0&zoom=999"))
    assert large_one.status == 422
    assert b"too large" in large_one.body


# --------------------------------------------------------------------------------------------
# Uploads


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_picture_is_fitted_and_can_be_started_from(
    ask: Asked, shared: SharedExplorer, kind: str
) -> None:
    state = shared.explorer.state
    got = ask(post("/api/fit", png_of((60, 90), kind), OCTETS))
    assert (got.status, got.headers["content-type"]) == (200, "image/png")
    fitted = pixels(got.body)
    assert fitted.shape == SHAPE[1:]
    assert shared.explorer.state is state
    image = base64.b64encode(got.body).decode()
    assert ask(turn({"do": "start", "tile": 1, "image": image})).status == 200
    assert np.array_equal(shared.explorer.state.moment.pictures[1, 0], fitted)


def test_a_large_jpeg_is_decoded_at_a_reduced_scale(
    ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[tuple[int, int]] = []

    def noted(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
        decoded.append(image.size)
        return fit(image, size, resample)

    whole = pixels(ask(post("/api/fit", png_of((800, 600)), OCTETS)).body).astype(int)
    monkeypatch.setattr("nkca.sampling.inputs.fit", noted)
    reduced = pixels(ask(post("/api/fit", png_of((800, 600), "JPEG"), OCTETS)).body)
    assert np.abs(whole - reduced).max() <= 3
    assert decoded == [(100, 75)]
    turned = Image.Exif()
    turned[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (10, 80)).save(file, "JPEG", exif=turned)
    assert ask(post("/api/fit", file.getvalue(), OCTETS)).status == 200
    assert decoded[1] == (80, 10), "no smaller than twice the size of the model"


def test_all_unfinished_uploads_have_a_common_room(shared: SharedExplorer) -> None:
    app = make_app(shared, Worker(), Access())
    picture = png_of((60, 90))

    async def uploads() -> None:
        gone = [asyncio.Event() for _ in range(6)]
        body = [bytes(FIT_BYTES - 1)]
        kind = [("Content-Type", OCTETS)]
        begun = [Ask("/api/fit", "POST", kind, body, ends=False) for _ in gone]
        held = [
            asyncio.create_task(asking(app, one, end)) for one, end in zip(begun, gone, strict=True)
        ]
        await until(lambda: sum(task.done() for task in held) == 2)
        assert [task.result().status for task in held if task.done()] == [503] * 2, (
            "four fill the room"
        )
        assert (await asking(app, turn())).status == 200, "a small body needs none"
        assert (await asking(app, post("/api/fit", picture, OCTETS))).status == 200
        for end in gone:
            end.set()
        ended = [one.status for one in await asyncio.gather(*held)]
        assert sorted(ended) == [400] * 4 + [503] * 2
        assert (await asking(app, post("/api/fit", bytes(FIT_BYTES), OCTETS))).status == 422

    asyncio.run(uploads())


def test_a_session_of_more_chains_is_opened_only_if_wanted(
    ask: Asked, shared: SharedExplorer
) -> None:
    session = json.dumps(ask(Ask("/api/session.json")).json | {"batch_size": 9}).encode()
    before = shared.explorer.state
    got = ask(post("/api/session", session))
    assert got.status == 409
    assert got.json["error"] == "this session has 9 chains, the command has 4"
    assert shared.explorer.state is before
    assert ask(post("/api/session?more=1", session)).status == 200
    assert ask(turn()).head["batch"] == 9


def test_saved_sessions_are_listed_and_opened_by_number(
    ask: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path))
    assert ask(Ask("/api/sessions")).json == []
    assert ask(post("/api/sessions/0", b"{}")).status == 404
    ask(turn(STEP, KEEP, KEEP))
    content = ask(Ask("/api/session.json")).body
    folder = tmp_path / "sessions"
    folder.mkdir()
    for name, age in (("old", 200), ("new", 100)):
        (folder / f"{name}.json").write_bytes(content)
        os.utime(folder / f"{name}.json", (1000 - age, 1000 - age))
    (folder / "other.json").write_bytes(content.replace(b"abab", b"cdcd"))
    (folder / "broken.json").write_bytes(b"{")
    expected = [
        {"number": 0, "changed": 900.0, "kept": 2},
        {"number": 1, "changed": 800.0, "kept": 2},
    ]
    assert ask(Ask("/api/sessions")).json == expected, "of this checkpoint, the newest first"
    (folder / "newest.json").write_bytes(content)
    assert [one["number"] for one in ask(Ask("/api/sessions")).json] == [2, 0, 1], "numbers stay"
    assert ask(post("/api/sessions/1", b"{}")).json == {"ok": True, "warning": None}
    head = ask(turn(steps=1)).head
    while head["replaying"]:
        head = ask(turn(seen=head["version"], epoch=1, steps=1)).head
    assert len(head["shelf"]["items"]) == 2
    for number in ("3", "-1", "01", "1" * 5000, "old.json"):
        assert ask(post(f"/api/sessions/{number}", b"{}")).status == 404
    assert ask(post("/api/sessions/1", b"x=1", "application/x-www-form-urlencoded")).status == 415
    (folder / "old.json").unlink()
    assert ask(post("/api/sessions/1", b"{}")).status == 422


def test_a_session_is_saved_loaded_and_replayed(ask: Asked, shared: SharedExplorer) -> None:
    ask(turn(RUN, {"do": "level", "level": 0.3}, steps=9))
    ask(turn(KEEP, {"do": "spread", "tile": 2}, steps=4))
    saved, state = ask(Ask("/api/session.json")), shared.explorer.state
    assert saved.headers["content-disposition"] == 'attachment; filename="session.json"'
    ask(turn(STEP, KEEP))
    assert ask(post("/api/session", saved.body)).json == {"ok": True, "warning": None}
    assert ask(turn(KEEP)).status == 409
    head = ask(turn()).head
    assert (head["epoch"], head["replaying"]["total"]) == (1, 13)
    while head["replaying"]:
        head = ask(turn(seen=head["version"], epoch=1, steps=1)).head
    assert torch.equal(shared.explorer.state.moment.x, state.moment.x)
    assert ask(Ask("/api/session.json")).body == saved.body
    assert ask(turn(KEEP, epoch=0)).status == 409


def test_a_session_of_another_checkpoint_comes_with_a_warning(ask: Asked) -> None:
    session = ask(Ask("/api/session.json")).json
    other = session | {"checkpoint": "other.pth", "checkpoint_sha256": "cd" * 32}
    warning = ask(post("/api/session", json.dumps(other).encode())).json["warning"]
    assert "other.pth" in warning
    gpu = session | {"device": "cuda"}
    assert "cuda" in ask(post("/api/session", json.dumps(gpu).encode())).json["warning"]


def test_about_counts_the_images_of_a_session(ask: Asked, shared: SharedExplorer) -> None:
    model = shared.model
    other = SharedExplorer(model, shared.origin, Setup(4, images=ten_pictures()[:3]))
    content = answer(make_app(other, Worker(), Access()), Ask("/api/session.json")).body
    ask(post("/api/session", content))
    assert ask(Ask("/api/about")).json["images"] == 3


def test_a_change_of_the_shelf_is_reported(shared: SharedExplorer) -> None:
    told: list[tuple[int, bool]] = []

    def tell(shared: SharedExplorer, leaving: bool) -> None:
        told.append((len(shared.explorer.state.shelf), leaving))

    app = make_app(shared, Worker(), Access(), on_change=tell)
    for events in ([STEP], [KEEP, STEP], [RUN], [{"do": "remove", "item": 1}]):
        answer(app, turn(*events))
    assert told == [(1, False), (0, False)]
    answer(app, turn(KEEP, {"do": "undo"}))
    assert told == [(1, False), (0, False)], "no event was applied"
    saved = answer(app, Ask("/api/session.json")).body
    answer(app, post("/api/session", saved))
    assert told[2:] == [(0, True)], "the session that is replaced"


# --------------------------------------------------------------------------------------------
# One worker


class Slow(nn.Module):
    """A network of many slow layers, which records the threads that call it."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(20))
        self.seconds = seconds
        self.reached = 0
        self.threads: set[int] = set()
        self.inside = threading.Lock()

    def forward(self, x: Tensor, _: Tensor) -> Normal:
        assert self.inside.acquire(blocking=False), "two calls at once"
        try:
            self.threads.add(threading.get_ident())
            for layer in self.layers:
                x = layer(x)
                self.reached += 1
                time.sleep(self.seconds)
        finally:
            self.inside.release()
        return Normal(0.5 * x, torch.ones_like(x))


def slow_explorer(network: nn.Module) -> SharedExplorer:
    model: Model = exact_model()
    model = dataclasses.replace(model, chain=dataclasses.replace(model.chain, denoiser=network))
    return SharedExplorer(model, origin_of(model), Setup(4))


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(2000):
        if reached():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("the condition never became true")


def test_a_step_whose_page_has_disconnected_is_cancelled() -> None:
    network = Slow()
    shared = slow_explorer(network)
    app = make_app(shared, Worker(), Access())
    answer(app, turn(RUN, steps=1))
    state, network.reached, network.seconds = shared.explorer.state, 0, 0.02

    async def leave() -> None:
        gone = asyncio.Event()
        on = asyncio.create_task(asking(app, turn(seen=1, steps=1), gone))
        await until(lambda: network.reached >= 2)
        gone.set()
        await on

    asyncio.run(leave())
    assert network.reached < 10
    assert shared.explorer.state is state
    network.seconds = 0
    assert answer(app, turn(seen=1, steps=1)).head["version"] == 2


@pytest.mark.parametrize(("events", "version"), [([], 1), ([{"do": "level", "level": 0.4}], 2)])
def test_a_turn_whose_page_has_disconnected_before_it_began(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], version: int
) -> None:
    drawn = 0

    def draw(*_: object) -> bytes:
        nonlocal drawn
        drawn += 1
        return b""

    monkeypatch.setattr("nkca.live.web.shared_explorer.sprite", draw)
    network = Slow()
    shared = slow_explorer(network)
    app = make_app(shared, Worker(), Access())
    answer(app, turn(RUN))
    network.seconds = 0.01

    async def leave() -> None:
        gone = asyncio.Event()
        first = asyncio.create_task(asking(app, turn(seen=0, steps=1)))
        await until(lambda: network.inside.locked())
        second = asyncio.create_task(asking(app, turn(*events, seen=0, steps=1), gone))
        await asyncio.sleep(0.02)
        gone.set()
        await asyncio.gather(first, second)

    asyncio.run(leave())
    moment = shared.explorer.state.moment
    assert (moment.version, moment.step) == (version, 1), (
        "its events are applied, its step is not made"
    )
    assert drawn == 2 + len(events), "a frame that no page waits for is not drawn"


def test_the_explorer_is_used_by_one_request_at_a_time() -> None:
    network = Slow(0.0005)
    shared = slow_explorer(network)
    app = make_app(shared, Worker(), Access())
    saved = answer(app, Ask("/api/session.json")).body
    network.threads.clear()

    async def all_at_once() -> list[Answer]:
        asks = [turn(STEP, KEEP), turn(RUN, steps=1), Ask("/api/session.json"), turn(seen=0)]
        asks += [post("/api/session", saved), Ask("/api/about"), turn({"do": "stop"}, STEP)]
        return await asyncio.gather(*(asking(app, one) for one in 4 * asks))

    got = asyncio.run(all_at_once())
    assert {one.status for one in got} <= {200, 409}
    assert len(network.threads) == 1
    assert answer(app, turn({"do": "stop"})).status == 200


def test_too_many_requests_are_refused_at_once() -> None:
    network = Slow(0.01)
    shared = slow_explorer(network)
    app = make_app(shared, Worker(capacity=4), Access())

    async def all_at_once() -> list[Answer]:
        return await asyncio.gather(*(asking(app, turn(seen=-1)) for _ in range(10)))

    async def begin() -> list[Answer]:
        first = asyncio.create_task(asking(app, turn(STEP)))
        await until(lambda: network.inside.locked())
        got = await all_at_once()
        assert (await first).status == 200
        return got

    got = asyncio.run(begin())
    assert sorted(one.status for one in got) == [200] * 3 + [503] * 7
    assert next(one for one in got if one.status == 503).headers["retry-after"] == "1"
    assert answer(app, turn()).status == 200


def test_a_worker_has_capacity_again() -> None:
    async def use(worker: Worker) -> None:
        with pytest.raises(ZeroDivisionError):
            await worker.do(lambda: 1 // 0)
        held = threading.Event()
        waiting = asyncio.create_task(worker.do(held.wait))
        await asyncio.sleep(0)
        with pytest.raises(FullError):
            await worker.do(lambda: None)
        held.set()
        assert await waiting
        await until(lambda: worker._free == 1)

    asyncio.run(use(Worker(capacity=1)))


# --------------------------------------------------------------------------------------------
# Errors


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ZeroDivisionError("line\none"), 500, "ZeroDivisionError: line one"),
        (AssertionError(), 500, "AssertionError"),
        (MemoryError(), 422, "out of memory (start again with a smaller --batch-size)"),
        (RuntimeError("CUDA out of memory. Tried"), 422, "out of memory (start again"),
    ],
)
def test_every_error_becomes_a_response(
    shared: SharedExplorer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    said: str,
) -> None:
    app = make_app(shared, Worker(), Access())
    before = answer(app, turn(RUN, steps=2)).head

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr("nkca.live.chains.explorer.walking.step", fail)
        got = answer(app, turn(seen=before["version"], steps=1))
    assert got.status == status
    assert said in got.json["error"]
    assert bool(caplog.records) == (status == 500)
    head = answer(app, turn(seen=before["version"], steps=1)).head
    assert head["version"] == before["version"] + 1


def test_a_client_that_disconnects_in_the_middle_of_its_body(ask: Asked) -> None:
    cut = Ask("/api/turn", "POST", [("Content-Type", JSON)], [b'{"seen":'], ends=False)
    assert ask(cut).status == 400


def test_a_body_that_does_not_arrive(
    shared: SharedExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nkca.live.web.requests.SECONDS", 0.05)
    app = make_app(shared, Worker(), Access())
    assert answer(app, Ask("/api/turn", "POST", [("Content-Type", JSON)], [b"{}"])).status == 200

    async def never(scope: dict[str, Any]) -> int:
        status: list[int] = []

        async def send(message: Any) -> None:
            status.append(message.get("status", 0))

        await app(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]
        return status[0]

    headers = [(b"host", b"localhost"), (b"content-type", JSON.encode())]
    scope = {"type": "http", "method": "POST", "path": "/api/turn", "headers": headers}
    assert asyncio.run(never({**scope, "query_string": b"", "root_path": ""})) == 408
