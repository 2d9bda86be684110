"""Leases: a name held by one process at a time, and free again by itself when its holder dies."""

from __future__ import annotations

from typing import cast

from homeserver.storage.database import Reader, Transaction


async def acquire(tx: Transaction, name: str, holder: str, *, now_ms: int, until_ms: int) -> bool:
    """Take the lease, or prolong one's own, until `until_ms`. False while somebody else holds it."""
    changed = await tx.execute(
        "INSERT INTO leases (name, holder, until_ms) VALUES ($1, $2, $3) "
        "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms "
        "WHERE leases.until_ms <= $4 OR leases.holder = excluded.holder",
        name,
        holder,
        until_ms,
        now_ms,
    )
    return changed == 1


async def release(tx: Transaction, name: str, holder: str) -> None:
    """Give the lease back. One that ended, or that another took over since, is left alone."""
    await tx.execute("DELETE FROM leases WHERE name = $1 AND holder = $2", name, holder)


async def is_held(reader: Reader, name: str, now_ms: int) -> bool:
    """Whether anybody holds the lease."""
    found = await reader.fetch_value("SELECT COUNT(*) FROM leases WHERE name = $1 AND until_ms > $2", name, now_ms)
    return cast("int", found) > 0


async def held(reader: Reader, now_ms: int, limit: int) -> list[tuple[str, int]]:
    """Which leases are held, by name, each with when it ends unless it is prolonged."""
    rows = await reader.fetch(
        "SELECT name, until_ms FROM leases WHERE until_ms > $1 ORDER BY name LIMIT $2", now_ms, limit
    )
    return [(name, until_ms) for name, until_ms in rows]


async def prune(tx: Transaction, now_ms: int) -> int:
    """Remove what ended; how many."""
    return await tx.execute("DELETE FROM leases WHERE until_ms <= $1", now_ms)
