"""What operators read of boards and players beyond what players see.

Every query reads a bounded number of rows, or those of the players whom it is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from homeserver.domain.boards import BoardInForce
from homeserver.model import Board, Origin, Position, Span, State, StorageLeg, UploadLine
from homeserver.storage import people
from homeserver.storage.database import Reader
from homeserver.storage.texts import search_key, storable

COUNTED_AT_MOST = 10_000
"""What waits, or was decided, on one board is counted up to here, each kind for itself."""


# --- boards -----------------------------------------------------------------------------------------------------------


async def decided(reader: Reader, board_id: str) -> Mapping[str, int]:
    """How many players have each state on a board by an operator's word, by the state's word; see `COUNTED_AT_MOST`."""
    return {
        state.value: await reader.fetch_value(
            "SELECT count(*) FROM (SELECT player FROM moderation WHERE board = $1 AND state = $2 LIMIT $3) AS m",
            board_id,
            state.value,
            COUNTED_AT_MOST,
        )
        for state in (State.HIDDEN, State.REMOVED)
    }


async def waiting(reader: Reader, in_force: BoardInForce) -> int:
    """How many claims wait on a board; see `COUNTED_AT_MOST`."""
    found: int = await reader.fetch_value(
        "SELECT count(*) FROM (SELECT f.event FROM lists AS l CROSS JOIN flags AS f "
        "WHERE l.board = $1 AND l.period = $2 AND l.generation = $3 AND f.list = l.list LIMIT $4) AS w",
        in_force.board.id,
        Span.ALL.value,
        in_force.generation,
        COUNTED_AT_MOST,
    )
    return found


async def origins(reader: Reader, of: Board, positions: Sequence[Position]) -> dict[int, Origin]:
    """How these entries came, by player: of events of that time the last. Those are left out of whose time there is
    none."""
    rows = await reader.fetch(
        "SELECT e.player, e.origin FROM each_bigints($1, $2) AS w CROSS JOIN events AS e "
        "WHERE e.player = w.c1 AND e.key = $3 AND e.at_ms = w.c2 ORDER BY e.event",
        [each.player for each in positions],
        [each.reached_ms for each in positions],
        of.field,
    )
    return {player: Origin(origin) for player, origin in rows}


async def flagged(reader: Reader, in_force: BoardInForce, players: Sequence[int]) -> set[int]:
    """Those of these players of whom a claim waits on the board."""
    rows = await reader.fetch(
        "SELECT f.player FROM each_bigint($1) AS w CROSS JOIN flags AS f CROSS JOIN lists AS l "
        "WHERE f.player = w.value AND l.list = f.list AND l.board = $2 AND l.period = $3 AND l.generation = $4",
        sorted(players),
        in_force.board.id,
        Span.ALL.value,
        in_force.generation,
    )
    return {row[0] for row in rows}


async def user_ids(reader: Reader, players: Sequence[int]) -> dict[int, str]:
    """The container's user ids of these players."""
    rows = await reader.fetch(
        "SELECT p.player, p.user_id FROM each_bigint($1) AS w CROSS JOIN players AS p WHERE p.player = w.value",
        sorted(players),
    )
    return {player: user_id for player, user_id in rows}  # noqa: C416


async def states(reader: Reader, board_id: str, state: str, after: int, limit: int) -> list[int]:
    """The first players beyond this number who have this state on a board by an operator's word, in order."""
    rows = await reader.fetch(
        "SELECT player FROM moderation WHERE board = $1 AND player > $2 AND state = $3 ORDER BY player LIMIT $4",
        board_id,
        after,
        state,
        limit,
    )
    return [row[0] for row in rows]


async def withdrawn(reader: Reader, after: int, limit: int) -> list[int]:
    """The first players beyond this number who have hidden themselves, in order."""
    rows = await reader.fetch(
        "SELECT player FROM players WHERE withdrawn_ms IS NOT NULL AND player > $1 ORDER BY player LIMIT $2",
        after,
        limit,
    )
    return [row[0] for row in rows]


