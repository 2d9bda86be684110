"""What the container's answers mean: people, AppData, and every refusal.

Source: the Orkut Remote API guide; OpenSocial REST 0.9 where it is silent; Apache Shindig as observed. Numbers are read
as the text in which they came, so that no id and no score is rounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from html import unescape
from itertools import chain
from typing import Any, Final

from homeserver.errors import (
    RemoteConflict,
    RemoteForbidden,
    RemoteGarbage,
    RemoteNotFound,
    RemoteQuota,
    RemoteRefused,
    RemoteUnauthorized,
    RemoteUnavailable,
    RemoteUnsupported,
)
from homeserver.model import AppData, HttpReply, Person
from homeserver.protocol.dialects import Dialect
from homeserver.protocol.replies import excerpt, plain_text, retry_after_s

PERSON_ID: Final = re.compile(r"[^\x00-\x20\x7f-\x9f,\ud800-\udfff]{1,255}")
"""A comma would make it several people."""
SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_LONGEST_NAME: Final = 200
_LONGEST_URL: Final = 2000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of people. `start` and `total` are what the container claims, None where it claims nothing readable."""

    people: tuple[Person, ...]
    start: int | None
    total: int | None
    collection: str = "entry"
    """The name under which the people came."""


def raise_for(reply: HttpReply, service: str = "container") -> None:
    """Nothing for a 2xx; for any other status the error that it means, with the container's text.

    Raises:
        RemoteUnauthorized: 401. The signature was refused, or this person does not have the application.
        RemoteQuota: 413, or a refusal that speaks of a quota.
        RemoteForbidden: 403.
        RemoteNotFound: 404, 410.
        RemoteConflict: 409, 412.
        RemoteUnsupported: 501.
        RemoteUnavailable: 408, 429 and the other 5xx, with `Retry-After`.
        RemoteRefused: The other 4xx: our request is wrong.
        RemoteGarbage: A redirect, which a signed call never follows, or no status at all that has a place here.
    """
    status = reply.status
    if 200 <= status < 300:
        return
    text = plain_text(reply.body)
    message = f"{status}: {text}" if text else str(status)
    if status == 413 or (status in {400, 403, 409} and "quota" in text.lower()):
        raise RemoteQuota(message, service=service)
    if status in {408, 429} or (status >= 500 and status != 501):
        raise RemoteUnavailable(message, service=service, wait_s=retry_after_s(reply.headers))
    known = _BY_STATUS.get(status)
    if known is not None:
        raise known(message, service=service)
    if 400 <= status < 500:
        raise RemoteRefused(message, service=service)
    raise RemoteGarbage(f"the answer has status {status}", service=service, excerpt=excerpt(reply.body))


_BY_STATUS: Final = {
    401: RemoteUnauthorized,
    403: RemoteForbidden,
    404: RemoteNotFound,
    409: RemoteConflict,
    410: RemoteNotFound,
    412: RemoteConflict,
    501: RemoteUnsupported,
}


def parse_person(reply: HttpReply) -> Person:
    """Read one person.

    Raises:
        RemoteError: As `raise_for`; RemoteGarbage for what is not JSON or not a person.
    """
    return person_in(_entry(reply), reply)


def parse_people(reply: HttpReply) -> Page:
    """Read a page of people.

    Accepts `entry` (0.8, 0.9) and `list` (1.0 and later), numbers that arrive as strings, and a single person where a
    list was due.

    Raises:
        RemoteError: As `raise_for`; RemoteGarbage for what is not JSON or not a collection of people.
    """
    raise_for(reply)
    return people_in(_load(reply), reply)


def parse_appdata(reply: HttpReply, dialect: Dialect) -> dict[str, AppData]:
    """Read AppData: from person id to their item. A person without data has an empty item, or none.

    Values are text: a number is the text in which it came; `true` and `false` are these words; a structure is its JSON;
    `null` is no value. Each is HTML-unescaped exactly once where the dialect says so, and nothing else is done to it,
    except that half a surrogate pair, which no database and no UTF-8 can hold, becomes U+FFFD.

    Raises:
        RemoteError: As `raise_for`; RemoteGarbage for what is not JSON or not AppData.
    """
    return appdata_in(_entry(reply), dialect, reply)


def parse_written(reply: HttpReply) -> None:
    """Check the answer to a write: a 2xx with JSON, or with nothing. What it repeats of the item is not needed.

    Raises:
        RemoteError: As `raise_for`; RemoteGarbage for a page of HTML, which some proxy sent and no container.
    """
    raise_for(reply)
    if reply.body.strip():
        _load(reply)


# --- parts of an answer, however they were wrapped. `reply` is what they came in, for the errors. ---------------------


