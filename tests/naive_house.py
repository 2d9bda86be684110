"""All that leaderboards are made of, as anybody would first write it: values, events, boards. Right, and slow.

It keeps what was accepted, in order, and folds all of it anew for every question, by today's definition of the board.
So a rebuild, a restart or a change of settings is nothing to it. Like `naive_rules.py`, by which it judges each change,
it knows the rules from their description alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

from homeserver.model import Board, Change, Decision, Doubt, Order, Origin, Span, State, Ties
from tests.naive_board import Row
from tests.naive_rules import NaiveRules

CLOCKS_DIFFER_MS = 3_600_000
"""A clock that is behind by more was set right."""

Entries = dict[int, tuple[int, int]]
"""Player to score and the time at which it was reached."""


def ids_at(board: Board, at_ms: int, now_ms: int | None = None) -> list[str]:
    """The periods that hold this moment, in the order of spans; those that are kept now, if a time is given.

    The zones of these tests do not change their clocks at midnight.
    """
    day = _day(board, at_ms)
    today = None if now_ms is None else max(day, _day(board, now_ms))
    found: list[str] = []
    for span in board.spans:
        if span is Span.ALL:
            found.append("all")
        elif span is Span.SEASON:
            found += [f"season:{each.id}" for each in board.seasons if each.starts_ms <= at_ms < each.ends_ms]
        elif today is None or _index(board, span, day) >= _index(board, span, today) - getattr(board.kept, span):
            found.append(_id(board, span, day))
    return found


def id_of(board: Board, period: str, now_ms: int) -> str:
    """What a span's word means now. An id means itself."""
    if period == "season":
        begun = [season for season in board.seasons if season.starts_ms <= now_ms]
        going_on = [season for season in begun if now_ms < season.ends_ms]
        over = sorted(begun, key=lambda season: (season.ends_ms, season.starts_ms))
        return f"season:{[*board.seasons[:1], *over, *going_on][-1].id}"
    return _id(board, Span(period), _day(board, now_ms)) if period in {*Span} else period


def _day(board: Board, at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(board.zone)).date()


def _index(board: Board, span: Span, day: date) -> int:
    """Periods of this span in their order have numbers in theirs."""
    match span:
        case Span.MONTH:
            return 12 * day.year + day.month
        case Span.WEEK:
            return (day.toordinal() - 1 - board.first_weekday) // 7
        case _:
            return day.toordinal()


def _id(board: Board, span: Span, day: date) -> str:
    match span:
        case Span.MONTH:
            return f"month:{day.year}-{day.month:02}"
        case Span.DAY:
            return f"day:{day}"
        case Span.WEEK:
            while day.weekday() != board.first_weekday:
                day -= timedelta(1)
            while day.weekday() != 3:
                day += timedelta(1)
            year, week, _ = day.isocalendar()
            return f"week:{year}-W{week:02}"
        case _:
            return "all"


class _Rules(NaiveRules):
    """In any zone, with weeks that begin on any day."""

    def periods(self, at_ms: int, now_ms: int) -> list[str]:
        return ids_at(self.board, at_ms, now_ms)


def score_of(board: Board, value: str) -> int | None:
    """What a value says on a board of whole numbers; None where it says no score that the board allows."""
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,17}", value):
        return None
    score = int(value)
    if board.minimum is not None and score < board.minimum:
        return None
    if board.maximum is not None and score > board.maximum:
        return None
    return score


@dataclass(slots=True)
class Observed:
    """An AppData value as it was last seen to change, and when that was asked for."""

    value: str | None
    at_ms: int


def _number(event: Change) -> int:
    return event.event or 0


class Waiting(NamedTuple):
    """A claim that waits to be looked at."""

    event: int
    player: int
    score: int
    at_ms: int
    doubt: Doubt


