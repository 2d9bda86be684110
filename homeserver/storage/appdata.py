"""The AppData values that boards need, when each was observed, and the events that their changes made.

A value that was cleared stays as a row without a value: when it was seen to be gone is worth knowing too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from homeserver.domain import periods
from homeserver.model import Change, Origin
from homeserver.storage.database import Reader, Transaction, listed
from homeserver.storage.texts import storable

Values = Mapping[str, str | None]
"""Key to value; None says that the key was looked for and is not there. A key that is left out says nothing."""

Items = dict[str, dict[str, str]]
"""Everybody's values by key, by the container's user id."""


class _Row(NamedTuple):
    value: str | None
    observed_ms: int

    @property
    def was_observed(self) -> bool:
        """Whether a value was ever seen here. An import makes the row too, but says nothing of what AppData held."""
        return self.observed_ms > _NO_ROW.observed_ms


_Place = tuple[int, str]
"""Player and key."""

_NO_ROW: Final = _Row(None, -1)


async def observe(
    tx: Transaction,
    player: int,
    values: Values,
    *,
    observed_ms: int,
    at_ms: int,
    origin: Origin,
    only_words: Collection[str] = (),
) -> list[Change]:
    """Keep what was observed of one player; see `observe_all`."""
    return await observe_many(
        tx, {player: values}, observed_ms=observed_ms, at_ms=at_ms, origin=origin, only_words=only_words
    )


async def observe_many(
    tx: Transaction,
    observed: Mapping[int, Values],
    *,
    observed_ms: int,
    at_ms: int,
    origin: Origin,
    only_words: Collection[str] = (),
) -> list[Change]:
    """Keep what was observed of these players at once; see `observe_all`. What changed, ordered by player and key."""
    observations = [
        Observation(player, values, observed_ms, at_ms, origin, only_words) for player, values in observed.items()
    ]
    found = await observe_all(tx, observations)
    return sorted(chain.from_iterable(found), key=_place)


class Observation(NamedTuple):
    """What was observed of one player's AppData.

    Attributes:
        values: Keys are fields of boards, not whatever a container may send.
        observed_ms: When the request was sent (a read), or when the answer came (a write of ours). A read changes only
            what was last changed before it; a write of ours also what was changed in the same millisecond.
        at_ms: Our time of seeing it: the time of the changes, unless our clock is behind (`periods.seen_at`).
        origin: How it came. A READ becomes BASELINE where no value of that key was observed of the player yet; imports
            are no observations, as they say nothing of what AppData held.
        only_words: Keys that no board ranks by. Their values are kept, but their changes are no events.
    """

    player: int
    values: Values
    observed_ms: int
    at_ms: int
    origin: Origin
    only_words: Collection[str] = ()


async def observe_all(tx: Transaction, observations: Sequence[Observation]) -> list[list[Change]]:
    """Keep these observations, one after the other, and append what changed to the events.

    All at once, because rows are locked in one order whoever asks: two calls in one transaction may lead to a deadlock.

    Returns:
        What changed by each but for mere words, ordered by key. What is unchanged is not written, its time neither: a
        value that went away and came back may be set back by a read that was under way all the time; the next sync
        repairs that.
    """
    known = await _rows(tx, {each.player for each in observations})
    places = sorted({_place(change) for changes in _settled(observations, known)[0] for change in changes})
    if not places:
        return [[] for _ in observations]
    # Locks the rows, makes those that are missing, and changes nothing; in order, so that nobody deadlocks. Only what
    # is read from here on counts: what was read above may have been changed by another process meanwhile.
    await tx.execute_many(
        "INSERT INTO appdata (player, key, observed_ms) VALUES ($1, $2, $3) "
        "ON CONFLICT (player, key) DO UPDATE SET observed_ms = appdata.observed_ms WHERE FALSE",
        [(*place, _NO_ROW.observed_ms) for place in places],
    )
    locked = await _rows(tx, {player for player, _ in places})
    newest_ms = await tx.fetch_value("SELECT at_ms FROM events ORDER BY event DESC LIMIT 1")
    observations = [
        each if seen_ms == each.at_ms else each._replace(at_ms=seen_ms)
        for each, seen_ms in ((each, periods.seen_at(each.at_ms, newest_ms)) for each in observations)
    ]
    # What is not locked does not change: what was known of it says so, and nothing else is known of it.
    changed, after = _settled(observations, known | {place: locked[place] for place in places})
    await tx.execute_many(
        "UPDATE appdata SET value = $3, observed_ms = $4 WHERE player = $1 AND key = $2",
        [(*place, after[place].value, after[place].observed_ms) for place in places if after[place] != locked[place]],
    )
    changed = [
        [change for change in changes if change.key not in each.only_words]
        for each, changes in zip(observations, changed, strict=True)
    ]
    await tx.execute_many(
        "INSERT INTO events (player, key, old, new, at_ms, origin) VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (change.player, change.key, change.old, change.new, change.at_ms, change.origin.value)
            for change in sorted(chain.from_iterable(changed), key=_place)
        ],
    )
    return changed


def _settled(
    observations: Sequence[Observation], rows: Mapping[_Place, _Row]
) -> tuple[list[list[Change]], dict[_Place, _Row]]:
    """What each of these observations changes where the rows are these, and what the rows are then."""
    after = dict(rows)
    changed: list[list[Change]] = []
    for player, values, observed_ms, at_ms, origin, _ in observations:
        changes: list[Change] = []
        for key in sorted(values):
            value = values[key]
            new = None if value is None else storable(value)
            row = after.get((player, key), _NO_ROW)
            fits = row.observed_ms < observed_ms or (row.observed_ms == observed_ms and origin is Origin.SUBMITTED)
            if not fits or row.value == new:
                continue
            came = Origin.BASELINE if origin is Origin.READ and not row.was_observed else origin
            changes.append(Change(player, key, old=row.value, new=new, at_ms=at_ms, origin=came))
            after[player, key] = _Row(new, observed_ms)
        changed.append(changes)
    return changed, after


def _place(change: Change) -> _Place:
    return change.player, change.key


async def values_of(reader: Reader, player: int) -> dict[str, str]:
    """The values that the player has, by key."""
    rows = await reader.fetch("SELECT key, value FROM appdata WHERE player = $1 AND value IS NOT NULL", player)
    return {row[0]: row[1] for row in rows}


async def is_known(reader: Reader, player: int, values: Values) -> bool:
    """Whether the player has exactly these values already, so that to observe them would change nothing."""
    known = await values_of(reader, player)
    return all(known.get(key) == (None if value is None else storable(value)) for key, value in values.items())


async def held(reader: Reader, players: Collection[int], keys: Collection[str]) -> dict[int, dict[str, str]]:
    """What these players have under these keys; players without any are left out."""
    rows = await reader.fetch(
        "SELECT player, key, value FROM appdata WHERE player IN (SELECT w.value FROM each_bigint($1) AS w) "
        "AND key IN (SELECT k.value FROM each_text($2) AS k) AND value IS NOT NULL",
        list(players),
        list(keys),
    )
    found: dict[int, dict[str, str]] = {}
    for player, key, value in rows:
        found.setdefault(player, {})[key] = value
    return found


async def of_friends(reader: Reader, players: Collection[int]) -> dict[int, Items]:
    """The values that we know of these players' friends, by user id. Friends without any value are there too."""
    rows = await reader.fetch(
        "SELECT f.player, list_of(p.user_id), list_of(a.key), list_of(a.value) FROM friendships AS f "
        "JOIN players AS p ON p.player = f.friend "
        "LEFT JOIN appdata AS a ON a.player = f.friend AND a.value IS NOT NULL "
        "WHERE f.player IN (SELECT w.value FROM each_bigint($1) AS w) GROUP BY f.player",
        list(players),
    )
    found: dict[int, Items] = {player: {} for player in players}
    for player, *columns in rows:
        found[player] = _items(*map(listed, columns))
    return found


