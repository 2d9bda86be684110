"""Scores that an operator gives, where something else comes between; what they do is in `web/test_admin_api.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from homeserver.domain.boards import BoardInForce
from homeserver.services.verified_scores import VerifiedScores
from homeserver.storage import leaderboards as store
from homeserver.storage import rebuild
from homeserver.storage.database import Database, Transaction
from tests.clock import Clock
from tests.leaderboards_kit import BOARD, make_players


@pytest.mark.parametrize("database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_a_board_that_takes_another_field_just_then_gets_the_score_there(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is more than one writer at a time: it was kept under the field of before, and counted nowhere."""
    await database.write(lambda tx: store.seed(tx, [BOARD]))
    (player,) = await make_players(database, "Ana")
    original, asked = store.begin, []

    async def begin(tx: Transaction, fields: Iterable[str] | None = None) -> tuple[BoardInForce, ...]:
        asked.append(fields)
        if len(asked) == 1:
            await database.write(lambda other: rebuild.redefine(other, replace(BOARD, field="coins"), 2))
        return await original(tx, fields)

    monkeypatch.setattr(store, "begin", begin)
    await VerifiedScores(database, clock.now_ms).give(player, BOARD.id, "7", actor="root", reason="a paper says so")
    events = await database.read(lambda reader: reader.fetch("SELECT key, new FROM events"))
    assert [tuple(event) for event in events] == [("coins", "7")]
    assert await database.read(lambda reader: reader.fetch_value("SELECT count(*) FROM entries")) == len(BOARD.spans)
