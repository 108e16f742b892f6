"""Chains for each visitor: nobody sees or alters another's, and their number and memory are bounded."""

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from asking import Answer, Ask, answer, asking, post
from live_chains import exact_model, origin_of
from starlette.types import ASGIApp
from tables import each
from torch import Tensor

from nkca.distributions.contracts import Posterior
from nkca.live.chains.events import AnyEvent
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.chains.state import ExplorerState
from nkca.live.web import seat as seats
from nkca.live.web.autosave import VISITORS, Autosave
from nkca.live.web.guard import HEADERS, Access
from nkca.live.web.identity import ByCookie
from nkca.live.web.messages import View
from nkca.live.web.opened import Opened
from nkca.live.web.parking import put_away, take_back
from nkca.live.web.seat import Saves
from nkca.live.web.server import make_server
from nkca.live.web.visitors import Limits, OneModel, Visitors
from nkca.live.web.worker import FullError, Worker
from nkca.models.model import Model

STEP, KEEP = {"do": "step", "times": 1}, {"do": "keep", "tile": 1}
COOKIE = "nkca-visitor-8000"
LINK = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")]


SERVERS: list["Server"] = []
THREE, OPEN = Limits(3), Access()


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    """Close the files of the servers of a test, as the end of a process does."""
    yield
    while SERVERS:
        for parked in SERVERS.pop().visitors._parked.values():
            parked.state.close()


def opened_of(model: Model, tiles: int = 4) -> Opened:
    setup = Setup(tiles)
    return Opened(model, origin_of(model), setup, Explorer(model, setup).state)


class Server:
    """A server for visitors, of an exact model unless another one is given."""

    def __init__(
        self,
        limits: Limits = THREE,
        model: Model | None = None,
        new_saves: Callable[[], Saves] = Saves,
        access: Access = OPEN,
    ) -> None:
        self.worker = Worker(1, 64, 8)
        models = OneModel(opened_of(model or exact_model()))
        self.visitors = Visitors(self.worker, models, ByCookie(), limits, new_saves)
        self.app = make_server(self.visitors, access, View())
        SERVERS.append(self)

    @property
    def names(self) -> list[str]:
        """The names of the visitors whose chains are in memory."""
        return list(self.visitors._seats)

    def client(self, *headers: tuple[str, str]) -> "Client":
        """A new browser, which has loaded the page."""
        client = Client(self.app, headers)
        assert client.load().status == 200
        return client


