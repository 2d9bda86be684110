"""A board's events folded into the entries that they make: what writers have done one change at a time, all at once.

It goes by the same rules as they do (`ranking.claim`, `periods.concerned`, `rules.apply`, `ranking.settle`), so the
same events give the same entries. And it counts and sums up what it makes, to be compared with what was stored of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from homeserver.domain import periods, ranking, rules
from homeserver.domain.boards import Closure
from homeserver.domain.rules import Account, Claimed
from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.model import Board, Decision, Origin, Period, Position, Span

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


Remembered = tuple[int, int, int, int]
"""Player, and of the list of all time a `rules.Memory`; of another the score when the period began, and twice 0."""

Flagged = tuple[int, int, int, int, str]
"""Number of the event, player, and a `rules.Flag`."""


class Made(NamedTuple):
    """Entries of one period that are finished, and what a board with accounts keeps beside them.

    There may be none of the entries: a value that is gone is remembered all the same.
    """

    period: Period
    places: list[Place]
    claims: list[Remembered]
    flags: list[Flagged]


class Adjusted(NamedTuple):
    """A score that an operator put in the place of what a player had up to an event."""

    event: int
    score: str
    """In the canonical text of the board."""


class Conditions(NamedTuple):
    """What operators decided that makes a difference to which entries events make.

    Attributes:
        decisions: What they said of claims that waited, by the number of the event.
        floors: By player, the number of the event up to which none makes entries: the player is hidden, or their score
            was removed. What the board remembers of them is the same all the same.
        adjusted: By player, in their order.
        since_event: Up to this event none makes entries, of anybody: the board was reset. Gains are counted from then
            on, and what waited then waits no more.
        closures: What came in these times makes no entries. It is remembered as if it did.
    """

    decisions: Mapping[int, Decision] = MappingProxyType({})
    floors: Mapping[int, int] = MappingProxyType({})
    adjusted: Mapping[int, Sequence[Adjusted]] = MappingProxyType({})
    since_event: int = -1
    closures: Sequence[Closure] = ()


NO_CONDITIONS: Final = Conditions()


class Replay:
    """Folds the events of one field, given player by player and in their order."""

    def __init__(
        self, board: Board, now_ms: int, conditions: Conditions = NO_CONDITIONS, *, any_time: bool = False
    ) -> None:
        """
        Args:
            now_ms: What is much later counts as now (`periods.counts_at`); what is not kept by then gets no list.
            any_time: Each change counts at the time that it has, also if it is later than `now_ms`.
        """
        self._board = board
        self._latest_ms = INT64_MAX if any_time else now_ms
        self._conditions = conditions
        self._account = Account()
        self._remembers = rules.remembers(board)
        self._step_by_step = self._remembers or bool(conditions.adjusted or conditions.closures)
        self._adjusted: list[Adjusted] = []
        """Those of the player that are still to come, the next one last."""
        self._is_before_reset = False
        self._periods: dict[str, Period] = {}
        self._calendars = {origin.value: _Calendar(board, origin, now_ms, self._periods) for origin in Origin}
        self._floor = -1
        self._player: int | None = None
        self._open: dict[str, Position] = {}
        self._made: defaultdict[str, list[Place]] = defaultdict(list)
        self._claims: defaultdict[str, list[Remembered]] = defaultdict(list)
        self._flags: list[Flagged] = []
        self._rows = 0
        self.tallies: dict[str, Tally] = {}
        """By period id, of all entries that were taken."""

    @property
    def waiting(self) -> int:
        """How many finished entries, and what is remembered beside them, were not taken yet."""
        return self._rows

    def add(self, events: Iterable[Event]) -> None:
        """Fold these: each player's follow each other, also from one call to the next."""
        board, keep = self._board, self._board.keep
        entries, floor = self._open, self._floor
        if self._step_by_step:
            self._add_to_account(events)
            return
        floors, since_event = self._conditions.floors, self._conditions.since_event
        claim_of, settle = ranking.claim, ranking.settle  # looked up once: this is done for millions
        calendars, counts_at, latest_ms = self._calendars, periods.counts_at, self._latest_ms
        for event, player, value, at_ms, origin in events:
            if player != self._player:
                if entries:
                    self.finish()
                self._player = player
                self._floor = floor = max(floors.get(player, -1), since_event)
            if event <= floor:
                continue
            claim = claim_of(board, value)
            at_ms = counts_at(at_ms, latest_ms)  # noqa: PLW2901
            calendar = calendars[origin]
            for id_ in calendar.at(at_ms):
                before = entries.get(id_)
                after = settle(keep, before, claim, player, at_ms, imported=calendar.imported)
                if after is not None:
                    entries[id_] = after
                elif before is not None:
                    del entries[id_]

    def _add_to_account(self, events: Iterable[Event]) -> None:
        board, keep = self._board, self._board.keep
        entries, closures = self._open, self._conditions.closures
        decisions, floor = self._conditions.decisions, self._floor
        for event, player, value, at_ms, word in events:
            if player != self._player:
                self.finish()
                floor = self._begin(player)
            if self._adjusted or self._is_before_reset:
                self._come_to(event)
            origin = Origin(word)
            at_ms = periods.counts_at(at_ms, self._latest_ms)  # noqa: PLW2901
            claimed = Claimed(event, ranking.claim(board, value), at_ms, origin, decisions.get(event))
            effects = rules.apply(board, self._account, claimed, self._calendars[word].at(at_ms))
            if event <= floor or any(closure.holds(event) for closure in closures):
                continue
            for id_, claim in effects:
                after = ranking.settle(keep, entries.get(id_), claim, player, at_ms, imported=origin.is_import)
                if after is not None:
                    entries[id_] = after
                else:
                    entries.pop(id_, None)

    def _begin(self, player: int) -> int:
        """The next player; their floor."""
        conditions = self._conditions
        self._player = player
        self._floor = max(conditions.floors.get(player, -1), conditions.since_event)
        self._adjusted = list(conditions.adjusted.get(player, ()))[::-1]
        self._is_before_reset = conditions.since_event > 0
        return self._floor

    def _come_to(self, event: int) -> None:
        """What operators did before this event."""
        if self._is_before_reset and event > self._conditions.since_event:
            self._account.bases.clear()
            self._account.flags.clear()
            self._is_before_reset = False
        while self._adjusted and self._adjusted[-1].event < event:
            self._adjust(self._adjusted.pop().score)

    def _adjust(self, text: str) -> None:
        """The player has this score wherever they have one, since when they had that."""
        for id_, position in list(self._open.items()):
            claim = rules.adjusted(self._board, self._account, id_, text)
            if isinstance(claim, int):
                self._open[id_] = Position(claim, position.reached_ms, position.player)
            else:
                del self._open[id_]

    def finish(self) -> None:
        """No more events of the last player will come."""
        self._come_to(INT64_MAX)
        for id_, position in self._open.items():
            self._made[id_].append(position)
        self._rows += len(self._open)
        self._open.clear()
        if self._remembers and self._player is not None:
            self._close(self._account, self._player)

    def _close(self, account: Account, player: int) -> None:
        self._account = Account()
        if account.last is not None:
            self._claims[Span.ALL.value].append((player, *account.last))
        for id_, base in account.bases.items():
            self._claims[id_].append((player, base, 0, 0))
        self._flags += ((event, player, *flag) for event, flag in account.flags.items())
        self._rows += len(account.bases) + len(account.flags) + (account.last is not None)

    def take(self) -> list[Made]:
        """The entries finished since the last call, by period."""
        flags = {Span.ALL.value: self._flags} if self._flags else {}
        taken = [
            Made(self._periods[id_], self._made.get(id_, []), self._claims.get(id_, []), flags.get(id_, []))
            for id_ in {**self._made, **self._claims, **flags}
        ]
        for period, places, *_ in taken:
            entries, total = self.tallies.get(period.id, (0, 0))
            self.tallies[period.id] = Tally(entries + len(places), (total + checksum(places)) % PRIME)
        self._made.clear()
        self._claims.clear()
        self._flags = []
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
