"""When something that returns every year is due, in a place's own time."""

from __future__ import annotations

import re
from calendar import isleap
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from homeserver.errors import BadInput

_DATE: Final = re.compile(r"(?:\d{4}-|--)?(\d{2})-(\d{2})(?:T.*)?")
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def day_of_year(text: str) -> str | None:
    """The month and day, as `05-28`, of a date such as `1985-05-28T00:00:00Z`, `1985-05-28`, `--05-28` or `05-28`.

    Which year somebody was born in is nobody's business here. None for what is no date.
    """
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    month, day = int(found[1]), int(found[2])
    return f"{month:02}-{day:02}" if 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] else None


def time_of_day(text: str) -> tuple[int, int]:
    """Hour and minute of `09:30`.

    Raises:
        BadInput: It is no time of day.
    """
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text)
    if found is None:
        raise BadInput("a time of day is written 09:30", field="at")
    return int(found[1]), int(found[2])


def occasion_ms(day: str, year: int, at: str, zone: str) -> int:
    """When the day and time of day come in this year. 29 February is the 28th in years without it."""
    month, date = int(day[:2]), int(day[3:])
    if (month, date) == (2, 29) and not isleap(year):
        date = 28
    hour, minute = time_of_day(at)
    moment = datetime(year, month, date, hour, minute, tzinfo=ZoneInfo(zone))
    return int(moment.timestamp() * 1000)


def next_occasion(day: str, at: str, zone: str, after_ms: int) -> tuple[int, int]:
    """The first occasion that is not before `after_ms`: its year, and when it is."""
    year = datetime.fromtimestamp(after_ms / 1000, ZoneInfo(zone)).year - 1
    while (due_ms := occasion_ms(day, year, at, zone)) < after_ms:
        year += 1
    return year, due_ms


def once_ms(text: str) -> int:
    """A moment such as `2026-12-24T18:00`, UTC unless it says otherwise; a date alone is its beginning.

    Raises:
        BadInput: It is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput("a time is written 2026-12-24T18:00, or 2026-12-24T18:00+01:00", field="at") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.year < 1971:
        raise BadInput("that is long ago", field="at")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
