"""The files of the page, read once: compressed, and with validators, so that a browser loads them once."""

import gzip
import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from nkca.live.web.responses import TYPES

FACTS = b'<script type="application/json" id="about">{}</script>'  # its place in index.html


@dataclass(frozen=True)
class PageFile:
    """A file of the page, its content as it is and compressed by gzip, and its entity tag."""

    media_type: str
    content: bytes
    compressed: bytes
    tag: str


def page_files() -> dict[str, PageFile]:
    """The files of the page by name, so that no name in a request reaches the file system."""
    folder = importlib.resources.files("nkca.live") / "static"
    files = {}
    for file in folder.iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if file.is_file() and suffix in TYPES:
            files[file.name] = _page_file(TYPES[suffix], file.read_bytes())
    return files


def file_or_unchanged(request: Request, file: PageFile) -> Response:
    """The file, which the browser may keep but must ask about again; 304 if it has this one already."""
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    known = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {file.tag, "*"}:
        return Response(status_code=304, headers=headers)
    return _encoded(request, file, headers)


def first_page(request: Request, file: PageFile, facts: Mapping[str, object]) -> Response:
    """index.html with the facts of GET /api/about in it, which saves the browser a request."""
    text = json.dumps(facts, allow_nan=False).replace("<", "\\u003c")
    content = file.content.replace(FACTS, FACTS.replace(b"{}", text.encode()))
    return _encoded(request, _page_file(file.media_type, content), {})


def _page_file(media_type: str, content: bytes) -> PageFile:
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'
    return PageFile(media_type, content, gzip.compress(content, mtime=0), tag)


def _encoded(request: Request, file: PageFile, headers: dict[str, str]) -> Response:
    headers = headers | {"Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.content, media_type=file.media_type, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(file.compressed, media_type=file.media_type, headers=headers)
