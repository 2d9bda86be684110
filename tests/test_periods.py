"""Periods: ids and bounds, in zones whose days are not all alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain import periods
from homeserver.errors import BadInput
from homeserver.model import Board, Origin, Span

BOARD = Board("b", "B", "f")
HOUR_MS = 3_600_000


def ms(text: str) -> int:
    """Milliseconds since the epoch of an ISO time with its offset."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def in_zone(zone: str, first_weekday: int = 0) -> Board:
    return replace(BOARD, zone=zone, first_weekday=first_weekday)


def ids(board: Board, at_ms: int) -> list[str]:
    return [period.id for period in periods.current(board, at_ms)]


def test_the_last_and_the_first_millisecond_of_a_day_in_the_boards_zone() -> None:
    board = in_zone("America/Sao_Paulo")
    last, first = ms("2026-11-22T23:59:59.999-03:00"), ms("2026-11-23T00:00:00.000-03:00")
    assert ids(board, last) == ["all", "month:2026-11", "week:2026-W47", "day:2026-11-22"]
    assert ids(board, first) == ["all", "month:2026-11", "week:2026-W48", "day:2026-11-23"]
    day = periods.period_at(board, Span.DAY, last)
    assert (day.starts_ms, day.ends_ms, day.zone) == (ms("2026-11-22T00:00-03:00"), first, "America/Sao_Paulo")


def test_all_has_no_bounds() -> None:
    whole = periods.parse(BOARD, "all", 0)
    assert (whole.id, whole.starts_ms, whole.ends_ms) == ("all", None, None)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Paris", "2026-03-29", 23),
        ("Europe/Paris", "2026-10-25", 25),
        ("America/Sao_Paulo", "2018-11-04", 23),  # midnight itself was jumped over
        ("America/Sao_Paulo", "2018-02-17", 25),  # the hour before midnight came twice
        ("America/Havana", "2026-11-01", 25),  # midnight comes twice
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Pacific/Apia", "2011-12-30", 0),  # there was no such day
        ("UTC", "2026-03-29", 24),
    ],
)
def test_days_are_as_long_as_they_are(zone: str, day: str, hours: float) -> None:
    period = periods.parse(in_zone(zone), f"day:{day}", 0)
    assert period.starts_ms is not None
    assert period.ends_ms is not None
    assert period.ends_ms - period.starts_ms == hours * HOUR_MS


def test_clocks_that_go_back_over_midnight_do_not_bring_a_day_back() -> None:
    board = in_zone("America/St_Johns")  # went back at 00:01 until 2010: 7 November showed for a minute, then again
    jump = ms("2010-11-07T02:31:00+00:00")
    assert [ids(board, jump + ahead)[-1] for ahead in (-61_000, -60_000, 0, HOUR_MS)] == [
        "day:2010-11-06",
        "day:2010-11-07",
        "day:2010-11-07",
        "day:2010-11-07",
    ]


def test_the_day_that_apia_left_out() -> None:
    board = in_zone("Pacific/Apia")
    jump = ms("2011-12-30T10:00:00+00:00")
    assert [ids(board, jump + ahead)[-1] for ahead in (-1, 0)] == ["day:2011-12-29", "day:2011-12-31"]


ZONES = [
    "UTC",
    "Europe/Paris",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "Pacific/Apia",
    "Asia/Tehran",
]
MOMENTS = st.integers(0, ms("2037-12-31T00:00:00+00:00"))


@given(MOMENTS, st.sampled_from(ZONES), st.integers(0, 6), st.sampled_from(Span))
def test_every_moment_lies_in_its_period_and_the_id_leads_back(
    at_ms: int, zone: str, first_weekday: int, span: Span
) -> None:
    board = in_zone(zone, first_weekday)
    period = periods.period_at(board, span, at_ms)
    assert periods.parse(board, period.id, 0) == period
    assert periods.parse(board, span.value, at_ms) == period
    if period.starts_ms is not None and period.ends_ms is not None:
        assert period.starts_ms <= at_ms < period.ends_ms
        before, behind = (periods.period_at(board, span, at) for at in (period.starts_ms - 1, period.ends_ms))
        assert before.ends_ms == period.starts_ms
        assert behind.starts_ms == period.ends_ms
        assert len({before.id, period.id, behind.id}) == 3


