"""A board's events folded into the entries that they make: what writers have done one change at a time, all at once.

It goes by the same rules as they do (`ranking.claim`, `periods.concerned`, `ranking.settle`), so the same events give
the same entries. And it counts and sums up what it makes, to be compared with what was stored of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from homeserver.domain import periods, ranking
from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.model import Board, Origin, Period, Position

Event = tuple[int, int, str | None, int, str]
"""One accepted change as it is kept: number, player, value, time in milliseconds, and the word of its `Origin`.

A plain tuple, of which there are millions. Numbers grow with time for one player and field.
"""

Place = tuple[int, int, int]
"""Key, time and player of a `Position`, as a plain tuple."""

PRIME: Final = 2**31 - 1
TIME_FACTOR: Final = 998_244_353
PLAYER_SHIFT: Final = 777_767


def checksum(places: Iterable[Place]) -> int:
    """A number below `PRIME` for these entries, whatever their order; those of two lists, added up, are that of both.

    A sum of products: two players whose keys were exchanged make a difference. Here the sums are exact and the
    remainder is taken once; both databases can calculate it without leaving 64 bits, see `storage/rebuild.py`.
    """
    terms = [(key + TIME_FACTOR * reached_ms) * (player + PLAYER_SHIFT) for key, reached_ms, player in places]
    return sum(terms) % PRIME


class Tally(NamedTuple):
    """How many entries, and their checksum."""

    entries: int
    checksum: int


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
        self._calendars = {origin.value: _Calendar(board, origin, self._periods) for origin in Origin}
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
        claim_of, settle = ranking.claim, ranking.settle  # looked up once: this is done for millions
        calendars, now_ms = self._calendars, self._now_ms
        for _, player, value, at_ms, origin in events:
            if player != self._player:
                if entries:
                    self.finish()
                self._player = player
            claim = claim_of(board, value)
            at_ms = min(at_ms, now_ms)  # noqa: PLW2901
            calendar = calendars[origin]
            for id_ in calendar.at(at_ms):
                before = entries.get(id_)
                after = settle(keep, before, claim, player, at_ms, imported=calendar.imported)
                if after is not None:
                    entries[id_] = after
                elif before is not None:
                    del entries[id_]

    def finish(self) -> None:
        """No more events of the last player will come."""
        for id_, position in self._open.items():
            self._made[id_].append(position)
        self._rows += len(self._open)
        self._open.clear()

    def take(self) -> list[Made]:
        """The entries finished since the last call, by period."""
        taken = [Made(self._periods[id_], places) for id_, places in self._made.items()]
        for period, places in taken:
            entries, total = self.tallies.get(period.id, (0, 0))
            self.tallies[period.id] = Tally(entries + len(places), (total + checksum(places)) % PRIME)
        self._made.clear()
        self._rows = 0
        return taken


class _Calendar:
    """The periods that changes of one origin concern, remembered from when to when they are the same."""

    def __init__(self, board: Board, origin: Origin, periods_by_id: dict[str, Period]) -> None:
        self._board = board
        self._origin = origin
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
        found = periods.concerned(self._board, at_ms, self._origin)
        index += 1
        self._begins.insert(index, max(INT64_MIN if each.starts_ms is None else each.starts_ms for each in found))
        self._ends.insert(index, min(INT64_MAX if each.ends_ms is None else each.ends_ms for each in found))
        self._ids.insert(index, tuple(each.id for each in found))
        self._periods.update((each.id, each) for each in found)
        return self._ids[index]
