"""How much room files take that are kept, or still to come, and which of them have waited for too long."""

from __future__ import annotations

from typing import cast

from homeserver.storage.database import Reader
from homeserver.storage.texts import storable
from homeserver.storage.uploads import OPEN, RANDOM_CHARS, node_prefix


async def kept_bytes(reader: Reader, storage_user: str) -> int:
    """What all files of a user that are kept, or still to come, take when they are whole."""
    return cast(
        "int",
        await reader.fetch_value(
            f"SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM uploads WHERE storage_user = $1 AND {OPEN}",  # noqa: S608
            storable(storage_user),
        ),
    )


async def kept_files(reader: Reader, storage_user: str) -> int:
    """How many files of a user are kept, or still to come."""
    return cast(
        "int",
        await reader.fetch_value(
            f"SELECT COUNT(*) FROM uploads WHERE storage_user = $1 AND {OPEN}",  # noqa: S608 - a constant
            storable(storage_user),
        ),
    )


async def kept_bytes_on(reader: Reader, node: str) -> int:
    """The same of everybody, on one node."""
    prefix = node_prefix(node)
    return cast(
        "int",
        await reader.fetch_value(
            f"SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM uploads WHERE {OPEN} "  # noqa: S608
            "AND length(upload) = $1 AND substr(upload, 1, $2) = $3",
            len(prefix) + RANDOM_CHARS,
            len(prefix),
            prefix,
        ),
    )


async def outdated(reader: Reader, node: str, before_ms: int, limit: int) -> list[str]:
    """The ids of this node's uploads that were declared before then and still wait: for bytes, a word, or a sender."""
    prefix = node_prefix(node)
    rows = await reader.fetch(
        f"SELECT upload FROM uploads WHERE {OPEN} AND created_ms < $1 AND length(upload) = $2 "  # noqa: S608
        "AND substr(upload, 1, $3) = $4 AND storage NOT IN ('closing', 'sending') ORDER BY created_ms, upload LIMIT $5",
        before_ms,
        len(prefix) + RANDOM_CHARS,
        len(prefix),
        prefix,
        limit,
    )
    return [row[0] for row in rows]
