"""Forwarding uploads: the product, the least that a forwarder must do, nginx where it is installed, and no forwarder.

All on this machine, sink and client included, so ratios of one run are what counts. Each party is a process of its own;
the client hands the file to the kernel (sendfile), so that it limits nobody. What is measured ends when the storage has
the last byte. A file of 3,000,001 bytes is compared byte for byte first.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.party import Party
from benchmarks.report import Figure
from benchmarks.upload_kit import COOKIE, USERS
from homeserver.web.security import PAGE_COOKIE

MB: Final = 1_000_000
GB: Final = 1_000_000_000
OWN_BUFFER: Final = "0"
SMALL_BUFFER: Final = str(64 * 1024)

THROUGH_TARGET: Final = 1 / 1.3
"""Of nginx's time."""
SPOOL_TARGET: Final = 2.0
"""Of the time without a spool."""
MEMORY_MB: Final = 8.0
FIRST_BYTE_MS: Final = 10.0
CPU_S_PER_GB: Final = 1.6
MANY_MEMORY_MB: Final = 64.0


@dataclass(frozen=True)
class Content:
    """A file's bytes: one file on the disk, as often as needed, and perhaps a part of it."""

    file: Path
    bytes_: int

    def send(self, connection: socket.socket) -> None:
        left = self.bytes_
        with self.file.open("rb") as file:
            whole = self.file.stat().st_size
            while left:
                offset = 0
                while left and offset < whole:
                    count = os.sendfile(connection.fileno(), file.fileno(), offset, min(left, whole - offset))
                    offset += count
                    left -= count

    @property
    def sha256(self) -> str:
        data = self.file.read_bytes()
        times = self.bytes_ // len(data) + 1
        return hashlib.sha256((data * times)[: self.bytes_]).hexdigest()


def exchange(url: str, request: bytes, content: Content | None = None) -> tuple[float, bytes]:
    """Send a request; when the first byte of its content left, and the head of the answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        began_s = time.monotonic()
        if content is not None:
            content.send(connection)
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
    return began_s, answer


class Ways:
    """How a file gets to the sink."""

    def __init__(self, sink: Party, home: Party, through: Party, nginx_url: str | None) -> None:
        self._sink = sink
        self._home = home
        self._through = through
        self._nginx_url = nginx_url

    def named(self) -> dict[str, Callable[[Content, str], float]]:
        """Each way, by name. Each gives when the first byte was given to it."""
        ways: dict[str, Callable[[Content, str], float]] = {
            "spool": self._by_home,
            "through": lambda content, name: patch(self._through.url, f"/{name}", content, ""),
            "direct": lambda content, name: self._post(self._sink.url, content, name),
        }
        if self._nginx_url is not None:
            nginx_url = self._nginx_url
            ways["nginx"] = lambda content, name: self._post(nginx_url, content, name)
        return ways

    def measure(self, way: str, content: Content, name: str) -> tuple[float, dict[str, Any]]:
        """How long until the sink had all of it, in seconds; and what the sink saw."""
        began_s = self.named()[way](content, name)
        seen = self._sink.next()
        if not seen.get("closed"):
            raise RuntimeError(f"{way}: {seen}")
        return seen["last_s"] - began_s, {**seen, "began_s": began_s}

    def _by_home(self, content: Content, name: str) -> float:
        location = declare(self._home.url, name, content.bytes_, 0)
        began_s = patch(self._home.url, location, content, tus_headers(self._home.url, 0))
        until_stored(self._home.url, location, 0)
        return began_s

    def _post(self, url: str, content: Content, name: str) -> float:
        """As a browser would post it: the envelope around the file."""
        head = b'--b\r\nContent-Disposition: form-data; name="file_content"; filename="x"\r\n\r\n'
        tail = b"\r\n--b--\r\n"
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            length = len(head) + content.bytes_ + len(tail)
            request = (
                f"POST /upload/{name}?size={content.bytes_} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
            )
            connection.sendall(request.encode() + head)
            began_s = time.monotonic()
            content.send(connection)
            connection.sendall(tail)
            connection.recv(65536)
        return began_s


def patch(url: str, path: str, content: Content, headers: str) -> float:
    """Send a file in one part; when its first byte left."""
    host = urlsplit(url).netloc
    head = f"PATCH {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {content.bytes_}\r\n\r\n"
    began_s, answer = exchange(url, head.encode(), content)
    if b" 204 " not in answer:
        raise RuntimeError(answer.decode())
    return began_s


def tus_headers(url: str, user: int) -> str:
    """What a part carries."""
    return (
        f"Cookie: {cookie(user)}\r\nOrigin: {url}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
        "Content-Type: application/offset+octet-stream\r\n"
    )


def cookie(user: int) -> str:
    """A session's cookie."""
    return f"{PAGE_COOKIE}={COOKIE}{user}"


def declare(url: str, name: str, size: int, user: int) -> str:
    """Create an upload; its address."""
    http = HTTPConnection(urlsplit(url).netloc)
    with contextlib.closing(http):
        named = base64.b64encode(name.encode()).decode()
        http.request(
            "POST",
            "/files/tus/",
            headers={
                "Cookie": cookie(user),
                "Origin": url,
                "Tus-Resumable": "1.0.0",
                "Upload-Length": str(size),
                "Upload-Metadata": f"filename {named}",
            },
        )
        answer = http.getresponse()
        if answer.status != 201:
            raise RuntimeError(answer.read().decode())
        return urlsplit(answer.headers["Location"]).path


