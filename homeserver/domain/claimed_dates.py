"""When players say that they reached a score: their own words, shown as theirs, and used for nothing.

A claimed date is a date or a date with a time, by ISO 8601: `2008-10-30`, `2008-10-30T18:30:02Z` (the guide's form),
`2008-10-30T15:30-03:00`. What lies in the future is refused. Whatever says no zone is taken for the first place on
earth where that time comes, so that nobody's today is refused; and since no two clocks are the same, a few minutes are
allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from homeserver.errors import BadInput
from homeserver.model import Board

MAX_CHARACTERS: Final = 40
CLOCKS_DIFFER_MS: Final = 300_000

_DATE: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_EARLIEST: Final = timezone(timedelta(hours=14))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def read(text: str, now_ms: int) -> str:
    """The same text, if it is a date that may be claimed now.

    Raises:
        BadInput: It is none, lies before 1970, or in the future (field "date").
    """
    moment = _moment(text)
    if moment is None:
        raise BadInput("not a date, such as 2008-10-30 or 2008-10-30T18:30:02Z", field="date")
    at_ms = (moment - _EPOCH) // _MS
    if at_ms > now_ms + CLOCKS_DIFFER_MS:
        raise BadInput("a date in the future", field="date")
    if moment.year < _EPOCH.year:
        raise BadInput("a date before 1970", field="date")
    return text


def shown(text: str | None, now_ms: int) -> str | None:
    """The text where it is a date that may be claimed now; AppData may hold anything."""
    if text is None:
        return None
    try:
        return read(text, now_ms)
    except BadInput:
        return None


def _moment(text: str) -> datetime | None:
    if len(text) > MAX_CHARACTERS or not _DATE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # such as 2026-02-29, or a zone of 99 hours
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=_EARLIEST)


# --- where they lie ---------------------------------------------------------------------------------------------------


def keys(boards: Iterable[Board]) -> tuple[str, ...]:
    """The AppData keys that these boards are made of, sorted: of scores and of dates."""
    every = {key for board in boards for key in (board.field, board.date_field)}
    return tuple(sorted(key for key in every if key is not None))


def only_words(boards: Iterable[Board]) -> frozenset[str]:
    """Those of their keys that no board ranks by."""
    known = tuple(boards)
    return frozenset(keys(known)) - {board.field for board in known}
