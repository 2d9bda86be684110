"""Scores that an operator imports, kept as events. They are no observations: what AppData holds stays as it is known.

So a sync finds nothing changed by an import, and removes nothing of it; and the first value that a read brings for the
player is as much a baseline as it would have been without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from homeserver.model import Change, Origin
from homeserver.storage.database import Transaction


class Imported(NamedTuple):
    """One score: `at_ms` is None where the file says no time."""

    player: int
    value: str
    at_ms: int | None


async def add(tx: Transaction, key: str, imported: Sequence[Imported], *, verified: bool, now_ms: int) -> list[Change]:
    """Append to the events what is not there yet.

    A score with a time is there when the same was imported before. One without a time is there when the player has any
    event of this value; otherwise it enters `all` alone, as a baseline does, and counts as reached now.

    Returns:
        What was new, in the same order; to be recorded in this transaction.
    """
    players = sorted({each.player for each in imported})
    # Writers of the same player and field wait for each other at this row; see `appdata.observe_many`.
    await tx.execute(
        "INSERT INTO appdata (player, key, observed_ms) SELECT w.value, CAST($2 AS TEXT), -1 FROM each_bigint($1) AS w "
        "WHERE TRUE ORDER BY w.value "
        "ON CONFLICT (player, key) DO UPDATE SET observed_ms = appdata.observed_ms WHERE FALSE",
        players,
        key,
    )
    there: set[tuple[int, str | None, int | None, str | None]] = set()
    for player, value, at_ms, origin in await tx.fetch(
        "SELECT e.player, e.new, e.at_ms, e.origin FROM each_bigint($1) AS w CROSS JOIN events AS e "
        "WHERE e.player = w.value AND e.key = $2",
        players,
        key,
    ):
        there.add((player, value, at_ms, origin))
        there.add((player, value, None, None))
    own = Origin.VERIFIED if verified else Origin.IMPORTED
    new: list[Change] = []
    for player, value, given_ms in imported:
        origin = Origin.BASELINE if given_ms is None else own
        at_ms = now_ms if given_ms is None else given_ms
        same = (player, value, None, None) if given_ms is None else (player, value, at_ms, own.value)
        if same not in there:
            there.update({(player, value, at_ms, origin.value), (player, value, None, None)})
            new.append(Change(player, key, None, value, at_ms, origin))
    await tx.execute_many(
        "INSERT INTO events (player, key, old, new, at_ms, origin) VALUES ($1, $2, NULL, $3, $4, $5)",
        [(change.player, key, change.new, change.at_ms, change.origin.value) for change in new],
    )
    return new
