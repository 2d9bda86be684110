"""What signing in to the storage leaves behind for a moment: answers that were used, results waiting for a browser."""

from __future__ import annotations

from typing import cast

from homeserver.storage.database import Transaction


async def use_answer(tx: Transaction, answer_hash: str, expires_ms: int) -> bool:
    """Remember that an answer was used, until it is too old anyway. False when it had been, by any process."""
    return bool(
        await tx.execute(
            "INSERT INTO sign_in_answers (answer_hash, expires_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            answer_hash,
            expires_ms,
        )
    )


async def add_ticket(tx: Transaction, token_hash: str, sealed: str, expires_ms: int) -> None:
    """Keep a result for the browser that has the ticket."""
    await tx.execute(
        "INSERT INTO sign_in_tickets (token_hash, sealed, expires_ms) VALUES ($1, $2, $3)",
        token_hash,
        sealed,
        expires_ms,
    )


async def take_ticket(tx: Transaction, token_hash: str, now_ms: int) -> str | None:
    """The sealed result behind a ticket, while it is good; it is used up. Of two who take it one gets it."""
    sealed = await tx.fetch_value(
        "SELECT sealed FROM sign_in_tickets WHERE token_hash = $1 AND expires_ms > $2", token_hash, now_ms
    )
    if sealed is None or not await tx.execute("DELETE FROM sign_in_tickets WHERE token_hash = $1", token_hash):
        return None
    return cast("str", sealed)


async def prune(tx: Transaction, now_ms: int) -> int:
    """Remove what has ended; how many rows."""
    return await tx.execute("DELETE FROM sign_in_answers WHERE expires_ms <= $1", now_ms) + await tx.execute(
        "DELETE FROM sign_in_tickets WHERE expires_ms <= $1", now_ms
    )
