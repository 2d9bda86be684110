"""AppData in a container that nobody here wrote: values come back exact, writes touch nothing else."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Final

import pytest

from homeserver.clients.container import Updated
from homeserver.errors import BadInput, RemoteRefused, RemoteUnavailable
from homeserver.model import HttpReply
from homeserver.protocol import opensocial
from homeserver.protocol.dialects import Override
from homeserver.protocol.opensocial import SHINDIG, Call
from tests.interop import MARKS
from tests.interop.society import CROWD, ELIZABETH, FRIENDS, JANE, LETTERS, LYDIA, NOBODY, OUTSIDER, WITHOUT_A_PLACE
from tests.interop.world import World, send

pytestmark = MARKS

AWKWARD: Final = {
    "letters": "3",
    "last_letter_date": "2008-10-30T18:30:02Z",
    "markup": "<b>&amp; \"quoted\" & 'so'</b> &lt; &#39; &amp;amp; </script>",
    "unicode": "é 日本 \u2028 \u00a0",
    "emoji": "😀👩\u200d🚀",
    "escapes": "100% %41 %2B a+b a b \\u0041 \\ \\\\ /",
    "json": '{"a": [1, "\\\\"], "b": null}',
    "empty": "",
    "blanks": "  \t\n ",
    "number": "9007199254740993",
    "long": "é" * 4000,
    "dots.and-dashes_1": "true",
}
JSON: Final = (("Content-Type", "application/json"),)


def path(user_id: str) -> str:
    return f"/appdata/{user_id}/@self/@app"


async def raw(world: World, method: str, user_id: str, body: bytes | None, *query: tuple[str, str]) -> HttpReply:
    return await send(world.client(), Call(method, path(user_id), query, JSON if body else (), body), user_id)


async def test_reading_what_was_there(world: World) -> None:
    client = world.client()
    assert await client.appdata(OUTSIDER, "@self") == {OUTSIDER: {}}
    assert await client.appdata(JANE, "@self") == {JANE: {"letters": "12", "note": "<&>"}}
    assert await client.appdata(JANE, "@self", ["letters", "nothing"]) == {JANE: {"letters": "12"}}
    friends = await client.appdata(ELIZABETH, "@friends", ["letters"])
    assert friends.keys() == set(FRIENDS[ELIZABETH])  # all of them at once, those without data too
    assert {user_id: item["letters"] for user_id, item in friends.items() if item} == {
        user_id: LETTERS[user_id] for user_id in (JANE, LYDIA, *CROWD[:2])
    }
    assert await client.appdata(ELIZABETH, "@all", ["letters"]) == friends
    assert await client.appdata("@me", "@self", requestor_id=JANE) == await client.appdata(JANE, "@self")


async def test_reading_somebody_unknown(world: World) -> None:
    """No error: an item that is empty."""
    assert await world.client().appdata(NOBODY, "@self") == {NOBODY: {}}
    assert await world.client().appdata(WITHOUT_A_PLACE, "@self") == {WITHOUT_A_PLACE: {}}


async def test_every_value_comes_back_as_it_was_sent(world: World) -> None:
    client, person = world.client(), next(world.writers)
    assert await client.update_appdata(person, AWKWARD) == Updated({}, AWKWARD)
    assert await client.appdata(person, "@self") == {person: AWKWARD}
    assert (await client.update_appdata(person, {"more": "x"})).before == AWKWARD


@pytest.mark.parametrize("override", [False, True])
@pytest.mark.parametrize("hashed", [None, False])
async def test_a_score_written_ten_times_leaves_all_else_as_it_was(
    world: World, override: bool, hashed: bool | None
) -> None:
    client, person = world.client(override_methods=override, body_hash=hashed), next(world.writers)
    await client.create_appdata(person, AWKWARD)
    for score in range(10, 20):
        updated = await client.update_appdata(person, {"letters": str(score)})
        assert updated.after == {**AWKWARD, "letters": str(score)}
        assert await client.appdata(person, "@self") == {person: updated.after}


async def test_writes_for_many_people_at_once(world: World) -> None:
    people = [next(world.writers) for _ in range(8)]
    client = world.client()
    await asyncio.gather(*[client.update_appdata(person, {"letters": person[-2:]}) for person in people])
    for person in people:
        assert await client.appdata(person, "@self") == {person: {"letters": person[-2:]}}


@pytest.mark.parametrize("override", [False, True])
async def test_removing_keys(world: World, override: bool) -> None:
    """The container only deletes what `fields` names."""
    client, person = world.client(override_methods=override), next(world.writers)
    await client.update_appdata(person, {"a": "1", "b": "<2>", "c": "3", "d": "4"})
    assert (await client.update_appdata(person, {"a": None, "c": "5"})).after == {"b": "<2>", "c": "5", "d": "4"}
    assert await client.appdata(person, "@self") == {person: {"b": "<2>", "c": "5", "d": "4"}}
    await client.delete_appdata(person, ["c", "never"])
    assert await client.appdata(person, "@self") == {person: {"b": "<2>", "d": "4"}}
    await client.replace_appdata(person, {"d": "&6"})
    assert await client.appdata(person, "@self") == {person: {"d": "&6"}}
    await client.delete_appdata(person)
    assert await client.appdata(person, "@self") == {person: {}}
    await client.delete_appdata(person)


async def test_a_delete_that_names_nothing_deletes_nothing(world: World) -> None:
    """Nor does a star: so our client always names the keys, and reads them first when all must go."""
    person = next(world.writers)
    await world.client().update_appdata(person, {"a": "1"})
    opensocial.parse_written(await raw(world, "DELETE", person, None))
    opensocial.parse_written(await raw(world, "DELETE", person, None, ("fields", "*")))
    assert await world.client().appdata(person, "@self") == {person: {"a": "1"}}
    with pytest.raises(BadInput):
        opensocial.delete_appdata(SHINDIG, person)


async def test_an_override_in_a_header_is_not_seen(world: World) -> None:
    """The guide's way: here it is a plain POST. In the query it works, and that is what the dialect says."""
    person = next(world.writers)
    await world.client().update_appdata(person, {"a": "1", "b": "2"})
    call = opensocial.delete_appdata(replace(SHINDIG, override=Override.HEADER), person, ["a"], override=True)
    assert ("X-HTTP-Method-Override", "DELETE") in call.headers
    await send(world.client(), replace(call, body=b"{}"), person)
    assert await world.client().appdata(person, "@self") == {person: {"a": "1", "b": "2"}}
    call = opensocial.delete_appdata(SHINDIG, person, ["a"], override=True)
    opensocial.parse_written(await send(world.client(), call, person))
    assert await world.client().appdata(person, "@self") == {person: {"b": "2"}}


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_put_and_post_merge(world: World, method: str) -> None:
    """Neither replaces, `fields` limits neither, what is no text becomes Java's, and the answer repeats nothing."""
    person = next(world.writers)
    await world.client().update_appdata(person, {"a": "1", "b": "2"})
    body = b'{"a": 9007199254740993, "c": true, "d": 1.50, "e": {"x": [1, "2"]}}'
    reply = await raw(world, method, person, body, ("fields", "a"))
    assert (reply.status, json.loads(reply.body)) == (200, {"entry": {}})
    item = {"a": "9007199254740993", "b": "2", "c": "true", "d": "1.5", "e": "{x=[1, 2]}"}
    assert await world.client().appdata(person, "@self") == {person: item}


