"""Days of the year, and when they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain.occasions import day_of_year, next_occasion, occasion_ms, once_ms, time_of_day
from homeserver.errors import BadInput


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1985-05-28T00:00:00.000Z", "05-28"),
        ("1985-05-28", "05-28"),
        ("--02-29", "02-29"),
        ("12-24", "12-24"),
        ("13-24", None),
        ("02-30", None),
        ("28.05.1985", None),
        ("", None),
    ],
)
def test_the_day_of_a_date(text: str, day: str | None) -> None:
    assert day_of_year(text) == day


def test_an_occasion_is_in_the_places_own_time() -> None:
    assert occasion_ms("05-28", 2026, "09:00", "America/Sao_Paulo") == ms("2026-05-28T12:00+00:00")
    assert occasion_ms("02-29", 2028, "00:00", "UTC") == ms("2028-02-29T00:00+00:00")
    assert occasion_ms("02-29", 2027, "00:00", "UTC") == ms("2027-02-28T00:00+00:00")


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)),  # noqa: DTZ001
    st.dates(),
    st.times(),
    st.sampled_from(["UTC", "America/Sao_Paulo", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Paris"]),
)
def test_the_next_occasion_is_the_first_that_is_not_over(now: datetime, date: object, clock: object, zone: str) -> None:
    day, at = f"{date:%m-%d}", f"{clock:%H:%M}"
    now_ms = int(now.replace(tzinfo=UTC).timestamp() * 1000)
    year, due_ms = next_occasion(day, at, zone, now_ms)
    assert due_ms == occasion_ms(day, year, at, zone) >= now_ms
    assert occasion_ms(day, year - 1, at, zone) < now_ms
    local = datetime.fromtimestamp(due_ms / 1000, ZoneInfo(zone))
    assert abs(local - local.replace(hour=int(at[:2]), minute=int(at[3:]))) <= timedelta(hours=1)


def test_a_moment() -> None:
    assert once_ms("2026-12-24T18:00") == ms("2026-12-24T18:00+00:00")
    assert once_ms("2026-12-24T18:00+01:00") == ms("2026-12-24T17:00+00:00")
    assert once_ms("2026-12-24") == ms("2026-12-24T00:00+00:00")


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "1970-01-01", "0001-01-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(BadInput):
        once_ms(text)


@pytest.mark.parametrize("text", ["9:00", "24:00", "09:60", "0900", ""])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(BadInput):
        time_of_day(text)
