"""What this process counts, and how the counts of all processes become one: added up in the database.

Counts are kept in memory and added to the database's every few seconds, and before they are shown. So the sum is right
whichever process is asked, and survives all of them; a process that is killed loses its last seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

import structlog

from homeserver.services.turns import Sleep, to_the_end
from homeserver.storage import counters
from homeserver.storage.database import Database, Transaction

EVERY_S: Final = 5.0

_log = structlog.get_logger(__name__)


class Meter:
    """Counts things by name and label, both from the code and never from outside: their number is bounded."""

    def __init__(self, database: Database, *, sleep: Sleep = asyncio.sleep) -> None:
        self._database = database
        self._sleep = sleep
        self._new: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[tuple[str, str], float] = {}

    def add(self, name: str, label: str = "", count: int = 1) -> None:
        """Count something."""
        self._new[name, label] += count

    def took(self, name: str, seconds: float, label: str = "") -> None:
        """Add up how long something took."""
        self._seconds[name, label] = self._seconds.get((name, label), 0.0) + seconds

    async def flush(self) -> None:
        """Add what was counted to the database's sums."""
        new: dict[tuple[str, str], float] = {**self._new, **self._seconds}
        if not new:
            return
        self._new, self._seconds = Counter(), {}

        async def work(tx: Transaction) -> None:
            await counters.add(tx, new)

        try:
            await self._database.write(work)
        except BaseException:
            for (name, label), value in new.items():
                if isinstance(value, int):
                    self._new[name, label] += value
                else:
                    self.took(name, value, label)
            raise

    async def sums(self) -> dict[tuple[str, str], float]:
        """All counts of all processes, by name and label."""
        await self.flush()
        return await self._database.look(counters.sums)

    async def run(self) -> None:
        """Flush every few seconds, until cancelled, and then once more: a database that is away comes back."""
        try:
            while True:
                await self._sleep(EVERY_S)
                await self._try()
        finally:
            await to_the_end(self._try())

    async def _try(self) -> None:
        try:
            await self.flush()
        except Exception:
            _log.exception("not_counted")
