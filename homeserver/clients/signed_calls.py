"""Signed calls to the container, by its own clock.

Each attempt is signed anew. No call here is repeated, but for one: a 401 that came with the news that our clock is
wrong is asked again by the right time. What was refused has changed nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Final, Self

from aiohttp import ClientSession

from homeserver.clients.transport import Signer, exchange
from homeserver.model import HttpReply, NowMs
from homeserver.protocol.oauth1 import Credentials
from homeserver.protocol.replies import date_s

SERVICE: Final = "container"

_LIMIT_BYTES: Final = 16 * 1024 * 1024  # a thousand friends with full quotas
_SMALLEST_SKEW_S: Final = 2.0  # `Date` has whole seconds, and the answer was under way
_LARGEST_SKEW_S: Final = 24 * 3600.0  # beyond, one of the two clocks is nonsense, and that needs a person
_SKEW_WORTH_ASKING_AGAIN_S: Final = 60.0


class SignedCalls:
    """Signs in the name of one application, and measures how far the container's clock is from ours.

    Attributes:
        sent: Attempts so far, repetitions by aiohttp included.
    """

    def __init__(
        self, session: ClientSession, credentials: Credentials, *, now_ms: NowMs, correct_skew: bool = True
    ) -> None:
        """Take a session of `transport.open_session`.

        Args:
            correct_skew: Sign by the container's clock, as its answers show it.
        """
        self._session = session
        self._signer = Signer(credentials, now_ms=now_ms)
        self._now_ms = now_ms
        self._correct_skew = correct_skew
        self.sent = 0

    @property
    def skew_s(self) -> float:
        """How far the container's clock is ahead of ours, as its last answer showed it; 0 while within two seconds."""
        return self._signer.seen_skew_s

    def counted(self) -> Self:
        """The same with a count of its own. What is learned of the clock is shared."""
        view = copy.copy(self)
        view.sent = 0
        return view

    async def send(
        self, method: str, url: str, *, requestor_id: str, headers: Mapping[str, str], body: bytes | None, hashed: bool
    ) -> HttpReply:
        """Send one request, whatever the answer's status.

        Args:
            url: Absolute and percent-encoded.
            requestor_id: On whose behalf.
            hashed: Whether a body gets its `oauth_body_hash`.

        Raises:
            RemoteUnavailable, RemoteGarbage: As `transport.exchange`.
        """

        async def attempt() -> tuple[HttpReply, float]:
            signed_by_s, sent_ms = self._signer.skew_s, self._now_ms()
            reply = await exchange(
                self._session,
                method,
                url,
                service=SERVICE,
                headers=headers,
                body=body,
                sign=sign,
                limit_bytes=_LIMIT_BYTES,
            )
            self._measure_skew(reply, (sent_ms + self._now_ms()) / 2000)
            return reply, self._signer.skew_s - signed_by_s

        def sign(method: str, url: str, content: bytes) -> str:
            self.sent += 1
            hashed_body = content if hashed and body is not None else None
            return self._signer.sign(method, url, requestor_id=requestor_id, hashed_body=hashed_body)

        reply, corrected_s = await attempt()
        if reply.status == 401 and abs(corrected_s) > _SKEW_WORTH_ASKING_AGAIN_S:
            reply, _ = await attempt()
        return reply

    def _measure_skew(self, reply: HttpReply, now_s: float) -> None:
        theirs_s = date_s(reply.headers)
        if theirs_s is None or "age" in reply.headers:  # from a cache: an old answer with an old date
            return
        ahead_s = theirs_s - now_s
        seen_s = ahead_s if abs(ahead_s) > _SMALLEST_SKEW_S else 0.0
        self._signer.seen_skew_s = seen_s
        if self._correct_skew and abs(seen_s) < _LARGEST_SKEW_S:
            self._signer.skew_s = seen_s
