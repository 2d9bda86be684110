"""Charts as numbers: everything inside the picture, in proportion, and nothing too small to be seen."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.model import Board, Distribution, Origin, OwnClass, PastScore, Period, ScoreClass, Span
from homeserver.web.charts import HEIGHT, WIDTH, bars, series, steps
from homeserver.web.formats import beats, period_name

ZONE = "America/Sao_Paulo"
DAY_MS = 86_400_000
MIDNIGHT_MS = 1_795_316_400_000
"""2026-11-22T00:00 in that zone, a Sunday."""


def distribution(counts: list[int], mine: int | None = None) -> Distribution:
    classes = tuple(ScoreClass(str(n), str(n), str(n), str(n), count) for n, count in enumerate(counts))
    own = None if mine is None else OwnClass(mine, "1", "1", None)
    period = Period("all", Span.ALL, None, None, "UTC")
    return Distribution(Board("b", "B", "b"), period, sum(counts), classes, own, 0)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=20))
def test_bars_are_in_proportion_inside_the_picture(counts: list[int]) -> None:
    found = bars(distribution(counts))
    assert len(found) == sum(count > 0 for count in counts)
    for bar in found:
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH
        assert bar.height >= 2
        assert bar.y + bar.height == pytest.approx(HEIGHT, abs=0.02)
    if found:
        assert max(bar.height for bar in found) == HEIGHT


def test_bars_say_what_they_are() -> None:
    found = bars(distribution([1_200, 0, 1], mine=2))
    assert [(bar.title, bar.is_mine) for bar in found] == [("0: 1,200 players", False), ("2: 1 player", True)]
    assert bars(distribution([])) == ()


def past(*scores: tuple[int, str]) -> list[PastScore]:
    return [PastScore(at_ms, score, score, Origin.READ) for at_ms, score in scores]


def test_a_line_has_a_step_for_each_change() -> None:
    assert steps(past((10, "4"), (5, "8"), (0, "0"))) == "3.0,69.0 120.0,69.0 120.0,3.0 237.0,3.0 237.0,36.0"
    assert steps(past((10, "-1.5"), (0, "-1.5"))) == "3.0,36.0 237.0,36.0 237.0,36.0"
    assert steps(past((10, "4"))) == ""
    assert steps(past((10, "4"), (10, "5"))) == ""
    assert steps([]) == ""


@given(st.lists(st.tuples(st.integers(0, 2**42), st.integers(-(2**63), 2**63 - 1)), max_size=30))
def test_any_line_is_inside_the_picture(scores: list[tuple[int, int]]) -> None:
    points = steps(past(*((at_ms, str(score)) for at_ms, score in scores)))
    for point in points.split():
        x, y = (float(number) for number in point.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


@pytest.mark.parametrize(
    ("span", "days_before", "days", "name"),
    [
        (Span.DAY, 0, 1, "22 Nov 2026"),
        (Span.WEEK, 6, 7, "16\u2009\u2013\u200922 Nov 2026"),
        (Span.WEEK, -8, 7, "30 Nov\u2009\u2013\u20096 Dec 2026"),
        (Span.MONTH, 21, 30, "November 2026"),
    ],
)
def test_periods_have_names(span: Span, days_before: int, days: int, name: str) -> None:
    starts_ms = MIDNIGHT_MS - days_before * DAY_MS
    assert period_name(Period("id", span, starts_ms, starts_ms + days * DAY_MS, ZONE)) == name
    assert period_name(Period("all", Span.ALL, None, None, ZONE)) == "All time"


def test_nobody_beats_all_others_who_does_not() -> None:
    assert beats(Fraction(1)) == "Better than all others"
    assert beats(Fraction(9_999, 10_000)) == "Better than 99% of the others"
    assert beats(Fraction(29, 100)) == "Better than 29% of the others"
    assert (beats(Fraction(1, 100)), beats(Fraction(1, 101))) == ("Better than 1% of the others", "")


def test_a_script_gets_times_scores_and_how_they_are_written() -> None:
    newest_first = past((3_000, "12.5"), (2_000, "7"), (2_000, "6"), (1_000, "8"))
    times, scores, displays = json.loads(series(newest_first))
    assert (times, scores) == ([1, 2, 2, 3], [8, 6, 7, 12.5])
    assert displays == [each.display for each in newest_first[::-1]]
