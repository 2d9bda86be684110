"""A board's definition: read from settings or from the database, checked, written down, compared.

Both write it the same way: a table of plain values, scores as decimal text ("12.50"), the weekday by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from homeserver.domain import scores
from homeserver.errors import BadInput
from homeserver.model import Board, Format, Keep, Order, Span, Ties

E = TypeVar("E", bound=StrEnum)

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_TITLE: Final = 200
MAX_FIELD: Final = 128
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FIELD: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_FIELD}}}")
_FOR_PEOPLE_ONLY: Final = ("id", "title", "format")


@dataclass(frozen=True, slots=True)
class BoardInForce:
    """A definition as the database has it. `generation` tells the lists in use from those being built or replaced."""

    board: Board
    revision: int
    generation: int
    moderated: int = 0
    """How many players an operator has hidden from it, or removed scores of."""


def board_from(item: Mapping[str, object]) -> Board:
    """Read and check one definition.

    `id`, `title` and `field` are due, the rest has `Board`'s defaults. `minimum` and `maximum` are decimal text or
    whole numbers, in the unit that people see: with two decimals, "12.50" and 12 are right, the float 12.5 is not.

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
    )
    if board.minimum is not None and board.maximum is not None and board.minimum > board.maximum:
        raise BadInput("less than minimum", field="maximum")
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
        "spans": [span.value for span in board.spans],
        "zone": board.zone,
        "first_weekday": WEEKDAYS[board.first_weekday],
        "decimals": board.decimals,
        "format": board.format.value,
    }
    for name, bound in (("minimum", board.minimum), ("maximum", board.maximum)):
        if bound is not None:
            item[name] = scores.exact(bound, board.decimals)
    return item


def checked(board: Board) -> Board:
    """The same definition, if it is one.

    Raises:
        BadInput: It is not; see `board_from`.
    """
    return board_from(board_to(board))


def digest(board: Board) -> str:
    """A name for those settings that decide who stands where. Another title or format leaves it as it is."""
    item = {name: value for name, value in board_to(board).items() if name not in _FOR_PEOPLE_ONLY}
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
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


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
    """In the order of `Span`. Every board has `all`: a baseline enters no other, and it is what is shown unasked."""
    value = item.get("spans", [span.value for span in Span])
    allowed = [span.value for span in Span]
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


def _shown_input(value: object) -> str:
    """What was found: shortened, since it may be anything."""
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
