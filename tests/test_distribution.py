"""Classes of a histogram: round, equal, few, and nothing outside of them; and who is better than how many."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain.distribution import MAX_CLASSES, better_than, classes
from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.model import Board, Format

BOARD = Board("letters", "Letters", "letters")
INT64 = st.integers(INT64_MIN, INT64_MAX)
NEAR = st.integers(-1_000, 1_000)


@given(st.sampled_from(Format), st.integers(0, 9), st.one_of(st.tuples(INT64, INT64), st.tuples(NEAR, NEAR)))
def test_every_score_is_in_one_of_few_equal_classes(format_: Format, decimals: int, ends: tuple[int, int]) -> None:
    least, greatest = sorted(ends)
    found = classes(dataclasses.replace(BOARD, format=format_, decimals=decimals), least, greatest)
    assert 1 <= len(found) <= MAX_CLASSES
    assert found[0].least <= least <= found[0].greatest
    assert found[-1].least <= greatest <= found[-1].greatest
    assert all(one.greatest + 1 == other.least for one, other in pairwise(found))
    widths = {bounds.greatest - bounds.least + 1 for bounds in found[1:-1]}
    assert len(widths) <= 1
    for bounds in (found[0], found[-1]):
        assert INT64_MIN <= bounds.least <= bounds.greatest <= INT64_MAX
        if widths and bounds.least > INT64_MIN and bounds.greatest < INT64_MAX:
            assert bounds.greatest - bounds.least + 1 in widths
    if greatest - least >= MAX_CLASSES:
        assert len(found) >= 8, "classes that are much too wide hide how scores are spread"


@pytest.mark.parametrize(
    ("least", "greatest", "first", "last", "number"),
    [
        (7, 7, (7, 7), (7, 7), 1),
        (1, 20, (1, 1), (20, 20), 20),
        (1, 21, (0, 1), (20, 21), 11),
        (3, 97, (0, 4), (95, 99), 20),
        (-3, 3, (-3, -3), (3, 3), 7),
        (-101, 101, (-120, -101), (100, 119), 12),
        (INT64_MAX - 1, INT64_MAX, (INT64_MAX - 1, INT64_MAX - 1), (INT64_MAX, INT64_MAX), 2),
        (INT64_MIN, INT64_MAX, (INT64_MIN, -9 * 10**18 - 1), (9 * 10**18, INT64_MAX), 20),
    ],
)
def test_numbers_have_round_edges(
    least: int, greatest: int, first: tuple[int, int], last: tuple[int, int], number: int
) -> None:
    found = classes(BOARD, least, greatest)
    assert (found[0], found[-1], len(found)) == (first, last, number)


@pytest.mark.parametrize(
    ("decimals", "spread", "width"),
    [
        (0, 19, 1),
        (0, 70, 5),
        (0, 290, 15),
        (0, 1_100, 60),
        (0, 17_000, 900),
        (0, 35_000, 1_800),
        (0, 300_000, 18_000),
        (2, 19, 1),
        (2, 190, 10),
        (2, 990, 50),
        (2, 1_900, 100),
        (2, 29_000, 1_500),
    ],
)
def test_durations_have_edges_of_the_clock(decimals: int, spread: int, width: int) -> None:
    board = dataclasses.replace(BOARD, format=Format.DURATION, decimals=decimals)
    (first, *_) = classes(board, 0, spread)
    assert first == (0, width - 1)


def test_better_than_counts_the_strictly_worse_among_the_others() -> None:
    assert better_than(0, 0) is None
    assert better_than(0, 1) is None
    assert better_than(1, 2) == 1
    assert better_than(0, 5) == 0
    assert better_than(1, 4) == Fraction(1, 3)
