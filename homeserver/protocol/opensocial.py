"""Requests to the container's people and appdata services; what their answers mean is in `opensocial_replies.py`.

Source: the Orkut Remote API guide; OpenSocial REST 0.9 where it is silent; Apache Shindig as observed. Where containers
differ, `dialects.py` holds the difference as data.

A person's id is text everywhere: the guide's own ids exceed 63 bits and one begins with 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from homeserver.errors import BadInput
from homeserver.model import AppData
from homeserver.protocol.dialects import DIALECTS, GUIDE, ORKUT, SHINDIG, Dialect, Override
from homeserver.protocol.opensocial_replies import (
    PERSON_ID,
    SURROGATE,
    Page,
    parse_appdata,
    parse_people,
    parse_person,
    parse_written,
    raise_for,
)

__all__ = [
    "DIALECTS",
    "GUIDE",
    "HAS_APP",
    "ME",
    "ORKUT",
    "SHINDIG",
    "Call",
    "Dialect",
    "Filter",
    "Page",
    "Selector",
    "check_changes",
    "create_appdata",
    "delete_appdata",
    "get_appdata",
    "get_people",
    "get_person",
    "parse_appdata",
    "parse_people",
    "parse_person",
    "parse_written",
    "raise_for",
    "replace_appdata",
]

Selector = Literal["@self", "@friends", "@all"]

ME: Final = "@me"
_SELECTORS: Final = ("@self", "@friends", "@all")
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}")


@dataclass(frozen=True, slots=True)
class Filter:
    """Only people whose `field` is so. The guide names no operations but `equals`; OpenSocial has three more."""

    field: str
    operation: Literal["equals", "contains", "startsWith", "present"] = "equals"
    value: str = "true"


HAS_APP: Final = Filter("hasApp")
"""The guide's example: those who have the application."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request before it is signed. `path` is percent-encoded and begins after the base URL."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def url(self, base_url: str) -> str:
        """The absolute URL, percent-encoded. `base_url` ends before `/people`, such as `http://host/social/rest`."""
        pairs = "&".join([f"{quote(name, safe='@~')}={quote(value, safe='@~')}" for name, value in self.query])
        return f"{base_url.rstrip('/')}{self.path}{'?' if pairs else ''}{pairs}"


def get_person(
    dialect: Dialect, user_id: str, *, fields: Sequence[str] | None = None, requestor_id: str | None = None
) -> Call:
    """Ask for one person's profile.

    Raises:
        BadInput: An id that is none, or `@me` without a requestor.
    """
    return Call("GET", f"/people/{_readable(user_id, requestor_id)}/@self", _people_fields(dialect, fields))


def get_people(
    dialect: Dialect,
    user_id: str,
    selector: Literal["@friends", "@all"],
    *,
    count: int,
    start_index: int | None = None,
    has_app: bool = False,
    matching: Filter | None = None,
    fields: Sequence[str] | None = None,
    requestor_id: str | None = None,
) -> Call:
    """Ask for one page of a person's friends or contacts.

    Args:
        count: People a page; the container may send fewer or more.
        start_index: As it travels, in the container's own counting; None for the first page.
        has_app: Only those who have the application. A container may ignore it.
        matching: Only those who match, in place of `has_app`: there is one filter at a time.

    Raises:
        BadInput: An id, selector or field that is none, or `@me` without a requestor.
    """
    if selector not in {"@friends", "@all"}:
        raise BadInput("people are listed by @friends or @all", field="selector")
    query = [("count", str(count))]
    if start_index is not None:
        query.append(("startIndex", str(start_index)))
    filtered = matching or (HAS_APP if has_app else None)
    if filtered is not None:
        query += [
            ("filterBy", _checked_key(filtered.field)),
            ("filterOp", filtered.operation),
            ("filterValue", filtered.value),
        ]
    return Call(
        "GET",
        f"/people/{_readable(user_id, requestor_id)}/{selector}",
        (*query, *_people_fields(dialect, fields)),
    )


def get_appdata(
    user_id: str, selector: Selector, fields: Collection[str] = (), *, requestor_id: str | None = None
) -> Call:
    """Ask for AppData: one's own (`@self`), one's friends' or all contacts'. Without `fields`, every key.

    Raises:
        BadInput: An id, selector or key that is none, or `@me` without a requestor.
    """
    if selector not in _SELECTORS:
        raise BadInput("AppData is read by @self, @friends or @all", field="selector")
    query = (("fields", _key_list(fields)),) if fields else ()
    return Call("GET", f"/appdata/{_readable(user_id, requestor_id)}/{selector}/@app", query)


