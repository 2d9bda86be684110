"""The storage's client over HTTP: against the stand-in where it can misbehave so, else against bare sockets."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import StreamWriter

from homeserver.clients.mesdonnees import MesDonneesClient, _FileBody
from homeserver.clients.transport import open_session
from homeserver.errors import (
    BadSettings,
    RemoteGarbage,
    RemoteUnauthorized,
    RemoteUnavailable,
    SpoolBroken,
    StorageRefused,
    TokenRefused,
    UploadUncertain,
)
from homeserver.protocol.mesdonnees import Receipt, Ticket, parse_answer
from homeserver.sandbox.faults import CannedReply, Fault
from homeserver.sandbox.mesdonnees_xml import STEP_ONE_DETAILS, UPLOAD_MESSAGES
from tests.clock import Clock
from tests.patience import PATIENCE_S
from tests.storage_service import SERVICE_ID, SERVICE_PASSWORD, StorageService, start_storage

CONTENT = bytes(range(256)) * 1024 + b"\r\n--no boundary--\r\n"
NAME = 'Été "à" la mer\\1.jpg'


@pytest.fixture
async def service(clock: Clock) -> AsyncIterator[StorageService]:
    running, server = await start_storage(clock.now_ms)
    yield running
    await server.close()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with open_session() as opened:
        yield opened


@pytest.fixture
def client(service: StorageService, session: ClientSession) -> MesDonneesClient:
    return client_of(service.base_url, session)


def client_of(base_url: str, session: ClientSession, *, idle_s: float = 20, answer_s: float = 20) -> MesDonneesClient:
    return MesDonneesClient(
        session,
        base_url,
        SERVICE_ID,
        SERVICE_PASSWORD,
        upload_hosts=["upload.example"],
        allow_http_loopback=True,
        idle_s=idle_s,
        answer_s=answer_s,
    )


async def pieces(content: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


class Sending:
    """One call of `send`, with what its callbacks were told."""

    def __init__(self, client: MesDonneesClient) -> None:
        self.client = client
        self.progress: list[int] = []
        self.closings = 0

    async def __call__(
        self, ticket: Ticket, *, content: bytes = CONTENT, size_bytes: int | None = None, name: str = NAME
    ) -> Receipt:
        return await self.of(ticket, pieces(content), len(content) if size_bytes is None else size_bytes, name=name)

    async def of(self, ticket: Ticket, chunks: AsyncIterator[bytes], size_bytes: int, *, name: str = NAME) -> Receipt:
        async def before_close() -> None:
            self.closings += 1

        return await self.client.send(
            ticket,
            name,
            "image/jpeg",
            size_bytes,
            chunks,
            on_progress=self.progress.append,
            before_close=before_close,
        )


@pytest.fixture
def send(client: MesDonneesClient) -> Sending:
    return Sending(client)


async def ticket_for(client: MesDonneesClient, service: StorageService, content: bytes = CONTENT) -> Ticket:
    return await client.ask(service.storage.token_for("marie"), NAME, len(content))


# --- both steps against the stand-in --------------------------------------------------------------------------------


async def test_a_file_arrives_as_it_was(client: MesDonneesClient, service: StorageService, send: Sending) -> None:
    receipt = await send(await ticket_for(client, service))
    stored = service.storage.files[NAME]
    assert stored.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (stored.size_bytes, stored.media_type) == (len(CONTENT), "image/jpeg")
    assert receipt.content_id == stored.content_id
    assert (receipt.folder_id, receipt.size_bytes) == ("3449", len(CONTENT))
    assert send.progress[-1] == len(CONTENT)
    assert send.progress == sorted(send.progress)
    assert send.closings == 1


@pytest.mark.parametrize("code", [code for code in STEP_ONE_DETAILS if code != "-3"])
async def test_every_documented_error_of_step_one(client: MesDonneesClient, service: StorageService, code: str) -> None:
    service.storage.fail_next(code)
    with pytest.raises(StorageRefused) as caught:
        await ticket_for(client, service)
    assert caught.value.storage_code == code
    assert caught.value.detail == STEP_ONE_DETAILS[code].format(inner="500")
    assert (caught.value.url is not None) is (code == "MD804")


@pytest.mark.parametrize("inside", [False, True])
async def test_the_portal_comes_with_md804(client: MesDonneesClient, service: StorageService, inside: bool) -> None:
    service.storage.md804_url_inside = inside
    with pytest.raises(StorageRefused) as caught:
        await client.ask(service.storage.token_for("paul"), NAME, 1)
    assert (caught.value.storage_code, caught.value.url) == ("MD804", f"{service.url}/mesdonnees/portal?user=paul")


async def test_the_consent_page_comes_with_minus_3(client: MesDonneesClient, service: StorageService) -> None:
    with pytest.raises(StorageRefused) as caught:
        await client.ask(service.storage.token_for("chloe"), NAME, 1)
    assert caught.value.storage_code == "-3"
    assert parse_qs(urlsplit(caught.value.url or "").query)["user"] == ["chloe"]


async def test_a_refused_token(client: MesDonneesClient, service: StorageService) -> None:
    token = service.storage.token_for("marie")
    service.storage.expire_tokens("marie")
    with pytest.raises(TokenRefused):
        await client.ask(token, NAME, 1)
    service.storage.fail_next("-7", "InvalidTokenException " + (fresh := service.storage.token_for("marie")))
    with pytest.raises(RemoteUnauthorized) as caught:
        await client.ask(fresh, NAME, 1)
    assert fresh not in str(caught.value)
    assert "-7" in str(caught.value)


async def test_a_wrong_pair_is_refused_and_none_is_sent_when_told_so(
    service: StorageService, session: ClientSession
) -> None:
    token = service.storage.token_for("marie")
    for password, basic_auth in (("wrong", True), (SERVICE_PASSWORD, False)):
        client = MesDonneesClient(
            session,
            service.base_url,
            SERVICE_ID,
            password,
            upload_hosts=[],
            allow_http_loopback=True,
            basic_auth=basic_auth,
        )
        with pytest.raises(TokenRefused):
            await client.ask(token, NAME, 1)


@pytest.mark.parametrize("message", UPLOAD_MESSAGES)
async def test_every_documented_error_of_step_two(
    client: MesDonneesClient, service: StorageService, send: Sending, message: str
) -> None:
    service.storage.fail_next_upload(message, inner="x", where="y")
    with pytest.raises(StorageRefused) as caught:
        await send(await ticket_for(client, service))
    assert caught.value.detail == message.format(inner="x", where="y")
    assert (caught.value.storage_code or "").startswith("upload.")
    assert not service.storage.files


async def test_a_ticket_is_good_once(client: MesDonneesClient, service: StorageService, send: Sending) -> None:
    ticket = await ticket_for(client, service)
    await send(ticket)
    with pytest.raises(StorageRefused):
        await send(ticket)
    assert len(service.storage.received) == 1


@pytest.mark.parametrize("after_bytes", [0, 1, 300, len(CONTENT) // 2, len(CONTENT) + 200])
async def test_a_line_cut_before_the_end_stores_nothing(
    client: MesDonneesClient, service: StorageService, send: Sending, after_bytes: int
) -> None:
    async def forever() -> None:  # so that the cut comes before the closing boundary, however small the file
        await asyncio.Event().wait()

    service.storage.drop_next_upload_after(bytes_=after_bytes)
    ticket = await ticket_for(client, service)
    with pytest.raises(RemoteUnavailable):
        await client.send(
            ticket, NAME, "", len(CONTENT), pieces(CONTENT), on_progress=send.progress.append, before_close=forever
        )
    assert not service.storage.files


async def test_a_lost_answer_is_uncertain(client: MesDonneesClient, service: StorageService, send: Sending) -> None:
    service.storage.lose_next_upload_answer()
    with pytest.raises(UploadUncertain):
        await send(await ticket_for(client, service))
    assert send.closings == 1
    assert len(service.storage.received) == 1


@pytest.mark.parametrize(
    "answer",
    [
        CannedReply(500, b"<html>Internal Server Error"),
        CannedReply(200, b"<storagexmlengine>"),
        CannedReply(200, b""),
        CannedReply(200, b"x" * 100_000),
        CannedReply(
            200,
            b"<storagexmlengine><content><id>1</id><file_size>5</file_size></content></storagexmlengine>",
        ),
    ],
)
async def test_an_answer_that_does_not_say_it_is_stored_whole_is_uncertain(
    client: MesDonneesClient, service: StorageService, send: Sending, answer: CannedReply
) -> None:
    service.faults.add(Fault("POST /mesdonnees/upload/*", reply_after=answer))
    with pytest.raises(UploadUncertain):
        await send(await ticket_for(client, service))


async def test_a_receipt_that_comes_too_early_is_not_believed(
    client: MesDonneesClient, service: StorageService, send: Sending
) -> None:
    early = b"<c><content><id>1</id><file_size>1000000</file_size></content></c>"
    service.faults.add(Fault("POST /mesdonnees/upload/*", reply=CannedReply(200, early)))
    blocked = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await blocked.wait()

    with pytest.raises(UploadUncertain):
        await send.of(await ticket_for(client, service), endless(), 1_000_000)
    assert send.closings == 0


async def test_an_early_refusal_ends_the_sending(
    client: MesDonneesClient, service: StorageService, send: Sending
) -> None:
    service.faults.add(Fault("POST /mesdonnees/upload/*", reply=CannedReply(403, b"expired")))
    blocked = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await blocked.wait()

    with pytest.raises(StorageRefused) as caught:
        await send.of(await ticket_for(client, service), endless(), 1_000_000)
    assert caught.value.storage_code == "unknown"
    assert send.closings == 0


# --- the caller's side ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [len(CONTENT) - 1, len(CONTENT) + 1])
async def test_a_file_of_another_size_is_never_completed(
    client: MesDonneesClient, service: StorageService, send: Sending, announced: int
) -> None:
    with pytest.raises(SpoolBroken):
        await send(await ticket_for(client, service), size_bytes=announced)
    assert send.closings == 0
    assert not service.storage.files


async def test_an_error_of_the_caller_is_raised_as_it_is(client: MesDonneesClient, service: StorageService) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("the disk")

    async def refused() -> None:
        raise LookupError("no such row")

    async def fine() -> None:
        return

    def full(sent_bytes: int) -> None:
        raise ArithmeticError(sent_bytes)

    for chunks, on_progress, before_close, error in (
        (broken(), lambda _: None, fine, OSError),
        (pieces(b"ab"), lambda _: None, refused, LookupError),
        (pieces(b"ab"), full, fine, ArithmeticError),
    ):
        ticket = await ticket_for(client, service, b"ab")
        with pytest.raises(error):
            await client.send(ticket, NAME, "", 2, chunks, on_progress=on_progress, before_close=before_close)
    assert not service.storage.files


async def test_when_it_is_cancelled_the_chunks_are_free_again(
    client: MesDonneesClient, service: StorageService, send: Sending
) -> None:
    started, let_go = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await let_go.wait()

    chunks = slow()
    task = asyncio.ensure_future(send.of(await ticket_for(client, service), chunks, 10))
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.01, let_go.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    await chunks.aclose()  # type: ignore[attr-defined]  # raises while it is still running
    assert not service.storage.files


async def test_a_boundary_that_cannot_leave_makes_nothing_uncertain() -> None:
    """The line goes down while the caller writes down that the boundary follows: that is certain, so it is said so."""

    class DownAtTheEnd(StreamWriter):
        transport = None

        async def write(self, chunk: Any, *, drain: bool = True, LIMIT: int = 0) -> None:  # noqa: N803 - aiohttp's
            written.append(bytes(chunk))

    async def before_close() -> None:
        written.append(b"closing")

    written: list[bytes] = []
    loop = asyncio.get_running_loop()
    body = _FileBody(
        pieces(b"ab"),
        (b"head", b"tail"),
        size_bytes=2,
        on_progress=lambda _: None,
        before_close=before_close,
        idle_s=5,
    )
    with pytest.raises(ConnectionResetError):
        await body.write(DownAtTheEnd(BaseProtocol(loop), loop))
    assert written == [b"head", b"ab", b"closing"]
    assert not body.is_whole


# --- addresses and secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://upload.example/x", "https://evil.example/x", "https://x.upload.example/", "ftp://127.0.0.1/", "url"]
)
async def test_a_file_goes_to_no_other_host(send: Sending, url: str) -> None:
    with pytest.raises(RemoteGarbage) as caught:
        await send(Ticket(url=url, cookie="downloadUploadKey=v"))
    assert url not in str(caught.value)


@pytest.mark.parametrize("base_url", ["http://alpha-api.orange.fr/PersonalContent/V1", "ftp://x/", "PersonalContent"])
async def test_the_password_goes_by_https_only(session: ClientSession, base_url: str) -> None:
    with pytest.raises(BadSettings):
        client_of(base_url, session)
    with pytest.raises(BadSettings):
        MesDonneesClient(session, "http://127.0.0.1:1/", "a", "b", upload_hosts=[])


@asynccontextmanager
async def bare_server(answer: bytes, *, read_until: bytes = b"\r\n\r\n") -> AsyncIterator[tuple[str, list[bytes]]]:
    """A socket that reads a request up to `read_until`, sends `answer` and closes; with what it read."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append(await reader.readuntil(read_until))
            writer.write(answer)
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}", seen
    finally:
        server.close()