class Client:
    """A browser: it sends the cookies that it was given."""

    def __init__(self, app: ASGIApp, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.app, self.headers, self.cookie = app, headers, ""

    def load(self) -> Answer:
        got = self.ask(Ask("/"))
        if "set-cookie" in got.headers:
            self.cookie = got.headers["set-cookie"].split(";")[0]
        return got

    def with_cookie(self, request: Ask) -> Ask:
        cookie = [("Cookie", self.cookie)] if self.cookie else []
        return dataclasses.replace(request, headers=[*request.headers, *self.headers, *cookie])

    def ask(self, request: Ask) -> Answer:
        return answer(self.app, self.with_cookie(request))

    def turn(self, *events: dict[str, Any], **fields: Any) -> Answer:
        return self.ask(post("/api/turn", json.dumps({"events": events, **fields}).encode()))

    def head(self, *events: dict[str, Any], **fields: Any) -> Any:
        got = self.turn(*events, **fields)
        assert got.status == 200, got.body
        return got.head


def test_two_visitors_have_chains_of_their_own() -> None:
    server = Server()
    one, two = server.client(), server.client()
    first = one.head()
    assert two.turn().png == one.turn().png, "all begin with the same pictures"
    assert one.head(STEP, KEEP, {"do": "level", "level": 0.2})["step"] == 1
    other = two.head()
    assert (other["step"], other["level"], other["shelf"]["items"]) == (0, first["level"], [])
    assert other["epoch"] != first["epoch"]
    for path in ("/api/kept/1.png", "/api/shelf.zip", "/api/shelf.png"):
        assert one.ask(Ask(path)).status == 200, path
        assert two.ask(Ask(path)).status in (404, 409), path
    assert two.head({"do": "lock", "tile": 0, "locked": True}, STEP)["locked"] == [0]
    assert one.head({"do": "undo"})["locked"] == []
    assert [one.ask(Ask("/api/session.json")).json["events"] != [], two.head()["can_undo"]] == [
        True,
        True,
    ]


def test_two_tabs_of_a_browser_share_its_chains() -> None:
    server = Server()
    one = server.client()
    one.head(STEP)
    tab = Client(server.app)
    tab.cookie = one.cookie
    assert "set-cookie" not in tab.load().headers
    assert tab.head()["step"] == 1


def test_the_cookie_of_a_visitor() -> None:
    got = Client(Server().app).load()
    cookie, *how = got.headers["set-cookie"].split("; ")
    assert cookie.startswith(f"{COOKIE}=")
    assert {part.lower() for part in how} == {"httponly", "samesite=strict", "path=/"}


def forged(right: str) -> dict[str, str]:
    """Cookie headers that do not name the visitor of the ``right`` cookie."""
    name, _, value = right.partition("=")
    text, _, signature = value.partition(".")
    other = ("b" if signature[0] == "a" else "a") + signature[1:]
    return {
        "none": "",
        "empty": f"{name}=",
        "no signature": f"{name}={text}",
        "empty signature": f"{name}={text}.",
        "wrong signature": f"{name}={text}.{other}",
        "half a signature": f"{name}={text}.{signature[:32]}",
        "longer signature": f"{name}={text}.{signature}0",
        "signature in capitals": f"{name}={text}.{signature.upper()}",
        "of another name": f"{name}=x{text}.{signature}",
        "empty name": f"{name}=.{signature}",
        "everyone": f"{name}=all",
        "everyone, signed": f"{name}=all.{signature}",
        "unicode": f"{name}=\xe9\xff.{signature}",
        "of another port": f"nkca-visitor-8001={value}",
        "without a port": f"nkca-visitor={value}",
        "as the token": f"nkca-8000={value}",
        "quoted": f'{name}="{text}"."{signature}"',
        "huge": f"{name}={'x' * 60_000}.{signature}",
        "dots": f"{name}={'.' * 500}",
        "half a character": f"{name}=\x80\xfe.{signature}",
    }


def test_a_forged_or_missing_cookie_reaches_no_chains() -> None:
    server = Server()
    one = server.client()
    head = one.head(STEP, KEEP)
    state = server.visitors.seats[0].shared.explorer.state
    session = one.ask(Ask("/api/session.json")).body
    asks = (
        post("/api/turn", json.dumps({"events": [STEP]}).encode()),
        post("/api/session", session),
        post("/api/sessions/0", b"{}"),
        post("/api/fit", b"x", "application/octet-stream"),
        Ask("/api/sessions"),
        Ask("/api/session.json"),
        Ask("/api/kept/1.png"),
        Ask("/api/shelf.zip"),
        Ask("/api/moments/0.png"),
        Ask("/api/choices.csv"),
    )
    for name, cookie in each(forged(one.cookie).items()):
        for request in asks:
            forger = Client(server.app)
            forger.cookie = cookie
            got = forger.ask(request)
            assert got.status == 410, (name, request.path)
            assert "reload the page" in got.json["error"]
            assert "set-cookie" not in got.headers
            assert {key: got.headers[key.lower()] for key in HEADERS} == HEADERS
    assert len(server.visitors.seats) == 1
    assert server.visitors.seats[0].shared.explorer.state is state
    assert one.head()["version"] == head["version"]
    own = server.client()
    assert own.cookie != one.cookie and own.head()["step"] == 0


def test_the_cookie_of_another_server_is_worth_nothing() -> None:
    """So also one of this server before it was started again."""
    elsewhere = Server().client()
    client = Client(Server().app)
    client.cookie = elsewhere.cookie
    assert client.turn().status == 410
    assert "set-cookie" in client.load().headers
    assert client.head()["step"] == 0


def test_a_visitor_needs_the_token_too() -> None:
    token = ("Authorization", "Bearer right")
    server = Server(access=Access(token="right"))
    one = server.client(token)
    assert one.head()["step"] == 0
    outside = Client(server.app)
    outside.cookie = one.cookie
    assert outside.turn().status == 401
    assert outside.ask(Ask("/")).status == 401


def test_a_link_from_another_site_takes_no_chains_away() -> None:
    """A browser leaves strict cookies out then, so the page loads once more, from its own site."""
    server = Server()
    link = Ask("/", headers=[*LINK, ("Sec-Fetch-Dest", "document")])
    got = answer(server.app, link)
    assert got.status == 200 and b'http-equiv="refresh"' in got.body
    assert "set-cookie" not in got.headers


def test_one_visitor_too_many_gets_one_line() -> None:
    server = Server(Limits(2))
    here = [server.client(), server.client()]
    for client in here:
        client.head()
    late = Client(server.app)
    page = late.load()
    assert page.status == 503
    assert 1 <= int(page.headers["retry-after"]) <= 61
    assert "all 2 places are taken: come back in" in page.body.decode()
    assert "set-cookie" not in page.headers
    assert {key: page.headers[key.lower()] for key in HEADERS} == HEADERS
    assert [client.turn(STEP).status for client in here] == [200, 200]


def test_one_who_came_while_there_was_room_is_told_too() -> None:
    server = Server(Limits(1))
    one, two = server.client(), server.client()
    one.head()
    got = two.turn()
    assert got.status == 503
    assert list(got.json) == ["error"]
    assert int(got.headers["retry-after"]) >= 1
    assert len(server.visitors.seats) == 1


def session_events(client: Client) -> Any:
    return client.ask(Ask("/api/session.json")).json["events"]


def test_idle_chains_are_parked_and_go_on_the_same_to_the_bit() -> None:
    server = Server(Limits(1, idle=0.0))
    one, two, twin = server.client(), server.client(), Server(Limits(1))
    alone = twin.client()
    do: list[dict[str, Any]] = [
        {"do": "level", "level": 0.4},
        STEP,
        KEEP,
        {"do": "lock", "tile": 2, "locked": True},
        {"do": "paint", "tile": 1, "mask": "////"},
        STEP,
        {"do": "undo"},
        {"do": "record", "on": True},
        {"do": "run"},
    ]
    for client in (one, alone):
        client.head(*do, steps=3)
    time.sleep(0.01)
    two.head(STEP)
    assert len(server.visitors.seats) <= 1, "the idle one made room"
    time.sleep(0.01)
    heads = [client.head({"do": "redo"}, STEP) for client in (one, alone)]
    server.visitors.limits = Limits(1)  # from here on nothing is parked
    for head in heads:
        for name in ("epoch", "step_ms"):
            del head[name]
        for name in ("history", "shelf", "masks"):
            del head[name]["version"]
    assert heads[0] == heads[1]
    assert one.turn(seen=-1).png == alone.turn(seen=-1).png
    assert session_events(one) == session_events(alone)
    (here,), (there,) = server.visitors.seats, twin.visitors.seats
    for _ in range(100):
        here.shared.explorer.step()
        there.shared.explorer.step()
    assert torch.equal(here.shared.explorer.state.moment.x, there.shared.explorer.state.moment.x)


def test_parked_chains_keep_their_epoch() -> None:
    """So a page that was hidden for long goes on where it was, and sees no other session."""
    server = Server(Limits(1, idle=0.0))
    one, two = server.client(), server.client()
    before = one.head(STEP)
    time.sleep(0.01)
    two.head()
    time.sleep(0.01)
    after = one.head(STEP, epoch=before["epoch"], seen=before["version"])
    assert (after["epoch"], after["step"]) == (before["epoch"], 2)


def test_every_state_that_events_lead_to_can_be_parked() -> None:
    explorer = Explorer(exact_model(), Setup(4))
    for event in each(
        (
            STEP,
            {"do": "pick", "tile": 1},
            {"do": "spread", "tile": 1},
            {"do": "choose", "tile": 1, "steps": 2, "milliseconds": 5},
            {"do": "discard", "tile": 2},
            {"do": "anneal", "steps": 3},
            {"do": "restart", "source": "noise", "seed": 5},
            KEEP,
            {"do": "remove", "item": 1},
            {"do": "record", "on": True},
            STEP,
            {"do": "undo"},
            {"do": "level", "level": 0.3},
        )
    ):
        explorer.apply([msgspec.convert(event, AnyEvent)])
        state = explorer.state
        again = take_back(put_away(state))
        assert parts(again) == parts(state)


def parts(state: ExplorerState) -> list[object]:
    """All that a state consists of, tensors as bytes."""
    found: list[object] = []

    def add(value: object) -> None:
        if isinstance(value, Tensor):
            found.append((value.dtype, value.shape, value.numpy().tobytes()))
        elif dataclasses.is_dataclass(value):
            found.append(type(value))
            for field in dataclasses.fields(value):
                add(getattr(value, field.name))
        elif isinstance(value, tuple):
            found.append(len(value))
            for one in value:
                add(one)
        else:
            found.append(value)

    add(state)
    return found


def test_the_oldest_parked_chains_are_dropped() -> None:
    server = Server(Limits(1, idle=0.0, parked=2))
    clients = [server.client() for _ in range(4)]
    for client in clients:
        time.sleep(0.01)
        client.head(STEP)
    time.sleep(0.01)
    assert [client.head()["step"] for client in reversed(clients[2:])] == [1, 1]
    time.sleep(0.01)
    assert clients[0].head()["step"] == 0, "new chains"


# The loop may end between the last look and the close of the file: then that is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_idle_chains_are_parked_though_nobody_asks() -> None:
    server = Server(Limits(2, idle=0.05))

    async def visit() -> None:
        page = await asking(server.app, Ask("/"))
        client = Client(server.app)
        client.cookie = page.headers["set-cookie"].split(";")[0]
        got = await asking(server.app, client.with_cookie(post("/api/turn", b"{}")))
        assert got.status == 200 and len(server.visitors.seats) == 1
        for _ in range(500):
            if not server.visitors.seats:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("never parked")

    asyncio.run(visit())


def test_a_visitor_opens_only_sessions_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path))
    made: list[Autosave] = []

    def new_saves() -> Saves:
        made.append(Autosave(VISITORS, f"-visitor-{len(made) + 1}"))
        return Saves(made[-1], made[-1].found)

    server = Server(new_saves=new_saves)
    one, two = server.client(), server.client()
    two.head()
    one.head(STEP, KEEP)
    (saved,) = (tmp_path / "visitor-sessions").iterdir()
    assert saved.stat().st_mode & 0o777 == 0o600
    assert [entry["kept"] for entry in one.ask(Ask("/api/sessions")).json] == [1]
    assert two.ask(Ask("/api/sessions")).json == []
    assert two.ask(post("/api/sessions/0", b"{}")).status == 404
    assert one.ask(post("/api/sessions/0", b"{}")).status == 200
    session = one.ask(Ask("/api/session.json")).body
    for _ in range(6):
        one.ask(post("/api/session", session))
        head = one.head(steps=1)
        while head["replaying"]:
            head = one.head(steps=16, seen=head["version"])
        one.head(STEP, KEEP)
    two.head(KEEP)
    written = sorted(path.name for path in (tmp_path / "visitor-sessions").iterdir())
    assert len(written) == 5, "the newest four of one, and one of the other"
    assert sum("visitor-1" in name for name in written) == 1


