"""The parties of the HTTP benchmark, each a process of its own: `python -m benchmarks.web.parties PARTY ...`.

home        the home server on a database that is there already
bare        an aiohttp handler that answers bytes of a given length, and nothing around it
container   answers AppData at once; whoever was never written has letters already
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from homeserver import config, logs
from homeserver.serving import listen, read_buffer_bytes, run
from homeserver.wiring import make_app
from tests.saml_kit import metadata_file

BOARD: Final = "letters"
CONTAINER: Final = "benchmark"
FIRST_LETTERS: Final = 1
_CALL: Final = re.compile(rb"(GET|PUT|POST) /rest/appdata/([^/]+)/")
_LENGTH: Final = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
_LETTERS: Final = re.compile(rb'"letters"\s*:\s*"(\d+)"')


def _say(line: object) -> None:
    os.write(1, (json.dumps(line) + "\n").encode())


async def home(folder: Path, database_url: str, container_url: str) -> None:
    """Boards for everybody, without jobs."""
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = config.load(
        None,
        server={"public_url": url, "secret_key": "s" * 64, "boards_visible_to": "everyone"},
        database={"url": database_url},
        container={
            "name": CONTAINER,
            "base_url": f"{container_url}/rest",
            "consumer_key": "k",
            "consumer_secret": "s",
            "offline": "refused",
        },
        mesdonnees={
            "base_url": "http://127.0.0.1:1/api",
            "service_id": "id",
            "service_password": "password",
            "upload_hosts": ["127.0.0.1"],
            "portal_hosts": ["127.0.0.1"],
            "allow_http_loopback": True,
            "spool_dir": folder / "spool",
            "free_floor_bytes": 0,
        },
        sign_in={"metadata": metadata_file(folder)},
    )
    await _serve(make_app(settings, jobs=False), listener, url, handler_cancellation=False)


async def bare(length: str) -> None:
    """The least that aiohttp does for an answer of this length."""
    body = b"x" * int(length)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html")

    async def unchanged(_: web.Request) -> web.Response:
        return web.Response(status=304)

    app = web.Application()
    app.router.add_get("/", answer)
    app.router.add_get("/unchanged", unchanged)
    listener = listen("127.0.0.1", 0)
    await _serve(app, listener, f"http://127.0.0.1:{listener.getsockname()[1]}")


async def _serve(app: web.Application, listener: Any, url: str, **options: Any) -> None:
    runner = web.AppRunner(app, access_log=None, read_bufsize=read_buffer_bytes(), **options)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    _say({"url": url})
    await asyncio.Event().wait()


class _Container(asyncio.Protocol):
    """Reads one request after the other, and holds what was written last."""

    held: Final[dict[bytes, bytes]] = {}

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length[1]) if length else 0
            if len(rest) < size:
                return
            body, self._received = rest[:size], rest[size:]
            answer = self._answer(head, body)
            if isinstance(self._transport, asyncio.WriteTransport):
                self._transport.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(answer), answer)
                )

    def _answer(self, head: bytes, body: bytes) -> bytes:
        call = _CALL.match(head)
        if call is None:
            return b"{}"
        user = call[2]
        if call[1] != b"GET" and (written := _LETTERS.search(body)):
            self.held[user] = written[1]
        return b'{"entry":{"%b":{"letters":"%b"}}}' % (user, self.held.get(user, b"%d" % FIRST_LETTERS))


async def container() -> None:
    """Until killed."""
    server = await asyncio.get_running_loop().create_server(_Container, "127.0.0.1", 0)
    _say({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"})
    await server.serve_forever()


def main(party: str, *arguments: str) -> None:
    """Be one of the parties until killed."""
    logs.configure(as_json=True, least=logging.ERROR)
    works: dict[str, Any] = {
        "home": lambda: run(home(Path(arguments[0]), *arguments[1:])),
        "bare": lambda: run(bare(*arguments)),
        "container": lambda: asyncio.run(container()),  # whose transports say what they are
    }
    works[party]()


if __name__ == "__main__":
    main(*sys.argv[1:])
