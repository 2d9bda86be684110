"""The plan of a refresh beside a naive greedy one: everybody is covered, and it needs no more than that one."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain.syncplan import Graph, Need, Plan, cover, pages

Circles = Mapping[int, set[int]]


def planned(
    circles: Circles,
    needs: Mapping[int, Need],
    *,
    under_way: tuple[int, ...] = (),
    page_size: int | None = None,
) -> Plan:
    graph = Graph(circles)
    for player, friends in circles.items():
        graph.add(player, friends)
    return cover(graph, bytearray(needs[p] for p in graph.players), under_way=under_way, page_size=page_size)


def requests(plan: Plan, circles: Circles, page_size: int | None = None) -> int:
    return sum(pages(len(circles[player]), page_size) for player in plan.circles) + len(plan.alone)


def naive(circles: Circles, due: set[int]) -> int:
    """How many requests a greedy choice needs that counts everything anew each time."""
    left, asked = set(due), 0
    while left:
        best = max(circles, key=lambda player: len(circles[player] & left))
        if len(circles[best] & left) <= 1:
            return asked + len(left)
        left -= circles[best]
        asked += 1
    return asked


@st.composite
def societies(draw: st.DrawFn) -> Circles:
    """Up to 30 people with numbers that are not their places, friendships one-sided now and then."""
    numbers = sorted(draw(st.sets(st.integers(1, 10**12), max_size=30)))
    friends = st.sets(st.sampled_from(numbers)) if numbers else st.just(set[int]())
    return {number: draw(friends) - {number} for number in numbers}


needed = st.sampled_from(list(Need))


@given(societies(), st.data(), st.none() | st.integers(1, 5))
def test_everybody_who_is_due_is_brought(circles: Circles, data: st.DataObject, page_size: int | None) -> None:
    needs = {player: data.draw(needed) for player in circles}
    under_way = tuple(player for player in circles if data.draw(st.integers(0, 5)) == 0)
    plan = planned(circles, needs, under_way=under_way, page_size=page_size)
    brought = {friend for player in (*plan.circles, *under_way) for friend in circles[player]}
    due = {player for player, need in needs.items() if need >= Need.DUE}
    assert due <= brought | set(plan.alone)
    assert not set(plan.alone) & brought, "asked for twice"
    assert set(plan.alone) <= due, "asked for alone though not due"
    assert len({*plan.circles}) == len(plan.circles)
    assert not set(plan.circles) & set(under_way)
    alone = len(due - {friend for player in under_way for friend in circles[player]})
    assert requests(plan, circles, page_size) <= alone, "more than asking for each"


@given(societies(), st.data())
def test_every_circle_is_needed(circles: Circles, data: st.DataObject) -> None:
    needs = {player: data.draw(needed) for player in circles}
    plan = planned(circles, needs)
    due = {player for player, need in needs.items() if need >= Need.DUE}
    for left_out in plan.circles:
        others = {friend for player in plan.circles if player != left_out for friend in circles[player]}
        assert due - others - set(plan.alone), f"{left_out} brings nobody"


@given(societies(), st.data())
def test_it_needs_hardly_more_than_counting_anew_each_time(circles: Circles, data: st.DataObject) -> None:
    """Ties are broken differently, so now and then one of the two is better; both are within the bound of greedy."""
    needs = {player: data.draw(st.sampled_from([Need.NONE, Need.DUE])) for player in circles}
    due = {player for player, need in needs.items() if need is Need.DUE}
    plan = planned(circles, needs)
    largest = max((len(circle & due) for circle in circles.values()), default=1) or 1
    least = max((len(due) + largest - 1) // largest, 0)
    assert requests(plan, circles) <= max(naive(circles, due) + 2, 0)
    assert requests(plan, circles) <= max(naive(circles, due), least * (1 + log(largest))) + 1


@given(societies(), st.data())
def test_whoever_plays_now_comes_first(circles: Circles, data: st.DataObject) -> None:
    needs = {player: data.draw(needed) for player in circles}
    plan = planned(circles, needs)
    active = {player for player, need in needs.items() if need is Need.ACTIVE}
    assert all(circles[player] & active for player in plan.circles[: plan.urgent])
    assert not any(circles[player] & active for player in plan.circles[plan.urgent :])
    kinds = [player in active for player in plan.alone]
    assert kinds == sorted(kinds, reverse=True)


def test_a_star_needs_its_centre_and_the_centre_itself() -> None:
    star = {0: {1, 2, 3, 4}, 1: {0}, 2: {0}, 3: {0}, 4: {0}}
    assert planned(star, dict.fromkeys(star, Need.DUE)) == Plan((0,), (0,), 0)


def test_two_centres_bring_each_other() -> None:
    circles = {0: {1, 2, 3}, 1: {0, 4, 5}, 2: {0}, 3: {0}, 4: {1}, 5: {1}}
    plan = planned(circles, dict.fromkeys(circles, Need.DUE))
    assert (set(plan.circles), plan.alone) == ({0, 1}, ())


def test_whoever_is_due_soon_decides_between_equals() -> None:
    circles = {0: {2, 3}, 1: {2, 3, 4, 5}, 2: set[int](), 3: set[int](), 4: set[int](), 5: set[int]()}
    needs = {0: Need.NONE, 1: Need.NONE, 2: Need.DUE, 3: Need.DUE, 4: Need.SOON, 5: Need.SOON}
    assert planned(circles, needs) == Plan((1,), (), 0)


def test_long_answers_cost_what_their_pages_cost() -> None:
    circles = {0: set(range(1, 9)), **{player: set[int]() for player in range(1, 9)}}
    needs = {player: Need.DUE if player in {1, 2} else Need.NONE for player in circles}
    assert planned(circles, needs, page_size=8).circles == (0,)
    assert planned(circles, needs, page_size=4) == Plan((), (1, 2), 0)


def test_nobody_needs_nothing() -> None:
    assert planned({}, {}) == Plan((), (), 0)
    assert planned({1: {2}, 2: {1}}, {1: Need.NONE, 2: Need.SOON}) == Plan((), (), 0)


def test_strangers_are_left_out() -> None:
    graph = Graph([5, 3])
    graph.add(3, [5, 99])
    graph.add(99, [3])
    assert [list(circle) for circle in graph.circles] == [[1], []]
    assert (len(graph), graph.index(99)) == (2, None)


@pytest.mark.parametrize(("friends", "size", "expected"), [(0, 10, 1), (10, 10, 1), (11, 10, 2), (1000, None, 1)])
def test_pages(friends: int, size: int | None, expected: int) -> None:
    assert pages(friends, size) == expected
