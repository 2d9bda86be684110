"""Distribution, percentile, the next better place, periods and histories; on both engines, against a naive list."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.domain.distribution import MAX_CLASSES
from homeserver.errors import BadInput, NotFound
from homeserver.model import (
    Board,
    Change,
    Distribution,
    Format,
    Keep,
    NextPlace,
    Order,
    Origin,
    Span,
    Ties,
)
from homeserver.services.board_views import BoardViews
from homeserver.services.leaderboards import Leaderboards
from homeserver.storage import appdata
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Transaction
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import BOARD, KEY, Container, give, make_players, names, ranks
from tests.naive_board import NaiveBoard, Row
from tests.writing import apply_changes

LEAST, MOST = -2, 3
KINDS: Final = [
    Board(f"{order}-{ties}", "B", "letters", order=order, keep=Keep.LATEST, ties=ties, minimum=LEAST, maximum=MOST)
    for order, ties in itertools.product(Order, Ties)
]
PLAYERS: Final = ["A", "B", "C", "D", "E", "F"]
VALUES: Final = st.sampled_from([*(str(score) for score in range(LEAST, MOST + 1)), None, "junk"])
FEW_EXAMPLES: Final = settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def leaderboards(database: Database, clock: Clock) -> Leaderboards:
    return Leaderboards(database, Container(clock), clock.now_ms, KEY)


@pytest.fixture
def views(database: Database, clock: Clock) -> BoardViews:
    return BoardViews(database, clock.now_ms)


async def empty(database: Database) -> None:
    """Begin anew. Lists are never numbered as earlier ones were, so what these held is nobody's."""

    async def work(tx: Transaction) -> None:
        await tx.execute("DELETE FROM lists")
        await tx.execute("DELETE FROM boards")

    await database.write(work)


# --- against the naive list -------------------------------------------------------------------------------------------


@FEW_EXAMPLES
@given(
    history=st.lists(st.tuples(st.integers(0, len(PLAYERS) - 1), VALUES), max_size=20),
    board=st.sampled_from(KINDS),
    period=st.sampled_from(BOARD.spans),
)
async def test_places_and_distributions_equal_the_naive_list(
    *, database: Database, clock: Clock, history: list[tuple[int, str | None]], board: Board, period: Span
) -> None:
    await empty(database)
    leaderboards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    views = BoardViews(database, clock.now_ms)
    await leaderboards.seed([board])
    players = await make_players(database, *PLAYERS)
    clock.set(NOON_MS)
    changes = [
        Change(players[index], "letters", None, new, NOON_MS + number, Origin.READ)
        for number, (index, new) in enumerate(history)
    ]
    clock.advance(ms=len(changes))
    await database.write(lambda tx: apply_changes(tx, changes, clock.now_ms()))
    naive = NaiveBoard(board.order, board.keep, board.ties, least=LEAST)
    for change in changes:
        naive.apply(change)
    id_ = (await leaderboards.entries(board.id, period=period, reader=None)).period.id
    rows = naive.rows(id_)
    distribution_equals(await views.distribution(board.id, period=period, reader=players[0]), rows, players[0])
    for player in players:
        place = await leaderboards.place(board.id, period=period, player=player)
        assert place.better_than == naive_share(board, rows, player)
        assert place.next == naive_next(board, naive, id_, player, clock.now_ms() + 1)
    assert await leaderboards.place(board.id, period=period, player=players[0]) in await leaderboards.places(players[0])


def distribution_equals(spread: Distribution, rows: list[Row], reader: int) -> None:
    classes = [(int(each.least), int(each.greatest), each.count) for each in spread.classes]
    assert [count for *_, count in classes] == [
        sum(least <= row.score <= greatest for row in rows) for least, greatest, _ in classes
    ]
    assert sum(each.count for each in spread.classes) == spread.total == len(rows)
    mine = next((row for row in rows if row.player == reader), None)
    if mine is None:
        assert spread.mine is None
    else:
        assert spread.mine is not None
        least, greatest, _ = classes[spread.mine.index]
        assert least <= mine.score <= greatest
        assert spread.mine.score == str(mine.score)


def naive_share(board: Board, rows: list[Row], player: int) -> Fraction | None:
    mine = [row.score for row in rows if row.player == player]
    if not mine or len(rows) == 1:
        return None
    is_less = board.order is Order.LESS
    worse = [row for row in rows if (row.score > mine[0] if is_less else row.score < mine[0])]
    return Fraction(len(worse), len(rows) - 1)


