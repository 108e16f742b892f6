"""The Dockerfile's lines, followed without Docker: it copies what is there, its command serves the page."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 120.0


def instructions() -> list[tuple[str, str]]:
    """The instructions in order: name and arguments."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    found = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    return [(name, rest) for name, rest in found]


def test_what_it_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [word for name, rest in instructions() if name == "COPY" for word in rest.split()[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name


def test_it_does_not_run_as_root() -> None:
    names = [name for name, _ in instructions()]
    users = [rest for name, rest in instructions() if name == "USER"]
    assert users == ["nkca"]
    assert names.index("USER") < names.index("CMD")


def test_its_command_serves_the_page_to_others_with_a_token() -> None:
    by_name = dict(instructions())
    environment = dict(pair.split("=", 1) for pair in shlex.split(by_name["ENV"]))
    assert by_name["EXPOSE"] == environment["NKCA_PORT"]
    environment["NKCA_PORT"] = "0"  # here that port may be in use
    name, *arguments = json.loads(by_name["CMD"])
    assert name == "nkca-interactive"
    command = [sys.executable, "-m", "nkca.cli.interactive", *arguments]
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            address = re.search(r"http://\S+token=\S+", said)
            assert address, said
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with browser.open(address[0], timeout=TIMEOUT) as answer:
                assert b"<title>nkca" in answer.read()
            server.send_signal(signal.SIGINT)
            assert server.wait(TIMEOUT) == 0
        finally:
            server.kill()
