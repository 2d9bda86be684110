"""AppData that is written at a time, although its player is not there: the guide's own example, a birthday.

What is to be written is a row with a time. Whoever takes it by lease writes it in the container, and keeps in one
transaction that it is done and what it changed here. A process that dies in between leaves a row that is done again:
that is safe, as a value that is there already is not sent. Rules of the settings make such rows a day ahead, one a
player and year.

Where the container refuses what is asked of players who are not there, a due write waits for their next gadget call.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from homeserver.domain import occasions
from homeserver.errors import BadInput, Conflict, HomeServerError, NotFound, TooMany
from homeserver.model import Change, NowMs, Origin
from homeserver.services.appdata import AppDataWriter
from homeserver.services.turns import to_the_end
from homeserver.storage import appdata, appdata_writes, erased, leaderboards, people
from homeserver.storage.appdata_writes import State, Write
from homeserver.storage.database import Database, Reader, Transaction

LOOK_S: Final = 10.0
AT_ONCE: Final = 20
LEASE_S: Final = 120.0
TRIES: Final = 12
FIRST_RETRY_S: Final = 60.0
LONGEST_RETRY_S: Final = 6 * 3600.0
PLANNED_MS: Final = 86_400_000
"""How far ahead, and how long after, a rule's writes are planned: one that was due while we were away is still done."""
PLAN_EVERY_MS: Final = 600_000
"""How often rules are planned. Whoever's birthday is learned on the day itself, near the time, is so much late at most.
"""
MAX_WAITING: Final = 100
"""Writes that may wait for one player."""
MAX_PRESENT: Final = 10_000
NOT_KEPT: Final = 0
"""The number of a write that is no row."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rule:
    """Every player's AppData gets this value on their birthday. Without a value, the key is deleted."""

    id: str
    key: str
    value: str | None
    at: str = "09:00"
    zone: str = "UTC"


