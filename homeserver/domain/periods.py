"""Periods of a board: which one a moment belongs to, what its id is, and where it begins and ends.

Ids: `all`, `day:2026-11-22`, `week:2026-W47`, `month:2026-11`. Days begin at midnight in the board's zone, whatever
their length (23 or 25 hours where clocks change). Weeks are seven such days and begin on the board's first weekday.

A week's id is that of the ISO 8601 week which holds its Thursday. With weeks from Monday this is the ISO week itself. A
week that begins on another day holds exactly one Thursday too, so ids never collide and none is left out; the Sunday on
which such a week begins belongs, by the calendar on the wall, to the ISO week before.

A period's bounds are a half-open range of instants, and they alone decide: where clocks go back over midnight, the
repeated hour belongs to the period that the first midnight began. No instant belongs to two periods or to none.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from homeserver.errors import BadInput
from homeserver.model import Board, Origin, Period, Span

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_THURSDAY: Final = 3
_FIRST_YEAR: Final = 1969
"""Where the epoch is a date of 1969, west of Greenwich, its periods have ids too."""
_LAST_YEAR: Final = 9000
"""Well inside what `datetime` can add a zone and a month to."""

_DAY: Final = re.compile(r"day:([0-9]{4})-([0-9]{2})-([0-9]{2})")
_WEEK: Final = re.compile(r"week:([0-9]{4})-W([0-9]{2})")
_MONTH: Final = re.compile(r"month:([0-9]{4})-([0-9]{2})")


def period_at(board: Board, span: Span, at_ms: int) -> Period:
    """The period of this span to which a moment belongs."""
    local = (_EPOCH + at_ms * _MS).astimezone(ZoneInfo(board.zone)).date()
    first = _first_day(span, local, board.first_weekday)
    period = _beginning(span, first, board.zone, board.first_weekday)
    # Almost always right at once. Where clocks go back over midnight, or a zone skips a day, the date on the wall does
    # not grow with time; the bounds do.
    while period.ends_ms is not None and at_ms >= period.ends_ms:
        first = _first_of_next(span, first)
        period = _beginning(span, first, board.zone, board.first_weekday)
    return period


def current(board: Board, now_ms: int) -> tuple[Period, ...]:
    """The periods of all the board's spans to which this moment belongs."""
    return tuple(period_at(board, span, now_ms) for span in board.spans)


def before(board: Board, period: Period) -> Period | None:
    """The period of the same span that ended when this one began. None for `all`, which never began."""
    return None if period.starts_ms is None else period_at(board, period.span, period.starts_ms - 1)


def concerned(board: Board, at_ms: int, origin: Origin) -> tuple[Period, ...]:
    """The periods that a change at `at_ms` concerns: `all` alone for a baseline, which may be months old."""
    periods = current(board, at_ms)
    return tuple(period for period in periods if origin is not Origin.BASELINE or period.span is Span.ALL)


def parse(board: Board, text: str, now_ms: int) -> Period:
    """The period that `text` names on this board; `month`, `week` and `day` alone name the current one.

    A period that has not begun is a period too (and its list is empty): two servers whose clocks differ by a second
    give the same answer at midnight.

    Raises:
        BadInput: No such period, or none that this board has (field "period").
    """
    word = text.split(":", 1)[0]
    for span in board.spans:
        if span.value == word:
            break
    else:
        have = ", ".join(board.spans)
        raise BadInput(f"the board {board.id} has no such period; it has {have}", field="period")
    if text == span.value:
        return period_at(board, span, now_ms)
    first = _first_day_named(span, text, board.first_weekday)
    if first is None:
        raise BadInput(
            "not a period; periods are written all, month:2026-11, week:2026-W47 or day:2026-11-22", field="period"
        )
    return _beginning(span, first, board.zone, board.first_weekday)


def _first_day_named(span: Span, text: str, first_weekday: int) -> date | None:
    """The first day of the period with this id, or None if there is no such id."""
    pattern = {Span.DAY: _DAY, Span.WEEK: _WEEK, Span.MONTH: _MONTH}.get(span)
    match = pattern.fullmatch(text) if pattern else None
    if match is None:
        return None
    year, *rest = (int(number) for number in match.groups())
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        if span is Span.WEEK:
            return _first_day(span, date.fromisocalendar(year, rest[0], _THURSDAY + 1), first_weekday)
        return date(year, rest[0], rest[1] if span is Span.DAY else 1)
    except ValueError:  # such as 2026-W54 or 2026-02-29
        return None


def _first_day(span: Span, day: date, first_weekday: int) -> date:
    """The first day of the period that holds `day`."""
    match span:
        case Span.WEEK:
            return day - timedelta(days=(day.weekday() - first_weekday) % 7)
        case Span.MONTH:
            return day.replace(day=1)
        case Span.DAY | Span.ALL:
            return day


def _first_of_next(span: Span, first: date) -> date:
    match span:
        case Span.WEEK:
            return first + timedelta(days=7)
        case Span.MONTH:
            return (first + timedelta(days=31)).replace(day=1)
        case Span.DAY | Span.ALL:
            return first + timedelta(days=1)


@functools.lru_cache(maxsize=1_024)
def _beginning(span: Span, first: date, zone: str, first_weekday: int) -> Period:
    """The period whose first day is `first`."""
    match span:
        case Span.ALL:
            return Period(Span.ALL.value, Span.ALL, None, None, zone)
        case Span.WEEK:
            year, week, _ = (first + timedelta(days=(_THURSDAY - first_weekday) % 7)).isocalendar()
            id_ = f"week:{year:04}-W{week:02}"
        case Span.MONTH:
            id_ = f"month:{first:%Y-%m}"
        case Span.DAY:
            id_ = f"day:{first:%Y-%m-%d}"
    return Period(id_, span, _midnight_ms(first, zone), _midnight_ms(_first_of_next(span, first), zone), zone)


def _midnight_ms(day: date, zone: str) -> int:
    """When the day begins: at the first of two midnights; where clocks jump over midnight, when they jump."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return (midnight - _EPOCH) // _MS
