"""How many requests the sync's plans need in simulated societies, and how long planning takes.

Every page is counted, and so are the requests for chosen players' own entries. `ratio` is to one request a player; the
bounds are what no plan can do better than (`graphs.py`). Friend lists: `needed` is what a cover of all friendships
needs, where everybody's own list is one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from benchmarks.report import Figure
from benchmarks.syncing.graphs import Circles, appdata_bound, lists_bound, lists_to_ask, power_law, small_world
from homeserver.domain.syncplan import Graph, Need, cover, pages

SOCIETIES: Final = {"small_world": small_world, "power_law": power_law}
FRIENDS: Final = 50
DENSITIES: Final = (10, 20, 50, 100)
PAGE_SIZE: Final = 100
APPDATA_TARGET: Final = 0.06
LISTS_TARGET: Final = 0.6
PLANNING_TARGET_S: Final = 5.0


def run(*, quick: bool) -> Iterator[Figure]:
    """The figures at 50 friends, then the curves against density."""
    for name, make in SOCIETIES.items():
        circles = make(2_000 if quick else 100_000, FRIENDS)
        yield from _appdata(f"sync.{name}", circles, with_targets=True)
        yield from _lists(f"sync.{name}", circles, target=LISTS_TARGET)
    for name, make in SOCIETIES.items():
        for friends in DENSITIES[:2] if quick else DENSITIES:
            circles = make(1_000 if quick else 20_000, friends)
            yield from _appdata(f"sync.{name}.{friends}", circles)
            yield from _lists(f"sync.{name}.{friends}", circles)


def _appdata(name: str, circles: Circles, *, with_targets: bool = False) -> Iterator[Figure]:
    players = len(circles)
    graph = Graph(range(players))
    for one, circle in enumerate(circles):
        graph.add(one, circle)
    needs = bytearray([Need.DUE]) * players
    for paged, page_size in (("", None), (".paged", PAGE_SIZE)):
        began_s = time.perf_counter()
        plan = cover(graph, needs, page_size=page_size)
        took_s = time.perf_counter() - began_s
        asked = sum(pages(len(circles[one]), page_size) for one in plan.circles) + len(plan.alone)
        target = APPDATA_TARGET if with_targets else None
        yield Figure(f"{name}.appdata{paged}", asked / players, "requests a player", asked / players, target)
        if with_targets:
            yield Figure(f"{name}.planning{paged}", took_s, "s", took_s, PLANNING_TARGET_S)
    yield Figure(f"{name}.appdata.bound", appdata_bound(circles) / players, "requests a player")


def _lists(name: str, circles: Circles, *, target: float | None = None) -> Iterator[Figure]:
    players = len(circles)
    asked = sum(pages(len(circles[one]), PAGE_SIZE) for one in lists_to_ask(circles))
    yield Figure(f"{name}.lists.needed", asked / players, "requests a player", asked / players, target)
    yield Figure(f"{name}.lists.bound", lists_bound(circles) / players, "requests a player")
