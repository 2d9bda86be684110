"""A board with every rule that it may have, as anybody would first write it: everything anew for every change.

It knows the rules from their description alone and shares nothing with the code that it judges: what a player had when
a period began is looked up in all that was accepted, and an allowance is a bucket of fractions that fills.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from homeserver.domain.replay import Event
from homeserver.model import Board, Counts, Decision, Doubt, Keep, Order, Origin, Span

HOUR_MS = 3_600_000


Bucket = tuple[Fraction, int]
"""What was left of an allowance, and when."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A score that the board took, and the periods in which it counted."""

    score: int
    at_ms: int
    periods: tuple[str, ...]


@dataclass(slots=True)
class Player:
    accepted: list[Accepted] = field(default_factory=list)
    """Without late imports."""
    waiting: dict[int, tuple[int, int, Doubt]] = field(default_factory=dict)
    bucket: Bucket | None = None


@dataclass(slots=True)
class NaiveRules:
    """`lists` are the periods by id: player to (score, reached). Scores are in the board's units, days are UTC's."""

    board: Board
    decisions: dict[int, Decision] = field(default_factory=dict)
    lists: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)
    players: dict[int, Player] = field(default_factory=dict)

    def apply(self, event: Event, now_ms: int) -> None:
        number, player, value, at_ms, word = event
        origin = Origin(word)
        board, of = self.board, self.players.setdefault(player, Player())
        periods = self.periods(at_ms, now_ms) if origin is not Origin.BASELINE else ["all"]
        own = origin in {Origin.READ, Origin.SUBMITTED}
        score = self.score(value)
        if value is None:
            of.waiting.clear()
            for period in periods:
                self.lists.get(period, {}).pop(player, None)
            return
        if score is None:
            for period in periods:
                self.refuse(period, player, at_ms, origin)
            return
        bucket = self.bucket(of, at_ms)
        if own and (board.largest_step or board.largest_gain_per_hour):
            decision = self.decisions.get(number)
            if decision is Decision.REJECTED:
                return
            doubt = None
            if decision is None:
                doubt, bucket = self.doubt(of, bucket, score, at_ms)
            if doubt:
                of.waiting[number] = (score, at_ms, doubt)
                of.waiting = dict(list(of.waiting.items())[-20:])
                return
            of.waiting.clear()
        late = origin.is_import and of.accepted and at_ms < of.accepted[-1].at_ms
        counted = []
        for period in periods:
            if board.counts is Counts.REACHED or period == "all":
                self.settle(period, player, score, at_ms, origin)
            elif not late:
                counted.append(period)
                self.settle(period, player, score - self.base(of, period), at_ms, origin)
        if not late:
            of.bucket = bucket
            of.accepted.append(Accepted(score, at_ms, tuple(counted)))

    def base(self, of: Player, period: str) -> int:
        """What the player had when the period began: what was accepted last before the first that counted in it."""
        before = 0
        for each in of.accepted:
            if period in each.periods:
                return before
            before = each.score
        return before

    def bucket(self, of: Player, at_ms: int) -> Bucket | None:
        """By the clock of this moment: one that was set back by more than an hour begins to fill it anew."""
        if of.bucket and of.accepted and of.accepted[-1].at_ms - at_ms > HOUR_MS:
            left, since_ms = of.bucket
            return left, since_ms - (of.accepted[-1].at_ms - at_ms)
        return of.bucket

    def doubt(self, of: Player, bucket: Bucket | None, score: int, at_ms: int) -> tuple[Doubt | None, Bucket | None]:
        board = self.board
        last = of.accepted[-1].score if of.accepted else 0
        gain = score - last if board.order is Order.MORE else last - score
        if gain <= 0 or (not of.accepted and board.order is Order.LESS):
            return None, bucket
        if board.largest_step and gain > board.largest_step:
            return Doubt.STEP, bucket
        if not board.largest_gain_per_hour:
            return None, bucket
        # Clocks of two processes may differ by less: the later one is right.
        if of.accepted and 0 < of.accepted[-1].at_ms - at_ms <= HOUR_MS:
            at_ms = of.accepted[-1].at_ms
        left = most = Fraction(board.largest_gain_per_hour)
        if bucket:
            left = min(most, bucket[0] + most * (at_ms - bucket[1]) / HOUR_MS)
        return (Doubt.RATE, bucket) if gain > left else (None, (left - gain, at_ms))

    def refuse(self, period: str, player: int, at_ms: int, origin: Origin) -> None:
        had = self.lists.get(period, {}).get(player)
        if had and self.board.keep is Keep.LATEST and not (origin.is_import and at_ms < had[1]):
            del self.lists[period][player]

    def settle(self, period: str, player: int, score: int, at_ms: int, origin: Origin) -> None:
        entries = self.lists.setdefault(period, {})
        had = entries.get(player)
        if had is None:
            entries[player] = (score, at_ms)
        elif self.board.keep is Keep.BEST:
            if (score > had[0]) if self.board.order is Order.MORE else (score < had[0]):
                entries[player] = (score, at_ms)
        elif score != had[0] and not (origin.is_import and at_ms < had[1]):
            entries[player] = (score, at_ms)

    def score(self, value: str | None) -> int | None:
        decimals = self.board.decimals
        if value is None or not re.fullmatch(r"-?(0|[1-9][0-9]*)", value) or value == "-0":
            return None
        score = int(value) * 10**decimals
        least, most = self.board.minimum, self.board.maximum
        return None if (least is not None and score < least) or (most is not None and score > most) else score

    def periods(self, at_ms: int, now_ms: int) -> list[str]:
        day, today = (datetime.fromtimestamp(ms / 1000, UTC).date() for ms in (at_ms, now_ms))
        board, found = self.board, ["all"]
        found += [f"season:{each.id}" for each in board.seasons if each.starts_ms <= at_ms < each.ends_ms]
        if Span.MONTH in board.spans and months(day) >= months(today) - board.kept.month:
            found.append(f"month:{day:%Y-%m}")
        if Span.WEEK in board.spans and monday(day) >= monday(today) - timedelta(weeks=board.kept.week):
            found.append("week:{}-W{:02}".format(*day.isocalendar()))
        if Span.DAY in board.spans and day >= today - timedelta(days=board.kept.day):
            found.append(f"day:{day}")
        return found

    def entries(self) -> dict[str, dict[int, tuple[int, int]]]:
        """The lists that hold anybody."""
        return {period: entries for period, entries in self.lists.items() if entries}

    def waiting(self) -> dict[int, dict[int, tuple[int, int, Doubt]]]:
        """By player who has any: what waits, by event."""
        return {player: of.waiting for player, of in self.players.items() if of.waiting}


def months(day: date) -> int:
    return day.year * 12 + day.month


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
