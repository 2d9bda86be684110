"""Static files: an address with the content's hash is kept for a year, any other is asked for again each time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

PREFIX: Final = "/static"
VERSION: Final = "v"

FOREVER: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"


class StaticFiles:
    """The files of one folder and the first 16 hex digits of each one's SHA-256, read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions: Mapping[str, str] = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }

    def path(self, name: str) -> str:
        """The address of a file on this site, with its version. A name that is not there is our own fault: KeyError."""
        return f"{PREFIX}/{name}?{VERSION}={self._versions[name]}"

    def cache_control(self, request: web.Request) -> str:
        """How long the answer to this request may be kept."""
        name = request.path.removeprefix(f"{PREFIX}/")
        version = self._versions.get(name)
        return FOREVER if version is not None and request.query.get(VERSION) == version else ASK_AGAIN


STATIC_FILES: Final = web.AppKey("STATIC_FILES", StaticFiles)
