"""Whatever happens to boards, in any order: after each step they are what a naive list of all events says.

Hypothesis plays a house: values change in the container, syncs bring them, scores are submitted, files imported, clocks
move and are set back, boards rebuilt, changed, dropped and made again, while others hold cursors. Blocks are tiny, so
that a few players are enough to cut and join them on both levels. On both engines.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from homeserver.domain.score_files import FileFormat
from homeserver.errors import BadCursor, BadInput, Conflict, NotFound
from homeserver.model import (
    Board,
    Change,
    Counts,
    Decision,
    Keep,
    Kept,
    Order,
    Origin,
    Person,
    Season,
    Span,
    State,
    Ties,
)
from homeserver.services.board_admin import BoardAdmin
from homeserver.services.board_import import BoardImport
from homeserver.services.board_lists import OVERTAKEN
from homeserver.services.board_views import BoardViews
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.moderation import Moderation
from homeserver.services.rebuilds import Rebuilds
from homeserver.services.upkeep import Upkeep
from homeserver.storage import appdata, people
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import Sizes
from homeserver.storage.database import Database, Transaction, open_database
from tests.board_process import use_small_blocks
from tests.boards_judge import check_events, check_tables, events
from tests.clock import NOON_MS, Clock
from tests.conftest import Place, sweep
from tests.leaderboards_kit import KEY, Container, make_players
from tests.moderation_kit import traces
from tests.naive_board import Row
from tests.naive_house import NaiveHouse, id_of, ids_at, ranked, score_of, share_of_worse
from tests.rebuild_kit import SLOW
from tests.recounting import recount
from tests.test_board_views import distribution_equals
from tests.test_leaderboards_model import View, page_row
from tests.writing import observe_person

T = TypeVar("T")

MANY_CURSORS: Final = 8
TINY: Final = Sizes(block=2, fanout=2)
NAMES: Final = ["Ana", "Bruno", "Anabela", "Carlos", "Dulce", "Eva", "Mariana", "João", "Zé"]
FIELDS: Final = ("letters", "laps")
# One for each policy of ties; the rest is drawn.
BOARDS: Final = [Board(f"{ties}", "B", "letters", ties=ties) for ties in Ties]

PLAYERS: Final = st.integers(0, len(NAMES) - 1)
SCORES: Final = st.integers(-3, 3).map(str)
# Most are scores, and few of them differ, so that many are tied.
VALUES: Final = st.one_of(SCORES, SCORES, SCORES, st.sampled_from([None, "junk", "03", "-9", ""]))
NUMBERS: Final = st.integers(0, 2)
"""Which of the boards, and a few more choices."""
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
AGO_MS: Final = st.sampled_from([None, 0, 1, HOUR_MS, DAY_MS, 8 * DAY_MS, 40 * DAY_MS])
SEASONS: Final = (
    Season("early", "Early", NOON_MS - 3 * DAY_MS, NOON_MS + DAY_MS),
    Season("late", "Late", NOON_MS + 5, NOON_MS + 20 * DAY_MS),
)
FEW_KEPT: Final = Kept(month=1, week=1, day=1)
PERIODS: Final = st.one_of(st.sampled_from(["all", "day", "week", "month", "season"]), st.integers(0, 50))
"""A span's word, or the number of a list that somebody is in."""
SETTINGS: Final = st.one_of(
    st.tuples(st.just("order"), st.sampled_from(Order)),
    st.tuples(st.just("keep"), st.sampled_from(Keep)),
    st.tuples(st.just("ties"), st.sampled_from(Ties)),
    st.tuples(st.just("minimum"), st.sampled_from([None, -3, 0])),
    st.tuples(st.just("maximum"), st.sampled_from([None, 2])),
    st.tuples(st.just("zone"), st.sampled_from(["UTC", "America/Sao_Paulo", "Pacific/Auckland"])),
    st.tuples(st.just("first_weekday"), st.sampled_from([0, 6])),
    st.tuples(st.just("field"), st.sampled_from(FIELDS)),
    st.tuples(st.just("spans"), st.sampled_from([BOARDS[0].spans, (Span.ALL,), (Span.ALL, Span.DAY)])),
    st.tuples(st.just("title"), st.sampled_from(["B", "Another"])),
    st.tuples(st.just("counts"), st.sampled_from(Counts)),
    st.tuples(st.just("largest_step"), st.sampled_from([None, 1, 3])),
    # A gain of 1 costs a whole number of milliseconds, so the naive bucket of fractions agrees to the last one.
    st.tuples(st.just("largest_gain_per_hour"), st.sampled_from([None, 2, 3])),
    st.tuples(st.just("seasons"), st.sampled_from([(), SEASONS[:1], SEASONS])),
    st.tuples(st.just("kept"), st.just(FEW_KEPT)),
)

