"""Whom to ask, so that everybody is refreshed with few requests. Pure: numbers in, numbers out.

One request for a player's `@friends` AppData brings that of all their friends, but not their own. So refreshing a set
of players is a cover of that set by circles of friends, where a player may also be asked for alone; a chosen player's
own entry must be covered like anybody else's. The choice is greedy: the circle that brings most for a page, again and
again, until the next one would bring no more than asking alone does. Gains only fall while others are chosen, so each
is counted anew only when it comes to the top (a lazy greedy), and afterwards whoever turned out not to be needed is
dropped. Greedy is within 1 + ln(largest circle) of the best there is; what it needs in practice is in docs/sync.md.

Memory is proportional to the friendships that were added, four bytes each, and to the players.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from heapq import heapify, heappop, heapreplace
from typing import Final


class Need(IntEnum):
    """How badly somebody's data is wanted."""

    NONE = 0
    """It is fresh enough."""
    SOON = 1
    """It will be due before long: worth taking along, not worth a request."""
    DUE = 2
    ACTIVE = 3
    """Due, and they are playing now: asked for first."""


_WEIGHTS: Final = bytes((0, 1, 4, 4))
"""What bringing somebody counts. Four who are wanted soon are worth one who is due."""
_ALONE: Final = 4
"""What one request brings that asks for one player."""


class Graph:
    """Who is whose friend, for players with any numbers. Friends of friends who are not needed are not kept."""

    def __init__(self, players: Iterable[int]) -> None:
        """`players` are those whose data may be needed, or who may be asked."""
        self.players = array("q", sorted(set(players)))
        self._index = {player: index for index, player in enumerate(self.players)}
        self._circles: list[array[int]] = [array("I") for _ in self.players]

    def __len__(self) -> int:
        return len(self.players)

    def add(self, player: int, friends: Iterable[int]) -> None:
        """Add friends of a player, each once; whoever is not in the graph is left out."""
        found = self._index.get(player)
        if found is not None:
            index = self._index
            self._circles[found].extend([index[friend] for friend in friends if friend in index])

    def index(self, player: int) -> int | None:
        """Where the player stands in `players`; None if they do not."""
        return self._index.get(player)

    @property
    def circles(self) -> Sequence[Sequence[int]]:
        """The friends of each player of `players`, all as indices into it."""
        return self._circles


@dataclass(frozen=True, slots=True)
class Plan:
    """Whose friends' data to ask for, and whom to ask for alone. By player number, the most urgent first."""

    circles: tuple[int, ...]
    alone: tuple[int, ...]
    urgent: int
    """How many of `circles`, from the first on, bring somebody who is active now."""


def pages(friends: int, page_size: int | None) -> int:
    """How many requests bring that many people; one where the answer is not paged."""
    return 1 if page_size is None else max(1, -(-friends // page_size))


def cover(graph: Graph, needs: bytearray, *, under_way: Collection[int] = (), page_size: int | None = None) -> Plan:
    """Plan requests that bring everybody who is due.

    Args:
        needs: A `Need` for each of `graph.players`.
        under_way: Players whose friends are being asked for already; what that brings is not planned again.
        page_size: How many people come with one request; None: all of a circle.
    """
    circles = graph.circles
    costs = [pages(len(circle), page_size) for circle in circles]
    weights = bytearray(needs.translate(_WEIGHTS.ljust(256, b"\0")))
    for player in under_way:
        index = graph.index(player)
        if index is not None:
            for friend in circles[index]:
                weights[friend] = 0
    due = [index for index, need in enumerate(needs) if need >= Need.DUE and weights[index]]
    chosen = _greedy(circles, costs, bytearray(weights))
    chosen = _needed(circles, chosen, due, len(needs))
    brought = bytearray(len(needs))
    for index in chosen:
        for friend in circles[index]:
            brought[friend] = 1
    urgent = {index for index in chosen if any(needs[friend] == Need.ACTIVE for friend in circles[index])}
    alone = sorted((index for index in due if not brought[index]), key=lambda index: -needs[index])
    players = graph.players
    return Plan(
        tuple(players[index] for index in sorted(chosen, key=lambda index: index not in urgent)),
        tuple(players[index] for index in alone),
        len(urgent),
    )


def _greedy(circles: Sequence[Sequence[int]], costs: Sequence[int], weights: bytearray) -> list[int]:
    """Circles in the order in which they were chosen; `weights` is used up."""
    weight_of = weights.__getitem__
    waiting = [
        (-gain / costs[index], index)
        for index, gain in ((index, sum(map(weight_of, circle))) for index, circle in enumerate(circles))
        if gain > _ALONE * costs[index]
    ]
    heapify(waiting)
    chosen: list[int] = []
    while waiting:
        before, index = waiting[0]
        gain = sum(map(weight_of, circles[index]))
        now = -gain / costs[index]
        if gain <= _ALONE * costs[index]:
            heappop(waiting)
        elif now > before:
            heapreplace(waiting, (now, index))
        else:
            heappop(waiting)
            chosen.append(index)
            for friend in circles[index]:
                weights[friend] = 0
    return chosen


def _needed(circles: Sequence[Sequence[int]], chosen: Sequence[int], due: Iterable[int], players: int) -> list[int]:
    """Those of the chosen circles without which somebody who is due would be missing; the smallest gains go first."""
    is_due = bytearray(players)
    for index in due:
        is_due[index] = 1
    times = array("I", bytes(4 * players))
    for index in chosen:
        for friend in circles[index]:
            times[friend] += 1
    kept: list[int] = []
    for index in reversed(chosen):
        if any(is_due[friend] and times[friend] == 1 for friend in circles[index]):
            kept.append(index)
        else:
            for friend in circles[index]:
                times[friend] -= 1
    return kept[::-1]