@dataclass(slots=True)
class NaiveHouse:
    """Players are numbers, keys are AppData keys."""

    boards: dict[str, Board] = field(default_factory=dict)
    values: dict[tuple[int, str], Observed] = field(default_factory=dict)
    events: list[Change] = field(default_factory=list)
    hidden: set[tuple[str, int]] = field(default_factory=set)
    """Boards and players."""
    removed: dict[tuple[str, int], int] = field(default_factory=dict)
    """By board and player: what they had reached up to this event does not count."""
    decisions: defaultdict[str, dict[int, Decision]] = field(default_factory=lambda: defaultdict(dict))
    """By board and event: what was said of claims that waited."""
    retired: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Periods by board whose lists were deleted because they were too old."""

    # --- what comes in ------------------------------------------------------------------------------------------------

    def fields(self) -> set[str]:
        """Nothing else is asked for, or kept."""
        return {board.field for board in self.boards.values()}

    def read(self, player: int, item: Mapping[str, str], *, sent_ms: int, now_ms: int) -> None:
        """A player's own AppData, whole, as a request that was sent then brought it."""
        for key in sorted(self.fields()):
            self._observe(player, key, item.get(key), (sent_ms, now_ms), Origin.READ)

    def submitted(self, player: int, key: str, value: str, *, answered_ms: int) -> None:
        """The container has taken a score from us."""
        self._observe(player, key, value, (answered_ms, answered_ms), Origin.SUBMITTED)

    def _observe(self, player: int, key: str, value: str | None, times: tuple[int, int], origin: Origin) -> None:
        observed_ms, now_ms = times
        known = self.values.get((player, key))
        if known is None:
            if value is None:
                return
            old = None
        else:
            old = known.value
            if old == value or known.at_ms > observed_ms:
                return
            if known.at_ms == observed_ms and origin is Origin.READ:
                return
        newest_ms = max(self.events, key=_number).at_ms if self.events else 0
        if now_ms < newest_ms <= now_ms + CLOCKS_DIFFER_MS:  # time does not go back for a clock that is a little behind
            now_ms = newest_ms
        first = known is None and origin is Origin.READ
        self.values[player, key] = Observed(value, observed_ms)
        self._accept(Change(player, key, old, value, now_ms, Origin.BASELINE if first else origin))

    def imported(self, player: int, key: str, value: str, at_ms: int | None, *, verified: bool, now_ms: int) -> bool:
        """A line of an operator's file: whether it was new."""
        known = [event for event in self.events if (event.player, event.key, event.new) == (player, key, value)]
        if at_ms is None:
            if known:
                return False
            self._accept(Change(player, key, None, value, now_ms, Origin.BASELINE))
            return True
        origin = Origin.VERIFIED if verified else Origin.IMPORTED
        if any((event.at_ms, event.origin) == (at_ms, origin) for event in known):
            return False
        self._accept(Change(player, key, None, value, at_ms, origin))
        return True

    def _accept(self, change: Change) -> None:
        self.events.append(replace(change, event=1 + max(map(_number, self.events), default=0)))

    # --- what operators decide ----------------------------------------------------------------------------------------

    def hide(self, board: Board, player: int) -> bool:
        """Whether it changes anything."""
        new = (board.id, player) not in self.hidden
        self.hidden.add((board.id, player))
        return new

    def remove(self, board: Board, player: int, now_ms: int) -> bool:
        """Whether there is anything to be removed."""
        shown = self._judged(board, now_ms, shown=player).lists.values()
        if not any(player in entries for entries in shown):
            return False
        its = [each.event or 0 for each in self.events if (each.player, each.key) == (player, board.field)]
        self.removed[board.id, player] = max(its)
        return True

    def restore(self, board: Board, player: int) -> bool:
        """Whether there is anything to be undone."""
        place = (board.id, player)
        if place in self.hidden:
            self.hidden.remove(place)
            return True
        return self.removed.pop(place, None) is not None

    def erase(self, player: int) -> None:
        """Nothing is known of them any more."""
        self.events = [event for event in self.events if event.player != player]
        self.values = {place: value for place, value in self.values.items() if place[0] != player}
        self.hidden = {place for place in self.hidden if place[1] != player}
        self.removed = {place: until for place, until in self.removed.items() if place[1] != player}
        left = {event.event for event in self.events}
        for said in self.decisions.values():
            for number in said.keys() - left:
                del said[number]

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def retire(self, now_ms: int) -> None:
        """What boards do not keep any more is deleted, and stays so until they are rebuilt."""
        for board in self.boards.values():
            for event in self.events:
                old = set(ids_at(board, event.at_ms)) - set(ids_at(board, event.at_ms, now_ms))
                self.retired[board.id] |= old

    def rebuilt(self, board_id: str) -> None:
        """The board's lists were made anew from the events."""
        self.retired.pop(board_id, None)

    def dropped(self, board_id: str) -> None:
        """A board is gone, with what was said of claims. Whom it hides, the next of its name hides too."""
        self.rebuilt(board_id)
        self.decisions.pop(board_id, None)

    def lists(self, board: Board, now_ms: int) -> dict[str, Entries]:
        """The entries of every period of a board, by the period's id; those that nobody is in are left out."""
        retired = self.retired.get(board.id, ())
        return {id_: each for id_, each in self._judged(board, now_ms).entries().items() if id_ not in retired}

    def waiting(self, board: Board, now_ms: int) -> list[Waiting]:
        """What waits to be looked at, oldest first."""
        waiting = self._judged(board, now_ms).waiting()
        return sorted(
            Waiting(number, player, *claim) for player, claims in waiting.items() for number, claim in claims.items()
        )

    def own_entries(self, board: Board, period: str, player: int, now_ms: int) -> tuple[Entries, State]:
        """A list as its player sees it, who may be hidden from all others, and how that is called.

        Whoever is hidden sees what they would have if they were not. Whoever lost a score sees it until another one has
        taken its place.
        """
        listed = self.lists(board, now_ms).get(period, {})
        hidden, removed = (board.id, player) in self.hidden, (board.id, player) in self.removed
        if player in listed or not (hidden or removed):
            return listed, State.VISIBLE
        for all_of_it in (False, True):
            shown = self._judged(board, now_ms, shown=player, all_of_it=all_of_it).lists.get(period, {})
            if player in shown:
                return listed | {player: shown[player]}, State.HIDDEN if hidden else State.REMOVED
        return listed, State.HIDDEN if hidden else State.VISIBLE

    def _judged(self, board: Board, now_ms: int, *, shown: int | None = None, all_of_it: bool = False) -> NaiveRules:
        """All events by the board's rules; `shown` as if they were not hidden, `all_of_it`: nor lost a score."""
        rules = _Rules(board, self.decisions[board.id])
        for event in self.events:
            if event.key != board.field:
                continue
            place, number = (board.id, event.player), event.event or 0
            counts = number > self.removed.get(place, 0) and place not in self.hidden
            if event.player == shown:
                counts = all_of_it or number > self.removed.get(place, 0)
            lists = rules.lists
            if not counts:  # it is remembered all the same
                rules.lists = {}
            rules.apply((number, event.player, event.new, event.at_ms, event.origin.value), now_ms)
            rules.lists = lists
        return rules

    def rows(self, board: Board, period: str, now_ms: int) -> list[Row]:
        """A whole list, best first, with the ranks that are shown."""
        return list(ranked(board, self.lists(board, now_ms).get(period, {})))


def better(board: Board, one: int, other: int) -> bool:
    """Whether one score is better than another."""
    return one > other if board.order is Order.MORE else one < other


def ranked(board: Board, entries: Entries) -> Iterator[Row]:
    """Entries in their order. Every rank is counted from its meaning."""
    sign = -1 if board.order is Order.MORE else 1
    order = sorted(entries, key=lambda player: (sign * entries[player][0], entries[player][1], player))
    for index, player in enumerate(order):
        score, reached_ms = entries[player]
        ahead = [other for other, _ in entries.values() if better(board, other, score)]
        rank = {Ties.COMPETITION: 1 + len(ahead), Ties.DENSE: 1 + len(set(ahead)), Ties.ORDINAL: 1 + index}[board.ties]
        tied = [other for other, _ in entries.values()].count(score) > 1
        yield Row(player, score, reached_ms, rank, tied)


def share_of_worse(board: Board, rows: list[Row], player: int) -> Fraction | None:
    """Better than what share of the others; None without an entry, or without others."""
    mine = [row.score for row in rows if row.player == player]
    if not mine or len(rows) == 1:
        return None
    return Fraction(sum(better(board, mine[0], row.score) for row in rows), len(rows) - 1)
