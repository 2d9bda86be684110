"""How a call of `/admin/api/` is described, read, allowed and answered: one description serves all four.

Who calls with a token in the Authorization header is whoever the token is of; a cookie beside it means nothing. Without
that header it is the operator who is signed in on the pages, and unsafe calls must come from a page of this site.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from homeserver.errors import BadInput, Forbidden, NotSignedIn
from homeserver.model import Operator, Role
from homeserver.protocol import admin_answers
from homeserver.services.repeats import Answer
from homeserver.web.bodies import json_answer, read_body, stream
from homeserver.web.keys import OPERATOR_TOKENS, REPEATS
from homeserver.web.security import bearer
from homeserver.web.visitors import operator

PREFIX: Final = "/admin/api"
MAX_BODY_BYTES: Final = 64 * 1024
MAX_TEXT: Final = 1_000
MAX_TIME: Final = 40
KEY_HEADER: Final = "Idempotency-Key"

_NUMBER: Final = re.compile(r"(0|[1-9][0-9]{0,17})")
_FRACTION: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


class Kind(Enum):
    """What a value given by a caller is."""

    TEXT = auto()
    NUMBER = auto()
    FRACTION = auto()
    FLAG = auto()
    TIME = auto()
    """ISO 8601 with a zone; milliseconds here."""


@dataclass(frozen=True, slots=True)
class Param:
    """A value that a call takes. `words` are all that it may be; a number is `least` to `most`, or else `default`."""

    name: str
    says: str
    kind: Kind = Kind.TEXT
    words: tuple[str, ...] = ()
    required: bool = False
    least: int = 0
    most: int | None = None
    default: int | None = None


class Given:
    """The values that came with a call, read and checked. What was not given is None."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        value = self._values.get(name)
        return default if value is None else str(value)

    def maybe(self, name: str) -> str | None:
        """A text, if it was given."""
        value: str | None = self._values.get(name)
        return value

    def number(self, name: str) -> int:
        """A whole number; 0 where it was not given and has no default."""
        value: int = self._values.get(name, 0)
        return value

    def maybe_number(self, name: str) -> int | None:
        """A whole number or a time, if it was given."""
        value: int | None = self._values.get(name)
        return value

    def fraction(self, name: str, default: float) -> float:
        """A number."""
        value: float | None = self._values.get(name)
        return default if value is None else value

    def flag(self, name: str) -> bool | None:
        """Yes or no, if it was given."""
        value: bool | None = self._values.get(name)
        return value


