"""What the container refuses, and what our client makes of it: the right error, with the container's own words."""

from __future__ import annotations

import pytest

from homeserver.clients.transport import exchange
from homeserver.errors import RemoteError, RemoteRefused, RemoteUnauthorized, RemoteUnsupported
from homeserver.model import HttpReply
from homeserver.protocol import opensocial
from homeserver.protocol.oauth1 import Credentials, body_hash, signed_url
from homeserver.protocol.opensocial import Call
from tests.interop import MARKS
from tests.interop.society import CONSUMER_KEY, CROWD, ELIZABETH, HAS_APP, JANE, LETTERS
from tests.interop.world import World, send, true_now_ms

pytestmark = MARKS


async def exactly(world: World, method: str, url: str, body: bytes | None = None) -> HttpReply:
    """Send a request as it stands, signed or not."""
    headers = {"Content-Type": "application/json"} if body else None
    return await exchange(world.signed_session, method, url, service="container", headers=headers, body=body)


@pytest.mark.parametrize(
    ("key", "secret", "problem"),
    [(CONSUMER_KEY, "wrong", "signature_invalid"), ("orkut.com:1", "wrong", "consumer_key_unknown")],
)
async def test_wrong_credentials(world: World, key: str, secret: str, problem: str) -> None:
    client = world.client(credentials=Credentials(key, secret))
    for call in (client.person(JANE), client.update_appdata(JANE, {"a": "1"})):
        with pytest.raises(RemoteUnauthorized) as refused:
            await call
        assert problem in str(refused.value)
        assert "<" not in str(refused.value)
    assert client.requests_sent == 2  # asking again would not have helped


@pytest.mark.parametrize("ahead_s", [-1200, -400, 400, 1200])
async def test_a_time_outside_of_the_window(world: World, ahead_s: int) -> None:
    """Its refusals bear no `Date`, so the skew cannot be learnt from one; the container's word says what is wrong."""
    client = world.client(now_ms=lambda: true_now_ms() + ahead_s * 1000)
    with pytest.raises(RemoteUnauthorized, match="timestamp_refused"):
        await client.person(JANE)
    assert (client.requests_sent, client.skew_s) == (1, 0.0)


@pytest.mark.parametrize("ahead_s", [-240, 240])
async def test_a_time_inside_of_the_window(world: World, ahead_s: int) -> None:
    """Is accepted, and what is wrong with it is measured and corrected before it can grow out of the window."""
    further_s = 0

    def now_ms() -> int:
        return true_now_ms() + (ahead_s + further_s) * 1000

    client = world.client(now_ms=now_ms)
    await client.person(JANE)
    assert abs(client.skew_s + ahead_s) <= 2
    further_s = ahead_s // 5  # 288 s from the truth and 48 s from what is known of it
    await client.person(JANE)
    assert abs(client.skew_s + ahead_s + further_s) <= 2
    further_s = ahead_s  # 480 s: far outside, were it not corrected
    await client.person(JANE)
    assert abs(client.skew_s + 2 * ahead_s) <= 2


async def test_a_request_that_comes_again(world: World) -> None:
    """2.0.2 forgets nonces at once; the later release refuses, and so each of our attempts has its own."""
    url = signed_url(
        "GET",
        f"{world.shindig.base_url}/people/{JANE}/@self",
        world.credentials,
        timestamp_s=true_now_ms() // 1000,
        nonce="the same",
        requestor_id=JANE,
    )
    assert (await exactly(world, "GET", url)).status == 200
    again = await exactly(world, "GET", url)
    if world.shindig.remembers_nonces:
        with pytest.raises(RemoteUnauthorized, match="nonce_used"):
            opensocial.raise_for(again)
    else:
        assert again.status == 200


@pytest.mark.parametrize(("hashed", "status"), [(b'{"a": "1"}', 200), (b'{"a": "2"}', 401), (None, 200)])
async def test_a_body_hash(world: World, hashed: bytes | None, status: int) -> None:
    """Is checked where it is sent, and not asked for. A wrong one is refused without a word."""
    person = next(world.writers)
    url = signed_url(
        "PUT",
        f"{world.shindig.base_url}/appdata/{person}/@self/@app",
        world.credentials,
        timestamp_s=true_now_ms() // 1000,
        nonce=f"hash of {person}",
        requestor_id=person,
        body_hash=None if hashed is None else body_hash(hashed),
    )
    reply = await exactly(world, "PUT", url, b'{"a": "1"}')
    assert reply.status == status
    if status == 401:
        assert reply.body == b""
        with pytest.raises(RemoteUnauthorized):
            opensocial.raise_for(reply)
    assert await world.client().appdata(person, "@self") == {person: {"a": "1"} if status == 200 else {}}


async def test_what_is_not_signed_is_let_in(world: World) -> None:
    """In these releases nobody is refused for want of a signature, whatever the configuration says."""
    assert (await exactly(world, "GET", f"{world.shindig.base_url}/people/{JANE}/@self")).status == 200


async def test_who_does_not_have_the_application_is_not_refused(world: World) -> None:
    """Orkut answered 401 for them."""
    assert not HAS_APP[CROWD[0]]
    assert (await world.client().person(CROWD[0])).has_app is False
    assert (await world.client().appdata(CROWD[0], "@self"))[CROWD[0]]["letters"] == LETTERS[CROWD[0]]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (Call("GET", "/nothing/here"), RemoteUnsupported, "No service defined for path nothing/here"),
        (
            Call("GET", f"/people/{ELIZABETH}/@friends", (("count", "many"),)),
            RemoteRefused,
            "Parameter count (many) is not a number.",
        ),
        (
            Call("GET", f"/people/{ELIZABETH}/@friends", (("filterBy", "name"), ("filterOp", "near"))),
            RemoteRefused,
            "Parameter filterOp (near) is not valid.",
        ),
    ],
)
async def test_other_refusals(world: World, call: Call, error: type[RemoteError], words: str) -> None:
    """Pages of HTML, all of them."""
    reply = await send(world.client(), call)
    assert reply.headers["content-type"].startswith("text/html")
    with pytest.raises(error) as refused:
        opensocial.parse_people(reply)
    assert type(refused.value) is error
    assert words in str(refused.value)
