"""How much room files take that are kept, or still to come, and which of them have waited for too long."""

from __future__ import annotations

from typing import cast

from homeserver.model import StorageLeg
from homeserver.storage.database import Reader, Transaction
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


async def open_by_leg(reader: Reader) -> dict[StorageLeg, int]:
    """How many files are needed still, by how far they have come into the storage."""
    rows = await reader.fetch(f"SELECT storage, COUNT(*) FROM uploads WHERE {OPEN} GROUP BY storage")  # noqa: S608
    return {StorageLeg(word): count for word, count in rows}


async def let_wait_for_sign_in(tx: Transaction, id_: str, now_ms: int) -> bool:
    """Let a file that has failed go on when its owner signs in again."""
    changed = await tx.execute(
        "UPDATE uploads SET storage = 'needs_sign_in', failures = 0, token_refusals = 0, updated_ms = $1 "
        "WHERE upload = $2 AND storage = 'failed'",
        now_ms,
        id_,
    )
    return changed == 1
