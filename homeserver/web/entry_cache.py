"""Answers about the entries of a list that are the same for all who are not among them: kept for a moment.

As with pages (`board_cache.py`), one is given only when the list has the version that it was made of, read during the
request. Whoever is among the entries gets an answer of their own, which says so.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from homeserver.web.board_cache import Version
from homeserver.web.keys import CHANGES

KEEP_S: Final = 1.0
"""So old may the time be that an answer says it is of, and the names in it."""
MAX_BYTES: Final = 8 << 20
MAX_ADDRESS: Final = 500


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
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Answer] = OrderedDict()
        self._bytes = 0

    async def find(self, request: web.Request) -> Answer | None:
        """The answer to a request with this address, if it is still right."""
        kept = self._kept.get(request.raw_path)
        if kept is None or asyncio.get_running_loop().time() - kept.made_s > KEEP_S:
            return None
        of, changes = kept.of, request.app[CHANGES]
        now = changes.known(of.board, of.period) or await changes.version(of.board, of.period)
        return kept if now == of.version else None

    def keep(self, request: web.Request, of: Version, body: bytes, players: frozenset[str]) -> None:
        """Keep an answer in which nobody is marked."""
        if len(request.raw_path) > MAX_ADDRESS:
            return
        self._drop(request.raw_path)
        self._kept[request.raw_path] = Answer(of, body, players, asyncio.get_running_loop().time())
        self._bytes += len(body)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, address: str) -> None:
        kept = self._kept.pop(address, None)
        self._bytes -= len(kept.body) if kept else 0


ENTRY_ANSWERS: Final = web.AppKey("ENTRY_ANSWERS", EntryAnswers)