def until_stored(url: str, location: str, user: int) -> None:
    """Wait for the product to know that the storage has it."""
    path = f"/files/{location.rpartition('/')[2]}"
    http = HTTPConnection(urlsplit(url).netloc)
    with contextlib.closing(http):
        deadline_s = time.monotonic() + 300
        upload = None
        while time.monotonic() < deadline_s:
            http.request("GET", path, headers={"Cookie": cookie(user), "Accept": "application/json"})
            upload = json.loads(http.getresponse().read())
            if upload["storage"] == "stored":
                return
            time.sleep(0.005)
    raise RuntimeError(f"never stored: {upload}")


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="uploads-", dir=os.environ.get("TMPDIR"))))
        file = folder / "content"
        file.write_bytes(os.urandom(10 * MB))

        def party(*arguments: str) -> Party:
            made = Party("benchmarks.upload_kit", *arguments)
            stack.callback(made.end)
            return made

        sink = party("sink")
        home = party("home", str(_made(folder / "home")), sink.url, OWN_BUFFER)
        through = party("passthrough", sink.url, OWN_BUFFER)
        nginx_url = stack.enter_context(_nginx(folder / "nginx", sink.url))
        ways = Ways(sink, home, through, nginx_url)
        _check(ways, file)
        yield from _compare(ways, home, Content(file, (20 if quick else 100) * MB), rounds=2 if quick else 7)
        if not quick:
            yield from _compare(ways, home, Content(file, 2 * GB), rounds=2)
        yield from _first_bytes(ways, file, rounds=5 if quick else 31)
        home.end()
        many = party("home", str(_made(folder / "many")), sink.url, SMALL_BUFFER)
        yield _many(sink, many, Content(file, (1 if quick else 10) * MB), 40 if quick else 200)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _check(ways: Ways, file: Path) -> None:
    content = Content(file, 3_000_001)
    expected = content.sha256
    for way in ways.named():
        _, seen = ways.measure(way, content, "check")
        if seen["sha256"] != expected:
            raise RuntimeError(f"{way} changed the file")


def _compare(ways: Ways, home: Party, content: Content, *, rounds: int) -> Iterator[Figure]:
    label = f"{content.bytes_ // MB}MB"
    names = list(ways.named())
    for way in names:
        ways.measure(way, content, "warm")
    times: dict[str, list[float]] = {way: [] for way in names}
    cpu_s, growths = [], []
    for number in range(rounds):
        for way in names if number % 2 else reversed(names):
            if way == "spool":
                before_s, resident = home.cpu_s(), home.forget_peak()
            took_s, _ = ways.measure(way, content, f"{way}-{number}")
            times[way].append(took_s)
            if way == "spool":
                cpu_s.append((home.cpu_s() - before_s) / content.bytes_ * GB)
                growths.append((home.peak_bytes() - resident) / MB)

    def ratio(ours: str, reference: str) -> float:
        return statistics.median(mine / theirs for mine, theirs in zip(times[ours], times[reference], strict=True))

    for way in names:
        yield Figure(f"uploads.{label}.{way}", content.bytes_ / MB / statistics.median(times[way]), "MB/s")
    if "nginx" in times:
        yield Figure(
            f"uploads.{label}.through/nginx",
            statistics.median(times["through"]),
            "s",
            ratio("through", "nginx"),
            THROUGH_TARGET,
        )
    yield Figure(
        f"uploads.{label}.spool/through",
        statistics.median(times["spool"]),
        "s",
        ratio("spool", "through"),
        SPOOL_TARGET,
    )
    yield _against(f"uploads.{label}.memory", max(growths), "MB", MEMORY_MB)
    yield _against(f"uploads.{label}.cpu", statistics.median(cpu_s), "s/GB", CPU_S_PER_GB)


def _first_bytes(ways: Ways, file: Path, *, rounds: int) -> Iterator[Figure]:
    """When the storage had the first byte of the body, after the product had it."""
    waits_ms = []
    for number in range(rounds):
        _, seen = ways.measure("spool", Content(file, 10 * MB), f"first-{number}")
        waits_ms.append((seen["first_s"] - seen["began_s"]) * 1000)
    yield _against("uploads.first_byte", statistics.median(waits_ms), "ms", FIRST_BYTE_MS)


def _many(sink: Party, home: Party, content: Content, count: int) -> Figure:
    """So many at once: all are stored, or this raises."""
    declare(home.url, "warm", 1, 0)
    resident = home.forget_peak()
    failures: list[BaseException] = []

    def one(number: int) -> None:
        try:
            user = number % USERS
            location = declare(home.url, f"many-{number}", content.bytes_, user)
            patch(home.url, location, content, tus_headers(home.url, user))
            until_stored(home.url, location, user)
        except BaseException as error:  # told by the thread that counts
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    seen = [sink.next() for _ in range(count)]
    for thread in threads:
        thread.join()
    if failures or not all(each.get("closed") for each in seen):
        raise RuntimeError(f"not all were stored: {failures[:1]}")
    return _against(f"uploads.{count}_at_once.memory", (home.peak_bytes() - resident) / MB, "MB", MANY_MEMORY_MB)


def _against(name: str, value: float, unit: str, target: float) -> Figure:
    return Figure(name, value, unit, value / target, 1.0)


# --- nginx ----------------------------------------------------------------------------------------------------------

_NGINX: Final = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    location / {{ proxy_pass {sink}; proxy_request_buffering off; proxy_http_version 1.1; }}
  }}
}}
"""


@contextlib.contextmanager
def _nginx(folder: Path, sink_url: str) -> Iterator[str | None]:
    """nginx in front of the sink, unbuffered, with its default buffers; None where it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        yield None
        return
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = folder / "nginx.conf"
    settings.write_text(_NGINX.format(folder=folder, port=port, sink=sink_url))
    process = subprocess.Popen([program, "-c", str(settings), "-p", str(folder), "-g", "daemon off;"])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
