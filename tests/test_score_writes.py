"""Score writes that share a transaction: each has its own answer or its own error, and what counts is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from homeserver.domain.boards import BoardInForce
from homeserver.errors import BadInput, DatabaseUnavailable
from homeserver.model import Board, Keep, Origin
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.score_writes import Prepare, ScoreWrites
from homeserver.storage import leaderboards as store
from homeserver.storage.appdata import Observation
from homeserver.storage.database import Database, Transaction
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import BOARD, KEY, Container, Counting, make_players
from tests.rebuild_kit import check

LATEST = Board("latest", "Latest", "latest", keep=Keep.LATEST)


def scored(player: int, value: str | None, *, key: str = "letters", ms: int = 0) -> Prepare:
    async def prepare(tx: Transaction, boards: Sequence[BoardInForce]) -> list[Observation]:
        return [Observation(player, {key: value}, NOON_MS + ms, NOON_MS + ms, Origin.SUBMITTED)]

    return prepare


@pytest.fixture
async def counting(database: Database) -> Counting:
    await database.write(lambda tx: store.seed(tx, [BOARD, LATEST]))
    return Counting(database)


async def test_those_who_wait_share_a_transaction_and_get_their_own_answer(counting: Counting) -> None:
    players = await make_players(counting, *(f"P{number}" for number in range(12)))
    writes = ScoreWrites(counting)
    counting.transactions = 0
    answers = await asyncio.gather(
        *(writes.write(scored(player, str(player)), fields=["letters"]) for player in players)
    )
    assert [[(each.player, each.new) for each in counted.changes] for counted in answers] == [
        [(player, str(player))] for player in players
    ]
    assert counting.transactions == 1
    assert await check(counting, BOARD, least=-(10**9)) == 12 * 4
    counting.most_together = 5
    await asyncio.gather(*(writes.write(scored(player, "9", ms=9), fields=["letters"]) for player in players))
    assert counting.transactions == 1 + 3
    await asyncio.gather(*(writes.write(scored(player, "99", ms=19), size=4) for player in players[:3]))
    assert counting.transactions == 4 + 3
    assert await check(counting, BOARD, least=-(10**9)) == 12 * 4


async def test_one_player_and_field_several_times_in_one_transaction(counting: Counting) -> None:
    (one, two) = await make_players(counting, "One", "Two")
    writes = ScoreWrites(counting)
    counting.transactions = 0
    steps = [(one, "5"), (two, "1"), (one, "7"), (one, "7"), (two, None), (one, "3")]
    answers = await asyncio.gather(
        *(writes.write(scored(player, value, key="latest", ms=ms)) for ms, (player, value) in enumerate(steps))
    )
    assert counting.transactions == 1
    assert [[(each.old, each.new) for each in counted.changes] for counted in answers] == [
        [(None, "5")],
        [(None, "1")],
        [("5", "7")],
        [],
        [("1", None)],
        [("7", "3")],
    ]
    assert await check(counting, LATEST, least=-(10**9)) == 4


async def test_one_that_fails_fails_alone(counting: Counting) -> None:
    players = await make_players(counting, *(f"P{number}" for number in range(6)))

    async def wrong(tx: Transaction, boards: Sequence[BoardInForce]) -> list[Observation]:
        await tx.execute("DELETE FROM players")
        raise BadInput("no")

    async def unstorable(tx: Transaction, boards: Sequence[BoardInForce]) -> list[Observation]:
        return [Observation(players[5], {"letters": "5"}, 2**70, NOON_MS, Origin.SUBMITTED)]

    writes = ScoreWrites(counting)
    prepares = [scored(players[0], "1"), wrong, scored(players[1], "2"), unstorable, scored(players[2], "3")]
    answers = await asyncio.gather(*(writes.write(prepare) for prepare in prepares), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers[::2]] == ["Counted"] * 3
    assert isinstance(answers[1], BadInput)
    assert isinstance(answers[3], Exception)
    assert await check(counting, BOARD, least=-(10**9)) == 3 * 4
    assert len(await make_players(counting, "P0")) == 1


async def test_a_lost_database_is_asked_once_for_all(counting: Counting) -> None:
    writes = ScoreWrites(counting)
    counting.failure = DatabaseUnavailable("gone")
    counting.transactions = 0
    answers = await asyncio.gather(*(writes.write(scored(1, "1")) for _ in range(5)), return_exceptions=True)
    assert answers == [counting.failure] * 5
    assert counting.transactions == 1


async def test_who_goes_away_while_waiting_is_not_written_and_hurts_nobody(counting: Counting) -> None:
    players = await make_players(counting, "A", "B")
    writes = ScoreWrites(counting)
    gone = asyncio.ensure_future(writes.write(scored(players[0], "1")))
    stays = asyncio.ensure_future(writes.write(scored(players[1], "2")))
    asyncio.get_running_loop().call_soon(gone.cancel)
    await asyncio.wait({gone, stays})
    assert gone.cancelled()
    assert [each.new for each in (await stays).changes] == ["2"]
    after = await writes.write(scored(players[1], "3", ms=5))
    assert [each.new for each in after.changes] == ["3"]


async def test_scores_submitted_at_once_are_counted_together(counting: Counting, clock: Clock) -> None:
    players = await make_players(counting, *(f"P{number}" for number in range(6)))
    container = Container(clock, together=asyncio.Barrier(len(players)))
    boards = Leaderboards(counting, container, clock.now_ms, KEY)
    counting.transactions = 0
    placed = await asyncio.gather(*(boards.submit(player, "letters", str(player)) for player in players))
    container.together = None
    # What was read came at once: one transaction. Scores come as the places before them have been looked up, and those
    # that wait together share one; how many that are is up to the database.
    assert counting.transactions <= 1 + len(players)
    assert [[change.is_best for change in each.changes] for each in placed] == [[True] * 4] * 6
    page = await boards.entries("letters", reader=None)
    assert [(entry.rank, entry.score) for entry in page.entries] == [
        (rank, str(player)) for rank, player in enumerate(reversed(players), 1)
    ]
    again = await boards.submit(players[0], "letters", str(players[-1] + 1))
    assert [(change.rank_before, change.place.rank, change.is_best) for change in again.changes] == [(6, 1, True)] * 4
