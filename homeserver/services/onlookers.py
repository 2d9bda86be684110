"""Those who look on: each waits for news of something, until it goes away or the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

TICK_S: Final = 1.0
"""How often a reader gets a word when nothing changed, so that it can see whether its own reader is still there."""


class Bell:
    """Wakes one reader. What rings before it listens is heard when it does."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the reader."""
        self._rung.set()

    async def heard(self) -> bool:
        """Whether it has rung since the last time, or does within `TICK_S`."""
        try:
            async with asyncio.timeout(TICK_S):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


K = TypeVar("K")
B = TypeVar("B", bound=Bell)


class Onlookers(Generic[K, B]):
    """Readers, by what they look at. True while there are any."""

    def __init__(self) -> None:
        self._readers: dict[K, set[B]] = {}
        self._wanted = asyncio.Event()
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether the server ends."""
        return self._is_over

    def __bool__(self) -> bool:
        return bool(self._readers)

    @contextmanager
    def one(self, key: K, reader: B) -> Iterator[B]:
        """Have the reader look on inside the context."""
        self._readers.setdefault(key, set()).add(reader)
        self._wanted.set()
        try:
            yield reader
        finally:
            self._readers[key].discard(reader)
            if not self._readers[key]:
                del self._readers[key]
            if not self._readers:
                self._wanted.clear()

    def of(self, key: K) -> frozenset[B]:
        """Those who look at this now."""
        return frozenset(self._readers.get(key, ()))

    def all(self) -> dict[K, frozenset[B]]:
        """Those who look on now, by what they look at."""
        return {key: frozenset(readers) for key, readers in self._readers.items()}

    async def somebody(self) -> None:
        """Wait until anybody looks on."""
        await self._wanted.wait()

    def close(self) -> None:
        """Wake all, to go: the server ends."""
        self._is_over = True
        for readers in self._readers.values():
            for reader in readers:
                reader.ring()
