"""Rebuilding a board's lists from the events of its field, while players go on playing.

1. The events up to the newest are folded, player by player, into lists of a new generation, which nobody else sees:
   first by player, then, sorted, in the order of the lists with their blocks. So each table grows at its end, where a
   row in its place among millions would cost a page each.
2. What was stored is compared with what was folded, by count and checksum.
3. The events that came meanwhile are recorded in the new lists, as writers do, until hardly any is left.
4. With the board held alone, the last of them are recorded, and the new generation is put in force. Whoever waited for
   the board finds it there.

Writers know nothing of this, and wait for one short transaction. Nothing is lost, because the newest event is asked for
while nobody is in the middle of writing one: what is older has been read, what is newer will be.

What stops half way leaves lists that nobody sees; the next rebuild of the board has them deleted.

What operators decide meanwhile is obeyed: whoever they acted on since the rebuild began is replayed in what it built,
and whoever was erased is taken out of it, at the latest in the transaction that puts it in force. Nobody has to wait
with an act until a rebuild is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from types import TracebackType
from typing import Any, Final, Self

from homeserver.domain.boards import BoardInForce
from homeserver.domain.replay import Conditions, Event, Made, Replay, Tally
from homeserver.errors import Conflict, DatabaseUnavailable
from homeserver.model import Board, NowMs, Ties
from homeserver.services.sweeping import sweep
from homeserver.services.turns import to_the_end
from homeserver.storage import adjustments, blocks, erasing, leases, moderation, rebuild, replays
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import SIZES, Move, Sizes
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.erasing import Erasures
from homeserver.storage.moderation import ActedOn
from homeserver.storage.rebuild import Cuts, Row
from homeserver.storage.sorting import Sorting

LEASE_MS: Final = 60_000
"""A rebuild that did nothing for so long is taken for dead."""

_ALL: Final = 2**31

Progress = Callable[[int, int], None]
"""Told how far it is: so many of so many players, or of what else there is to do."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much one transaction does. Writers of SQLite wait for as long as it takes.

    Measured among a million entries, on two busy cores: 0.05 to 0.1 s for 20,000 rows, which are written at the end of
    their table, 3 us for each row deleted in its order.
    """

    events: int = 10_000
    """Read at once."""
    rows: int = 20_000
    """Written at once."""
    deleted: int = 5_000
    """Deleted at once."""
    caught_up: int = 200
    """So many events at most are left for the transaction that holds the board alone, unless they never get fewer."""
    rounds: int = 50
    replayed: int = 100
    """Acts of operators whose players are replayed in one transaction."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found: how many events it folded, and entries of all lists before and now."""

    events: int
    lists: int
    entries: int
    entries_before: int


@dataclass(frozen=True, slots=True)
class Anew:
    """What else a rebuild does that lets a board begin anew, or takes that back."""

    since: Callable[[int], int]
    """From the newest event, the one up to which none makes entries."""
    switch: Callable[[Transaction, BoardInForce], Awaitable[None]]
    """Run in the transaction that puts the new lists in force, with the board as it was until then."""


Finished = Callable[[Transaction, Rebuilt], Awaitable[object]]
"""Run at the end of the transaction that puts the new lists in force; what it raises leaves all as it was."""


@dataclass(slots=True)
class _Build:
    """A rebuild under way."""

    building: BoardInForce
    was: BoardInForce | None
    holder: str
    conditions: Conditions
    """What operators had decided when it began."""
    acts: int
    """What operators did up to here is obeyed in the new lists."""
    erasures: Erasures
    """As it was when the rebuild began."""
    anew: Anew | None
    until: int = 0
    """Events up to here are in the new lists."""
    events: int = 0
    lists: frozenset[int] = frozenset()
    """Those that were filled."""
    late: set[int] = field(default_factory=set)
    """Whose score was adjusted that later events had made: they are replayed at the end."""
    finished: Finished | None = None


class _Behind:
    """One thing at a time that goes on behind whoever prepares the next. A context, which ends when all is done.

    What fails is raised where the next thing is to be run, or by the context.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for what was run before, then go on with this."""
        try:
            await self._done()
        except BaseException:
            work.close()
            raise
        self._task = asyncio.ensure_future(work)

    async def _done(self) -> None:
        if self._task is not None:
            await self._task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Nothing of ours goes on behind the back of whoever tries again.
        if self._task is not None:
            await asyncio.wait({self._task})
        if error is None:
            await self._done()


