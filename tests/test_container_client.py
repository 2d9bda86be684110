"""The container client against a small container that speaks every dialect, checks signatures by oauthlib, and lies."""

from __future__ import annotations

import asyncio
import html
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from oauthlib import common
from oauthlib.oauth1.rfc5849 import signature as reference

from homeserver.clients.container import ContainerClient, Updated
from homeserver.clients.transport import open_session
from homeserver.errors import (
    BadInput,
    RemoteConflict,
    RemoteForbidden,
    RemoteGarbage,
    RemoteQuota,
    RemoteUnauthorized,
    RemoteUnavailable,
)
from homeserver.model import Person
from homeserver.protocol.oauth1 import Credentials, body_hash
from homeserver.protocol.opensocial import DIALECTS, GUIDE, ORKUT, SHINDIG, Dialect

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
    dates: bool = True
    total: Callable[[int], object] = lambda count: count
    before_answer: Callable[[web.Request], web.Response | None] = lambda request: None
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    beyond: int = 0
    nonces: set[str] = field(default_factory=set)

    @property
    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/rest/people/{id}/{selector}", self.get_people)
        app.router.add_route("*", "/rest/appdata/{id}/{selector}/@app", self.appdata)
        app.router.add_route("*", "/rest/appdata/{id}/@app", self.appdata)

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
        response = answer or await handler(request)
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

    async def get_people(self, request: web.Request) -> web.Response:
        if request.match_info["selector"] == "@self":
            return web.json_response({"entry": self.person(request.match_info["id"])})
        rows = self.people
        if request.query.get("filterBy") == "hasApp" and not self.ignores_filter:
            assert (request.query["filterOp"], request.query["filterValue"]) == ("equals", "true")
            rows = [row for row in rows if row not in self.without_app]
        count = 20 if self.ignores_count else min(int(request.query["count"]), self.largest_page)
        start = int(request.query.get("startIndex", self.first_index)) - self.first_index
        if self.ignores_start:
            start = 0
        self.beyond += int(request.query.get("startIndex", 0)) > len(rows)
        if start > len(rows):
            return web.Response(status=500, text="<html>IndexOutOfBounds</html>")
        page = [self.person(row) for row in rows[start : start + count]]
        answer = {"startIndex": start, "entry": page}
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
        before = self.items.get(user_id)
        return getattr(self, f"{method.lower()}_{self.dialect.name}")(user_id, body, before, fields)  # type: ignore[no-any-return]

    def read(self, user_id: str, selector: str, fields: list[str]) -> web.Response:
        ids = [user_id] if selector == "@self" else self.people
        entry = {}
        for each in ids:
            if each in self.items or self.dialect is SHINDIG:
                item = self.items.get(each, {})
                entry[each] = {key: self.outgoing(value) for key, value in item.items() if not fields or key in fields}
        return web.json_response({"entry": entry})

    def outgoing(self, value: object) -> str:
        return str(value) if self.dialect is SHINDIG else html.escape(str(value))

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
    now_s: float = NOW_S


@pytest.fixture
async def world(aiohttp_server: Callable[[web.Application], Awaitable[TestServer]]) -> AsyncIterator[World]:
    container = Container()
    server = await aiohttp_server(container.app)

    async with open_session() as session:

        def make(dialect: Dialect = GUIDE, **options: Any) -> ContainerClient:
            container.dialect = dialect
            options.setdefault("credentials", Credentials(KEY, SECRET))
            return ContainerClient(
                session, str(server.make_url("/rest/")), dialect, now_ms=lambda: round(made.now_s * 1000), **options
            )

        made = World(container, make(), make)
        yield made


async def listed(people: AsyncIterator[Person]) -> list[str]:
    return [person.id async for person in people]


async def collect(people: AsyncIterator[Person], into: list[str]) -> None:
    async for person in people:
        into.append(person.id)  # noqa: PERF401 - what came before an error counts


def answering(
    answer: web.Response, when: Callable[[web.Request], bool]
) -> Callable[[web.Request], web.Response | None]:
    return lambda request: answer if when(request) else None


# --- people ---------------------------------------------------------------------------------------------------------


async def test_a_person(world: World) -> None:
    person = await world.client.person(LYDIA)
    assert (person.id, person.name, person.has_app) == (LYDIA, f"P {LYDIA}", True)
    [request] = world.container.requests
    assert request.query["xoauth_requestor_id"] == LYDIA
    assert request.query["oauth_consumer_key"] == KEY
    assert world.client.requests_sent == 1


