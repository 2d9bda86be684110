"""Where the blocks of a list begin, kept in memory under the token that the list had when they were read.

A token is drawn at random each time when boundaries of the list change, and stored with the list in the same
transaction. So it names these very boundaries for ever: what a transaction that was undone had put here is never asked
for again, and nothing here can be out of date, whatever other processes, other databases or restored copies do.
"""

from __future__ import annotations

import secrets
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.model import Position
from homeserver.storage.database import Reader

Place = tuple[int, int, int]
"""Key, time and player of a `Position`, as a plain tuple: compared a hundred thousand times a second."""

FIRST: Final[Place] = (INT64_MIN, INT64_MIN, INT64_MIN)
"""Where the first block of each level begins: before every entry of any list."""
LAST: Final[Place] = (INT64_MAX, INT64_MAX, INT64_MAX)
"""Behind every entry of any list."""
BLOCKS: Final = 1
"""The level of blocks, which hold entries."""
SUPERBLOCKS: Final = 2
"""The level of superblocks, which hold blocks."""
LEVELS: Final = (BLOCKS, SUPERBLOCKS)

MAX_KEPT: Final = 150_000
"""Boundaries of all lists together: about 25 MB. A list of ten million entries has about 30,000."""


def new_token() -> int:
    """A name for boundaries that nothing else ever had or will have."""
    return secrets.randbits(63)


def place_of(position: Position) -> Place:
    """The position as a plain tuple."""
    return position.key, position.reached_ms, position.player


def start_of(key: int) -> Place:
    """Before all entries with this key."""
    return key, INT64_MIN, INT64_MIN


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Where the blocks of one list begin: sorted, on both levels from `FIRST` on. Never changed, only replaced."""

    blocks: Sequence[Place]
    superblocks: Sequence[Place]

    def __len__(self) -> int:
        return len(self.blocks) + len(self.superblocks)

    def level(self, level: int) -> Sequence[Place]:
        """The beginnings on one level."""
        return self.blocks if level == BLOCKS else self.superblocks

    def holder(self, level: int, place: Place) -> Place:
        """Where the block begins that holds this place, whether an entry is there or not."""
        firsts = self.level(level)
        return firsts[bisect_right(firsts, place) - 1]

    def split(self, level: int, first: Place) -> Boundaries:
        """With one block more, that begins here."""
        firsts = self.level(level)
        at = bisect_left(firsts, first)
        return self._with(level, [*firsts[:at], first, *firsts[at:]])

    def merged(self, level: int, first: Place) -> Boundaries:
        """Without the block that begins here."""
        firsts = self.level(level)
        at = bisect_left(firsts, first)
        return self._with(level, [*firsts[:at], *firsts[at + 1 :]])

    def _with(self, level: int, firsts: list[Place]) -> Boundaries:
        return Boundaries(firsts, self.superblocks) if level == BLOCKS else Boundaries(self.blocks, firsts)


class Memory:
    """Boundaries by token; when there are too many, those go that were not asked for longest. Safe among threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[int, Boundaries] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._size

    def find(self, token: int) -> Boundaries | None:
        """What this token names, if it is here."""
        with self._lock:
            found = self._kept.get(token)
            if found is not None:
                self._kept.move_to_end(token)
            return found

    def keep(self, token: int, boundaries: Boundaries) -> None:
        """Remember what this token names."""
        with self._lock:
            if token not in self._kept:
                self._kept[token] = boundaries
                self._size += len(boundaries)
            while self._size > self._most:
                _, gone = self._kept.popitem(last=False)
                self._size -= len(gone)

    def forget(self, token: int) -> None:
        """Make room: no list has these boundaries any more."""
        with self._lock:
            gone = self._kept.pop(token, None)
            if gone is not None:
                self._size -= len(gone)


MEMORY: Final = Memory(MAX_KEPT)
"""For every database of this process: what a token names is the same everywhere."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a list is cut into blocks, as of this transaction. `dense` lists count their scores besides entries."""

    token: int
    dense: bool
    boundaries: Boundaries


async def layouts(reader: Reader, lists: Collection[int]) -> dict[int, Layout]:
    """The layouts of these lists, which exist."""
    rows = await reader.fetch(
        "SELECT list, boundaries, dense FROM lists WHERE list IN (SELECT w.value FROM each_bigint($1) AS w)",
        sorted(lists),
    )
    found = {token: MEMORY.find(token) for _, token, _ in rows}
    found |= await _read(reader, {list_: token for list_, token, _ in rows if found[token] is None})
    return {
        list_: Layout(token, bool(dense), boundaries)
        for list_, token, dense in rows
        if (boundaries := found[token]) is not None
    }


async def _read(reader: Reader, tokens: dict[int, int]) -> dict[int, Boundaries]:
    """Read the boundaries of these lists, and remember them: by token."""
    if not tokens:
        return {}
    firsts: dict[tuple[int, int], list[Place]] = {}
    for list_, level, *first in await reader.fetch(
        "SELECT list, level, key, reached_ms, player FROM blocks WHERE list IN (SELECT w.value FROM each_bigint($1) "
        "AS w) ORDER BY list, level, key, reached_ms, player",
        sorted(tokens),
    ):
        firsts.setdefault((list_, level), []).append((first[0], first[1], first[2]))
    found = {token: Boundaries(firsts[list_, BLOCKS], firsts[list_, SUPERBLOCKS]) for list_, token in tokens.items()}
    for token, boundaries in found.items():
        MEMORY.keep(token, boundaries)
    return found
