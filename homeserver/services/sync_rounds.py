"""Whom to ask on schedule: everybody's AppData before it is too old, and everybody's list of friends by its own clock.

A round is a plan (`domain/syncplan.py`) of what is due now, put into the queue; it needs a player's circle of friends,
so it asks far fewer players than it refreshes. What is in the queue already is not planned again: a round goes on after
a restart where it was, and one that is not through when the next is planned is only added to.

Staleness is bounded: whoever would grow older than the settings allow before the next plan is due in this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import structlog

from homeserver.domain.syncplan import Graph, Need, Plan, cover
from homeserver.model import NowMs
from homeserver.services.sync import Sync
from homeserver.services.turns import Sleep
from homeserver.storage import containers, freshness, sync_tasks
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.freshness import Ages
from homeserver.storage.sync_tasks import Kind, Priority

PLANS_AN_AGE: Final = 4
"""How many plans are made in the time that AppData may grow old."""
LOOK_S: Final = 30.0
ACTIVE_MS: Final = 15 * 60_000
TOKEN_MS: Final = 3_600_000
"""How long a gadget's token lasts: when it was opened is read off its end."""
AT_ONCE: Final = 1_000
"""Tasks that one transaction adds."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Round:
    """What is to be asked."""

    plan: Plan
    lists: tuple[int, ...]
    """Whose friends to ask for."""
    again: tuple[int, ...]
    """Players whom the container refused a while ago: whether it still does."""

    @property
    def requests(self) -> int:
        """About how many requests it takes."""
        return len(self.plan.circles) + len(self.plan.alone) + len(self.lists) + len(self.again)


class _Due(NamedTuple):
    """What a plan is made of. No graph: nobody's AppData is due."""

    graph: Graph | None
    needs: bytearray
    around: set[int]
    lists: tuple[int, ...]
    again: tuple[int, ...]


class Rounds:
    """The schedule, as a job."""

    def __init__(
        self, database: Database, sync: Sync, container: str, now_ms: NowMs, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._database = database
        self._sync = sync
        self._container = container
        self._now_ms = now_ms
        self._sleep = sleep
        self._rules = sync.rules
        self._every_ms = self._rules.appdata_max_age_ms // PLANS_AN_AGE

    async def run(self) -> None:
        """Plan whenever it is time, without end: a database that is away comes back."""
        while True:
            try:
                await self.plan_if_due()
            except Exception:
                _log.exception("sync_not_planned")
            await self._sleep(LOOK_S)

    async def plan_if_due(self) -> Round | None:
        """Plan a round, unless that is not due, or another process does; None then."""
        if not self._rules.offline:
            return None

        async def begin(tx: Transaction) -> bool:
            await containers.ensure(tx, self._container)
            return await containers.begin_plan(tx, self._container, self._now_ms(), self._every_ms)

        return await self.plan() if await self._database.write(begin) else None

    async def plan(self, *, everybody: bool = False) -> Round:
        """Plan a round now, and put it into the queue.

        Args:
            everybody: As if nobody had been asked about for long.
        """
        due = await self._database.read(lambda reader: self._due(reader, everybody=everybody))
        plan = Plan((), (), 0)
        if due.graph is not None:
            plan = await asyncio.to_thread(cover, due.graph, due.needs, under_way=due.around)
        found = Round(plan, due.lists, due.again)
        await self._sync.delisting.settle()
        await self._add(((player, Kind.AROUND) for player in found.plan.circles[: found.plan.urgent]), Priority.ACTIVE)
        await self._add(((player, Kind.AROUND) for player in found.plan.circles[found.plan.urgent :]), Priority.ROUND)
        await self._add(((player, Kind.ALONE) for player in (*found.plan.alone, *found.again)), Priority.ROUND)
        await self._add(((player, Kind.FRIENDS) for player in found.lists), Priority.LISTS)
        if found.requests:
            _log.info(
                "sync_planned",
                circles=len(found.plan.circles),
                alone=len(found.plan.alone),
                lists=len(found.lists),
                refused=len(found.again),
            )
            self._sync.wake()
        return found

    async def _add(self, wanted: Iterable[tuple[int, Kind]], priority: Priority) -> None:
        tasks = list(wanted)
        now_ms = self._now_ms()
        for start in range(0, len(tasks), AT_ONCE):
            part = tasks[start : start + AT_ONCE]

            async def work(tx: Transaction, part: Sequence[tuple[int, Kind]] = part) -> None:
                await sync_tasks.add(tx, self._container, part, priority=priority, now_ms=now_ms)

            await self._database.write(work)

    async def _due(self, reader: Reader, *, everybody: bool) -> _Due:
        now_ms = self._now_ms()
        rules = self._rules
        known = await freshness.ages(reader, self._container)
        waiting = await sync_tasks.under_way(reader, self._container)
        whole, around = waiting[Kind.WHOLE], waiting[Kind.AROUND] | waiting[Kind.WHOLE]
        recheck_ms = now_ms - rules.grace_ms // PLANS_AN_AGE
        answered = [one for one in known if one.refused_ms is None]
        lists_ms = now_ms + self._every_ms - rules.friends_max_age_ms
        lists = tuple(
            one.player
            for one in answered
            if one.player not in waiting[Kind.FRIENDS] | whole
            and (everybody or one.friends_ms is None or one.friends_ms <= lists_ms)
        )
        again = tuple(
            one.player
            for one in known
            if one.refused_again_ms is not None
            and one.player not in waiting[Kind.ALONE] | whole
            and (everybody or one.refused_again_ms <= recheck_ms)
        )
        active = await freshness.active_since(reader, now_ms + TOKEN_MS - ACTIVE_MS)
        seen = {} if everybody else await freshness.seen_around(reader, self._container)
        needs = _needs(
            answered,
            seen,
            active,
            now_ms=now_ms,
            every_ms=rules.appdata_max_age_ms if everybody else self._every_ms,
            max_age_ms=rules.appdata_max_age_ms,
        )
        for player in waiting[Kind.ALONE] | whole:
            needs.pop(player, None)
        if Need.DUE not in needs.values() and Need.ACTIVE not in needs.values():
            return _Due(None, bytearray(), around, lists, again)
        graph = Graph(one.player for one in answered)
        after: tuple[int, int] | None = freshness.FIRST
        while after is not None:
            part, after = await freshness.friendships(reader, after)
            for player, friends in groupby(part, key=itemgetter(0)):
                graph.add(player, [friend for _, friend, missed in friends if not missed and friend in needs])
        wanted = bytearray(needs.get(player, Need.NONE) for player in graph.players)
        return _Due(graph, wanted, around, lists, again)


def _needs(
    answered: Sequence[Ages],
    seen: dict[int, int],
    active: set[int],
    *,
    now_ms: int,
    every_ms: int,
    max_age_ms: int,
) -> dict[int, Need]:
    """Who needs to be refreshed; who does not is left out."""
    found: dict[int, Need] = {}
    for one in answered:
        age_ms = now_ms - max(seen.get(one.player, 0), one.alone_ms or 0)
        if age_ms >= max_age_ms - every_ms:
            found[one.player] = Need.ACTIVE if one.player in active else Need.DUE
        elif age_ms >= max_age_ms // 2:
            found[one.player] = Need.SOON
    return found
