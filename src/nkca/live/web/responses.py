"""Responses: files, JSON, and errors as one line of JSON."""

import json

from starlette.responses import Response

TYPES = {
    ".css": "text/css",
    ".gif": "image/gif",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".zip": "application/zip",
}


def file_answer(name: str, content: bytes, download: bool = False) -> Response:
    """The file of that name, one of ours."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'} if download else None
    return Response(content, media_type=TYPES[name[name.rfind(".") :]], headers=headers)


def json_answer(value: object, status: int = 200) -> Response:
    """The value in JSON, which has no NaN."""
    return Response(json.dumps(value, allow_nan=False), status, media_type=TYPES[".json"])


def error_answer(status: int, sentence: str) -> Response:
    """One line that says what is wrong."""
    return json_answer({"error": " ".join(sentence.split())[:500]}, status)