async def test_me(world: World) -> None:
    await world.client.person("@me", requestor_id=LYDIA)
    [request] = world.container.requests
    assert request.path == "/rest/people/@me/@self"
    assert request.query["xoauth_requestor_id"] == LYDIA
    with pytest.raises(BadInput):
        await world.client.person("@me")
    assert world.client.requests_sent == 1


async def test_friends_as_the_guide_asks_for_them(world: World) -> None:
    world.container.without_app = frozenset({JANE})
    assert await listed(world.client.friends(ELIZABETH)) == [LYDIA]
    assert await listed(world.client.friends(ELIZABETH, has_app=False, fields=["id"])) == [JANE, LYDIA]
    assert await listed(world.client.contacts(ELIZABETH)) == [JANE, LYDIA]
    first = world.container.requests[0]
    assert first.path == f"/rest/people/{ELIZABETH}/@friends"
    assert "startIndex" not in first.query
    assert world.container.requests[-1].path == f"/rest/people/{ELIZABETH}/@all"


LIES: dict[str, Callable[[int], object]] = {
    "true": lambda count: count,
    "text": str,
    "absent": lambda count: None,
    "nonsense": lambda count: "many",
    "too high": lambda count: count + 7,
    "too low": lambda count: count // 2,
    "zero": lambda count: 0,
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("doubled", [False, True])
async def test_every_friend_comes_once_whatever_the_container_does(world: World, lie: str, doubled: bool) -> None:
    """Counting from 0 or 1, pages cut short or of its own size, a filter ignored, totals that lie, repetitions."""
    container, client = world.container, world.client
    container.total = LIES[lie]
    for first_index, largest_page, ignores_count, ignores_filter, size in itertools.product(
        (0, 1), (3, 1000), (False, True), (False, True), (0, 1, 2, 20, 21, 45)
    ):
        container.first_index, container.largest_page = first_index, largest_page
        container.ignores_count, container.ignores_filter = ignores_count, ignores_filter
        everybody = [f"{number:020}" for number in range(size)]
        container.people = [each for each in everybody for _ in range(1 + doubled)]
        container.without_app = frozenset(everybody[2::5])
        container.requests.clear()
        container.beyond = 0
        friends = await listed(client.friends(ELIZABETH, page_size=10))
        assert friends == [each for each in everybody if each not in container.without_app]
        assert container.beyond == 0
        rows = len(container.people)
        page = 20 if ignores_count else min(10, largest_page)
        assert len(container.requests) <= rows // max(page - 1, 1) + 4


async def test_a_short_list_takes_one_request_more_than_its_pages(world: World) -> None:
    assert await listed(world.client.friends(ELIZABETH)) == [JANE, LYDIA]
    assert world.client.requests_sent == 2
    world.container.people = []
    assert await listed(world.client.friends(ELIZABETH)) == []
    assert world.client.requests_sent == 3


async def test_a_page_that_brings_nobody_new_is_asked_again_while_the_total_promises_more(world: World) -> None:
    """The second time it may be right."""
    container = world.container
    container.people = [f"{number:020}" for number in range(30)]
    hiccups = iter([False, True, False, False])

    def before_answer(request: web.Request) -> web.Response | None:
        return web.json_response({"totalResults": 30, "entry": []}) if next(hiccups) else None

    container.before_answer = before_answer
    assert await listed(world.client.friends(ELIZABETH, page_size=20)) == container.people


async def test_a_container_that_knows_one_page_only(world: World) -> None:
    world.container.ignores_start = True
    world.container.people = [f"{number:020}" for number in range(30)]
    assert len(await listed(world.client.friends(ELIZABETH, page_size=20))) == 20
    assert world.client.requests_sent == 3


async def test_somebody_who_comes_or_goes_meanwhile(world: World) -> None:
    container = world.container
    everybody = [f"{number:020}" for number in range(30)]
    container.people = list(everybody)
    friends = world.client.friends(ELIZABETH, page_size=10)
    got = [(await anext(friends)).id for _ in range(10)]
    container.people.insert(0, LYDIA)
    got += await listed(friends)
    assert got == everybody


async def test_a_list_without_an_end(world: World) -> None:
    container = world.container
    container.people = [f"{number:020}" for number in range(500)]
    for client in (world.make(max_people=100), world.make(max_pages=5)):
        got: list[str] = []
        with pytest.raises(RemoteGarbage):
            await collect(client.friends(ELIZABETH, page_size=20), got)
        assert got == container.people[: len(got)]
        assert len(got) <= 100
        assert client.requests_sent <= 6


async def test_a_page_that_fails_ends_the_walk_with_an_error(world: World) -> None:
    """Never with fewer friends."""
    container = world.container
    container.people = [f"{number:020}" for number in range(30)]
    for answer, error in (
        (web.Response(status=503, headers={"Retry-After": "7"}), RemoteUnavailable),
        (web.Response(text='{"entry": [{"id": "1"}', content_type="application/json"), RemoteGarbage),
        (web.Response(text="<html>", content_type="text/html"), RemoteGarbage),
    ):
        container.before_answer = answering(answer, lambda request: "startIndex" in request.query)
        got: list[str] = []
        with pytest.raises(error) as failed:
            await collect(world.client.friends(ELIZABETH, page_size=20), got)
        assert len(got) == 20
        if isinstance(failed.value, RemoteUnavailable):
            assert failed.value.wait_s == 7.0


async def test_a_page_of_nobody_cannot_be_asked_for(world: World) -> None:
    with pytest.raises(BadInput):
        await listed(world.client.friends(ELIZABETH, page_size=0))


# --- AppData --------------------------------------------------------------------------------------------------------

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


@every_dialect
async def test_reading_appdata(world: World, dialect: Dialect) -> None:
    client = world.make(dialect)
    world.container.items = {ELIZABETH: dict(AWKWARD), LYDIA: {"letters": 1, "other": "x"}, "stranger": {"letters": 9}}
    assert await client.appdata(ELIZABETH, "@self") == {ELIZABETH: AWKWARD}
    friends = await client.appdata(ELIZABETH, "@friends", ["letters"])
    assert friends.get(LYDIA) == {"letters": "1"}
    assert "stranger" not in friends
    assert world.container.requests[-1].query["fields"] == "letters"
    assert world.container.requests[-1].query["xoauth_requestor_id"] == ELIZABETH


@every_dialect
@pytest.mark.parametrize("override", [False, True])
@pytest.mark.parametrize("hashed", [None, True, False])
async def test_a_score_written_ten_times_leaves_all_else_as_it_was(
    world: World, dialect: Dialect, override: bool, hashed: bool | None
) -> None:
    client = world.make(dialect, override_methods=override, body_hash=hashed)
    for user_id in (ELIZABETH, JANE, LYDIA):
        world.container.items[user_id] = dict(AWKWARD)
        for score in range(10, 20):
            updated = await client.update_appdata(user_id, {"letters": str(score)})
            after = {**AWKWARD, "letters": str(score)}
            assert updated == Updated({**AWKWARD, "letters": str(score - 1) if score > 10 else "3"}, after)
            assert world.container.items[user_id] == after
            assert await client.appdata(user_id, "@self") == {user_id: after}
    writes = [request for request in world.container.requests if request.method != "GET"]
    assert {request.method for request in writes} == ({"POST"} if override else {"PUT"})
    expected = dialect.body_hash if hashed is None else hashed
    assert all(("oauth_body_hash" in request.query) is expected for request in writes)


@every_dialect
async def test_the_first_score_creates_the_item(world: World, dialect: Dialect) -> None:
    client = world.make(dialect)
    assert await client.update_appdata(LYDIA, {"letters": "1"}) == Updated({}, {"letters": "1"})
    assert await client.update_appdata(LYDIA, dict(AWKWARD)) == Updated({"letters": "1"}, AWKWARD)
    assert world.container.items == {LYDIA: AWKWARD}
    assert [request.method for request in world.container.requests] == ["GET", "POST", "GET", "PUT"]


@every_dialect
async def test_nothing_is_sent_when_nothing_changes(world: World, dialect: Dialect) -> None:
    client = world.make(dialect)
    world.container.items[LYDIA] = dict(AWKWARD)
    assert await client.update_appdata(LYDIA, {"letters": "3", "never": None}) == Updated(AWKWARD, AWKWARD)
    assert await client.update_appdata(JANE, {"never": None}) == Updated({}, {})
    assert {request.method for request in world.container.requests} == {"GET"}


@every_dialect
async def test_removing_keys(world: World, dialect: Dialect) -> None:
    client = world.make(dialect)
    world.container.items[LYDIA] = {"a": "1", "b": "<2>", "c": "3", "d": "4"}
    assert (await client.update_appdata(LYDIA, {"a": None, "c": "5"})).after == {"b": "<2>", "c": "5", "d": "4"}
    assert world.container.items[LYDIA] == {"b": "<2>", "c": "5", "d": "4"}
    await client.delete_appdata(LYDIA, ["c", "never"])
    assert world.container.items[LYDIA] == {"b": "<2>", "d": "4"}
    await client.replace_appdata(LYDIA, {"d": "&6"})
    assert world.container.items[LYDIA] == {"d": "&6"}
    await client.delete_appdata(LYDIA)
    assert not world.container.items.get(LYDIA)
    await client.delete_appdata(LYDIA)
    assert await client.update_appdata(LYDIA, {"a": "1"}) == Updated({}, {"a": "1"})
    assert world.container.items[LYDIA] == {"a": "1"}


@every_dialect
async def test_an_update_never_deletes_and_makes_again(world: World, dialect: Dialect) -> None:
    """Whatever is seen of the item while an update runs holds every key that stays."""
    client = world.make(dialect)
    world.container.items[LYDIA] = dict(AWKWARD)
    kept = {key for key in AWKWARD if key != "empty"}

    def before_answer(request: web.Request) -> None:
        assert kept <= world.container.items[LYDIA].keys()

    world.container.before_answer = before_answer
    await client.update_appdata(LYDIA, {"letters": "4", "empty": None, "more": "x"})
    assert world.container.items[LYDIA].keys() == kept | {"more"}


async def test_the_wire_of_an_update_in_the_guide(world: World) -> None:
    """Retrieve, modify, PUT: the guide's own example."""
    world.container.items[ELIZABETH] = {"letters": 3, "last_letter_date": "2008-10-30T18:30:02Z"}
    await world.client.update_appdata(ELIZABETH, {"letters": "4", "last_letter_date": "2008-10-31T20:20:01Z"})
    put = world.container.requests[-1]
    assert (put.method, put.path) == ("PUT", f"/rest/appdata/{ELIZABETH}/@self/@app")
    assert set(dict(parse_qsl(put.query_string))) == {
        "oauth_consumer_key",
        "oauth_nonce",
        "oauth_signature",
        "oauth_signature_method",
        "oauth_timestamp",
        "oauth_version",
        "xoauth_requestor_id",
    }
    assert json.loads(world.container.bodies[-1]) == {
        "entry": {"15913663323317925521": {"letters": "4", "last_letter_date": "2008-10-31T20:20:01Z"}}
    }


async def test_an_item_that_somebody_else_creates_meanwhile(world: World) -> None:
    """It is changed, not overwritten."""
    container = world.container

    def before_answer(request: web.Request) -> None:
        if request.method == "POST":
            container.items[LYDIA] = {"theirs": "<1>"}

    container.before_answer = before_answer
    updated = await world.client.update_appdata(LYDIA, {"ours": "2"})
    assert updated == Updated({"theirs": "<1>"}, {"theirs": "<1>", "ours": "2"})
    assert container.items[LYDIA] == {"theirs": "<1>", "ours": "2"}


async def test_a_conflict_that_does_not_go_away(world: World) -> None:
    def before_answer(request: web.Request) -> web.Response | None:
        return web.Response(status=409, text="busy") if request.method != "GET" else None

    world.container.before_answer = before_answer
    with pytest.raises(RemoteConflict):
        await world.client.update_appdata(LYDIA, {"a": "1"})
    world.container.items[LYDIA] = {"a": "0"}
    with pytest.raises(RemoteConflict):
        await world.client.update_appdata(LYDIA, {"a": "1"})
    assert world.container.items[LYDIA] == {"a": "0"}


async def test_an_item_that_cannot_be_read_is_not_overwritten(world: World) -> None:
    world.container.items[LYDIA] = dict(AWKWARD)
    for answer in (
        web.Response(text="<html>", content_type="text/html"),
        web.Response(text='{"entry": {"' + LYDIA + '": {"letters": "3"', content_type="application/json"),
        web.json_response({"error": "later"}),
        web.json_response({"entry": {JANE: {"letters": "3"}}}),
    ):
        world.container.before_answer = answering(answer, lambda request: request.method == "GET")
        with pytest.raises(RemoteGarbage):
            await world.client.update_appdata(LYDIA, {"letters": "4"})
    assert {request.method for request in world.container.requests} == {"GET"}


async def test_bad_input_is_refused_before_any_request(world: World) -> None:
    client = world.client
    for call in (
        client.update_appdata(f"{JANE},{LYDIA}", {"a": "1"}),
        client.update_appdata("@me", {"a": "1"}),
        client.update_appdata(LYDIA, {"a b": "1"}),
        client.update_appdata(LYDIA, {"a": 1}),  # type: ignore[dict-item]
        client.replace_appdata(LYDIA, {"é": "1"}),
        client.create_appdata("@friends", {"a": "1"}),
        client.delete_appdata(LYDIA, ["a b"]),
        client.delete_appdata("@all"),
        client.appdata(LYDIA, "@self", ["*"]),
    ):
        with pytest.raises(BadInput):
            await call
    for dialect in (ORKUT, SHINDIG):
        with pytest.raises(BadInput):
            await world.make(dialect).replace_appdata(LYDIA, {"é": "1"})
    assert world.container.requests == []


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (403, "AppData size quota exceeded.", RemoteQuota),
        (403, "forbidden", RemoteForbidden),
        (401, "unauthorized: this person does not have the application", RemoteUnauthorized),
        (200, "<html>Please sign in</html>", RemoteGarbage),
    ],
)
async def test_a_write_that_is_refused(world: World, status: int, text: str, error: type[Exception]) -> None:
    def before_answer(request: web.Request) -> web.Response | None:
        return web.Response(status=status, text=text) if request.method != "GET" else None

    world.container.before_answer = before_answer
    with pytest.raises(error) as refused:
        await world.client.update_appdata(LYDIA, {"a": "1"})
    if status != 200:
        assert text in str(refused.value)
    assert SECRET not in str(refused.value)


