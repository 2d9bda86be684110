"""Personal tokens of operators, stored as hashes; and the answers of calls that may be repeated, for a while."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.model import AccessToken, Operator, Role
from homeserver.storage.database import LostRaceError, Reader, Transaction


async def add(tx: Transaction, token_hash: str, operator: int, token: AccessToken) -> None:
    """Keep a token."""
    await tx.execute(
        "INSERT INTO operator_tokens (token_hash, token_id, operator, name, role, created_ms, expires_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        token_hash,
        token.id,
        operator,
        token.name,
        token.role.value,
        token.created_ms,
        token.expires_ms,
    )


class Found(NamedTuple):
    """Whose token it is, with the role that the account has now; what the token may do; when it was last used."""

    operator: Operator
    role: Role
    used_ms: int | None


async def find(reader: Reader, token_hash: str, now_ms: int) -> Found | None:
    """Whose token this is, if it has not ended."""
    row = await reader.fetch_one(
        "SELECT o.operator, o.name, o.role, t.role, t.used_ms FROM operator_tokens AS t "
        "JOIN operators AS o ON o.operator = t.operator WHERE t.token_hash = $1 AND t.expires_ms > $2",
        token_hash,
        now_ms,
    )
    if row is None:
        return None
    operator, name, own, role, used_ms = row
    return Found(Operator(operator, name, Role(own)), Role(role), used_ms)


async def set_used(tx: Transaction, token_hash: str, now_ms: int) -> None:
    """Remember when it was last used."""
    await tx.execute("UPDATE operator_tokens SET used_ms = $2 WHERE token_hash = $1", token_hash, now_ms)


async def of_operator(reader: Reader, operator: int, now_ms: int) -> list[AccessToken]:
    """The tokens of an operator that have not ended, the newest first."""
    rows = await reader.fetch(
        "SELECT token_id, name, role, created_ms, expires_ms, used_ms FROM operator_tokens "
        "WHERE operator = $1 AND expires_ms > $2 ORDER BY created_ms DESC, token_id",
        operator,
        now_ms,
    )
    return [AccessToken(id_, name, Role(role), *times) for id_, name, role, *times in rows]


async def revoke(tx: Transaction, operator: int, token_id: str) -> bool:
    """End a token of this operator; whether there was one."""
    return await tx.execute("DELETE FROM operator_tokens WHERE operator = $1 AND token_id = $2", operator, token_id) > 0


async def remove_all_of(tx: Transaction, operator: int) -> None:
    """End all tokens of an operator, and forget their answers."""
    await tx.execute("DELETE FROM operator_tokens WHERE operator = $1", operator)
    await tx.execute("DELETE FROM repeated_calls WHERE operator = $1", operator)


async def prune(tx: Transaction, now_ms: int) -> int:
    """Remove what has ended; how many rows."""
    return await tx.execute("DELETE FROM operator_tokens WHERE expires_ms <= $1", now_ms) + await tx.execute(
        "DELETE FROM repeated_calls WHERE expires_ms <= $1", now_ms
    )


# --- calls that may be repeated ---------------------------------------------------------------------------------------


class Call(NamedTuple):
    """A call that was made under a name: what it was, and the answer; None while it is not answered."""

    call_hash: str
    status: int | None
    answer: str | None


async def begin_call(tx: Transaction, operator: int, name: str, call_hash: str, expires_ms: int) -> Call | None:
    """Keep that a call is made under this name; the one that was made before, if any was: then nothing is kept.

    Raises:
        LostRaceError: The one that was made before has been forgotten just now.
    """
    made = await tx.execute(
        "INSERT INTO repeated_calls (operator, name, call_hash, expires_ms) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (operator, name) DO NOTHING",
        operator,
        name,
        call_hash,
        expires_ms,
    )
    if made:
        return None
    row = await tx.fetch_one(
        "SELECT call_hash, status, answer FROM repeated_calls WHERE operator = $1 AND name = $2", operator, name
    )
    if row is None:
        raise LostRaceError
    return Call(*row)


async def count_calls(reader: Reader, operator: int) -> int:
    """How many calls of an operator are kept."""
    found: int = await reader.fetch_value("SELECT count(*) FROM repeated_calls WHERE operator = $1", operator)
    return found


async def end_call(tx: Transaction, operator: int, name: str, status: int, answer: str) -> None:
    """Keep the answer."""
    await tx.execute(
        "UPDATE repeated_calls SET status = $3, answer = $4 WHERE operator = $1 AND name = $2",
        operator,
        name,
        status,
        answer,
    )


async def forget_call(tx: Transaction, operator: int, name: str) -> None:
    """Let the name be used again: the call changed nothing."""
    await tx.execute("DELETE FROM repeated_calls WHERE operator = $1 AND name = $2", operator, name)
