"""How the house is: whether it can work at all, and how old its data is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeserver.services.jobs import Jobs
from homeserver.services.step_one import StepOne
from homeserver.storage import health
from homeserver.storage.database import Database, ping


@dataclass(frozen=True, slots=True)
class SyncOverview:
    """How far the sync has come. The times are when a sync began; None where no player was ever synced."""

    players: int
    synced: int
    oldest_ms: int | None
    newest_ms: int | None


class Health:
    """Answers for the database, for the jobs of this process, and for what the storage says of this site."""

    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        step_one: StepOne | None = None,
        *,
        refused_ms: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`refused_ms`: since when the container refuses everybody, as this process knows it."""
        self._database = database
        self._jobs = jobs
        self._step_one = step_one
        self._refused_ms = refused_ms

    @property
    def dead_jobs(self) -> Sequence[str]:
        """The jobs that ended although they should run: only a new start of the process brings them back."""
        return self._jobs.dead

    async def storage_trouble(self) -> str | None:
        """The storage's own words, while it refuses everybody."""
        pause = None if self._step_one is None else await self._step_one.pause()
        return None if pause is None else f"{pause.code or ''} {pause.detail}".strip()

    @property
    def is_refused(self) -> bool:
        """Whether the container refuses everybody: our credentials or our clock are wrong, and somebody has to look."""
        return self._refused_ms() is not None

    async def check(self) -> None:
        """Return if the database answers; an error of the database is raised as it comes."""
        await self._database.look(ping)

    async def sync(self) -> SyncOverview:
        """How old the players' data is."""
        return SyncOverview(*await self._database.read(health.sync_ages))