async def test_the_upload_on_the_wire(session: ClientSession) -> None:
    """Cookie as it came, exact length, plain boundary, the URL as it stands, no Basic pair, no redirect followed."""
    redirect = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with bare_server(redirect, read_until=b"--\r\n") as (url, seen):
        send = Sending(client_of("http://127.0.0.1:1/V1", session))
        ticket = Ticket(url=f"{url}/up%2Fload/a+b;c?k=%7e/(x)&t=a|b", cookie='downloadUploadKey=a"b/c+d==')
        with pytest.raises(StorageRefused):
            await send(ticket, content=b"hello", name="HelloWorld.jpg")
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
    assert lines[0] == b"POST /up%2Fload/a+b;c?k=%7e/(x)&t=a|b HTTP/1.1"
    assert b'Cookie: downloadUploadKey=a"b/c+d==' in lines
    assert b"authorization" not in headers
    assert b"transfer-encoding" not in headers
    assert int(headers[b"content-length"]) == len(body)
    content_type = next(line for line in lines if line.startswith(b"Content-Type: "))
    boundary = content_type.removeprefix(b"Content-Type: multipart/form-data; boundary=")
    assert body == (
        b"--" + boundary + b"\r\n"
        b'Content-Disposition: form-data; name="file_content"; filename="HelloWorld.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\nhello\r\n--" + boundary + b"--\r\n"
    )


