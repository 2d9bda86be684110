"""Writes that are a transaction's only ones, as tests make them. In the product they are always beside others."""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.model import Change, Person
from homeserver.storage import leaderboards, people
from homeserver.storage.blocks import SIZES, Sizes
from homeserver.storage.database import Transaction


async def apply_changes(tx: Transaction, changes: Sequence[Change], now_ms: int, sizes: Sizes = SIZES) -> None:
    """Let these changes take effect on every board of their fields."""
    if changes:
        boards = await leaderboards.begin(tx, {change.key for change in changes})
        await leaderboards.record(tx, boards, changes, now_ms, sizes)


async def observe_person(tx: Transaction, player: int, person: Person, observed_ms: int) -> None:
    """Keep what the container said of one person."""
    await people.observe_people(tx, {player: person}, observed_ms)
