"""The command itself: it starts, prints its address, responds, saves the session, and ends at once."""

import http.client
import io
import json
import os
import queue
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
import uvicorn
from click.testing import CliRunner
from interactive_process import interactive
from live_chains import exact_model, origin_of
from PIL import Image

from nkca.cli.interactive import _open_browser, main
from nkca.live.chains.events import Keep, MakeSteps, Stop
from nkca.live.chains.explorer import Setup
from nkca.live.session.file import read_session, to_json
from nkca.live.web import uvicorn_timeout
from nkca.live.web.address import access_for, addresses, listen
from nkca.live.web.autosave import STORED, Autosave
from nkca.live.web.guard import HEADERS, LOOPBACK, Access
from nkca.live.web.messages import Turn
from nkca.live.web.server import make_app
from nkca.live.web.shared_explorer import SharedExplorer
from nkca.live.web.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
KEEP = {"events": [{"do": "step", "times": 2}, {"do": "keep", "tile": 1}]}
LONG = {"events": [{"do": "step", "times": 64}] * 64}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_checkpoint(tmp_path_factory.mktemp("run") / "tiny.pth")


def command(
    cache: Path, *args: object
) -> AbstractContextManager[tuple["subprocess.Popen[str]", str]]:
    """The running command and the address it printed."""
    return interactive(*args, NKCA_CACHE=str(cache))


def port_of(address: str) -> int:
    return int(address.split("/")[2].split(":")[1])


def send(port: int, turn: object) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/api/turn", json.dumps(turn), {"Content-Type": "application/json"})
    return connection


def head_of(connection: http.client.HTTPConnection) -> Any:
    with connection.getresponse() as answer:
        assert answer.status == 200
        body = answer.read()
    connection.close()
    return json.loads(body[4 : 4 + int.from_bytes(body[:4], "big")])


def round_trip(port: int) -> float:
    """Seconds for a trivial request on an open connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/api/about")
    connection.getresponse().read()
    start = time.perf_counter()
    connection.request("GET", "/api/about")
    connection.getresponse().read()
    connection.close()
    return time.perf_counter() - start


def ended(process: "subprocess.Popen[str]", by: signal.Signals) -> str:
    """End the command, which must take less than 3 s and print no error; returns its output."""
    start = time.perf_counter()
    process.send_signal(by)
    out, err = process.communicate(timeout=20)
    assert time.perf_counter() - start < 3
    assert (process.returncode, err) == (0, "")
    assert out.endswith("\nnkca-interactive: ended\n")
    return out


TURN = b"POST /api/turn HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
WIRE: dict[str, tuple[bytes, set[bytes]]] = {  # allowed statuses; b"" is no response
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01", {b"400", b""}),
    "no host": (b"GET /api/about HTTP/1.1\r\n\r\n", {b"400"}),
    "no host, old": (b"GET /api/about HTTP/1.0\r\n\r\n", {b"403"}),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: a.example\r\n\r\n", {b"400"}),
    "null in path": (b"GET /static/\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", {b"400", b"404"}),
    "absolute target": (b"GET http://a.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", {b"404"}),
    "foreign host": (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", {b"403"}),
    "path out": (b"GET /static/../../x HTTP/1.1\r\nHost: localhost\r\n\r\n", {b"404"}),
    "headers without end": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 99_999, {b"400"}),
    "two lengths": (TURN + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", {b"400"}),
    "length and chunks": (
        TURN + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {b"400"},
    ),
    "bad chunk": (TURN + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", {b"400", b""}),
    "too large, told": (TURN + b"Content-Length: 99999999\r\n\r\n", {b"413"}),
    "websocket": (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        {b"200"},
    ),
    "other protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {b"400", b"403", b"404", b""}),
}


def status_on_the_wire(port: int, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(content)
        wire.settimeout(2)
        try:
            said = wire.recv(1 << 16)
        except (TimeoutError, ConnectionResetError):
            return b""
    return said.split(b" ")[1] if said else b""


def test_the_command_answers_keeps_and_ends(checkpoint: Path, tmp_path: Path) -> None:
    with command(tmp_path, checkpoint, "--batch-size=3", "--seed=4") as (process, address):
        port = port_of(address)
        for name, (content, expected) in WIRE.items():
            assert status_on_the_wire(port, content) in expected, name
        assert min(map(round_trip, [port] * 10)) < 0.03, "TCP delays small responses"
        check_memory_is_returned(process.pid, port)
        cut_off = send(port, KEEP)
        cut_off.close()
        head = head_of(send(port, KEEP))
        assert (head["batch"], head["seed"]) == (3, 4)
        out = ended(process, signal.SIGINT)
    (saved,) = (tmp_path / "sessions").iterdir()
    session = read_session(saved)
    assert session.origin.checkpoint == "tiny.pth"
    assert session.steps == head["step"]
    assert f"nkca-sample {checkpoint} --replay {saved}" in out


def check_memory_is_returned(process: int, port: int) -> None:
    """A large picture takes several times 100 MB, but only until it is fitted."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return
    file = io.BytesIO()
    Image.new("RGBA", (5000, 5000), (1, 2, 3, 100)).save(file, "PNG", compress_level=1)
    before = resident(status)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=200)
    kind = {"Content-Type": "application/octet-stream"}
    connection.request("POST", "/api/fit", file.getvalue(), kind)
    assert connection.getresponse().read().startswith(b"\x89PNG")
    connection.close()
    assert resident(status) - before < 150


