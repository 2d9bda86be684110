"""What the gadget says and hears: the queries and bodies of `/gadget/v1`, and the JSON answers.

Scores travel as decimal strings (a JavaScript number loses 2^53+1), times as ISO 8601 in UTC with milliseconds, players
by their public id. A field that has nothing to say is null, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final

import orjson

from homeserver.errors import BadInput, TooLarge
from homeserver.model import (
    Board,
    DetailedPlace,
    Distribution,
    Entry,
    EntryPage,
    History,
    ListedPeriods,
    NextPlace,
    OpenedGadget,
    OwnClass,
    Pending,
    Period,
    Place,
    PlaceChange,
    Placed,
    PlayerCard,
    Span,
    SyncState,
)

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


# --- what comes in --------------------------------------------------------------------------------------------------


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
    """A score that a gadget submits. `value` is the text as it came: the board's rules read it."""

    board: str
    value: str


def parse_submission(body: bytes) -> Submission:
    """Read `{"board": text, "value": decimal text}`, strictly: nothing else, and no number for the text.

    Raises:
        BadInput: Not JSON, not an object, a missing, unknown or mistyped member (`field` names it).
        TooLarge: More than 64 KiB.
    """
    given = _parse_object(body, allowed=("board", "value"))
    return Submission(board=_text(given, "board", _MAX_BOARD), value=_text(given, "value", _MAX_VALUE))


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


# --- what goes out --------------------------------------------------------------------------------------------------


def iso(ms: int) -> str:
    """Milliseconds since the epoch as `2026-11-22T12:00:00.000Z`."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def _iso_or_null(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)


def dump_opened(opened: OpenedGadget) -> bytes:
    """The answer to the signed handshake."""
    return orjson.dumps(
        {
            "token": opened.token,
            "expires": iso(opened.expires_ms),
            "viewer": None if opened.viewer is None else _player(opened.viewer),
        }
    )


def dump_boards(boards: Iterable[Board]) -> bytes:
    """All boards, in their order."""
    return orjson.dumps({"boards": [_board(board) for board in boards]})


def dump_entries(page: EntryPage) -> bytes:
    """A page of a board."""
    return orjson.dumps(
        {
            "board": page.board.id,
            "period": _period(page.period),
            "total": page.total,
            "entries": [_entry(entry) for entry in page.entries],
            "next": page.next,
            "previous": page.previous,
            "as_of": iso(page.as_of_ms),
        }
    )


def dump_me(me: PlayerCard | None, places: Iterable[DetailedPlace]) -> bytes:
    """Who asks, and where they stand on every board in every current period. Without a viewer: null and no places."""
    shown = [_detailed_place(place) for place in places] if me else []
    return orjson.dumps({"me": None if me is None else _player(me), "places": shown})


def dump_distribution(spread: Distribution) -> bytes:
    """How the scores of a list are spread, and where the viewer's is."""
    return orjson.dumps(
        {
            "board": spread.board.id,
            "period": _period(spread.period),
            "total": spread.total,
            "classes": [
                {"least": each.least, "greatest": each.greatest, "display": each.display, "count": each.count}
                for each in spread.classes
            ],
            "mine": None if spread.mine is None else _own_class(spread.mine),
            "as_of": iso(spread.as_of_ms),
        }
    )


def dump_periods(listed: ListedPeriods) -> bytes:
    """Periods of a board, newest first."""
    return orjson.dumps(
        {
            "board": listed.board.id,
            "periods": [
                {**_period(each.period), "total": each.total, "current": each.is_current} for each in listed.periods
            ],
            "as_of": iso(listed.as_of_ms),
        }
    )


def dump_history(history: History) -> bytes:
    """What a player's score on a board was, newest first."""
    return orjson.dumps(
        {
            "board": history.board.id,
            "player": _player(history.player),
            "scores": [
                {"at": iso(past.at_ms), "score": past.score, "display": past.display, "origin": past.origin}
                for past in history.scores
            ],
        }
    )


def dump_placed(placed: Placed) -> bytes:
    """What a submitted score did: for each period the place now, the one before, and how many players that passed."""
    return orjson.dumps(
        {
            "board": placed.board.id,
            "value": placed.value,
            "changes": [_change(change) for change in placed.changes],
            "pending": None if placed.pending is None else _pending(placed.pending),
        }
    )


def dump_sync(state: SyncState) -> bytes:
    """When the player's data was last read whole, and whether a reading waits or runs."""
    return orjson.dumps({"synced_at": _iso_or_null(state.synced_ms), "queued": state.queued})


def dump_link(url: str) -> bytes:
    """A one-time address that opens this player's pages."""
    return orjson.dumps({"url": url})


def _player(card: PlayerCard) -> dict[str, Any]:
    return {"id": card.id, "name": card.name, "thumbnail_url": card.thumbnail_url}


def _board(board: Board) -> dict[str, Any]:
    return {
        "id": board.id,
        "title": board.title,
        "order": board.order,
        "ties": board.ties,
        "decimals": board.decimals,
        "format": board.format,
        "periods": list(board.spans),
        "zone": board.zone,
    }


def _period(period: Period) -> dict[str, Any]:
    return {
        "id": period.id,
        "starts": _iso_or_null(period.starts_ms),
        "ends": _iso_or_null(period.ends_ms),
        "zone": period.zone,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "rank": entry.rank,
        "tied": entry.tied,
        "player": _player(entry.player),
        "score": entry.score,
        "display": entry.display,
        "reached": iso(entry.reached_ms),
        "me": entry.me,
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "board": place.board.id,
        "period": _period(place.period),
        "rank": place.rank,
        "tied": place.tied,
        "total": place.total,
        "score": place.score,
        "display": place.display,
    }


def _detailed_place(place: DetailedPlace) -> dict[str, Any]:
    following = None if place.next is None else _next_place(place.next)
    return _place(place) | {"better_than": _share(place.better_than), "next": following}


def _pending(pending: Pending) -> dict[str, Any]:
    return {
        "score": pending.score,
        "display": pending.display,
        "since": iso(pending.since_ms),
        "reason": pending.reason,
    }


def _next_place(place: NextPlace) -> dict[str, Any]:
    return {
        "rank": place.rank,
        "score": place.score,
        "display": place.display,
        "missing": place.missing,
        "missing_display": place.missing_display,
    }


def _own_class(mine: OwnClass) -> dict[str, Any]:
    return {
        "class": mine.index,
        "score": mine.score,
        "display": mine.display,
        "better_than": _share(mine.better_than),
    }


def _share(share: Fraction | None) -> float | None:
    return None if share is None else float(share)


def _change(change: PlaceChange) -> dict[str, Any]:
    rank, before = change.place.rank, change.rank_before
    passed = before - rank if rank is not None and before is not None and before > rank else 0
    return _place(change.place) | {"rank_before": before, "passed": passed, "is_best": change.is_best}