async def named(reader: Reader, container: str, text: str, limit: int) -> list[int]:
    """Players who are meant by a text: their id in the container or their public id; else those whose shown name begins
    with it, whatever its case and accents."""
    exact = storable(text.strip())
    by_id = await people.find_player(reader, container, exact) or await people.by_public_id(reader, exact)
    if by_id is not None:
        return [by_id]
    wanted = search_key(text)
    if not wanted:
        return []
    rows = await reader.fetch(
        "SELECT player FROM players WHERE search_name >= $1 AND search_name < $2 AND container <> '' "
        "ORDER BY search_name, player LIMIT $3",
        wanted,
        f"{wanted}\U0010ffff",
        limit,
    )
    return [row[0] for row in rows]


# --- outliers ---------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """A change of a player's value, as it was kept."""

    event: int
    player: int
    old: str | None
    new: str | None
    at_ms: int


async def last_steps(reader: Reader, key: str, looked_at: int, limit: int) -> list[Step]:
    """The last changes of this field from one value to another by players themselves, newest first, among the last
    `looked_at` of all."""
    rows = await reader.fetch(
        "SELECT event, player, old, new, at_ms FROM events "
        "WHERE event > (SELECT coalesce(max(event), 0) FROM events) - $2 AND key = $1 AND old IS NOT NULL "
        "AND new IS NOT NULL AND origin IN ($4, $5) ORDER BY event DESC LIMIT $3",
        key,
        looked_at,
        limit,
        Origin.READ.value,
        Origin.SUBMITTED.value,
    )
    return [Step(*row) for row in rows]


# --- players ----------------------------------------------------------------------------------------------------------


class Known(NamedTuple):
    """What the container says of a player, and when it was asked."""

    container: str
    user_id: str
    has_app: bool | None
    withdrawn_ms: int | None
    synced_ms: int | None
    friends: int
    storage_user: str | None
    """The storage account that they have linked."""


async def known(reader: Reader, player: int) -> Known | None:
    """One player."""
    row = await reader.fetch_one(
        "SELECT container, user_id, has_app, withdrawn_ms, synced_ms, "
        "(SELECT count(*) FROM friendships AS f WHERE f.player = $1), "
        "(SELECT storage_user FROM account_links AS a WHERE a.player = $1) FROM players WHERE player = $1",
        player,
    )
    if row is None or row[0] == people.NOWHERE:
        return None
    container, user_id, has_app, *rest = row
    return Known(container, user_id, None if has_app is None else bool(has_app), *rest)


async def held(reader: Reader, player: int) -> list[tuple[str, str | None, int | None]]:
    """Each AppData value of the player as it was last seen: key, value, when."""
    rows = await reader.fetch("SELECT key, value, observed_ms FROM appdata WHERE player = $1 ORDER BY key", player)
    return [(key, value, None if observed_ms < 0 else observed_ms) for key, value, observed_ms in rows]


class PastEvent(NamedTuple):
    """A change as it was kept."""

    event: int
    key: str
    old: str | None
    new: str | None
    at_ms: int
    origin: Origin


async def events_of(reader: Reader, player: int, keys: Sequence[str], before: int, limit: int) -> list[PastEvent]:
    """The last changes of the player's values under these keys, newest first, before the event of this number."""
    found: list[PastEvent] = []
    for key in keys:
        rows = await reader.fetch(
            "SELECT event, key, old, new, at_ms, origin FROM events WHERE player = $1 AND key = $2 AND event < $3 "
            "ORDER BY event DESC LIMIT $4",
            player,
            key,
            before,
            limit,
        )
        found += [PastEvent(row[0], row[1], row[2], row[3], row[4], Origin(row[5])) for row in rows]
    return sorted(found, key=lambda each: each.event, reverse=True)[:limit]


async def uploads_of(reader: Reader, storage_user: str, limit: int) -> list[UploadLine]:
    """The last uploads of a storage account, without what is the account's alone."""
    rows = await reader.fetch(
        "SELECT upload, size_bytes, storage, code, created_ms, updated_ms FROM uploads WHERE storage_user = $1 "
        "ORDER BY created_ms DESC, upload LIMIT $2",
        storage_user,
        limit,
    )
    return [UploadLine(id_, size, StorageLeg(state), *rest) for id_, size, state, *rest in rows]
