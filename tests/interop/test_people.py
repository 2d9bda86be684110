"""People of a container that nobody here wrote, read with our client: profiles, pages, the filter it ignores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from homeserver.errors import BadInput, RemoteRefused, RemoteUnavailable
from homeserver.model import HttpReply, Person
from homeserver.protocol import opensocial
from homeserver.protocol.opensocial import SHINDIG, Call
from tests.interop import MARKS
from tests.interop.society import ELIZABETH, FRIENDS, HAS_APP, JANE, LYDIA, NAMES, NOBODY, OUTSIDER
from tests.interop.world import World, send

pytestmark = MARKS

EVERYBODY = list(FRIENDS[ELIZABETH])


async def ids(people: AsyncIterator[Person]) -> list[str]:
    return [person.id async for person in people]


@pytest.mark.parametrize("user_id", NAMES)
async def test_a_profile(world: World, user_id: str) -> None:
    given, family = NAMES[user_id]
    picture = f"http://127.0.0.1:9/pictures/{user_id}.jpg?size=small&v=1"
    expected = Person(user_id, given, family, given, picture, has_app=True)
    assert await world.client().person(user_id) == expected
    assert await world.client().person("@me", requestor_id=user_id) == expected


async def test_a_profile_without_fields_lacks_what_we_need(world: World) -> None:
    """The container's own choice is id, name and thumbnailUrl; so our client names its fields."""
    short = await world.client().person(JANE, fields=[])
    assert (short.name, short.has_app) == ("Jane Bennet", None)
    assert short.thumbnail_url != ""


async def test_me_needs_a_requestor(world: World) -> None:
    with pytest.raises(BadInput):
        await world.client().person("@me")
    with pytest.raises(RemoteRefused, match="Person 'null' not found"):
        opensocial.raise_for(await send(world.client(), Call("GET", "/people/@me/@self"), None))


async def test_nobody_is_refused_as_a_wrong_request(world: World) -> None:
    with pytest.raises(RemoteRefused, match=f"Person '{NOBODY}' not found"):
        await world.client().person(NOBODY)
    assert await ids(world.client().friends(NOBODY)) == []


@pytest.mark.parametrize("page_size", [1, 2, 7, 20, 46, 47, 48, 1000])
async def test_every_friend_comes_once_whatever_the_page(world: World, page_size: int) -> None:
    client = world.client()
    assert await ids(client.friends(ELIZABETH, has_app=False, page_size=page_size)) == EVERYBODY
    full_pages = -(-len(EVERYBODY) // page_size)
    assert client.requests_sent == full_pages + 1  # the last brings nobody new, and the container is not asked again


async def test_contacts_are_friends_here(world: World) -> None:
    assert await ids(world.client().contacts(ELIZABETH, page_size=10)) == EVERYBODY
    assert await ids(world.client().contacts(OUTSIDER)) == []


async def test_the_ignored_filter_is_made_up_for(world: World) -> None:
    """The container sends people without the application too; our client leaves them out."""
    page = opensocial.parse_people(
        await send(world.client(), opensocial.get_people(SHINDIG, ELIZABETH, "@friends", count=1000, has_app=True))
    )
    assert [person.id for person in page.people] == EVERYBODY
    having = [user_id for user_id in EVERYBODY if HAS_APP[user_id]]
    assert len(having) < len(EVERYBODY)
    assert await ids(world.client().friends(ELIZABETH, page_size=10)) == having


async def test_what_a_page_says_of_itself(world: World) -> None:
    """Counted from 0; twenty unless asked; at the end nobody, and beyond it the container breaks."""

    async def page(*query: tuple[str, str]) -> HttpReply:
        return await send(world.client(), Call("GET", f"/people/{ELIZABETH}/@friends", query))

    first = opensocial.parse_people(await page())
    assert (len(first.people), first.start, first.total) == (20, 0, 47)
    second = opensocial.parse_people(await page(("startIndex", "1"), ("count", "2")))
    assert ([person.id for person in second.people], second.start) == (EVERYBODY[1:3], 1)
    end = opensocial.parse_people(await page(("startIndex", "47")))
    assert (end.people, end.total) == ((), 47)
    with pytest.raises(RemoteUnavailable):
        opensocial.parse_people(await page(("startIndex", "48")))


async def test_ids_and_names_are_exact(world: World) -> None:
    """Ids above 2^63, one with a leading 0, names with markup and with a character of four bytes."""
    people = {person.id: person async for person in world.client().friends(ELIZABETH)}
    assert people[LYDIA].name == "Lýdia 📜 O'Bennet & <Söhne>"
    assert people[JANE].name == "Jane Bennet"


@pytest.mark.parametrize("value", ["~", "a b", "a+b", "*", "'(é)'", "€ 😀", "%2B", "a=b&c", ""])
async def test_a_signature_over_awkward_parameters(world: World, value: str) -> None:
    call = Call("GET", f"/people/{JANE}/@self", (("note", value), ("note", "again"), (f"{value}[1]", "x")))
    assert opensocial.parse_person(await send(world.client(), call)).id == JANE
