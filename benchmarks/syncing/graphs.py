"""Societies to plan for, and what no plan can do better than."""

from __future__ import annotations

import random
from collections.abc import Sequence

Circles = Sequence[set[int]]
"""The friends of everybody, from 0 on."""


def small_world(players: int, friends: int, *, rewired: float = 0.1) -> Circles:
    """A ring where everybody knows the nearest, and one friendship in ten leads somewhere else (Watts, Strogatz)."""
    draw = random.Random(1)
    circles: list[set[int]] = [set() for _ in range(players)]
    for one in range(players):
        for step in range(1, friends // 2 + 1):
            other = (one + step) % players
            if draw.random() < rewired:
                while (other := draw.randrange(players)) == one or other in circles[one]:
                    pass
            circles[one].add(other)
            circles[other].add(one)
    return circles


def power_law(players: int, friends: int) -> Circles:
    """Whoever comes makes friends with those who have many (Barabási, Albert)."""
    draw, each = random.Random(1), friends // 2
    circles: list[set[int]] = [set() for _ in range(players)]
    ends = list(range(each))
    for newcomer in range(each, players):
        others: set[int] = set()
        while len(others) < each:
            others.add(ends[int(draw.random() * len(ends))])
        for other in others:
            circles[newcomer].add(other)
            circles[other].add(newcomer)
        ends += [*others, *[newcomer] * each]
    return circles


def appdata_bound(circles: Circles) -> float:
    """Fewer requests than this bring nobody's plan everybody's AppData.

    Give everybody the share 1 / (the largest circle that they are in). The shares in one circle add up to 1 at most,
    so as many circles are needed as all shares together.
    """
    return sum(1 / max((len(circles[friend]) for friend in circle), default=1) for circle in circles)


def lists_bound(circles: Circles) -> int:
    """Fewer friend lists do not show every friendship: of people who all know each other, one may be left out.

    Parts everybody into such groups, greedily.
    """
    free = [True] * len(circles)
    groups = 0
    for one, circle in enumerate(circles):
        if not free[one]:
            continue
        group, common = [one], {friend for friend in circle if free[friend]}
        while common:
            other = min(common)
            group.append(other)
            common &= circles[other]
        for member in group:
            free[member] = False
        groups += 1
    return len(circles) - groups


def lists_to_ask(circles: Circles) -> list[int]:
    """Whose friend lists show every friendship from one end: all but players of whom no two are friends.

    Greedy: whoever has the fewest friends who are neither asked nor left out is left out next.
    """
    open_ends = [len(circle) for circle in circles]
    buckets: list[list[int]] = [[] for _ in range(max(open_ends, default=0) + 1)]
    for one, size in enumerate(open_ends):
        buckets[size].append(one)
    settled, left_out = bytearray(len(circles)), bytearray(len(circles))
    size = 0
    while size < len(buckets):
        if not buckets[size]:
            size += 1
            continue
        one = buckets[size].pop()
        if settled[one] or open_ends[one] != size:
            continue
        settled[one] = left_out[one] = 1
        for friend in circles[one]:
            if settled[friend]:
                continue
            settled[friend] = 1
            for other in circles[friend]:
                if not settled[other]:
                    open_ends[other] -= 1
                    buckets[open_ends[other]].append(other)
                    size = min(size, open_ends[other])
    return [one for one in range(len(circles)) if not left_out[one]]
