"""The routes of "Real or made?": nothing tells which picture is real before the answer."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from asking import Answer, Ask, answer, post
from live_chains import SHAPE, exact_model, origin_of
from PIL import Image

from nkca.data.listing import list_images
from nkca.live.chains import discrimination
from nkca.live.chains.explorer import Setup
from nkca.live.web.guard import Access
from nkca.live.web.server import make_app
from nkca.live.web.shared_explorer import SharedExplorer
from nkca.live.web.trials import MAX_TESTS
from nkca.live.web.worker import Worker

Asked: TypeAlias = Callable[[Ask], Answer]


@pytest.fixture
def ask(tmp_path: Path) -> Asked:
    for number in range(30):
        Image.new("L", (SHAPE[2], SHAPE[1]), 8 * number).save(tmp_path / f"{number:02d}.png")
    model = exact_model()
    shared = SharedExplorer(model, origin_of(model), Setup(2))
    app = make_app(shared, Worker(), Access(), real=list_images(tmp_path))
    return lambda request: answer(app, request)


def posted(path: str, content: object) -> Ask:
    return post(path, json.dumps(content).encode())


def begun(ask: Asked, count: int = 20) -> str:
    found = json.loads(ask(posted("/api/trials", {"count": count})).body)
    assert found.keys() == {"id", "count"}
    return f"/api/trials/{found['id']}"


def chunks(png: bytes) -> set[bytes]:
    """The kinds of chunks of a PNG."""
    found, at = set(), 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        found.add(png[at + 4 : at + 8])
        at += 12 + length
    return found


def test_nothing_tells_which_is_real_before_the_answer(
    ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discrimination, "_LOT", random.Random(3))
    test, replies, headers = begun(ask, 8), set(), set()
    for number in range(8):
        pair = ask(Ask(f"{test}/{number}.png"))
        assert pair.status == 200
        assert chunks(pair.body) == {b"IHDR", b"IDAT", b"IEND"}, "no metadata"
        assert Image.open(io.BytesIO(pair.body)).size == (2 * SHAPE[2], SHAPE[1])
        headers.add(tuple(sorted(pair.headers.keys())))
        reply = ask(posted(f"{test}/{number}", {"side": "left", "milliseconds": 900}))
        replies.add(reply.body.replace(str(number + 1).encode(), b"N"))
    assert replies == {b'{"answered": N}'}, "the same, right or wrong"
    (names,) = headers
    assert not {"etag", "last-modified", "content-disposition", "server-timing"} & set(names)
    result: dict[str, Any] = json.loads(ask(Ask(f"{test}/result.json")).body)
    assert 0 < result["told_apart"] < result["trials"] == 8, "so both sides were among them"


def test_what_cannot_be_done_is_refused(ask: Asked) -> None:
    test = begun(ask)
    cases = (
        (posted("/api/trials", {"count": 0}), 422),
        (posted("/api/trials", {"count": 201}), 422),
        (posted("/api/trials", {"count": True}), 422),
        (posted("/api/trials", {}), 422),
        (posted("/api/trials", {"count": 3, "real": 1}), 422),
        (Ask("/api/trials"), 405),
        (Ask("/api/trials/other/0.png"), 404),
        (Ask(f"{test}/2.png"), 422),
        (Ask(f"{test}/-1.png"), 404),
        (Ask(f"{test}/{'9' * 5000}.png"), 404),
        (posted(f"{test}/00", {"side": "left"}), 404),
        (Ask(f"{test}/result.json"), 422),
        (posted(f"{test}/0", {"side": "left"}), 422),  # which was not shown
        (posted(f"{test}/0", {"side": "both"}), 422),
        (posted(f"{test}/0", ["left"]), 422),
        (post(f"{test}/0", b"{}", "text/plain"), 415),
    )
    for request, status in cases:
        assert ask(request).status == status, request
    assert ask(Ask(f"{test}/0.png")).status == 200
    assert ask(posted(f"{test}/0", {"side": "left", "milliseconds": 0.5})).status == 422
    assert ask(posted(f"{test}/0", {"side": "left"})).status == 200
    for _ in range(MAX_TESTS):
        begun(ask, 1)
    assert ask(Ask(f"{test}/result.json")).status == 404, "the oldest goes"


def test_without_real_pictures_there_is_no_test() -> None:
    model = exact_model()
    app = make_app(SharedExplorer(model, origin_of(model), Setup(2)), Worker(), Access())
    assert answer(app, posted("/api/trials", {"count": 3})).status == 404
    assert json.loads(answer(app, Ask("/api/about")).body)["real"] == 0
