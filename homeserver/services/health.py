"""How the house is: whether it can work at all, and how old its data is."""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.storage import health
from homeserver.storage.database import Database


@dataclass(frozen=True, slots=True)
class SyncOverview:
    """How far the sync has come. The times are when a sync began; None where no player was ever synced."""

    players: int
    synced: int
    oldest_ms: int | None
    newest_ms: int | None


class Health:
    """Answers for the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_ready(self) -> bool:
        """Whether the database answers; an error of the database is raised as it comes."""
        return await self._database.look(health.answers)

    async def sync(self) -> SyncOverview:
        """How old the players' data is."""
        return SyncOverview(*await self._database.read(health.sync_ages))
