"""The client of the storage: ask for a one-time upload URL, then post one file there, streamed.

What the service's guide leaves out is taken from a working client of its time: step one goes by https with HTTP Basic
(the service's id and password). The upload URL gets the cookie and the file, never the Basic pair.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NoReturn

from aiohttp import ClientSession, ClientTimeout
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter
from aiohttp.payload import Payload

from homeserver.clients.transport import exchange, open_session
from homeserver.errors import (
    BadSettings,
    RemoteError,
    RemoteGarbage,
    RemoteUnavailable,
    SpoolBroken,
    StorageRefused,
    UploadUncertain,
)
from homeserver.model import HttpReply
from homeserver.protocol.addresses import is_allowed
from homeserver.protocol.mesdonnees import (
    MAX_REPLY_BYTES,
    SERVICE,
    Receipt,
    Ticket,
    call_url,
    multipart_envelope,
    parse_receipt,
    parse_upload_url,
    upload_url_request,
)

OnProgress = Callable[[int], None]
"""Told how many bytes of the file, in all, have been handed to the connection."""

BeforeClose = Callable[[], Awaitable[None]]
"""Awaited when every byte of the file is out and the closing boundary is not: until then nothing can be stored."""

_CONNECT_S: Final = 10.0
_CALL_S: Final = 30.0
_UNSENT_BYTES: Final = 128 * 1024


class MesDonneesClient:
    """Calls the storage for any user. Holds no state between calls."""

    def __init__(
        self,
        session: ClientSession,
        base_url: str,
        service_id: str,
        service_password: str,
        *,
        upload_hosts: Collection[str],
        allow_http_loopback: bool = False,
        basic_auth: bool = True,
        idle_s: float = 60.0,
        answer_s: float = 300.0,
    ) -> None:
        """Keep what every call needs.

        Args:
            session: For step one. It must keep no cookies, because all users share it.
            base_url: Of the API, such as `https://alpha-api.orange.fr/PersonalContent/V1`.
            upload_hosts: Where a file may be posted to, by https: these hosts and those below them.
            allow_http_loopback: Admit plain http to this machine: for the sandbox.
            basic_auth: Whether step one carries the service's id and password.
            idle_s: The longest that the storage may refuse to take the next piece of a file.
            answer_s: The longest that it may think once it has the whole file.

        Raises:
            BadSettings: `base_url` is neither https nor an allowed loopback address.
        """
        if not base_url.startswith("https://") and not (
            allow_http_loopback and is_allowed(base_url, (), http_loopback=True)
        ):
            raise BadSettings("mesdonnees.base_url: must begin with https://, because tokens and the password go there")
        self._session = session
        self._base_url = base_url
        self._upload_hosts = tuple(upload_hosts)
        self._allow_http_loopback = allow_http_loopback
        self._idle_s = idle_s
        self._answer_s = answer_s
        pair = base64.b64encode(f"{service_id}:{service_password}".encode()).decode("ascii")
        self._headers: Mapping[str, str] = {"Authorization": f"Basic {pair}"} if basic_auth else {}

    async def call(self, action: str, token: str, parameters: Mapping[str, str]) -> HttpReply:
        """Any GET call of the Personal APIs. The answer is not judged: `parse_answer` raises what it means.

        A sibling API (RichProfile, Calendar, Contacts ...) is a client with its address as `base_url`, and this.

        Raises:
            BadInput: A parameter that is no text.
            RemoteUnavailable: No answer.
            RemoteGarbage: Not HTTP, or more than 64 KiB.
        """
        return await self._get(call_url(self._base_url, action, {"token": token, **parameters}))

    async def ask(self, token: str, name: str, size_bytes: int) -> Ticket:
        """Step one: a URL good for one attempt to store a file of this name and size.

        Raises:
            BadInput: An empty file, or a name that cannot be sent.
            StorageRefused, TokenRefused, RemoteUnavailable, RemoteRefused, RemoteGarbage: As in `parse_upload_url`.
        """
        reply = await self._get(upload_url_request(self._base_url, token, name, size_bytes))
        return parse_upload_url(reply, hide=(token,))

    async def send(
        self,
        ticket: Ticket,
        name: str,
        media_type: str,
        size_bytes: int,
        chunks: AsyncIterator[bytes | bytearray],
        *,
        on_progress: OnProgress,
        before_close: BeforeClose,
    ) -> Receipt:
        """Step two: post the file, once. Whatever happens, the ticket is used up.

        An error that `chunks`, `on_progress` or `before_close` raises ends the request without its closing boundary, so
        that nothing is stored, and is raised here as it is.

        Returns:
            The storage's receipt, whose size is that of the file.

        Raises:
            StorageRefused: The storage says why not. Nothing is stored.
            RemoteUnavailable: The connection failed, or a 5xx came, while the body was incomplete. Nothing is stored.
            RemoteGarbage: The ticket's address is not allowed. Nothing was sent.
            SpoolBroken: `chunks` gave more or fewer bytes than `size_bytes`. Nothing is stored.
            UploadUncertain: The body went out whole, and no answer came that says what became of it.
        """
        if not is_allowed(ticket.url, self._upload_hosts, http_loopback=self._allow_http_loopback):
            raise RemoteGarbage(
                "The storage named an upload address that mesdonnees.upload_hosts does not allow.", service=SERVICE
            )
        boundary = secrets.token_urlsafe(27)
        envelope = multipart_envelope(boundary, name, media_type)
        body = _FileBody(
            chunks,
            envelope,
            size_bytes=size_bytes,
            on_progress=on_progress,
            before_close=before_close,
            idle_s=self._idle_s,
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Cookie": ticket.cookie}
        try:
            # A connection of its own: on a kept one that the storage has just closed, a small file would be written
            # whole into nothing, and nobody could say what became of it.
            async with open_session(max_connections=1) as session:
                reply = await exchange(
                    session,
                    "POST",
                    ticket.url,
                    service=SERVICE,
                    headers=headers,
                    body=body,
                    limit_bytes=MAX_REPLY_BYTES,
                    timeout=ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=self._answer_s),
                )
            receipt = parse_receipt(reply, hide=(ticket.url, ticket.cookie.partition("=")[2]))
        except RemoteError as error:
            _judge(error, body)
        finally:
            # aiohttp cancels its writer, but does not wait for it, and until it rests `chunks` is in use.
            await body.at_rest.wait()
        if not body.is_whole:
            raise UploadUncertain("The storage says that it stored a file before it had it.", service=SERVICE)
        if receipt.size_bytes != size_bytes:
            raise UploadUncertain(
                f"The storage kept {receipt.size_bytes} of {size_bytes} bytes, as content {receipt.content_id}.",
                service=SERVICE,
            )
        return receipt

    async def _get(self, url: str) -> HttpReply:
        try:
            return await exchange(
                self._session,
                "GET",
                url,
                service=SERVICE,
                headers=self._headers,
                limit_bytes=MAX_REPLY_BYTES,
                timeout=ClientTimeout(total=_CALL_S, sock_connect=_CONNECT_S),
            )
        except RemoteGarbage as error:
            # Without its beginning: an answer may hold the upload URL, or repeat the token that we sent.
            raise RemoteGarbage(str(error), service=SERVICE) from None


def _judge(error: RemoteError, body: _FileBody) -> NoReturn:
    """Raise what a failed exchange means: our own fault, the storage's with nothing stored, or nobody knows.

    No cause and no excerpt goes along: an answer may repeat the one-time address.
    """
    if body.failure is not None:
        raise body.failure from None
    if isinstance(error, StorageRefused):
        raise error
    if body.is_whole:
        raise UploadUncertain(
            f"The whole file was sent, and no answer came that says what became of it: {error}", service=SERVICE
        ) from None
    if isinstance(error, RemoteUnavailable):
        raise error
    raise RemoteUnavailable(str(error), service=SERVICE) from None


class _FileBody(Payload):
    """The body of step two: the envelope's head, the file, a word to the caller, the closing boundary.

    `failure` is what the caller's side raised; `is_whole` says that the closing boundary may have left this machine.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes | bytearray],
        envelope: tuple[bytes, bytes],
        *,
        size_bytes: int,
        on_progress: OnProgress,
        before_close: BeforeClose,
        idle_s: float,
    ) -> None:
        super().__init__(chunks)
        self._head, self._tail = envelope
        self._file_bytes = size_bytes
        self._size = len(self._head) + size_bytes + len(self._tail)
        self._chunks = chunks
        self._on_progress = on_progress
        self._before_close = before_close
        self._idle_s = idle_s
        self._autoclose = True
        self.failure: Exception | None = None
        self.is_whole = False
        self.at_rest = asyncio.Event()
        self.at_rest.set()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError(f"a streamed file is no text ({encoding}, {errors})")

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._consumed = True
        self.at_rest.clear()
        try:
            await self._write_all(writer)
        finally:
            self.at_rest.set()

    async def _write_all(self, writer: AbstractStreamWriter) -> None:
        await self._put(writer, self._head)
        sent_bytes = 0
        async for chunk in self._counted():
            await self._put(writer, chunk)
            sent_bytes += len(chunk)
            with self._noting_failure():
                self._on_progress(sent_bytes)
        with self._noting_failure():
            await self._before_close()
        if isinstance(writer, StreamWriter) and (writer.transport is None or writer.transport.is_closing()):
            # The line went down meanwhile, so the boundary cannot have left: this is certain, and said as such.
            raise ConnectionResetError("the connection was lost before the closing boundary")
        self.is_whole = True
        await self._put(writer, self._tail)

    async def _put(self, writer: AbstractStreamWriter, data: bytes | bytearray) -> None:
        """Hand on a piece. Only where much lies in front of the line is there anything to wait for, and to time."""
        if isinstance(writer, StreamWriter):
            await writer.write(data, drain=False)
            if writer.transport is not None and writer.transport.get_write_buffer_size() < _UNSENT_BYTES:
                return
            async with asyncio.timeout(self._idle_s):
                await writer.drain()
            return
        async with asyncio.timeout(self._idle_s):
            await writer.write(data)

    async def _counted(self) -> AsyncIterator[bytes | bytearray]:
        """The pieces of the file, which must come to exactly the announced size."""
        left_bytes = self._file_bytes
        with self._noting_failure():
            async for chunk in self._chunks:
                left_bytes -= len(chunk)
                if left_bytes < 0:
                    raise SpoolBroken("The file is longer than it was said to be.")
                yield chunk
            if left_bytes:
                raise SpoolBroken("The file is shorter than it was said to be.")

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """Keep what the caller's side raises: aiohttp would report it as a failure of the connection."""
        try:
            yield
        except Exception as error:
            self.failure = error
            raise
