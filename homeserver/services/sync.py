"""Keeping players fresh: their profile, their friends who have the application, their AppData and their friends'.

What is to be asked lies in the database (`storage/sync_tasks.py`), so any number of processes share it: each takes some
by lease, asks, and applies what came in the transaction that removes the task. Several players' answers share a
transaction. A process that dies leaves its tasks to the others when its lease ends; one that was only slow finds that
they are not its own any more, and drops its answer.

How a container is asked (rate, rests, repetitions) is in `pace.py`, what a question is and what its answer changes in
`sync_answers.py`, who is asked for on schedule in `sync_rounds.py`, and what a refusal means in `sync_refusals.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from homeserver.clients.container import ContainerClient
from homeserver.errors import (
    HomeServerError,
    NotFound,
    RemoteGarbage,
    RemoteResting,
    RemoteUnauthorized,
    RemoteUnavailable,
    TooMany,
)
from homeserver.model import NowMs, SyncResult, SyncState
from homeserver.services.delisting import Delisting
from homeserver.services.limits import SYNC, Limits
from homeserver.services.meter import Meter
from homeserver.services.pace import Pace
from homeserver.services.sync_answers import ASKED_AT_MOST, Answers, Applied, Asker, apply
from homeserver.services.sync_refusals import Refusals
from homeserver.services.turns import to_the_end
from homeserver.storage import people, sync_tasks
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.sync_tasks import Kind, Priority, Task

__all__ = ["ASKED_AT_MOST", "DEBOUNCE_MS", "LEASE_S", "PLAYER_S", "Sync", "SyncRules"]

PLAYER_S: Final = 60.0
"""For one player's requests, all together. What they wait here for their turn does not count."""
LEASE_S: Final = 90.0
"""How long a task stays with its process after its last sign of life."""
SIGN_OF_LIFE_S: Final = 20.0
DEBOUNCE_MS: Final = 30_000
"""Whoever was synced since is fresh enough."""
LOOK_S: Final = 1.0
"""How often one looks for what other processes have put into the queue."""
TRIES: Final = 5
FIRST_RETRY_S: Final = 10.0
LONGEST_RETRY_S: Final = 600.0
TOGETHER: Final = 64
"""How many players' answers share a transaction, at most."""
GATHER_S: Final = 0.02
"""How long it is put off where many more are under way: small transactions cost a fifth of the sync's CPU."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SyncRules:
    """What the settings say about keeping players fresh.

    `offline`: whether the container answers for players who are not there. Where it does not, nothing is asked for on
    schedule, and a refusal says nothing.
    """

    offline: bool = True
    appdata_max_age_ms: int = 3_600_000
    friends_max_age_ms: int = 86_400_000
    grace_ms: int = 7 * 86_400_000
    """How long whoever is refused stays on the lists."""


@dataclass(slots=True)
class Tally:
    """What this process has done so far."""

    answered: int = 0
    changed: int = 0
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Attempts, by what went wrong."""


@dataclass(slots=True)
class _Waiting:
    """An answer on its way into the database."""

    answers: Answers
    changed: asyncio.Future[int | None]
    """How many values changed; None where it was not ours to apply any more."""


