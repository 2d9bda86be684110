"""The AppData values that boards need, when each was observed, and the events that their changes made.

A value that was cleared stays as a row without a value: when it was seen to be gone is worth knowing too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from homeserver.model import Change, Origin
from homeserver.storage.database import Reader, Transaction
from homeserver.storage.texts import storable

Values = Mapping[str, str | None]
"""Key to value; None says that the key was looked for and is not there. A key that is left out says nothing."""


class _Row(NamedTuple):
    value: str | None
    observed_ms: int
    has_events: bool


_NO_ROW: Final = _Row(None, -1, has_events=False)


async def observe(
    tx: Transaction, player: int, values: Values, *, observed_ms: int, at_ms: int, origin: Origin
) -> list[Change]:
    """Keep what was observed of one player; see `observe_many`."""
    return await observe_many(tx, {player: values}, observed_ms=observed_ms, at_ms=at_ms, origin=origin)


async def observe_many(
    tx: Transaction, observed: Mapping[int, Values], *, observed_ms: int, at_ms: int, origin: Origin
) -> list[Change]:
    """Keep what was observed of these players, and append what changed to the events.

    Args:
        observed: By player number. Keys are fields of boards, not whatever a container may send.
        observed_ms: When the request was sent (a read), or when the answer came (a write of ours). A read changes only
            what was last changed before it; a write of ours also what was changed in the same millisecond.
        at_ms: Our time of seeing it: the time of the changes.
        origin: How it came. A READ becomes BASELINE where the player has no event of that key yet; imports are none,
            as they say nothing of what AppData held.

    Returns:
        What changed, ordered by player and key. What is unchanged is not written, its time neither: a value that went
        away and came back may be set back by a read that was under way all the time; the next sync repairs that.
    """
    wanted = {
        (player, key): (value, observed_ms) for player, values in observed.items() for key, value in values.items()
    }
    return await observe_places(tx, wanted, at_ms=at_ms, origin=origin)


async def observe_places(
    tx: Transaction,
    observed: Mapping[tuple[int, str], tuple[str | None, int]],
    *,
    at_ms: int,
    origin: Origin,
) -> list[Change]:
    """As `observe_many`, where each value (by player and key) has an `observed_ms` of its own."""
    wanted = {
        place: (None if value is None else storable(value), observed_ms)
        for place, (value, observed_ms) in observed.items()
    }

    def changes(place: tuple[int, str], row: _Row) -> bool:
        value, observed_ms = wanted[place]
        fits = row.observed_ms < observed_ms or (row.observed_ms == observed_ms and origin is Origin.SUBMITTED)
        return fits and row.value != value

    known = await _rows(tx, {player for player, _ in wanted})
    places = sorted(place for place in wanted if changes(place, known.get(place, _NO_ROW)))
    if not places:
        return []
    # Locks the rows, makes those that are missing, and changes nothing; in order, so that nobody deadlocks. Only what
    # is read from here on counts: what was read above may have been changed by another process meanwhile.
    await tx.execute_many(
        "INSERT INTO appdata (player, key, observed_ms) VALUES ($1, $2, $3) "
        "ON CONFLICT (player, key) DO UPDATE SET observed_ms = appdata.observed_ms WHERE FALSE",
        [(*place, _NO_ROW.observed_ms) for place in places],
    )
    locked = await _rows(tx, {player for player, _ in places})
    changed = [
        Change(
            *place,
            old=locked[place].value,
            new=wanted[place][0],
            at_ms=at_ms,
            origin=Origin.BASELINE if origin is Origin.READ and not locked[place].has_events else origin,
        )
        for place in places
        if changes(place, locked[place])
    ]
    await tx.execute_many(
        "UPDATE appdata SET value = $3, observed_ms = $4 WHERE player = $1 AND key = $2",
        [(change.player, change.key, change.new, wanted[change.player, change.key][1]) for change in changed],
    )
    await tx.execute_many(
        "INSERT INTO events (player, key, old, new, at_ms, origin) VALUES ($1, $2, $3, $4, $5, $6)",
        [(change.player, change.key, change.old, change.new, at_ms, change.origin.value) for change in changed],
    )
    return changed


async def values_of(reader: Reader, player: int) -> dict[str, str]:
    """The values that the player has, by key."""
    rows = await reader.fetch("SELECT key, value FROM appdata WHERE player = $1 AND value IS NOT NULL", player)
    return {row[0]: row[1] for row in rows}


async def keys_of(reader: Reader, players: Collection[int]) -> dict[int, set[str]]:
    """The keys under which each of these players has a value; players without any are left out."""
    found: dict[int, set[str]] = {}
    for (player, key), row in (await _rows(reader, players)).items():
        if row.value is not None:
            found.setdefault(player, set()).add(key)
    return found


async def _rows(reader: Reader, players: Collection[int]) -> dict[tuple[int, str], _Row]:
    rows = await reader.fetch(
        "SELECT a.player, a.key, a.value, a.observed_ms, "
        "EXISTS (SELECT 1 FROM events AS e WHERE e.player = a.player AND e.key = a.key "
        "AND e.origin NOT IN ('imported', 'verified')) "
        "FROM appdata AS a WHERE a.player IN (SELECT w.value FROM each_bigint($1) AS w)",
        list(players),
    )
    return {(player, key): _Row(*row) for player, key, *row in rows}
