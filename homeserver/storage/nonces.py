"""Which signed calls were accepted already, by any process. Only calls whose signature holds get here."""

from __future__ import annotations

from typing import Final

from homeserver.storage.database import Transaction
from homeserver.storage.texts import storable

KEPT_S: Final = 3_600
"""How long a nonce is kept after its timestamp: far longer than any timestamp is accepted, whatever the clocks say."""


async def use(tx: Transaction, consumer_key: str, timestamp_s: int, nonce: str) -> bool:
    """Use a nonce up. False when it was used before with this key and timestamp."""
    inserted = await tx.execute(
        "INSERT INTO nonces (timestamp_s, consumer_key, nonce) VALUES ($1, $2, $3) "
        "ON CONFLICT (timestamp_s, consumer_key, nonce) DO NOTHING",
        timestamp_s,
        storable(consumer_key),
        storable(nonce),
    )
    return inserted == 1


async def prune(tx: Transaction, now_ms: int) -> int:
    """Remove those whose timestamp would be refused anyway; how many."""
    return await tx.execute("DELETE FROM nonces WHERE timestamp_s < $1", now_ms // 1000 - KEPT_S)