class Sync:
    """Syncs players of one container, now or from the queue."""

    def __init__(
        self,
        database: Database,
        client: ContainerClient,
        container: str,
        board_fields: Callable[[], Awaitable[Sequence[str]]],
        now_ms: NowMs,
        *,
        concurrency: int = 4,
        pace: Pace | None = None,
        meter: Meter | None = None,
        rules: SyncRules | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            container: Our name for the client's container, as players have it.
            board_fields: The AppData keys that are worth keeping; nothing else is asked for.
            concurrency: How many questions `run` asks at the same time; `pace` bounds their requests.
            draw: A number from 0 to 1, for jitter.
        """
        self._database = database
        self._container = container
        self._now_ms = now_ms
        self._concurrency = concurrency
        self._draw = draw
        self.rules = rules or SyncRules()
        self._meter = meter or Meter(database)
        self.pace = pace or Pace(database, container, now_ms, meter=self._meter)
        gated = client.gated(self.pace.through)
        self._asker = Asker(database, gated, container, board_fields, now_ms)
        self.refusals = Refusals(
            database,
            container,
            self.pace,
            now_ms,
            probe=client.gated(lambda send: self.pace.through(send, probing=True)).person,
            delist=self._delist,
            grace_ms=self.rules.grace_ms,
        )
        self.delisting = Delisting(database, now_ms)
        self.tally = Tally()
        self._limits = Limits(database, now_ms)
        self._holder = secrets.token_hex(8)
        self._applying: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._applier: asyncio.Task[None] | None = None
        self._users = 0
        self._wake = asyncio.Event()
        self._rest = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._kinds: tuple[Kind, ...] = tuple(Kind)

    # --- one player, now ----------------------------------------------------------------------------------------------

    async def sync_player(self, player: int) -> SyncResult:
        """Ask the container for everything about one player, and keep it.

        Raises:
            NotFound: No such player, or not one of this container.
            RemoteError: Something did not come whole; nothing was changed.
        """
        await self.pace.look()
        if self.pace.must_probe and await self.refusals.probe() is None:  # somebody wants it now, so now is the time
            await self.pace.opened()
        container, user_id = await self._database.look(lambda reader: people.user_of(reader, player))
        task = Task(player, Kind.WHOLE, 0, user_id if container == self._container else None)
        answers = await self._ask(task, None)
        async with self._applying_runs():
            changed = await self._keep(answers)
        if changed is None:
            raise NotFound("This player was erased meanwhile.")
        return answers.result(changed)

    async def _ask(self, task: Task, ticket: Task | None) -> Answers:
        """Ask a question; what refusals and failures mean is seen to on the way."""
        if task.user_id is None:
            raise NotFound("The player's container is not connected, or they were erased.")
        number = self.refusals.begin()
        try:
            async with asyncio.timeout(PLAYER_S) as clock:
                with self.pace.limit(clock):
                    answers = await self._asker.ask(task.player, task.user_id, task.kind, ticket)
        except TimeoutError:
            await self.pace.failed()
            raise RemoteUnavailable("the player's data did not come in time", service="container") from None
        except RemoteUnauthorized:
            if self.rules.offline:
                await self.refusals.refused(task.player, number)
            raise
        except RemoteGarbage:
            await self.pace.failed()
            raise
        if self.rules.offline:
            await self.refusals.answered(number)
            for friend in answers.refused:
                await self.refusals.refused(friend, number)
        return answers

    # --- keeping what came --------------------------------------------------------------------------------------------

    async def _keep(self, answers: Answers) -> int | None:
        """Have it applied, together with what else came; how many values changed, None where it was dropped."""
        waiting = _Waiting(answers, asyncio.get_running_loop().create_future())
        self._applying.put_nowait(waiting)
        return await waiting.changed

    @contextlib.asynccontextmanager
    async def _applying_runs(self) -> AsyncIterator[None]:
        """What comes is applied inside; once for all who are inside at the same time."""
        self._users += 1
        if self._applier is None:
            self._applier = asyncio.create_task(self._apply_all())
        try:
            yield
        finally:
            self._users -= 1
            if not self._users and (applier := self._applier) is not None:
                self._applier = None
                applier.cancel()
                await asyncio.wait({applier})

    async def _apply_all(self) -> None:
        """Apply what comes, as many together as wait. One that cannot be applied is no burden to the others."""
        while True:
            batch = [await self._applying.get()]
            if len(self._running) > 2 * TOGETHER and self._applying.qsize() < TOGETHER:
                await asyncio.sleep(GATHER_S)
            while len(batch) < TOGETHER and not self._applying.empty():
                batch.append(self._applying.get_nowait())
            batch = [waiting for waiting in batch if not waiting.changed.done()]
            if not await self._apply(batch, alone=len(batch) == 1):
                for waiting in batch:
                    await self._apply([waiting], alone=True)

    async def _apply(self, batch: Sequence[_Waiting], *, alone: bool) -> bool:
        async def work(tx: Transaction) -> Applied:
            answers = [waiting.answers for waiting in batch]
            return await apply(
                tx,
                self._container,
                answers,
                holder=self._holder,
                now_ms=self._now_ms(),
                offline=self.rules.offline,
            )

        try:
            applied = await self._database.write(work)
        except Exception as error:
            if not alone:
                return False
            for waiting in batch:
                if not waiting.changed.done():
                    waiting.changed.set_exception(error)
            return True
        for place, waiting in enumerate(batch):
            if not waiting.changed.done():
                waiting.changed.set_result(applied.changed.get(place))
        try:
            await self.delisting.settle(applied.returned)
        except Exception:  # the next plan does it
            _log.exception("lists_not_followed")
        return True

    async def _delist(self, players: Collection[int]) -> None:
        async def work(tx: Transaction) -> None:
            for player in sorted(players):
                await people.set_has_app(tx, player, False, self._now_ms())

        await self._database.write(work)
        await self.delisting.settle(players)

    # --- who comes and goes -------------------------------------------------------------------------------------------

    async def arrived(self, player: int) -> None:
        """Somebody opened the gadget or added the application: they are listed again, and synced before others.

        Raises:
            TooMany: As `request`.
        """
        await self.delisting.settle([player])
        await self.request(player)

    async def left(self, player: int) -> None:
        """The container said that somebody removed the application."""
        await self.delisting.settle([player])

    # --- the queue ----------------------------------------------------------------------------------------------------

    async def request(self, player: int) -> SyncState:
        """Have the player synced soon, unless they were just now, or wait for it already.

        Raises:
            TooMany: Asked for too often, or too many wait.
        """
        state = await self.state(player)
        now_ms = self._now_ms()
        if state.queued or (state.synced_ms is not None and now_ms - state.synced_ms < DEBOUNCE_MS):
            return state
        await self._limits.take(SYNC, str(player))

        async def work(tx: Transaction) -> bool:
            if await sync_tasks.count_present(tx, self._container) >= sync_tasks.MAX_PRESENT:
                return False
            await sync_tasks.add(tx, self._container, [(player, Kind.WHOLE)], priority=Priority.PRESENT, now_ms=now_ms)
            return True

        if not await self._database.write(work):
            raise TooMany("Too many players wait to be synced. Try again later.", wait_s=60)
        self.wake()
        return SyncState(state.synced_ms, queued=True)

    async def state(self, player: int) -> SyncState:
        """When the player was last synced whole, and whether a sync of them waits or runs."""

        async def work(reader: Reader) -> SyncState:
            now_ms = self._now_ms()
            waiting = await sync_tasks.waiting_of(reader, player)
            queued = any(one.kind is Kind.WHOLE and (one.due_ms <= now_ms or one.until_ms > now_ms) for one in waiting)
            return SyncState(await people.synced_ms(reader, player), queued)

        return await self._database.look(work)

    def wake(self) -> None:
        """Look into the queue now."""
        self._rest.clear()
        self._wake.set()

    async def settled(self) -> None:
        """Return when nothing that this process could ask waits any more, and nothing runs here."""
        await self._rest.wait()

    async def run(self, kinds: Sequence[Kind] = tuple(Kind)) -> None:
        """Ask what waits, until cancelled. A failure is logged and stops nobody else. What is held is given back."""
        self._kinds = tuple(kinds)
        try:
            async with self._applying_runs(), asyncio.TaskGroup() as group:
                group.create_task(self._prolong())
                await self._hand_out(group)
        finally:
            await to_the_end(self._leave())

    async def _leave(self) -> None:
        self._rest.clear()
        await self._database.write(lambda tx: sync_tasks.release(tx, self._holder))

    async def _prolong(self) -> None:
        """Show every now and then that this process lives."""
        while True:
            await asyncio.sleep(SIGN_OF_LIFE_S)
            try:
                if self._running:
                    await self._database.write(self._still_ours)
            except Exception:  # a database that is away comes back
                _log.exception("sync_not_prolonged")

    async def _still_ours(self, tx: Transaction) -> None:
        await sync_tasks.prolong(tx, self._holder, self._now_ms() + int(LEASE_S * 1000))

    async def _hand_out(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            tasks: list[Task] = []
            knows = True
            try:
                if self._has_room:
                    tasks = await self._claim(self._concurrency - len(self._running))
            except Exception:  # a database that is away comes back
                _log.exception("sync_not_claimed")
                knows = False
            for task in tasks:
                running = group.create_task(self._work(task))
                self._running.add(running)
                running.add_done_callback(self._ended)
            if tasks and len(self._running) < self._concurrency:
                continue
            if knows and not tasks and not self._running and not self._wake.is_set():
                self._rest.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()

    @property
    def _has_room(self) -> bool:
        """Whether it is worth to take more: a few at a time, as taking them is a transaction."""
        return self._concurrency - len(self._running) >= max(self._concurrency // 4, 1)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._has_room:
            self._wake.set()

    async def _claim(self, room: int) -> list[Task]:
        await self.pace.look()
        if self.pace.closed_s():
            return []
        if self.pace.must_probe and not await self._probed():
            return []
        now_ms = self._now_ms()
        until_ms = now_ms + int(LEASE_S * 1000)

        async def work(tx: Transaction) -> list[Task]:
            return await sync_tasks.claim(
                tx, self._container, self._holder, limit=room, now_ms=now_ms, until_ms=until_ms, kinds=self._kinds
            )

        if not await self._database.look(lambda reader: sync_tasks.is_any_due(reader, self._container, now_ms)):
            return []
        return await self._database.write(work)

    async def _probed(self) -> bool:
        """Try whether the container answers again, unless another process is at it; whether it does."""
        if not await self.pace.begin_probe():
            return False
        found = await self.refusals.probe()
        if found is None:  # nobody was ever answered for, so anybody may be the one to try
            await self.pace.opened()
            return True
        return found

    async def _work(self, task: Task) -> None:
        """Answer one question, whatever happens: what goes wrong here must not end the others."""
        try:
            await self._attempt(task)
        except Exception:  # not even what failed could be kept: the task is free again when its lease ends
            _log.exception("sync_not_kept", player=task.player, kind=task.kind.value)

    async def _attempt(self, task: Task) -> None:
        try:
            answers = await self._ask(task, task)
            changed = await self._keep(answers)
        except RemoteResting as error:
            await self._put_back(task, error.wait_s or 1.0, tried=False)
        except HomeServerError as error:
            self._meter.add("sync_failed", error.code)
            self.tally.failed[str(error)] += 1
            _log.warning("sync_failed", player=task.player, kind=task.kind.value, reason=error.code, message=str(error))
            await self._failed(task, retry=isinstance(error, RemoteUnavailable))
        except Exception:  # a bug, or a database that is away
            self._meter.add("sync_failed", "bug")
            self.tally.failed["a bug; the log has it"] += 1
            _log.exception("sync_broke", player=task.player, kind=task.kind.value)
            await self._failed(task, retry=True)
        else:
            self._meter.add("sync_done", task.kind.value)
            self._meter.add("sync_changed", count=changed or 0)
            self.tally.answered += 1
            self.tally.changed += changed or 0
            self.tally.requests += answers.requests
            _log.info(
                "synced",
                player=task.player,
                kind=task.kind.value,
                friends=len(answers.friends or ()),
                changed=changed,
                requests=answers.requests,
            )

    async def _failed(self, task: Task, *, retry: bool) -> None:
        """Try again later where that may help; the schedule finds whoever is given up."""
        if retry and task.attempts + 1 < TRIES:
            wait_s = min(FIRST_RETRY_S * 2**task.attempts, LONGEST_RETRY_S) * (0.5 + self._draw())
            await self._put_back(task, wait_s)
        else:
            await self._database.write(lambda tx: sync_tasks.finish(tx, self._holder, [task]))

    async def _put_back(self, task: Task, wait_s: float, *, tried: bool = True) -> None:
        due_ms = self._now_ms() + max(1, int(wait_s * 1000))
        await self._database.write(lambda tx: sync_tasks.put_back(tx, self._holder, task, due_ms=due_ms, tried=tried))
