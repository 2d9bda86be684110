"""Several reads in one request, of a container that nobody here wrote; and what it shows of its dialect."""

from __future__ import annotations

import json

import pytest

from homeserver.clients.container import Overview
from homeserver.clients.dialect_probe import Observed, observe
from homeserver.errors import RemoteRefused, RemoteUnsupported
from homeserver.model import HttpReply
from homeserver.protocol.opensocial import GUIDE, SHINDIG, Call
from homeserver.protocol.opensocial_rpc import parse_overview
from tests.interop import MARKS
from tests.interop.society import ELIZABETH, FRIENDS, HAS_APP, JANE, LETTERS, NOBODY, OUTSIDER
from tests.interop.world import World

pytestmark = MARKS

FIELDS = ["letters"]


@pytest.mark.parametrize("user_id", [JANE, ELIZABETH, OUTSIDER])
async def test_one_request_brings_what_five_bring(world: World, user_id: str) -> None:
    client, by_rest = world.client(), world.client()
    overview = await client.overview(user_id, FIELDS)
    assert overview == Overview(
        await by_rest.person(user_id),
        tuple([friend async for friend in by_rest.friends(user_id)]),
        await by_rest.appdata(user_id, "@self", FIELDS),
        await by_rest.appdata(user_id, "@friends", FIELDS),
    )
    assert overview.own == {user_id: {"letters": LETTERS[user_id]} if user_id in LETTERS else {}}
    # Once a list of this length was seen whole, such lists are not looked behind again.
    assert client.requests_sent == 1 + (len(FRIENDS.get(user_id, ())) > 19)
    again = client.counted()
    assert await again.overview(user_id, FIELDS) == overview
    assert again.requests_sent == 1


async def test_pages_follow_where_one_is_not_enough(world: World) -> None:
    """Here only because fewer are asked for than there are: the container itself cuts nothing."""
    client = world.client()
    overview = await client.overview(ELIZABETH, [], page_size=10)
    assert overview is not None
    assert [friend.id for friend in overview.friends] == [one for one in FRIENDS[ELIZABETH] if HAS_APP[one]]
    assert client.requests_sent == 6


async def test_a_call_that_fails_says_why(world: World) -> None:
    """Under 200, in its own place in the answer, with an HTTP status for a code."""
    with pytest.raises(RemoteRefused, match=f"Person '{NOBODY}' not found"):
        await world.client().overview(NOBODY, FIELDS)

    async def asked(method: str) -> HttpReply:
        calls = [{"method": method, "id": "person", "params": {"userId": JANE, "groupId": "@self"}}]
        call = Call("POST", "/rpc", (), (("Content-Type", "application/json"),), json.dumps(calls).encode())
        return await world.client()._send(call, JANE, f"{world.shindig.origin}/social")

    reply = await asked("nothing.get")
    assert reply.status == 200
    with pytest.raises(RemoteUnsupported, match=r"nothing\.get is not implemented"):
        parse_overview(reply, SHINDIG, with_appdata=False)


async def test_the_dialect_shows(world: World) -> None:
    """Whatever dialect is configured."""
    for dialect in (GUIDE, SHINDIG):
        observed = await observe(world.client(dialect=dialect), ELIZABETH)
        assert observed == Observed(rpc=True, collection="entry", first_index=0)
        assert observed.fitting() == (SHINDIG,)
    assert (await observe(world.client(), OUTSIDER)).fitting() == (SHINDIG,)