# --- signatures and clocks ------------------------------------------------------------------------------------------


async def test_wrong_credentials(world: World) -> None:
    for credentials, problem in (
        (Credentials(KEY, "wrong"), "signature_invalid"),
        (Credentials("unknown", SECRET), "consumer_key_unknown"),
    ):
        client = world.make(credentials=credentials)
        with pytest.raises(RemoteUnauthorized) as refused:
            await client.person(LYDIA)
        assert problem in str(refused.value)
        assert client.requests_sent == 1  # the clock was right: asking again would not help


@pytest.mark.parametrize("ahead_s", [-5000, -400, 400, 5000])
async def test_a_wrong_clock_is_corrected(world: World, ahead_s: int) -> None:
    """At the first refusal, for reads and writes, and from then on without one."""
    world.container.clock_s = NOW_S + ahead_s
    assert (await world.client.person(LYDIA)).id == LYDIA
    assert world.client.requests_sent == 2
    assert abs(world.client.skew_s - ahead_s) <= 1
    await world.client.update_appdata(LYDIA, {"a": "1"})
    assert world.client.requests_sent == 4
    world.now_s += ahead_s  # somebody sets our clock
    await world.client.person(LYDIA)
    await world.client.person(LYDIA)
    assert world.client.skew_s == 0.0


