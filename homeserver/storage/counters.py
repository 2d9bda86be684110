"""Sums that all processes add to."""

from __future__ import annotations

from collections.abc import Mapping

from homeserver.storage.database import Reader, Transaction


async def add(tx: Transaction, values: Mapping[tuple[str, str], float]) -> None:
    """Add to the sums of these, by name and label."""
    await tx.execute_many(
        "INSERT INTO counters (name, label, value) VALUES ($1, $2, $3) "
        "ON CONFLICT (name, label) DO UPDATE SET value = counters.value + excluded.value",
        [(name, label, float(value)) for (name, label), value in sorted(values.items())],
    )


async def sums(reader: Reader) -> dict[tuple[str, str], float]:
    """All sums, by name and label."""
    return {
        (name, label): value for name, label, value in await reader.fetch("SELECT name, label, value FROM counters")
    }
