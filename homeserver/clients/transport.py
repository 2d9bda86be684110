"""How every outgoing request travels: limits, signing of each attempt, and the one place that names failures.

aiohttp's and the operating system's errors become `errors.Remote*` here and nowhere else. What those errors say may
hold an address with a signature or a one-time upload URL in it, so no text of theirs is passed on.

`exchange` reads a whole answer. A caller that streams a body with a session of its own wraps its code in `translated`.
"""

from __future__ import annotations

import itertools
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import aiohttp
from aiohttp import (
    ClientHandlerType,
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.http_exceptions import ContentEncodingError
from aiohttp.payload import Payload
from yarl import URL

from homeserver import __version__
from homeserver.errors import RemoteError, RemoteGarbage, RemoteUnavailable
from homeserver.model import HttpReply, NowMs
from homeserver.protocol.oauth1 import Credentials, body_hash, signed_url
from homeserver.protocol.replies import excerpt

DEFAULT_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""The largest answer read unless the caller says otherwise: some 40,000 people, or 400 full AppData quotas."""

SignUrl = Callable[[str, str, bytes], str]
"""From method, URL and body to the signed URL. Called once for each attempt, so that no nonce travels twice."""


@asynccontextmanager
async def open_session(
    *,
    max_connections: int = 20,
    total_s: float = 20.0,
    connect_s: float = 5.0,
) -> AsyncIterator[ClientSession]:
    """A session with bounds: `max_connections` to a host, `connect_s` for a connection, `total_s` for a whole request.

    It keeps no cookies, because many users share it, and reads no proxy or credentials from the environment. It signs
    nothing by itself: `exchange` signs with what its caller gives, so that no credentials can reach another host.
    """
    async with ClientSession(
        timeout=ClientTimeout(total=total_s, sock_connect=connect_s),
        connector=TCPConnector(limit=0, limit_per_host=max_connections),
        cookie_jar=DummyCookieJar(),
        headers={"User-Agent": f"homeserver/{__version__}"},
    ) as session:
        yield session


async def exchange(
    session: ClientSession,
    method: str,
    url: str,
    *,
    service: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | Payload | None = None,
    sign: SignUrl | None = None,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    timeout: ClientTimeout | None = None,
) -> HttpReply:
    """Send one request and read the whole answer, whatever its status. Redirects are answers too: none is followed.

    Args:
        url: Absolute and percent-encoded already; sent as it stands, never quoted again.
        service: Who is called, for the errors: "container", "mesdonnees" or "sign-in".
        sign: Makes the URL that is sent, anew for each attempt (aiohttp repeats GET, PUT and DELETE by itself when a
            kept connection turns out to be closed). Needs a body of bytes, or none.
        limit_bytes: The most that is read of the body, after decompression.

    Raises:
        RemoteUnavailable: No connection, no answer in time, or an answer that was cut off.
        RemoteGarbage: Not HTTP, a body that does not decompress, or one larger than `limit_bytes`.
    """
    with translated(service):
        async with session.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
            timeout=session.timeout if timeout is None else timeout,
            middlewares=() if sign is None else (_signing(sign, body),),
        ) as response:
            content = await _read_capped(response, limit_bytes, service)
            return HttpReply(response.status, _plain_headers(response), content)


class Signer:
    """Signs with OAuth 1.0 by a clock that can be corrected.

    Attributes:
        skew_s: How far the other side's clock is taken to be ahead of ours, in every signature from now on.
        seen_skew_s: How far it was when last seen, taken or not. Whoever measures sets both.
    """

    def __init__(self, credentials: Credentials, *, now_ms: NowMs, make_nonce: Callable[[], str] | None = None) -> None:
        self._credentials = credentials
        self._now_ms = now_ms
        self._make_nonce = make_nonce or _nonces().__next__
        self.skew_s = 0.0
        self.seen_skew_s = 0.0

    def sign(self, method: str, url: str, *, requestor_id: str | None = None, hashed_body: bytes | None = None) -> str:
        """The URL signed for one attempt, with a nonce and a timestamp of its own.

        Args:
            hashed_body: The body, where `oauth_body_hash` is wanted.
        """
        return signed_url(
            method,
            url,
            self._credentials,
            timestamp_s=round(self._now_ms() / 1000 + self.skew_s),
            nonce=self._make_nonce(),
            requestor_id=requestor_id,
            body_hash=None if hashed_body is None else body_hash(hashed_body),
        )


def _nonces() -> Iterator[str]:
    """Texts that nobody else makes: a random beginning, drawn by the first use, and a number.

    They need not be secret, only unused, and drawing each anew costs as much as signing does.
    """
    beginning = secrets.token_hex(12)
    for number in itertools.count():
        yield f"{beginning}{number:08x}"


def _signing(sign: SignUrl, body: bytes | Payload | None) -> ClientMiddlewareType:
    if isinstance(body, Payload):
        raise TypeError("a signed request needs its body as bytes")
    content = body or b""

    async def attempt(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        # What was signed is what is sent: yarl would quote some characters again, and the signature would be wrong.
        request.url = URL(sign(request.method, str(request.url), content), encoded=True)
        return await send(request)

    return attempt


async def _read_capped(response: ClientResponse, limit_bytes: int, service: str) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > limit_bytes:
            response.close()  # the rest may be endless, so the connection is not worth keeping
            raise RemoteGarbage(
                f"the answer is larger than {limit_bytes} bytes", service=service, excerpt=excerpt(bytes(content))
            )
    return bytes(content)


def _plain_headers(response: ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Turn failures of the network, raised inside, into our own errors; everything else passes unchanged.

    Raises:
        RemoteUnavailable: No connection, no answer in time, or an answer that was cut off.
        RemoteGarbage: What came is not HTTP, or does not decompress.
    """
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _explain(error, service) from _without_addresses(error)


def _explain(error: BaseException, service: str) -> RemoteError:
    """Most specific first: aiohttp's classes inherit from each other and from the system's."""
    match error:
        case aiohttp.InvalidURL():
            return RemoteUnavailable("the address is not one that can be called", service=service)
        case aiohttp.ClientSSLError() | ssl.SSLError() | aiohttp.ServerFingerprintMismatch():
            return RemoteUnavailable("no secure connection: its certificate or protocol was refused", service=service)
        case aiohttp.ClientConnectorDNSError():
            return RemoteUnavailable("its host name has no address", service=service)
        case aiohttp.ConnectionTimeoutError():
            return RemoteUnavailable("no connection in time", service=service)
        case aiohttp.ClientConnectorError():
            return RemoteUnavailable("no connection", service=service)
        case TimeoutError():  # also aiohttp.SocketTimeoutError
            return RemoteUnavailable("no answer in time", service=service)
        case aiohttp.ServerDisconnectedError():
            return RemoteUnavailable("it closed the connection without an answer", service=service)
        case aiohttp.ClientPayloadError() if isinstance(error.__cause__, ContentEncodingError):
            return RemoteGarbage("the answer does not decompress", service=service)
        case aiohttp.ClientPayloadError():
            return RemoteUnavailable("the answer was cut off", service=service)
        case aiohttp.ClientResponseError():
            return RemoteGarbage("the answer is not HTTP", service=service)
        case _:
            return RemoteUnavailable("the connection failed", service=service)


def _without_addresses(error: BaseException) -> BaseException:
    """The error itself as the cause, unless it, or what caused it, prints an address: then its bare name.

    A traceback prints the whole chain, and a signed URL or a one-time upload URL must never reach a log.
    """
    link: BaseException | None = error
    while link is not None:
        if "://" in f"{link!r} {link}":
            return ConnectionError(f"{type(error).__name__} (its text is withheld: it holds an address)")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return error
