"""Who was erased: marks that only somebody who knows the id can recognise.

A mark is an HMAC of the container and the user id, by a key that the first migration made. The key stays as long as the
marks; where both are lost, so is the memory of who was erased.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable
from typing import Final, cast

from homeserver.storage.database import Reader, Transaction

LOCK: Final = "people"
"""Held shared while somebody writes about people whose numbers they have, alone while somebody is erased. It comes
behind the boards' locks, and before any row."""


async def mark(tx: Transaction, container: str, user_id: str) -> None:
    """Remember that this person was erased."""
    await tx.execute(
        "INSERT INTO erased (mark) VALUES ($1) ON CONFLICT (mark) DO NOTHING",
        _mark(await _key(tx), container, user_id),
    )


async def among(reader: Reader, container: str, user_ids: Collection[str]) -> set[str]:
    """Which of these people were erased, and have not come back."""
    if not user_ids:
        return set()
    key = await _key(reader)
    marks = {_mark(key, container, user_id): user_id for user_id in user_ids}
    rows = await reader.fetch(
        "SELECT mark FROM erased WHERE mark IN (SELECT w.value FROM each_text($1) AS w)", sorted(marks)
    )
    return {marks[row[0]] for row in rows}


async def forget(tx: Transaction, container: str, user_ids: Iterable[str]) -> None:
    """Forget that these people were erased: they have come back by themselves."""
    key = await _key(tx)
    await tx.execute_many(
        "DELETE FROM erased WHERE mark = $1", sorted((_mark(key, container, user_id),) for user_id in user_ids)
    )


async def _key(reader: Reader) -> bytes:
    key = cast("str", await reader.fetch_value("SELECT value FROM meta WHERE name = 'erasure_key'"))
    return bytes.fromhex(key)


def _mark(key: bytes, container: str, user_id: str) -> str:
    return hmac.digest(key, f"{container}\0{user_id}".encode(), "sha256").hex()