async def test_a_small_difference_is_none(world: World) -> None:
    world.container.clock_s = NOW_S + 1.5
    await world.client.person(LYDIA)
    assert world.client.skew_s == 0.0
    world.container.clock_s = NOW_S + 30
    await world.client.person(LYDIA)
    assert world.client.skew_s == 30.0
    world.container.dates = False
    await world.client.person(LYDIA)
    assert world.client.skew_s == 30.0


async def test_a_clock_that_is_not_corrected(world: World) -> None:
    """By setting, or because a day apart is nobody's clock; seen and told all the same."""
    for client, ahead_s in ((world.make(correct_skew=False), 400), (world.make(), 100_000)):
        world.container.clock_s = NOW_S + ahead_s
        with pytest.raises(RemoteUnauthorized) as refused:
            await client.person(LYDIA)
        assert "timestamp_refused" in str(refused.value)
        assert (client.skew_s, client.requests_sent) == (ahead_s, 1)


async def test_an_old_answer_says_nothing_of_the_clock(world: World) -> None:
    def before_answer(request: web.Request) -> web.Response:
        return web.json_response({"entry": {"id": LYDIA}}, headers={"Age": "5000"})

    world.container.before_answer = before_answer
    world.container.clock_s = NOW_S - 200
    await world.client.person(LYDIA)
    assert world.client.skew_s == 0.0


async def test_every_request_has_a_nonce_of_its_own(world: World) -> None:
    await asyncio.gather(*[world.client.person(LYDIA) for _ in range(30)])
    assert len(world.container.nonces) == 30


async def test_counts(world: World) -> None:
    one, other = world.client.counted(), world.client.counted()
    await one.person(LYDIA)
    await other.update_appdata(LYDIA, {"a": "1"})
    assert (one.requests_sent, other.requests_sent, world.client.requests_sent) == (1, 2, 0)
    world.container.clock_s = NOW_S + 100
    await one.person(LYDIA)
    assert other.skew_s == one.skew_s == 100.0


def test_dialects_are_told_apart_by_name(world: World) -> None:
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {name: name for name in DIALECTS}
    assert world.client.dialect == replace(GUIDE)
