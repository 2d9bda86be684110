"""All of a player in one request, from the client to the sync; and finding out whether a container can do that."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from homeserver.clients.container import ContainerClient, Overview
from homeserver.clients.dialect_probe import Observed, observe
from homeserver.errors import BadInput, RemoteForbidden, RemoteRefused, RemoteUnauthorized, RemoteUnavailable
from homeserver.model import Person
from homeserver.protocol.opensocial import DIALECTS, GUIDE, ORKUT, SHINDIG
from homeserver.services.sync import Sync
from homeserver.storage import appdata, people
from homeserver.storage.database import Database, Reader
from tests.container.stand_in import ELIZABETH, JANE, LYDIA, World, answering

FIELDS = ["letters", "best_time"]


@pytest.fixture
def client(world: World) -> ContainerClient:
    world.container.first_index = 0
    world.container.items = {
        ELIZABETH: {"letters": "3", "note": "<&>"},
        JANE: {"letters": "12", "best_time": "&lt;1&gt;"},
    }
    return world.make(SHINDIG)


def person(user_id: str) -> Person:
    return Person(user_id, "P", user_id, has_app=True)


async def test_one_signed_request_brings_all(world: World, client: ContainerClient) -> None:
    overview = await client.overview(ELIZABETH, FIELDS)
    assert overview == Overview(
        person(ELIZABETH),
        (person(JANE), person(LYDIA)),
        {ELIZABETH: {"letters": "3"}},
        {JANE: {"letters": "12", "best_time": "&lt;1&gt;"}, LYDIA: {}},
    )
    [request] = world.container.requests
    assert (request.method, request.path, client.requests_sent) == ("POST", "/rpc", 1)
    assert request.query["xoauth_requestor_id"] == ELIZABETH
    assert "oauth_body_hash" in request.query  # nothing else of the signature covers what is asked
    calls = json.loads(world.container.bodies[0])
    assert [(call["method"], call["id"], call["params"]["groupId"]) for call in calls] == [
        ("people.get", "person", "@self"),
        ("people.get", "friends", "@friends"),
        ("appdata.get", "own", "@self"),
        ("appdata.get", "theirs", "@friends"),
    ]
    assert {call["params"]["userId"] for call in calls} == {ELIZABETH}


async def test_without_fields_no_appdata_is_asked_for(world: World, client: ContainerClient) -> None:
    overview = await client.overview(ELIZABETH, [])
    assert overview is not None
    assert (overview.own, overview.friends_appdata) == ({}, {})
    assert len(json.loads(world.container.bodies[0])) == 2


async def test_friends_who_do_not_come_whole_follow_page_by_page(world: World, client: ContainerClient) -> None:
    """A page of its own size, a total that lies or is absent, repetitions, an ignored filter."""
    container = world.container
    totals: list[Callable[[int], object]] = [lambda n: n, str, lambda n: None, lambda n: n + 7, lambda n: n // 2]
    for total, largest, doubled, size in itertools.product(totals, (20, 1000), (1, 2), (0, 1, 7, 20, 40, 45)):
        everybody = [f"{number:020}" for number in range(size)]
        container.people = [each for each in everybody for _ in range(doubled)]
        container.total, container.largest_page = total, largest
        container.without_app, container.ignores_filter = frozenset(everybody[2::5]), True
        container.requests.clear()
        overview = await world.make(SHINDIG).overview(ELIZABETH, FIELDS)
        assert overview is not None
        assert [friend.id for friend in overview.friends] == [
            each for each in everybody if each not in container.without_app
        ]
        paths = [request.path for request in container.requests]
        assert paths == ["/rpc"] + [f"/rest/people/{ELIZABETH}/@friends"] * (len(paths) - 1)
        if total in totals[:2] and doubled == 1 and size < 20:
            assert len(paths) == 1
    assert container.furthest <= 0


async def test_long_lists_are_looked_behind_until_the_container_has_shown_that_it_does_not_cut_them(
    world: World, client: ContainerClient
) -> None:
    container = world.container
    for size, requests in ((19, 1), (20, 2), (20, 1), (45, 2), (30, 1), (45, 1), (46, 2)):
        container.people = [f"{number:020}" for number in range(size)]
        one = client.counted()
        overview = await one.overview(ELIZABETH, [])
        assert overview is not None
        assert (len(overview.friends), one.requests_sent) == (size, requests)
    container.ignores_count, container.total = True, lambda count: 20  # what a container says that counts its own page
    overview = await world.make(SHINDIG).overview(ELIZABETH, [])
    assert overview is not None
    assert len(overview.friends) == 46


async def test_only_where_the_dialect_offers_it(world: World) -> None:
    for dialect in (GUIDE, ORKUT):
        assert await world.make(dialect).overview(ELIZABETH, FIELDS) is None
    assert world.container.requests == []


@pytest.mark.parametrize("status", [302, 403, 404, 405, 501])
async def test_a_container_without_it_is_asked_once(world: World, client: ContainerClient, status: int) -> None:
    world.container.before_answer = answering(web.Response(status=status), lambda request: request.path == "/rpc")
    assert await client.counted().overview(ELIZABETH, FIELDS) is None
    assert await client.overview(ELIZABETH, FIELDS) is None
    assert len(world.container.requests) == 1


async def test_a_call_that_it_does_not_know(world: World, client: ContainerClient) -> None:
    world.container.rpc_errors["appdata.get"] = {
        "code": 501,
        "message": "notImplemented: The method appdata.get is not implemented",
    }
    assert await client.overview(ELIZABETH, FIELDS) is None


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ({"code": 401, "message": "unauthorized: no application"}, RemoteUnauthorized),
        ({"code": 403, "message": "forbidden"}, RemoteForbidden),
        ({"code": 400, "message": "badRequest: Person not found"}, RemoteRefused),
    ],
)
async def test_one_part_that_fails_fails_the_whole(
    world: World, client: ContainerClient, error: dict[str, Any], raised: type[Exception]
) -> None:
    for method in ("people.get", "appdata.get"):
        world.container.rpc_errors = {method: error}
        with pytest.raises(raised, match=error["message"]):
            await client.overview(ELIZABETH, FIELDS)
    world.container.rpc_errors = {}
    assert await client.overview(ELIZABETH, FIELDS) is not None


async def test_bad_input_is_refused_before_any_request(world: World, client: ContainerClient) -> None:
    for user_id, fields in ((f"{JANE},{LYDIA}", FIELDS), ("@me", FIELDS), (JANE, ["a b"])):
        with pytest.raises(BadInput):
            await client.overview(user_id, fields)
    assert world.container.requests == []


async def test_an_answer_that_is_none_is_not_the_end_of_it(world: World, client: ContainerClient) -> None:
    """This time each is asked for by itself; the next time it is tried again."""
    for text in ("<html>Sign in</html>", '[{"id":"person","result":{"id":"1"', "[]"):
        world.container.before_answer = answering(web.Response(text=text), lambda request: request.path == "/rpc")
        assert await client.overview(ELIZABETH, FIELDS) is None
    world.container.before_answer = lambda request: None
    assert await client.overview(ELIZABETH, FIELDS) is not None


@pytest.mark.parametrize(("status", "raised"), [(401, RemoteUnauthorized), (503, RemoteUnavailable)])
async def test_a_container_that_refuses_us_or_is_not_well(
    world: World, client: ContainerClient, status: int, raised: type[Exception]
) -> None:
    """REST would fare no better."""
    world.container.before_answer = answering(web.Response(status=status), lambda request: True)
    with pytest.raises(raised):
        await client.overview(ELIZABETH, FIELDS)


# --- the sync -------------------------------------------------------------------------------------------------------


async def test_a_sync_is_one_request_and_brings_what_many_bring(
    world: World, client: ContainerClient, database: Database
) -> None:
    async def fields() -> list[str]:
        return FIELDS

    async def kept(reader: Reader) -> object:
        player = await people.find_player(reader, "shindig", ELIZABETH)
        assert player is not None
        friends = await people.friends_of(reader, player)
        names = [card.name for card in (await people.cards(reader, [player, *friends])).values()]
        return sorted(names), [await appdata.values_of(reader, each) for each in (player, *friends)]

    sync = Sync(database, client, "shindig", fields, lambda: round(world.now_s * 1000))
    player = await database.write(lambda tx: people.player_of(tx, "shindig", ELIZABETH))
    assert (await sync.sync_player(player)).requests == 1
    by_one = await database.read(kept)
    world.container.with_rpc = False
    world.now_s += 1
    result = await sync.sync_player(player)
    assert (result.requests, result.changed) == (5, 0)
    assert await database.read(kept) == by_one
    world.now_s += 1
    assert (await sync.sync_player(player)).requests == 4  # what a whole list looks like here was learned by then


# --- finding out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_rpc", [True, False])
@pytest.mark.parametrize("collection", ["entry", "list"])
@pytest.mark.parametrize("first_index", [0, 1])
@pytest.mark.parametrize("friends", [0, 1, 2, 30])
async def test_a_dialect_is_found_out(
    world: World, friends: int, first_index: int, collection: str, with_rpc: bool
) -> None:
    container = world.container
    container.people = [f"{number:020}" for number in range(friends)]
    container.first_index, container.collection, container.with_rpc = first_index, collection, with_rpc
    observed = await observe(world.client, ELIZABETH)
    assert observed == Observed(with_rpc, collection, first_index if friends else None)
    fitting = {dialect.name for dialect in observed.fitting()}
    as_printed = collection == "entry" and not with_rpc
    if not friends:
        assert fitting == (set(DIALECTS) if as_printed else {"shindig"})
    elif first_index == 0:
        assert fitting == {"shindig"}
    else:
        assert fitting == ({"guide", "orkut"} if as_printed else set())
    bodies = [body for body in container.bodies if body]
    assert all(call["method"] == "people.get" for body in bodies for call in json.loads(body))