TABLES: Final = (
    *(
        "entries",
        "entries_by_player",
        "blocks",
        "scores",
        "lists",
        "claims",
        "flags",
        "decisions",
        "moderation",
        "audit",
        "erased",
    ),
    *("boards", "friendships", "appdata", "events", "leases"),
)


class House:
    """The services over one database, beside the naive house that they should equal."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        self._runner = runner
        self.database = database
        self.clock = Clock()
        self.container = Container(self.clock)
        now_ms = self.clock.now_ms
        self.leaderboards = Leaderboards(database, self.container, now_ms, KEY)
        self.views = BoardViews(database, now_ms)
        self.rebuilds = Rebuilds(database, now_ms, pace=SLOW, sizes=TINY)
        self.admin = BoardAdmin(database, self.rebuilds, now_ms)
        self.importer = BoardImport(database, self.rebuilds, "orkut", now_ms)
        self.moderation = Moderation(database, now_ms, sizes=TINY)
        self.upkeep = Upkeep(database, now_ms)
        self.naive = NaiveHouse()
        self.friends: dict[int, set[int]] = {}
        self.erased: set[int] = set()
        """Their places in `NAMES`."""
        self.walks = itertools.count(1)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it now."""
        return self._runner.run(asyncio.wait_for(work, 120))

    async def begin(self, boards: Sequence[Board]) -> None:
        """An empty house with these boards."""

        async def empty(tx: Transaction) -> None:
            for table in TABLES:
                await tx.execute(f"DELETE FROM {table}")
            await tx.execute("UPDATE players SET friends_synced_ms = NULL")

        await self.database.write(empty)
        self.players = await make_players(self.database, *NAMES)
        cards = await self.database.read(lambda reader: people.cards(reader, self.players))
        self.numbers = {card.id: player for player, card in cards.items()}
        await self.leaderboards.seed(boards)
        self.naive.boards = {board.id: board for board in boards}

    async def sync(self, players: Sequence[int]) -> None:
        """What a sync keeps of these players' values; `players` are their places in `NAMES`."""
        sent_ms = self.clock.now_ms()
        self.clock.advance(ms=1)
        now_ms = self.clock.now_ms()
        found = {f"0{each}": self.container.held.get(self.players[each], {}) for each in set(players)}

        async def work(tx: Transaction) -> None:
            boards = await store.begin(tx)
            numbers = await people.players_of(tx, "orkut", found)
            fields = {each.board.field for each in boards}
            values = {numbers[each]: {key: found[each].get(key) for key in fields} for each in found if each in numbers}
            changes = await appdata.observe_many(tx, values, observed_ms=sent_ms, at_ms=now_ms, origin=Origin.READ)
            await store.record(tx, boards, changes, now_ms)

        await self.database.write(work)
        for each in sorted(set(players) - self.erased):
            player = self.players[each]
            self.naive.read(player, self.container.held.get(player, {}), sent_ms=sent_ms, now_ms=now_ms)

    async def events(self) -> dict[int, int]:
        """The numbers of all events: those of the naive house to those of the database."""
        kept = await self.database.read(events)
        same = itertools.groupby(sorted(kept, key=_whose), _whose)
        numbers = {whose: iter([each.event for each in its]) for whose, its in same}
        return {each.event or 0: next(numbers[_whose(each)]) or 0 for each in self.naive.events}

    async def come_back(self, number: int) -> None:
        """Somebody opens the gadget; if they were erased, they begin anew."""
        user_id = f"0{number}"
        came = await self.database.write(lambda tx: people.players_of(tx, "orkut", [user_id], came=[user_id]))
        player = came[user_id]
        if number not in self.erased:
            assert player == self.players[number]
            return
        assert player not in self.numbers.values()
        self.erased.remove(number)
        self.container.held[player] = self.container.held.pop(self.players[number], {})
        self.players[number] = player
        named = Person(user_id, given_name=NAMES[number])
        await self.database.write(lambda tx: observe_person(tx, player, named, 1))
        (card,) = (await self.database.read(lambda reader: people.cards(reader, [player]))).values()
        self.numbers[card.id] = player

    async def retire(self) -> None:
        """What is too old goes. Until it has gone it may be seen, which the naive house does not know."""
        await self.upkeep.retire()
        self.naive.retire(self.clock.now_ms())

    async def check_tables(self) -> None:
        """What is too old goes; all that is stored is right."""
        await self.retire()
        await check_tables(self.database, self.naive, self.clock.now_ms())

    async def check_views(self, board: Board, period: str, limit: int, reader: int) -> None:
        """Every rank, page, neighbourhood, jump, friend, name, share and class of one list."""
        now_ms = self.clock.now_ms()
        id_ = id_of(board, period, now_ms)
        rows = self.naive.rows(board, id_, now_ms)
        page = await self.leaderboards.entries(board.id, period=period, reader=None, limit=100)
        assert (page.period.id, page.total) == (id_, len(rows))
        assert page_row(page, self.numbers) == rows
        view = View(self.leaderboards, board, period, limit, self.numbers)
        await view.pages_lead_both_ways(rows)
        moderated = {player for id_, player in {*self.naive.hidden, *self.naive.removed} if id_ == board.id}
        nobody = {self.players[number] for number in self.erased}
        plain = [player for player in self.players if player not in moderated | nobody]
        await view.around_is_full(rows, plain)
        await view.every_rank_is_found(rows)
        await view.every_score_is_found(rows)
        for player in moderated | {reader} - nobody:
            await self.check_own_view(board, period, player)
        if reader not in plain:
            return
        await view.friends_have_global_ranks(rows, reader, {reader, *self.friends.get(reader, ())})
        named = [player for player, name in zip(self.players, NAMES, strict=True) if "ana" in name.casefold()]
        await view.names_are_found(rows, set(named))
        spread = await self.views.distribution(board.id, period=period, reader=reader)
        distribution_equals(spread, rows, reader)
        for player in plain:
            place = await self.leaderboards.place(board.id, period=period, player=player)
            mine = next((row for row in rows if row.player == player), None)
            assert (place.rank, place.score) == ((mine.rank, str(mine.score)) if mine else (None, None))
            assert place.better_than == share_of_worse(board, rows, player)
            if spread.mine is not None and player == reader:
                assert spread.mine.better_than == place.better_than

    async def check_own_view(self, board: Board, period: str, player: int) -> None:
        """A player about whom something was decided sees the place that they would have, and why they have it not."""
        now_ms = self.clock.now_ms()
        id_ = id_of(board, period, now_ms)
        entries, state = self.naive.own_entries(board, id_, player, now_ms)
        rows = list(ranked(board, entries))
        mine = next((row for row in rows if row.player == player), None)
        claims = [each for each in self.naive.waiting(board, now_ms) if each.player == player]
        pending = None
        if claims and id_ in ids_at(board, claims[-1].at_ms):
            pending = (str(claims[-1].score), claims[-1].at_ms, claims[-1].doubt)
            state = State.PENDING if state is State.VISIBLE else state
        place = await self.leaderboards.place(board.id, period=period, player=player, own=True)
        waits = place.pending
        assert (waits and (waits.score, waits.since_ms, waits.reason)) == pending
        assert (place.rank, place.score, place.state, place.total) == (
            (mine.rank, str(mine.score), state, len(rows)) if mine else (None, None, state, len(rows))
        )
        assert place.better_than == share_of_worse(board, rows, player)

    async def check_own_places(self, player: int) -> None:
        """Everything of one player in one call, and what they had before."""
        now_ms = self.clock.now_ms()
        places = {(place.board.id, place.period.id): place for place in await self.leaderboards.places(player)}
        boards = self.naive.boards.values()
        assert list(places) == [(board.id, id_) for board in boards for id_ in ids_at(board, now_ms)]
        for (board_id, id_), place in places.items():
            rows = self.naive.rows(self.naive.boards[board_id], id_, now_ms)
            mine = next((row for row in rows if row.player == player), None)
            found = (place.rank, place.tied, place.score, place.total)
            assert found == ((mine.rank, mine.tied, str(mine.score)) if mine else (None, False, None)) + (len(rows),)
        for board in boards:
            if board.largest_step or board.largest_gain_per_hour:
                continue  # then a history leaves out what does not count
            if (board.id, player) in {*self.naive.hidden, *self.naive.removed}:
                continue
            past = [
                (event.at_ms, score, event.origin)
                for event in reversed(self.naive.events)
                if (event.player, event.key) == (player, board.field) and event.new is not None
                for score in [score_of(board, event.new)]
                if score is not None
            ]
            history = await self.views.history(player, board.id, limit=100)
            found_past = [(each.at_ms, int(each.score), each.origin) for each in history.scores]
            assert found_past == sorted(past, key=lambda each: each[0], reverse=True)
            listed = await self.views.periods(board.id, limit=100)
            totals = {each.period.id: each.total for each in listed.periods if each.total}
            began = {id_: len(entries) for id_, entries in self.naive.lists(board, now_ms).items()}
            future = {id_ for id_ in began.keys() - totals.keys() if id_ not in ids_at(board, now_ms)}
            # A clock that was set back leaves lists that have not begun, or are not over; they are not listed.
            assert totals == {id_: total for id_, total in began.items() if id_ not in future}
            if now_ms >= max((event.at_ms for event in self.naive.events), default=0):
                assert not future