def naive_next(board: Board, naive: NaiveBoard, period: str, player: int, now_ms: int) -> NextPlace | None:
    """Try every better score, the nearest first, until one brings a better rank."""
    mine = next((row for row in naive.rows(period) if row.player == player), None)
    if mine is None:
        return None
    step = 1 if board.order is Order.MORE else -1
    score = mine.score + step
    while LEAST <= score <= MOST:
        tried = copy.deepcopy(naive)
        tried.lists[period][player] = (score, now_ms)
        (then,) = (row for row in tried.rows(period) if row.player == player)
        if then.rank < mine.rank:
            missing = str(abs(score - mine.score))
            return NextPlace(then.rank, str(score), str(score), missing, missing)
        score += step
    return None


@FEW_EXAMPLES
@given(
    values=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300), min_size=1, max_size=40),
    decimals=st.integers(0, 4),
    order=st.sampled_from(Order),
    format_=st.sampled_from(Format),
)
async def test_any_scores_are_all_in_the_distribution(
    *, database: Database, clock: Clock, values: list[int], decimals: int, order: Order, format_: Format
) -> None:
    await empty(database)
    board = dataclasses.replace(BOARD, order=order, decimals=decimals, format=format_)
    views = BoardViews(database, clock.now_ms)
    await database.write(lambda tx: store.seed(tx, [board]))
    players = await make_players(database, *(f"P{number}" for number in range(len(values))))

    def text(value: int) -> str:
        size = f"{abs(value):0{decimals + 1}}"
        return f"{'-' * (value < 0)}{size[: len(size) - decimals]}{'.' * bool(decimals)}{size[len(size) - decimals :]}"

    def number(text: str) -> int:
        return int(text.replace(".", ""))

    await give(database, dict(zip(players, (text(value) for value in values), strict=True)))
    spread = await views.distribution("letters", reader=players[-1])
    assert 1 <= len(spread.classes) <= MAX_CLASSES
    for each in spread.classes:
        assert each.count == sum(number(each.least) <= value <= number(each.greatest) for value in values)
    assert sum(each.count for each in spread.classes) == spread.total == len(values)
    assert spread.classes[0].count > 0
    assert spread.classes[-1].count > 0
    assert spread.mine is not None
    assert number(spread.classes[spread.mine.index].least) <= values[-1]
    assert values[-1] <= number(spread.classes[spread.mine.index].greatest)


# --- places -----------------------------------------------------------------------------------------------------------


async def test_what_is_missing_to_the_next_place_is_exact(database: Database, leaderboards: Leaderboards) -> None:
    lap = Board("lap", "Lap", "lap", order=Order.LESS, decimals=2, format=Format.DURATION)
    await leaderboards.seed([BOARD, lap])
    one, two, three = await make_players(database, "A", "B", "C")
    await give(database, {one: str(2**53 + 1), two: str(2**53)})
    await give(database, {one: "59", two: "3723.5", three: "3723.5"}, key="lap")
    letters = await leaderboards.place("letters", player=two)
    assert letters.next == NextPlace(1, "9007199254740993", "9,007,199,254,740,993", "1", "1")
    laps = await leaderboards.place("lap", player=two)
    assert laps.next == NextPlace(1, "59.00", "0:59.00", "3664.50", "1:01:04.50")
    assert (laps.rank, laps.tied, laps.better_than) == (2, True, Fraction(0))
    first = await leaderboards.place("lap", player=one)
    assert (first.next, first.better_than) == (None, Fraction(1))
    nowhere = await leaderboards.place("letters", player=three)
    assert (nowhere.rank, nowhere.next, nowhere.better_than) == (None, None, None)


@pytest.mark.parametrize("order", Order)
async def test_the_ends_of_64_bits(
    database: Database, leaderboards: Leaderboards, views: BoardViews, order: Order
) -> None:
    await leaderboards.seed([dataclasses.replace(BOARD, order=order, ties=Ties.ORDINAL)])
    high, low, again = await make_players(database, "H", "L", "A")
    await give(database, {high: str(2**63 - 1), low: str(-(2**63)), again: str(2**63 - 1)})
    best, worst = (high, low) if order is Order.MORE else (low, high)
    tied = order is Order.MORE
    assert (await leaderboards.place("letters", player=best)).better_than == (Fraction(1, 2) if tied else 1)
    assert (await leaderboards.place("letters", player=worst)).better_than == 0
    assert (await leaderboards.place("letters", player=best)).next is None
    if tied:  # nothing is better than the best that there can be
        assert (await leaderboards.place("letters", player=again)).next is None
    spread = await views.distribution("letters", reader=again)
    assert [each.count for each in spread.classes] == [1, *[0] * 18, 2]
    assert (spread.classes[0].least, spread.classes[-1].greatest) == (str(-(2**63)), str(2**63 - 1))


