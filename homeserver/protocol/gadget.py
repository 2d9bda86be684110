"""What the gadget hears: the JSON answers of `/gadget/v1`. What it asks: `gadget_queries.py`.

Scores travel as decimal strings (a JavaScript number loses 2^53+1), times as ISO 8601 in UTC with milliseconds, players
by their public id. A field that has nothing to say is null, never left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import orjson

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

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def iso(ms: int) -> str:
    """Milliseconds since the epoch as `2026-11-22T12:00:00.000Z`."""
    day, ms = divmod(ms, 86_400_000)
    minutes, ms = divmod(ms, 60_000)
    return f"{_date(day)}T{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}.{ms % 1000:03}Z"


@lru_cache(maxsize=1_024)
def _date(day: int) -> str:
    """A day since the epoch. Kept, because formatting one takes longer than all the rest of an entry."""
    return date.fromordinal(_EPOCH_ORDINAL + day).isoformat()


def _iso_or_null(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)


def dump_opened(opened: OpenedGadget) -> bytes:
    """The answer to the signed handshake."""
    return orjson.dumps(
        {
            "token": opened.token,
            "expires": iso(opened.expires_ms),
            "viewer": None if opened.viewer is None else _player(opened.viewer),
            "owner": None if opened.owner is None else _player(opened.owner),
        }
    )


def dump_boards(boards: Iterable[tuple[Board, int | None]]) -> bytes:
    """All boards, in their order, each with since when it is closed; None: it is open."""
    return orjson.dumps({"boards": [_board(*each) for each in boards]})


def dump_entries(page: EntryPage) -> bytes:
    """A page of a board."""
    return orjson.dumps(
        {
            "board": page.board.id,
            "period": _period(page.period),
            "total": page.total,
            "friends": page.friends,
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


def dump_player(card: PlayerCard, places: Iterable[DetailedPlace]) -> bytes:
    """A player, and where they stand on every board in every current period."""
    return orjson.dumps({"player": _player(card), "places": [_detailed_place(place) for place in places]})


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
    """Periods of a board, newest first, with the viewer's place in each."""
    return orjson.dumps(
        {
            "board": listed.board.id,
            "periods": [
                {
                    **_period(each.period),
                    "total": each.total,
                    "current": each.is_current,
                    "mine": None if each.mine is None else _own_place(each.mine),
                }
                for each in listed.periods
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
                {
                    "at": iso(past.at_ms),
                    "score": past.score,
                    "display": past.display,
                    "origin": past.origin,
                    "state": past.state,
                }
                for past in history.scores
            ],
        }
    )


def dump_placed(placed: Placed) -> bytes:
    """What a submitted score did: for each period the place now, the one before, and how many places that gained; or
    that it waits to be looked at."""
    return orjson.dumps(
        {
            "board": placed.board.id,
            "value": placed.value,
            "changes": [_change(change) for change in placed.changes],
            "pending": _pending(placed.pending),
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


def _board(board: Board, closed_ms: int | None) -> dict[str, Any]:
    return {
        "id": board.id,
        "title": board.title,
        "order": board.order,
        "keep": board.keep,
        "counts": board.counts,
        "ties": board.ties,
        "decimals": board.decimals,
        "format": board.format,
        "periods": list(board.spans),
        "zone": board.zone,
        "seasons": [
            {
                "id": f"{Span.SEASON}:{season.id}",
                "title": season.title,
                "starts": iso(season.starts_ms),
                "ends": iso(season.ends_ms),
            }
            for season in board.seasons
        ],
        "dated": board.date_field is not None,
        "closed": _iso_or_null(closed_ms),
    }


def _period(period: Period) -> dict[str, Any]:
    return {
        "id": period.id,
        "starts": _iso_or_null(period.starts_ms),
        "ends": _iso_or_null(period.ends_ms),
        "zone": period.zone,
        "title": period.title or None,
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
        "friend_rank": entry.friend_rank,
        "friend_tied": entry.friend_tied,
        "claimed_date": entry.claimed_date,
    }


def _place(place: Place) -> dict[str, Any]:
    where = {"board": place.board.id, "period": _period(place.period), "total": place.total}
    return where | _own_place(place)


def _own_place(place: Place) -> dict[str, Any]:
    return {
        "rank": place.rank,
        "tied": place.tied,
        "score": place.score,
        "display": place.display,
        "state": place.state,
    }


def _pending(pending: Pending | None) -> dict[str, Any] | None:
    if pending is None:
        return None
    return {
        "score": pending.score,
        "display": pending.display,
        "since": iso(pending.since_ms),
        "reason": pending.reason,
    }


def _detailed_place(place: DetailedPlace) -> dict[str, Any]:
    following = None if place.next is None else _next_place(place.next)
    return _place(place) | {
        "better_than": _share(place.better_than),
        "next": following,
        "pending": _pending(place.pending),
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
    return _place(change.place) | {
        "rank_before": before,
        "passed": passed,
        "is_best": change.is_best,
        "overtaken": [_player(card) for card in change.overtaken],
    }
