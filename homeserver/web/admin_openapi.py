"""What `/admin/api/` is in the OpenAPI document: made from the table of its calls, so the two cannot differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from homeserver.protocol import admin_answers
from homeserver.protocol.admin_answers import Schema
from homeserver.web.admin_api_calls import CALLS
from homeserver.web.admin_calls import KEY_HEADER, PREFIX, Call, Kind, Param

_TYPES: Final[Mapping[Kind, Schema]] = {
    Kind.TEXT: {"type": "string"},
    Kind.FRACTION: {"type": "number"},
    Kind.FLAG: {"type": "boolean"},
    Kind.TIME: {"type": "string", "format": "date-time"},
}
_PROBLEMS: Final[Mapping[str, str]] = {
    "400": "Something in the call is wrong; `field` names it",
    "401": "No token, or one that is not good (any more)",
    "403": "The token, or its owner, may not do that; or a page of another site asks for it",
    "404": "There is no such board, player, claim, task",
    "409": "Nothing would change, or something else is being done",
    "429": "Asked too often; Retry-After says when to come back",
}


def _schema(param: Param) -> Schema:
    if param.words:
        return {"enum": list(param.words)}
    if param.kind is not Kind.NUMBER:
        return dict(_TYPES[param.kind])
    bounds = {"minimum": param.least, "maximum": param.most, "default": param.default}
    return {"type": "integer", **{name: value for name, value in bounds.items() if value is not None}}


def _parameters(call: Call) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", call.path)
    ]
    found += [
        {
            "name": param.name,
            "in": "query",
            "required": param.required,
            "schema": _schema(param),
            "description": param.says,
        }
        for param in call.query
    ]
    if call.is_act and not call.is_secret:
        found.append(
            {
                "name": KEY_HEADER,
                "in": "header",
                "schema": {"type": "string", "maxLength": 100},
                "description": "The caller's name for this act: repeated within a day, it is not done twice.",
            }
        )
    return found


def _body(call: Call) -> Schema:
    return {
        "type": "object",
        "properties": {param.name: {**_schema(param), "description": param.says} for param in call.body},
        "required": [param.name for param in call.body if param.required],
        "additionalProperties": False,
    }


def _answer(call: Call, schemas: dict[str, Schema]) -> dict[str, Any]:
    if call.answer is None:
        return {"description": "It is done"}
    if call.answer is str and not call.named:
        files = {"text/csv": {"schema": {"type": "string"}}, "application/x-ndjson": {"schema": {"type": "string"}}}
        return {"description": "The file", "content": files}
    schema = admin_answers.schema_of(call.answer, schemas)
    if call.named:
        listed = {"type": "array", "items": schema}
        schema = {"type": "object", "properties": {call.named: listed}, "required": [call.named]}
    return {"description": "The answer", "content": {"application/json": {"schema": schema}}}


def _operation(call: Call, schemas: dict[str, Schema]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation: dict[str, Any] = {
        "summary": call.summary,
        "description": f"Takes the role {call.role.value}."
        + (" For operators who are signed in on the pages, and for no token." if call.in_person else ""),
        "security": [{"operators_cookie": []}] if call.in_person else [{"operator": []}, {"operators_cookie": []}],
        "responses": {
            str(call.status): _answer(call, schemas),
            **{status: {"description": says, "content": problem} for status, says in _PROBLEMS.items()},
        },
    }
    if parameters := _parameters(call):
        operation["parameters"] = parameters
    if call.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _body(call)}}}
    return operation


@cache
def described() -> tuple[Mapping[str, Any], Mapping[str, Schema]]:
    """Its paths, and the schemas of what they answer."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Schema] = {}
    for call in CALLS:
        paths.setdefault(f"{PREFIX}{call.path}", {})[call.method.lower()] = _operation(call, schemas)
    return paths, schemas
