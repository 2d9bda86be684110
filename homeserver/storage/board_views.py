"""What further views of boards read: the ends of a list, the lists that a board has, a player's past values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, cast

from homeserver.domain.boards import BoardInForce
from homeserver.domain.replay import Event
from homeserver.model import Origin, Span
from homeserver.storage.database import Reader

_SEEN_AS_THEY_CAME: Final = [Origin.READ.value, Origin.SUBMITTED.value]


async def ends(reader: Reader, list_: int) -> tuple[int, int] | None:
    """The best and the worst key of the list; None where it is empty."""
    # Two subqueries: each reads one row of the primary key, min and max beside each other would read the whole list.
    best, worst = cast(
        "tuple[int | None, int | None]",
        await reader.fetch_one(
            "SELECT (SELECT key FROM entries WHERE list = $1 ORDER BY key LIMIT 1), "
            "(SELECT key FROM entries WHERE list = $1 ORDER BY key DESC LIMIT 1)",
            list_,
        ),
    )
    return None if best is None or worst is None else (best, worst)


class ListedPeriod(NamedTuple):
    """A list of a board: its number, and the period as it was when the list was made."""

    list: int
    id: str
    starts_ms: int
    ends_ms: int


async def earlier_lists(
    reader: Reader, in_force: BoardInForce, spans: Iterable[Span], before_ms: int, limit: int
) -> list[ListedPeriod]:
    """The board's lists of periods of these spans that had ended by then, newest first; of two that began together, the
    one that ended later first."""
    rows = await reader.fetch(
        "SELECT list, period, starts_ms, ends_ms FROM lists WHERE board = $1 AND generation = $2 AND ends_ms <= $3 "
        "AND EXISTS (SELECT 1 FROM each_text($4) AS s WHERE lists.period LIKE s.value) "
        "ORDER BY starts_ms DESC, ends_ms DESC, period LIMIT $5",
        in_force.board.id,
        in_force.generation,
        before_ms,
        [f"{span.value}:%" for span in spans],
        limit,
    )
    return [ListedPeriod(*row) for row in rows]


class PastValue(NamedTuple):
    """What an AppData value became, by the event of this number."""

    event: int
    value: str
    at_ms: int
    origin: Origin


async def past_values(reader: Reader, player: int, key: str, limit: int, *, after: int = 0) -> list[PastValue]:
    """The last `limit` values that the player had under this key, newest first, from events beyond `after`; values that
    were gone are left out."""
    rows = await reader.fetch(
        "SELECT event, new, at_ms, origin FROM events WHERE player = $1 AND key = $2 AND event > $4 "
        "AND new IS NOT NULL ORDER BY event DESC LIMIT $3",
        player,
        key,
        limit,
        after,
    )
    return [PastValue(event, value, at_ms, Origin(origin)) for event, value, at_ms, origin in rows]


async def every_value(reader: Reader, player: int, key: str) -> Sequence[Event]:
    """All that the player's value under this key has ever been, oldest first; a removal as None."""
    rows = await reader.fetch(
        "SELECT event, player, new, at_ms, origin FROM events WHERE player = $1 AND key = $2 ORDER BY event",
        player,
        key,
    )
    return cast("Sequence[Event]", rows)


class Latest(NamedTuple):
    """A value that somebody's AppData has become."""

    player: int
    key: str
    value: str
    at_ms: int


async def latest_values(reader: Reader, count: int) -> list[Latest]:
    """The last values that we saw appear, of anybody, newest first, out of the last `count` changes of any kind. What
    was there when it was first read is none, nor what was imported: both may be old."""
    rows = await reader.fetch(
        "SELECT player, key, new, at_ms FROM (SELECT * FROM events ORDER BY event DESC LIMIT $1) AS e "
        "WHERE e.new IS NOT NULL AND e.origin IN (SELECT o.value FROM each_text($2) AS o) ORDER BY e.event DESC",
        count,
        _SEEN_AS_THEY_CAME,
    )
    return [Latest(*row) for row in rows]


async def latest_values_of(reader: Reader, players: Sequence[int], key: str) -> list[Latest]:
    """The same of these players, and of one key: the last value of each."""
    rows = await reader.fetch(
        "SELECT e.player, e.key, e.new, e.at_ms FROM each_bigint($1) AS w CROSS JOIN events AS e "
        "WHERE e.player = w.value AND e.key = $2 AND e.new IS NOT NULL "
        "AND e.origin IN (SELECT o.value FROM each_text($3) AS o) "
        "AND e.event = (SELECT MAX(l.event) FROM events AS l WHERE l.player = w.value AND l.key = $2)",
        list(players),
        key,
        _SEEN_AS_THEY_CAME,
    )
    return [Latest(*row) for row in rows]
