"""Accounts of operators and who of them is signed in."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.model import Operator, OperatorAccount, Role
from homeserver.storage import operator_tokens
from homeserver.storage.database import Reader, Transaction
from homeserver.storage.texts import storable


class Account(NamedTuple):
    """An operator with the hash of their password."""

    operator: Operator
    password_hash: str


async def add(tx: Transaction, name: str, password_hash: str, role: Role) -> bool:
    """Make an account. False when the name is taken."""
    inserted = await tx.execute(
        "INSERT INTO operators (name, password_hash, role) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
        name,
        password_hash,
        role.value,
    )
    return inserted == 1


async def find(reader: Reader, name: str) -> Account | None:
    """The account of that name, which may be any text from outside."""
    row = await reader.fetch_one(
        "SELECT operator, name, role, password_hash FROM operators WHERE name = $1", storable(name)
    )
    return None if row is None else Account(Operator(row[0], row[1], Role(row[2])), row[3])


async def names(reader: Reader) -> list[str]:
    """All names, in order."""
    return [row[0] for row in await reader.fetch("SELECT name FROM operators ORDER BY name")]


async def accounts(reader: Reader, now_ms: int) -> list[OperatorAccount]:
    """All accounts, by name."""
    rows = await reader.fetch(
        "SELECT o.name, o.role, (SELECT count(*) FROM operator_tokens AS t WHERE t.operator = o.operator "
        "AND t.expires_ms > $1) FROM operators AS o ORDER BY o.name",
        now_ms,
    )
    return [OperatorAccount(name, Role(role), tokens) for name, role, tokens in rows]


async def set_role(tx: Transaction, operator: int, role: Role) -> None:
    """Change what the operator may do, and end all their sessions."""
    await tx.execute("UPDATE operators SET role = $2 WHERE operator = $1", operator, role.value)
    await remove_sessions_of(tx, operator)


async def set_password(tx: Transaction, operator: int, password_hash: str) -> None:
    """Change the password, and end all sessions."""
    await tx.execute("UPDATE operators SET password_hash = $2 WHERE operator = $1", operator, password_hash)
    await remove_sessions_of(tx, operator)


async def replace_hash(tx: Transaction, operator: int, old_hash: str, new_hash: str) -> None:
    """Keep a stronger hash of the same password, unless the password was changed meanwhile."""
    await tx.execute(
        "UPDATE operators SET password_hash = $3 WHERE operator = $1 AND password_hash = $2",
        operator,
        old_hash,
        new_hash,
    )


async def remove(tx: Transaction, operator: int) -> None:
    """Remove the account and end all its sessions and tokens."""
    await tx.execute("DELETE FROM operators WHERE operator = $1", operator)
    await remove_sessions_of(tx, operator)
    await operator_tokens.remove_all_of(tx, operator)


async def add_session(tx: Transaction, token_hash: str, account: Account, expires_ms: int) -> bool:
    """Keep a session. False when the account changed since its password was looked at."""
    inserted = await tx.execute(
        "INSERT INTO operator_sessions (token_hash, operator, expires_ms) "
        "SELECT $1, operator, $2 FROM operators WHERE operator = $3 AND password_hash = $4",
        token_hash,
        expires_ms,
        account.operator.id,
        account.password_hash,
    )
    return inserted == 1


async def find_session(reader: Reader, token_hash: str, now_ms: int) -> Operator | None:
    """Who is signed in with this, as the account is now."""
    row = await reader.fetch_one(
        "SELECT o.operator, o.name, o.role FROM operator_sessions AS s JOIN operators AS o ON o.operator = s.operator "
        "WHERE s.token_hash = $1 AND s.expires_ms > $2",
        token_hash,
        now_ms,
    )
    return None if row is None else Operator(row[0], row[1], Role(row[2]))


async def remove_session(tx: Transaction, token_hash: str) -> None:
    """End one session."""
    await tx.execute("DELETE FROM operator_sessions WHERE token_hash = $1", token_hash)


async def sessions_of(reader: Reader, operator: int, now_ms: int) -> list[tuple[str, int]]:
    """The operator's sessions that have not ended: by the hash of what they are known by, and when they end."""
    rows = await reader.fetch(
        "SELECT token_hash, expires_ms FROM operator_sessions WHERE operator = $1 AND expires_ms > $2 "
        "ORDER BY expires_ms DESC, token_hash",
        operator,
        now_ms,
    )
    return [(token_hash, expires_ms) for token_hash, expires_ms in rows]


async def remove_other_sessions(tx: Transaction, operator: int, token_hash: str) -> int:
    """End all sessions of an operator but one; how many."""
    return await tx.execute(
        "DELETE FROM operator_sessions WHERE operator = $1 AND token_hash <> $2", operator, token_hash
    )


async def remove_sessions_of(tx: Transaction, operator: int) -> None:
    """End all sessions of an operator."""
    await tx.execute("DELETE FROM operator_sessions WHERE operator = $1", operator)


async def prune(tx: Transaction, now_ms: int) -> int:
    """Remove sessions that have ended; how many."""
    return await tx.execute("DELETE FROM operator_sessions WHERE expires_ms <= $1", now_ms)
