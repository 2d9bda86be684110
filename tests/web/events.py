"""Streams of events, read as a browser reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientResponse, ClientSession

from tests.patience import PATIENCE_S
from tests.web.conftest import Browser


@dataclass
class Events:
    """A stream that was opened."""

    response: ClientResponse
    fields: dict[str, str] = field(default_factory=dict)

    async def next(self, kind: str = "changed") -> dict[str, str]:
        """The next event of this kind.

        Raises:
            EOFError: The stream has ended.
        """
        async with asyncio.timeout(PATIENCE_S):
            while line := await self.response.content.readline():
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name:
                    self.fields[name] = value
                    continue
                event, self.fields = self.fields, {}
                if event.get("event") == kind:
                    return event
        raise EOFError


@dataclass
class FileEvents(Events):
    """What becomes of somebody's files."""

    last_id: str = ""

    async def upload(self) -> Any:
        """The next upload that is told."""
        event = await self.next("upload")
        self.last_id = event["id"]
        return json.loads(event["data"])

    async def until(self, storage: str) -> Any:
        """The next one that is so far."""
        while (upload := await self.upload())["storage"] != storage:
            pass
        return upload


@asynccontextmanager
async def listening(http: ClientSession, url: str, headers: Mapping[str, str]) -> AsyncIterator[Events]:
    """A stream of any kind."""
    async with http.get(url, headers={"Accept": "text/event-stream", **headers}, allow_redirects=False) as response:
        yield Events(response)


@asynccontextmanager
async def listening_for_files(browser: Browser, last_id: str | None = None) -> AsyncIterator[FileEvents]:
    """As the page of files does; `last_id` where it comes back."""
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    async with listening(browser.http, f"{browser.home_url}/files/events", headers) as events:
        yield FileEvents(events.response)
