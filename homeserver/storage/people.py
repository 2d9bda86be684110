"""Players, what the container says of them, and who their friends are.

A player is (container, the container's user id), both text; inside the house a number. Observations carry the time at
which their request was sent, and an older one never replaces a newer one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Final, cast

from homeserver.errors import BadInput, NotFound
from homeserver.model import Person, PlayerCard, shown_name
from homeserver.storage import erased
from homeserver.storage.database import Reader, Transaction
from homeserver.storage.texts import search_key, storable

NOWHERE: Final = ""
"""The container of whom nothing may be known any more: they were erased. No container is called so."""
MAX_NAME: Final = 200
MAX_URL: Final = 2_000
WALKS_UNTIL_GONE: Final = 2
"""How many completed walks in a row must miss a friend before the friendship ends."""


# Real ids have some twenty characters; an index of PostgreSQL refuses thousands. A comma would make it several people,
# an "@" a selector.
_USER_ID: Final = re.compile(r"(?!@|\.{1,2}\Z)[^\x00-\x20\x7f-\x9f,\ud800-\udfff]{1,255}")


def usable_user_id(user_id: str) -> bool:
    """Whether this can be the id of one person at all: something to keep, and to ask the container for."""
    return _USER_ID.fullmatch(user_id) is not None


# --- who is who -----------------------------------------------------------------------------------------------------


async def players_of(
    tx: Transaction, container: str, user_ids: Iterable[str], *, came: Collection[str] = ()
) -> dict[str, int]:
    """The player numbers of these people; whoever is new gets one, and a random public id.

    Whoever was erased is left out, and nobody of the others is erased before this transaction ends. It may hold boards
    before this, but no row that others change.

    Args:
        came: Those among them who have come by themselves just now. If they were erased, they are as new as anybody.

    Raises:
        BadInput: One of them is no `usable_user_id`.
    """
    wanted = sorted(set(user_ids))
    if not all(map(usable_user_id, wanted)):
        raise BadInput("a user id is empty, too long, or holds characters that no id has", field="user_id")
    await tx.lock(erased.LOCK, shared=True)
    found = await known_players(tx, container, wanted)
    missing = [user_id for user_id in wanted if user_id not in found]
    gone = await erased.among(tx, container, missing)
    if back := gone & set(came):
        await erased.forget(tx, container, back)
    missing = [user_id for user_id in missing if user_id not in gone - back]
    if missing:
        # In sorted order: two transactions that create the same people wait for each other instead of deadlocking.
        await tx.execute_many(
            "INSERT INTO players (public_id, container, user_id) VALUES ($1, $2, $3) "
            "ON CONFLICT (container, user_id) DO NOTHING",
            [(secrets.token_hex(10), container, user_id) for user_id in missing],
        )
        found |= await known_players(tx, container, missing)
    return found


async def known_players(reader: Reader, container: str, user_ids: Iterable[str]) -> dict[str, int]:
    """The player numbers of those of these people who are players."""
    rows = await reader.fetch(
        "SELECT user_id, player FROM players "
        "WHERE container = $1 AND user_id IN (SELECT w.value FROM each_text($2) AS w)",
        container,
        list(user_ids),
    )
    return {row[0]: row[1] for row in rows}


async def player_of(tx: Transaction, container: str, user_id: str) -> int:
    """The number of one player, created where they are new; see `players_of`.

    Raises:
        NotFound: They were erased.
    """
    found = await players_of(tx, container, [user_id])
    if user_id not in found:
        raise NotFound("This person was erased. They are a player again when they open the gadget.")
    return found[user_id]


async def find_player(reader: Reader, container: str, user_id: str) -> int | None:
    """The number of a player whom we know."""
    return cast(
        "int | None",
        await reader.fetch_value(
            "SELECT player FROM players WHERE container = $1 AND user_id = $2", container, storable(user_id)
        ),
    )


async def user_of(reader: Reader, player: int) -> tuple[str, str]:
    """The container and the container's user id.

    Raises:
        NotFound: No such player.
    """
    row = await reader.fetch_one("SELECT container, user_id FROM players WHERE player = $1", player)
    if row is None or row[0] == NOWHERE:
        raise NotFound("no such player")
    return row[0], row[1]


async def unerased(tx: Transaction, player: int) -> None:
    """Have a player whom nobody erases before this transaction ends. It may hold boards before this, but no row.

    Raises:
        NotFound: No such player.
    """
    await tx.lock(erased.LOCK, shared=True)
    await user_of(tx, player)


async def by_public_id(reader: Reader, public_id: str) -> int | None:
    """The player behind a public id, which may be any text from outside."""
    return cast(
        "int | None",
        await reader.fetch_value("SELECT player FROM players WHERE public_id = $1", storable(public_id)),
    )


async def seen_by(reader: Reader, viewer: int | None, public_id: str) -> int | None:
    """The same, unless they hide themselves from this viewer: from all but themselves."""
    return cast(
        "int | None",
        await reader.fetch_value(
            "SELECT player FROM players WHERE public_id = $1 AND (withdrawn_ms IS NULL OR player = $2)",
            storable(public_id),
            viewer,
        ),
    )


async def by_public_ids(reader: Reader, public_ids: Iterable[str]) -> dict[int, str]:
    """The players behind these public ids, which are ours: the id of each by their number."""
    rows = await reader.fetch(
        "SELECT player, public_id FROM players WHERE public_id IN (SELECT w.value FROM each_text($1) AS w)",
        list(public_ids),
    )
    return {row[0]: row[1] for row in rows}


async def card(reader: Reader, player: int) -> PlayerCard:
    """What others may see of one player.

    Raises:
        NotFound: No such player.
    """
    found = await cards(reader, [player])
    if player not in found:
        raise NotFound("no such player")
    return found[player]


async def cards(reader: Reader, players: Iterable[int]) -> dict[int, PlayerCard]:
    """What others may see of these players; whoever does not exist is left out."""
    rows = await reader.fetch(
        "SELECT p.player, p.public_id, p.given_name, p.family_name, p.display_name, p.thumbnail_url "
        "FROM each_bigint($1) AS w CROSS JOIN players AS p WHERE p.player = w.value",
        list(set(players)),
    )
    return {
        player: PlayerCard(public_id, shown_name(given, family, display), thumbnail_url)
        for player, public_id, given, family, display, thumbnail_url in rows
    }


# --- what the container says of them ----------------------------------------------------------------------------------


async def observe_people(tx: Transaction, people: Mapping[int, Person], observed_ms: int) -> None:
    """Keep what the container said of these people in a request sent at `observed_ms`; see `observe_each`."""
    await observe_each(tx, {player: (person, observed_ms) for player, person in people.items()})


async def observe_each(tx: Transaction, people: Mapping[int, tuple[Person, int]]) -> list[int]:
    """Keep what the container said of these people, each in a request sent at their `observed_ms`.

    Whoever is unchanged is not written, nor whoever was observed later than this. `has_app` and the birthday stay where
    unknown.

    Returns:
        Who was known to be without the application and is said to have it, in ascending order.
    """
    rows = await tx.fetch(
        "SELECT player, given_name, family_name, display_name, thumbnail_url, has_app, birthday FROM players "
        "WHERE player IN (SELECT w.value FROM each_bigint($1) AS w)",
        list(people),
    )
    changed: list[tuple[object, ...]] = []
    returned: list[int] = []
    for player, *before in sorted(rows, key=lambda row: int(row[0])):
        person, observed_ms = people[player]
        has_app = before[4] if person.has_app is None else int(person.has_app)
        after = [
            _short(person.given_name),
            _short(person.family_name),
            _short(person.display_name),
            # Half an address is none.
            storable(person.thumbnail_url) if len(person.thumbnail_url) <= MAX_URL else "",
            has_app,
            person.birthday or before[5],
        ]
        if after != before:
            changed.append((player, observed_ms, *after, search_key(person.name)))
            if before[4] == 0 and has_app == 1:
                returned.append(player)
    if changed:
        await tx.execute_many(
            "UPDATE players SET profile_observed_ms = $2, given_name = $3, family_name = $4, display_name = $5, "
            "thumbnail_url = $6, has_app = $7, birthday = $8, search_name = $9 "
            "WHERE player = $1 AND profile_observed_ms <= $2",
            changed,
        )
    return returned


def _short(name: str) -> str:
    return storable(name.strip())[:MAX_NAME]


async def set_has_app(tx: Transaction, player: int, has_app: bool, now_ms: int) -> None:
    """Keep whether the player has the application, as a signed call of the container just showed.

    What a read that is under way says of the player is older than this, and does not replace it.
    """
    await tx.execute(
        "UPDATE players SET has_app = $2, "
        "profile_observed_ms = CASE WHEN profile_observed_ms < $3 THEN $3 ELSE profile_observed_ms END "
        "WHERE player = $1",
        player,
        int(has_app),
        now_ms,
    )


async def set_withdrawn(tx: Transaction, player: int, withdrawn_ms: int | None) -> bool:
    """Keep since when the player has hidden themselves, or that they have not (None); whether that is anything new."""
    if withdrawn_ms is None:
        return bool(
            await tx.execute(
                "UPDATE players SET withdrawn_ms = NULL WHERE player = $1 AND withdrawn_ms IS NOT NULL", player
            )
        )
    return bool(
        await tx.execute(
            "UPDATE players SET withdrawn_ms = $2 WHERE player = $1 AND withdrawn_ms IS NULL", player, withdrawn_ms
        )
    )


async def withdrawn_ms(reader: Reader, player: int) -> int | None:
    """Since when the player has hidden themselves; None: they have not, or there is no such player."""
    return cast("int | None", await reader.fetch_value("SELECT withdrawn_ms FROM players WHERE player = $1", player))


# --- friends ----------------------------------------------------------------------------------------------------------


async def observe_friends(tx: Transaction, player: int, friends: Iterable[int], observed_ms: int) -> None:
    """Keep the result of a *completed* walk over the player's friends, begun at `observed_ms`.

    A friend who is not in it stays until the next completed walk misses them too. A walk that began before the last one
    kept is ignored.
    """
    # This row is also the lock: two walks of one player are applied one after the other.
    newer = await tx.execute(
        "UPDATE players SET friends_synced_ms = $2 "
        "WHERE player = $1 AND (friends_synced_ms IS NULL OR friends_synced_ms < $2)",
        player,
        observed_ms,
    )
    if not newer:
        return
    seen = set(friends) - {player}
    rows = await tx.fetch("SELECT friend, missed FROM friendships WHERE player = $1", player)
    missed: dict[int, int] = {row[0]: row[1] for row in rows}
    await tx.execute_many(
        "INSERT INTO friendships (player, friend) VALUES ($1, $2)",
        [(player, friend) for friend in sorted(seen - missed.keys())],
    )
    gone = [friend for friend, count in missed.items() if friend not in seen and count + 1 >= WALKS_UNTIL_GONE]
    await tx.execute_many(
        "DELETE FROM friendships WHERE player = $1 AND friend = $2", [(player, friend) for friend in gone]
    )
    counts = {friend: 0 if friend in seen else count + 1 for friend, count in missed.items() if friend not in gone}
    await tx.execute_many(
        "UPDATE friendships SET missed = $3 WHERE player = $1 AND friend = $2",
        [(player, friend, count) for friend, count in counts.items() if count != missed[friend]],
    )


async def friends_of(reader: Reader, player: int) -> list[int]:
    """The player's friends who are players, in ascending order."""
    rows = await reader.fetch("SELECT friend FROM friendships WHERE player = $1 ORDER BY friend", player)
    return [row[0] for row in rows]


async def has_more_friends(reader: Reader, player: int, than: int) -> bool:
    """Whether the player has more friends than so many."""
    return (
        await reader.fetch_value("SELECT 1 FROM friendships WHERE player = $1 LIMIT 1 OFFSET $2", player, than)
        is not None
    )


async def hold(tx: Transaction, subjects: Iterable[int], friends: Iterable[int]) -> None:
    """Hold the players whose rows an observation will change, in one order for all: these, and friends who are new.

    Or two processes that each observe several players would wait for each other.
    """
    await tx.lock_rows(
        "SELECT player FROM players WHERE player IN (SELECT w.value FROM each_bigint($1) AS w) "
        "OR (player IN (SELECT f.value FROM each_bigint($2) AS f) AND profile_observed_ms = 0) ORDER BY player",
        sorted(subjects),
        sorted(friends),
    )


# --- when they were synced --------------------------------------------------------------------------------------------


async def synced_ms(reader: Reader, player: int) -> int | None:
    """When the player was last synced whole (when that sync began); None: never, or no such player."""
    return cast("int | None", await reader.fetch_value("SELECT synced_ms FROM players WHERE player = $1", player))
