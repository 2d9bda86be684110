"""Everything that is kept of one person, kind by kind: to be counted, and to be read a part at a time.

A *kind* is a table's rows of one player. `tests/test_own_data.py` walks the schema: a column that names a player is
in a kind, or is said there to hold nothing but what another kind has already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from homeserver.storage.database import Reader, Row
from homeserver.storage.texts import storable


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows of one kind.

    `source` is what stands behind FROM, with the player as `$1`. `order` names columns that together are unique among
    them, and `start` what is before the first of each. `columns` go out, under `members`.
    """

    name: str
    source: str
    order: tuple[str, ...]
    start: tuple[int | str, ...]
    columns: tuple[str, ...]
    members: tuple[str, ...]


def _kind(name: str, source: str, order: dict[str, int | str], members: dict[str, str]) -> Kind:
    return Kind(name, source, tuple(order), tuple(order.values()), tuple(members.values()), tuple(members))


def _plain(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_NAMES: Final = ("given_name", "family_name", "display_name")
_IN_FORCE: Final = "JOIN boards AS b ON b.board = l.board AND b.generation = l.generation"

KINDS: Final = (
    _kind(
        "profile",
        "players WHERE player = $1",
        {"player": 0},
        _plain(
            *("container", "user_id", "public_id", *_NAMES, "thumbnail_url"),
            *("birthday", "has_app", "withdrawn_ms"),
            *("profile_observed_ms", "friends_synced_ms", "synced_ms", "refused_ms"),
        ),
    ),
    _kind("appdata", "appdata WHERE player = $1", {"key": ""}, _plain("key", "value", "observed_ms")),
    _kind(
        "changes",
        "events WHERE player = $1",
        {"key": "", "event": 0},
        _plain("key", "old", "new", "at_ms", "origin"),
    ),
    _kind(
        "places",
        f"entries_by_player AS e JOIN lists AS l ON l.list = e.list {_IN_FORCE} WHERE e.player = $1",
        {"e.list": 0},
        {"board": "l.board", "period": "l.period", "key": "e.key", "reached_ms": "e.reached_ms"},
    ),
    _kind(
        "accepted",
        f"claims AS c JOIN lists AS l ON l.list = c.list {_IN_FORCE} WHERE c.player = $1",
        {"c.list": 0},
        {"board": "l.board", "period": "l.period", "score": "c.score", "at_ms": "c.at_ms"},
    ),
    _kind(
        "doubted",
        f"flags AS f JOIN lists AS l ON l.list = f.list {_IN_FORCE} WHERE f.player = $1",
        {"f.list": 0, "f.event": 0},
        {"board": "l.board", "period": "l.period", "score": "f.score", "at_ms": "f.at_ms", "reason": "f.reason"},
    ),
    _kind("decided", "decisions WHERE player = $1", {"board": "", "event": 0}, _plain("board", "event", "decision")),
    _kind("moderated", "moderation WHERE player = $1", {"board": ""}, _plain("board", "state", "at_ms")),
    _kind("adjusted", "adjustments WHERE player = $1", {"adjustment": 0}, _plain("board", "score", "at_ms")),
    _kind("found_right", "cleared WHERE player = $1", {"board": ""}, _plain("board", "key", "at_ms")),
    _kind("bulk_acts", "bulk_changes WHERE player = $1", {"task": 0}, _plain("was_hidden", "now_hidden")),
    _kind("delisted", "delisted WHERE player = $1", {"player": 0}, _plain("at_ms")),
    _kind("acts", "audit WHERE player = $1", {"act": 0}, _plain("action", "board", "at_ms", "detail")),
    _kind(
        "friends",
        "friendships AS f JOIN players AS p ON p.player = f.friend WHERE p.container <> '' AND f.player = $1",
        {"f.friend": 0},
        {"id": "p.public_id", **{name: f"p.{name}" for name in _NAMES}},
    ),
    _kind("friend_of", "friendships WHERE friend = $1", {"player": 0}, {}),
    _kind(
        "timed_writes",
        "appdata_writes WHERE player = $1",
        {"write": 0},
        _plain("key", "value", "rule", "due_ms", "state", "done_ms"),
    ),
    _kind("sync_tasks", "sync_tasks WHERE player = $1", {"kind": ""}, _plain("kind", "due_ms")),
    _kind("page_links", "page_links WHERE player = $1", {"token_hash": ""}, _plain("expires_ms")),
    _kind("gadget_sessions", "gadget_sessions WHERE viewer = $1", {"token_hash": ""}, _plain("expires_ms")),
    _kind("sessions", "page_sessions WHERE player = $1", {"token_hash": ""}, _plain("expires_ms")),
    _kind("linked", "account_links WHERE player = $1", {"player": 0}, {}),
)
"""Of a player. `friend_of` and `linked` are counted alone: whom they name is for those to say."""

UPLOADS: Final = _kind(
    "uploads",
    "uploads WHERE storage_user = $1",
    {"upload": ""},
    {
        "id": "upload",
        **_plain("name", "media_type", "size_bytes", "received_bytes", "sent_bytes", "browser", "storage", "attempts"),
        **_plain("code", "detail", "content_id", "folder_id", "created_ms", "updated_ms"),
    },
)
"""Of a user of the storage."""


async def count(reader: Reader, kind: Kind, of: int | str) -> int:
    """How many rows of this kind are kept."""
    found = await reader.fetch_value(f"SELECT COUNT(*) FROM {kind.source}", _key(of))  # noqa: S608 - ours
    return int(found)


async def some(reader: Reader, kind: Kind, of: int | str, after: tuple[int | str, ...], limit: int) -> list[Row]:
    """The next rows of this kind: the columns of its order first, then those that go out."""
    width = len(kind.order)
    order = ", ".join(kind.order)
    holes = ", ".join(f"${number}" for number in range(2, 2 + width))
    return await reader.fetch(
        f"SELECT {', '.join((*kind.order, *kind.columns))} FROM {kind.source} "  # noqa: S608 - ours
        f"AND ({order}) > ({holes}) ORDER BY {order} LIMIT ${width + 2}",
        _key(of),
        *after,
        limit,
    )


def _key(of: int | str) -> int | str:
    return storable(of) if isinstance(of, str) else of
