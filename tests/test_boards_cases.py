"""Cases that boards must pass, one by one, that belong to no other module's tests; on both engines."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import pytest

from homeserver.errors import BadInput
from homeserver.model import Board, EntryPage, Origin, Ties
from homeserver.services.board_views import BoardViews
from homeserver.services.leaderboards import Leaderboards
from homeserver.storage import appdata
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Transaction
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import BOARD, KEY, Container, befriend, give, make_players, names, ranks


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


# --- strings ----------------------------------------------------------------------------------------------------------

NO_SCORES: Final = [
    *("", " 3", "3 ", "+3", "03", "3.0", "1e3", "0x10", "1_000", "nan", "inf", "-0", "true", "null", "[3]", '"3"'),
    "\u0663",  # Arabic-Indic digit three
    "\u00b3",  # superscript three
    *("9999999999999999999", "9" * 30, "9" * 1_000_000),
]


async def test_a_text_that_is_no_score_leaves_the_board_alone_and_is_kept_as_it_is(
    database: Database, leaderboards: Leaderboards
) -> None:
    await leaderboards.seed([BOARD])
    players = await make_players(database, "A", "B")
    await sync(database, players[0], "5", NOON_MS)
    before = await leaderboards.entries("letters", reader=None)
    for at_ms, text in enumerate(NO_SCORES, NOON_MS + 1):
        for player in players:
            await sync(database, player, text, at_ms)
            kept = await database.read(lambda reader, player=player: appdata.values_of(reader, player))  # type: ignore[misc]
            assert kept == {"letters": text}
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