class Slow:
    """A denoiser whose evaluations take a while, and which notes whose they are."""

    def __init__(self, model: Model, seconds: float) -> None:
        self.denoiser, self.seconds, self.calls = model.chain.denoiser, 0.0, 0
        self.began = threading.Event()
        self.wanted = seconds

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        self.calls += 1
        if self.seconds:
            self.began.set()
            time.sleep(self.seconds)
        return self.denoiser(x, noise_level)


def slow_server() -> tuple[Server, Slow]:
    model = exact_model()
    slow = Slow(model, 0.02)
    chain = dataclasses.replace(model.chain, denoiser=slow)
    return Server(model=dataclasses.replace(model, chain=chain)), slow


def test_a_visitor_with_many_requests_delays_another_by_one_turn() -> None:
    server = Server()
    one, two = server.client(), server.client()
    for client in (one, two):
        client.head(STEP)
    held, order = threading.Event(), list[str]()

    async def ask(client: Client, name: str) -> None:
        body = json.dumps({"events": [STEP]}).encode()
        got = await asking(server.app, client.with_cookie(post("/api/turn", body)))
        assert (got.status, got.head["step"]) == (200, 2 + order.count(name))
        order.append(name)

    async def at_once() -> None:
        first = server.worker.submit(lambda: held.wait(60))
        greedy = [asyncio.create_task(ask(one, "one")) for _ in range(6)]
        await asyncio.sleep(0.2)  # until they wait
        late = asyncio.create_task(ask(two, "two"))
        while not server.worker.others_wait(server.names[0]):
            await asyncio.sleep(0.01)
        held.set()
        await asyncio.gather(*greedy, late)
        assert first.result()

    asyncio.run(at_once())
    assert order == ["one", "two", *5 * ["one"]]


