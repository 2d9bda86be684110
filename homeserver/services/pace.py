"""How fast, and whether at all, a container is asked. What is decided holds for all processes: it is in the database.

Every request passes through `Pace.through`: it waits for its turn in the container's rate, for room among those that
run, is tried again where that may help, and tells what came of it. Too many failures in a row close the way (a circuit
breaker) for a time that doubles, up to five minutes; then a single probe decides whether it opens again. `Retry-After`
closes it for as long as it says. A container that refuses everybody (401) closes it too; see `sync_refusals.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import structlog

from homeserver.errors import RemoteError, RemoteResting, RemoteUnavailable
from homeserver.model import HttpReply, NowMs
from homeserver.protocol.replies import retry_after_s
from homeserver.services.meter import Meter
from homeserver.services.turns import Sleep
from homeserver.storage import containers
from homeserver.storage.containers import State
from homeserver.storage.database import Database, Transaction

SERVICE: Final = "container"
TRIES: Final = 3
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 8.0
"""Between two tries of one request. Whoever asks us to wait longer is asked again by another sync."""
BREAK_AFTER: Final = 8
"""Failures in a row, each after its tries."""
FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 300.0
LONGEST_RETRY_AFTER_S: Final = 3600.0
PROBE_S: Final = 30.0
BLOCK_S: Final = 0.25
"""How much of the rate a process takes out of the database at a time."""

_RETRIED: Final = frozenset({408, 429, 502, 503, 504})
_log = structlog.get_logger(__name__)
_clock: ContextVar[asyncio.Timeout | None] = ContextVar("_clock", default=None)

Send = Callable[[], Awaitable[HttpReply]]


@contextmanager
def _standing_still() -> Iterator[None]:
    """Our own waiting is not held against the container: the time limit round the caller stands still inside."""
    limit = _clock.get()
    when = None if limit is None else limit.when()
    if limit is None or when is None:
        yield
        return
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    limit.reschedule(None)
    try:
        yield
    finally:
        limit.reschedule(when + loop.time() - began_s)


class Pace:
    """One container's pace, as this process keeps it with the others."""

    def __init__(
        self,
        database: Database,
        container: str,
        now_ms: NowMs,
        *,
        meter: Meter | None = None,
        concurrency: int = 10,
        per_s: float | None = None,
        tries: int = TRIES,
        break_after: int = BREAK_AFTER,
        sleep: Sleep = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            container: Our name for it.
            concurrency: How many requests of this process run at the same time.
            per_s: Requests a second, of all processes together; None: as many as there are.
            sleep: Waits for so many seconds. What it waits for is in `now_ms`.
            draw: A number from 0 to 1, for jitter.
        """
        self._database = database
        self._container = container
        self._now_ms = now_ms
        self._meter = meter or Meter(database)
        self._room = asyncio.Semaphore(concurrency)
        self._each_us = 0 if per_s is None else max(1, round(1_000_000 / per_s))
        self._burst = 1 if per_s is None else max(1, round(per_s))
        self._block = 1 if per_s is None else max(1, round(per_s * BLOCK_S))
        self._tries = tries
        self._break_after = break_after
        self._sleep = sleep
        self._draw = draw
        self._turns: deque[int] = deque()
        self._reserving = asyncio.Lock()
        self._known = State()

    # --- a request ----------------------------------------------------------------------------------------------------

    @contextmanager
    def limit(self, clock: asyncio.Timeout) -> Iterator[None]:
        """Inside, the time that requests wait here for their turn does not count for this limit."""
        before = _clock.set(clock)
        try:
            yield
        finally:
            _clock.reset(before)

    async def in_turn(self, send: Send) -> HttpReply:
        """Send one request when it is its turn, and never again: it changes something.

        Raises:
            RemoteResting, RemoteError: As `through`.
        """
        return await self.through(send, tries=1)

    async def once(self, send: Send) -> HttpReply:
        """Send one request now, and never again: as `in_turn`, for somebody who waits for it.

        Where turns are kept for what may wait, it takes one of those. It waits for none: how often somebody may write
        has limits of its own.

        Raises:
            RemoteResting, RemoteError: As `through`.
        """
        return await self.through(send, tries=1, first=True)

    async def through(
        self, send: Send, *, probing: bool = False, tries: int | None = None, first: bool = False
    ) -> HttpReply:
        """Send one request that may be repeated: when it is its turn, and again where that may help.

        Args:
            probing: Whether the container answers again is what it shall show.
            tries: How often at most, if not as often as ever.
            first: It does not wait for a turn in the container's rate.

        Raises:
            RemoteResting: The container is not asked just now.
            RemoteError: As `send`.
        """
        tries = self._tries if tries is None else tries
        for attempt in range(1, tries + 1):
            if self._each_us or (self._is_closed and not probing):
                with _standing_still():
                    if not probing:
                        await self._while_closed()
                    await self._turn(first=first)
            last = probing or attempt == tries
            try:
                reply = await self._send(send)
            except RemoteUnavailable:
                if last:
                    await self.failed()
                    raise
                reply = None
            if reply is not None and reply.status not in _RETRIED:
                if reply.status < 500 or reply.status == 501:
                    await self._worked(reply)
                else:
                    await self.failed()
                return reply
            wait_s = None if reply is None else retry_after_s(reply.headers)
            if wait_s:
                await self._rest(wait_s)
            if reply is not None and (last or (wait_s or 0.0) > LONGEST_PAUSE_S):
                await self.failed()
                return reply
            await self._sleep(max(wait_s or 0.0, FIRST_PAUSE_S * 2 ** (attempt - 1) * (0.5 + self._draw())))
        raise AssertionError("unreachable")

    async def _send(self, send: Send) -> HttpReply:
        loop = asyncio.get_running_loop()
        if self._room.locked():
            with _standing_still():
                await self._room.acquire()
        else:
            await self._room.acquire()
        began_s = loop.time()
        outcome = "cancelled"
        try:
            reply = await send()
        except RemoteError as error:
            outcome = error.code
            raise
        else:
            outcome = _outcome(reply.status)
            return reply
        finally:
            self._room.release()
            self._meter.add("container_requests", outcome)
            self._meter.took("container_request_seconds", loop.time() - began_s)

    async def _turn(self, *, first: bool) -> None:
        """Wait until the container's rate has room for one more."""
        if not self._each_us:
            return
        if first:
            if self._turns:
                self._turns.popleft()
            return
        async with self._reserving:
            if not self._turns:
                now_us = self._now_ms() * 1000

                async def work(tx: Transaction) -> int:
                    await containers.ensure(tx, self._container)
                    return await containers.reserve(
                        tx,
                        self._container,
                        requests=self._block,
                        now_us=now_us,
                        each_us=self._each_us,
                        burst=self._burst,
                    )

                first_us = await self._database.write(work)
                self._turns.extend(first_us + number * self._each_us for number in range(self._block))
            turn_us = self._turns.popleft()
        wait_us = turn_us - self._now_ms() * 1000
        if wait_us > 0:
            await self._sleep(wait_us / 1_000_000)

    # --- open or closed -----------------------------------------------------------------------------------------------

    def closed_s(self) -> float:
        """For how long nobody asks, as this process knows it; 0 where one may."""
        return max(0, self._known.closed_until_ms - self._now_ms()) / 1000

    @property
    def _is_closed(self) -> bool:
        return self.must_probe or self.closed_s() > 0

    @property
    def must_probe(self) -> bool:
        """Whether the next request has to be a probe: it failed too often, or refused everybody."""
        return self._known.failures >= self._break_after or self._known.halted_ms is not None

    @property
    def halted_ms(self) -> int | None:
        """Since when the container refuses everybody, as this process knows it."""
        return self._known.halted_ms

    async def look(self) -> State:
        """Learn what the other processes found, too."""
        self._known = await self._database.look(lambda reader: containers.state(reader, self._container))
        return self._known

    async def begin_probe(self) -> bool:
        """Be the one process that tries whether the container answers again."""
        now_ms = self._now_ms()

        async def work(tx: Transaction) -> bool:
            return await containers.begin_probe(tx, self._container, now_ms, now_ms + int(PROBE_S * 1000))

        return await self._database.write(work)

    async def failed(self) -> None:
        """Count a failure: no answer, or one that cannot be read. Several in a row close the way for a while."""
        now_ms = self._now_ms()

        async def work(tx: Transaction) -> State:
            await containers.ensure(tx, self._container)
            failures = await containers.count_failure(tx, self._container)
            if failures >= self._break_after:
                rest_s = min(FIRST_REST_S * 2 ** min(failures - self._break_after, 16), LONGEST_REST_S)
                rest_ms = int(rest_s * 1000 * (0.5 + self._draw()))
                await containers.close(tx, self._container, now_ms + rest_ms)
            return await containers.state(tx, self._container)

        before, self._known = self._known, await self._database.write(work)
        if self._known.failures >= self._break_after > before.failures:
            _log.warning("container_closed", container=self._container, failures=self._known.failures)

    async def _rest(self, wait_s: float) -> None:
        """Obey a Retry-After, all processes together."""
        until_ms = self._now_ms() + int(min(wait_s, LONGEST_RETRY_AFTER_S) * 1000)

        async def work(tx: Transaction) -> State:
            await containers.ensure(tx, self._container)
            await containers.close(tx, self._container, until_ms)
            return await containers.state(tx, self._container)

        self._known = await self._database.write(work)
        _log.info("container_asks_to_wait", container=self._container, wait_s=wait_s)

    async def _worked(self, reply: HttpReply) -> None:
        """It answered. A 401 is no sign that all is well; whose fault it is, is found out elsewhere."""
        if reply.status != 401 and (self._known.failures or self._known.halted_ms is not None):
            await self.opened()

    async def opened(self) -> None:
        """Forget what was against the container: it answers."""

        async def work(tx: Transaction) -> None:
            await containers.count_success(tx, self._container)

        await self._database.write(work)
        if self.must_probe:
            _log.info("container_answers_again", container=self._container)
        self._known = State()

    async def halt(self, tries: int) -> None:
        """Stop: the container refuses everybody. It is tried again after a while that doubles with `tries`."""
        now_ms = self._now_ms()
        rest_s = min(60.0 * 2 ** min(tries, 10), LONGEST_REST_S) * (0.5 + self._draw())

        async def work(tx: Transaction) -> bool:
            await containers.ensure(tx, self._container)
            return await containers.halt(tx, self._container, now_ms, now_ms + int(rest_s * 1000))

        news = await self._database.write(work)
        await self.look()
        if news:
            _log.error("container_refuses_everybody", container=self._container)

    async def _while_closed(self) -> None:
        """Wait out a short rest; at a long one, or where a probe has to come first, give up at once.

        Raises:
            RemoteResting: The container is not asked just now.
        """
        closed_s = self.closed_s()
        if self.must_probe or closed_s > LONGEST_PAUSE_S:
            raise RemoteResting("it is not asked just now", service=SERVICE, wait_s=max(closed_s, 1.0))
        if closed_s:
            await self._sleep(closed_s)


def _outcome(status: int) -> str:
    """A status as a word, one of few."""
    if status in {401, 429, 503}:
        return str(status)
    return f"{status // 100}xx" if 100 <= status < 600 else "odd"
