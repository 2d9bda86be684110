"""What the gadget asks: the queries and bodies of `/gadget/v1`, read strictly. What it is answered: `gadget.py`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from homeserver.errors import BadInput, TooLarge
from homeserver.model import Span

MAX_BODY_BYTES: Final = 64 * 1024
DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100

_MAX_SEARCH: Final = 100
_MAX_VALUE: Final = 64
_MAX_BOARD: Final = 100

_PERIOD: Final = re.compile(r"[a-z]{1,10}(:[A-Za-z0-9_-]{1,40})?")
_CURSOR: Final = re.compile(r"[A-Za-z0-9_=.~-]{1,500}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")
_WAYS: Final = ("around", "friends", "at_rank", "at_score", "search")
ENTRIES_QUERY_NAMES: Final = frozenset({"period", "limit", "cursor", *_WAYS})


@dataclass(frozen=True, slots=True)
class EntriesQuery:
    """Which entries of a board are asked for. At most one of `around` and what follows it is set.

    `at_score` is the text as it came: the board's rules read it.
    """

    period: str = "all"
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    around: bool = False
    friends: bool = False
    at_rank: int | None = None
    search: str | None = None
    at_score: str | None = None


def parse_entries_query(pairs: Iterable[tuple[str, str]]) -> EntriesQuery:
    """Read the decoded query of an entries call, strictly: unknown and repeated names are refused.

    Raises:
        BadInput: `field` names the parameter. Two ways of choosing entries at once, or a cursor with a way that is no
            view of its own (`around`, `at_rank`, `at_score`, `search`), are refused too.
    """
    given = _given(pairs, ENTRIES_QUERY_NAMES)
    ways = [name for name in _WAYS if name in given]
    if len(ways) > 1:
        raise BadInput(f"Only one of {' and '.join(ways)} can be asked for at a time.", field=ways[1])
    if "cursor" in given and ways and ways != ["friends"]:
        raise BadInput(f"A cursor cannot go together with {ways[0]}.", field="cursor")
    return EntriesQuery(
        period=_period_named(given),
        limit=_limit(given),
        cursor=_matching(given, "cursor", _CURSOR, "one that an earlier answer held"),
        around=_fixed(given, "around", "me"),
        friends=_fixed(given, "friends", "true"),
        at_rank=_rank(given),
        search=_search(given),
        at_score=_at_score(given),
    )


def parse_period_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Read the decoded query of a call about one list: its period, `all` when none is named.

    Raises:
        BadInput: `field` names the parameter.
    """
    return _period_named(_given(pairs, {"period"}))


@dataclass(frozen=True, slots=True)
class PeriodsQuery:
    """Which periods of a board are asked for: those of one span, or all."""

    span: Span | None = None
    limit: int = DEFAULT_LIMIT


def parse_periods_query(pairs: Iterable[tuple[str, str]]) -> PeriodsQuery:
    """Read the decoded query of a call for periods.

    Raises:
        BadInput: `field` names the parameter.
    """
    given = _given(pairs, {"span", "limit"})
    if "span" in given and given["span"] not in list(Span):
        raise BadInput(f"span must be one of {', '.join(Span)}.", field="span")
    return PeriodsQuery(span=Span(given["span"]) if "span" in given else None, limit=_limit(given))


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Of which board a player's history is asked for, and how much of it."""

    board: str
    limit: int = DEFAULT_LIMIT


def parse_history_query(pairs: Iterable[tuple[str, str]]) -> HistoryQuery:
    """Read the decoded query of a call for a history.

    Raises:
        BadInput: `field` names the parameter. The board must be named.
    """
    given = _given(pairs, {"board", "limit"})
    return HistoryQuery(board=_text(given, "board", _MAX_BOARD), limit=_limit(given))


def _given(pairs: Iterable[tuple[str, str]], allowed: Collection[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            raise BadInput(f"There is no parameter {_short(name)!r}.", field=_short(name))
        if name in given:
            raise BadInput(f"{name} is given twice.", field=name)
        given[name] = value
    return given


def _period_named(given: Mapping[str, str]) -> str:
    return _matching(given, "period", _PERIOD, "such as all, week or week:2026-W47") or "all"


def _matching(given: Mapping[str, str], name: str, pattern: re.Pattern[str], allowed: str) -> str | None:
    value = given.get(name)
    if value is not None and not pattern.fullmatch(value):
        raise BadInput(f"{name} must be {allowed}.", field=name)
    return value


def _fixed(given: Mapping[str, str], name: str, only: str) -> bool:
    if name not in given:
        return False
    if given[name] != only:
        raise BadInput(f"{name} can only be {only}.", field=name)
    return True


def _limit(given: Mapping[str, str]) -> int:
    text = given.get("limit", str(DEFAULT_LIMIT))
    if not _NUMBER.fullmatch(text) or int(text) > MAX_LIMIT:
        raise BadInput(f"limit must be a number from 1 to {MAX_LIMIT}.", field="limit")
    return int(text)


def _rank(given: Mapping[str, str]) -> int | None:
    text = _matching(given, "at_rank", _NUMBER, "a place, a whole number from 1 on")
    return None if text is None else int(text)


def _at_score(given: Mapping[str, str]) -> str | None:
    return _text(given, "at_score", _MAX_VALUE) if "at_score" in given else None


def _search(given: Mapping[str, str]) -> str | None:
    if "search" not in given:
        return None
    text = given["search"].strip()
    if not 1 <= len(text) <= _MAX_SEARCH:
        raise BadInput(f"search must have 1 to {_MAX_SEARCH} characters.", field="search")
    return text


@dataclass(frozen=True, slots=True)
class Submission:
    """A score that a gadget submits. `value` and `date` are the texts as they came: the board's rules read them."""

    board: str
    value: str
    date: str | None = None


def parse_submission(body: bytes) -> Submission:
    """Read `{"board": text, "value": decimal text, "date": text}`, of which `date` may be missing or null.

    Strictly: nothing else, and no number for a text.

    Raises:
        BadInput: Not JSON, not an object, a missing, unknown or mistyped member (`field` names it).
        TooLarge: More than 64 KiB.
    """
    given = _parse_object(body, allowed=("board", "value", "date"))
    return Submission(
        board=_text(given, "board", _MAX_BOARD),
        value=_text(given, "value", _MAX_VALUE),
        date=None if given.get("date") is None else _text(given, "date", _MAX_VALUE),
    )


def _parse_object(body: bytes, allowed: Sequence[str]) -> dict[str, object]:
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge("The body is too large.", limit_bytes=MAX_BODY_BYTES)
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadInput("The body is not JSON.") from None
    if not isinstance(given, dict):
        raise BadInput("The body must be a JSON object.")
    for name in given:
        if name not in allowed:
            raise BadInput(f"There is no member {_short(name)!r}.", field=_short(name))
    return given


def _text(given: Mapping[str, object], name: str, longest: int) -> str:
    if name not in given:
        raise BadInput(f"{name} is missing.", field=name)
    value = given[name]
    if not isinstance(value, str):
        raise BadInput(f"{name} must be a text.", field=name)
    if not 1 <= len(value) <= longest:
        raise BadInput(f"{name} must have 1 to {longest} characters.", field=name)
    return value


def _short(name: str) -> str:
    return name[:40]
