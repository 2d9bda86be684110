"""A tus client written from the protocol's text, as plain as it can be: every header by hand."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tests.web.conftest import Browser, Reply

VERSION = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}

Body = bytes | AsyncIterator[bytes]
Headers = Mapping[str, str]
NONE: Headers = MappingProxyType({})


def metadata(name: str, media_type: str = "image/jpeg") -> str:
    pairs = (("filename", name), ("filetype", media_type))
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs)


@dataclass(frozen=True, slots=True)
class Tus:
    """Speaks for a browser that is signed in."""

    browser: Browser

    async def ask(self, method: str, path: str, headers: Headers = NONE, body: Body | None = None) -> Reply:
        sent = {"Origin": self.browser.home_url, "Accept": "*/*", **VERSION, **headers}
        return await self.browser.request(method, path, sent, io.BytesIO(body) if isinstance(body, bytes) else body)

    async def create(self, name: str, size: int, body: Body | None = None, headers: Headers = NONE) -> Reply:
        """Declare a file, perhaps with its first bytes."""
        said = {"Upload-Length": str(size), "Upload-Metadata": metadata(name), **(BYTES if body is not None else {})}
        return await self.ask("POST", "/files/tus/", {**said, **headers}, body)

    async def patch(self, path: str, offset: int, body: Body, headers: Headers = NONE) -> Reply:
        return await self.ask("PATCH", path, {**BYTES, "Upload-Offset": str(offset), **headers}, body)

    async def offset(self, path: str) -> int:
        """How much is there."""
        told = await self.ask("HEAD", path)
        assert told.status == 200
        return int(told.headers["Upload-Offset"])

    async def upload(self, name: str, content: bytes) -> str:
        """Declare a file and send it in one part; its address."""
        made = await self.create(name, len(content))
        assert made.status == 201, made.text
        sent = await self.patch(made.location, 0, content)
        assert (sent.status, sent.headers["Upload-Offset"]) == (204, str(len(content)))
        return made.location
