"""Who is signed in: the gadget's bearer tokens, browser sessions, links between the two, and linked accounts.

Rows are named by the hash of what their holder has (`secret_hash`), so that whoever reads the database cannot sign in.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from typing import Final, cast

from homeserver.model import GadgetSession
from homeserver.storage.database import Reader, Transaction

SECRET_BYTES: Final = 32


def new_secret() -> str:
    """A random text of 256 bits, fit for a URL, a cookie or a header."""
    return secrets.token_urlsafe(SECRET_BYTES)


def secret_hash(secret: str) -> str:
    """What is stored in place of the secret. Its randomness makes a salt and a slow hash pointless."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


# --- the gadget's bearer tokens ---------------------------------------------------------------------------------------


async def add_gadget_session(tx: Transaction, token_hash: str, session: GadgetSession) -> None:
    """Keep a token."""
    await tx.execute(
        "INSERT INTO gadget_sessions (token_hash, owner, viewer, expires_ms) VALUES ($1, $2, $3, $4)",
        token_hash,
        session.owner,
        session.viewer,
        session.expires_ms,
    )


async def find_gadget_session(reader: Reader, token_hash: str, now_ms: int) -> GadgetSession | None:
    """Who holds the token, unless it has ended."""
    row = await reader.fetch_one(
        "SELECT owner, viewer, expires_ms FROM gadget_sessions WHERE token_hash = $1 AND expires_ms > $2",
        token_hash,
        now_ms,
    )
    return None if row is None else GadgetSession(*row)


async def remove_gadget_sessions_of(tx: Transaction, viewer: int) -> None:
    """End all tokens of a viewer."""
    await tx.execute("DELETE FROM gadget_sessions WHERE viewer = $1", viewer)


# --- browser sessions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PageRow:
    """A browser session as it is stored. `sign_in_state` and `sign_in_back` are set while a sign-in is under way."""

    token_hash: str
    expires_ms: int
    player: int | None = None
    storage_user: str | None = None
    storage_name: str | None = None
    sealed_token: str | None = field(default=None, repr=False)
    sign_in_state: str | None = field(default=None, repr=False)
    sign_in_back: str | None = None


_PAGE_COLUMNS: Final = (
    "token_hash, expires_ms, player, storage_user, storage_name, sealed_token, sign_in_state, sign_in_back"
)


async def find_page_session(reader: Reader, token_hash: str, now_ms: int) -> PageRow | None:
    """A session that has not ended."""
    row = await reader.fetch_one(
        f"SELECT {_PAGE_COLUMNS} FROM page_sessions WHERE token_hash = $1 AND expires_ms > $2",  # noqa: S608
        token_hash,
        now_ms,
    )
    return None if row is None else PageRow(*row)


async def add_page_session(tx: Transaction, row: PageRow) -> None:
    """Keep a new session."""
    await tx.execute(
        f"INSERT INTO page_sessions ({_PAGE_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",  # noqa: S608
        row.token_hash,
        row.expires_ms,
        row.player,
        row.storage_user,
        row.storage_name,
        row.sealed_token,
        row.sign_in_state,
        row.sign_in_back,
    )


async def of_storage_user(reader: Reader, storage_user: str) -> list[PageRow]:
    """The sessions that hold a token of this user."""
    rows = await reader.fetch(
        f"SELECT {_PAGE_COLUMNS} FROM page_sessions WHERE storage_user = $1 AND sealed_token IS NOT NULL",  # noqa: S608
        storage_user,
    )
    return [PageRow(*row) for row in rows]


async def of_person(reader: Reader, player: int | None, storage_user: str | None, now_ms: int) -> list[PageRow]:
    """The sessions that hold this player or this user and have not ended."""
    rows = await reader.fetch(
        f"SELECT {_PAGE_COLUMNS} FROM page_sessions WHERE player = $1 AND expires_ms > $3 "  # noqa: S608
        f"UNION SELECT {_PAGE_COLUMNS} FROM page_sessions WHERE storage_user = $2 AND expires_ms > $3",
        player,
        storage_user,
        now_ms,
    )
    return [PageRow(*row) for row in rows]


async def drop_token(tx: Transaction, token_hash: str) -> None:
    """Forget the storage's token of a session; who is signed in stays."""
    await tx.execute("UPDATE page_sessions SET sealed_token = NULL WHERE token_hash = $1", token_hash)