@pytest.mark.parametrize(
    ("day", "monday", "sunday", "saturday"),
    [
        ("2026-11-21", "2026-W47", "2026-W47", "2026-W48"),  # a Saturday
        ("2026-11-22", "2026-W47", "2026-W48", "2026-W48"),  # a Sunday
        ("2026-11-23", "2026-W48", "2026-W48", "2026-W48"),
        ("2026-12-31", "2026-W53", "2026-W53", "2026-W53"),
        ("2027-01-01", "2026-W53", "2026-W53", "2026-W53"),
        ("2027-01-02", "2026-W53", "2026-W53", "2027-W01"),
        ("2027-01-03", "2026-W53", "2027-W01", "2027-W01"),
        ("2027-01-04", "2027-W01", "2027-W01", "2027-W01"),
        ("2025-12-28", "2025-W52", "2026-W01", "2026-W01"),
        ("2025-12-29", "2026-W01", "2026-W01", "2026-W01"),
        ("2016-01-03", "2015-W53", "2016-W01", "2016-W01"),
    ],
)
def test_weeks_at_the_turn_of_years(day: str, monday: str, sunday: str, saturday: str) -> None:
    noon = ms(f"{day}T12:00:00+00:00")
    found = [periods.period_at(in_zone("UTC", first), Span.WEEK, noon).id for first in (0, 6, 5)]
    assert found == [f"week:{monday}", f"week:{sunday}", f"week:{saturday}"]


@given(MOMENTS)
def test_a_week_from_monday_is_the_iso_week(at_ms: int) -> None:
    year, week, _ = datetime.fromtimestamp(at_ms / 1000, UTC).isocalendar()
    assert periods.period_at(BOARD, Span.WEEK, at_ms).id == f"week:{year}-W{week:02}"


@pytest.mark.parametrize(
    ("month", "days"), [("2026-02", 28), ("2028-02", 29), ("2026-11", 30), ("2026-12", 31), ("2100-02", 28)]
)
def test_months_are_as_long_as_they_are(month: str, days: int) -> None:
    period = periods.parse(BOARD, f"month:{month}", 0)
    assert period.starts_ms == ms(f"{month}-01T00:00:00+00:00")
    assert period.ends_ms == period.starts_ms + days * 24 * HOUR_MS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ALL",
        "all:",
        "all:2026",
        "year",
        "season:spring",
        "day:",
        "day:2026-11-31",
        "day:2026-02-29",
        "day:2026-1-1",
        "day:2026-11-22 ",
        "day:2026-11-22\n",
        "day:2026-W47",
        "day:\u0662026-11-22",
        "week:2026-W54",
        "week:2025-W53",
        "week:2026-W00",
        "week:2026-47",
        "week:2026-w47",
        "month:2026-13",
        "month:2026-00",
        "month:2026-11-01",
        "month:0000-01",
        "month:1968-12",
        "month:9999-12",
        "week:9999-W52",
        "day:9999-12-31",
        "\x00",
        "day:" + "9" * 100_000,
    ],
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        periods.parse(BOARD, text, 0)
    assert refused.value.field == "period"
    assert len(str(refused.value)) < 200


def test_a_board_has_only_its_own_spans() -> None:
    board = replace(BOARD, spans=(Span.ALL, Span.MONTH))
    assert ids(board, 0) == ["all", "month:1970-01"]
    for text in ("day", "day:2026-11-22", "week"):
        with pytest.raises(BadInput, match="it has all, month"):
            periods.parse(board, text, 0)


@given(st.text())
def test_any_text_is_a_period_or_bad_input(text: str) -> None:
    try:
        found = periods.parse(BOARD, text, 0)
    except BadInput:
        return
    assert text in {found.id, found.span.value}


def test_a_baseline_concerns_all_alone() -> None:
    concerned = [[period.id for period in periods.concerned(BOARD, 0, origin)] for origin in Origin]
    everything = ["all", "month:1970-01", "week:1970-W01", "day:1970-01-01"]
    assert dict(zip(Origin, concerned, strict=True)) == {
        Origin.BASELINE: ["all"],
        Origin.READ: everything,
        Origin.SUBMITTED: everything,
        Origin.IMPORTED: everything,
        Origin.VERIFIED: everything,
    }