async def test_nobody_and_one_player_alone(database: Database, leaderboards: Leaderboards, views: BoardViews) -> None:
    await leaderboards.seed([BOARD])
    (me,) = await make_players(database, "Me")
    nobody = await views.distribution("letters", reader=me)
    assert (nobody.total, nobody.classes, nobody.mine) == (0, (), None)
    await give(database, {me: "7"})
    alone = await views.distribution("letters", reader=me)
    assert [(each.least, each.greatest, each.display, each.count) for each in alone.classes] == [("7", "7", "7", 1)]
    assert alone.mine is not None
    assert (alone.mine.index, alone.mine.score, alone.mine.better_than) == (0, "7", None)
    assert (await views.distribution("letters", reader=None)).mine is None
    with pytest.raises(NotFound):
        await views.distribution("nothing", reader=me)
    with pytest.raises(BadInput):
        await views.distribution("letters", period="tuesday", reader=me)


# --- a score to jump to -----------------------------------------------------------------------------------------------


async def test_a_jump_to_a_score_reads_it_as_the_board_writes_scores(
    database: Database, leaderboards: Leaderboards
) -> None:
    await leaderboards.seed([dataclasses.replace(BOARD, decimals=1, minimum=10)])
    one, two, three = await make_players(database, "A", "B", "C")
    await give(database, {one: "3", two: "2.5", three: "2.5"})
    for score, found in (
        ("2.9", ["=2", "=2"]),
        ("2.5", ["=2", "=2"]),
        ("99", ["1", "=2", "=2"]),
        ("0", ["1", "=2", "=2"]),
    ):
        assert ranks(await leaderboards.at_score("letters", reader=one, score=score)) == found
    last = await leaderboards.at_score("letters", reader=one, score="0", limit=2)
    assert names(last) == ["B", "C"]
    assert names(await leaderboards.entries("letters", reader=one, cursor=last.previous)) == ["A"]
    for wrong in ("", " 3", "3.55", "1e1", "-0", "three", "9" * 30):
        with pytest.raises(BadInput) as refused:
            await leaderboards.at_score("letters", reader=one, score=wrong)
        assert refused.value.field == "at_score"


# --- periods ----------------------------------------------------------------------------------------------------------


async def test_periods_are_listed_newest_first_and_the_current_ones_always(
    database: Database, leaderboards: Leaderboards, views: BoardViews, clock: Clock
) -> None:
    board = dataclasses.replace(BOARD, zone="America/Sao_Paulo", spans=(Span.ALL, Span.WEEK, Span.DAY))
    await leaderboards.seed([board, dataclasses.replace(BOARD, id="other")])
    one, two = await make_players(database, "A", "B")
    await give(database, {one: "5", two: "4"})
    clock.advance(days=1)
    await give(database, {two: "6"}, at_ms=clock.now_ms())
    clock.advance(days=14)
    listed = await views.periods("letters")
    assert [(each.period.id, each.total, each.is_current) for each in listed.periods] == [
        ("all", 2, True),
        ("week:2026-W50", 0, True),
        ("day:2026-12-07", 0, True),
        ("week:2026-W48", 1, False),
        ("day:2026-11-23", 1, False),
        ("day:2026-11-22", 2, False),
        ("week:2026-W47", 2, False),
    ]
    assert listed.as_of_ms == clock.now_ms()
    for each in listed.periods:  # as whoever asks for it by its id gets it
        page = await leaderboards.entries("letters", period=each.period.id, reader=None)
        assert (page.period, page.total) == (each.period, each.total)
    days = await views.periods("letters", span=Span.DAY, limit=2)
    assert [each.period.id for each in days.periods] == ["day:2026-12-07", "day:2026-11-23"]
    await give(database, {one: "9"}, at_ms=clock.now_ms())
    days = await views.periods("letters", span=Span.DAY)
    assert [(each.period.id[-2:], each.total) for each in days.periods] == [("07", 1), ("23", 1), ("22", 2)]
    await database.write(lambda tx: tx.execute("UPDATE boards SET generation = generation + 1"))
    rebuilt = await views.periods("letters", span=Span.DAY)  # what lists of another generation hold, is not in force
    assert [(each.period.id[-2:], each.total) for each in rebuilt.periods] == [("07", 0)]
    with pytest.raises(BadInput) as refused:
        await views.periods("letters", span=Span.MONTH)
    assert refused.value.field == "span"
    for limit in (0, 101):
        with pytest.raises(BadInput):
            await views.periods("letters", limit=limit)


