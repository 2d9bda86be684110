"""Several reads in one signed request: a player's profile, friends and AppData by JSON-RPC.

Source: OpenSocial RPC 0.9, for what is asked; Apache Shindig 2.0.2 and 2.5.0-beta1, for what is answered: an array with
one object for each call, in any order, each with `result` or with an `error` whose `code` is an HTTP status. (In 0.8,
`data` stood for `result`, and words for codes.) Only dialects with `Dialect.rpc` offer it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.errors import RemoteUnsupported
from homeserver.model import AppData, HttpReply, Person
from homeserver.protocol.dialects import Dialect
from homeserver.protocol.opensocial import Call, get_appdata, get_people, get_person
from homeserver.protocol.opensocial_replies import Page, appdata_in, garbage, load, people_in, person_in, raise_for

__all__ = ["Answers", "get_overview", "parse_overview", "rpc_base_url"]

_PERSON, _FRIENDS, _OWN, _THEIRS = "person", "friends", "own", "theirs"
_WORTH_HEARING: Final = (401, 408, 429)
"""Refusals of the request as a whole that REST would meet too; any other says that this is no place for JSON-RPC."""
_HTTP_STATUS: Final = re.compile(r"[1-5][0-9]{2}")
_CODES: Final[Mapping[str, int]] = {
    "-32700": 400,
    "-32600": 400,
    "-32601": 501,
    "-32602": 400,
    "-32603": 500,
    "badRequest": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "notFound": 404,
    "limitExceeded": 409,
    "internalError": 500,
    "notImplemented": 501,
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What one request brought of one person. AppData is by person id; empty where no keys were asked for."""

    person: Person
    friends: Page
    """The first page. The container may have ignored the filter."""
    own: Mapping[str, AppData]
    friends_appdata: Mapping[str, AppData]


def rpc_base_url(base_url: str) -> str:
    """What stands before `/rpc`, where the REST services begin at `base_url`: `/social/rest` has `/social/rpc`."""
    return base_url.rstrip("/").removesuffix("/rest")


def get_overview(dialect: Dialect, user_id: str, fields: Collection[str], *, count: int) -> Call:
    """Ask for a person, for `count` of their friends who have the application, and for these keys of their AppData.

    The call's path begins after `rpc_base_url`.

    Raises:
        BadInput: Not the id of one person, or a key that is none.
    """
    calls = [
        _call("people", _PERSON, user_id, "@self", get_person(dialect, user_id)),
        _call(
            "people", _FRIENDS, user_id, "@friends", get_people(dialect, user_id, "@friends", count=count, has_app=True)
        ),
    ]
    if fields:
        calls += [
            _call("appdata", _OWN, user_id, "@self", get_appdata(user_id, "@self", fields)),
            _call("appdata", _THEIRS, user_id, "@friends", get_appdata(user_id, "@friends", fields)),
        ]
    body = json.dumps(calls, ensure_ascii=False, separators=(",", ":")).encode()
    return Call("POST", "/rpc", (), (("Content-Type", "application/json"),), body)


def parse_overview(reply: HttpReply, dialect: Dialect, *, with_appdata: bool) -> Answers:
    """Read the answer to `get_overview`. One call that failed fails the whole.

    Args:
        with_appdata: Whether keys were asked for.

    Raises:
        RemoteUnsupported: There is no JSON-RPC here, or not for us, or it does not know one of the calls.
        RemoteError: As `raise_for`; RemoteGarbage for what is not the answers to these calls.
    """
    elsewhere = 300 <= reply.status < 500 and reply.status not in _WORTH_HEARING
    if elsewhere or reply.status == 501:
        raise RemoteUnsupported(f"{reply.status}: no JSON-RPC at this address", service="container")
    raise_for(reply)
    results = _results(reply, {_PERSON, _FRIENDS} | ({_OWN, _THEIRS} if with_appdata else set()))
    friends = results[_FRIENDS]
    return Answers(
        person_in(_unwrapped(results[_PERSON], "entry"), reply),
        people_in(friends if isinstance(friends, dict) else {"list": friends}, reply),
        appdata_in(_unwrapped(results.get(_OWN, {}), "entry"), dialect, reply),
        appdata_in(_unwrapped(results.get(_THEIRS, {}), "entry"), dialect, reply),
    )


def _call(service: str, name: str, user_id: str, group: str, rest: Call) -> dict[str, object]:
    """A call with the parameters of the REST request that asks for the same; lists are lists here, numbers numbers."""
    parameters: dict[str, object] = {"userId": user_id, "groupId": group}
    if service == "appdata":
        parameters["appId"] = "@app"
    for key, value in rest.query:
        parameters[key] = value.split(",") if key == "fields" else int(value) if key == "count" else value
    return {"method": f"{service}.get", "id": name, "params": parameters}


def _results(reply: HttpReply, wanted: Collection[str]) -> dict[str, Any]:
    answers = load(reply)
    if not isinstance(answers, list):
        raise garbage("the answer is not an array", reply)
    results: dict[str, Any] = {}
    for answer in answers:
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
            raise garbage("the answer holds something that answers no call", reply)
        if answer.get("error") is not None:
            _raise_error(answer["error"], reply)
        results[answer["id"]] = answer["result"] if "result" in answer else answer.get("data")
    if any(results.get(name) is None for name in wanted):
        raise garbage("a call has no answer", reply)
    return results


def _raise_error(error: object, reply: HttpReply) -> None:
    """Raise what a call's error means: the same as this status would, of a whole answer."""
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        raise garbage("an error without a code", reply)
    code, message = str(error["code"]), error.get("message")
    status = _CODES.get(code) or (int(code) if _HTTP_STATUS.fullmatch(code) else 500)
    raise_for(HttpReply(status, reply.headers, message.encode("utf-8", "replace") if isinstance(message, str) else b""))
    raise garbage("an error that is none", reply)


def _unwrapped(value: object, name: str) -> object:
    """What is in `{"entry": ...}`, where the answer has this wrapping of the REST services too."""
    return value[name] if isinstance(value, dict) and list(value) == [name] else value
