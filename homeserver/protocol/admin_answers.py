"""What programs of operators hear, and how it is described: JSON and its schema, both from the words that are shared.

A dataclass is an object of its fields, times (`.._ms`) are ISO 8601 in UTC, scores are decimal strings, a board or a
span is its id. Numbers of players never leave the house: where there is a card, it is called `player`.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import orjson

from homeserver.model import Board
from homeserver.protocol.gadget import iso

Schema = dict[str, Any]

PREFIX: Final = "Operators"
"""Of the schemas' names: players and operators see some things differently."""
_NAMES: Final = {"card": "player", "event": "claim"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_SIMPLE: Final[Mapping[object, Schema]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Fraction: {"type": "number"},
    object: {},
    Board: {"type": "string"},
}


def dump(value: object) -> bytes:
    """The answer as JSON."""
    return orjson.dumps(plain(value))


def plain(value: object) -> Any:
    """The value as JSON has it."""
    if isinstance(value, Board):
        return value.id
    if is_dataclass(value):
        return {
            name: _time(getattr(value, field)) if field.endswith("_ms") else plain(getattr(value, field))
            for field, name, _ in _members(type(value))  # type: ignore[arg-type]
        }
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    if isinstance(value, StrEnum):
        return value.value
    return float(value) if isinstance(value, Fraction) else value


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)


@cache
def _members(kind: type) -> tuple[tuple[str, str, object], ...]:
    """The fields that leave the house: as they are called here, as they are called there, and of which type."""
    hints = get_type_hints(kind)
    found = []
    for field in fields(kind):
        hint = hints[field.name]
        if field.name == "player" and hint in (int, int | None):
            continue
        name = _NAMES.get(field.name, field.name.removesuffix("_ms"))
        found.append((field.name, name, hint))
    return tuple(found)


# --- schemas ----------------------------------------------------------------------------------------------------------


def schema_of(hint: object, schemas: dict[str, Schema]) -> Schema:
    """The schema of a type's values as `plain` gives them; those of dataclasses are added to `schemas`, by name."""
    if hint in _SIMPLE:
        return dict(_SIMPLE[hint])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = [each for each in arguments if each is not type(None)]
        return _nullable(schema_of(inner, schemas))
    if origin is tuple:
        return {"type": "array", "items": schema_of(arguments[0], schemas)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": True}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [each.value for each in hint]}
    if isinstance(hint, type) and is_dataclass(hint):
        return _object(hint, schemas)
    raise TypeError(f"there is no schema for {hint}")


def _object(kind: type, schemas: dict[str, Schema]) -> Schema:
    name = f"{PREFIX}{kind.__name__}"
    if name not in schemas:
        schemas[name] = {}  # before its members, which may be of the same kind
        properties = {
            there: _time_schema(hint) if here.endswith("_ms") else schema_of(hint, schemas)
            for here, there, hint in _members(kind)
        }
        schemas[name] = {"type": "object", "properties": properties, "required": list(properties)}
    return {"$ref": f"#/components/schemas/{name}"}


def _time_schema(hint: object) -> Schema:
    return dict(_TIME) if hint is int else _nullable(dict(_TIME))


def _nullable(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}