class TimedWrites:
    """Plans writes, and does them when they are due."""

    def __init__(
        self,
        database: Database,
        writer: AppDataWriter,
        container: str,
        now_ms: NowMs,
        *,
        rules: Sequence[Rule] = (),
        offline: bool = True,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            offline: Whether the container lets us write for players who are not there.
            draw: A number from 0 to 1, for jitter.
        """
        self._database = database
        self._writer = writer
        self._container = container
        self._now_ms = now_ms
        self._rules = tuple(rules)
        self._offline = offline
        self._present: set[int] = set()
        self._planned_ms: int | None = None
        self._wake = asyncio.Event()
        self._draw = draw
        self._holder = secrets.token_hex(8)

    # --- planning -----------------------------------------------------------------------------------------------------

    async def plan(self, player: int, key: str, value: str | None, at: str) -> int:
        """Have a value written at a time.

        Args:
            value: None deletes the key.
            at: `2026-12-24T18:00`, `yearly:12-24`, `yearly:12-24T18:00`, `birthday` or `birthday:T18:00`; UTC.

        Returns:
            When, the first time.

        Raises:
            BadInput: `at` is none of these, or the player's birthday is not known.
            Conflict: It is planned already.
            NotFound: No such player.
            TooMany: Too many wait for this player.
        """
        now_ms = self._now_ms()

        async def work(tx: Transaction) -> int:
            await people.unerased(tx, player)
            if await appdata_writes.waiting(tx, player) >= MAX_WAITING:
                raise TooMany("Too many writes wait for this player.", wait_s=60)
            kind, _, rest = at.partition(":")
            if kind not in {"yearly", "birthday"}:
                due_ms = occasions.once_ms(at)
                await appdata_writes.add(tx, player, key, value, due_ms=due_ms)
                return due_ms
            named, _, clock = rest.partition("T")
            day = await appdata_writes.birthday_of(tx, player) if kind == "birthday" else occasions.day_of_year(named)
            if day is None or (kind == "birthday" and named):
                raise BadInput(
                    "The player's birthday is not known; give the day as yearly:05-28."
                    if kind == "birthday" and not named
                    else "a day of the year is written yearly:05-28, or yearly:05-28T09:00",
                    field="at",
                )
            rule = yearly(key, day, clock or "00:00")
            year, due_ms = occasions.next_occasion(day, clock or "00:00", "UTC", now_ms)
            if not await appdata_writes.add(tx, player, key, value, due_ms=due_ms, rule=rule, occasion=str(year)):
                raise Conflict("That is planned for this player, key, day and time already.")
            return due_ms

        return await self._database.write(work)

    async def plan_rules(self) -> None:
        """Plan what the rules want in the next day, and what they wanted in the last."""
        now_ms = self._now_ms()
        today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
        near = [today + timedelta(days=days) for days in range(-3, 4)]
        days = {f"{day:%m-%d}" for day in near}
        if "02-28" in days:
            days.add("02-29")

        async def work(tx: Transaction) -> None:
            await tx.lock(erased.LOCK, shared=True)
            born = await appdata_writes.with_birthday(tx, self._container, days)
            for rule in self._rules:
                for player, day in born:
                    year, due_ms = occasions.next_occasion(day, rule.at, rule.zone, now_ms - PLANNED_MS)
                    if due_ms <= now_ms + PLANNED_MS:
                        await appdata_writes.add(
                            tx,
                            player,
                            rule.key,
                            rule.value,
                            due_ms=due_ms,
                            rule=f"rule:{rule.id}",
                            occasion=str(year),
                        )

        if self._rules:
            await self._database.write(work)

    async def write_now(self, player: int, key: str, value: str | None) -> None:
        """Write a value at once; None deletes the key.

        Raises:
            NotFound, BadInput, TooMany, RemoteError: As `AppDataWriter.updating`.
        """
        now = Write(NOT_KEPT, player, key, value, None, None, self._now_ms(), State.WAITING, 0, None, None)
        async with self._writer.updating(player, {key: value}) as written:
            await self._database.write(lambda tx: self._count(tx, now, written.after.get(key), written.written_at_ms))

    # --- doing --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do what is due, until cancelled: a database that is away comes back. What is held is given back."""
        try:
            while True:
                await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            await to_the_end(self._leave())

    async def _look(self) -> None:
        try:
            now_ms = self._now_ms()
            if self._planned_ms is None or abs(now_ms - self._planned_ms) >= PLAN_EVERY_MS:
                await self.plan_rules()
                self._planned_ms = now_ms
            present, self._present = self._present, set()
            if self._offline or present:
                await self.do_due(None if self._offline else present)
        except Exception:
            _log.exception("timed_writes_not_done")

    async def _leave(self) -> None:
        await self._database.write(lambda tx: appdata_writes.release(tx, self._holder))

    def arrived(self, player: int) -> None:
        """A player is there just now: what is due for them can be written, wherever the container is strict."""
        if not self._offline and len(self._present) < MAX_PRESENT:
            self._present.add(player)
            self._wake.set()

    async def do_due(self, players: Collection[int] | None = None) -> int:
        """Do what is due, of these players or of all; how many were done."""
        done = 0
        while True:
            now_ms = self._now_ms()

            async def take(tx: Transaction, now_ms: int = now_ms) -> list[Write]:
                until_ms = now_ms + int(LEASE_S * 1000)
                return await appdata_writes.claim(
                    tx, self._holder, now_ms=now_ms, until_ms=until_ms, limit=AT_ONCE, players=players
                )

            if not (taken := await self._database.write(take)):
                return done
            done += sum(await asyncio.gather(*(self._do(write) for write in taken)))

    async def _do(self, write: Write) -> bool:
        try:
            async with self._writer.updating(write.player, {write.key: write.value}) as written:
                await self._database.write(
                    lambda tx: self._count(tx, write, written.after.get(write.key), written.written_at_ms)
                )
        except HomeServerError as error:
            await self._failed(write, error)
            return False
        _log.info("timed_write_done", player=write.player, key=write.key, rule=write.rule)
        return True

    async def _count(self, tx: Transaction, write: Write, value: str | None, at_ms: int) -> None:
        """Let what the container has taken count, where it is a board's field; and keep that the write is done."""
        boards = await leaderboards.begin(tx, [write.key])
        await people.unerased(tx, write.player)
        changed: list[Change] = []
        if boards:
            changed = await appdata.observe(
                tx, write.player, {write.key: value}, observed_ms=at_ms, at_ms=at_ms, origin=Origin.SUBMITTED
            )
        if await appdata_writes.settle(
            tx, self._holder, write.id, State.DONE, due_ms=write.due_ms, now_ms=self._now_ms()
        ):
            await self._again(tx, write)
        await leaderboards.record(tx, boards, changed, at_ms)

    async def _again(self, tx: Transaction, write: Write) -> None:
        """What returns every year is planned anew."""
        if write.rule is None or not write.rule.startswith(YEARLY):
            return
        day, clock = write.rule[len(YEARLY) :][:5], write.rule[len(YEARLY) :][6:11]
        year, due_ms = occasions.next_occasion(day, clock, "UTC", write.due_ms + 1)
        await appdata_writes.add(
            tx, write.player, write.key, write.value, due_ms=due_ms, rule=write.rule, occasion=str(year)
        )

    async def _failed(self, write: Write, error: HomeServerError) -> None:
        """Try again later where that may help. A refusal (401) may end when the player comes back."""
        may_help = getattr(error, "retryable", False) or error.code in {"too_many", "remote_unauthorized"}
        now_ms = self._now_ms()
        gives_up = not may_help or write.attempts + 1 >= TRIES
        wait_s = min(FIRST_RETRY_S * 2**write.attempts, LONGEST_RETRY_S) * (0.5 + self._draw())
        due_ms = write.due_ms if gives_up else now_ms + int(wait_s * 1000)
        detail = f"{error.code}: {error}"[:300]

        async def work(tx: Transaction) -> None:
            state = State.FAILED if gives_up else State.WAITING
            await tx.lock(erased.LOCK, shared=True)  # whoever is erased keeps no row, and gets none
            if (
                await appdata_writes.settle(
                    tx, self._holder, write.id, state, due_ms=due_ms, now_ms=now_ms, detail=detail
                )
                and gives_up
            ):
                await self._again(tx, write)

        await self._database.write(work)
        _log.warning("timed_write_failed", player=write.player, key=write.key, reason=error.code, final=gives_up)

    # --- seeing -------------------------------------------------------------------------------------------------------

    async def recent(self, limit: int = 100, *, player: int | None = None) -> list[Write]:
        """What waits and what was done, and how it went."""
        return await self._database.read(lambda reader: appdata_writes.recent(reader, limit, player=player))

    async def cancel(self, id_: int) -> None:
        """Take back a write that waits.

        Raises:
            NotFound: There is none, or it was begun.
        """
        if not await self._database.write(lambda tx: appdata_writes.cancel(tx, id_)):
            raise NotFound("There is no such write that waits.")

    async def without_birthday(self, limit: int = 20) -> tuple[int, list[str]]:
        """How many players have no known birthday, and the user ids of the first: no rule reaches them."""

        async def work(reader: Reader) -> tuple[int, list[str]]:
            count, some = await appdata_writes.without_birthday(reader, self._container, limit)
            return count, [(await people.user_of(reader, player))[1] for player in some]

        return await self._database.read(work)


YEARLY: Final = "yearly:"


def yearly(key: str, day: str, clock: str) -> str:
    """The rule of what one player's key gets every year; day and time of day are in it.

    Raises:
        BadInput: It is no time of day.
    """
    occasions.time_of_day(clock)
    return f"{YEARLY}{day}T{clock}:{key}"