def resident(status: Path) -> int:
    """The memory of a process in MiB."""
    return int(re.findall(r"VmRSS:\s+(\d+)", status.read_text())[0]) >> 10


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_in_the_middle_of_a_step(
    checkpoint: Path, tmp_path: Path, by: signal.Signals
) -> None:
    with command(tmp_path, checkpoint, "--batch-size=256", "--token") as (process, address):
        assert "/?token=" in address
        port, token = port_of(address), address.partition("=")[2]
        waiting = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        waiting.request("POST", "/api/turn", json.dumps(LONG), headers)
        time.sleep(0.5)
        out = ended(process, by)
        waiting.close()
    assert "session" not in out
    assert not (tmp_path / "sessions").exists(), "nothing was kept"


def bad(*args: object) -> str:
    """The error of a command that must not start."""
    result = CliRunner().invoke(main, [*map(str, args), "--no-browser"])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_bad_input_is_one_line_before_the_server_starts(checkpoint: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    assert "no such image" in bad(checkpoint, tmp_path / "none.png")
    assert "cannot read image" in bad(checkpoint, text)
    assert "cannot read session" in bad(checkpoint, f"--session={text}")
    assert "no such session" in bad(checkpoint, f"--session={tmp_path / 'none.json'}")
    session = tmp_path / "session.json"
    model = exact_model()
    session.write_bytes(to_json(SharedExplorer(model, origin_of(model), Setup(2)).session))
    for option in ("--batch-size=3", "--seed=0", "--lag=0.2", "--precision=fp32"):
        name = option[2:].partition("=")[0]
        assert f"leave out --{name}" in bad(checkpoint, f"--session={session}", option)
    assert "leave out the images" in bad(checkpoint, f"--session={session}", text)
    assert "the session is of 4x6" in bad(checkpoint, f"--session={session}")
    assert "at most 1024 pictures" in bad(checkpoint, *1025 * [text])
    assert "none.pth" in bad(tmp_path / "none.pth")
    assert "lag" in bad(checkpoint, "--lag=1")
    assert "--batch-size" in bad(checkpoint, "--batch-size=1025")
    assert "--session needs its model" in bad(f"--session={session}")
    assert "leave out --per-visitor" in bad(checkpoint, "--per-visitor", f"--session={session}")
    assert "--max-visitors needs --per-visitor" in bad(checkpoint, "--max-visitors=3")
    assert "--max-visitors" in bad(checkpoint, "--per-visitor", "--max-visitors=0")
    assert "--port" in bad(checkpoint, "--port=65536")
    assert "cannot listen on 192.0.2.1" in bad(checkpoint, "--host=192.0.2.1")
    assert "cannot listen on no host" in bad(checkpoint, "--host=no host")
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert f"port {port}: Address already in use" in bad(checkpoint, f"--port={port}")


def test_pictures_are_fitted_and_a_session_is_continued(checkpoint: Path, tmp_path: Path) -> None:
    picture = tmp_path / "grey.png"
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(picture)
    with command(tmp_path, checkpoint, picture, "--visualize=both") as (process, address):
        port = port_of(address)
        head_of(send(port, KEEP))
        about = http.client.HTTPConnection("127.0.0.1", port)
        about.request("GET", "/api/about")
        told = json.loads(about.getresponse().read())
        about.close()
        assert (told["images"], told["show"], told["rescale"]) == (1, "both", False)
        process.send_signal(signal.SIGINT)
        assert "grey.png: 20x30 (height x width) fitted to 8x8" in process.communicate()[1]
    (saved,) = (tmp_path / "sessions").iterdir()
    with command(tmp_path, checkpoint, f"--session={saved}") as (process, address):
        head = head_of(send(port_of(address), {}))
        assert head["replaying"] == {"done": 0, "total": 2}
        ended(process, signal.SIGTERM)


def test_saved_sessions_are_private_and_the_oldest_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path))
    folder = tmp_path / "sessions"
    folder.mkdir()
    for number in range(STORED + 5):
        old = folder / f"old-{number:03d}.json"
        old.write_text("{}")
        os.utime(old, (number, number))
    model = exact_model()
    shared, save = SharedExplorer(model, origin_of(model), Setup(2)), Autosave()
    shared.turn(Turn(events=(Keep(1),)))
    save(shared)
    (written,) = save.written
    assert written.stat().st_mode & 0o777 == 0o600
    expected = {f"old-{number:03d}.json" for number in range(6, STORED + 5)}
    assert {path.name for path in folder.iterdir()} == {written.name} | expected


