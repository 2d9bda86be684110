"""People of the container: everybody once, whatever it does."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from aiohttp import web

from homeserver.errors import (
    BadInput,
    RemoteGarbage,
    RemoteUnavailable,
)
from homeserver.protocol.opensocial import Filter
from tests.container.stand_in import (
    ELIZABETH,
    JANE,
    KEY,
    LYDIA,
    World,
    answering,
    collect,
    listed,
)


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
        friends = await listed(client.friends(ELIZABETH, page_size=10))
        assert friends == [each for each in everybody if each not in container.without_app]
        rows = len(container.people)
        page = 20 if ignores_count else min(10, largest_page)
        assert len(container.requests) <= rows // max(page - 1, 1) + 4
    assert container.furthest <= 0


@pytest.mark.parametrize("page_size", [1, 2, 3])
@pytest.mark.parametrize("first_index", [0, 1])
@pytest.mark.parametrize("lie", LIES)
async def test_small_pages(world: World, lie: str, first_index: int, page_size: int) -> None:
    """Where a page of one holds the last one again, it is not taken for the end."""
    container = world.container
    container.total, container.first_index = LIES[lie], first_index
    for size in (0, 1, 2, 7):
        container.people = [f"{number:020}" for number in range(size)]
        assert await listed(world.client.friends(ELIZABETH, page_size=page_size)) == container.people
    assert container.furthest <= 0


@pytest.mark.parametrize(
    ("first_index", "lie", "asked"),
    [
        (0, "true", ["10", "20", "30"]),
        (0, "absent", ["10", "20", "30"]),
        (1, "true", ["10", "20", "30", "30"]),
        (1, "absent", ["10", "19", "28", "30"]),
    ],
)
async def test_the_second_page_shows_from_where_it_counts(
    world: World, first_index: int, lie: str, asked: list[str]
) -> None:
    """Its number skips nobody either way. From 1, pages overlap no more while the total promises somebody to come."""
    container = world.container
    container.first_index, container.total = first_index, LIES[lie]
    container.people = [f"{number:020}" for number in range(30)]
    assert await listed(world.client.friends(ELIZABETH, page_size=10)) == container.people
    assert [request.query.get("startIndex") for request in container.requests] == [None, *asked]


async def test_other_filters(world: World) -> None:
    """The guide's three parameters, whatever the field; nobody is left out here then."""
    world.container.without_app = frozenset({JANE})
    named = Filter("name", "startsWith", "P & Q")
    assert await listed(world.client.friends(ELIZABETH, matching=named)) == [JANE, LYDIA]
    assert await listed(world.client.contacts(ELIZABETH, matching=named)) == [JANE, LYDIA]
    for request in world.container.requests:
        query = request.query
        assert (query["filterBy"], query["filterOp"], query["filterValue"]) == ("name", "startsWith", "P & Q")
    with pytest.raises(BadInput):
        await listed(world.client.friends(ELIZABETH, matching=Filter("a b")))


async def test_one_page_as_it_comes(world: World) -> None:
    world.container.people = [f"{number:020}" for number in range(5)]
    page = await world.client.people_page(ELIZABETH, "@friends", count=2, start_index=3)
    assert ([person.id for person in page.people], page.start, page.total) == (world.container.people[2:4], 2, 5)


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
