"""Hostile requests: each gets the expected status and leaves the server and its chains as they were."""

import asyncio
import base64
import dataclasses
import io
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from asking import HOST, JSON, OCTETS, Answer, Ask, answer, asking, post, turn
from live_chains import exact_model, origin_of
from msgspec import structs
from PIL import Image
from starlette.types import ASGIApp
from tables import each

from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.chains.tiles import Tiles
from nkca.live.web.fitting import MAX_PIXELS
from nkca.live.web.gallery import Card, Gallery
from nkca.live.web.guard import Access
from nkca.live.web.identity import ByCookie
from nkca.live.web.messages import View
from nkca.live.web.opened import Opened, Settings
from nkca.live.web.server import FIT_BYTES, SESSION_BYTES, TURN_BYTES, make_app, make_server
from nkca.live.web.shared_explorer import SharedExplorer
from nkca.live.web.visitors import Limits, Visitors
from nkca.live.web.worker import Worker
from nkca.models.local import LocalModel

TOKEN = "right-token"
WRONG = "a\xe9" + 30 * "x"
TURN = "/api/turn"


# --------------------------------------------------------------------------------------------
# Bad content


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png_header(
    width: int, height: int, depth: int = 8, color: int = 0, content: bytes = b""
) -> bytes:
    """A PNG whose header states the given size."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def picture(kind: str, side: int = 40) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).save(file, kind)
    return file.getvalue()


def gif_bomb() -> bytes:
    """A GIF of 65535 x 65535 in a few bytes."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00;"


def tiff_bomb() -> bytes:
    """A TIFF of 200000 x 200000 without pixels."""
    tags = [(256, 200_000), (257, 200_000), (258, 8), (259, 1), (262, 1), (273, 8), (278, 200_000)]
    tags += [(279, 1 << 30)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def webp_bomb() -> bytes:
    """A lossless WebP of 16384 x 16384 without pixels."""
    bits = struct.pack("<BI", 0x2F, 16383 | 16383 << 14)
    body = b"WEBPVP8L" + struct.pack("<I", len(bits)) + bits + b"\0"
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_bomb() -> bytes:
    """A BMP of 2^30 x 2^30."""
    info = struct.pack("<IiiHHIIiiII", 40, 1 << 30, 1 << 30, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 40, 0, 0, 54) + info


def text_bomb() -> bytes:
    """A PNG with a compressed text chunk of 64 MiB."""
    deflate = zlib.compressobj()
    packed = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(64)) + deflate.flush()
    good = picture("PNG")
    return good[:33] + chunk(b"zTXt", b"a\0\0" + packed) + good[33:]


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def session(**changes: Any) -> bytes:
    content = {
        "format": "nkca-session",
        "schema": 2,
        "version": "0.1.0",
        **structs.asdict(origin_of(exact_model())),
        "batch_size": 4,
        "seed": 0,
        "level": 0.5,
        "images": [],
        "events": [],
    }
    return json.dumps(content | changes).encode()


def paint(bits: bytes) -> dict[str, Any]:
    return {"do": "paint", "tile": 1, "mask": base64.b64encode(bits).decode()}


def start(content: bytes) -> dict[str, Any]:
    return {"do": "start", "tile": 1, "image": base64.b64encode(content).decode()}


# --------------------------------------------------------------------------------------------
LARGE = base64.b64encode(
    png_header(9999, 9999, content=zlib.compress(bytes(9999 * 10_000)))
).decode()


# --------------------------------------------------------------------------------------------
# The table: name -> request, status. In `TOKENED` the server asks for a token.

SAME_ORIGIN: tuple[tuple[str, str], ...] = (
    ("Sec-Fetch-Site", "same-origin"),
    ("Origin", f"http://{HOST}"),
)
LINK = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"))
KEEP = b'{"events": [{"do": "keep", "tile": 0}]}'


def called(host: str | None, path: str = "/api/about") -> Ask:
    return Ask(path, host=host)


def with_headers(*headers: tuple[str, str], path: str = TURN) -> Ask:
    return post(path, KEEP, JSON, *headers)


