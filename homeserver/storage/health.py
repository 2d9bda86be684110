"""How fresh what the database holds is."""

from __future__ import annotations

from homeserver.storage.database import Reader


async def sync_ages(reader: Reader) -> tuple[int, int, int | None, int | None]:
    """Players known, players ever synced, and when the oldest and the newest of their last syncs began."""
    row = await reader.fetch_one("SELECT COUNT(*), COUNT(synced_ms), MIN(synced_ms), MAX(synced_ms) FROM players")
    return (row[0], row[1], row[2], row[3]) if row else (0, 0, None, None)