def test_every_session_is_saved_in_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path))
    model = exact_model()
    shared, save = SharedExplorer(model, origin_of(model), Setup(2)), Autosave()
    save(shared)
    assert not list(tmp_path.iterdir())
    shared.turn(Turn(events=(MakeSteps(2), Keep(1))))
    save(shared)
    shared.load(read_session(save.written[0]))
    shared.turn(Turn(events=(Stop(),)))
    shared.turn(Turn(events=(MakeSteps(5), Keep(0))))
    for _ in range(2):
        save(shared)
    assert [read_session(path).steps for path in save.written] == [2, 5]
    assert shared.notice is None
    (tmp_path / "file").touch()
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        save(shared)
    assert "cannot save the session automatically: Not a directory" in str(shared.notice)
    assert shared.turn(Turn()).head["notice"] == shared.notice
    monkeypatch.setenv("NKCA_CACHE", "~nobody-of-that-name/x")
    save(shared)
    (warning,) = caplog.records
    assert "cannot save the session" in warning.getMessage()


def test_access_and_addresses_of_listeners() -> None:
    with listen("127.0.0.1", 0) as one, listen("localhost", 0) as two:
        assert one.getsockname()[1] != two.getsockname()[1]
        access = access_for(one, "127.0.0.1", token=False)
        assert (access.token, access.by_address, access.names) == (None, False, LOOPBACK)
        assert addresses(one, access) == [f"http://127.0.0.1:{one.getsockname()[1]}/"]
        assert access_for(one, "127.0.0.1", token=True).token
    if sys.platform == "linux":  # an address of its own, whose cookie goes to no other server
        with listen("127.0.0.2", 0) as own:
            access = access_for(own, "127.0.0.2", token=True)
            assert access.accepts_host("127.0.0.2") and access.token
            assert addresses(own, access)[0].startswith("http://127.0.0.2:")
    with listen("0.0.0.0", 0) as listener:
        access = access_for(listener, "0.0.0.0", token=False)
        assert access.token and access.by_address
        assert access.accepts_host(socket.gethostname().lower())
        here, there = addresses(listener, access)
        port = listener.getsockname()[1]
        assert here == f"http://127.0.0.1:{port}/?token={access.token}"
        assert there == f"http://{socket.gethostname()}:{port}/?token={access.token}"
        assert access_for(listener, "0.0.0.0", token=False).token != access.token


def test_no_token_is_on_the_command_line_of_the_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr("webbrowser.open", opened.put)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert _open_browser("http://127.0.0.1:8000/") is None
    assert opened.get(timeout=30) == "http://127.0.0.1:8000/"
    file = _open_browser("http://127.0.0.1:8000/?token=secret")
    assert file is not None and opened.get(timeout=30) == file.as_uri()
    assert file.stat().st_mode & 0o777 == 0o600
    assert 'url=http://127.0.0.1:8000/?token=secret"' in file.read_text()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert _open_browser("http://127.0.0.1:8000/?token=secret") is None
    assert opened.empty()


