"""AppData by the container client: what is read, what is written, and that nothing else changes."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from homeserver.clients.container import Updated
from homeserver.errors import (
    BadInput,
    RemoteConflict,
    RemoteForbidden,
    RemoteGarbage,
    RemoteQuota,
    RemoteUnauthorized,
)
from homeserver.protocol.opensocial import ORKUT, SHINDIG, Dialect
from tests.container.stand_in import (
    AWKWARD,
    ELIZABETH,
    JANE,
    LYDIA,
    SECRET,
    World,
    answering,
    every_dialect,
)


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
    after = {key: value for key, value in AWKWARD.items() if value or not dialect.empty_clears}
    assert await client.update_appdata(LYDIA, dict(AWKWARD)) == Updated({"letters": "1"}, after)
    assert world.container.items == {LYDIA: after}
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
async def test_what_is_said_of_an_empty_value_is_what_the_container_has(world: World, dialect: Dialect) -> None:
    """Orkut took "" for a wish to clear the key; Shindig keeps it."""
    client = world.make(dialect)
    world.container.clears_empty = dialect.empty_clears
    assert await client.update_appdata(LYDIA, {"a": ""}) == Updated({}, {} if dialect.empty_clears else {"a": ""})
    await client.update_appdata(LYDIA, {"a": "1", "b": "2"})
    updated = await client.update_appdata(LYDIA, {"a": "", "c": "3"})
    assert updated.before == {"a": "1", "b": "2"}
    assert updated.after == world.container.items[LYDIA]
    assert updated.after == ({"b": "2", "c": "3"} if dialect.empty_clears else {"a": "", "b": "2", "c": "3"})
    assert await client.appdata(LYDIA, "@self") == {LYDIA: updated.after}


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