async def test_the_question_on_the_wire(session: ClientSession) -> None:
    token = "B64ab+c/d==|sau=3|ted=1|x="
    async with bare_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (url, seen):
        with pytest.raises(RemoteGarbage):
            await client_of(f"{url}/PersonalContent/V1", session).ask(token, "é.txt", 3)
    assert seen[0].split(b"\r\n")[0] == (
        b"GET /PersonalContent/V1?action=getContentUploadURL&token=B64ab%2Bc%2Fd%3D%3D%7Csau%3D3%7Cted%3D1%7Cx%3D"
        b"&content_name=%C3%A9.txt&content_size=3 HTTP/1.1"
    )
    assert b"Authorization: Basic WU9VUlNFUlZJQzEyMzQ1Njc4OTA6YSBwYXNzd29yZDogd2l0aCBhIGNvbG9u\r\n" in seen[0]


async def test_a_sibling_api_is_a_few_lines(session: ClientSession) -> None:
    """PersonalRichProfile as its page has it: what the user does not grant is left out of the answer."""

    async def rich_profile(client: MesDonneesClient, token: str, *infos: str) -> dict[str, str]:
        reply = await client.call("getPersonalRichProfile", token, {"infos": ",".join(infos)})
        granted = parse_answer(reply, hide=(token,)).find(".//UserAuthorizedData")
        return {} if granted is None else {str(info.tag): info.text or "" for info in granted}

    body = (
        b'<?xml version="1.0" encoding="UTF-8"?><getPersonalRichProfileReturn><Data><UserAuthorizedData>'
        b"<Firstname>Marie</Firstname></UserAuthorizedData></Data></getPersonalRichProfileReturn>"
    )
    async with bare_server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)) as (url, seen):
        profile = await rich_profile(client_of(f"{url}/PersonalRichProfile/V1", session), "a|b", "Firstname", "Gender")
    assert profile == {"Firstname": "Marie"}
    path = b"/PersonalRichProfile/V1?action=getPersonalRichProfile&token=a%7Cb&infos=Firstname%2CGender"
    assert seen[0].startswith(b"GET " + path + b" HTTP/1.1\r\n")
    assert b"Authorization: Basic " in seen[0]
    refused = b"<error><!--Warning--><code>-3</code><detail>no</detail><url>http://p.example/?a=,see</url></error>"
    async with bare_server(b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%s" % (len(refused), refused)) as (url, _):
        with pytest.raises(StorageRefused) as caught:
            await rich_profile(client_of(f"{url}/PersonalRichProfile/V1", session), "a|b", "Gender")
    assert (caught.value.storage_code, caught.value.url) == ("-3", "http://p.example/?a=,see")


async def test_the_answer_is_not_kept_when_it_is_too_long(session: ClientSession) -> None:
    long = b"<url>https://secret.example/</url>" * 4000
    async with bare_server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(long) + long) as (url, _):
        with pytest.raises(RemoteGarbage) as caught:
            await client_of(url, session).ask("t", "a", 1)
    assert caught.value.excerpt == ""
    assert "secret" not in str(caught.value)