async def test_the_winners_of_the_period_before(
    database: Database, leaderboards: Leaderboards, views: BoardViews, clock: Clock
) -> None:
    await leaderboards.seed([BOARD])
    players = await make_players(database, "A", "B", "C", "D")
    await give(database, dict(zip(players, ("4", "6", "6", "1"), strict=True)))
    clock.advance(days=1)
    won = await views.winners_before("letters", period="day", reader=players[1])
    assert won is not None
    assert (won.period.id, ranks(won), names(won), won.total) == (
        "day:2026-11-22",
        ["=1", "=1", "3"],
        ["B", "C", "A"],
        4,
    )
    assert [entry.me for entry in won.entries] == [True, False, False]
    earlier = await views.winners_before("letters", period="day:2026-11-22", reader=None)
    assert earlier is not None
    assert (earlier.period.id, earlier.entries) == ("day:2026-11-21", ())
    month = await views.winners_before("letters", period="month", reader=None)
    assert month is not None
    assert month.period.id == "month:2026-10"
    assert await views.winners_before("letters", period="all", reader=None) is None


# --- history ----------------------------------------------------------------------------------------------------------


async def observe(database: Database, player: int, values: Mapping[str, str | None], at_ms: int) -> None:
    await database.write(
        lambda tx: appdata.observe(tx, player, values, observed_ms=at_ms, at_ms=at_ms, origin=Origin.READ)
    )


async def test_a_history_holds_what_could_rank_newest_first(
    database: Database, leaderboards: Leaderboards, views: BoardViews, clock: Clock
) -> None:
    await leaderboards.seed(
        [dataclasses.replace(BOARD, decimals=1, maximum=100_000_000), dataclasses.replace(BOARD, id="o", field="o")]
    )
    one, two = await make_players(database, "A", "B")
    for number, value in enumerate(("3", "junk", None, "1000000.5", "1000000.5", "12.75", "-2.0")):
        await observe(database, one, {"letters": value, "o": None}, clock.now_ms() + number)
    await observe(database, two, {"letters": "9"}, clock.now_ms())
    clock.advance(s=1)
    await leaderboards.submit(one, "letters", "4.0")
    found = await views.history(one, "letters")
    assert found.player.name == "A"
    assert [(past.score, past.display, past.origin) for past in found.scores] == [
        ("4.0", "4.0", Origin.SUBMITTED),
        ("-2.0", "-2.0", Origin.READ),
        ("1000000.5", "1,000,000.5", Origin.READ),
        ("3.0", "3.0", Origin.BASELINE),
    ]
    assert [past.at_ms for past in found.scores] == [clock.now_ms(), NOON_MS + 6, NOON_MS + 3, NOON_MS]
    assert (await views.history(one, "letters", limit=1)).scores == found.scores[:1]
    assert (await views.history(one, "o")).scores == ()
    await observe(database, one, {"letters": "junk"}, clock.now_ms() + 10)
    assert (await views.history(one, "letters", limit=1)).scores == found.scores[:1]


async def test_an_imported_score_is_in_its_place_in_a_history(
    database: Database, leaderboards: Leaderboards, views: BoardViews, clock: Clock
) -> None:
    await leaderboards.seed([BOARD])
    (one,) = await make_players(database, "A")
    await observe(database, one, {"letters": "3"}, NOON_MS)
    await observe(database, one, {"letters": "5"}, NOON_MS + 10)
    imported = (one, "letters", None, "4", NOON_MS + 5, Origin.IMPORTED.value)
    await database.write(
        lambda tx: tx.execute(
            "INSERT INTO events (player, key, old, new, at_ms, origin) VALUES ($1, $2, $3, $4, $5, $6)", *imported
        )
    )
    assert [past.score for past in (await views.history(one, "letters")).scores] == ["5", "4", "3"]


async def test_a_history_of_nobody_or_of_no_board(
    database: Database, leaderboards: Leaderboards, views: BoardViews
) -> None:
    await leaderboards.seed([BOARD])
    (one,) = await make_players(database, "A")
    with pytest.raises(NotFound):
        await views.history(one, "nothing")
    with pytest.raises(NotFound):
        await views.history(one + 1, "letters")
    for limit in (0, 101):
        with pytest.raises(BadInput):
            await views.history(one, "letters", limit=limit)
