"""Answers that are kept in memory, up to so many bytes together."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, Protocol, TypeVar

MAX_ADDRESS: Final = 500
"""Longer addresses are answered, not kept."""


class _Answer(Protocol):
    @property
    def body(self) -> bytes: ...


A = TypeVar("A", bound=_Answer)


class ByBytes(Generic[A]):
    """Answers by address. Where there is no more room, what was put or used longest ago goes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, A] = OrderedDict()
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """Of all bodies together."""
        return self._bytes

    def get(self, address: str) -> A | None:
        """What is kept for this address."""
        return self._kept.get(address)

    def put(self, address: str, answer: A) -> None:
        """Keep an answer in the place of the one before."""
        if len(address) > MAX_ADDRESS:
            return
        self._drop(address)
        self._kept[address] = answer
        self._bytes += len(answer.body)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def used(self, address: str) -> None:
        """Keep it longer than others, if it is still there."""
        if address in self._kept:
            self._kept.move_to_end(address)

    def _drop(self, address: str) -> None:
        kept = self._kept.pop(address, None)
        self._bytes -= len(kept.body) if kept else 0