async def test_a_storage_that_takes_nothing_more_is_given_up(session: ClientSession) -> None:
    """No total limit stands over a large file, so a stalled one must end by itself."""
    stalled = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stalled.wait()
        writer.close()

    server = await asyncio.start_server(stall, "127.0.0.1", 0, limit=1024)
    host, port = server.sockets[0].getsockname()
    try:
        send = Sending(client_of("http://127.0.0.1:1/V1", session, idle_s=0.1))
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(RemoteUnavailable):
                await send(Ticket(url=f"http://{host}:{port}/", cookie="a=b"), content=b"x" * 32_000_000)
        assert send.closings == 0
    finally:
        stalled.set()
        server.close()


async def test_a_storage_that_never_answers_is_uncertain(session: ClientSession) -> None:
    held = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not held.is_set() and await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        send = Sending(client_of("http://127.0.0.1:1/V1", session, answer_s=0.1))
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(UploadUncertain):
                await send(Ticket(url=f"http://{host}:{port}/", cookie="a=b"))
    finally:
        held.set()
        server.close()


async def test_nobody_there(session: ClientSession) -> None:
    client = client_of("http://127.0.0.1:1/V1", session)
    with pytest.raises(RemoteUnavailable):
        await client.ask("t", "a", 1)
    with pytest.raises(RemoteUnavailable):
        await Sending(client)(Ticket(url="http://127.0.0.1:1/", cookie="a=b"))


async def test_no_secret_reaches_a_log(
    client: MesDonneesClient, service: StorageService, send: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = service.storage.token_for("marie")
    ticket = await client.ask(token, NAME, len(CONTENT))
    service.storage.drop_next_upload_after(bytes_=10)
    with pytest.raises((RemoteUnavailable, UploadUncertain)) as caught:
        await send(ticket)
    ours = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]  # the stand-in's
    printed = "".join(ours) + repr(caught.value) + repr(caught.getrepr(chain=True, style="native")) + repr(ticket)
    for secret in (token, ticket.url, ticket.cookie.partition("=")[2], SERVICE_PASSWORD):
        assert secret not in printed