async def set_sign_in(tx: Transaction, token_hash: str, state: str, back: str, until_ms: int) -> None:
    """Keep that a sign-in has begun; one that had begun before is forgotten.

    A session that holds nobody lives until `until_ms` at least. One that holds somebody is not prolonged.
    """
    await tx.execute(
        "UPDATE page_sessions SET sign_in_state = $2, sign_in_back = $3, "
        "expires_ms = CASE WHEN expires_ms < $4 AND player IS NULL AND storage_user IS NULL THEN $4 ELSE expires_ms "
        "END WHERE token_hash = $1",
        token_hash,
        state,
        back,
        until_ms,
    )


async def take_sign_in(tx: Transaction, token_hash: str, now_ms: int) -> PageRow | None:
    """The session with the state of its sign-in, which is thereby used up. None without a session."""
    row = await find_page_session(tx, token_hash, now_ms)
    if row is None or row.sign_in_state is None:
        return row
    taken = await tx.execute(
        "UPDATE page_sessions SET sign_in_state = NULL, sign_in_back = NULL "
        "WHERE token_hash = $1 AND sign_in_state = $2",
        token_hash,
        row.sign_in_state,
    )
    return row if taken else replace(row, sign_in_state=None, sign_in_back=None)


async def remove_page_session(tx: Transaction, token_hash: str) -> None:
    """End a session."""
    await tx.execute("DELETE FROM page_sessions WHERE token_hash = $1", token_hash)


# --- links from the gadget to a page ----------------------------------------------------------------------------------


async def add_page_link(tx: Transaction, token_hash: str, player: int, expires_ms: int) -> None:
    """Keep a link."""
    await tx.execute(
        "INSERT INTO page_links (token_hash, player, expires_ms) VALUES ($1, $2, $3)", token_hash, player, expires_ms
    )


async def find_page_link(reader: Reader, token_hash: str, now_ms: int) -> int | None:
    """Whose link this is, while it is good."""
    return cast(
        "int | None",
        await reader.fetch_value(
            "SELECT player FROM page_links WHERE token_hash = $1 AND expires_ms > $2", token_hash, now_ms
        ),
    )


async def take_page_link(tx: Transaction, token_hash: str, now_ms: int) -> int | None:
    """Whose link this is, while it is good; it is used up. Of two who take it at the same time one gets it."""
    player = await find_page_link(tx, token_hash, now_ms)
    if player is None or not await tx.execute("DELETE FROM page_links WHERE token_hash = $1", token_hash):
        return None
    return player


# --- linked accounts --------------------------------------------------------------------------------------------------


async def link_accounts(tx: Transaction, player: int, storage_user: str) -> bool:
    """Link the two. False when one of them is linked to somebody else."""
    await tx.execute(
        "INSERT INTO account_links (player, storage_user) VALUES ($1, $2) ON CONFLICT DO NOTHING", player, storage_user
    )
    return await are_linked(tx, player, storage_user)


async def are_linked(reader: Reader, player: int, storage_user: str) -> bool:
    """Whether the two are linked to each other."""
    found = await reader.fetch_value(
        "SELECT COUNT(*) FROM account_links WHERE player = $1 AND storage_user = $2", player, storage_user
    )
    return cast("int", found) > 0


async def unlink_player(tx: Transaction, player: int) -> None:
    """Remove the player's link, if there is one."""
    await tx.execute("DELETE FROM account_links WHERE player = $1", player)


async def unlink_storage_user(tx: Transaction, storage_user: str) -> None:
    """Remove the storage user's link, if there is one."""
    await tx.execute("DELETE FROM account_links WHERE storage_user = $1", storage_user)


async def remove_all_of(tx: Transaction, player: int) -> None:
    """End whatever a player, who is erased, is signed in by. A session that holds a storage user too holds only that.

    Cost: reads all tokens and links of the gadget, which live for an hour at most.
    """
    await tx.execute("UPDATE gadget_sessions SET owner = NULL WHERE owner = $1", player)
    await remove_gadget_sessions_of(tx, player)
    await tx.execute("DELETE FROM page_links WHERE player = $1", player)
    await tx.execute("DELETE FROM page_sessions WHERE player = $1 AND storage_user IS NULL", player)
    await tx.execute("UPDATE page_sessions SET player = NULL WHERE player = $1", player)
    await unlink_player(tx, player)


async def prune(tx: Transaction, now_ms: int) -> int:
    """Remove all tokens, sessions and links that have ended; how many."""
    removed = 0
    for table in ("gadget_sessions", "page_sessions", "page_links"):
        removed += await tx.execute(f"DELETE FROM {table} WHERE expires_ms <= $1", now_ms)  # noqa: S608
    return removed