def _items(user_ids: Sequence[str], keys: Sequence[str], values: Sequence[str]) -> Items:
    """Rows as everybody's values. Of somebody without any there is one row, its key and value None."""
    found: Items = {user_id: {key: value} for user_id, key, value in zip(user_ids, keys, values, strict=True)}
    if len(found) == len(user_ids) and None not in keys:  # nearly always, and several times as fast
        return found
    found = {user_id: {} for user_id in user_ids}
    for user_id, key, value in zip(user_ids, keys, values, strict=True):
        if key is not None:
            found[user_id][key] = value
    return found


async def keys_of(reader: Reader, players: Collection[int]) -> dict[int, set[str]]:
    """The keys under which each of these players has a value; players without any are left out."""
    found: dict[int, set[str]] = {}
    for (player, key), row in (await _rows(reader, players)).items():
        if row.value is not None:
            found.setdefault(player, set()).add(key)
    return found


async def _rows(reader: Reader, players: Collection[int]) -> dict[tuple[int, str], _Row]:
    rows = await reader.fetch(
        "SELECT a.player, a.key, a.value, a.observed_ms FROM appdata AS a "
        "WHERE a.player IN (SELECT w.value FROM each_bigint($1) AS w)",
        list(players),
    )
    return {(player, key): _Row(*row) for player, key, *row in rows}
