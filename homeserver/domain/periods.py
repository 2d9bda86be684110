"""Periods of a board: which one a moment belongs to, what its id is, and where it begins and ends.

Ids: `all`, `day:2026-11-22`, `week:2026-W47`, `month:2026-11`, `season:ID`. Days begin at midnight in the board's zone,
whatever their length (23 or 25 hours where clocks change). Weeks are seven such days and begin on the board's first
weekday. Seasons have the bounds that the board gives them; they may overlap, or leave time between them.

A week's id is that of the ISO 8601 week which holds its Thursday. With weeks from Monday this is the ISO week itself. A
week that begins on another day holds exactly one Thursday too, so ids never collide and none is left out; the Sunday on
which such a week begins belongs, by the calendar on the wall, to the ISO week before.

A period's bounds are a half-open range of instants, and they alone decide: where clocks go back over midnight, the
repeated hour belongs to the period that the first midnight began. No instant belongs to two periods or to none, seasons
aside.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from homeserver.errors import BadInput
from homeserver.model import Board, Origin, Period, Season, Span

CLOCKS_DIFFER_MS: Final = 3_600_000
"""By so much clocks of processes may differ, or be set back, before it is believed."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_THURSDAY: Final = 3
_MONTHS: Final = 12
_FIRST_YEAR: Final = 1969
"""Where the epoch is a date of 1969, west of Greenwich, its periods have ids too."""
_LAST_YEAR: Final = 9000
"""Well inside what `datetime` can add a zone and a month to."""

_DAY: Final = re.compile(r"day:([0-9]{4})-([0-9]{2})-([0-9]{2})")
_WEEK: Final = re.compile(r"week:([0-9]{4})-W([0-9]{2})")
_MONTH: Final = re.compile(r"month:([0-9]{4})-([0-9]{2})")


def period_at(board: Board, span: Span, at_ms: int) -> Period:
    """The period of this span to which a moment belongs; of the board's seasons, the one that `season` then means.

    That is the last one to have begun of those under way. When none is, it is the one that ended last, and before the
    first of all, the first: there is always one to look at.
    """
    if span is Span.SEASON:
        return _of_season(_season_at(board.seasons, at_ms), board.zone)
    return _beginning(span, _first_day_at(board, span, at_ms), board.zone, board.first_weekday)


def _first_day_at(board: Board, span: Span, at_ms: int) -> date:
    local = (_EPOCH + at_ms * _MS).astimezone(ZoneInfo(board.zone)).date()
    first = _first_day(span, local, board.first_weekday)
    period = _beginning(span, first, board.zone, board.first_weekday)
    # Almost always right at once. Where clocks go back over midnight, or a zone skips a day, the date on the wall does
    # not grow with time; the bounds do.
    while period.ends_ms is not None and at_ms >= period.ends_ms:
        first = _first_of_next(span, first)
        period = _beginning(span, first, board.zone, board.first_weekday)
    return first


def current(board: Board, now_ms: int) -> tuple[Period, ...]:
    """The periods of all the board's spans to which this moment belongs: one of each, of seasons any number."""
    found: list[Period] = []
    for span in board.spans:
        if span is Span.SEASON:
            under_way = (season for season in board.seasons if season.starts_ms <= now_ms < season.ends_ms)
            found += (_of_season(season, board.zone) for season in under_way)
        else:
            found.append(period_at(board, span, now_ms))
    return tuple(found)


def before(board: Board, period: Period) -> Period | None:
    """The period of the same span that ended when this one began, of seasons the one that had ended last by then.

    None for `all`, which never began, and where no season had ended.
    """
    if period.starts_ms is None:
        return None
    if period.span is not Span.SEASON:
        return period_at(board, period.span, period.starts_ms - 1)
    over = [season for season in board.seasons if season.ends_ms <= period.starts_ms]
    return _of_season(max(over, key=_by_end), board.zone) if over else None


def oldest_kept(board: Board, span: Span, now_ms: int) -> Period | None:
    """The oldest period of this span that the board keeps, whether anybody entered it or not; None: it keeps all."""
    if span is Span.ALL or span is Span.SEASON:
        return None
    first = _first_day_before(span, _first_day_at(board, span, now_ms), getattr(board.kept, span.value))
    return _beginning(span, first, board.zone, board.first_weekday)


def is_kept(board: Board, period: Period, now_ms: int) -> bool:
    """Whether the board keeps this period: it has no list of an older one, and a change does not make one."""
    if period.ends_ms is None or now_ms < period.ends_ms:
        return True
    oldest = oldest_kept(board, period.span, now_ms)
    return (
        oldest is None or oldest.starts_ms is None or period.starts_ms is None or oldest.starts_ms <= period.starts_ms
    )


