"""What all processes know about step one: whom the storage refused last, and whether asking it is paused.

There is a row only between a refused token and the next success.
"""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.storage.database import Reader, Transaction
from homeserver.storage.texts import storable


@dataclass(frozen=True, slots=True)
class Refusals:
    """The last refusal since the storage accepted anybody. Once `paused`, nobody asks before `next_try_ms`."""

    user: str
    code: str | None
    detail: str
    refused_ms: int
    paused: bool
    next_try_ms: int
    pause_ms: int


async def find(reader: Reader) -> Refusals | None:
    """How things stand; None while all is well."""
    row = await reader.fetch_one(
        "SELECT refused_user, code, detail, refused_ms, paused, next_try_ms, pause_ms FROM step_one WHERE only_row = 1"
    )
    if row is None:
        return None
    user, code, detail, refused_ms, paused, next_try_ms, pause_ms = row
    return Refusals(user, code, detail, refused_ms, bool(paused), next_try_ms, pause_ms)


async def put(tx: Transaction, state: Refusals) -> None:
    """Write down how things stand."""
    await tx.execute(
        "INSERT INTO step_one (only_row, refused_user, code, detail, refused_ms, paused, next_try_ms, pause_ms) "
        "VALUES (1, $1, $2, $3, $4, $5, $6, $7) ON CONFLICT (only_row) DO UPDATE SET "
        "refused_user = excluded.refused_user, code = excluded.code, detail = excluded.detail, "
        "refused_ms = excluded.refused_ms, paused = excluded.paused, next_try_ms = excluded.next_try_ms, "
        "pause_ms = excluded.pause_ms",
        storable(state.user),
        None if state.code is None else storable(state.code),
        storable(state.detail),
        state.refused_ms,
        int(state.paused),
        state.next_try_ms,
        state.pause_ms,
    )


async def clear(tx: Transaction) -> None:
    """All is well."""
    await tx.execute("DELETE FROM step_one")
