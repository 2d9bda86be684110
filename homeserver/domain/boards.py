"""A board's definition: read from settings or from the database, checked, written down, compared.

Both write it the same way: a table of plain values, scores as decimal text ("12.50"), the weekday by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from homeserver.domain import instants, scores
from homeserver.errors import BadInput
from homeserver.model import Board, Counts, Format, Keep, Kept, Order, Season, Span, Ties

E = TypeVar("E", bound=StrEnum)

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_TITLE: Final = 200
MAX_FIELD: Final = 128
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FIELD: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_FIELD}}}")
_FOR_PEOPLE_ONLY: Final = ("id", "title", "format", "date_field", "kept")
MAX_SEASONS: Final = 200
MAX_KEPT: Final = 10_000
LAST_MS: Final = 221_845_392_000_000
"""The year 9000: well inside of what can be written as a date in any zone."""
_SHOWN: Final = 200


class Closure(NamedTuple):
    """A time in which a board takes no scores: no event beyond `after_event` up to `until_event` (None: any) counts."""

    after_event: int
    until_event: int | None
    at_ms: int

    def holds(self, event: int) -> bool:
        """Whether an event of this number came while the board was closed."""
        return event > self.after_event and (self.until_event is None or event <= self.until_event)


@dataclass(frozen=True, slots=True)
class BoardInForce:
    """A definition as the database has it. `generation` tells the lists in use from those being built or replaced."""

    board: Board
    revision: int
    generation: int
    moderated: int = 0
    """How many players an operator has hidden from it, or removed scores of."""
    since_event: int = 0
    """No event up to this one makes entries: the board was reset then."""
    closures: tuple[Closure, ...] = ()
    """When it was closed, in order. The last one may not have ended yet."""
    rebuilt_ms: int | None = None

    @property
    def closed_ms(self) -> int | None:
        """Since when the board takes no scores; None while it does."""
        last = self.closures[-1] if self.closures else None
        return last.at_ms if last is not None and last.until_event is None else None


def board_from(item: Mapping[str, object]) -> Board:
    """Read and check one definition.

    `id`, `title` and `field` are due, the rest has `Board`'s defaults. Limits of scores are decimal text or whole
    numbers, in the unit that people see: with two decimals, "12.50" and 12 are right, the float 12.5 is not. Seasons
    are tables of `id`, `title`, `starts` and `ends`, which are ISO 8601 with a zone; `kept` is a table of spans.

    Raises:
        BadInput: `field` names the key at fault; the message says what was found and what is allowed.
    """
    known = {field.name for field in fields(Board)}
    for name in item:
        if name not in known:
            raise BadInput(f"not known; known are {', '.join(sorted(known))}", field=name)
    decimals = _whole(item, "decimals", 0, scores.MAX_DECIMALS)
    board = Board(
        id=_text(item, "id", _ID.fullmatch, "a to z, 0 to 9, _ and -, at most 64"),
        title=_text(item, "title", _is_title, f"1 to {MAX_TITLE} characters, none of them a control character"),
        field=_text(item, "field", _FIELD.fullmatch, f"an AppData key: letters, digits, . _ -, at most {MAX_FIELD}"),
        order=_word(item, "order", Order, Order.MORE),
        keep=_word(item, "keep", Keep, Keep.BEST),
        ties=_word(item, "ties", Ties, Ties.COMPETITION),
        spans=_spans(item),
        zone=_text({"zone": "UTC", **item}, "zone", _is_zone, "a time zone's name, such as America/Sao_Paulo"),
        first_weekday=WEEKDAYS.index(
            _text({"first_weekday": WEEKDAYS[0], **item}, "first_weekday", WEEKDAYS.__contains__, ", ".join(WEEKDAYS))
        ),
        decimals=decimals,
        format=_word(item, "format", Format, Format.INTEGER),
        minimum=_score(item, "minimum", decimals),
        maximum=_score(item, "maximum", decimals),
        counts=_word(item, "counts", Counts, Counts.REACHED),
        largest_step=_size(item, "largest_step", decimals),
        largest_gain_per_hour=_size(item, "largest_gain_per_hour", decimals),
        date_field=_date_field(item),
        seasons=_seasons(item),
        kept=_kept(item),
    )
    if board.minimum is not None and board.maximum is not None and board.minimum > board.maximum:
        raise BadInput("less than minimum", field="maximum")
    if board.date_field == board.field:
        raise BadInput("the field of the score holds no date", field="date_field")
    return board


def board_to(board: Board) -> dict[str, object]:
    """The definition as plain values that JSON and TOML can hold; `board_from` reads it back."""
    item: dict[str, object] = {
        "id": board.id,
        "title": board.title,
        "field": board.field,
        "order": board.order.value,
        "keep": board.keep.value,
        "ties": board.ties.value,
        "spans": [span.value for span in board.spans if span is not Span.SEASON],
        "zone": board.zone,
        "first_weekday": WEEKDAYS[board.first_weekday],
        "decimals": board.decimals,
        "format": board.format.value,
        "counts": board.counts.value,
        "kept": {span.value: getattr(board.kept, span.value) for span in _KEPT_SPANS},
    }
    for name in ("minimum", "maximum", "largest_step", "largest_gain_per_hour"):
        bound = getattr(board, name)
        if bound is not None:
            item[name] = scores.exact(bound, board.decimals)
    if board.date_field is not None:
        item["date_field"] = board.date_field
    if board.seasons:
        item["seasons"] = [
            {
                "id": season.id,
                "title": season.title,
                "starts": instants.iso(season.starts_ms),
                "ends": instants.iso(season.ends_ms),
            }
            for season in board.seasons
        ]
    return item


def checked(board: Board) -> Board:
    """The same definition, if it is one.

    Raises:
        BadInput: It is not; see `board_from`.
    """
    return board_from(board_to(board))


@lru_cache(maxsize=256)
def digest(board: Board) -> str:
    """A name for those settings that decide who stands where. Another title or format leaves it as it is, and so does
    another retention: what is not kept any more is deleted where it lies."""
    item = {name: value for name, value in board_to(board).items() if name not in _FOR_PEOPLE_ONLY}
    if board.seasons:
        item["seasons"] = [(season.id, season.starts_ms, season.ends_ms) for season in board.seasons]
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()[:16]


def differences(in_force: Board, wanted: Board) -> tuple[str, ...]:
    """What `wanted` has other than `in_force`, in words, one for each setting."""
    served, asked = board_to(in_force), board_to(wanted)
    return tuple(
        f"{name} is {_shown(served.get(name))}, the settings say {_shown(asked.get(name))}"
        for name in (field.name for field in fields(Board))
        if served.get(name) != asked.get(name)
    )


def _shown(value: object) -> str:
    shown = "not set" if value is None else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."


# --- one value each -------------------------------------------------------------------------------------------------


def _is_title(text: str) -> bool:
    return 0 < len(text) <= MAX_TITLE and text.strip() == text and text.isprintable()


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path that leads elsewhere; a folder, such as "America"
        return False
    return True


def _text(item: Mapping[str, object], name: str, is_right: Callable[[str], object], allowed: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not is_right(value):
        raise BadInput(f"{_shown_input(value)} is not right; allowed: {allowed}", field=name)
    return value


def _word(item: Mapping[str, object], name: str, words: type[E], default: E) -> E:
    value = item.get(name, default.value)
    for word in words:
        if word.value == value:
            return word
    raise BadInput(f"{_shown_input(value)} is not right; allowed: {', '.join(words)}", field=name)


def _whole(item: Mapping[str, object], name: str, least: int, most: int) -> int:
    value = item.get(name, least)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadInput(f"{_shown_input(value)} is not right; allowed: {least} to {most}", field=name)
    return value


def _spans(item: Mapping[str, object]) -> tuple[Span, ...]:
    """In the order of `Span`. Every board has `all`: a baseline enters no other, and it is what is shown unasked.

    `season` is not among them: a board has that span when it has seasons.
    """
    allowed = [span.value for span in Span if span is not Span.SEASON]
    value = item.get("spans", allowed)
    if not isinstance(value, list | tuple) or any(span not in allowed for span in value) or Span.ALL.value not in value:
        raise BadInput(f"{_shown_input(value)} is not right; allowed: all, with any of month, week, day", field="spans")
    return tuple(span for span in Span if span.value in value)


def _score(item: Mapping[str, object], name: str, decimals: int) -> int | None:
    value = item.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadInput(f'{_shown_input(value)} is not right; allowed: a decimal as text, such as "12.50"', field=name)
    try:
        return scores.parse(str(value), decimals)
    except BadInput as error:
        raise BadInput(f"{_shown_input(value)}: {error}", field=name) from error


def _size(item: Mapping[str, object], name: str, decimals: int) -> int | None:
    size = _score(item, name, decimals)
    if size is not None and size <= 0:
        raise BadInput(f"{_shown_input(item.get(name))} is not right; allowed: more than 0", field=name)
    return size


def _date_field(item: Mapping[str, object]) -> str | None:
    if item.get("date_field") is None:
        return None
    return _text(item, "date_field", _FIELD.fullmatch, f"an AppData key: letters, digits, . _ -, at most {MAX_FIELD}")


_KEPT_SPANS: Final = (Span.MONTH, Span.WEEK, Span.DAY)


def _kept(item: Mapping[str, object]) -> Kept:
    value = _table(item.get("kept", {}), "kept", [span.value for span in _KEPT_SPANS])
    try:
        return Kept(**{name: _whole(value, name, 1, MAX_KEPT) for name in value})
    except BadInput as error:
        raise BadInput(f"{error.field}: {error}", field="kept") from error


def _seasons(item: Mapping[str, object]) -> tuple[Season, ...]:
    value = item.get("seasons", ())
    if not isinstance(value, list | tuple) or len(value) > MAX_SEASONS:
        raise BadInput(f"allowed: a list of tables, at most {MAX_SEASONS}", field="seasons")
    seasons: dict[str, Season] = {}
    for number, each in enumerate(value, 1):
        table = _table(each, "seasons", ["id", "title", "starts", "ends"])
        try:
            season = _season(table)
        except BadInput as error:
            raise BadInput(f"number {number}, {error.field}: {error}", field="seasons") from error
        if season.id in seasons:
            raise BadInput(f"number {number}, id: {season.id!r} is there twice", field="seasons")
        seasons[season.id] = season
    return tuple(sorted(seasons.values(), key=lambda season: (season.starts_ms, season.ends_ms, season.id)))


def _season(table: Mapping[str, object]) -> Season:
    season = Season(
        id=_text(table, "id", _ID.fullmatch, "a to z, 0 to 9, _ and -, at most 64"),
        title=_text(table, "title", _is_title, f"1 to {MAX_TITLE} characters, none of them a control character"),
        starts_ms=_instant(table, "starts"),
        ends_ms=_instant(table, "ends"),
    )
    if season.ends_ms <= season.starts_ms:
        raise BadInput("not after starts", field="ends")
    return season


def _instant(table: Mapping[str, object], name: str) -> int:
    """As text, or as the date and time that TOML has of its own."""
    value = table.get(name)
    at_ms: int | None = None
    if isinstance(value, str):
        at_ms = instants.parse(value)
    elif isinstance(value, datetime):
        at_ms = instants.of(value)
    if at_ms is None or not 0 <= at_ms < LAST_MS:
        allowed = "ISO 8601 with a zone, such as 2026-12-01T00:00:00-03:00"
        raise BadInput(f"{_shown_input(value)} is not right; allowed: {allowed}", field=name)
    return at_ms


def _table(value: object, field: str, known: list[str]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise BadInput(f"{_shown_input(value)} is not right; allowed: a table of {', '.join(known)}", field=field)
    for name in value:
        if name not in known:
            raise BadInput(f"{_shown_input(name)} is not known; known are {', '.join(known)}", field=field)
    return value


def _shown_input(value: object) -> str:
    """What was found: shortened, since it may be anything."""
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
