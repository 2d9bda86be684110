"""The transport against real servers that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from aiohttp.payload import BytesPayload
from aiohttp.test_utils import TestServer

from homeserver.clients.transport import Signer, exchange, open_session, translated
from homeserver.errors import RemoteError, RemoteGarbage, RemoteUnavailable
from homeserver.protocol.oauth1 import Credentials
from tests.patience import PATIENCE_S

Bytes = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ServeApp = Callable[[web.Application], Awaitable[TestServer]]

SECRET_PATH = "/upload/one-time-ticket?oauth_signature=abc"


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with open_session() as opened:
        yield opened


@asynccontextmanager
async def listening(answer: Bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that speaks in bytes, so that it can break every rule. Yields its base URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        server.close()
        await server.wait_closed()


def saying(content: bytes) -> Bytes:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(content)
        await writer.drain()

    return answer


async def failure(session: ClientSession, url: str, **options: object) -> RemoteError:
    with pytest.raises(RemoteError) as failed:
        await exchange(session, "GET", url, service="mesdonnees", **options)  # type: ignore[arg-type]
    assert failed.value.service == "mesdonnees"
    return failed.value


# --- what arrives ---------------------------------------------------------------------------------------------------


async def test_an_exchange(session: ClientSession, aiohttp_server: ServeApp) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert await request.read() == b"{}"
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["User-Agent"].startswith("homeserver/")
        headers = [("X-Twice", "1"), ("X-TWICE", "2"), ("Set-Cookie", "a=b")]
        return web.Response(status=207, body=b"done", headers=headers)

    app = web.Application()
    app.router.add_put("/x", handler)
    server = await aiohttp_server(app)
    reply = await exchange(
        session,
        "PUT",
        str(server.make_url("/x")),
        service="container",
        headers={"Content-Type": "application/json"},
        body=b"{}",
    )
    assert (reply.status, reply.body, reply.headers["x-twice"]) == (207, b"done", "1, 2")
    assert not list(session.cookie_jar)


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb/%C3%A9~(x)",
        "/a?q=a%20b+c%2Bd~%7E'()*!",
        "/@self?fields=id%2Cname,x",
        "/;p=1?",
        "/%7e?a=%c3%a9&&b",
        "/a//b/../c",
    ],
)
async def test_what_is_given_is_what_is_sent(session: ClientSession, target: str) -> None:
    """yarl would quote some characters again; a signature covers them as they are."""
    received = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    async with listening(answer) as base:
        signed = []

        def sign(method: str, url: str, body: bytes) -> str:
            signed.append((method, url, body))
            return url

        await exchange(session, "GET", base + target, service="container", sign=sign)
        await exchange(session, "POST", base + target, service="container", body=b"x")
        assert signed == [("GET", base + target.rstrip("?"), b"")]
    assert received == [target.rstrip("?"), target.rstrip("?")]


async def test_no_redirect_is_followed(session: ClientSession, aiohttp_server: ServeApp) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.path == "/"
        return web.Response(status=302, headers={"Location": "/stolen"})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    server = await aiohttp_server(app)
    for method in ("GET", "POST"):
        reply = await exchange(session, method, str(server.make_url("/")), service="container")
        assert (reply.status, reply.headers["location"]) == (302, "/stolen")


async def test_the_size_is_capped(session: ClientSession, aiohttp_server: ServeApp) -> None:
    """Also when a small body grows while it is decompressed, and when it never ends."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/gzip":
            return web.Response(body=gzip.compress(b"a" * 50_000_000), headers={"Content-Encoding": "gzip"})
        response = web.StreamResponse()
        await response.prepare(request)
        if request.path == "/endless":
            while True:
                await response.write(b"a" * 65536)
        await response.write(b"a" * int(request.query["n"]))
        return response

    app = web.Application()
    app.router.add_get("/{tail:.*}", handler)
    server = await aiohttp_server(app)
    whole = await exchange(session, "GET", str(server.make_url("/x?n=1000")), service="container", limit_bytes=1000)
    assert len(whole.body) == 1000
    for path in ("/x?n=1001", "/gzip", "/endless"):
        error = await failure(session, str(server.make_url(path)), limit_bytes=1000)
        assert isinstance(error, RemoteGarbage)
        assert error.excerpt == "a" * 200
        assert "1000 bytes" in str(error)


# --- what does not arrive -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", RemoteUnavailable, "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", RemoteUnavailable, "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", RemoteUnavailable, "cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", RemoteUnavailable, "cut off"),
        (b"+OK POP3 server ready\r\n\r\n", RemoteGarbage, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", RemoteGarbage, "not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\nabcdefghij",
            RemoteGarbage,
            "decompress",
        ),
    ],
)
async def test_a_broken_answer(session: ClientSession, content: bytes, kind: type[RemoteError], words: str) -> None:
    async with listening(saying(content)) as base:
        error = await failure(session, base + SECRET_PATH)
    assert type(error) is kind
    assert words in str(error)


async def test_nobody_there(session: ClientSession) -> None:
    async with listening(saying(b"")) as base:
        pass
    error = await failure(session, base + "/x")
    assert isinstance(error, RemoteUnavailable)
    assert (str(error), error.retryable, error.wait_s) == ("no connection", True, None)
    assert isinstance(error.__cause__, OSError)


async def test_an_address_that_cannot_be_called(session: ClientSession) -> None:
    for url in ("mailto:x", "/relative", "ftp://127.0.0.1/"):
        assert isinstance(await failure(session, url), RemoteUnavailable)