def create_appdata(dialect: Dialect, user_id: str, item: AppData, *, selector: str = "@self") -> Call:
    """Make the AppData item of a person who has none.

    Raises:
        BadInput: Not exactly one person, or a key or value that cannot be stored.
    """
    target = _writable(user_id, selector)
    path = f"/appdata/{target}/@app" if dialect.short_create else f"/appdata/{target}/@self/@app"
    keys = _checked(item)
    return Call("POST", path, _fields_on_write(dialect, keys), _JSON, _json(dict(item)))


def replace_appdata(
    dialect: Dialect,
    user_id: str,
    item: AppData,
    *,
    removed: Collection[str] = (),
    kept: Collection[str] = (),
    selector: str = "@self",
    override: bool = False,
) -> Call:
    """Replace the whole item: a key that is not in `item` is gone afterwards (but see `Dialect.merging_put`).

    Args:
        removed: Keys that were there and must go; where `fields` decides that, they are named in it.
        kept: Keys that the container itself gave us, put back whatever they look like.
        override: Send a POST that says it is a PUT.

    Raises:
        BadInput: Not exactly one person, or a key or value that cannot be stored.
    """
    target = _writable(user_id, selector)
    keys = [*_checked(item, kept), *removed]
    body = {"entry": {user_id: dict(item)}} if dialect.wrapped_put else dict(item)
    call = Call("PUT", f"/appdata/{target}/@self/@app", _fields_on_write(dialect, keys), _JSON, _json(body))
    return _overridden(dialect, call) if override else call


def delete_appdata(
    dialect: Dialect, user_id: str, fields: Collection[str] = (), *, selector: str = "@self", override: bool = False
) -> Call:
    """Delete the whole item (`fields` empty), or the keys in `fields`: whichever the dialect can, and nothing else.

    Raises:
        BadInput: Not exactly one person, a key that is none, or keys where the dialect deletes only whole items and the
            reverse: such a request would delete too much, or nothing.
    """
    target = _writable(user_id, selector)
    if dialect.delete_by_fields is not bool(fields):
        raise BadInput(f"the dialect {dialect.name} cannot delete this at once", field="fields")
    query = (("fields", _key_list(fields)),) if fields else ()
    call = Call("DELETE", f"/appdata/{target}/@self/@app", query)
    return _overridden(dialect, call) if override else call


def check_changes(user_id: str, changes: Mapping[str, str | None]) -> None:
    """Refuse what no container could take, before anything is sent.

    Raises:
        BadInput: Not the id of one person, or a key or value that cannot be stored. None is a key to remove.
    """
    _one_person(user_id)
    _key_list(changes)
    _checked({key: value for key, value in changes.items() if value is not None})


_JSON: Final = (("Content-Type", "application/json"),)


def _readable(user_id: str, requestor_id: str | None) -> str:
    if user_id == ME:
        if not requestor_id:
            raise BadInput("@me needs the requestor's id", field="requestor_id")
        return ME
    return _one_person(user_id)


def _writable(user_id: str, selector: str) -> str:
    if selector != "@self":
        raise BadInput("AppData is written for one person at a time, by @self", field="selector")
    return _one_person(user_id)


def _one_person(user_id: str) -> str:
    if not isinstance(user_id, str) or not PERSON_ID.fullmatch(user_id) or user_id[0] == "@" or user_id in {".", ".."}:
        raise BadInput("not the id of one person", field="user_id")
    return quote(user_id, safe="~")


def _people_fields(dialect: Dialect, fields: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    chosen = dialect.people_fields if fields is None else tuple(fields)
    return (("fields", _key_list(chosen)),) if chosen else ()


def _fields_on_write(dialect: Dialect, keys: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return (("fields", ",".join(dict.fromkeys(keys))),) if dialect.fields_on_writes else ()


def _key_list(keys: Collection[str]) -> str:
    if isinstance(keys, str):
        raise TypeError("keys are given as a collection, not as one text")
    return ",".join(dict.fromkeys(_checked_key(key) for key in keys))


def _checked(item: AppData, kept: Collection[str] = ()) -> list[str]:
    for key, value in item.items():
        if key not in kept:
            _checked_key(key)
        if not isinstance(value, str) or SURROGATE.search(value):
            raise BadInput(f"the value of {key} is not text", field=key)
    return list(item)


def _checked_key(key: str) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise BadInput("a key or field holds letters, digits, '_', '.' and '-' only", field="key")
    return key


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _overridden(dialect: Dialect, call: Call) -> Call:
    name = "X-HTTP-Method-Override"
    if dialect.override is Override.QUERY:
        return Call("POST", call.path, (*call.query, (name, call.method)), call.headers or _JSON, call.body)
    return Call("POST", call.path, call.query, (*(call.headers or _JSON), (name, call.method)), call.body)