def test_a_long_turn_ends_when_another_visitor_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "LONGEST_TURN", 0.2)
    server, slow = slow_server()
    one, two = server.client(), server.client()
    before = one.head(STEP)
    two.head(STEP)
    slow.seconds, slow.calls = slow.wanted, 0
    long = json.dumps({"events": [{"do": "step", "times": 64}] * 64}).encode()

    async def both() -> list[Answer]:
        greedy = asyncio.create_task(asking(server.app, one.with_cookie(post("/api/turn", long))))
        while not slow.began.is_set():
            await asyncio.sleep(0.001)
        other = await asking(server.app, two.with_cookie(post("/api/turn", b"{}")))
        return [await greedy, other]

    greedy, other = asyncio.run(both())
    assert (greedy.status, other.status) == (409, 200)
    assert "takes too long while others wait" in greedy.json["error"]
    assert slow.calls < 1000
    slow.seconds = 0
    assert one.head()["version"] == before["version"], "all or nothing"
    assert one.head({"do": "step", "times": 64})["step"] == 65, "alone there is no such limit"


def test_a_visitor_has_a_share_of_the_waiting_requests() -> None:
    async def fill(worker: Worker) -> None:
        held = threading.Event()
        first = asyncio.create_task(worker.do(lambda: held.wait(30), "a"))
        await asyncio.sleep(0.05)
        more = [asyncio.create_task(worker.do(lambda: None, "a")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(FullError):
            await worker.do(lambda: None, "a")
        assert worker.others_wait("b") and not worker.others_wait("a")
        other = asyncio.create_task(worker.do(lambda: 7, "b"))
        held.set()
        assert await other == 7
        await asyncio.gather(first, *more)

    asyncio.run(fill(Worker(1, 8, 2)))


def test_about_and_the_page_make_no_chains() -> None:
    server = Server()
    client = server.client()
    about = client.ask(Ask("/api/about")).json
    assert (about["batch"], about["gallery"]) == (4, False)
    assert server.visitors.seats == []
    assert Client(server.app).ask(Ask("/api/about")).json == about


def test_no_cookie_of_a_visitor_is_in_a_url_or_a_page() -> None:
    server = Server()
    client = server.client()
    value = client.cookie.partition("=")[2]
    for path in ("/", "/api/about", "/api/sessions"):
        got = client.ask(Ask(path))
        assert value not in got.body.decode()
        assert value not in str(got.headers)
