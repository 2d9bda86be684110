"""Pages, places and submitted scores, and the traps of leaderboards; on both engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from decimal import Decimal

import pytest

from homeserver.errors import BadCursor, BadInput, NotFound, RemoteUnavailable, StaleCursor
from homeserver.model import Board, Format, Keep, Order, PlaceChange, Span, Ties
from homeserver.services.leaderboards import FEW_FRIENDS, Leaderboards
from homeserver.storage import appdata
from homeserver.storage.database import Database
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import BOARD, KEY, Container, befriend, give, make_players, names, ranks


@pytest.fixture
def container(clock: Clock) -> Container:
    return Container(clock)


@pytest.fixture
def leaderboards(database: Database, container: Container, clock: Clock) -> Leaderboards:
    return Leaderboards(database, container, clock.now_ms, KEY)


# --- traps of boards --------------------------------------------------------------------------------------------------


async def test_a_tie_over_the_edge_of_a_page_keeps_its_rank(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([BOARD])
    players = await make_players(database, *(f"P{number}" for number in range(60)))
    await give(database, {player: str(1_000 - min(index, 37)) for index, player in enumerate(players)})
    first = await leaderboards.entries("letters", reader=None, limit=50)
    second = await leaderboards.entries("letters", reader=None, limit=50, cursor=first.next)
    assert ranks(first)[36:] == ["37", *["=38"] * 13]
    assert ranks(second) == ["=38"] * 10
    assert second.next is None
    assert second.total == 60


@pytest.mark.parametrize(
    ("ties", "shown"),
    [
        (Ties.COMPETITION, ["1", "=2", "=2", "4"]),
        (Ties.DENSE, ["1", "=2", "=2", "3"]),
        (Ties.ORDINAL, ["1", "=2", "=3", "4"]),
    ],
)
@pytest.mark.parametrize("order", Order)
async def test_the_three_ways_to_number_ties(
    database: Database, leaderboards: Leaderboards, ties: Ties, order: Order, shown: list[str]
) -> None:
    await leaderboards.seed([dataclasses.replace(BOARD, ties=ties, order=order)])
    players = await make_players(database, "A", "B", "C", "D")
    sign = -1 if order is Order.LESS else 1
    await give(database, dict(zip(players, (str(sign * score) for score in (9, 5, 5, 1)), strict=True)))
    page = await leaderboards.entries("letters", reader=players[2])
    assert ranks(page) == shown
    assert names(page) == ["A", "B", "C", "D"]
    assert [entry.me for entry in page.entries] == [False, False, True, False]


async def test_a_best_score_of_zero_is_first_not_zeroth(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([BOARD, dataclasses.replace(BOARD, id="less", order=Order.LESS)])
    one, two, three = await make_players(database, "A", "B", "C")
    await give(database, {one: "0", two: "-5", three: "0"})
    assert ranks(await leaderboards.entries("letters", reader=one)) == ["=1", "=1", "3"]
    assert ranks(await leaderboards.entries("less", reader=one)) == ["1", "=2", "=2"]
    assert [place.rank for place in await leaderboards.places(one)][::4] == [1, 2]


async def test_scores_are_exact_and_displayed(database: Database, leaderboards: Leaderboards) -> None:
    lap = Board("lap", "Lap", "lap", order=Order.LESS, decimals=2, format=Format.DURATION)
    await leaderboards.seed([BOARD, lap])
    one, two = await make_players(database, "A", "B")
    await give(database, {one: str(2**53), two: str(2**53 + 1)})
    await give(database, {one: "3723.5", two: "59"}, key="lap")
    page = await leaderboards.entries("letters", reader=None)
    assert [(entry.score, entry.display) for entry in page.entries] == [
        ("9007199254740993", "9,007,199,254,740,993"),
        ("9007199254740992", "9,007,199,254,740,992"),
    ]
    page = await leaderboards.entries("lap", reader=None)
    assert [(entry.score, entry.display) for entry in page.entries] == [
        ("59.00", "0:59.00"),
        ("3723.50", "1:02:03.50"),
    ]


# --- views ------------------------------------------------------------------------------------------------------------


async def test_nobody_yet(database: Database, leaderboards: Leaderboards, clock: Clock) -> None:
    await leaderboards.seed([BOARD])
    (me,) = await make_players(database, "Me")
    for page in (
        await leaderboards.entries("letters", reader=None),
        await leaderboards.around("letters", reader=me),
        await leaderboards.at_rank("letters", reader=me, rank=10**30),
        await leaderboards.friends("letters", reader=me),
        await leaderboards.search("letters", reader=me, text="me"),
        await leaderboards.entries("letters", period="day:2016-01-01", reader=None),
    ):
        assert (page.entries, page.total, page.next, page.previous) == ((), 0, None, None)
        assert (page.board, page.as_of_ms) == (BOARD, clock.now_ms())


async def test_a_past_period_is_served_by_its_id_and_the_word_means_the_current_one(
    database: Database, leaderboards: Leaderboards, clock: Clock
) -> None:
    await leaderboards.seed([BOARD])
    one, two = await make_players(database, "A", "B")
    await give(database, {one: "5"})
    clock.advance(days=1)
    await give(database, {two: "4"}, at_ms=clock.now_ms())
    assert names(await leaderboards.entries("letters", period="day", reader=None)) == ["B"]
    past = await leaderboards.entries("letters", period="day:2026-11-22", reader=None)
    assert (names(past), past.period.id, past.period.zone) == (["A"], "day:2026-11-22", "UTC")
    assert names(await leaderboards.entries("letters", period="month", reader=None)) == ["A", "B"]


async def test_what_cannot_be_asked_is_refused(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([BOARD])
    (me,) = await make_players(database, "Me")
    for limit in (0, -1, 101):
        for asked in (
            leaderboards.entries("letters", reader=me, limit=limit),
            leaderboards.around("letters", reader=me, limit=limit),
            leaderboards.friends("letters", reader=me, limit=limit),
            leaderboards.at_rank("letters", reader=me, rank=1, limit=limit),
            leaderboards.search("letters", reader=me, text="a", limit=limit),
        ):
            with pytest.raises(BadInput) as refused:
                await asked
            assert refused.value.field == "limit"
    for text in ("", "  ", "a" * 101):
        with pytest.raises(BadInput) as refused:
            await leaderboards.search("letters", reader=me, text=text)
        assert refused.value.field == "search"
    for rank in (0, -1):
        with pytest.raises(BadInput) as refused:
            await leaderboards.at_rank("letters", reader=me, rank=rank)
        assert refused.value.field == "at_rank"
    with pytest.raises(BadInput) as refused:
        await leaderboards.entries("letters", period="fortnight", reader=me)
    assert refused.value.field == "period"
    for asked_of_nobody in (
        leaderboards.entries("nobody", reader=me),
        leaderboards.around("nobody", reader=me),
        leaderboards.board("nobody"),
        leaderboards.submit(me, "nobody", "1"),
    ):
        with pytest.raises(NotFound):
            await asked_of_nobody


async def test_a_cursor_belongs_to_its_board_period_view_and_settings(
    database: Database, leaderboards: Leaderboards, clock: Clock, container: Container
) -> None:
    await leaderboards.seed([BOARD, dataclasses.replace(BOARD, id="other")])
    players = await make_players(database, "A", "B", "C")
    await give(database, dict.fromkeys(players, "5"))
    await befriend(database, players[0], players[1:])
    cursor = (await leaderboards.entries("letters", period="day", reader=None, limit=1)).next
    assert cursor is not None
    good = await leaderboards.entries("letters", period="day:2026-11-22", reader=None, cursor=cursor)
    assert names(good) == ["B", "C"]
    stranger = Leaderboards(database, container, clock.now_ms, b"another server's key")
    for foreign in (
        leaderboards.entries("other", period="day", reader=None, cursor=cursor),
        leaderboards.entries("letters", period="all", reader=None, cursor=cursor),
        leaderboards.friends("letters", period="day", reader=players[0], cursor=cursor),
        leaderboards.entries("letters", period="day", reader=None, cursor=cursor[:-1]),
        leaderboards.entries("letters", period="day", reader=None, cursor=""),
        stranger.entries("letters", period="day", reader=None, cursor=cursor),
    ):
        with pytest.raises(BadCursor) as refused:
            await foreign
        assert refused.value.code == "bad_cursor"
    clock.advance(days=1)  # the word means another list now; the id is still good
    with pytest.raises(StaleCursor):
        await leaderboards.entries("letters", period="day", reader=None, cursor=cursor)
    assert names(await leaderboards.entries("letters", period="day:2026-11-22", reader=None, cursor=cursor)) == [
        "B",
        "C",
    ]
    definition = '{"id": "letters", "title": "Letters", "field": "letters", "ties": "dense"}'
    await database.write(
        lambda tx: tx.execute("UPDATE boards SET definition = $2 WHERE board = $1", "letters", definition)
    )
    with pytest.raises(StaleCursor):
        await leaderboards.entries("letters", period="day:2026-11-22", reader=None, cursor=cursor)


async def test_a_cursor_stands_where_its_entry_was(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([BOARD])
    players = await make_players(database, "A", "B", "C", "D", "E")
    await give(database, dict(zip(players, "98765", strict=True)))
    first = await leaderboards.entries("letters", reader=None, limit=2)
    await give(database, {players[1]: "99"}, at_ms=NOON_MS + 1_000)  # B, the last of that page, goes to the top
    assert names(await leaderboards.entries("letters", reader=None, limit=2, cursor=first.next)) == ["C", "D"]


@pytest.mark.parametrize("left", ["AB", "CD"])
async def test_an_empty_page_leads_back(database: Database, leaderboards: Leaderboards, left: str) -> None:
    await leaderboards.seed([BOARD])
    players = dict(zip("ABCD", await make_players(database, *"ABCD"), strict=True))
    await give(database, {player: str(9 - number) for number, player in enumerate(players.values())})
    first = await leaderboards.entries("letters", reader=None, limit=2)
    second = await leaderboards.entries("letters", reader=None, limit=2, cursor=first.next)
    await give(database, {player: None for name, player in players.items() if name not in left})
    beyond = first.next if left == "AB" else second.previous
    empty = await leaderboards.entries("letters", reader=None, limit=2, cursor=beyond)
    assert (empty.entries, empty.total) == ((), 2)
    back, nowhere = (empty.previous, empty.next) if left == "AB" else (empty.next, empty.previous)
    assert nowhere is None
    assert names(await leaderboards.entries("letters", reader=None, limit=2, cursor=back)) == list(left)


@pytest.mark.parametrize(
    ("me", "limit", "shown"),
    [
        ("A", 3, "ABC"),
        ("B", 3, "ABC"),
        ("C", 3, "BCD"),
        ("D", 3, "CDE"),
        ("E", 3, "CDE"),
        ("E", 4, "BCDE"),
        ("C", 4, "BCDE"),
        ("C", 1, "C"),
        ("D", 100, "ABCDE"),
        ("F", 2, "AB"),  # without an entry: the top
    ],
)
async def test_around_me_is_a_full_page(
    database: Database, leaderboards: Leaderboards, me: str, limit: int, shown: str
) -> None:
    await leaderboards.seed([BOARD])
    players = dict(zip("ABCDEF", await make_players(database, *"ABCDEF"), strict=True))
    await give(database, {players[name]: str(9 - number) for number, name in enumerate("ABCDE")})
    page = await leaderboards.around("letters", reader=players[me], limit=limit)
    assert names(page) == list(shown)
    assert [entry.player.name for entry in page.entries if entry.me] == [name for name in shown if name == me]
    assert (page.previous is None, page.next is None) == (shown[0] == "A", shown[-1] == "E")


async def test_friends_are_listed_with_me_and_nobody_else(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([BOARD])
    a, b, c, d, e = await make_players(database, "A", "B", "C", "D", "E")
    await give(database, {a: "9", b: "8", c: "7", d: "6"})
    await befriend(database, c, [b, e])
    page = await leaderboards.friends("letters", reader=c)
    assert list(zip(names(page), ranks(page), strict=True)) == [("B", "2"), ("C", "3")]
    assert (page.total, [entry.me for entry in page.entries]) == (4, [False, True])
    assert names(await leaderboards.friends("letters", reader=a)) == ["A"]
    assert names(await leaderboards.friends("letters", reader=e)) == []


@pytest.mark.parametrize("few", [0, FEW_FRIENDS])
async def test_friends_are_paged_both_ways_whether_few_or_many(
    database: Database, leaderboards: Leaderboards, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("homeserver.services.leaderboards.FEW_FRIENDS", few)
    await leaderboards.seed([BOARD])
    players = await make_players(database, *"ABCDEFG")
    await give(database, {player: str(9 - number) for number, player in enumerate(players)})
    await befriend(database, players[0], players[2:])
    first = await leaderboards.friends("letters", reader=players[0], limit=2)
    second = await leaderboards.friends("letters", reader=players[0], limit=2, cursor=first.next)
    third = await leaderboards.friends("letters", reader=players[0], limit=2, cursor=second.next)
    assert ["".join(names(page)) for page in (first, second, third)] == ["AC", "DE", "FG"]
    assert [ranks(page) for page in (first, second, third)] == [["1", "3"], ["4", "5"], ["6", "7"]]
    assert (first.previous, third.next) == (None, None)
    assert await leaderboards.friends("letters", reader=players[0], limit=2, cursor=third.previous) == second
    assert await leaderboards.friends("letters", reader=players[0], limit=2, cursor=second.previous) == first


async def test_names_are_searched_as_they_are_written(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([BOARD])
    players = await make_players(database, "100% Ana", "1000 Ana", "a_b", "axb", "wow!", "José", "O'Neil \\")
    await give(database, dict.fromkeys(players, "5"))

    async def found(text: str) -> list[str]:
        return names(await leaderboards.search("letters", reader=None, text=text))

    assert await found("0%") == ["100% Ana"]
    assert await found("A_B") == ["a_b"]
    assert await found("wow!") == ["wow!"]
    assert await found("jose") == await found("JOSÉ") == ["José"]
    assert await found("o'n") == await found("\\") == ["O'Neil \\"]
    assert await found("ana") == ["100% Ana", "1000 Ana"]
    assert await found("\u0301") == []
    assert await found("\x00") == await found("\ud800") == []
    assert names(await leaderboards.search("letters", reader=None, text="a", limit=2)) == ["100% Ana", "1000 Ana"]


async def test_boards_and_their_fields(database: Database, leaderboards: Leaderboards) -> None:
    lap = Board("lap", "Lap", "lap", spans=(Span.ALL,))
    assert await leaderboards.seed([BOARD, lap, dataclasses.replace(BOARD, id="again")]) == ()
    assert [board.id for board in await leaderboards.boards()] == ["letters", "lap", "again"]
    assert await leaderboards.board("lap") == lap
    assert await leaderboards.fields() == ("lap", "letters")


# --- a submitted score ------------------------------------------------------------------------------------------------


def said(changes: Sequence[PlaceChange]) -> dict[str, tuple[int | None, int | None, bool]]:
    """Span to (rank before, rank, new best)."""
    return {
        change.place.period.span.value: (change.rank_before, change.place.rank, change.is_best) for change in changes
    }


EVERYWHERE = ("all", "month", "week", "day")


async def test_a_first_score_counts_in_every_period(
    database: Database, leaderboards: Leaderboards, container: Container, clock: Clock
) -> None:
    await leaderboards.seed([BOARD])
    me, rival = await make_players(database, "Me", "Rival")
    await give(database, {rival: "10"})
    placed = await leaderboards.submit(me, "letters", "12")
    assert said(placed.changes) == dict.fromkeys(EVERYWHERE, (None, 1, True))
    assert (placed.board, placed.value) == (BOARD, "12")
    assert container.held == {me: {"letters": "12"}}
    assert [change.place.total for change in placed.changes] == [2] * 4
    page = await leaderboards.entries("letters", period="day", reader=me)
    assert [(entry.score, entry.reached_ms, entry.me) for entry in page.entries] == [
        ("12", clock.now_ms(), True),
        ("10", NOON_MS, False),
    ]


async def test_what_the_container_had_is_the_baseline(
    database: Database, leaderboards: Leaderboards, container: Container
) -> None:
    await leaderboards.seed([BOARD])
    me, rival = await make_players(database, "Me", "Rival")
    await give(database, {rival: "10"})
    container.held[me] = {"letters": "8", "colour": "a & b"}
    placed = await leaderboards.submit(me, "letters", "12")
    assert said(placed.changes) == {"all": (2, 1, True)} | dict.fromkeys(EVERYWHERE[1:], (None, 1, True))
    assert container.held[me] == {"letters": "12", "colour": "a & b"}
    kept = await database.look(lambda reader: appdata.values_of(reader, me))
    assert kept == {"letters": "12"}  # only what boards need


async def test_a_worse_score_is_written_and_beats_nothing(
    database: Database, leaderboards: Leaderboards, container: Container
) -> None:
    await leaderboards.seed([BOARD, dataclasses.replace(BOARD, id="latest", keep=Keep.LATEST)])
    (me,) = await make_players(database, "Me")
    await leaderboards.submit(me, "letters", "12")
    placed = await leaderboards.submit(me, "letters", "7")
    assert said(placed.changes) == dict.fromkeys(EVERYWHERE, (1, 1, False))
    assert {change.place.score for change in placed.changes} == {"12"}
    assert (placed.value, container.held[me]["letters"]) == ("7", "7")
    assert [entry.score for entry in (await leaderboards.entries("latest", reader=me)).entries] == ["7"]


@pytest.mark.parametrize("order", Order)
async def test_who_was_as_good_and_is_worse_now_is_overtaken(
    database: Database, leaderboards: Leaderboards, container: Container, order: Order
) -> None:
    """Not whoever has the same score now; the best of them first, and not all."""
    await leaderboards.seed([dataclasses.replace(BOARD, order=order)])
    me, *others = await make_players(database, "Me", "A", "B", "C", "D", "E", "F", "G")
    sign = -1 if order is Order.LESS else 1
    container.held[me] = {"letters": str(sign * 3)}
    await give(database, {other: str(sign * score) for other, score in zip(others, (9, 8, 7, 6, 5, 4, 3), strict=True)})
    placed = await leaderboards.submit(me, "letters", str(sign * 8))
    (everything, *periods) = placed.changes
    assert (everything.rank_before, everything.place.rank, everything.place.tied) == (7, 2, True)
    assert [card.name for card in everything.overtaken] == ["C", "D", "E", "F"]
    assert [change.overtaken for change in periods] == [()] * 3  # their first one there
    placed = await leaderboards.submit(me, "letters", str(sign * 2))
    assert [change.overtaken for change in placed.changes] == [()] * 4
    placed = await leaderboards.submit(others[-1], "letters", str(sign * 4))
    assert [card.name for card in placed.changes[0].overtaken] == []
    placed = await leaderboards.submit(others[-1], "letters", str(sign * 5))
    assert [card.name for card in placed.changes[0].overtaken] == ["F"]


async def test_the_same_score_again_costs_no_place_among_ties(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([dataclasses.replace(BOARD, ties=Ties.ORDINAL)])
    me, rival = await make_players(database, "Me", "Rival")
    await leaderboards.submit(me, "letters", "12")
    await leaderboards.submit(rival, "letters", "12")
    placed = await leaderboards.submit(me, "letters", "12")
    assert said(placed.changes) == dict.fromkeys(EVERYWHERE, (1, 1, False))
    assert [change.place.tied for change in placed.changes] == [True] * 4


async def test_the_container_gets_the_canonical_text(
    database: Database, leaderboards: Leaderboards, container: Container
) -> None:
    money = Board("money", "Money", "money", decimals=2, format=Format.MONEY)
    await leaderboards.seed([money])
    (me,) = await make_players(database, "Me")
    placed = await leaderboards.submit(me, "money", "1234.5")
    assert (placed.value, container.held[me]) == ("1234.50", {"money": "1234.50"})
    assert [change.place.display for change in placed.changes] == ["1,234.50"] * 4


@pytest.mark.parametrize("value", ["", " 3", "+3", "03", "3.0", "1e3", "nan", "\u0663", "9" * 30, "1001", "-1"])
async def test_what_is_no_score_of_the_board_reaches_nothing(
    database: Database, leaderboards: Leaderboards, container: Container, value: str
) -> None:
    await leaderboards.seed([dataclasses.replace(BOARD, minimum=0, maximum=1_000)])
    (me,) = await make_players(database, "Me")
    with pytest.raises(BadInput) as refused:
        await leaderboards.submit(me, "letters", value)
    assert refused.value.field == "value"
    assert container.held == {}
    assert (await leaderboards.entries("letters", reader=me)).total == 0


async def test_a_container_that_does_not_answer_counts_nothing(
    database: Database, leaderboards: Leaderboards, container: Container
) -> None:
    await leaderboards.seed([BOARD])
    (me,) = await make_players(database, "Me")
    container.down = True
    with pytest.raises(RemoteUnavailable):
        await leaderboards.submit(me, "letters", "12")
    assert (await leaderboards.entries("letters", reader=me)).total == 0


async def test_a_value_that_the_container_already_had_for_another_board_counts_too(
    database: Database, leaderboards: Leaderboards, container: Container
) -> None:
    lap = Board("lap", "Lap", "lap", order=Order.LESS, decimals=1)
    await leaderboards.seed([BOARD, lap])
    (me,) = await make_players(database, "Me")
    container.held[me] = {"lap": "61.5", "letters": "junk"}
    placed = await leaderboards.submit(me, "letters", "3")
    assert said(placed.changes)["all"] == (None, 1, True)
    places = {(place.board.id, place.period.span.value): place.score for place in await leaderboards.places(me)}
    assert Decimal(places["lap", "all"] or "nan") == Decimal("61.5")
    assert places["lap", "day"] is None


async def test_a_score_over_midnight_counts_when_the_answer_came(
    database: Database, leaderboards: Leaderboards, clock: Clock
) -> None:
    await leaderboards.seed([BOARD])
    (me,) = await make_players(database, "Me")
    clock.set(NOON_MS + 12 * 3_600_000 - 1)  # the update takes two milliseconds
    placed = await leaderboards.submit(me, "letters", "3")
    assert [change.place.period.id for change in placed.changes][-1] == "day:2026-11-23"
    assert said(placed.changes) == dict.fromkeys(EVERYWHERE, (None, 1, True))
    assert (await leaderboards.entries("letters", period="day:2026-11-22", reader=me)).total == 0
