"""A leaderboard as anybody would first write it: a dict of entries, sorted anew for every question. Right, and slow.

It knows the rules from their description alone and shares nothing with the code that it judges. Days, weeks (from
Monday) and months are those of UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from homeserver.model import Change, Keep, Order, Origin, Ties


@dataclass(frozen=True, slots=True)
class Row:
    """What a page shows of an entry."""

    player: int
    score: int
    reached_ms: int
    rank: int
    tied: bool


@dataclass(slots=True)
class NaiveBoard:
    """One board of whole numbers from `least` on. `lists` are its periods by id: player to (score, reached)."""

    order: Order
    keep: Keep
    ties: Ties
    least: int
    lists: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        day = datetime.fromtimestamp(change.at_ms / 1000, UTC)
        year, week, _ = day.isocalendar()
        ids = ["all", f"month:{day:%Y-%m}", f"week:{year}-W{week:02}", f"day:{day:%Y-%m-%d}"]
        for id_ in ids[:1] if change.origin is Origin.BASELINE else ids:
            self._apply(self.lists.setdefault(id_, {}), change)

    def _apply(self, entries: dict[int, tuple[int, int]], change: Change) -> None:
        if change.new is None:
            entries.pop(change.player, None)
            return
        if not re.fullmatch(r"0|-?[1-9][0-9]*", change.new) or int(change.new) < self.least:
            if self.keep is Keep.LATEST:
                entries.pop(change.player, None)
            return
        score = int(change.new)
        if change.player in entries:
            had = entries[change.player][0]
            better = score > had if self.order is Order.MORE else score < had
            if score == had or (self.keep is Keep.BEST and not better):
                return
        entries[change.player] = (score, change.at_ms)

    def rows(self, period: str, among: set[int] | None = None) -> list[Row]:
        """The whole list, best first; or what it would be if these players were all that there are."""
        whole = self.lists.get(period, {})
        entries = {player: whole[player] for player in whole if among is None or player in among}
        sign = -1 if self.order is Order.MORE else 1
        players = sorted(entries, key=lambda player: (sign * entries[player][0], entries[player][1], player))
        values = [entries[player][0] for player in players]
        return [
            Row(player, entries[player][0], entries[player][1], self._rank(values, index), values.count(value) > 1)
            for index, (player, value) in enumerate(zip(players, values, strict=True))
        ]

    def _rank(self, values: list[int], index: int) -> int:
        match self.ties:
            case Ties.COMPETITION:
                return 1 + values.index(values[index])
            case Ties.DENSE:
                return len(set(values[: index + 1]))
            case Ties.ORDINAL:
                return 1 + index