Handler = Callable[[web.Request, Operator, Given], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        role: The least that it takes.
        answer: The type of what the handler gives; with `named`, of each of the things in the list of this name.
            None: the answer has no content. `str`: a file, which the handler streams by itself.
        query, body: What it takes. A call that changes something takes a body, others take none.
    """

    method: str
    path: str
    role: Role
    summary: str
    handler: Handler
    answer: Any = None
    named: str = ""
    query: tuple[Param, ...] = ()
    body: tuple[Param, ...] = ()
    status: int = 200
    is_secret: bool = False
    """Its answer is not kept anywhere, so it is made anew where the call is repeated."""
    in_person: bool = False
    """It is for operators who are signed in on the pages, not for their programs."""

    @property
    def is_act(self) -> bool:
        """Whether it changes something."""
        return self.method != hdrs.METH_GET


def route(call: Call) -> web.RouteDef:
    """The call as a route."""
    serve, path = functools.partial(_serve, call), f"{PREFIX}{call.path}"
    if call.is_act:
        return web.route(call.method, path, serve)
    return web.get(path, serve, allow_head=False)


async def _serve(call: Call, request: web.Request) -> web.StreamResponse:
    who = await caller(request)
    if call.in_person and hdrs.AUTHORIZATION in request.headers:
        raise Forbidden("This is for operators who are signed in on the pages, and for no token.")
    if not who.role.allows(call.role):
        raise Forbidden(f"This takes the role {call.role.value}; {who.name} may {who.role.value} with this.")
    query = _read_query(call.query, request)
    if not call.is_act:
        found = await call.handler(request, who, Given(query))
        if isinstance(found, web.StreamResponse):
            return found
        return json_answer(_content(call, found))
    body = await read_body(request, MAX_BODY_BYTES)
    given = Given({**query, **_read_body(call.body, body)})

    async def do() -> Answer:
        return Answer(call.status, _content(call, await call.handler(request, who, given)))

    named = None if call.is_secret else request.headers.get(KEY_HEADER)
    said = f"{call.method} {request.raw_path}\n".encode() + body
    status, content = await request.app[REPEATS].once(who.id, named, said, do)
    return json_answer(content, status=status) if content else web.Response(status=204)


def _content(call: Call, found: object) -> bytes:
    if call.answer is None:
        return b""
    return admin_answers.dump({call.named: found} if call.named else found)


async def caller(request: web.Request) -> Operator:
    """Who calls.

    Raises:
        NotSignedIn: Nobody whom we know.
    """
    if hdrs.AUTHORIZATION not in request.headers:
        return await operator(request)
    found = await request.app[OPERATOR_TOKENS].find(bearer(request))
    if found is None:
        raise NotSignedIn("This token is not good, or not any more.")
    return found


async def send_file(request: web.Request, texts: AsyncGenerator[str, None], form: str, name: str) -> web.StreamResponse:
    """A file to be kept, sent as it is made."""
    kind = "text/csv" if form == "csv" else "application/x-ndjson"
    named = f'attachment; filename="{name}.{form}"'
    return await stream(request, texts, {hdrs.CONTENT_TYPE: f"{kind}; charset=utf-8", hdrs.CONTENT_DISPOSITION: named})


# --- reading ----------------------------------------------------------------------------------------------------------


def _read_query(params: Sequence[Param], request: web.Request) -> dict[str, Any]:
    known = {param.name: param for param in params}
    given: dict[str, Any] = {}
    for name, text in request.query.items():
        if name not in known:
            raise BadInput(f"There is no parameter {name[:40]!r}.", field=name[:40])
        if name in given:
            raise BadInput(f"{name} is given twice.", field=name)
        given[name] = _read(known[name], text)
    return _complete(params, given)


def _read_body(params: Sequence[Param], body: bytes) -> dict[str, Any]:
    try:
        item = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        raise BadInput("The body is no JSON.") from None
    if not isinstance(item, dict):
        raise BadInput("The body is no JSON object.")
    known = {param.name: param for param in params}
    given: dict[str, Any] = {}
    for name, value in item.items():
        if name not in known:
            raise BadInput(f"There is no member {name[:40]!r}.", field=name[:40])
        if value is not None:
            given[name] = _member(known[name], value)
    return _complete(params, given)


_TYPES: Final[Mapping[Kind, tuple[type, ...]]] = {
    Kind.NUMBER: (int,),
    Kind.FLAG: (bool,),
    Kind.FRACTION: (int, float),
    Kind.TEXT: (str,),
    Kind.TIME: (str,),
}


def _member(param: Param, value: object) -> object:
    if type(value) not in _TYPES[param.kind]:  # a flag is a number to Python, and none here
        raise BadInput(f"{param.name} is of the wrong type.", field=param.name)
    return value if isinstance(value, bool) else _read(param, str(value))


def _complete(params: Sequence[Param], given: dict[str, Any]) -> dict[str, Any]:
    for param in params:
        if param.required and param.name not in given:
            raise BadInput(f"{param.name} is missing.", field=param.name)
        if param.default is not None:
            given.setdefault(param.name, param.default)
    return given


def _read(param: Param, text: str) -> object:
    name = param.name
    if param.words and text not in param.words:
        raise BadInput(f"{name} must be one of {', '.join(param.words)}.", field=name)
    match param.kind:
        case Kind.NUMBER:
            if not _NUMBER.fullmatch(text):
                raise BadInput(f"{name} must be a whole number.", field=name)
            number = int(text)
            if number < param.least or (param.most is not None and number > param.most):
                raise BadInput(f"{name} must be {param.least} to {param.most}.", field=name)
            return number
        case Kind.FRACTION:
            if not _FRACTION.fullmatch(text):
                raise BadInput(f"{name} must be a number.", field=name)
            return float(text)
        case Kind.FLAG:
            if text not in {"true", "false"}:
                raise BadInput(f"{name} must be true or false.", field=name)
            return text == "true"
        case Kind.TIME:
            return _time(name, text)
    if len(text) > MAX_TEXT:
        raise BadInput(f"{name} has at most {MAX_TEXT} characters.", field=name)
    return text


def _time(name: str, text: str) -> int:
    moment = None
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text) if len(text) <= MAX_TIME else None
    if moment is None or moment.tzinfo is None or not 1970 < moment.year < 9000:
        raise BadInput(f"{name} must be ISO 8601 with a zone, such as 2026-11-22T12:00:00Z.", field=name)
    return int(moment.timestamp() * 1000)


def path_number(request: web.Request, name: str) -> int:
    """A number in the path; one that is none belongs to nothing, as an unknown one does: 0."""
    text = request.match_info[name]
    return int(text) if _NUMBER.fullmatch(text) else 0