async def test_no_answer_in_time(session: ClientSession) -> None:
    closing = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        await closing.wait()

    async with listening(answer) as base:
        for timeout in (ClientTimeout(total=0.05), ClientTimeout(sock_read=0.05)):
            error = await failure(session, base + SECRET_PATH, timeout=timeout)
            assert isinstance(error, RemoteUnavailable)
            assert str(error) == "no answer in time"
        closing.set()


async def test_a_certificate_that_nobody_vouches_for(session: ClientSession, tmp_path: Path) -> None:
    async with listening(saying(b""), tls=self_signed(tmp_path)) as base:
        # The server's side of the failed handshake is logged by asyncio; that is its business.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        try:
            error = await failure(session, base + SECRET_PATH)
        finally:
            logging.getLogger("asyncio").setLevel(logging.NOTSET)
    assert isinstance(error, RemoteUnavailable)
    assert "certificate" in str(error)


def self_signed(folder: Path) -> ssl.SSLContext:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "both.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_no_address_in_any_error(session: ClientSession) -> None:
    """Neither in the text nor in the chain of causes that a traceback prints."""
    for content in (b"", b"junk\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"):
        async with listening(saying(content)) as base:
            error = await failure(session, base + SECRET_PATH)
        printed = "".join(traceback.format_exception(error))
        assert "ticket" not in printed
        assert "oauth_signature" not in printed
        assert error.__cause__ is not None
    hung = asyncio.Event()

    async def answer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await hung.wait()

    async with listening(answer) as base, open_session(max_connections=1) as narrow:
        first = asyncio.create_task(failure(narrow, base + SECRET_PATH, timeout=ClientTimeout(total=2)))
        second = asyncio.create_task(
            failure(narrow, base + SECRET_PATH, timeout=ClientTimeout(total=PATIENCE_S, connect=0.05))
        )
        for error in await asyncio.gather(first, second):
            assert "ticket" not in "".join(traceback.format_exception(error))
        assert str(second.result()) == "no connection in time"
        hung.set()


@pytest.mark.parametrize("error", [RemoteGarbage("x", service="container"), KeyError("x"), ValueError("x")])
def test_our_own_errors_and_bugs_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as passed, translated("mesdonnees"):
        raise error
    assert passed.value is error


@pytest.mark.parametrize("error", [OSError("x"), TimeoutError("x"), ConnectionResetError("x"), ssl.SSLError("x")])
def test_the_systems_errors_are_translated_and_chained(error: Exception) -> None:
    with pytest.raises(RemoteUnavailable) as failed, translated("mesdonnees"):
        raise error
    assert failed.value.__cause__ is error


async def test_a_cancelled_exchange_stays_cancelled(session: ClientSession) -> None:
    hung = asyncio.Event()

    async def answer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await hung.wait()

    async with listening(answer) as base:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await exchange(session, "GET", base, service="container")
        hung.set()


# --- signing each attempt -------------------------------------------------------------------------------------------


async def test_a_repeated_attempt_is_signed_anew(session: ClientSession) -> None:
    """aiohttp repeats a GET by itself when a kept connection turns out to be closed."""
    targets: list[str] = []
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        targets.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        if connections == 1:  # the next request on this connection is read and never answered
            targets.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())

    numbers = iter(range(100))
    signer = Signer(
        Credentials("key", "secret"), now_ms=lambda: 1_225_391_402_400, make_nonce=lambda: str(next(numbers))
    )

    def sign(method: str, url: str, body: bytes) -> str:
        return signer.sign(method, url)

    async with listening(answer) as base:
        await exchange(session, "GET", f"{base}/x?a=b", service="container", sign=sign)
        reply = await exchange(session, "GET", f"{base}/x?a=b", service="container", sign=sign)
    assert reply.status == 200
    assert connections == 2
    assert [f"oauth_nonce={number}&" in target for number, target in enumerate(targets)] == [True] * 3
    assert len({target.partition("oauth_signature=")[2] for target in targets}) == 3
    assert all(target.count("oauth_nonce") == 1 and "oauth_timestamp=1225391402&" in target for target in targets)


def test_the_signers_clock_can_be_corrected() -> None:
    signer = Signer(Credentials("key", "secret"), now_ms=lambda: 1_225_391_402_400)
    signer.skew_s = -402.0
    assert "oauth_timestamp=1225391000&" in signer.sign("GET", "http://h/")
    assert "oauth_body_hash=2jmj7l5rSw0yVb%2FvlWAYkK%2FYBwk%3D&" in signer.sign("PUT", "http://h/", hashed_body=b"")
    nonces = {signer.sign("GET", "http://h/").partition("oauth_nonce=")[2][:64] for _ in range(100)}
    assert len(nonces) == 100


async def test_a_streamed_body_cannot_be_signed(session: ClientSession) -> None:
    with pytest.raises(TypeError):
        await exchange(
            session, "POST", "http://127.0.0.1/", service="container", body=BytesPayload(b"x"), sign=lambda m, u, b: u
        )


async def test_a_streamed_body(session: ClientSession, aiohttp_server: ServeApp) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_post("/", handler)
    server = await aiohttp_server(app)
    reply = await exchange(
        session, "POST", str(server.make_url("/")), service="mesdonnees", body=BytesPayload(b"x" * 1000)
    )
    assert reply.body == b"x" * 1000


async def test_connections_to_one_host_are_limited(aiohttp_server: ServeApp) -> None:
    now, most = 0, 0

    async def handler(_request: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(5):
            await asyncio.sleep(0)
        now -= 1
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handler)
    server = await aiohttp_server(app)
    async with open_session(max_connections=3) as session:
        url = str(server.make_url("/"))
        await asyncio.gather(*[exchange(session, "GET", url, service="container") for _ in range(20)])
    assert most <= 3
