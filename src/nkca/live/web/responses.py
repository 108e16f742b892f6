"""Responses: files, JSON, and errors as one line of JSON."""

import json

from starlette.responses import Response

TYPES = {
    ".css": "text/css",
    ".csv": "text/csv",
    ".gif": "image/gif",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".txt": "text/plain",
    ".zip": "application/zip",
}


def file_response(name: str, content: bytes, download: bool = False) -> Response:
    """A response with a file; its suffix must be in `TYPES`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'} if download else None
    return Response(content, media_type=TYPES[name[name.rfind(".") :]], headers=headers)


def json_response(value: object, status: int = 200) -> Response:
    """A response with a value as JSON, which must not contain NaN."""
    return Response(json.dumps(value, allow_nan=False), status, media_type=TYPES[".json"])


def error_response(status: int, sentence: str) -> Response:
    """A response with one line that says what is wrong."""
    return json_response({"error": " ".join(sentence.split())[:500]}, status)