def _is_empty(board: Board) -> bool:
    """Whether no score is in its range."""
    return board.minimum is not None and board.maximum is not None and board.minimum > board.maximum


def _whose(change: Change) -> tuple[int, str]:
    return change.player, change.key


class _Held(NamedTuple):
    """A cursor, where it is from, and the place from which it leads on."""

    board: str
    asked: str
    period: str
    rebuilt: int
    forward: bool
    cursor: str
    edge: tuple[int, int, int]


class Cursors:
    """Cursors that somebody holds, and what each should lead to."""

    def __init__(self) -> None:
        self._held: list[_Held] = []
        self._rebuilt: dict[str, int] = defaultdict(int)

    def rebuilt(self, board_id: str) -> None:
        """What leads into this board is stale from now on."""
        self._rebuilt[board_id] += 1

    def dropped(self, board_id: str) -> None:
        """It may be made again as it was."""
        self._held = [each for each in self._held if each.board != board_id]

    async def keep(self, house: House, board: Board, period: str, limit: int) -> None:
        """Look at a page somewhere, and keep where it leads."""
        page = await house.leaderboards.at_rank(board.id, period=period, reader=None, rank=2, limit=limit)
        rows = page_row(page, house.numbers)
        for cursor, forward in ((page.next, True), (page.previous, False)):
            if cursor is not None:
                edge = _position(board, rows[-1 if forward else 0])
                times = self._rebuilt[board.id]
                self._held.append(_Held(board.id, period, page.period.id, times, forward, cursor, edge))

    async def use(self, house: House, limit: int) -> None:
        """Go on with each of them: with the span's word, and with the period's id."""
        for held in self._held[-MANY_CURSORS:]:
            for period in {held.asked, held.period}:
                await self._use(house, held, period, limit)

    async def _use(self, house: House, held: _Held, period: str, limit: int) -> None:
        board, now_ms = house.naive.boards[held.board], house.clock.now_ms()
        if period not in {held.period, *board.spans}:
            return
        fresh = held.rebuilt == self._rebuilt[held.board]
        try:
            page = await house.leaderboards.entries(
                board.id, period=period, reader=None, limit=limit, cursor=held.cursor
            )
        except BadCursor:
            assert not (fresh and id_of(board, period, now_ms) == held.period)
        except BadInput:  # the board has no such periods any more
            assert not fresh
        else:
            assert fresh
            assert id_of(board, period, now_ms) == held.period
            rows = house.naive.rows(board, held.period, now_ms)
            behind = [row for row in rows if _position(board, row) > held.edge][:limit]
            before = [row for row in rows if _position(board, row) < held.edge][-limit:]
            assert page_row(page, house.numbers) == (behind if held.forward else before)


