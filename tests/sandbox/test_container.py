"""The container stand-in over HTTP, called as a home server would, signed with oauthlib."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from homeserver.sandbox.container import SHINDIG
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE, populate
from tests.clock import Clock
from tests.sandboxes import SignedClient

# --- signatures ------------------------------------------------------------------------------------------------------


async def test_a_signed_request_is_answered(container: SignedClient) -> None:
    reply = await container.call("GET", f"people/{ELIZABETH}/@self")
    assert reply.status == 200
    assert reply.json["entry"]["name"] == {"familyName": "Bennet", "givenName": "Elizabeth"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"client_secret": "wrong"}, "signature_invalid"),
        ({"client_key": "orkut.com:1"}, "consumer_key_unknown"),
        ({"signature_method": "PLAINTEXT"}, "signature_method_rejected"),
        ({"signature_method": "HMAC-SHA256"}, "signature_method_rejected"),
        ({"timestamp": "yesterday"}, "timestamp_refused"),
        ({"signature_type": "AUTH_HEADER"}, "parameter_rejected"),
    ],
)
async def test_a_wrong_signature_is_refused_in_text(
    container: SignedClient, changes: dict[str, Any], problem: str
) -> None:
    reply = await container.call("GET", f"people/{ELIZABETH}/@self", **changes)
    assert reply.status == 401
    assert problem in reply.text
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert reply.headers["WWW-Authenticate"] == 'OAuth realm="sandbox"'
    assert container.sandbox.settings.consumer_secret not in reply.text


async def test_an_unsigned_request_is_refused(container: SignedClient) -> None:
    reply = await container.send("GET", str(container.http.make_url(f"/social/rest/people/{ELIZABETH}/@self")))
    assert (reply.status, "parameter_absent" in reply.text) == (401, True)


@pytest.mark.parametrize(("offset_s", "status"), [(-301, 401), (-300, 200), (300, 200), (301, 401)])
async def test_the_timestamp_may_be_five_minutes_off(
    container: SignedClient, clock: Clock, offset_s: int, status: int
) -> None:
    timestamp = str(clock.now_ms() // 1000 + offset_s)
    assert (await container.call("GET", f"people/{ELIZABETH}/@self", timestamp=timestamp)).status == status


async def test_the_same_request_works_once(container: SignedClient) -> None:
    url = container.sign("GET", f"people/{ELIZABETH}/@self")
    assert (await container.send("GET", url)).status == 200
    again = await container.send("GET", url)
    assert (again.status, "nonce_used" in again.text) == (401, True)


async def test_a_wrong_signature_uses_up_no_nonce(container: SignedClient) -> None:
    await container.call("GET", f"people/{ELIZABETH}/@self", nonce="n1", client_secret="wrong")
    assert (await container.call("GET", f"people/{ELIZABETH}/@self", nonce="n1")).status == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [(ELIZABETH, JANE), ("count=5", "count=6"), ("oauth_version=1.0", "oauth_version=2.0"), ("count", "Count")],
)
async def test_changing_what_was_signed_is_noticed(container: SignedClient, old: str, new: str) -> None:
    url = container.sign("GET", f"people/{ELIZABETH}/@friends?count=5")
    assert old in url
    assert (await container.send("GET", url.replace(old, new))).status == 401


async def test_another_method_is_noticed(container: SignedClient) -> None:
    url = container.sign("GET", f"appdata/{ELIZABETH}/@self/@app")
    assert (await container.send("DELETE", url)).status == 401
    assert container.sandbox.container.appdata_of(ELIZABETH)


async def test_a_repeated_oauth_parameter_is_refused(container: SignedClient) -> None:
    url = container.sign("GET", f"people/{ELIZABETH}/@self?xoauth_requestor_id={ELIZABETH}&xoauth_requestor_id={JANE}")
    reply = await container.send("GET", url)
    assert (reply.status, "parameter_rejected" in reply.text) == (401, True)


@pytest.mark.parametrize("value", ["a b+c", "~*'()!$,;:@/?", "é 日本 \N{FOX FACE}", "", "100%", "a=b&c=d"])
async def test_values_that_need_encoding_sign_correctly(container: SignedClient, value: str) -> None:
    assert (await container.call("GET", f"people/{ELIZABETH}/@self", {"x": value})).status == 200


async def test_the_body_hash_is_checked(container: SignedClient) -> None:
    def hash_of(body: bytes) -> str:
        return base64.b64encode(hashlib.sha1(body).digest()).decode()

    path, body = f"appdata/{ELIZABETH}/@self/@app", b'{"letters": "4"}'
    right = await container.call("PUT", path, {"fields": "letters"}, body=body)
    assert (right.status, container.sandbox.container.requests[-1].body) == (200, body)
    # oauthlib adds the hash by itself, so a changed body does not fit what was signed.
    url = container.sign("PUT", f"{path}?fields=letters&oauth_body_hash={quote(hash_of(body), safe='')}")
    wrong = await container.send("PUT", url, {"Content-Type": "application/json"}, '{"letters": "5"}')
    assert (wrong.status, "body_hash_invalid" in wrong.text) == (401, True)
    assert container.sandbox.container.appdata_of(ELIZABETH)["letters"] == "4"


async def test_a_form_is_signed_with_its_parameters_and_then_refused_for_its_type(container: SignedClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await container.call("POST", f"appdata/{ELIZABETH}/@app", body=b"letters=4", headers=form)
    assert (reply.status, "Content-Type" in reply.text) == (400, True)


# --- who may be asked about ------------------------------------------------------------------------------------------


async def test_people_without_the_application_are_out_of_reach(container: SignedClient) -> None:
    state = container.sandbox.container
    state.remove_app(JANE)
    for path in (f"people/{JANE}/@self", f"people/{JANE}/@friends", f"appdata/{JANE}/@self/@app"):
        assert (await container.call("GET", path)).status == 401
    assert (await container.call("GET", f"people/{ELIZABETH}/@self", requestor=JANE)).status == 401
    assert (await container.call("GET", "people/12345/@self")).status == 401
    state.add_app(JANE)
    assert (await container.call("GET", f"people/{JANE}/@self")).status == 200


async def test_me_is_the_requestor(container: SignedClient) -> None:
    reply = await container.call("GET", "people/@me/@self", requestor=CHARLOTTE)
    assert reply.json["entry"]["id"] == CHARLOTTE == "07365476160138082838"
    assert (await container.call("GET", "people/@me/@self")).status == 400


async def test_offline_access_refused(container: SignedClient, clock: Clock) -> None:
    state = container.sandbox.container
    state.offline = False
    read, write = ("GET", f"people/{ELIZABETH}/@friends"), ("DELETE", f"appdata/{ELIZABETH}/@self/@app")
    assert (await container.call(*read)).status == 401
    assert (await container.call(*write)).status == 401
    state.open_gadget(ELIZABETH)
    assert (await container.call(*read)).status == 200
    assert (await container.call("GET", f"people/{JANE}/@self", requestor=ELIZABETH)).status == 200
    assert (await container.call("GET", f"people/{JANE}/@self")).status == 401
    clock.advance(ms=container.sandbox.settings.online_for_ms)
    assert (await container.call(*read)).status == 401
    assert state.appdata_of(ELIZABETH)


async def test_an_id_is_text_and_travels_encoded(container: SignedClient) -> None:
    state = container.sandbox.container
    state.add_person("sandbox.example/ü 1", "Ü", "Eins")
    reply = await container.call("GET", f"people/{quote('sandbox.example/ü 1', safe='')}/@self")
    assert reply.json["entry"]["id"] == "sandbox.example/ü 1"


# --- people ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_people() -> None:
    society = populate(7)
    assert society == populate(7) != populate(8)
    players = [person for person in society.people.values() if person.has_app]
    assert len(society.people) == 120
    assert 80 <= len(players) <= 100
    assert 200 <= sum(len(friends) for friends in society.friends.values()) / 2 <= 900
    assert all(one in society.friends[other] for one, friends in society.friends.items() for other in friends)
    assert any(not society.friends[player.id] for player in players)
    assert any(not person.has_app for person in map(society.people.__getitem__, society.friends[ELIZABETH]))
    assert {"10459228050876679741", "07365476160138082838", "15913663323317925521"} < set(society.people)


async def test_a_person_has_the_members_of_the_guide_unless_others_are_asked_for(container: SignedClient) -> None:
    entry = (await container.call("GET", f"people/{ELIZABETH}/@self")).json["entry"]
    assert set(entry) == {"photos", "id", "thumbnailUrl", "name"}
    assert entry["photos"] == [{"value": entry["thumbnailUrl"], "type": "thumbnail"}]
    asked = await container.call("GET", f"people/{ELIZABETH}/@self", {"fields": "dateOfBirth,hasApp,displayName"})
    assert asked.json["entry"] == {
        "id": ELIZABETH, "displayName": "Elizabeth Bennet", "hasApp": True, "dateOfBirth": "1985-05-28T00:00:00.000Z",
    }  # fmt: skip


async def test_a_picture_is_where_the_thumbnail_says(container: SignedClient) -> None:
    entry = (await container.call("GET", f"people/{ELIZABETH}/@self")).json["entry"]
    async with container.http.get(urlsplit(entry["thumbnailUrl"]).path) as response:
        assert (response.status, response.content_type) == (200, "image/svg+xml")
    no_picture = (await container.call("GET", f"people/{JANE}/@self")).json["entry"]
    assert set(no_picture) == {"id", "name"}


async def test_friends_come_twenty_at_a_time_in_the_order_of_the_friendships(container: SignedClient) -> None:
    """The guide: startIndex is 1-based in the request, and the first page answers 0."""
    friends = container.sandbox.container.friends[ELIZABETH]
    path = f"people/{ELIZABETH}/@friends"
    pages = [
        (await container.call("GET", path, start)).json for start in ({}, {"startIndex": "21"}, {"startIndex": "41"})
    ]
    assert [page["startIndex"] for page in pages] == [0, 20, 40]
    assert [page["totalResults"] for page in pages] == [46, 46, 46]
    assert [person["id"] for page in pages for person in page["entry"]] == friends
    assert (await container.call("GET", path, {"startIndex": "1"})).json == pages[0]
    assert (await container.call("GET", path, {"startIndex": "47"})).json["entry"] == []
    five = (await container.call("GET", path, {"count": "5", "startIndex": "3"})).json
    assert [person["id"] for person in five["entry"]] == friends[2:7]
    assert len((await container.call("GET", path, {"count": "1000"})).json["entry"]) == 46


async def test_friends_can_be_filtered_by_having_the_application(container: SignedClient) -> None:
    state = container.sandbox.container
    asked = {"filterBy": "hasApp", "filterOp": "equals", "filterValue": "true", "count": "100"}
    page = (await container.call("GET", f"people/{ELIZABETH}/@friends", asked)).json
    expected = [friend for friend in state.friends[ELIZABETH] if state.has_app(friend)]
    assert [person["id"] for person in page["entry"]] == expected
    assert page["totalResults"] == len(expected) < 46
    for wrong in ({"filterBy": "name"}, {"filterOp": "contains"}, {"filterValue": "maybe"}):
        assert (await container.call("GET", f"people/{ELIZABETH}/@friends", {**asked, **wrong})).status == 400


async def test_all_contacts_are_more_than_friends(container: SignedClient) -> None:
    state = container.sandbox.container
    page = (await container.call("GET", f"people/{JANE}/@all", {"count": "100"})).json
    assert state.contacts[JANE]
    assert [person["id"] for person in page["entry"]] == state.friends[JANE] + state.contacts[JANE]


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("POST", f"people/{ELIZABETH}/@self", {}, 405),
        ("GET", f"people/{ELIZABETH}/@strangers", {}, 400),
        ("GET", f"people/{ELIZABETH}/@friends", {"count": "many"}, 400),
        ("GET", f"people/{ELIZABETH}/@friends", {"startIndex": "-1"}, 400),
        ("GET", f"people/{ELIZABETH}", {}, 404),
        ("GET", f"appdata/{ELIZABETH}/@self/other.application", {}, 404),
        ("GET", f"appdata/{ELIZABETH}/@app", {}, 404),
        ("GET", "activities/@me/@self", {}, 404),
    ],
)
async def test_what_the_guide_does_not_have(
    container: SignedClient, method: str, path: str, query: dict[str, str], status: int
) -> None:
    reply = await container.call(method, path, query)
    assert reply.status == status
    assert reply.headers["Content-Type"].startswith("text/plain")


# --- AppData ---------------------------------------------------------------------------------------------------------


async def test_reading_appdata_of_friends(container: SignedClient) -> None:
    """The guide's example: two friends' items under their ids, every value text."""
    reply = await container.call("GET", f"appdata/{ELIZABETH}/@friends/@app", {"fields": "letters,last_letter_date"})
    entry = reply.json["entry"]
    assert entry["10459228050876679741"] == {"letters": "2", "last_letter_date": "2008-10-15T10:01:00Z"}
    assert entry["07365476160138082838"] == {"letters": "1", "last_letter_date": "2008-09-28T08:20:20Z"}
    state = container.sandbox.container
    assert set(entry) == {
        friend for friend in state.friends[ELIZABETH] if state.has_app(friend) and friend in state.appdata
    }
    everybody = (await container.call("GET", f"appdata/{ELIZABETH}/@all/@app")).json["entry"]
    assert set(entry) < set(everybody)
    one = (await container.call("GET", f"appdata/{ELIZABETH}/@self/@app", {"fields": "letters"})).json
    assert one == {"entry": {ELIZABETH: {"letters": "3"}}}


async def test_creating_an_item_as_the_guide_does(container: SignedClient) -> None:
    state = container.sandbox.container
    state.add_person("1")
    item = {"letters": 3, "last_letter_date": "2008-10-30T18:30:02Z"}
    reply = await container.call("POST", "appdata/1/@app", body=item)
    assert reply.status == 201
    assert reply.json["entry"] == {"1": {"letters": "3", "last_letter_date": "2008-10-30T18:30:02Z"}}
    assert set(reply.json) > {"entry"}  # "some information generated and added by Orkut"
    assert state.appdata_of("1") == {"letters": "3", "last_letter_date": "2008-10-30T18:30:02Z"}
    assert (await container.call("POST", "appdata/1/@app", body=item)).status == 409


@pytest.mark.parametrize("path", [f"appdata/{ELIZABETH}/@self/@app", f"appdata/{ELIZABETH}/@app"])
async def test_replacing_an_item_as_the_guide_does(container: SignedClient, path: str) -> None:
    container.sandbox.container.set_appdata(ELIZABETH, {"letters": "3", "gone": "x"})
    body = {"entry": {ELIZABETH: {"letters": "4", "last_letter_date": "2008-10-31T20:20:01Z"}}}
    reply = await container.call("PUT", path, body=body)
    assert (reply.status, reply.json) == (200, body)
    assert container.sandbox.container.appdata_of(ELIZABETH) == body["entry"][ELIZABETH]


async def test_replacing_needs_an_item_and_its_own_person(container: SignedClient) -> None:
    container.sandbox.container.add_person("1")
    assert (await container.call("PUT", "appdata/1/@self/@app", body={"entry": {"1": {"a": "1"}}})).status == 404
    path = f"appdata/{ELIZABETH}/@self/@app"
    wrong: list[dict[str, object]] = [{JANE: {"a": "1"}}, {ELIZABETH: {}, JANE: {}}, {ELIZABETH: "text"}, {}]
    for entry in wrong:
        assert (await container.call("PUT", path, body={"entry": entry})).status == 400


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_partial_update_changes_the_named_keys_only(container: SignedClient, method: str) -> None:
    """OpenSocial REST 0.9, "Partial Updates"."""
    state = container.sandbox.container
    state.set_appdata(ELIZABETH, {"letters": "3", "seen": "x", "kept": '&amp;<b>"'})
    path = f"appdata/{ELIZABETH}/@self/@app"
    reply = await container.call(method, path, {"fields": "letters,seen"}, body={"letters": 4})
    assert reply.status == (200 if method == "PUT" else 201)
    assert state.appdata_of(ELIZABETH) == {"letters": "4", "kept": '&amp;<b>"'}
    assert (await container.call(method, path, {"fields": "seen"}, body={"letters": 5})).status == 400
    assert (await container.call(method, path, body={"letters": 5})).status == 501
    assert state.appdata_of(ELIZABETH)["letters"] == "4"


async def test_values_are_kept_raw_and_read_escaped(container: SignedClient) -> None:
    value = """<b>"Q" & 'A'</b> &amp; é \N{FOX FACE} %26+"""
    path = f"appdata/{ELIZABETH}/@self/@app"
    await container.call("PUT", path, body={"entry": {ELIZABETH: {"note": value}}})
    assert container.sandbox.container.appdata_of(ELIZABETH) == {"note": value}
    read = (await container.call("GET", path)).json["entry"][ELIZABETH]["note"]
    assert read == "&lt;b&gt;&quot;Q&quot; &amp; &#x27;A&#x27;&lt;/b&gt; &amp;amp; é \N{FOX FACE} %26+"


async def test_numbers_keep_every_digit_and_an_empty_value_clears(container: SignedClient) -> None:
    path = f"appdata/{ELIZABETH}/@self/@app"
    body = b'{"big": 9007199254740993, "exact": 12.50, "yes": true, "none": null, "letters": ""}'
    await container.call("PUT", path, {"fields": "big,exact,yes,none,letters"}, body=body)
    stored = container.sandbox.container.appdata_of(ELIZABETH)
    assert stored == {
        "big": "9007199254740993",
        "exact": "12.50",
        "yes": "true",
        "last_letter_date": "2008-10-30T18:30:02Z",
    }


async def test_the_quota_counts_keys_and_values_in_bytes(container: SignedClient) -> None:
    path = f"appdata/{ELIZABETH}/@self/@app"
    fits = {"entry": {ELIZABETH: {"k": "é" * 5119 + "x"}}}
    assert (await container.call("PUT", path, body=fits)).status == 200
    over = await container.call("PUT", path, {"fields": "y"}, body={"y": "z"})
    assert (over.status, over.text) == (403, "forbidden: AppData size quota exceeded.")
    assert container.sandbox.container.appdata_of(ELIZABETH) == fits["entry"][ELIZABETH]


@pytest.mark.parametrize(
    "body",
    [b'{"two words": "x"}', b'{"": "x"}', b'{"a": {}}', b'{"a": []}', b"[]", b"{", b" ", b'{"a": 1, "a": 2}',
     b'{"a": NaN}', b'{"a": "\\ud800"}', b'"text"', b"[" * 5000],
)  # fmt: skip
async def test_a_body_that_is_no_item_changes_nothing(container: SignedClient, body: bytes) -> None:
    before = container.sandbox.container.appdata_of(ELIZABETH)
    reply = await container.call("PUT", f"appdata/{ELIZABETH}/@self/@app", {"fields": "a"}, body=body)
    assert reply.status == 400
    assert container.sandbox.container.appdata_of(ELIZABETH) == before


async def test_a_body_that_is_far_too_large_is_refused(container: SignedClient) -> None:
    body = {"letters": "x" * 65_536}
    reply = await container.call("PUT", f"appdata/{ELIZABETH}/@self/@app", {"fields": "letters"}, body=body)
    assert reply.status == 413


async def test_deleting(container: SignedClient) -> None:
    state = container.sandbox.container
    path = f"appdata/{ELIZABETH}/@self/@app"
    assert (await container.call("DELETE", path, {"fields": "letters"})).status == 200
    assert state.appdata_of(ELIZABETH) == {"last_letter_date": "2008-10-30T18:30:02Z"}
    assert (await container.call("DELETE", path)).status == 200
    assert state.appdata_of(ELIZABETH) == {}
    assert (await container.call("GET", path)).json == {"entry": {ELIZABETH: {}}}
    assert (await container.call("DELETE", path)).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("selector", ["@friends", "@all"])
async def test_nothing_is_written_for_several_people(container: SignedClient, method: str, selector: str) -> None:
    reply = await container.call(method, f"appdata/{ELIZABETH}/{selector}/@app", body={"letters": "9"})
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")


async def test_nothing_is_written_for_others(container: SignedClient) -> None:
    reply = await container.call("DELETE", f"appdata/{JANE}/@self/@app", requestor=ELIZABETH)
    assert (reply.status, bool(container.sandbox.container.appdata_of(JANE))) == (403, True)


async def test_the_override_header_stands_for_the_method(container: SignedClient) -> None:
    path = f"appdata/{ELIZABETH}/@self/@app"
    body = {"entry": {ELIZABETH: {"letters": "4"}}}
    put = await container.call("POST", path, body=body, headers={"X-HTTP-Method-Override": "PUT"})
    assert (put.status, container.sandbox.container.appdata_of(ELIZABETH)) == (200, {"letters": "4"})
    assert (await container.call("POST", path, headers={"X-HTTP-Method-Override": "TRACE"})).status == 400
    ignored = await container.call("GET", path, headers={"X-HTTP-Method-Override": "DELETE"})
    assert ignored.json == {"entry": {ELIZABETH: {"letters": "4"}}}
    assert (await container.call("POST", path, headers={"X-HTTP-Method-Override": "DELETE"})).status == 200
    assert container.sandbox.container.appdata_of(ELIZABETH) == {}


async def test_another_container_s_choices(container: SignedClient) -> None:
    state = container.sandbox.container
    state.quirks = SHINDIG
    page = (await container.call("GET", f"people/{ELIZABETH}/@friends", {"startIndex": "20"})).json
    assert [person["id"] for person in page["entry"]] == state.friends[ELIZABETH][20:40]
    path = f"appdata/{ELIZABETH}/@self/@app"
    await container.call("PUT", path, body={"note": "<&>"})
    read = (await container.call("GET", path)).json["entry"][ELIZABETH]
    assert read == {"letters": "3", "last_letter_date": "2008-10-30T18:30:02Z", "note": "<&>"}
    assert (await container.call("DELETE", path)).status == 200
    assert state.appdata_of(ELIZABETH) == read