def get(path: str, *headers: tuple[str, str], method: str = "GET") -> Ask:
    return Ask(path, method, headers)


def raw(content: bytes) -> Ask:
    return post(TURN, content)


def fit(content: bytes, kind: str = OCTETS) -> Ask:
    return post("/api/fit", content, kind)


def load(content: bytes, kind: str = JSON) -> Ask:
    return post("/api/session", content, kind)


def sized(path: str, declared: str, kind: str = JSON, *chunks: bytes) -> Ask:
    return Ask(path, "POST", [("Content-Type", kind), ("Content-Length", declared)], chunks)


def chunked(path: str, kind: str, size: int) -> Ask:
    """A body without Content-Length: b'x', just larger than ``size``."""
    return Ask(path, "POST", [("Content-Type", kind)], [bytes(1 << 20)] * (size // (1 << 20) + 1))


HOSTS: dict[str, tuple[Ask, int]] = {
    "own host": (called("127.0.0.1:8000"), 200),
    "forwarded port": (called("localhost:4711"), 200),
    "no port": (called("LOCALHOST"), 200),
    "IPv6": (called("[::1]:8000"), 200),
    "no host": (called(None), 403),
    "empty host": (called(""), 403),
    "two hosts": (get("/api/about", ("Host", HOST)), 403),
    "a name that leads here": (called("attacker.example:8000"), 403),
    "own name in front": (called("127.0.0.1.attacker.example"), 403),
    "own name behind": (called("attacker-localhost"), 403),
    "below own name": (called("evil.localhost:8000"), 403),
    "dot behind": (called("localhost.:8000"), 403),
    "other address": (called("192.168.0.1:8000"), 403),
    "zero address": (called("0.0.0.0:8000"), 403),
    "decimal address": (called("2130706433"), 403),
    "short address": (called("127.1"), 403),
    "user in host": (called("127.0.0.1:8000@attacker.example"), 403),
    "user before host": (called("attacker.example@127.0.0.1:8000"), 403),
    "host with path": (called("127.0.0.1:8000/x"), 403),
    "host with space": (called("127.0.0.1 attacker.example"), 403),
    "host with line end": (called("127.0.0.1:8000\n"), 403),
    "host with null": (called("127.0.0.1\0.attacker.example"), 403),
    "unicode host": (called("\xb2localhost"), 403),
    "port that is none": (called("127.0.0.1:80a"), 403),
    "page by foreign host": (called("attacker.example", "/"), 403),
    "static by foreign host": (called("attacker.example", "/static/app.js"), 403),
    "forwarded host": (get("/api/about", ("X-Forwarded-Host", "attacker.example")), 200),
}

ORIGINS: dict[str, tuple[Ask, int]] = {
    "foreign origin": (with_headers(("Origin", "http://attacker.example")), 403),
    "null origin": (with_headers(("Origin", "null")), 403),
    "empty origin": (with_headers(("Origin", "")), 403),
    "other port": (with_headers(("Origin", "http://127.0.0.1:8001")), 403),
    "no port in origin": (with_headers(("Origin", "http://127.0.0.1")), 403),
    "other own name": (with_headers(("Origin", "http://localhost:8000")), 403),
    "origin with tail": (with_headers(("Origin", f"http://{HOST}.attacker.example")), 403),
    "origin of another scheme": (with_headers(("Origin", f"file://{HOST}")), 403),
    "two origins": (with_headers(("Origin", f"http://{HOST}"), ("Origin", "http://b")), 403),
    "cross-site": (with_headers(("Sec-Fetch-Site", "cross-site")), 403),
    "same-site": (with_headers(("Sec-Fetch-Site", "same-site")), 403),
    "unknown site": (with_headers(("Sec-Fetch-Site", "wherever")), 403),
    "cross-site image": (
        get("/api/shelf.png", ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Dest", "image")),
        403,
    ),
    "cross-site script": (get("/static/app.js", ("Sec-Fetch-Site", "cross-site")), 403),
    "cross-site link to the page": (get("/", *LINK, ("Sec-Fetch-Dest", "document")), 200),
    "cross-site frame of the page": (get("/", *LINK, ("Sec-Fetch-Dest", "iframe")), 403),
    "cross-site link to data": (
        get("/api/session.json", *LINK, ("Sec-Fetch-Dest", "document")),
        403,
    ),
    "cross-site form": (
        Ask("/", "POST", [*LINK, ("Sec-Fetch-Dest", "document"), ("Content-Type", JSON)]),
        403,
    ),
    "link with foreign origin": (
        get("/", *LINK, ("Sec-Fetch-Dest", "document"), ("Origin", "null")),
        403,
    ),
    "preflight": (
        get(TURN, ("Origin", "http://a.example"), method="OPTIONS"),
        403,
    ),
}

COOKIE = ("Cookie", f"nkca-8000={TOKEN}")
BEARER = ("Authorization", f"Bearer {TOKEN}")
TOKENED: dict[str, tuple[Ask, int]] = {
    "right cookie": (get("/api/about", COOKIE), 200),
    "right bearer": (get("/api/about", BEARER), 200),
    "right token header": (get("/api/about", ("Authorization", f"token {TOKEN}")), 200),
    "right cookie beside others": (
        get("/", ("Cookie", f"a=b; nkca-8000={TOKEN}; nkca-8001=x")),
        200,
    ),
    "right token at the listener": (get(f"/?token={TOKEN}"), 303),
    "no token": (get("/api/about"), 401),
    "no token, page": (get("/"), 401),
    "no token, static": (get("/static/app.js"), 401),
    "no token, turn": (raw(KEEP), 401),
    "no token, unknown": (get("/nowhere"), 401),
    "wrong token at the listener": (get("/?token=wrong"), 401),
    "empty token at the listener": (get("/?token="), 401),
    "half a token": (get(f"/?token={TOKEN[:-1]}"), 401),
    "longer token": (get(f"/?token={TOKEN}x"), 401),
    "unicode token": (get("/?token=%C3%A9%ff"), 401),
    "token elsewhere": (get(f"/api/about?token={TOKEN}"), 401),
    "token by HEAD": (get(f"/?token={TOKEN}", method="HEAD"), 401),
    "wrong token, right cookie": (get("/?token=wrong", COOKIE), 401),
    "wrong cookie": (get("/api/about", ("Cookie", "nkca-8000=wrong")), 401),
    "strange cookie": (get("/api/about", ("Cookie", f"nkca-8000={WRONG};;=;\x01")), 401),
    "empty cookie": (get("/api/about", ("Cookie", "nkca-8000=")), 401),
    "cookie of another": (get("/api/about", ("Cookie", f"nkca-8001={TOKEN}")), 401),
    "wrong bearer": (get("/api/about", ("Authorization", "Bearer wrong")), 401),
    "no scheme": (get("/api/about", ("Authorization", TOKEN)), 401),
    "basic": (get("/api/about", ("Authorization", f"Basic {TOKEN}")), 401),
    "right cookie, foreign host": (
        Ask("/api/about", headers=[COOKIE], host="attacker.example:8000"),
        403,
    ),
    "right cookie, foreign origin": (
        get("/api/about", COOKIE, ("Origin", "http://attacker.example")),
        403,
    ),
    "cross-site link with token": (
        get(f"/?token={TOKEN}", *LINK, ("Sec-Fetch-Dest", "document")),
        200,
    ),
}

BODIES: dict[str, tuple[Ask, int]] = {
    "huge turn": (raw(b'"' + b"x" * TURN_BYTES + b'"'), 413),
    "huge turn in chunks": (chunked(TURN, JSON, TURN_BYTES), 413),
    "huge picture": (sized("/api/fit", str(FIT_BYTES + 1), OCTETS, b"x"), 413),
    "huge picture in chunks": (chunked("/api/fit", OCTETS, FIT_BYTES), 413),
    "huge session": (sized("/api/session", str(SESSION_BYTES + 1), JSON, b"x"), 413),
    "huge session in chunks": (chunked("/api/session", JSON, SESSION_BYTES), 413),
    "length of 10,000 digits": (sized(TURN, "9" * 10_000, JSON, b"{}"), 413),
    "length that lies": (sized(TURN, "2", JSON, b"x" * (TURN_BYTES + 1)), 413),
    "negative length": (sized(TURN, "-1", JSON, b"{}"), 400),
    "length in words": (sized(TURN, "two", JSON, b"{}"), 400),
    "length in other digits": (sized(TURN, "\xb2", JSON, b"{}"), 400),
    "cut off": (
        Ask(TURN, "POST", [("Content-Type", JSON), ("Content-Length", "99")], [b"{}"], ends=False),
        400,
    ),
    "no body": (post(TURN, b""), 400),
    "no type": (Ask(TURN, "POST", [], [b"{}"]), 415),
    "form": (post(TURN, b"events=1", "application/x-www-form-urlencoded"), 415),
    "multipart": (post(TURN, b"--x", "multipart/form-data; boundary=x"), 415),
    "plain text": (post(TURN, b"{}", "text/plain"), 415),
    "text that mentions JSON": (post(TURN, b"{}", "text/plain; application/json"), 415),
    "picture as JSON": (fit(picture("PNG"), JSON), 415),
    "picture as picture": (fit(picture("PNG"), "image/png"), 415),
    "session as octets": (load(session(), OCTETS), 415),
    "charset": (post(TURN, b"{}", "Application/JSON; charset=utf-8"), 200),
}

MALFORMED: dict[str, tuple[Ask, int]] = {
    "no JSON": (raw(b"{"), 400),
    "two values": (raw(b"{}{}"), 400),
    "NaN": (raw(b'{"seen": NaN}'), 400),
    "infinity": (raw(b'{"seen": -Infinity}'), 400),
    "overflow": (raw(b'{"events": [{"do": "level", "level": 1e999}]}'), 422),
    "huge number": (raw(b'{"seen": ' + b"9" * 100_000 + b"}"), 422),
    "large number": (raw(b'{"seen": ' + b"9" * 4000 + b"}"), 422),
    "large level": (raw(b'{"events": [{"do": "level", "level": ' + b"9" * 4000 + b"}]}"), 422),
    "deep": (raw(deep(100_000)), 422),
    "deep object": (raw(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), 422),
    "not UTF-8": (raw(b'{"show": "\xff"}'), 400),
    "UTF-16": (raw("{}".encode("utf-16")), 400),
    "byte order mark": (raw(b"\xef\xbb\xbf{}"), 400),
    "null byte": (raw(b"{}\0"), 400),
    "list": (raw(b"[]"), 422),
    "null": (raw(b"null"), 422),
    "half a character": (raw(rb'{"show": "\ud800"}'), 400),
    "unknown field": (raw(b'{"path": "/etc/passwd"}'), 422),
    "unknown half character": (raw(rb'{"\udfff": 1}'), 400),
    "prototype": (raw(b'{"__proto__": {}}'), 422),
    "event with class": (turn({"do": "pick", "tile": 1, "__class__": "x"}), 422),
    "event is text": (raw(b'{"events": ["run"]}'), 422),
    "event without name": (turn({"tile": 1}), 422),
    "event name is a list": (turn({"do": ["run"]}), 422),
    "event of the base": (turn({"do": "event"}), 422),
    "65 events": (turn(*[{"do": "run"}] * 65), 422),
    "too many steps": (turn(steps=65), 422),
    "step 0 times": (turn({"do": "step", "times": 0}), 422),
    "negative tile": (turn({"do": "lock", "tile": -1, "locked": True}), 422),
    "tile too large": (turn({"do": "spread", "tile": 4}), 422),
    "tile of 64 bits": (turn({"do": "spread", "tile": 2**63}), 422),
    "tile is true": (turn({"do": "spread", "tile": True}), 422),
    "tile is a fraction": (turn({"do": "spread", "tile": 1.0}), 422),
    "tile is text": (turn({"do": "spread", "tile": "1"}), 422),
    "level too low": (turn({"do": "level", "level": 0.0}), 422),
    "level below zero": (turn({"do": "level", "level": -1e-9}), 422),
    "level is true": (turn({"do": "level", "level": True}), 422),
    "seed too large": (turn({"do": "restart", "source": "noise", "seed": 2**53}), 422),
    "source": (turn({"do": "restart", "source": "/etc/passwd", "seed": 1}), 422),
    "moment of the future": (turn({"do": "keep", "tile": 0, "seen": 2**31 - 1}), 409),
    "no such item": (turn({"do": "remove", "item": 77}), 422),
    "no such moment": (turn({"do": "jump", "to": 77}), 422),
    "first half good": (turn({"do": "step", "times": 3}, {"do": "keep", "tile": 99}), 422),
    "mask too short": (turn(paint(b"\0\0")), 422),
    "mask too long": (turn(paint(bytes(4))), 422),
    "mask empty": (turn(paint(b"")), 422),
    "mask of a megabyte": (turn(paint(bytes(1 << 20))), 422),
    "mask not base64": (turn({"do": "paint", "tile": 1, "mask": "!!!!"}), 422),
    "mask not ASCII": (turn({"do": "paint", "tile": 1, "mask": "\xe9\u2028"}), 422),
    "mask is a list": (turn({"do": "paint", "tile": 1, "mask": [0, 0, 0]}), 422),
    "start from nothing": (turn(start(b"")), 422),
    "start from another size": (turn(start(picture("PNG"))), 422),
    "start from a bomb": (turn(start(png_header(30_000, 30_000))), 422),
    "start from a path": (turn({"do": "start", "tile": 1, "image": "/etc/passwd"}), 422),
    "start from an address": (turn({"do": "start", "tile": 1, "image": "http://x/y.png"}), 422),
    "show": (turn(show="../z"), 422),
    "have": (turn(have={"shelf": -1}), 422),
}

MALFORMED |= {
    f"{depth} deep": (raw(b'{"seen": ' + deep(depth) + b"}"), 422) for depth in (100, 2000)
}

PICTURES: dict[str, tuple[Ask, int]] = {
    "PNG of 30000x30000": (fit(png_header(30_000, 30_000, content=zlib.compress(bytes(99)))), 413),
    "PNG just too large": (fit(png_header(MAX_PIXELS // 8000 + 1, 8000)), 413),
    "PNG too wide": (fit(png_header(20_000, 1)), 413),
    "PNG of 2^31": (fit(png_header(2**31 - 1, 2**31 - 1)), 413),
    "PNG of 0x0": (fit(png_header(0, 0)), 422),
    "PNG without pixels": (fit(png_header(40, 40)), 422),
    "PNG with a bomb of text": (fit(text_bomb()), 422),
    "GIF of 65535x65535": (fit(gif_bomb()), 413),
    "TIFF of 200000x200000": (fit(tiff_bomb()), 413),
    "WebP of 16384x16384": (fit(webp_bomb()), 413),
    "BMP of 2^30": (fit(bmp_bomb()), 413),
    "no picture": (fit(b""), 422),
    "text": (fit(b"hello" * 1000), 422),
    "SVG": (fit(b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'), 422),
    "HTML": (fit(b"<!doctype html><img src=/etc/passwd>"), 422),
    "PDF": (fit(b"%PDF-1.4\n1 0 obj"), 422),
    "EPS": (fit(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run"), 422),
    "NumPy": (fit(b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}"), 422),
    "pickle": (fit(b"\x80\x04cos\nsystem\n(S'true'\ntR."), 422),
    "zip": (fit(b"PK\x03\x04" + bytes(100)), 422),
}
PICTURES |= {
    f"{kind}, truncated": (fit(picture(kind, 200)[: len(picture(kind, 200)) // 2]), 422)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
}

SESSIONS: dict[str, tuple[Ask, int]] = {
    "empty session": (load(b""), 400),
    "another file": (load(b'{"format": "other"}'), 422),
    "deep session": (load(deep(100_000)), 422),
    "NaN in a session": (load(session().replace(b"0.5", b"NaN")), 400),
    "huge number in a session": (load(session().replace(b"0.5", b"9" * 9999)), 422),
    "schema of the future": (load(session(schema=5)), 422),
    "unknown field in a session": (load(session(path="/etc/passwd")), 422),
    "another shape": (load(session(data_shape=[3, 4, 6])), 422),
    "no shape": (load(session(data_shape=[1, 4])), 422),
    "fractional shape": (load(session(data_shape=[1, 4.0, 6])), 422),
    "huge batch": (load(session(batch_size=10**6)), 422),
    "batch of none": (load(session(batch_size=0)), 422),
    "batch is true": (load(session(batch_size=True)), 422),
    "other precision": (load(session(precision="bf16")), 422),
    "lag of 1": (load(session(lag=1)), 422),
    "half a character in a session": (
        load(session(checkpoint="\ud800", data_shape=[3, 9, 9])),
        400,
    ),
    "bad event in a session": (load(session(events=[{"do": "fly"}])), 422),
    "bad image in a session": (load(session(images=["!"])), 422),
    "image of another size": (
        load(session(images=[base64.b64encode(picture("PNG")).decode()])),
        422,
    ),
    "many image bombs in a session": (
        load(session(data_shape=[1, 9999, 9999], images=[LARGE] * 40)),
        422,
    ),
    "image bomb in a session": (
        load(session(images=[base64.b64encode(png_header(16_000, 16_000)).decode()])),
        422,
    ),
}

PATHS: dict[str, tuple[Ask, int]] = {
    path or "nothing": (get(path), 404)
    for path in (
        "/static/",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/static/%2e%2e%2fserver.py",
        "/static/..\\server.py",
        "/static/..%5cserver.py",
        "/static/%00",
        "/static/app.js%00.png",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/app.js/",
        "/static/.",
        "/static/__init__.py",
        "/static/file:%2f%2f%2fetc%2fpasswd",
        "/static/CON",
        "/static/%ff%fe",
        "//etc/passwd",
        "//attacker.example/",
        "/etc/passwd",
        "/index.html",
        "/favicon.ico",
        "/.git/config",
        "/api",
        "/api/",
        "/api/turn/",
        "/api/kept/../../etc/passwd",
        "/api/kept/..%2f..%2fetc.png",
        "/api/kept/%2e%2e.png",
        "/api/kept/1;ls.png",
        "/api/kept/-1.png",
        "/api/kept/1.png%00",
        "/api/kept/%D9%A1.png",
        "/api/moments/x.png",
        "/api/moments/1e3.png",
        "/api/moments/" + "9" * 6000 + ".png",
        "/api/moments/.png",
        "/api/recording.exe",
        "/api/trials/x/0.png",
        "/api/SESSION.JSON",
        "http://attacker.example/",
        "*",
        "",
        "/" + "a" * 50_000,
        "/%E2%80%AEgnp",
    )
}

METHODS: dict[str, tuple[Ask, int]] = {
    f"{method} {path}": (Ask(path, method), 405)
    for method, path in (
        ("GET", TURN),
        ("PUT", TURN),
        ("DELETE", "/api/session"),
        ("OPTIONS", TURN),
        ("TRACE", "/"),
        ("POST", "/"),
        ("POST", "/api/about"),
        ("POST", "/api/session.json"),
        ("DELETE", "/api/kept/1.png"),
        ("CONNECT", "/"),
        ("PROPFIND", "/"),
        ("get", "/"),
    )
}

MODELS = "/api/models/"
GALLERY: dict[str, tuple[Ask, int]] = {
    f"model {number[:20]}": (post(MODELS + number, b"{}"), 404)
    for number in (
        "1",
        "-1",
        "00",
        "0x0",
        "\u0660",
        "1e9",
        "..%2f..",
        "%00",
        "demo",
        "9" * 5000,
        "0%20",
    )
}
GALLERY |= {
    "picture of a model that is none": (get(MODELS + "1.png"), 404),
    "picture by a path": (get(MODELS + "..%2f..%2fetc%2fpasswd.png"), 404),
    "model by GET": (get(MODELS + "0"), 405),
    "model by a form": (post(MODELS + "0", b"a=1", "application/x-www-form-urlencoded"), 415),
    "model by a foreign page": (
        with_headers(("Origin", "http://a.example"), path=MODELS + "0"),
        403,
    ),
    "huge body to open a model": (sized(MODELS + "0", str(1 << 20), JSON, b"x"), 413),
    "the page by a link from elsewhere": (get("/live", *LINK, ("Sec-Fetch-Dest", "document")), 403),
}

LOCAL = HOSTS | ORIGINS | BODIES | MALFORMED | PICTURES | SESSIONS | PATHS | METHODS


# --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class ServerUnderTest:
    """A server, the tensors of its chains at the start, and the headers that a request needs."""

    app: ASGIApp
    shared: SharedExplorer
    before: Sequence[torch.Tensor]
    key: tuple[tuple[str, str], ...]

    def check(self) -> None:
        """The server responds, and the chains are unchanged."""
        got = answer(self.app, post(TURN, b"{}", JSON, *self.key, *SAME_ORIGIN))
        assert got.status == 200
        assert got.head["version"] == self.shared.explorer.state.moment.version
        now = tensors(self.shared.explorer.state.moment)
        assert all(map(torch.equal, now, self.before))


def tensors(moment: Tiles) -> Sequence[torch.Tensor]:
    return [t.clone() for t in (moment.x, moment.pictures, moment.repaint)]


def server(token: str | None, *key: tuple[str, str]) -> ServerUnderTest:
    model = exact_model()
    shared = SharedExplorer(model, origin_of(model), Setup(4))
    app = make_app(shared, Worker(), Access(token=token))
    events = [{"do": "step", "times": 3}, {"do": "pick", "tile": 1}, {"do": "record", "on": True}]
    answer(app, post(TURN, json.dumps({"events": events}).encode(), JSON, *key))
    return ServerUnderTest(app, shared, tensors(shared.explorer.state.moment), key)


@pytest.fixture(scope="module")
def local() -> ServerUnderTest:
    return server(None)


@pytest.fixture(scope="module")
def tokened() -> ServerUnderTest:
    return server(TOKEN, COOKIE)


def check(tested: ServerUnderTest, request: Ask, status: int) -> Answer:
    state = tested.shared.explorer.state
    got = answer(tested.app, request)
    assert got.status == status, got.body[:300]
    assert tested.shared.explorer.state is state
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "camera=()" in got.headers["permissions-policy"]
    if status >= 400 and request.path.startswith("/api"):
        assert list(got.json) == ["error"]
        assert 0 < len(got.json["error"]) <= 500
        assert "\n" not in got.json["error"]
    tested.check()
    return got


@pytest.mark.parametrize(("request_", "status"), LOCAL.values(), ids=LOCAL.keys())
def test_a_hostile_request(local: ServerUnderTest, request_: Ask, status: int) -> None:
    check(local, request_, status)


@pytest.mark.parametrize(("request_", "status"), TOKENED.values(), ids=TOKENED.keys())
def test_a_request_to_a_server_with_a_token(
    tokened: ServerUnderTest, request_: Ask, status: int
) -> None:
    got = check(tokened, request_, status)
    assert ("set-cookie" in got.headers) == ("?token=" in request_.path and status < 400)


def test_the_cookie(tokened: ServerUnderTest) -> None:
    got = answer(tokened.app, get(f"/?token={TOKEN}"))
    assert got.headers["location"] == "/"
    cookie, *how = got.headers["set-cookie"].split("; ")
    assert cookie == f"nkca-8000={TOKEN}"
    assert {part.lower() for part in how} == {"httponly", "samesite=strict", "path=/"}
    assert answer(tokened.app, get("/api/about", ("Cookie", cookie))).status == 200


def test_without_the_token_the_page_explains_what_to_do(tokened: ServerUnderTest) -> None:
    got = answer(tokened.app, get("/"))
    assert "open the complete address that nkca-interactive printed" in got.body.decode()
    assert TOKEN not in got.body.decode()


def test_sizes_are_told_in_one_style(local: ServerUnderTest) -> None:
    """In words of our own, and true: a long side is not many pixels."""
    told = {
        name: answer(local.app, PICTURES[name][0]).json["error"]
        for name, (_, status) in PICTURES.items()
        if status == 413
    }
    side = told.pop("PNG too wide")
    assert side == "the image has a side of more than 16384 pixels"
    assert len(told) == 7
    assert set(told.values()) == {"the image has more than 64 million pixels"}
    for request in (MALFORMED["start from a bomb"], SESSIONS["image bomb in a session"]):
        error = answer(local.app, request[0]).json["error"]
        assert error == "cannot use the image: the image has more than 178 million pixels"


class ExactGallery(Gallery):
    """A gallery whose only model is an exact one."""

    def look(self) -> list[Card]:
        return []

    def listed(self, number: int) -> LocalModel:
        return LocalModel(f"exact {number}", Path())

    def open(self, number: int) -> Opened:  # noqa: ARG002
        model = exact_model()
        setup = Setup(4)
        return Opened(model, origin_of(model), setup, Explorer(model, setup).state)

    @property
    def count(self) -> int:
        return 1


def test_hostile_requests_to_a_server_for_visitors_with_a_gallery() -> None:
    """Whatever one visitor sends changes neither its own chains nor those of another."""
    visitors = Visitors(Worker(), ExactGallery(Path(), Settings()), ByCookie(), Limits(2))
    app = make_server(visitors, Access(), View())
    tested = []
    for _ in range(2):
        cookie = answer(app, get("/")).headers["set-cookie"].split(";")[0]
        key = (("Cookie", cookie),)
        answer(app, post("/api/models/0", b"{}", JSON, *key))
        answer(app, post(TURN, b'{"events": [{"do": "step", "times": 3}]}', JSON, *key))
        shared = visitors.seats[-1].shared
        tested.append(ServerUnderTest(app, shared, tensors(shared.explorer.state.moment), key))
    own, other = tested
    for name, (request, status) in each((LOCAL | GALLERY).items()):
        if status == 200 and not str(request.host).endswith(":8000"):
            status = 410  # the cookie is for one port
        sent = dataclasses.replace(request, headers=[*request.headers, *own.key])
        assert check(own, sent, status).status == status, name
        other.check()


ELSEWHERE = {
    "192.168.0.7:8000": 200,
    "[fe80::1]:8000": 200,
    "10.0.0.1": 200,
    "workstation:8000": 200,
    "localhost:8000": 200,
    "workstation.attacker.example": 403,
    "attacker.example": 403,
    "10.0.0.1.attacker.example": 403,
    "[::1": 403,
    "[127.0.0.1]:8000x": 403,
    "999.1.1.1": 403,
}


@pytest.mark.parametrize(("host", "status"), ELSEWHERE.items())
def test_names_of_a_server_for_other_machines(host: str, status: int) -> None:
    model = exact_model()
    shared = SharedExplorer(model, origin_of(model), Setup(1))
    access = Access(frozenset({"localhost", "workstation"}), by_address=True, token=TOKEN)
    app = make_app(shared, Worker(), access)
    assert answer(app, Ask("/api/about", headers=[BEARER], host=host)).status == status


def test_a_method_that_is_not_allowed_gets_the_allowed_ones(local: ServerUnderTest) -> None:
    assert answer(local.app, Ask(TURN)).headers["allow"] == "POST"


def test_many_large_images_in_a_session_are_not_decoded(local: ServerUnderTest) -> None:
    request, _ = SESSIONS["many image bombs in a session"]
    assert "too many to fit into memory" in answer(local.app, request).json["error"]


def test_two_hundred_requests_at_once(local: ServerUnderTest) -> None:
    state = local.shared.explorer.state
    asks = [request for request, _ in list(MALFORMED.values()) + list(PATHS.values())]
    asks += [turn(), fit(picture("PNG")), Ask("/api/session.json"), fit(b"no picture")] * 25

    async def at_once() -> list[Answer]:
        return await asyncio.gather(*(asking(local.app, one) for one in asks))

    got = asyncio.run(at_once())
    assert len(got) >= 190
    assert {one.status for one in got} <= {200, 400, 404, 409, 422, 503}
    assert local.shared.explorer.state is state
    local.check()