def _position(board: Board, row: Row) -> tuple[int, int, int]:
    return (row.score if board.order is Order.LESS else -row.score, row.reached_ms, row.player)


class Playing(RuleBasedStateMachine):
    """One house, from its first board to its end."""

    make_house: ClassVar[Any]
    """Set by the test: a fresh `House` over its database."""

    def __init__(self) -> None:
        super().__init__()
        self.house: House = type(self).make_house()
        self.cursors = Cursors()
        self.changed = False
        self.latest_ms = self.house.clock.now_ms()

    @initialize(
        orders=st.lists(st.sampled_from(Order), min_size=len(BOARDS), max_size=len(BOARDS)),
        changed=st.lists(st.lists(SETTINGS, max_size=3), min_size=len(BOARDS), max_size=len(BOARDS)),
        rounds=st.lists(st.lists(SCORES, min_size=len(NAMES), max_size=len(NAMES)), min_size=3, max_size=3),
    )
    def open(self, orders: list[Order], changed: list[list[tuple[str, Any]]], rounds: list[list[str]]) -> None:
        """Boards of any kind, each with other ties, on which everybody has something."""
        boards = []
        for board, order, some in zip(BOARDS, orders, changed, strict=True):
            made = replace(board, order=order)
            for name, value in some:
                if name not in {"ties", "title"}:
                    made = replace(made, **{name: value})
            boards.append(board if _is_empty(made) else made)
        self.house.run(self.house.begin(boards))
        for field in FIELDS:
            self.play([dict(enumerate(values)) for values in rounds], field, HOUR_MS)

    def board(self, number: int) -> Board:
        boards = list(self.house.naive.boards.values())
        return boards[number % len(boards)]

    def player(self, number: int) -> int:
        return self.house.players[number]

    def period(self, board: Board, chosen: str | int) -> str:
        if isinstance(chosen, str):
            return chosen if chosen in {*board.spans} else "all"
        known = sorted(self.house.naive.lists(board, self.house.clock.now_ms()))
        return known[chosen % len(known)] if known else "all"

    # --- what players do ----------------------------------------------------------------------------------------------

    @rule(
        rounds=st.lists(st.dictionaries(PLAYERS, VALUES, min_size=3), min_size=1, max_size=3),
        field=st.sampled_from([*FIELDS, FIELDS[0]]),
        pause_ms=st.sampled_from([0, 0, HOUR_MS // 2]),
    )
    def play(self, rounds: list[dict[int, str | None]], field: str, pause_ms: int) -> None:
        """Values change in the container, and we learn of it by syncs."""
        for values in rounds:
            for number, value in values.items():
                item = self.house.container.held.setdefault(self.player(number), {})
                item.pop(field, None)
                if value is not None:
                    item[field] = value
            self.house.run(self.house.sync(list(values)))
            self.house.clock.advance(ms=pause_ms)
        self.changed = True

    @rule(number=PLAYERS, value=VALUES)
    def play_elsewhere(self, number: int, value: str | None) -> None:
        """A value changes in the container, and nobody tells us."""
        item = self.house.container.held.setdefault(self.player(number), {})
        item.pop("letters", None)
        if value is not None:
            item["letters"] = value

    @rule(number=PLAYERS, on=NUMBERS, value=st.one_of(SCORES, VALUES.filter(lambda value: value is not None)))
    def submit(self, number: int, on: int, value: str) -> None:
        house, board, player = self.house, self.board(on), self.player(number)
        before, sent_ms = dict(house.container.held.get(player, {})), house.clock.now_ms()
        if score_of(board, value) is None:
            with pytest.raises(BadInput):
                house.run(house.leaderboards.submit(player, board.id, value))
            assert house.container.held.get(player, {}) == before
            return
        if number in house.erased:
            with pytest.raises(NotFound):
                house.run(house.leaderboards.submit(player, board.id, value))
            return
        placed = house.run(house.leaderboards.submit(player, board.id, value))
        now_ms = house.clock.now_ms()
        house.naive.read(player, before, sent_ms=sent_ms, now_ms=sent_ms)
        ranks_before, ahead = self._ranks(board, player, now_ms), self._others(board, player, now_ms, worse=False)
        house.naive.submitted(player, board.field, value, answered_ms=now_ms)
        ranks, behind = self._ranks(board, player, now_ms), self._others(board, player, now_ms, worse=True)
        self.changed = True
        if (board.id, player) in {*house.naive.hidden, *house.naive.removed}:
            return
        assert {change.place.period.id: (change.rank_before, change.place.rank) for change in placed.changes} == {
            id_: (ranks_before[id_], ranks[id_]) for id_ in ranks
        }
        assert {change.place.period.id: len(change.overtaken) for change in placed.changes} == {
            id_: min(OVERTAKEN, len(ahead[id_] & behind[id_])) for id_ in ranks
        }

    def _others(self, board: Board, player: int, now_ms: int, *, worse: bool) -> dict[str, set[int]]:
        """By period, who is strictly worse than this player, or who is not; nobody where they have no score."""
        found: dict[str, set[int]] = {}
        sign = 1 if board.order is Order.MORE else -1
        for id_ in ids_at(board, now_ms):
            scores = {row.player: sign * row.score for row in self.house.naive.rows(board, id_, now_ms)}
            own = scores.pop(player, None)
            found[id_] = set() if own is None else {one for one in scores if (scores[one] < own) == worse}
        return found

    def _ranks(self, board: Board, player: int, now_ms: int) -> dict[str, int | None]:
        rows = {id_: self.house.naive.rows(board, id_, now_ms) for id_ in ids_at(board, now_ms)}
        return {id_: next((row.rank for row in of if row.player == player), None) for id_, of in rows.items()}

    @rule(number=PLAYERS, friends=st.sets(PLAYERS, max_size=4))
    def befriend(self, number: int, friends: set[int]) -> None:
        house, player = self.house, self.player(number)
        if number in house.erased:
            return
        wanted = {self.player(each) for each in friends - house.erased} - {player}
        for _ in range(2):  # one walk that misses a friend is not believed
            walk = next(house.walks)
            house.run(house.database.write(lambda tx, walk=walk: people.observe_friends(tx, player, wanted, walk)))  # type: ignore[misc]
        house.friends[player] = wanted

    # --- time ---------------------------------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([1, HOUR_MS, 11 * HOUR_MS, DAY_MS, 8 * DAY_MS, 31 * DAY_MS]))
    def wait(self, ms: int) -> None:
        """Somebody goes on paging after that."""
        self.house.clock.advance(ms=ms)
        self.house.run(self.house.retire())
        self.house.run(self.cursors.use(self.house, 2))
        self.latest_ms = max(self.latest_ms, self.house.clock.now_ms())
        self.changed = True

    @rule(ms=st.sampled_from([1, 500, 2_000, 3 * HOUR_MS]))
    @precondition(lambda self: all(board.kept == Kept() for board in self.house.naive.boards.values()))
    def set_the_clock_back(self, ms: int) -> None:
        """Where little is kept, what is deleted would be nearly new again."""
        self.house.clock.advance(ms=-ms)

    # --- what operators do --------------------------------------------------------------------------------------------

    @rule(on=NUMBERS, lines=st.lists(st.tuples(PLAYERS, SCORES, AGO_MS), max_size=6), many=st.booleans())
    def load(self, on: int, lines: list[tuple[int, str, int | None]], many: bool) -> None:
        """Import a file: counted as it comes, or by a rebuild."""
        house, board = self.house, self.board(on)
        now_ms = house.clock.now_ms()
        text = [f"0{number},{value},{'' if ago is None else now_ms - ago}\n" for number, value, ago in lines]
        result = house.run(
            house.importer.load(
                board.id,
                [line.encode() for line in ("player,value,time\n", *text)],
                FileFormat.CSV,
                verified=False,
                expected=10**6 if many else 0,
                progress=lambda _: None,
                rebuilding=lambda *_: None,
            )
        )
        usable = [line for line in lines if score_of(board, line[1]) is not None and line[0] not in house.erased]
        new = [
            house.naive.imported(
                self.player(number),
                board.field,
                value,
                None if ago is None else now_ms - ago,
                verified=False,
                now_ms=now_ms,
            )
            for number, value, ago in usable
        ]
        assert (result.new, result.known, result.bad) == (
            sum(new),
            len(new) - sum(new),
            len(lines) - len(usable),
        )
        if many and any(new):
            for each in house.naive.boards.values():
                if each.field == board.field:
                    self._rebuilt(each)
        self.changed = True

    @rule(word=st.sampled_from(["hide", "remove", "restore", "hide", "restore"]), number=PLAYERS, on=NUMBERS)
    def moderate(self, word: str, number: int, on: int) -> None:
        house, board, player = self.house, self.board(on), self.player(number)
        if number in house.erased:
            return
        acts = {"hide": house.moderation.hide, "remove": house.moderation.remove, "restore": house.moderation.restore}
        match word:
            case "hide":
                changes = house.naive.hide(board, player)
            case "remove":
                changes = house.naive.remove(board, player, house.clock.now_ms())
            case _:
                changes = house.naive.restore(board, player)
        act = acts[word](player, board_id=board.id, actor="maria", reason="why not")
        if changes:
            assert house.run(act) == (board.id,)
        else:
            with pytest.raises(Conflict):
                house.run(act)
        self.changed = True

    @rule(on=NUMBERS, number=st.integers(0, 5), word=st.sampled_from(["approve", "reject", "reopen"]))
    def review(self, on: int, number: int, word: str) -> None:
        """An operator looks at claims that wait, or at one that was decided on."""
        house, board = self.house, self.board(on)
        now_ms = house.clock.now_ms()
        own, numbers = house.naive.decisions[board.id], house.run(house.events())
        waiting = [each.event for each in house.naive.waiting(board, now_ms)]
        found = house.run(house.moderation.review(board.id))
        assert sorted(claim.event for claim in found) == sorted(numbers[each] for each in waiting)
        keys = {event.event: event.key for event in house.naive.events}
        some = [each for each in own if keys[each] == board.field] if word == "reopen" else waiting
        if not some:
            return
        event = sorted(some)[number % len(some)]
        says = {"approve": house.moderation.approve, "reject": house.moderation.reject}.get(word)
        house.run((says or house.moderation.reopen)(board.id, numbers[event], actor="maria", reason="looked at it"))
        if word == "reopen":
            del own[event]
        else:
            own[event] = Decision.APPROVED if word == "approve" else Decision.REJECTED
        self.changed = True

    @rule(number=PLAYERS)
    @precondition(lambda self: len(self.house.erased) < 2)
    def erase(self, number: int) -> None:
        """A person is erased: not a trace is left."""
        house, player = self.house, self.player(number)
        if number in house.erased:
            return
        assert house.run(house.moderation.erase(player, actor="maria", reason="they asked for it"))
        house.erased.add(number)
        house.naive.erase(player)
        house.friends = {each: its - {player} for each, its in house.friends.items() if each != player}
        assert house.run(traces(house.database, player)) == {}
        self.changed = True

    @rule(number=PLAYERS)
    def come_back(self, number: int) -> None:
        self.house.run(self.house.come_back(number))

    @rule(on=NUMBERS)
    def rebuild(self, on: int) -> None:
        board = self.board(on)
        self.house.run(self.house.admin.rebuild(board.id, lambda *_: None))
        self._rebuilt(board)
        self.changed = True

    def _rebuilt(self, board: Board) -> None:
        self.cursors.rebuilt(board.id)
        self.house.naive.rebuilt(board.id)

    @rule(on=NUMBERS, setting=SETTINGS)
    def change_a_setting(self, on: int, setting: tuple[str, Any]) -> None:
        was = self.board(on)
        board = replace(was, **{setting[0]: setting[1]})
        if _is_empty(board):
            return
        if setting[0] == "kept" and self.house.clock.now_ms() < self.latest_ms:
            return
        self._apply({**self.house.naive.boards, board.id: board})
        if board != was and setting[0] not in {"title", "kept"}:
            self._rebuilt(board)

    @rule(on=NUMBERS)
    @precondition(lambda self: len(self.house.naive.boards) > 1)
    def drop(self, on: int) -> None:
        """A board is dropped; one of its name knows nothing of it but what was played."""
        board = self.board(on)
        self._apply({id_: each for id_, each in self.house.naive.boards.items() if id_ != board.id})
        self.cursors.dropped(board.id)
        self.house.naive.dropped(board.id)

    @rule(number=NUMBERS, order=st.sampled_from(Order), keep=st.sampled_from(Keep))
    @precondition(lambda self: len(self.house.naive.boards) < len(BOARDS))
    def add(self, number: int, order: Order, keep: Keep) -> None:
        missing = [board for board in BOARDS if board.id not in self.house.naive.boards]
        board = replace(missing[number % len(missing)], order=order, keep=keep)
        self._apply({**self.house.naive.boards, board.id: board})

    def _apply(self, boards: dict[str, Board]) -> None:
        house = self.house
        plan = house.run(house.admin.plan(list(boards.values())))
        house.run(house.admin.apply(plan, lambda _: None, lambda *_: None))
        house.naive.boards = boards
        self.changed = True

    @rule(on=NUMBERS, sizes=st.builds(Sizes, st.integers(2, 4), st.integers(2, 3)))
    def count_anew(self, on: int, sizes: Sizes) -> None:
        """Blocks may be cut anew at any time, into any sizes."""
        board = self.board(on)

        async def work(tx: Transaction) -> None:
            for list_, dense in await tx.fetch("SELECT list, dense FROM lists WHERE board = $1", board.id):
                await recount(tx, list_, dense=bool(dense), sizes=sizes)

        self.house.run(self.house.database.write(work))
        self.changed = True

    # --- what is seen -------------------------------------------------------------------------------------------------

    @rule(on=NUMBERS, chosen=PERIODS, limit=st.integers(1, 4), reader=PLAYERS)
    def look(self, on: int, chosen: str | int, limit: int, reader: int) -> None:
        board = self.board(on)
        period = self.period(board, chosen)
        self.house.run(self.house.check_views(board, period, limit, self.player(reader)))
        for each in {period, self.period(board, "day")}:
            self.house.run(self.cursors.keep(self.house, board, each, limit))

    @rule(number=PLAYERS)
    def look_at_oneself(self, number: int) -> None:
        if number in self.house.erased:
            return
        self.house.run(self.house.check_own_places(self.player(number)))

    @rule(limit=st.integers(1, 4))
    def use_cursors(self, limit: int) -> None:
        self.house.run(self.cursors.use(self.house, limit))

    @invariant()
    def tables_are_right(self) -> None:
        if self.changed:
            self.house.run(self.house.check_tables())
            self.changed = False

    def teardown(self) -> None:
        if self.house.naive.boards:
            self.house.run(check_events(self.house.database, self.house.naive))
            board = next(iter(self.house.naive.boards.values()))
            self.house.run(self.house.check_views(board, "all", 2, self.player(0)))


LONG: Final = settings.default is not None and settings.default.max_examples > 100


@pytest.mark.hypothesis
def test_boards_are_what_a_naive_list_of_all_events_says(
    borrowed_place: Place, database_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of steps in the long profile, some hundreds in the short one."""
    monkeypatch.setattr(store, "record", store.record)  # to be put back at the end
    use_small_blocks(TINY)
    chosen = settings(
        max_examples=(200 if LONG else 10) // (2 if database_kind == "postgresql" else 1),
        stateful_step_count=60 if LONG else 30,
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner() as runner:
        if database_kind == "postgresql":
            runner.run(sweep(borrowed_place.url, borrowed_place.schema))
        opening = open_database(borrowed_place.url, borrowed_place.schema)
        database = runner.run(opening.__aenter__())
        try:
            machine = type("Machine", (Playing,), {"make_house": lambda *_: House(runner, database)})
            run_state_machine_as_test(machine, settings=chosen)
        finally:
            runner.run(opening.__aexit__(None, None, None))