def test_a_replaced_session_is_saved_even_if_nothing_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path))
    model = exact_model()
    shared, save = SharedExplorer(model, origin_of(model), Setup(2)), Autosave()
    save(shared, True)
    assert save.written == [], "nothing has happened"
    shared.turn(Turn(events=(MakeSteps(2),)))
    save(shared)
    assert save.written == []
    save(shared, True)
    assert read_session(save.written[0]).steps == 2


@contextmanager
def served(access: Access, **limits: int) -> Iterator[int]:
    """The port of a server in this process."""
    shared = SharedExplorer(exact_model(), origin_of(exact_model()), Setup(2))
    config = uvicorn.Config(
        make_app(shared, Worker(), access),
        http=uvicorn_timeout.HeadTimeoutProtocol,
        lifespan="off",
        log_config=None,
        **limits,  # type: ignore[arg-type]
    )
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=[[listener]], daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


HEAD = b"GET /api/about HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECONDS", "FIRST_SECONDS"):
        monkeypatch.setattr(uvicorn_timeout, name, 0.3)
    with served(Access()) as port:
        for before, begun in ((b"", b""), (b"", b"GET / HT"), (HEAD, b"GET / HT")):
            with socket.create_connection(("127.0.0.1", port), timeout=9) as connection:
                if before:
                    connection.sendall(before)
                    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
                    time.sleep(0.1)  # until the rest of the response has arrived
                connection.sendall(begun)
                start = time.perf_counter()
                while connection.recv(1 << 16):
                    pass
                assert time.perf_counter() - start < 3, begun
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=9)
        for _ in range(3):
            kept.request("GET", "/api/about")
            assert kept.getresponse().read()
            time.sleep(0.5)  # idle between requests has another limit
        kept.close()


def test_silent_connections_of_an_address_lock_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_timeout, "FIRST_SECONDS", 600)
    with (
        served(Access(), limit_concurrency=64, timeout_keep_alive=600) as port,
        ExitStack() as stack,
    ):
        here = ("127.0.0.1", port)
        user = stack.enter_context(socket.create_connection(here, timeout=30))
        user.sendall(HEAD)
        assert user.recv(1 << 16).startswith(b"HTTP/1.1 200")
        silent = [
            stack.enter_context(socket.create_connection(here, timeout=30)) for _ in range(99)
        ]
        assert [one.recv(1) for one in silent[:-32]] == [b""] * 67, "the oldest are closed"
        assert select.select(silent[-32:], [], [], 0)[0] == []
        user.sendall(HEAD)
        assert user.recv(1 << 16), "one that has sent a request stays"
        with socket.create_connection(here, timeout=30) as other:
            other.sendall(HEAD)
            assert other.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_a_connection_without_the_token_is_closed() -> None:
    with served(Access(token="right")) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=4) as connection:
            connection.sendall(HEAD)
            said = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        assert said.startswith(b"HTTP/1.1 401")
        assert b"connection: close" in said.lower()


def test_too_many_connections_are_refused_with_the_security_headers() -> None:
    with served(Access(), limit_concurrency=3) as port, ExitStack() as stack:
        here = ("127.0.0.1", port)
        open_ = [stack.enter_context(socket.create_connection(here, timeout=30)) for _ in range(3)]
        open_[0].sendall(HEAD)
        said = b"".join(iter(lambda: open_[0].recv(1 << 16), b"")).decode()
        assert said.startswith("HTTP/1.1 503")
        head, body = said.split("\r\n\r\n")
        sent = dict(line.split(": ", 1) for line in head.lower().splitlines()[1:])
        for name, value in HEADERS.items():
            assert sent[name.lower()] == value.lower()
        assert (sent["connection"], sent["retry-after"]) == ("close", "1")
        assert json.loads(body) == {"error": "too many connections are open"}
        for one in open_:
            one.close()
        for _ in range(100):  # until the server has seen that they are closed
            with socket.create_connection(here, timeout=30) as other:
                other.sendall(HEAD)
                if other.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                    return
            time.sleep(0.05)
        raise AssertionError("it never has room again")
