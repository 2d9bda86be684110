"""Leaderboards as people use them: pages, places, and a score that is submitted.

Every view is read in one snapshot: its ranks, total, names and cursors fit together. The clock is read once for each
request, so `day` cannot change its meaning within one.

A page of a list reads a bounded number of rows, on SQLite in a fraction of a millisecond, so it is looked up on the
event loop. Friends may be many and each is counted, and a search reads all names: a search, and more than a few
friends, go to the readers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Final, Protocol, TypeVar, cast

from homeserver.domain import claimed_dates, ranking, scores
from homeserver.domain.boards import BoardInForce
from homeserver.domain.cursors import Cursor, Cursors, Direction, Scope
from homeserver.domain.scores import INT64_MIN
from homeserver.errors import BadInput, Conflict, NotFound
from homeserver.model import AppData, Board, DetailedPlace, EntryPage, NowMs, Origin, Placed, Position
from homeserver.services import board_lists, own_places
from homeserver.services.board_lists import List, Shown
from homeserver.services.own_places import Mirror
from homeserver.services.score_writes import ScoreWrites
from homeserver.services.turns import Turn
from homeserver.storage import appdata, people, standings
from homeserver.storage import leaderboards as store
from homeserver.storage.appdata import Observation
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.standings import Run

MAX_LIMIT: Final = 100
MAX_SEARCH: Final = 100
DEFAULT_LIMIT: Final = 20
FEW_FRIENDS: Final = 200
"""So many are counted on the event loop: two or three milliseconds, less than it takes to have the readers do it."""


class AppDataWrite(Protocol):
    """What one update of a player's AppData found and left."""

    @property
    def before(self) -> AppData:
        """As read from the container before the change."""

    @property
    def after(self) -> AppData:
        """As the container holds it now."""

    @property
    def read_at_ms(self) -> int:
        """When the request that read it was sent."""

    @property
    def written_at_ms(self) -> int:
        """When the answer to the write came."""

    @property
    def turn(self) -> Turn:
        """The turn of this player, given back when the context ends, or before."""


class AppDataWriter(Protocol):
    """Writes a player's AppData in their container, one update of a player at a time."""

    def updating(self, player: int, changes: Mapping[str, str]) -> AbstractAsyncContextManager[AppDataWrite]:
        """Set these keys and leave all others as they are; nobody else writes this player until the context ends."""


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _OwnWork(Protocol[T_co]):
    """Reads something about the reader: `look` says that only a bounded number of rows may be read; None, that it would
    take more."""

    def __call__(self, db: Reader, *, look: bool) -> Awaitable[T_co | None]: ...


_WHOLE: Final = "all"
"""The view whose cursors lead through the whole list."""