def unchanged(board: Board, at_ms: int) -> tuple[int | None, int | None]:
    """From when, and until when (outside), `current` is what it is at this moment. None: no bound."""
    found = current(board, at_ms)
    bounds = [at for season in board.seasons for at in (season.starts_ms, season.ends_ms)]
    begins = [each.starts_ms for each in found if each.starts_ms is not None] + [at for at in bounds if at <= at_ms]
    ends = [each.ends_ms for each in found if each.ends_ms is not None] + [at for at in bounds if at > at_ms]
    return max(begins, default=None), min(ends, default=None)


def concerned(board: Board, at_ms: int, origin: Origin, now_ms: int) -> tuple[Period, ...]:
    """The periods that a change at `at_ms` concerns, of those that are kept at `now_ms`.

    A baseline, which may be months old, concerns `all` alone.
    """
    periods = current(board, at_ms)
    if origin is Origin.BASELINE:
        return tuple(period for period in periods if period.span is Span.ALL)
    return tuple(period for period in periods if is_kept(board, period, now_ms))


def seen_at(at_ms: int, newest_ms: int | None) -> int:
    """When a change counts as seen that our clock saw at `at_ms`, after another process, or we, saw one at `newest_ms`.

    Time does not go back for a clock that is a little behind: what has ended stays as it was. One that is behind by
    more than `CLOCKS_DIFFER_MS` was set right, or the other was wrong.
    """
    is_behind = newest_ms is not None and at_ms < newest_ms <= at_ms + CLOCKS_DIFFER_MS
    return newest_ms if is_behind and newest_ms is not None else at_ms


def counts_at(at_ms: int, now_ms: int) -> int:
    """When a change counts that was seen at `at_ms`: not later than now, as far as our clock may be trusted."""
    return at_ms if at_ms <= now_ms + CLOCKS_DIFFER_MS else now_ms


def parse(board: Board, text: str, now_ms: int) -> Period:
    """The period that `text` names on this board; a span's word alone names the current one, see `period_at`.

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
    if span is Span.SEASON:
        return _season_named(board, text)
    first = _first_day_named(span, text, board.first_weekday)
    if first is None:
        raise BadInput(
            "not a period; periods are written all, month:2026-11, week:2026-W47 or day:2026-11-22", field="period"
        )
    return _beginning(span, first, board.zone, board.first_weekday)


def _season_named(board: Board, text: str) -> Period:
    for season in board.seasons:
        if text == _season_id(season):
            return _of_season(season, board.zone)
    raise BadInput(f"the board {board.id} has no such season", field="period")


def _season_at(seasons: Sequence[Season], at_ms: int) -> Season:
    begun = [season for season in seasons if season.starts_ms <= at_ms]
    under_way = [season for season in begun if at_ms < season.ends_ms]
    if under_way:
        return under_way[-1]
    return max(begun, key=_by_end) if begun else seasons[0]


def _by_end(season: Season) -> tuple[int, int]:
    return season.ends_ms, season.starts_ms


def _season_id(season: Season) -> str:
    return f"{Span.SEASON.value}:{season.id}"


def _of_season(season: Season, zone: str) -> Period:
    return Period(_season_id(season), Span.SEASON, season.starts_ms, season.ends_ms, zone, season.title)


def _first_day_before(span: Span, first: date, count: int) -> date:
    """The first day of the period that comes so many before the one that begins on `first`."""
    match span:
        case Span.MONTH:
            months = first.year * _MONTHS + first.month - 1 - count
            return date(months // _MONTHS, months % _MONTHS + 1, 1)
        case Span.WEEK:
            return first - timedelta(weeks=count)
        case _:
            return first - timedelta(days=count)


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
        case _:
            return day


def _first_of_next(span: Span, first: date) -> date:
    match span:
        case Span.WEEK:
            return first + timedelta(days=7)
        case Span.MONTH:
            return (first + timedelta(days=31)).replace(day=1)
        case _:
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
        case _:
            id_ = f"day:{first:%Y-%m-%d}"
    return Period(id_, span, _midnight_ms(first, zone), _midnight_ms(_first_of_next(span, first), zone), zone)


def _midnight_ms(day: date, zone: str) -> int:
    """When the day begins: at the first of two midnights; where clocks jump over midnight, when they jump."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return (midnight - _EPOCH) // _MS
