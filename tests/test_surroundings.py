"""What pages say beside lists: over both databases, compared with what a person would count by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homeserver.model import Board, Origin, Ties
from homeserver.services.moderation import Moderation
from homeserver.services.surroundings import BoardSurroundings
from homeserver.storage import appdata, containers, freshness, people
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Transaction
from homeserver.storage.freshness import Asked
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import BOARD, befriend, give, make_players

DAY_MS = 86_400_000
NAMES = ("Anna", "Bert", "Carl", "Dora", "Emil")


@pytest.fixture
async def players(database: Database) -> list[int]:
    await database.write(lambda tx: store.seed(tx, [BOARD]))
    return await make_players(database, *NAMES)


@pytest.fixture
def service(database: Database, clock: Clock) -> BoardSurroundings:
    return BoardSurroundings(database, "orkut", clock.now_ms)


async def ids(database: Database, players: list[int]) -> dict[str, str]:
    """Public ids by name."""
    cards = await database.read(lambda db: people.cards(db, players))
    return {card.name: card.id for card in cards.values()}


async def test_where_players_stood_in_the_period_before(
    database: Database, service: BoardSurroundings, players: list[int]
) -> None:
    anna, bert, carl, dora, _ = players
    public = await ids(database, players)
    asked = list(public.values())
    nothing = await service.around("letters", period="day", players=asked, reader=None)
    assert nothing.ranks_before is None
    await give(database, {anna: "5", bert: "9", carl: "9"}, NOON_MS - DAY_MS)
    await give(database, {anna: "20", dora: "10"}, NOON_MS)
    today = await service.around("letters", period="day", players=asked, reader=None)
    assert today.ranks_before == {public["Anna"]: 3, public["Bert"]: 1, public["Carl"]: 1}
    some = await service.around("letters", period="day", players=[public["Bert"], public["Dora"]], reader=None)
    assert some.ranks_before == {public["Bert"]: 1}
    assert (await service.around("letters", period="all", players=asked, reader=None)).ranks_before is None
    assert (await service.around("letters", period="month", players=asked, reader=None)).ranks_before is None


async def test_friends_and_the_age_of_what_is_shown(
    database: Database, service: BoardSurroundings, players: list[int]
) -> None:
    anna, bert, carl, *_ = players
    alone = await service.around("letters", period="all", players=[], reader=anna)
    assert (alone.friends, alone.read_ms, alone.silent_since_ms) == (0, None, None)
    await befriend(database, anna, [bert, carl])
    await befriend(database, bert, [anna])
    asked = [Asked(anna, None, None, 1_000), Asked(bert, None, 3_000, None), Asked(carl, None, 9_000, None)]
    await database.write(lambda tx: freshness.set_asked(tx, asked))
    seen = await service.around("letters", period="all", players=[], reader=anna)
    assert (seen.friends, seen.read_ms) == (2, 3_000)  # by way of Bert, whose friend she is; Carl asked about others
    await database.write(lambda tx: containers.ensure(tx, "orkut"))
    await database.write(lambda tx: tx.execute("UPDATE containers SET halted_ms = 7 WHERE container = 'orkut'"))
    assert (await service.around("letters", period="all", players=[], reader=None)).silent_since_ms == 7


async def test_friends_near_a_player_are_the_readers(
    database: Database, service: BoardSurroundings, players: list[int]
) -> None:
    anna, bert, carl, dora, emil = players
    await give(database, {anna: "50", bert: "40", carl: "30", dora: "20", emil: "10"})
    await befriend(database, anna, [carl, dora, emil])
    near = await service.friends_near("letters", player=bert, reader=anna)
    assert [(one.player.name, one.rank, one.display, one.me, one.is_they) for one in near] == [
        ("Anna", 1, "50", True, False),
        ("Bert", 2, "40", False, True),
        ("Carl", 3, "30", False, False),
        ("Dora", 4, "20", False, False),
    ]
    own = await service.friends_near("letters", player=anna, reader=anna, count=1)
    assert [one.player.name for one in own] == ["Anna", "Carl"]
    assert await service.friends_near("letters", player=bert, reader=bert) == ()
    await give(database, {bert: None})
    assert await service.friends_near("letters", player=bert, reader=anna) == ()


async def test_lately_are_scores_that_stand_and_friends_come_before_others(
    database: Database, service: BoardSurroundings, players: list[int], clock: Clock
) -> None:
    anna, bert, carl, dora, emil = players
    other = Board("words", "Words", "words")
    dense = replace(BOARD, id="same", title="Same letters", ties=Ties.DENSE)
    await database.write(lambda tx: store.seed(tx, [other, dense]))
    await observe(database, {bert: "7"}, NOON_MS - 5_000)  # first seen: it may be old
    await observe(database, {anna: "1", bert: "1", carl: "1", dora: "1", emil: "1"}, NOON_MS - 4_000)
    await observe(database, {bert: "8", carl: "9", dora: "20"}, NOON_MS - 3_000)
    await observe(database, {dora: "15"}, NOON_MS - 2_000)  # less than what stands
    await befriend(database, anna, [bert])
    found = await service.lately(anna)
    said = [(one.board.id, one.player.name, one.display, one.rank, one.friend, one.me) for one in found]
    assert said == [
        ("letters", "Carl", "9", 2, False, False),
        ("letters", "Bert", "8", 3, True, False),
    ]
    assert [one.player.name for one in await service.lately(anna, limit=1)] == ["Bert"]
    await Moderation(database, clock.now_ms).hide(carl, board_id="letters", actor="maria", reason="x")
    boards = {(one.board.id, one.player.name) for one in await service.lately(None)}
    assert boards == {("letters", "Bert"), ("same", "Carl")}  # hidden on the one, not on the other


async def observe(database: Database, values: dict[int, str], at_ms: int) -> None:
    """What reads bring, one millisecond after the other."""
    for number, (player, value) in enumerate(values.items()):
        await database.write(lambda tx, p=player, v=value, ms=at_ms + number: _observe(tx, p, v, ms))  # type: ignore[misc]


async def _observe(tx: Transaction, player: int, value: str, at_ms: int) -> None:
    boards = await store.begin(tx)
    found = await appdata.observe(tx, player, {"letters": value}, observed_ms=at_ms, at_ms=at_ms, origin=Origin.READ)
    await store.record(tx, boards, found, at_ms)
