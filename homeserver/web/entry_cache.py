"""Answers about the entries of a list that are the same for all who are not among them: kept for a moment.

As with pages (`board_cache.py`), one is given only when the list has the version that it was made of, read during the
request. Whoever is among the entries gets an answer of their own, which says so.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from homeserver.web.board_cache import Version
from homeserver.web.by_bytes import ByBytes
from homeserver.web.keys import CHANGES

KEEP_S: Final = 1.0
"""So old may the time be that an answer says it is of, and the names in it."""
MAX_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """`players` are those among the entries, by their public ids."""

    of: Version
    body: bytes
    players: frozenset[str]
    made_s: float


class EntryAnswers:
    """The answers that are kept, by address, the last made last."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._kept: ByBytes[Answer] = ByBytes(max_bytes)

    async def find(self, request: web.Request) -> Answer | None:
        """The answer to a request with this address, if it is still right."""
        kept = self._kept.get(request.raw_path)
        if kept is None or asyncio.get_running_loop().time() - kept.made_s > KEEP_S:
            return None
        of = kept.of
        return kept if await request.app[CHANGES].version(of.board, of.period) == of.version else None

    def keep(self, request: web.Request, of: Version, body: bytes, players: frozenset[str]) -> None:
        """Keep an answer in which nobody is marked."""
        self._kept.put(request.raw_path, Answer(of, body, players, asyncio.get_running_loop().time()))


ENTRY_ANSWERS: Final = web.AppKey("ENTRY_ANSWERS", EntryAnswers)
