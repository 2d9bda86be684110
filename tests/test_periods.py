"""Periods: ids and bounds, in zones whose days are not all alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain import periods
from homeserver.errors import BadInput
from homeserver.model import Board, Kept, Origin, Period, Season, Span

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
CALENDAR = [Span.ALL, Span.MONTH, Span.WEEK, Span.DAY]


@given(MOMENTS, st.sampled_from(ZONES), st.integers(0, 6), st.sampled_from(CALENDAR))
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
    concerned = [[period.id for period in periods.concerned(BOARD, 0, origin, 0)] for origin in Origin]
    everything = ["all", "month:1970-01", "week:1970-W01", "day:1970-01-01"]
    assert dict(zip(Origin, concerned, strict=True)) == {
        Origin.BASELINE: ["all"],
        Origin.READ: everything,
        Origin.SUBMITTED: everything,
        Origin.IMPORTED: everything,
        Origin.VERIFIED: everything,
    }


# --- seasons ----------------------------------------------------------------------------------------------------------

SPRING = Season("spring", "Spring", ms("2026-03-01T00:00-03:00"), ms("2026-06-01T00:00-03:00"))
CUP = Season("cup", "The Cup", ms("2026-05-20T18:30-03:00"), ms("2026-05-27T18:30-03:00"))
AUTUMN = Season("autumn", "Autumn", ms("2026-09-01T00:00-03:00"), ms("2026-12-01T00:00-03:00"))
SEASONAL = replace(BOARD, zone="America/Sao_Paulo", seasons=(SPRING, CUP, AUTUMN))


def season(of: Season) -> Period:
    return Period(f"season:{of.id}", Span.SEASON, of.starts_ms, of.ends_ms, "America/Sao_Paulo", of.title)


def test_a_board_with_seasons_has_that_span() -> None:
    assert SEASONAL.spans == (Span.ALL, Span.SEASON, Span.MONTH, Span.WEEK, Span.DAY)
    assert replace(SEASONAL, seasons=()).spans == BOARD.spans


@pytest.mark.parametrize(
    ("at", "under_way", "meant"),
    [
        ("2026-02-01T00:00-03:00", [], SPRING),  # the first to come
        ("2026-02-28T23:59:59.999-03:00", [], SPRING),
        ("2026-03-01T00:00-03:00", [SPRING], SPRING),
        ("2026-05-20T18:29:59.999-03:00", [SPRING], SPRING),
        ("2026-05-20T18:30-03:00", [SPRING, CUP], CUP),  # both: a change belongs to each
        ("2026-05-27T18:30-03:00", [SPRING], SPRING),
        ("2026-05-31T23:59:59.999-03:00", [SPRING], SPRING),
        ("2026-06-01T00:00-03:00", [], SPRING),  # over: the one that ended last
        ("2026-09-01T00:00-03:00", [AUTUMN], AUTUMN),
        ("2027-01-01T00:00-03:00", [], AUTUMN),
    ],
)
def test_a_moment_belongs_to_every_season_that_holds_it(at: str, under_way: list[Season], meant: Season) -> None:
    now = ms(at)
    found = [period for period in periods.current(SEASONAL, now) if period.span is Span.SEASON]
    assert found == [season(each) for each in under_way]
    assert periods.parse(SEASONAL, "season", now) == season(meant)
    begins, ends = periods.unchanged(SEASONAL, now)
    assert begins is not None
    assert ends is not None
    assert begins <= now < ends
    for edge in (begins, ends - 1):
        assert ids(SEASONAL, edge) == ids(SEASONAL, now)
    assert ids(SEASONAL, ends) != ids(SEASONAL, now)


def test_a_season_is_named_by_its_id() -> None:
    for each in SEASONAL.seasons:
        assert periods.parse(SEASONAL, f"season:{each.id}", 0) == season(each)
    for text in ("season:", "season:winter", "season:Spring", "season:spring "):
        with pytest.raises(BadInput, match="no such season"):
            periods.parse(SEASONAL, text, 0)


def test_the_season_before_is_the_one_that_had_ended_last() -> None:
    assert periods.before(SEASONAL, season(AUTUMN)) == season(SPRING)
    assert periods.before(SEASONAL, season(CUP)) is None
    assert periods.before(SEASONAL, season(SPRING)) is None


def test_a_baseline_concerns_no_season() -> None:
    concerned = periods.concerned(SEASONAL, CUP.starts_ms, Origin.BASELINE, CUP.starts_ms)
    assert [period.id for period in concerned] == ["all"]


# --- retention --------------------------------------------------------------------------------------------------------

BRIEF = replace(SEASONAL, kept=Kept(month=1, week=2, day=3))


@pytest.mark.parametrize(
    ("span", "kept", "gone"),
    [
        (Span.DAY, "day:2026-11-19", "day:2026-11-18"),
        (Span.WEEK, "week:2026-W45", "week:2026-W44"),
        (Span.MONTH, "month:2026-10", "month:2026-09"),
    ],
)
def test_so_many_periods_before_the_current_one_are_kept(span: Span, kept: str, gone: str) -> None:
    now = ms("2026-11-22T12:00-03:00")
    oldest = periods.oldest_kept(BRIEF, span, now)
    assert oldest == periods.parse(BRIEF, kept, now)
    before = periods.before(BRIEF, oldest)
    assert before == periods.parse(BRIEF, gone, now)
    assert periods.is_kept(BRIEF, oldest, now)
    assert not periods.is_kept(BRIEF, before, now)
    assert oldest.starts_ms is not None
    found = [period.id for period in periods.concerned(BRIEF, oldest.starts_ms, Origin.READ, now)]
    assert kept in found
    assert gone not in [period.id for period in periods.concerned(BRIEF, oldest.starts_ms - 1, Origin.IMPORTED, now)]


def test_seasons_and_all_are_kept() -> None:
    late = ms("2099-01-01T00:00:00+00:00")
    found = periods.concerned(BRIEF, CUP.starts_ms, Origin.IMPORTED, late)
    assert [period.id for period in found] == ["all", "season:spring", "season:cup"]
    assert periods.oldest_kept(BRIEF, Span.ALL, late) is periods.oldest_kept(BRIEF, Span.SEASON, late) is None


@given(MOMENTS, st.sampled_from(ZONES), st.integers(0, 6), st.sampled_from(CALENDAR[1:]), st.integers(1, 30))
def test_the_oldest_kept_is_so_many_steps_back(at_ms: int, zone: str, first: int, span: Span, count: int) -> None:
    board = replace(in_zone(zone, first), kept=Kept(month=count, week=count, day=count))
    oldest = periods.oldest_kept(board, span, at_ms)
    period = periods.period_at(board, span, at_ms)
    for _ in range(count):
        if oldest == period:
            break
        before = periods.before(board, period)
        assert before is not None
        period = before
    # A zone that skipped a day has one step less to go.
    assert oldest is not None
    assert oldest.starts_ms == period.starts_ms or zone == "Pacific/Apia"


def test_a_kept_month_may_lie_in_another_year() -> None:
    board = replace(BOARD, kept=Kept(month=25))
    oldest = periods.oldest_kept(board, Span.MONTH, ms("2026-01-15T00:00:00+00:00"))
    assert oldest == periods.parse(board, "month:2023-12", 0)
