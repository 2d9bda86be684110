"""How containers differ, as data: every difference is a field of `Dialect`, never a branch on its name.

Source: the Orkut Remote API guide (`GUIDE`); the client libraries that ran against Orkut (`ORKUT`); Apache Shindig
2.0.2 and 2.5.0-beta1 as observed (`SHINDIG`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Override(StrEnum):
    """Where a POST says that it means PUT or DELETE, for networks that forbid those."""

    HEADER = "header"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of containers differs from the others."""

    name: str
    people_fields: tuple[str, ...]
    """Asked of a person unless the caller says otherwise: a container's own choice may leave out the shown name."""
    first_index: int
    """What `startIndex` counts from, so far as one can know beforehand."""
    collections: tuple[str, ...]
    """Under which name a list of people comes: `entry`, or `list` in OpenSocial 1.0 and later."""
    rpc: bool
    """Several reads may travel as one request, by JSON-RPC at an address beside that of the REST services."""
    short_create: bool
    """POST goes to `/appdata/{id}/@app`, without a selector."""
    wrapped_put: bool
    """The body of PUT is `{"entry": {id: item}}`; elsewhere it is the item itself."""
    fields_on_writes: bool
    """POST and PUT name their keys in `fields`; a key that is named there and missing in the body is deleted."""
    merging_put: bool
    """PUT adds to the item in place of replacing it, so keys that must go need a DELETE."""
    delete_by_fields: bool
    """DELETE takes the keys in `fields`, and deletes nothing without; elsewhere it deletes the whole item."""
    override: Override
    escaped_values: bool
    """AppData values come HTML-escaped. (They are sent as they are.)"""
    empty_clears: bool
    """Writing an empty value removes its key; elsewhere an empty value is one like any other."""
    body_hash: bool
    """Writes carry `oauth_body_hash`, unless a setting says otherwise."""


_PEOPLE_FIELDS: Final = ("id", "name", "displayName", "thumbnailUrl", "photos", "hasApp")

GUIDE: Final = Dialect(
    name="guide",
    people_fields=_PEOPLE_FIELDS,
    first_index=1,
    collections=("entry",),
    rpc=False,
    short_create=True,
    wrapped_put=True,
    fields_on_writes=False,
    merging_put=False,
    delete_by_fields=False,
    override=Override.HEADER,
    escaped_values=True,
    empty_clears=True,
    body_hash=False,
)
"""The guide as it is printed."""

ORKUT: Final = Dialect(
    name="orkut",
    people_fields=_PEOPLE_FIELDS,
    first_index=1,
    collections=("entry",),
    rpc=False,
    short_create=False,
    wrapped_put=False,
    fields_on_writes=True,
    merging_put=False,
    delete_by_fields=True,
    override=Override.HEADER,
    escaped_values=True,
    empty_clears=True,
    body_hash=False,
)
"""What the client libraries that ran against Orkut sent."""

SHINDIG: Final = Dialect(
    name="shindig",
    people_fields=_PEOPLE_FIELDS,
    first_index=0,
    collections=("entry", "list"),
    rpc=True,
    short_create=False,
    wrapped_put=False,
    fields_on_writes=False,
    merging_put=True,
    delete_by_fields=True,
    override=Override.QUERY,
    escaped_values=False,
    empty_clears=False,
    body_hash=True,
)
"""Apache Shindig and what is built on it."""

DIALECTS: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (GUIDE, ORKUT, SHINDIG)}