async def test_the_wrapped_body_of_the_guide_is_taken_for_a_key(world: World) -> None:
    """Why the dialect sends the item itself."""
    person = next(world.writers)
    body = json.dumps({"entry": {person: {"letters": "4"}}}).encode()
    opensocial.parse_written(await raw(world, "PUT", person, body))
    assert await world.client().appdata(person, "@self") == {person: {"entry": f"{{{person}={{letters=4}}}}"}}


async def test_the_short_address_of_the_guide(world: World) -> None:
    """POST to it writes; GET from it brings the friends' items and not one's own, so the dialect never uses it."""
    person = next(world.writers)
    reply = await send(world.client(), Call("POST", f"/appdata/{person}/@app", (), JSON, b'{"a": "1"}'), person)
    opensocial.parse_written(reply)
    assert await world.client().appdata(person, "@self") == {person: {"a": "1"}}
    reply = await send(world.client(), Call("GET", f"/appdata/{JANE}/@app"), JANE)
    assert opensocial.parse_appdata(reply, SHINDIG).keys() == set(FRIENDS[JANE])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"a b": "1"}', JSON),
        (b'{"a": "1"', JSON),
        (b"[1]", JSON),
        (b'{"a": "1"}', (("Content-Type", "application/octet-stream"),)),
    ],
)
async def test_a_body_that_is_refused(world: World, body: bytes, headers: tuple[tuple[str, str], ...]) -> None:
    """Without a word: our client refuses such a key before the call, and names the status where the container does."""
    person = next(world.writers)
    reply = await send(world.client(), Call("PUT", path(person), (), headers, body), person)
    assert (reply.status, reply.body) == (400, b"")
    with pytest.raises(RemoteRefused):
        opensocial.parse_written(reply)
    with pytest.raises(BadInput):
        await world.client().update_appdata(person, {"a b": "1"})
    assert await world.client().appdata(person, "@self") == {person: {}}


async def test_a_person_without_a_place_for_data(world: World) -> None:
    """Its sample database breaks there; that reads as a container in trouble, not as a written score."""
    with pytest.raises(RemoteUnavailable):
        await world.client().update_appdata(WITHOUT_A_PLACE, {"a": "1"})


async def test_one_person_at_a_time(world: World) -> None:
    for call in (
        world.client().update_appdata(f"{JANE},{LYDIA}", {"a": "1"}),
        world.client().update_appdata("@me", {"a": "1"}),
        world.client().create_appdata("@friends", {"a": "1"}),
    ):
        with pytest.raises(BadInput):
            await call
    assert (await raw(world, "PUT", f"{JANE},{LYDIA}", b'{"a": "1"}')).status == 400


async def test_the_selector_of_a_write_is_not_looked_at(world: World) -> None:
    """A write to friends is one's own here, where the guide has it refused; ours is refused before the call."""
    person = next(world.writers)
    call = Call("PUT", f"/appdata/{person}/@friends/@app", (), JSON, b'{"a": "1"}')
    opensocial.parse_written(await send(world.client(), call, person))
    assert await world.client().appdata(person, "@self") == {person: {"a": "1"}}


async def test_a_quota_is_not_kept(world: World) -> None:
    """Orkut's was 10 KB; here 200 KB are taken."""
    person, value = next(world.writers), "é" * 100_000
    await world.client().update_appdata(person, {"long": value})
    assert await world.client().appdata(person, "@self") == {person: {"long": value}}


async def test_appdata_has_no_pages(world: World) -> None:
    call = Call("GET", f"/appdata/{ELIZABETH}/@friends/@app", (("count", "1"), ("startIndex", "3")))
    items = opensocial.parse_appdata(await send(world.client(), call), SHINDIG)
    assert items.keys() == set(FRIENDS[ELIZABETH])
