"""Cases that boards must pass, one by one, that belong to no other module's tests; on both engines."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Final

import pytest

from homeserver.errors import BadCursor, BadInput
from homeserver.model import Board, Counts, EntryPage, Keep, Order, Origin, Span, Ties
from homeserver.services.board_views import BoardViews
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.steady_clock import MOST_MS, SteadyClock
from homeserver.storage import appdata
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Transaction
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import BOARD, KEY, Container, befriend, give, make_players, names, ranks

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MIDNIGHT_MS: Final = NOON_MS + 12 * HOUR_MS
"""At the end of Sunday, 2026-11-22: a day and a week begin."""


@pytest.fixture
def leaderboards(database: Database, clock: Clock) -> Leaderboards:
    return Leaderboards(database, Container(clock), clock.now_ms, KEY)


async def sync(database: Database, player: int, value: str, at_ms: int, origin: Origin = Origin.READ) -> None:
    """A read brings this value, or a write of ours has."""

    async def work(tx: Transaction) -> None:
        boards = await store.begin(tx)
        changes = await appdata.observe(tx, player, {"letters": value}, observed_ms=at_ms, at_ms=at_ms, origin=origin)
        await store.record(tx, boards, changes, at_ms)

    await database.write(work)


def shown(page: EntryPage) -> list[tuple[str, str]]:
    return [(entry.player.name, entry.score) for entry in page.entries]


# --- windows ----------------------------------------------------------------------------------------------------------


async def test_who_played_last_week_alone_is_in_its_final_result_and_not_in_this_weeks(
    database: Database, leaderboards: Leaderboards, clock: Clock
) -> None:
    await leaderboards.seed([BOARD])
    one, two, three = await make_players(database, "A", "B", "C")
    await give(database, {one: "5", two: "7", three: "5"})
    clock.set(MIDNIGHT_MS + HOUR_MS)
    await give(database, {three: "9"}, at_ms=clock.now_ms())
    week = await leaderboards.entries("letters", period="week", reader=one)
    assert (week.period.id, shown(week)) == ("week:2026-W48", [("C", "9")])
    last = await leaderboards.entries("letters", period="week:2026-W47", reader=one)
    assert (shown(last), ranks(last)) == ([("B", "7"), ("A", "5"), ("C", "5")], ["1", "=2", "=2"])
    assert (await leaderboards.place("letters", period="week", player=one)).rank is None
    assert (await leaderboards.place("letters", period="week:2026-W47", player=one)).rank == 2
    views = BoardViews(database, clock.now_ms)
    listed = await views.periods("letters", span=Span.WEEK)
    assert [(each.period.id, each.total) for each in listed.periods] == [("week:2026-W48", 1), ("week:2026-W47", 3)]


@pytest.mark.parametrize(("keep", "fallen"), [(Keep.BEST, "3"), (Keep.LATEST, "2")])
@pytest.mark.parametrize("order", Order)
async def test_what_was_gained_is_counted_from_what_there_was_before(
    *, database: Database, leaderboards: Leaderboards, clock: Clock, keep: Keep, fallen: str, order: Order
) -> None:
    """10 before, 13 now: 3. Falls to 12: 2 now, and 3 at best. Who wrote nothing is not there."""
    sign = 1 if order is Order.MORE else -1
    await leaderboards.seed([replace(BOARD, counts=Counts.GAINED, keep=keep, order=order)])
    one, two = await make_players(database, "A", "B")
    for player in (one, two):
        await sync(database, player, str(10 * sign), NOON_MS)
    clock.set(MIDNIGHT_MS + 1)
    await sync(database, one, str(13 * sign), clock.now_ms())
    day = await leaderboards.entries("letters", period="day", reader=None)
    assert shown(day) == [("A", str(3 * sign))]
    clock.advance(s=1)
    await sync(database, one, str(12 * sign), clock.now_ms())
    day = await leaderboards.entries("letters", period="day", reader=None)
    assert shown(day) == [("A", str(int(fallen) * sign))]
    whole = await leaderboards.entries("letters", reader=None)
    assert shown(whole)[0] == ("A", str((13 if keep is Keep.BEST else 12) * sign))


async def test_pages_of_a_day_go_on_by_its_id_when_the_next_day_has_begun(
    database: Database, leaderboards: Leaderboards, clock: Clock
) -> None:
    await leaderboards.seed([BOARD])
    players = await make_players(database, *"ABCDE")
    clock.set(MIDNIGHT_MS - 1)
    await give(database, dict.fromkeys(players, "5"))
    first = await leaderboards.entries("letters", period="day", reader=None, limit=2)
    assert first.next is not None
    clock.advance(ms=1)
    await give(database, {players[4]: "6"}, at_ms=clock.now_ms())
    with pytest.raises(BadCursor):
        await leaderboards.entries("letters", period="day", reader=None, limit=2, cursor=first.next)
    second = await leaderboards.entries("letters", period=first.period.id, reader=None, limit=2, cursor=first.next)
    assert (names(second), ranks(second), second.total) == (["C", "D"], ["=1", "=1"], 5)


@pytest.mark.parametrize("back_ms", [1, 2_000, MOST_MS])
async def test_a_clock_that_steps_back_over_midnight_does_not_reopen_the_day(
    database: Database, clock: Clock, back_ms: int
) -> None:
    clock.set(MIDNIGHT_MS - 1)
    steady = SteadyClock(clock.now_ms)
    leaderboards = Leaderboards(database, Container(clock), steady, KEY)
    await leaderboards.seed([BOARD])
    one, two = await make_players(database, "A", "B")
    await sync(database, one, "5", steady(), Origin.SUBMITTED)
    clock.advance(ms=1)
    final = await leaderboards.entries("letters", period="day:2026-11-22", reader=None)
    assert (await leaderboards.entries("letters", period="day", reader=None)).period.id == "day:2026-11-23"
    clock.advance(ms=-back_ms)
    await sync(database, two, "9", steady(), Origin.SUBMITTED)
    assert (await leaderboards.entries("letters", period="day:2026-11-22", reader=None)).entries == final.entries
    today = await leaderboards.entries("letters", period="day", reader=None)
    assert (today.period.id, names(today)) == ("day:2026-11-23", ["B"])


def test_a_steady_clock_stands_still_until_it_is_caught_up_with(clock: Clock) -> None:
    steady = SteadyClock(clock.now_ms)
    clock.advance(ms=-MOST_MS)
    assert steady() == NOON_MS
    clock.advance(ms=MOST_MS - 1)
    assert steady() == NOON_MS
    clock.advance(ms=2)
    assert steady() == NOON_MS + 1


def test_a_steady_clock_follows_one_that_was_wrong(clock: Clock) -> None:
    steady = SteadyClock(clock.now_ms)
    clock.advance(ms=-MOST_MS - 1)
    assert steady() == NOON_MS - MOST_MS - 1
    clock.advance(days=400)
    assert steady() == clock.now_ms()


async def test_two_servers_whose_clocks_differ_show_the_same_lists(database: Database, clock: Clock) -> None:
    """At midnight one is two seconds behind: what counts where was decided once, when it was written."""
    ahead, behind = clock, Clock(clock.now_ms())
    one = Leaderboards(database, Container(ahead), ahead.now_ms, KEY)
    other = Leaderboards(database, Container(behind), behind.now_ms, KEY)
    await one.seed([replace(BOARD, keep=Keep.LATEST)])
    early, late = await make_players(database, "Early", "Late")
    ahead.set(MIDNIGHT_MS + 500)
    behind.set(MIDNIGHT_MS - 1_500)
    await one.submit(late, "letters", "5")
    await other.submit(early, "letters", "4")
    days = {}
    for id_ in ("day:2026-11-22", "day:2026-11-23", "week:2026-W47", "week:2026-W48", "all"):
        pages = [await each.entries("letters", period=id_, reader=None) for each in (one, other)]
        assert pages[0].entries == pages[1].entries
        days[id_] = names(pages[0])
    assert days["day:2026-11-22"] == days["week:2026-W47"] == ["Early"]
    assert days["day:2026-11-23"] == days["week:2026-W48"] == ["Late"]
    assert days["all"] == ["Late", "Early"]
    for each in (one, other):  # each word is of the clock that is asked, and the page says which day that is
        page = await each.entries("letters", period="day", reader=None)
        assert names(page) == days[page.period.id]


# --- strings ----------------------------------------------------------------------------------------------------------

NO_SCORES: Final = [
    *("", " 3", "3 ", "+3", "03", "3.0", "1e3", "0x10", "1_000", "nan", "inf", "-0", "true", "null", "[3]", '"3"'),
    "\u0663",  # Arabic-Indic digit three
    "\u00b3",  # superscript three
    *("9999999999999999999", "9" * 30, "9" * 1_000_000),
]


@pytest.mark.parametrize("text", NO_SCORES, ids=lambda text: ascii(text)[:24])
async def test_a_text_that_is_no_score_leaves_the_board_alone_and_is_kept_as_it_is(
    database: Database, leaderboards: Leaderboards, clock: Clock, text: str
) -> None:
    await leaderboards.seed([BOARD])
    one, two = await make_players(database, "A", "B")
    await sync(database, one, "5", NOON_MS)
    before = await leaderboards.entries("letters", reader=None)
    for number, player in enumerate((one, two)):
        await sync(database, player, text, NOON_MS + 1 + number)
        assert await database.read(lambda reader, p=player: appdata.values_of(reader, p)) == {"letters": text}  # type: ignore[misc]
        with pytest.raises(BadInput):
            await leaderboards.submit(player, "letters", text)
    after = await leaderboards.entries("letters", reader=None)
    assert (after.entries, after.total) == (before.entries, 1)


async def test_neighbours_beyond_the_doubles_have_ranks_of_their_own(
    database: Database, leaderboards: Leaderboards
) -> None:
    await leaderboards.seed([BOARD])
    values = [2**63 - 1, 2**63 - 2, 2**53 + 1, 2**53, -(2**63)]
    players = await make_players(database, *"ABCDE")
    await give(database, {player: str(value) for player, value in zip(players, values, strict=True)})
    page = await leaderboards.entries("letters", reader=None)
    assert [int(entry.score) for entry in page.entries] == values
    assert ranks(page) == ["1", "2", "3", "4", "5"]


# --- what goes away ---------------------------------------------------------------------------------------------------


async def test_a_value_that_is_gone_is_nowhere_counted(
    database: Database, leaderboards: Leaderboards, clock: Clock
) -> None:
    await leaderboards.seed([BOARD])
    players = await make_players(database, "A", "B", "C")
    await befriend(database, players[2], players[:2])
    await give(database, dict(zip(players, ("9", "8", "7"), strict=True)))
    clock.advance(s=1)
    await give(database, {players[0]: None}, at_ms=clock.now_ms())
    for page in (
        await leaderboards.entries("letters", reader=players[2]),
        await leaderboards.friends("letters", reader=players[2]),
        await leaderboards.around("letters", period="day", reader=players[2]),
        await leaderboards.at_rank("letters", reader=None, rank=1),
        await leaderboards.at_score("letters", reader=None, score="9"),
    ):
        assert (names(page), ranks(page), page.total) == (["B", "C"], ["1", "2"], 2)
    assert shown(await leaderboards.search("letters", reader=None, text="A")) == []
    place = await leaderboards.place("letters", player=players[1])
    assert (place.rank, place.total, place.better_than) == (1, 2, Fraction(1))
    spread = await BoardViews(database, clock.now_ms).distribution("letters", reader=None)
    assert (spread.total, sum(each.count for each in spread.classes)) == (2, 2)


async def test_a_friend_who_is_none_any_more_leaves_the_friends_list_and_nothing_else(
    database: Database, leaderboards: Leaderboards
) -> None:
    """Blocked, say: the container does not name them any more."""
    await leaderboards.seed([BOARD])
    me, friend, other = await make_players(database, "Me", "Friend", "Other")
    await befriend(database, me, [friend, other])
    await give(database, {friend: "9", other: "8", me: "7"})
    assert names(await leaderboards.friends("letters", reader=me)) == ["Friend", "Other", "Me"]
    await database.write(lambda tx: tx.execute("DELETE FROM friendships WHERE player = $1 AND friend = $2", me, friend))
    page = await leaderboards.friends("letters", reader=me)
    assert (names(page), ranks(page), page.total) == (["Other", "Me"], ["2", "3"], 3)
    assert names(await leaderboards.entries("letters", reader=me)) == ["Friend", "Other", "Me"]


# --- the ends of everything -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", Ties)
async def test_scores_all_different_from_one_end_to_the_other(
    database: Database, leaderboards: Leaderboards, ties: Ties
) -> None:
    await leaderboards.seed([Board("letters", "Letters", "letters", ties=ties)])
    players = await make_players(database, *(f"P{number}" for number in range(41)))
    values = [10**12 - number * 5 * 10**10 for number in range(41)]
    assert (values[0], values[-1]) == (10**12, -(10**12))
    await give(database, dict(zip(reversed(players), map(str, reversed(values)), strict=True)))
    page = await leaderboards.entries("letters", reader=None, limit=50)
    assert [(entry.rank, int(entry.score)) for entry in page.entries] == list(enumerate(values, 1))
    middle = await leaderboards.around("letters", reader=players[20], limit=3)
    assert ranks(middle) == ["20", "21", "22"]
    assert (await leaderboards.place("letters", player=players[40])).better_than == 0
