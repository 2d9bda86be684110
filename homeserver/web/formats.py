"""Numbers, times and amounts as people write them, in the language of the request (CLDR, by Babel)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_interval, format_skeleton, get_timezone_location
from babel.lists import format_list
from babel.numbers import format_percent
from babel.units import format_unit

from homeserver.model import Board, Format, Period, Span
from homeserver.web.languages import N_, current, gettext, ngettext

SPAN_WORDS: Final = {
    Span.ALL: N_("All time"),
    Span.SEASON: N_("Season"),
    Span.MONTH: N_("Month"),
    Span.WEEK: N_("Week"),
    Span.DAY: N_("Today"),
}

_DATE: Final = "yMMMd"
_MONTH: Final = "yMMMM"
_TIME: Final = "Hm"
_KEPT: Final = 4096
"""Pages show the same minutes again and again."""

_EXACT: Final = re.compile(r"(?P<whole>-?[0-9]+)(?:\.(?P<part>[0-9]+))?")
_CLOCK: Final = re.compile(
    r"(?P<sign>-?)(?:(?P<hours>[0-9]{1,9}):(?=[0-9]{2}:))?(?P<minutes>[0-9]{1,9}):(?P<seconds>[0-9]{2})(?P<part>\.[0-9]+)?"
)


# --- times ----------------------------------------------------------------------------------------------------------


def moment(ms: int, zone: str = "UTC") -> str:
    """`22 Nov 2026, 08:20`; UTC says so, any other zone is the board's, whose page names it."""
    return _moment(ms // 60_000, zone, str(current().locale)) + (" UTC" if zone == "UTC" else "")


@lru_cache(_KEPT)
def _moment(minutes: int, zone: str, locale: str) -> str:
    when = datetime.fromtimestamp(minutes * 60, UTC).astimezone(ZoneInfo(zone))
    return _written(when, Locale.parse(locale))


def _written(when: datetime, locale: Locale) -> str:
    """Date and time as they stand in this moment's own zone."""
    as_it_stands = when.replace(tzinfo=UTC)  # Babel would move it into a zone of its own choice
    time = format_skeleton(_TIME, as_it_stands, UTC, locale=locale)
    return str(locale.datetime_formats["medium"]).format(time, _date(when, locale))


def _date(when: datetime, locale: Locale) -> str:
    return format_skeleton(_DATE, when.replace(tzinfo=UTC), UTC, locale=locale)


def city(zone: str) -> str:
    """`São Paulo`: whose time it is, where the board's zone is `America/Sao_Paulo`; `UTC`."""
    return _city(zone, str(current().locale))


@lru_cache(_KEPT)
def _city(zone: str, locale: str) -> str:
    return str(get_timezone_location(zone, locale=Locale.parse(locale), return_city=True))


def claimed(text: str, zone: str) -> str:
    """`30 Oct 2008, 16:30`: a date that a player claims, as `moment` writes it; without a zone as they wrote it."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is not None:
        return moment(int(when.timestamp()) * 1000, zone)
    has_time = len(text) > len("2008-10-30")
    locale = current().locale
    return _written(when, locale) if has_time else _date(when, locale)


def span_name(span: Span) -> str:
    """`All time`, `Week`, `Today`."""
    return gettext(SPAN_WORDS[span])


def current_period(period: Period) -> str:
    """`Week`, `Today`, or the name of a season: what the period is called while it lasts."""
    return period.title or span_name(period.span)


def period_name(period: Period) -> str:
    """`November 2026`, `16–22 Nov 2026`, `22 Nov 2026`: which month, week or day it is; `All time`."""
    if period.starts_ms is None or period.ends_ms is None:
        return span_name(period.span)
    zone, locale = ZoneInfo(period.zone), current().locale
    first, last = (
        datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone) for ms in (period.starts_ms, period.ends_ms - 1)
    )
    match period.span:
        case Span.SEASON:
            return period.title
        case Span.MONTH:
            return format_skeleton(_MONTH, last.replace(tzinfo=UTC), UTC, locale=locale)
        case Span.WEEK:
            return str(format_interval(first.date(), last.date(), _DATE, locale=locale))
        case _:
            return _date(last, locale)


def left(span_ms: int) -> str:
    """`2 days, 4 hours`: a span in its two largest units."""
    minutes = max(0, span_ms) // 60_000
    parts = [(minutes // 1440, "day"), (minutes // 60 % 24, "hour"), (minutes % 60, "minute")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    locale = current().locale
    shown = [format_unit(count, f"duration-{unit}", "long", locale=locale) for count, unit in parts[:2] if count]
    return format_list(shown, style="unit", locale=locale) if shown else gettext("less than a minute")


# --- amounts --------------------------------------------------------------------------------------------------------


def number(value: int) -> str:
    """`1,284,310`."""
    return score(f"{value:,}")


def score(display: str) -> str:
    """A score's `display`, or any number written as in `1,032.50` or `1:02:03`, with the language's own marks."""
    return display.translate(_marks(current().locale))


def typed_score(text: str, board: Board) -> str | None:
    """The exact decimal that a person means by a score, typed as pages show it (`1,032.50`, `1:17.5`) in their own
    language, or as programs write it; None if that is no number, or none with so few decimals as the board's.

    A point that may be either is a decimal point: where the board has so many decimals.
    """
    bare = "".join(text.split()).replace("\u2212", "-")
    exact = _EXACT.fullmatch(bare)
    if exact is None or len(exact["part"] or "") > board.decimals:
        bare = _without_marks(bare)
        exact = _EXACT.fullmatch(_in_seconds(bare) if board.format is Format.DURATION else bare)
    if exact is None:
        return None
    part = exact["part"] or ""
    if part[board.decimals :].strip("0"):  # money is shown with two digits, whether or not there are as many
        return None
    return exact["whole"] + f".{part[: board.decimals]}".removesuffix(".")


def _without_marks(number: str) -> str:
    """`1032.50`, where the language writes `1,032.50`. Marks that stand elsewhere than it puts them stay."""
    marks = current().locale.number_symbols["latn"]
    group, decimal = marks["group"].strip(), marks["decimal"]
    grouped = rf"-?\d{{1,3}}(?:{re.escape(group)}\d{{3}})+(?:{re.escape(decimal)}\d+)?"
    if group and re.fullmatch(grouped, number, re.ASCII):
        number = number.replace(group, "")
    return number.replace(decimal, ".")


def _in_seconds(duration: str) -> str:
    """`77.5`, for `1:17.5`; what is no duration stays as it is."""
    clock = _CLOCK.fullmatch(duration)
    if clock is None:
        return duration
    seconds = (int(clock["hours"] or 0) * 60 + int(clock["minutes"])) * 60 + int(clock["seconds"])
    return f"{clock['sign']}{seconds}{clock['part'] or ''}"


@lru_cache
def _marks(locale: Locale) -> dict[int, str]:
    """Kept: a page has a hundred numbers, and CLDR's tables take longer than all else that is done with them."""
    marks = locale.number_symbols["latn"]
    return {ord(","): marks["group"], ord("."): marks["decimal"]}


def place(rank: int | None, tied: bool) -> str:
    """`=3` for a place that is shared, an en dash for none."""
    return "\u2013" if rank is None else f"{'=' if tied else ''}{number(rank)}"


def beats(share: Fraction) -> str:
    """`Better than 93% of the others`: rounded down, so that nobody beats all others who does not; nothing below 1%."""
    if share == 1:
        return gettext("Better than all others")
    if share < Fraction(1, 100):
        return ""
    return gettext("Better than %(share)s of the others", share=percent(100 * share // 1))


def percent(count: int) -> str:
    """`93%`, of whole percents."""
    return format_percent(count / 100, locale=current().locale)


def size(size_bytes: int) -> str:
    """`812 kB`: three digits at most, powers of 1000 as browsers and Orange write them."""
    amount = float(size_bytes)
    for unit in ("byte", "kilobyte", "megabyte", "gigabyte"):
        if amount < 999.5 or unit == "gigabyte":
            break
        amount /= 1000
    shown = round(amount) if unit == "byte" or amount >= 9.95 else round(amount, 1)
    return format_unit(shown, f"digital-{unit}", "long" if unit == "byte" else "short", locale=current().locale)


def players(count: int) -> str:
    """`1 player`, `1,284 players`."""
    return ngettext("%(shown)s player", "%(shown)s players", count, shown=number(count))