class Rebuilds:
    """Rebuilds boards, each one at a time among all processes."""

    def __init__(self, database: Database, now_ms: NowMs, *, pace: Pace | None = None, sizes: Sizes = SIZES) -> None:
        self._database = database
        self._now_ms = now_ms
        self._pace = pace or Pace()
        self._sizes = sizes

    async def rebuild(
        self,
        board: Board,
        *,
        revision: int | None,
        progress: Progress,
        anew: Anew | None = None,
        finished: Finished | None = None,
    ) -> Rebuilt:
        """Build the board's lists anew by this definition, and put both in force.

        Args:
            revision: Of the definition that it replaces; None for a board that is new.

        Raises:
            Conflict: It is being rebuilt already, or its definition has been changed meanwhile. Nothing has changed.
        """
        holder = secrets.token_hex(8)
        build = await self._database.write(lambda tx: self._begin(tx, board, revision, holder, anew))
        build.finished = finished
        try:
            await self._load(build, progress)
            rebuilt = await self._switch(build)
        finally:
            name = rebuild.LEASE + board.id
            await to_the_end(self._database.write(lambda tx: leases.release(tx, name, holder)))
        with contextlib.suppress(DatabaseUnavailable):  # it is in force all the same; upkeep does what is left
            await self.sweep()
        return rebuilt

    async def sweep(self) -> None:
        """Delete lists that are not used any more, a part at a time."""
        await sweep(self._database, self._pace.deleted)

    # --- steps --------------------------------------------------------------------------------------------------------

    async def _begin(
        self, tx: Transaction, board: Board, revision: int | None, holder: str, anew: Anew | None
    ) -> _Build:
        await rebuild.alone(tx, board)
        await self._hold(tx, board.id, holder)
        was = await store.board_in_force(tx, board.id)
        _check_revision(board, was, revision)
        generation = await rebuild.new_generation(tx, board.id)
        revision = store.FIRST_REVISION if was is None else was.revision + (was.board != board)
        building = BoardInForce(board, revision, generation)
        until = await rebuild.newest_event(tx, board)
        if was is not None:
            building = replace(building, since_event=was.since_event, closures=was.closures)
        if anew is not None:
            building = replace(building, since_event=anew.since(until))
        obeyed = await replays.conditions(tx, building, await moderation.floors_on(tx, board.id))
        acts = await moderation.newest_act(tx)
        return _Build(building, was, holder, obeyed, acts, await erasing.erasures(tx), anew, until)

    async def _hold(self, tx: Transaction, board_id: str, holder: str) -> None:
        now_ms = self._now_ms()
        name = rebuild.LEASE + board_id
        if not await leases.acquire(tx, name, holder, now_ms=now_ms, until_ms=now_ms + LEASE_MS):
            raise Conflict(f"The board {board_id} is being rebuilt by another process. Try again when it is done.")

    async def _load(self, build: _Build, progress: Progress) -> None:
        """Fold all events up to `until` into entries by player, then store these again in their order."""
        with Sorting() as sorting:
            expected = await self._fold(build, sorting, progress)
            await self._store(build, sorting)
        await self._compare(build, expected)

    async def _fold(self, build: _Build, sorting: Sorting, progress: Progress) -> dict[str, Tally]:
        """Fold all events. What is folded is written while the next are."""
        board = build.building.board
        # An event counts at the time that it has, by whose clock it was accepted. Ours may be behind, or was set back
        # since: what was reached "later than now" has been reached then all the same, and is ranked so already.
        replay = Replay(board, self._now_ms(), build.conditions, any_time=True)
        players = await self._database.read(rebuild.last_player)
        last: Event | None = None
        async with _Behind() as behind:
            while found := await self._events(build, last):
                replay.add(found)
                last = found[-1]
                build.events += len(found)
                progress(min(last[1], players), players)
                if replay.waiting >= self._pace.rows:
                    await behind.run(self._fill(build, sorting, replay.take()))
            replay.finish()
            await behind.run(self._fill(build, sorting, replay.take()))
        progress(players, players)
        return replay.tallies

    async def _events(self, build: _Build, last: Event | None) -> Sequence[Event]:
        return await self._database.read(
            lambda reader: rebuild.events(
                reader, build.building.board.field, last, build.until, limit=self._pace.events
            )
        )

    async def _fill(self, build: _Build, sorting: Sorting, made: list[Made]) -> None:
        async def work(tx: Transaction) -> list[Row]:
            await self._hold(tx, build.building.board.id, build.holder)
            return await rebuild.fill(tx, build.building, made)

        sorting.add(await self._database.write(work))

    async def _store(self, build: _Build, sorting: Sorting) -> None:
        """Store the entries in their order, and their blocks."""
        dense = build.building.board.ties is Ties.DENSE
        cuts: dict[int, Cuts] = {}
        async with _Behind() as behind:
            async for rows in sorting.read(self._pace.rows):
                scores: list[tuple[int, int, int]] = []
                for list_, its in groupby(rows, key=itemgetter(0)):
                    if list_ not in cuts:
                        cuts[list_] = Cuts(list_, self._sizes, dense=dense)
                    scores += cuts[list_].add(list(its))
                await behind.run(self._store_some(build, rows, scores))
        for list_, cut in cuts.items():
            await self._database.write(partial(rebuild.store_scores, rows=cut.last_scores()))
            await self._store_blocks(build, list_, cut)

    async def _store_some(self, build: _Build, rows: Sequence[Row], scores: Sequence[tuple[int, int, int]]) -> None:
        async def work(tx: Transaction) -> None:
            await self._hold(tx, build.building.board.id, build.holder)
            await rebuild.fill_sorted(tx, rows)
            await rebuild.store_scores(tx, scores)

        await self._database.write(work)

    async def _store_blocks(self, build: _Build, list_: int, cuts: Cuts) -> None:
        async def work(tx: Transaction, some: Sequence[Sequence[int]], *, begin: bool) -> None:
            await self._hold(tx, build.building.board.id, build.holder)
            await rebuild.store_blocks(tx, list_, some, begin=begin)

        rows, begin = cuts.rows(), True
        while some := list(islice(rows, self._pace.rows)):
            await self._database.write(partial(work, some=some, begin=begin))
            begin = False

    async def _compare(self, build: _Build, expected: dict[str, Tally]) -> None:
        lists = await self._database.read(lambda reader: rebuild.lists_of(reader, build.building))
        folded = {lists[period]: tally for period, tally in expected.items() if period in lists}
        for stored in await self._database.read(lambda reader: rebuild.tallies(reader, lists.values())):
            if stored != folded or lists.keys() != expected.keys():
                raise RuntimeError(f"lists of {expected} were folded; of the lists {lists}, {stored} is stored")
        build.lists = frozenset(lists.values())

    async def _switch(self, build: _Build) -> Rebuilt:
        """Catch up with the writers, then change over."""
        for number in range(self._pace.rounds):
            most = self._pace.caught_up if number < self._pace.rounds - 1 else None
            newest, rebuilt = await self._database.write(lambda tx, most=most: self._try_switch(tx, build, most))  # type: ignore[misc]
            if rebuilt is not None:
                return rebuilt
            more = True
            while more:
                acted, late = await self._database.write(lambda tx: self._catch_up_with_acts(tx, build))
                build.acts, more = acted.until, acted.more
                build.late |= late
            while build.until < newest:
                build.until, recorded = await self._database.write(lambda tx, to=newest: self._catch_up(tx, build, to))  # type: ignore[misc]
                build.events += recorded
        raise AssertionError("unreachable")

    async def _catch_up(self, tx: Transaction, build: _Build, newest: int) -> tuple[int, int]:
        """Record some of the events that came meanwhile: up to which, and how many."""
        board, limit = build.building.board, self._pace.events
        await tx.lock(blocks.lock_name(board.id), shared=True)
        await self._hold(tx, board.id, build.holder)
        found = await rebuild.later_events(tx, board.field, build.until, newest, limit)
        await self._record(tx, build, found)
        return (found[-1][0] if len(found) == limit else newest), len(found)

    async def _catch_up_with_acts(self, tx: Transaction, build: _Build) -> tuple[ActedOn, set[int]]:
        """Replay some of those on whom operators acted meanwhile: who they are, and who of them are late."""
        board = build.building.board
        await tx.lock(blocks.lock_name(board.id), shared=True)
        await self._hold(tx, board.id, build.holder)
        acted = await moderation.acted_on(tx, board.id, build.acts, self._pace.replayed)
        moves = await replays.moves(tx, build.building, acted.players, self._now_ms(), until=build.until)
        await store.write(tx, moves, self._sizes)
        adjusted = await adjustments.on(tx, board.id, acted.players)
        return acted, {player for player, its in adjusted.items() if its[-1].event > build.until}

    async def _try_switch(self, tx: Transaction, build: _Build, most: int | None) -> tuple[int, Rebuilt | None]:
        """Change over if no more than `most` events, and few acts of operators, are left; the newest event."""
        board = build.building.board
        newest = await rebuild.newest_event(tx, board)
        await self._hold(tx, board.id, build.holder)
        limit = newest if most is None else most + 1
        found = await rebuild.later_events(tx, board.field, build.until, newest, limit)
        acted = await moderation.acted_on(tx, board.id, build.acts, _ALL if most is None else self._pace.replayed)
        if most is not None and (len(found) > most or acted.more):
            return newest, None
        was = await store.board_in_force(tx, board.id)
        _check_revision(board, was, None if build.was is None else build.was.revision)
        if was is not None and build.was is not None and _state(was) != _state(build.was):
            raise Conflict(f"The board {board.id} was reset, opened or closed meanwhile. Run the rebuild again.")
        before = 0 if was is None else await self._entries(tx, was)
        lists = await rebuild.lists_of(tx, build.building)
        erased = await erasing.unfinished_since(tx, build.erasures)
        if erased is None or not build.lists <= set(lists.values()):
            raise Conflict(f"The rebuild of {board.id} stood still for too long. Run it again.")
        if build.anew is not None and was is not None:
            await build.anew.switch(tx, was)
        await rebuild.put_in_force(tx, build.building, self._now_ms())
        replayed = acted.players | build.late | erased
        if was is None:  # no act on a board that is not there is in the log: whoever went off the lists, or came back
            floors = await moderation.floors_on(tx, board.id)
            replayed |= {player for player, _ in floors.items() ^ build.conditions.floors.items()}
        moves = await replays.moves(tx, build.building, replayed, self._now_ms(), nobody=erased)
        found = [event for event in found if event[1] not in replayed]
        await self._record(tx, build, found, besides=moves)
        entries = await self._entries(tx, build.building)
        rebuilt = Rebuilt(build.events + len(found), len(lists), entries, before)
        if build.finished is not None:
            await build.finished(tx, rebuilt)
        return newest, rebuilt

    async def _record(
        self, tx: Transaction, build: _Build, found: Sequence[Event], besides: Sequence[Move] = ()
    ) -> None:
        changes = rebuild.changes(build.building.board.field, found)
        now_ms = max([self._now_ms(), *(change.at_ms for change in changes)])  # at the times that they have
        building = replace(build.building, moderated=True)  # somebody may have been hidden just now
        await store.record(tx, [building], changes, now_ms, self._sizes, besides=besides)

    async def _entries(self, reader: Reader, in_force: BoardInForce) -> int:
        """Entries of all the board's lists, as their blocks have it, which agree with each other."""
        lists = await rebuild.lists_of(reader, in_force)
        counted = await rebuild.counted(reader, lists.values())
        for list_, levels in counted.items():
            if len(set(levels)) != 1:
                raise RuntimeError(f"list {list_}: the levels of its blocks hold {levels} entries")
        return sum(levels[0] for levels in counted.values())


def _state(in_force: BoardInForce) -> tuple[object, ...]:
    """What a rebuild takes over from the board as it found it."""
    return in_force.generation, in_force.since_event, in_force.closures


def _check_revision(board: Board, found: BoardInForce | None, expected: int | None) -> None:
    if (None if found is None else found.revision) != expected:
        raise Conflict(f"The board {board.id} was changed meanwhile by somebody else. Look again what is to be done.")
