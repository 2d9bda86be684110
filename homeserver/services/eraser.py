"""Erasing people, to the end: what was begun and broken off is finished by whoever comes next."""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog

from homeserver.model import NowMs
from homeserver.services.sweeping import sweep
from homeserver.storage import erasing
from homeserver.storage.database import Database
from homeserver.storage.erasing import Ending

ROWS: Final = 500
"""Deleted in one transaction. Writers of SQLite wait meanwhile: up to 0.1 s, as each entry is in a list of its own."""
SWEPT: Final = 2_000
"""Rows of old lists that are deleted in one transaction."""

_log = structlog.get_logger(__name__)


class Eraser:
    """Deletes what is left of people who were erased. Any number of processes may do it at once."""

    def __init__(self, database: Database, now_ms: NowMs, *, rows: int = ROWS) -> None:
        self._database = database
        self._now_ms = now_ms
        self._rows = rows

    async def go_on(self) -> int:
        """Delete what is left of everybody who was erased.

        Returns:
            Of how many the last is not gone yet, because a board is being rebuilt. They are nobody all the same.
        """
        waiting = 0
        for player in await self._database.read(erasing.unfinished):
            waiting += not await self.finish(player)
        return waiting

    async def finish(self, player: int) -> bool:
        """Delete what is left of a player who was stripped; whether that could be done to the end."""
        while True:
            while await self._database.write(partial(erasing.delete_some, player=player, limit=self._rows)):
                pass
            ending = await self._database.write(partial(erasing.finish, player=player, now_ms=self._now_ms()))
            if ending is not Ending.SWEEP:
                break
            await sweep(self._database, SWEPT)
        if ending is Ending.DONE:
            _log.info("erased")
        return ending is Ending.DONE
