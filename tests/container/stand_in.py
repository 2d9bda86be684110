"""A small container that speaks every dialect, checks signatures by oauthlib, and lies when told to."""

from __future__ import annotations

import html
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web
from oauthlib import common
from oauthlib.oauth1.rfc5849 import signature as reference

from homeserver.clients.container import ContainerClient
from homeserver.model import Person
from homeserver.protocol.oauth1 import body_hash
from homeserver.protocol.opensocial import DIALECTS, GUIDE, SHINDIG, Dialect

ELIZABETH, JANE, LYDIA = "15913663323317925521", "10459228050876679741", "07365476160138082838"
KEY, SECRET = "orkut.com:623061448914", "uynAeXiWTisflWX99KU1D2q5"
NOW_S = 1_225_391_402
AWKWARD = {
    "letters": "3",
    "last_letter_date": "2008-10-30T18:30:02Z",
    "markup": "<b>&amp; \"quoted\" & 'so'</b> &lt; &#39; &amp;amp;",
    "unicode": "é 日本 😀 \u2028",
    "json": '{"a": [1, "\\\\"]}',
    "empty": "",
    "blanks": "  \t\n ",
}


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Request: Any = common.Request  # its stubs do not know what is set on it


@dataclass
class Container:
    """What the guide, Orkut's clients and Shindig say a container does, and ways of doing it badly."""

    dialect: Dialect = GUIDE
    people: list[str] = field(default_factory=lambda: [JANE, LYDIA])
    without_app: frozenset[str] = frozenset()
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    clock_s: float = NOW_S
    first_index: int = 1
    largest_page: int = 1000
    ignores_count: bool = False
    ignores_start: bool = False
    ignores_filter: bool = False
    clears_empty: bool = False
    with_rpc: bool = True
    collection: str = "entry"
    dates: bool = True
    total: Callable[[int], object] = lambda count: count
    before_answer: Callable[[web.Request], web.Response | None] = lambda request: None
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    furthest: int = -1
    """How far behind its end a list was asked for, at most: 0 is right behind the last one."""
    nonces: set[str] = field(default_factory=set)
    rpc_errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By method."""

    @property
    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/rest/people/{id}/{selector}", self.get_people)
        app.router.add_route("*", "/rest/appdata/{id}/{selector}/@app", self.appdata)
        app.router.add_route("*", "/rest/appdata/{id}/@app", self.appdata)
        app.router.add_post("/rpc", self.rpc)

        @web.middleware
        async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.checked(request, handler)

        app.middlewares.append(checked)
        return app

    async def checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(request)
        self.bodies.append(body)
        headers = {"Date": formatdate(self.clock_s, usegmt=True)} if self.dates else {"Date": ""}
        problem = self.problem(request, body)
        answer = self.before_answer(request)
        if problem:
            page = f"<html><head><title>OAuth Authentication Failure</title></head><body>{problem}</body></html>"
            answer = web.Response(status=401, text=page, content_type="text/html")
        try:
            response = answer or await handler(request)
        except web.HTTPNotFound as missing:
            response = web.Response(status=missing.status, text=missing.text)
        response.headers.update(headers)
        return response

    def problem(self, request: web.Request, body: bytes) -> str | None:
        """The signature, window and nonce, by oauthlib alone."""
        query = request.raw_path.partition("?")[2]
        pairs = reference.collect_parameters(uri_query=query, exclude_oauth_signature=False)
        given = dict(pairs)
        asked = Request(f"http://{request.host}{request.raw_path}", request.method)
        asked.signature = given.get("oauth_signature", "")
        asked.params = [pair for pair in pairs if pair[0] != "oauth_signature"]
        if given.get("oauth_consumer_key") != KEY:
            return "consumer_key_unknown"
        if not reference.verify_hmac_sha1(asked, SECRET):
            return "signature_invalid"
        if abs(int(given["oauth_timestamp"]) - self.clock_s) > 300:
            return "timestamp_refused"
        if given["oauth_nonce"] in self.nonces:
            return "nonce_used"
        self.nonces.add(given["oauth_nonce"])
        if "oauth_body_hash" in given and given["oauth_body_hash"] != body_hash(body):
            return "parameter_rejected"
        return None

    # --- people -----------------------------------------------------------------------------------------------------

    def person(self, user_id: str) -> dict[str, Any]:
        return {
            "id": user_id,
            "name": {"givenName": "P", "familyName": user_id},
            "hasApp": user_id not in self.without_app,
        }

    def rows(self, query: Mapping[str, str]) -> list[str]:
        if query.get("filterBy") != "hasApp" or self.ignores_filter:
            return self.people
        assert (query["filterOp"], query["filterValue"]) == ("equals", "true")
        return [row for row in self.people if row not in self.without_app]

    async def get_people(self, request: web.Request) -> web.Response:
        if request.match_info["selector"] == "@self":
            return web.json_response({"entry": self.person(request.match_info["id"])})
        rows = self.rows(request.query)
        count = 20 if self.ignores_count else min(int(request.query["count"]), self.largest_page)
        start = int(request.query.get("startIndex", self.first_index)) - self.first_index
        if self.ignores_start:
            start = 0
        self.furthest = max(self.furthest, start - len(rows))
        if start > len(rows):
            return web.Response(status=500, text="<html>IndexOutOfBounds</html>")
        page = [self.person(row) for row in rows[start : start + count]]
        answer = {"startIndex": start, self.collection: page}
        total = self.total(len(rows))
        if total is not None:
            answer["totalResults"] = total
        return web.json_response(answer)

    # --- AppData ----------------------------------------------------------------------------------------------------

    async def appdata(self, request: web.Request) -> web.Response:
        user_id = request.match_info["id"]
        method = request.method
        if method == "POST":
            named = request.query if self.dialect is SHINDIG else request.headers
            method = named.get("X-HTTP-Method-Override", method)
        fields = [name for name in request.query.get("fields", "").split(",") if name]
        if method == "GET":
            return self.read(user_id, request.match_info["selector"], fields)
        if method != "DELETE" and request.content_type != "application/json":
            return web.Response(status=400)
        short = "selector" not in request.match_info
        assert short is (method == "POST" and self.dialect is GUIDE)
        body = json.loads(await request.read()) if method != "DELETE" else {}
        if self.clears_empty:
            body = without_empty(body)
        before = self.items.get(user_id)
        return getattr(self, f"{method.lower()}_{self.dialect.name}")(user_id, body, before, fields)  # type: ignore[no-any-return]

    def read(self, user_id: str, selector: str, fields: list[str]) -> web.Response:
        return web.json_response({"entry": self.entries(user_id, selector, fields)})

    def entries(self, user_id: str, selector: str, fields: list[str]) -> dict[str, dict[str, str]]:
        ids = [user_id] if selector == "@self" else self.people
        entry = {}
        for each in ids:
            if each in self.items or self.dialect is SHINDIG:
                item = self.items.get(each, {})
                entry[each] = {key: self.outgoing(value) for key, value in item.items() if not fields or key in fields}
        return entry

    def outgoing(self, value: object) -> str:
        return str(value) if self.dialect is SHINDIG else html.escape(str(value))

    # --- JSON-RPC, as Shindig 2.0.2 answers it ----------------------------------------------------------------------

    async def rpc(self, request: web.Request) -> web.Response:
        if not self.with_rpc:
            raise web.HTTPNotFound
        assert request.content_type == "application/json"
        answers = [self.rpc_answer(call) for call in json.loads(await request.read())]
        return web.json_response(answers, content_type="application/json")

    def rpc_answer(self, call: dict[str, Any]) -> dict[str, Any]:
        parameters = call["params"]
        user_id, group, fields = parameters["userId"], parameters["groupId"], parameters.get("fields", [])
        if call["method"] in self.rpc_errors:
            return {"id": call["id"], "error": self.rpc_errors[call["method"]]}
        if call["method"] == "appdata.get":
            assert parameters["appId"] == "@app"
            return {"id": call["id"], "result": self.entries(user_id, group, fields)}
        assert call["method"] == "people.get"
        if group == "@self":
            return {"id": call["id"], "result": self.person(user_id)}
        rows = self.rows(parameters)
        page = rows[: 20 if self.ignores_count else min(parameters["count"], self.largest_page)]
        result: dict[str, Any] = {"list": [self.person(row) for row in page], "filtered": False}
        if (total := self.total(len(rows))) is not None:
            result["totalResults"] = total
        return {"id": call["id"], "result": result}

    def post_guide(self, user_id: str, body: Any, before: Any, _fields: list[str]) -> web.Response:
        if before is not None:
            return web.Response(status=409)
        self.items[user_id] = body
        return web.json_response({**body, "updated": "now"}, status=201)

    def put_guide(self, user_id: str, body: Any, before: Any, _fields: list[str]) -> web.Response:
        if before is None:
            return web.Response(status=404)
        [self.items[user_id]] = [body["entry"][user_id]]
        return web.json_response(body)

    def delete_guide(self, user_id: str, _body: Any, _before: Any, fields: list[str]) -> web.Response:
        assert not fields
        self.items.pop(user_id, None)
        return web.Response()

    def put_orkut(self, user_id: str, body: Any, before: Any, fields: list[str]) -> web.Response:
        """Partial update: what is named and not sent goes; what is sent and not named is wrong."""
        if not fields:
            return web.Response(status=501, text="notImplemented: non-partial updates")
        if not body.keys() <= set(fields):
            return web.Response(status=400)
        kept = {key: value for key, value in (before or {}).items() if key not in fields}
        self.items[user_id] = {**kept, **body}
        return web.json_response({"entry": {}})

    post_orkut = put_orkut

    def delete_orkut(self, user_id: str, _body: Any, before: Any, fields: list[str]) -> web.Response:
        self.items[user_id] = {key: value for key, value in (before or {}).items() if key not in fields}
        return web.json_response({"entry": {}})

    def put_shindig(self, user_id: str, body: Any, before: Any, _fields: list[str]) -> web.Response:
        self.items[user_id] = {**(before or {}), **body}
        return web.json_response({"entry": {}})

    post_shindig = put_shindig
    delete_shindig = delete_orkut


@dataclass
class World:
    container: Container
    client: ContainerClient
    make: Callable[..., ContainerClient]
    base_url: str
    now_s: float = NOW_S


async def listed(people: AsyncIterator[Person]) -> list[str]:
    return [person.id async for person in people]


async def collect(people: AsyncIterator[Person], into: list[str]) -> None:
    async for person in people:
        into.append(person.id)  # noqa: PERF401 - what came before an error counts


def answering(
    answer: web.Response, when: Callable[[web.Request], bool]
) -> Callable[[web.Request], web.Response | None]:
    return lambda request: answer if when(request) else None


def without_empty(value: Any) -> Any:
    """A body as a container keeps it that takes an empty value for a wish to clear the key."""
    return {key: without_empty(part) for key, part in value.items() if part != ""} if isinstance(value, dict) else value


every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