def load(reply: HttpReply) -> object:
    """The JSON of an answer, its numbers as the text in which they came (a kind of `str`).

    Raises:
        RemoteGarbage: It is none.
    """
    try:
        content: object = _DECODER.decode(reply.body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise garbage("the answer is not JSON", reply) from error
    return content


def person_in(value: object, reply: HttpReply) -> Person:
    """One person, or a list of just one.

    Raises:
        RemoteGarbage: It is neither.
    """
    if isinstance(value, list) and len(value) == 1:
        [value] = value
    return _person(value, reply)


def people_in(content: dict[str, Any], reply: HttpReply) -> Page:
    """A collection of people.

    Raises:
        RemoteGarbage: It is none, or somebody in it is no person.
    """
    name, entry = _entry_of(content, reply)
    items = entry if isinstance(entry, list) else [entry]
    people = tuple([_person(item, reply) for item in items if item is not None])
    return Page(people, _count(content.get("startIndex")), _count(content.get("totalResults")), name)


def appdata_in(entry: object, dialect: Dialect, reply: HttpReply) -> dict[str, AppData]:
    """Items by person id, as `parse_appdata` has them.

    Raises:
        RemoteGarbage: It is no AppData.
    """
    items = _map(entry, reply)
    if not all(map(PERSON_ID.fullmatch, items)):
        raise garbage("the answer holds an id that is none", reply)
    surrogates = b"\\ud" in reply.body.lower()  # a decoded text holds none unless it was written as an escape
    # Many a JSON writer is careful of HTML, and writes & as an escape.
    escaped = dialect.escaped_values and (b"&" in reply.body or b"\\u0026" in reply.body)
    if not surrogates and not escaped and _are_plain(items.values()):  # most are, and hold many
        return items
    try:
        return {user_id: _item(item, dialect, reply, surrogates=surrogates) for user_id, item in items.items()}
    except RecursionError as error:
        raise garbage("a value is nested too deeply", reply) from error


def garbage(message: str, reply: HttpReply) -> RemoteGarbage:
    """The error for an answer that cannot be read, with its beginning."""
    return RemoteGarbage(message, service="container", excerpt=excerpt(reply.body))


def _load(reply: HttpReply) -> dict[str, Any]:
    content = load(reply)
    if not isinstance(content, dict):
        raise garbage("the answer is not an object", reply)
    return content


def _entry(reply: HttpReply) -> object:
    raise_for(reply)
    return _entry_of(_load(reply), reply)[1]


def _entry_of(content: dict[str, Any], reply: HttpReply) -> tuple[str, object]:
    for name in ("entry", "list"):
        if name in content:
            return name, content[name]
    raise garbage("the answer has no entry", reply)


class _Number(str):
    """A JSON number as the text in which it came."""

    __slots__ = ()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant)


def _map(value: object, reply: HttpReply) -> dict[str, Any]:
    """An object. PHP writes an empty one as an empty list, and some leave an empty one out: both are `{}`."""
    if isinstance(value, dict):
        return value
    if value is None or value == []:
        return {}
    raise garbage("the entry has the wrong shape", reply)


def _are_plain(items: Collection[Any]) -> bool:
    """Whether these are objects of texts alone: they mean what they say as they stand."""
    return {dict}.issuperset(map(type, items)) and {str}.issuperset(
        map(type, chain.from_iterable(map(dict.values, items)))
    )


def _item(item: object, dialect: Dialect, reply: HttpReply, *, surrogates: bool) -> AppData:
    values = {key: _value(value, dialect) for key, value in _map(item, reply).items() if value is not None}
    return _without_surrogates(values) if surrogates else values


def _value(value: object, dialect: Dialect) -> str:
    text = value if isinstance(value, str) else _as_json(value)
    return unescape(str(text)) if dialect.escaped_values else str(text)


def _without_surrogates(values: AppData) -> AppData:
    return {SURROGATE.sub("\ufffd", key): SURROGATE.sub("\ufffd", value) for key, value in values.items()}


def _as_json(value: object) -> str:
    """A value that is no text, written as JSON again, its numbers digit for digit as they came."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, dict):
        return "{" + ",".join(f"{_as_json(key)}:{_as_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_as_json(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _count(value: object) -> int | None:
    """A count of people, a number or its text; None for anything else."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value) else None


def _person(value: object, reply: HttpReply) -> Person:
    if not isinstance(value, dict) or not isinstance(value.get("id"), str) or not PERSON_ID.fullmatch(value["id"]):
        raise garbage("the answer holds something that is not a person", reply)
    name = value.get("name")
    parts: dict[str, Any] = name if isinstance(name, dict) else {"formatted": name}
    return Person(
        id=str(value["id"]),
        given_name=_shown(parts.get("givenName")),
        family_name=_shown(parts.get("familyName")),
        display_name=_shown(value.get("displayName")) or _shown(parts.get("formatted") or parts.get("unstructured")),
        thumbnail_url=_picture(value.get("thumbnailUrl")) or _thumbnail(value.get("photos")),
        has_app=_flag(value.get("hasApp")),
        birthday=_day(value.get("dateOfBirth") or value.get("birthday")),
    )


def _day(value: object) -> str:
    """The month and day of a date of birth, as `05-28`; empty where there is none."""
    found = (
        re.match(r"(?:\d{4}-|--)?(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?:T|\Z)", value)
        if isinstance(value, str)
        else None
    )
    return f"{found[1]}-{found[2]}" if found else ""


def _shown(value: object) -> str:
    """A name, on one line and of bounded length; it is data from outside, and not every database holds a NUL."""
    if not isinstance(value, str):
        return ""
    return _UNPRINTABLE.sub(" ", value[: 4 * _LONGEST_NAME]).strip()[:_LONGEST_NAME]


def _picture(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_URL or _UNPRINTABLE.search(value):
        return ""
    return str(value) if value.lower().startswith(("http://", "https://")) else ""


def _thumbnail(photos: object) -> str:
    """The picture among `photos` that calls itself a thumbnail."""
    for photo in photos if isinstance(photos, list) else []:
        if isinstance(photo, dict) and photo.get("type") == "thumbnail" and (url := _picture(photo.get("value"))):
            return url
    return ""


def _flag(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False, "1": True, "0": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None
