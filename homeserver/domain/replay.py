"""A board's events folded into the entries that they make: what writers have done one change at a time, all at once.

It goes by the same rules as they do (`ranking.claim`, `periods.concerned`, `ranking.settle`), so the same events give
the same entries. And it counts and sums up what it makes, to be compared with what was stored of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from itertools import starmap
from typing import Final, NamedTuple

from homeserver.domain import periods, ranking
from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.model import Board, Origin, Period, Position

Event = tuple[int, int, str | None, int, str]
"""One accepted change as it is kept: number, player, value, time in milliseconds, and the word of its `Origin`.

A plain tuple, of which there are millions. Numbers grow with time for one player and field.
"""

PRIME: Final = 2**31 - 1
KEY_SHIFT: Final = 1_000_003
TIME_SHIFT: Final = 998_244
PLAYER_SHIFT: Final = 777_767


def checksum(key: int, reached_ms: int, player: int) -> int:
    """A number of 31 bits for one entry. Those of a list are added up, so their order does not matter.

    Products, not a weighted sum: two players whose keys were exchanged make a difference. Both databases can calculate
    it without leaving 64 bits; see `storage/rebuild.py`.
    """
    both = ((key % PRIME + KEY_SHIFT) * (reached_ms % PRIME + TIME_SHIFT)) % PRIME
    return (both * (player % PRIME + PLAYER_SHIFT)) % PRIME


class Tally(NamedTuple):
    """How many entries, and the sum of their checksums."""

    entries: int
    checksum: int


Place = tuple[int, int, int]
"""Key, time and player of a `Position`, as a plain tuple."""


class Made(NamedTuple):
    """Entries of one period that are finished."""

    period: Period
    places: list[Place]


class Replay:
    """Folds the events of one field, given player by player and in their order."""

    def __init__(self, board: Board, now_ms: int) -> None:
        """`now_ms`: no change counts as later than this."""
        self._board = board
        self._now_ms = now_ms
        self._periods: dict[str, Period] = {}
        self._calendars = {origin.value: _Calendar(board, origin, now_ms, self._periods) for origin in Origin}
        self._player: int | None = None
        self._open: dict[str, Position] = {}
        self._made: defaultdict[str, list[Place]] = defaultdict(list)
        self._rows = 0
        self.tallies: dict[str, Tally] = {}
        """By period id, of all entries that were taken."""

    @property
    def waiting(self) -> int:
        """How many finished entries were not taken yet."""
        return self._rows

    def add(self, events: Iterable[Event]) -> None:
        """Fold these: each player's follow each other, also from one call to the next."""
        board, keep = self._board, self._board.keep
        entries = self._open
        for _, player, value, at_ms, origin in events:
            if player != self._player:
                self.finish()
                self._player = player
            claim = ranking.claim(board, value)
            at_ms = min(at_ms, self._now_ms)  # noqa: PLW2901
            calendar = self._calendars[origin]
            for id_ in calendar.at(at_ms):
                before = entries.get(id_)
                after = ranking.settle(keep, before, claim, player, at_ms, imported=calendar.imported)
                if after is not None:
                    entries[id_] = after
                elif before is not None:
                    del entries[id_]

    def finish(self) -> None:
        """No more events of the last player will come."""
        for id_, position in self._open.items():
            self._made[id_].append((position.key, position.reached_ms, position.player))
        self._rows += len(self._open)
        self._open.clear()

    def take(self) -> list[Made]:
        """The entries finished since the last call, by period."""
        taken = [Made(self._periods[id_], places) for id_, places in self._made.items()]
        for period, places in taken:
            entries, total = self.tallies.get(period.id, (0, 0))
            self.tallies[period.id] = Tally(entries + len(places), total + sum(starmap(checksum, places)))
        self._made.clear()
        self._rows = 0
        return taken


class _Calendar:
    """The periods that changes of one origin concern, remembered from when to when they are the same."""

    def __init__(self, board: Board, origin: Origin, now_ms: int, periods_by_id: dict[str, Period]) -> None:
        self._board = board
        self._origin = origin
        self._now_ms = now_ms
        self._periods = periods_by_id
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._ids: list[tuple[str, ...]] = []
        self.imported = origin.is_import

    def at(self, at_ms: int) -> tuple[str, ...]:
        """The ids of `periods.concerned`."""
        index = bisect_right(self._begins, at_ms) - 1
        if index >= 0 and at_ms < self._ends[index]:
            return self._ids[index]
        found = periods.concerned(self._board, at_ms, self._origin, self._now_ms)
        begins_ms, ends_ms = periods.unchanged(self._board, at_ms)
        index += 1
        self._begins.insert(index, INT64_MIN if begins_ms is None else begins_ms)
        self._ends.insert(index, INT64_MAX if ends_ms is None else ends_ms)
        self._ids.insert(index, tuple(each.id for each in found))
        self._periods.update((each.id, each) for each in found)
        return self._ids[index]
