"""AppData as the container keeps it: what a body may hold, what a write leaves behind, what a read shows. No HTTP here.

Two dialects come in, told apart by their form: the guide's (POST a flat item, PUT a wrapped one, which replaces), and
the one that real clients spoke with Orkut (a flat item, and `fields` naming the keys that the write is about).
Sources: the Remote API guide; OpenSocial REST 0.9 "Partial Updates" for `fields`; the 10 KB quota and its words, and
escaping on read, from the Orkut developers' notes of 2008-03-20.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

QUOTA_BYTES: Final = 10 * 1024
"""Keys and values of one person, as UTF-8, unescaped."""

_KEY: Final = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


class RestRefused(Exception):
    """The container says no: `status`, and `text` for the body, which is never JSON."""

    def __init__(self, status: int, text: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Item:
    """An AppData item as it was sent. `wrapped`: inside `{"entry": {id: ...}}`."""

    values: dict[str, str]
    wrapped: bool


def parse_item(body: bytes, person_id: str) -> Item:
    """Read the body of a write for `person_id`. Numbers become the text in which they were written.

    Raises:
        RestRefused: 400. Not a JSON object, a key or value that AppData cannot hold, or other people's data.
    """
    try:
        document = json.loads(body, parse_int=str, parse_float=str, object_pairs_hook=_object, parse_constant=_reject)
    except (ValueError, RecursionError):
        raise RestRefused(400, "badRequest: the body is not a JSON object without repeated keys") from None
    if not isinstance(document, dict):
        raise RestRefused(400, "badRequest: the body is not a JSON object")
    entry = document.get("entry")
    if not isinstance(entry, dict):
        return Item(_values(document), wrapped=False)
    if list(document) != ["entry"] or list(entry) != [person_id] or not isinstance(entry[person_id], dict):
        raise RestRefused(400, "badRequest: entry must hold the item of the person in the URL, and nothing else")
    return Item(_values(entry[person_id]), wrapped=True)


def parse_fields(text: str | None) -> tuple[str, ...] | None:
    """The comma list of `fields`; None where it was not sent, or sent empty."""
    names = tuple(name for name in (text or "").split(",") if name)
    return names or None


def replaced(item: Item) -> dict[str, str]:
    """What is left after a write of the whole item: an empty value clears its key."""
    return _within_quota({name: value for name, value in item.values.items() if value})


def merged(current: Mapping[str, str], item: Item) -> dict[str, str]:
    """What is left after a write that only adds and changes."""
    return _within_quota({name: value for name, value in {**current, **item.values}.items() if value})


def updated(current: Mapping[str, str], item: Item, fields: Sequence[str]) -> dict[str, str]:
    """What is left after a partial update: a key in `fields` but not in the body goes.

    Raises:
        RestRefused: 400 for a key in the body but not in `fields`; 403 over the quota.
    """
    strangers = [name for name in item.values if name not in fields]
    if strangers:
        raise RestRefused(400, f"badRequest: {', '.join(strangers)} in the body but not in fields")
    return merged({name: value for name, value in current.items() if name not in fields}, item)


def shown(values: Mapping[str, str], fields: Sequence[str] | None, *, escape: bool) -> dict[str, str]:
    """What a read answers: the keys asked for (`*` or nothing named: all), HTML-escaped where the container does so."""
    everything = fields is None or "*" in fields
    return {
        name: html.escape(value) if escape else value
        for name, value in values.items()
        if everything or (fields is not None and name in fields)
    }


def size_bytes(values: Mapping[str, str]) -> int:
    """What an item counts towards the quota."""
    return sum(len(name.encode()) + len(value.encode()) for name, value in values.items())


def _within_quota(values: dict[str, str]) -> dict[str, str]:
    if size_bytes(values) > QUOTA_BYTES:
        raise RestRefused(403, "forbidden: AppData size quota exceeded.")
    return values


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("repeated key")
    return result


def _reject(constant: str) -> object:
    raise ValueError(constant)


def _values(document: dict[str, object]) -> dict[str, str]:
    return {_key(name): _value(name, value) for name, value in document.items()}


def _key(name: str) -> str:
    if not _KEY.fullmatch(name):
        raise RestRefused(400, "badRequest: an AppData key may hold letters, digits, '_', '.' and '-' only")
    return name


def _value(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise RestRefused(400, f"badRequest: the value of {name} is neither text nor a number")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RestRefused(400, f"badRequest: the value of {name} is not valid Unicode") from None
    return value