class Leaderboards:
    """Every use of the boards.

    Common to the views: `period` is an id or a span's word (`domain/periods.py`), `reader` the player who looks or
    None, `limit` 1 to 100. `EntryPage.total` counts the entries of the whole list, whatever part of it the view shows,
    so "rank of total" is right everywhere.

    Common errors: NotFound (no such board), BadInput (field "period", "limit", "at_rank", "at_score" or "search"),
    BadCursor.
    """

    def __init__(
        self,
        database: Database,
        writer: AppDataWriter,
        now_ms: NowMs,
        cursor_key: bytes,
        *,
        writes: ScoreWrites | None = None,
    ) -> None:
        """`writes`: what else writes scores in this process, to share transactions with."""
        self._database = database
        self._writes = writes or ScoreWrites(database)
        self._writer = writer
        self._now_ms = now_ms
        self._cursors = Cursors(cursor_key)

    # --- boards -------------------------------------------------------------------------------------------------------

    async def seed(self, wanted: Sequence[Board]) -> tuple[str, ...]:
        """At start: store the definitions that the database lacks.

        Returns:
            A sentence for each board whose settings differ from what the database has, and serves.

        Raises:
            BadInput: A definition is not right.
        """
        return await self._database.write(lambda tx: store.seed(tx, wanted))

    async def boards(self) -> tuple[Board, ...]:
        """All boards, in their order."""
        found = await self._database.glance(store.boards_in_force)
        return tuple(in_force.board for in_force in found)

    async def offered(self) -> tuple[tuple[Board, int | None], ...]:
        """All boards, in their order, and since when each takes no scores; None: it does."""
        found = await self._database.glance(store.boards_in_force)
        return tuple((in_force.board, in_force.closed_ms) for in_force in found)

    async def board(self, board_id: str) -> Board:
        """One board."""
        return (await self._database.glance(lambda db: board_lists.board(db, board_id))).board

    async def fields(self) -> tuple[str, ...]:
        """The AppData keys that boards are made of, sorted."""
        return claimed_dates.keys(await self.boards())

    # --- views --------------------------------------------------------------------------------------------------------

    async def entries(
        self,
        board_id: str,
        *,
        period: str = "all",
        reader: int | None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> EntryPage:
        """The best entries, or those next to a cursor: directly behind it, or directly before it.

        A page that a `previous` cursor leads to may be short where the list begins; it never repeats an entry of the
        page that the cursor came from.
        """
        _check_limit(limit)

        async def work(db: Reader) -> EntryPage:
            shown = await self._list(db, board_id, period)
            at = None if cursor is None else self._cursors.open(shown.scope(_WHOLE), cursor)
            ties = shown.board.ties
            if at is None:
                run = await standings.run_from(db, shown.number, ties, standings.BEGINNING, limit)
            elif at.direction is Direction.NEXT:
                run = await standings.run_after(db, shown.number, ties, at.position, limit)
            else:
                run = await standings.run_before(db, shown.number, ties, at.position, limit)
            return self._page(await board_lists.show(db, shown, run, reader), shown.scope(_WHOLE), run, at)

        return await self._database.look(work)

    async def around(self, board_id: str, *, period: str = "all", reader: int, limit: int = DEFAULT_LIMIT) -> EntryPage:
        """The reader's entry with its neighbours; at either end of the list a full page all the same.

        A reader without an entry gets the best entries: that shows what there is to reach, an empty page nothing. One
        whose entry nobody else sees gets those among which it would be.
        """
        _check_limit(limit)

        async def work(db: Reader, *, look: bool) -> EntryPage | None:
            shown = await self._list(db, board_id, period)
            if look and await own_places.needs_events(db, shown, reader):
                return None
            around = (await own_places.entry(db, shown, reader)).position or standings.BEGINNING
            run = await standings.run_around(db, shown.number, shown.board.ties, around, limit)
            return self._page(await board_lists.show(db, shown, run, reader), shown.scope(_WHOLE), run)

        return await self._own(work)

    async def at_rank(
        self, board_id: str, *, period: str = "all", reader: int | None, rank: int, limit: int = DEFAULT_LIMIT
    ) -> EntryPage:
        """The entries from this rank on; beyond the last rank, the last page. See `standings.run_at_rank`."""
        _check_limit(limit)
        if rank < 1:
            raise BadInput("a rank is a whole number from 1 on", field="at_rank")

        async def work(db: Reader) -> EntryPage:
            shown = await self._list(db, board_id, period)
            run = await standings.run_at_rank(db, shown.number, shown.board.ties, rank, limit)
            return self._page(await board_lists.show(db, shown, run, reader), shown.scope(_WHOLE), run)

        return await self._database.look(work)

    async def at_score(
        self, board_id: str, *, period: str = "all", reader: int | None, score: str, limit: int = DEFAULT_LIMIT
    ) -> EntryPage:
        """The entries from the first one on that has this score or a worse one; where there is none, the last page.

        `score` is decimal text as the board writes its scores. It may lie outside of the board's range: that is no
        score to claim, but a place to look at.
        """
        _check_limit(limit)

        async def work(db: Reader) -> EntryPage:
            shown = await self._list(db, board_id, period)
            board = shown.board
            try:
                key = scores.key_of(scores.parse(score, board.decimals), board.order)
            except BadInput as error:
                raise BadInput(str(error), field="at_score") from error
            start = Position(key, INT64_MIN, INT64_MIN)
            run = await standings.run_from(db, shown.number, board.ties, start, limit)
            if run.more_before and not run.standings:
                run = await standings.run_before(db, shown.number, board.ties, start, limit)
            return self._page(await board_lists.show(db, shown, run, reader), shown.scope(_WHOLE), run)

        return await self._database.look(work)

    async def friends(
        self,
        board_id: str,
        *,
        period: str = "all",
        reader: int,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> EntryPage:
        """The entries of the reader and their friends, best first, each with its rank in the whole list and its place
        among them. Friends without an entry shift nobody."""
        _check_limit(limit)
        view = f"friends of {reader}"

        async def work(db: Reader, *, look: bool) -> EntryPage | None:
            if look and await people.has_more_friends(db, reader, FEW_FRIENDS):
                return None
            shown = await self._list(db, board_id, period)
            at = None if cursor is None else self._cursors.open(shown.scope(view), cursor)
            found = await standings.among_friends(db, shown.number, reader)
            begin, end = _part(found, at, limit)
            part = await standings.standings(db, shown.number, shown.board.ties, found[begin:end])
            run = Run(part, more_before=begin > 0, more_behind=end < len(found))
            places = ranking.among(shown.board.ties, [position.key for position in found])
            entries = await board_lists.show(db, shown, run, reader, places[begin:end])
            return replace(self._page(entries, shown.scope(view), run, at), friends=len(found))

        return await self._own(work)

    async def search(
        self, board_id: str, *, period: str = "all", reader: int | None, text: str, limit: int = DEFAULT_LIMIT
    ) -> EntryPage:
        """The best entries of players whose shown name holds `text`, whatever its case and accents. One page only."""
        _check_limit(limit)
        if not 0 < len(text.strip()) <= MAX_SEARCH:
            raise BadInput(f"1 to {MAX_SEARCH} characters of a name", field="search")

        async def work(db: Reader) -> EntryPage:
            shown = await self._list(db, board_id, period)
            found = await standings.search(db, shown.number, text, limit)
            part = await standings.standings(db, shown.number, shown.board.ties, found)
            run = Run(part, more_before=False, more_behind=False)
            return self._page(await board_lists.show(db, shown, run, reader), shown.scope(_WHOLE), run)

        return await self._database.read(work)

    async def place(self, board_id: str, *, period: str = "all", player: int, own: bool = False) -> DetailedPlace:
        """Where the player stands on one board in one period.

        Args:
            own: It is the player who looks: if others do not see their entry, they see the place that they would have.
        """

        async def work(db: Reader, *, look: bool) -> DetailedPlace | None:
            shown = await self._list(db, board_id, period)
            return await _place(db, shown, player, Mirror(db, player) if own else None, look=look)

        return await self._own(work)

    async def places(self, player: int, *, own: bool = False) -> tuple[DetailedPlace, ...]:
        """Where the player stands on every board in every current period, in the order of boards and spans.

        Args:
            own: As for `place`.
        """
        now_ms = self._now_ms()

        async def work(db: Reader, *, look: bool) -> tuple[DetailedPlace, ...] | None:
            found: list[DetailedPlace] = []
            mirror = Mirror(db, player) if own else None
            for in_force in await store.boards_in_force(db):
                for shown in await board_lists.current(db, in_force, now_ms):
                    place = await _place(db, shown, player, mirror, look=look)
                    if place is None:
                        return None
                    found.append(place)
            return tuple(found)

        return await self._own(work)

    async def _own(self, work: _OwnWork[T]) -> T:
        """Look; only where that gives nothing, read. See `own_places`."""
        found = await self._database.look(partial(work, look=True))
        if found is None:
            found = await self._database.read(partial(work, look=False))
        return cast("T", found)

    # --- a score ------------------------------------------------------------------------------------------------------

    async def submit(self, player: int, board_id: str, value: str, date: str | None = None) -> Placed:
        """Write a score into the player's AppData in the container, then let it count.

        `date` is when they say that they reached it; see `claimed_dates`. It goes with the score, in one write.

        The container gets the score's canonical text whether or not it is a best one: AppData holds the latest, the
        board decides what stands. What was read on the way counts first, as what any read brings; then the score, in
        every period, at the time when the container's answer came. One that the board doubts (its largest step, or gain
        per hour) is written all the same, and waits.

        Returns:
            The new place in each current period of this board, with the rank that the player would have there without
            this score: what others did meanwhile is in both.

        Raises:
            NotFound: No such board, or no such player; or they were erased meanwhile, and nothing counts.
            BadInput: `value` is no score of this board (field "value"), or `date` is none that could be claimed, or the
                board takes none (field "date"). Nothing was written anywhere.
            Conflict: The board is closed. Nothing was written anywhere.
            TooMany: This player's AppData is written too often.
            RemoteError: The container did not take it, or did not say so. Nothing counts; a sync finds what it took.
        """
        boards = await self._database.glance(store.boards_in_force)
        in_force = next((each for each in boards if each.board.id == board_id), None)
        if in_force is None:
            raise NotFound("no such board")
        if in_force.closed_ms is not None:
            raise Conflict("The board is closed: it takes no scores now.")
        board = in_force.board
        text = scores.exact(scores.read(board, value), board.decimals)
        changes = {board.field: text}
        if date is not None:
            if board.date_field is None:
                raise BadInput(f"the board {board.id} takes no date", field="date")
            changes[board.date_field] = claimed_dates.read(date, self._now_ms())
        # Counted before the next write of this player may begin: the first score of two must be the first to count.
        async with self._writer.updating(player, changes) as written:
            read = _values_read(boards, written)
            if not await self._database.glance(lambda db: appdata.is_known(db, player, read)):
                await self._writes.write(lambda tx, boards: _read(tx, boards, player, written))
            counted = await self._writes.write(
                lambda tx, boards: _submitted(tx, boards, player, changes, written), fields=changes.keys()
            )
            written.turn.is_over = True
            moves = {move.list: move.old for move in counted.moves}
            placed, is_seen = await self._database.look(
                lambda db: self._placed(db, player, board, text, written, moves)
            )
        if is_seen:
            return placed
        return await self._database.read(lambda db: self._as_they_see_it(db, player, placed))

    async def _as_they_see_it(self, db: Reader, player: int, placed: Placed) -> Placed:
        """The same with the places that the player would have: others do not see theirs."""
        in_force, mirror = await board_lists.board(db, placed.board.id), Mirror(db, player)
        periods = [change.place.period for change in placed.changes]
        lists = await board_lists.lists(db, in_force, periods, self._now_ms())
        changes = [
            replace(change, place=await mirror.place(shown))
            for change, shown in zip(placed.changes, lists, strict=True)
        ]
        return replace(placed, changes=tuple(changes))

    async def _placed(  # noqa: PLR0917 - what is known of one write
        self,
        db: Reader,
        player: int,
        board: Board,
        text: str,
        written: AppDataWrite,
        moves: Mapping[int, Position | None],
    ) -> tuple[Placed, bool]:
        """What came of it, read after it was counted: within, others would wait for the blocks of the list. And whether
        others see it. `moves`: see `board_lists.place_change`."""
        in_force = await board_lists.board(db, board.id)
        lists = await board_lists.current(db, in_force, written.written_at_ms)
        changes = [await board_lists.place_change(db, shown, player, moves) for shown in lists]
        pending = await board_lists.pending(db, in_force, player)
        placed = Placed(in_force.board, written.after.get(board.field, text), tuple(changes), pending)
        return placed, not lists or not await own_places.needs_events(db, lists[0], player)

    # --- parts --------------------------------------------------------------------------------------------------------

    async def _list(self, db: Reader, board_id: str, period: str) -> List:
        return await board_lists.named(db, board_id, period, self._now_ms())

    def _page(self, shown: Shown, scope: Scope, run: Run, at: Cursor | None = None) -> EntryPage:
        # A page may be empty behind or before its cursor; the way back then includes the cursor's own place.
        edge = standings.BEGINNING if at is None else at.position
        first = run.standings[0].position if run.standings else standings.just_behind(edge)
        last = run.standings[-1].position if run.standings else standings.just_before(edge)
        return EntryPage(
            board=shown.list.board,
            period=shown.list.period,
            total=shown.total,
            entries=shown.entries,
            next=self._cursors.seal(scope, Cursor(Direction.NEXT, last)) if run.more_behind else None,
            previous=self._cursors.seal(scope, Cursor(Direction.PREVIOUS, first)) if run.more_before else None,
            as_of_ms=shown.list.now_ms,
        )


async def _place(db: Reader, shown: List, player: int, mirror: Mirror | None, *, look: bool) -> DetailedPlace | None:
    """The player's place, as they see it in a mirror; None where that is not to be found by a look."""
    if mirror is None:
        return await board_lists.detailed_place(db, shown, await board_lists.standing_in(db, shown, player))
    if look and await mirror.needs_events(shown):
        return None
    return await mirror.place(shown)


async def _read(
    tx: Transaction, boards: Sequence[BoardInForce], player: int, written: AppDataWrite
) -> list[Observation]:
    """What was read on the way; see `submit`."""
    await people.user_of(tx, player)  # erased while the container was asked: nothing may be kept
    words = claimed_dates.only_words(each.board for each in boards)
    values = _values_read(boards, written)
    return [Observation(player, values, written.read_at_ms, written.read_at_ms, Origin.READ, words)]


def _values_read(boards: Sequence[BoardInForce], written: AppDataWrite) -> dict[str, str | None]:
    return {key: written.before.get(key) for key in claimed_dates.keys(each.board for each in boards)}


async def _submitted(
    tx: Transaction, boards: Sequence[BoardInForce], player: int, changes: Mapping[str, str], written: AppDataWrite
) -> list[Observation]:
    """What the container has taken; see `submit`. The turn is over when that is kept."""
    await people.user_of(tx, player)
    await written.turn.leave(tx)
    values = {key: written.after.get(key) for key in changes}
    words = claimed_dates.only_words(each.board for each in boards)
    return [Observation(player, values, written.written_at_ms, written.written_at_ms, Origin.SUBMITTED, words)]


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInput(f"1 to {MAX_LIMIT} entries a page", field="limit")


def _part(found: Sequence[Position], at: Cursor | None, limit: int) -> tuple[int, int]:
    """Which of these entries, sorted, make the page next to a cursor: begin and end."""
    if at is None:
        return 0, min(limit, len(found))
    if at.direction is Direction.NEXT:
        begin = bisect_right(found, at.position)
        return begin, min(begin + limit, len(found))
    end = bisect_left(found, at.position)
    return max(end - limit, 0), end
