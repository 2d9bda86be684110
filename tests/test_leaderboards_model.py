"""Every view of every kind of board against a naive sorted list, after random histories; on both engines."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.model import Board, Change, EntryPage, Keep, Order, Origin, Span, Ties
from homeserver.services.leaderboards import Leaderboards
from homeserver.storage import people
from homeserver.storage.database import Database, Transaction
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import KEY, Container, befriend, make_players
from tests.naive_board import NaiveBoard, Row
from tests.writing import apply_changes

KINDS: Final = [
    Board(f"{order}-{keep}-{ties}", "B", "letters", order=order, keep=keep, ties=ties, minimum=-3)
    for order, keep, ties in itertools.product(Order, Keep, Ties)
]
PLAYERS: Final = ["Ana", "Bruno", "Anabela", "Carlos", "Dulce", "Eva", "Mariana"]
STEPS: Final = st.tuples(
    st.integers(0, len(PLAYERS) - 1),
    # Few values, so that most are tied. -4 is out of range.
    st.sampled_from([*(str(score) for score in range(-2, 3)), "-1", "0", "1", "2", None, "-4", "junk", "03"]),
    st.sampled_from([0, 0, 1, 3_600_000, 50_000_000]),
    st.sampled_from(Origin),
)
# Hypothesis likes short lists best, which hold no page edges.
HISTORIES: Final = st.lists(STEPS, min_size=15, max_size=30) | st.lists(STEPS, max_size=5)


def page_row(page: EntryPage, numbers: Mapping[str, int]) -> list[Row]:
    return [
        Row(numbers[entry.player.id], int(entry.score), entry.reached_ms, entry.rank or -1, entry.tied)
        for entry in page.entries
    ]


@settings(
    max_examples=max(25, settings.default.max_examples // 5) if settings.default else 25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    history=HISTORIES,
    batch=st.integers(1, 6),
    chosen=st.sampled_from(KINDS),
    any_period=st.sampled_from(KINDS[0].spans),
    limit=st.integers(1, 4),
    friends=st.sets(st.integers(1, len(PLAYERS) - 1)),
)
async def test_every_view_equals_the_naive_list(
    *,
    database: Database,
    clock: Clock,
    history: list[tuple[int, str | None, int, Origin]],
    batch: int,
    chosen: Board,
    any_period: Span,
    limit: int,
    friends: set[int],
) -> None:
    leaderboards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    await leaderboards.seed(KINDS)
    players = await make_players(database, *PLAYERS)
    await empty(database)
    await befriend(database, players[0], [players[index] for index in friends])
    cards = await database.read(lambda reader: people.cards(reader, players))
    numbers = {card.id: player for player, card in cards.items()}
    model = {board.id: NaiveBoard(board.order, board.keep, board.ties, least=-3) for board in KINDS}

    clock.set(NOON_MS)
    changes: list[Change] = []
    for index, new, wait_ms, origin in history:
        clock.advance(ms=wait_ms)
        changes.append(Change(players[index], "letters", None, new, clock.now_ms(), origin))
    for begin in range(0, len(changes), batch):
        some = changes[begin : begin + batch]
        await database.write(lambda tx, some=some: apply_changes(tx, some, clock.now_ms()))  # type: ignore[misc]
        for change in some:
            for naive in model.values():
                naive.apply(change)

    for board in KINDS:
        for period in {"all", any_period}:
            whole = await leaderboards.entries(board.id, period=period, reader=None, limit=100)
            assert page_row(whole, numbers) == model[board.id].rows(whole.period.id)
            assert whole.total == len(whole.entries)
            assert (whole.next, whole.previous) == (None, None)
    view = View(leaderboards, chosen, any_period, limit, numbers)
    rows = model[chosen.id].rows((await leaderboards.entries(chosen.id, period=any_period, reader=None)).period.id)
    await view.pages_lead_both_ways(rows)
    await view.around_is_full(rows, players)
    await view.every_rank_is_found(rows)
    await view.every_score_is_found(rows)
    known = {players[0], *(players[index] for index in friends)}
    await view.friends_have_global_ranks(rows, players[0], known)
    id_ = (await leaderboards.entries(chosen.id, period=any_period, reader=None)).period.id
    await view.friends_have_places_among_each_other(model[chosen.id].rows(id_, known), players[0])
    await view.names_are_found(rows, {player for player in players if "ana" in cards[player].name.casefold()})
    await places_equal(leaderboards, players[1], model)


async def empty(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        for table in ("entries", "blocks", "scores", "lists", "friendships"):
            await tx.execute(f"DELETE FROM {table}")
        await tx.execute("UPDATE players SET friends_synced_ms = NULL")

    await database.write(work)


@dataclass(frozen=True, slots=True)
class View:
    """One list of the service beside the rows that it should have."""

    leaderboards: Leaderboards
    board: Board
    period: str
    limit: int
    numbers: Mapping[str, int]

    async def pages_lead_both_ways(self, rows: list[Row]) -> None:
        pages = [await self._entries(None)]
        while pages[-1].next and len(pages) <= len(rows):
            pages.append(await self._entries(pages[-1].next))
        assert [row for page in pages for row in page_row(page, self.numbers)] == rows
        assert all(len(page.entries) == self.limit for page in pages[:-1])
        assert (pages[0].previous, pages[-1].next) == (None, None)
        back = [pages[-1]]
        while back[0].previous and len(back) <= len(rows):
            back.insert(0, await self._entries(back[0].previous))
        assert back == pages

    async def _entries(self, cursor: str | None) -> EntryPage:
        return await self.leaderboards.entries(
            self.board.id, period=self.period, reader=None, limit=self.limit, cursor=cursor
        )

    async def around_is_full(self, rows: list[Row], players: Sequence[int]) -> None:
        for player in players:
            page = await self.leaderboards.around(self.board.id, period=self.period, reader=player, limit=self.limit)
            found = page_row(page, self.numbers)
            assert len(found) == min(self.limit, len(rows))
            assert page.total == len(rows)
            begin = rows.index(found[0]) if found else 0
            assert found == rows[begin : begin + self.limit]
            assert (page.previous is None, page.next is None) == (begin == 0, begin + self.limit >= len(rows))
            mine = [index for index, row in enumerate(rows) if row.player == player]
            assert [entry.me for entry in page.entries].count(True) == len(mine)
            if mine:  # in the middle, unless an edge is near
                assert begin == max(0, min(mine[0] - (self.limit - 1) // 2, len(rows) - self.limit))
            else:
                assert begin == 0

    async def every_rank_is_found(self, rows: list[Row]) -> None:
        for rank in range(1, len(rows) + 3):
            page = await self.leaderboards.at_rank(
                self.board.id, period=self.period, reader=None, rank=rank, limit=self.limit
            )
            shown = [row.rank for row in rows]
            if rank in shown:
                begin = shown.index(rank)
            elif rank <= len(rows) and self.board.ties is not Ties.DENSE:
                begin = rank - 1
            else:
                begin = max(0, len(rows) - self.limit)
            assert page_row(page, self.numbers) == rows[begin : begin + self.limit]

    async def every_score_is_found(self, rows: list[Row]) -> None:
        for score in range(-5, 5):
            page = await self.leaderboards.at_score(
                self.board.id, period=self.period, reader=None, score=str(score), limit=self.limit
            )
            is_less = self.board.order is Order.LESS
            worse = [i for i, row in enumerate(rows) if (row.score >= score if is_less else row.score <= score)]
            begin = worse[0] if worse else max(0, len(rows) - self.limit)
            assert page_row(page, self.numbers) == rows[begin : begin + self.limit]
            assert (page.previous is None, page.next is None) == (begin == 0, begin + self.limit >= len(rows))

    async def friends_have_global_ranks(self, rows: list[Row], reader: int, friends: set[int]) -> None:
        wanted = [row for row in rows if row.player in friends]
        pages: list[EntryPage] = []
        cursor: str | None = None
        while (not pages or cursor) and len(pages) <= len(rows):
            page = await self.leaderboards.friends(
                self.board.id, period=self.period, reader=reader, limit=self.limit, cursor=cursor
            )
            pages.append(page)
            cursor = page.next
        assert [row for page in pages for row in page_row(page, self.numbers)] == wanted
        for later, earlier in itertools.pairwise(reversed(pages)):
            back = await self.leaderboards.friends(
                self.board.id, period=self.period, reader=reader, limit=self.limit, cursor=later.previous
            )
            assert back == earlier

    async def friends_have_places_among_each_other(self, rows: list[Row], reader: int) -> None:
        page = await self._friends(reader, None)
        found = list(page.entries)
        while page.next:
            page = await self._friends(reader, page.next)
            found += page.entries
        assert [(entry.friend_rank, entry.friend_tied) for entry in found] == [(row.rank, row.tied) for row in rows]
        assert page.friends == len(rows)

    async def _friends(self, reader: int, cursor: str | None) -> EntryPage:
        return await self.leaderboards.friends(
            self.board.id, period=self.period, reader=reader, limit=self.limit, cursor=cursor
        )

    async def names_are_found(self, rows: list[Row], named: set[int]) -> None:
        page = await self.leaderboards.search(
            self.board.id, period=self.period, reader=None, text=" ÁNA ", limit=self.limit
        )
        assert page_row(page, self.numbers) == [row for row in rows if row.player in named][: self.limit]


async def places_equal(leaderboards: Leaderboards, player: int, model: Mapping[str, NaiveBoard]) -> None:
    places = await leaderboards.places(player)
    assert [(place.board, place.period.span) for place in places] == list(itertools.product(KINDS, KINDS[0].spans))
    for place in places:
        rows = model[place.board.id].rows(place.period.id)
        mine = next((row for row in rows if row.player == player), None)
        assert place.total == len(rows)
        if mine is None:
            assert (place.rank, place.tied, place.score, place.display) == (None, False, None, None)
        else:
            assert (place.rank, place.tied, place.score) == (mine.rank, mine.tied, str(mine.score))
