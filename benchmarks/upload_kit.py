"""The parties of the upload benchmark, each a process of its own: `python -m benchmarks.upload_kit PARTY ...`.

sink        a storage that takes everything and keeps nothing: step one, step two, and what it saw of each
home        the home server, one user signed in
passthrough the least that a forwarder must do: no spool, no state, the same client library
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from homeserver import config, logs
from homeserver.protocol.mesdonnees import multipart_envelope
from homeserver.services.secret_box import SecretBox
from homeserver.serving import listen, read_buffer_bytes, run
from homeserver.storage.database import open_database
from homeserver.storage.migrate import migrate
from homeserver.storage.sessions import PageRow, add_page_session, secret_hash
from homeserver.wiring import make_app, secret_box, wall_clock_ms
from tests.saml_kit import metadata_file

COOKIE: Final = "a-session-of-the-benchmark"
USERS: Final = 20
"""Each with a session of their own, so that turns do not stand in the way of many uploads at once."""

_RECEIVE_BYTES: Final = 1 << 20
_TICKET: Final = re.compile(rb"GET \S*content_name=([^&\s]+)&content_size=(\d+)")


def say(line: object) -> None:
    """To the parent. Several threads may speak, so a line is one write."""
    os.write(1, (json.dumps(line) + "\n").encode())


# --- sink -----------------------------------------------------------------------------------------------------------


class Sink:
    """Blocking threads, one a connection: it must not be what limits the others."""

    def __init__(self) -> None:
        self.listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        """Accept for ever; what was seen of each upload is said as a line."""
        say({"url": self.url})
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._exchange(connection):
                pass

    def _exchange(self, connection: socket.socket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                return False
            head += piece
        headers, _, body = head.partition(b"\r\n\r\n")
        answer = self._place(headers) if headers.startswith(b"GET ") else self._take(connection, headers, body)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer)
        )
        return True

    def _place(self, headers: bytes) -> bytes:
        found = _TICKET.search(headers)
        name, size = (found[1], found[2]) if found else (b"x", b"1")
        return (
            b"<r><url>%s/upload/%s?size=%s</url><cookie><name>downloadUploadKey</name><value>v</value></cookie></r>"
            % (self.url.encode(), name, size)
        )

    def _take(self, connection: socket.socket, headers: bytes, body: bytes) -> bytes:
        lines = headers.split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
        size = int(re.search(rb"size=(\d+)", lines[0])[1])  # type: ignore[index]
        is_checked = b"/check" in lines[0]
        while b"\r\n\r\n" not in body or len(body) < body.index(b"\r\n\r\n") + 5:
            body += connection.recv(65536)
        first_s = time.monotonic()
        begins = body.index(b"\r\n\r\n") + 4
        whole = bytearray(body) if is_checked else None
        got, buffer = len(body), bytearray(_RECEIVE_BYTES)
        tail = body[-80:]
        view = memoryview(buffer)
        while got < length:
            count = connection.recv_into(buffer)
            if not count:
                say({"cut": got})
                return b""
            got += count
            if whole is not None:
                whole += view[:count]
            elif got >= length - 80:
                tail = (tail + bytes(view[:count]))[-80:]
        seen = {"name": lines[0].split(b"/upload/")[1].split(b"?")[0].decode(), "first_s": first_s}
        if whole is not None:
            seen["sha256"] = hashlib.sha256(whole[begins : begins + size]).hexdigest()
            tail = bytes(whole[-80:])
        say({**seen, "last_s": time.monotonic(), "bytes": length, "closed": tail.endswith(b"--\r\n")})
        return (
            b"<storagexmlengine><uploadcontentdirectlyresponse><content><id>1</id><parent_id>1</parent_id>"
            b"<file_size>%d</file_size></content></uploadcontentdirectlyresponse></storagexmlengine>" % size
        )


# --- home -----------------------------------------------------------------------------------------------------------


async def home(folder: Path, sink_url: str, read_bufsize: int) -> None:
    """The product, with sessions for `USERS` people whose cookies are `COOKIE` and a number.

    A `read_bufsize` of 0 is the product's own.
    """
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = config.load(
        None,
        server={"public_url": url, "secret_key": "s" * 64},
        database={"url": f"sqlite:///{folder / 'homeserver.db'}"},
        container={"base_url": "http://127.0.0.1:1/social/rest", "consumer_key": "k", "consumer_secret": "s"},
        mesdonnees={
            "base_url": f"{sink_url}/api",
            "service_id": "id",
            "service_password": "password",
            "upload_hosts": ["127.0.0.1"],
            "portal_hosts": ["127.0.0.1"],
            "allow_http_loopback": True,
            "spool_dir": folder / "spool",
            "max_file_bytes": 4 << 30,
            "free_floor_bytes": 0,
            "max_sending_per_user": 10,
        },
        sign_in={"metadata": metadata_file(folder)},
    )
    await asyncio.to_thread(migrate, settings.database_url)
    async with open_database(settings.database_url) as database:
        box = secret_box(settings, "page sessions")
        for number in range(USERS):
            row = _session(box, number)
            await database.write(lambda tx, row=row: add_page_session(tx, row))  # type: ignore[misc]
    runner = web.AppRunner(
        make_app(settings),
        access_log=None,
        handler_cancellation=False,
        read_bufsize=read_bufsize or read_buffer_bytes(),
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    say({"url": url})
    await asyncio.Event().wait()


def _session(box: SecretBox, number: int) -> PageRow:
    token_hash = secret_hash(f"{COOKIE}{number}")
    return PageRow(
        token_hash,
        wall_clock_ms() + 86_400_000,
        storage_user=f"user{number}",
        storage_name="User",
        sealed_token=box.seal("token", bound_to=token_hash),
    )


# --- pass-through ---------------------------------------------------------------------------------------------------


class _Through(Payload):
    """The request's bytes in the guide's envelope."""

    def __init__(self, request: web.Request, boundary: str) -> None:
        super().__init__(request)
        self._head, self._tail = multipart_envelope(boundary, "through", "")
        self._size = len(self._head) + (request.content_length or 0) + len(self._tail)
        self._request = request

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError((encoding, errors))

    async def write(self, writer: AbstractStreamWriter) -> None:
        await writer.write(self._head)
        async for piece in self._request.content.iter_any():
            await writer.write(piece)
        await writer.write(self._tail)


async def passthrough(sink_url: str, read_bufsize: int) -> None:
    """Forward `PATCH /NAME` as it comes."""
    session = ClientSession(
        cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None), connector=TCPConnector(limit=0)
    )

    async def forward(request: web.Request) -> web.Response:
        boundary = "benchmark"
        url = f"{sink_url}/upload/{request.match_info['name']}?size={request.content_length}"
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        async with session.post(url, data=_Through(request, boundary), headers=headers) as answer:
            await answer.read()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_patch("/{name}", forward)
    listener = listen("127.0.0.1", 0)
    runner = web.AppRunner(app, access_log=None, read_bufsize=read_bufsize or read_buffer_bytes())
    await runner.setup()
    await web.SockSite(runner, listener).start()
    say({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    await asyncio.Event().wait()


def main(party: str, *arguments: str) -> None:
    """Be one of the parties until killed."""
    logs.configure(as_json=True, least=logging.ERROR)
    works: dict[str, Any] = {
        "sink": lambda: Sink().serve(),
        "home": lambda: run(home(Path(arguments[0]), arguments[1], int(arguments[2]))),
        "passthrough": lambda: run(passthrough(arguments[0], int(arguments[1]))),
    }
    works[party]()


if __name__ == "__main__":
    main(*sys.argv[1:])
