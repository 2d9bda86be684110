"""Several reads in one request: what Shindig answered, damaged in every way, and what is asked."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import (
    BadInput,
    RemoteConflict,
    RemoteError,
    RemoteForbidden,
    RemoteGarbage,
    RemoteNotFound,
    RemoteQuota,
    RemoteRefused,
    RemoteUnauthorized,
    RemoteUnavailable,
    RemoteUnsupported,
)
from homeserver.model import HttpReply, Person
from homeserver.protocol.opensocial import GUIDE, SHINDIG
from homeserver.protocol.opensocial_rpc import Answers, get_overview, parse_overview, rpc_base_url

ELIZABETH, JANE, LYDIA = "15913663323317925521", "10459228050876679741", "07365476160138082838"
PICTURES = "http://127.0.0.1:9/pictures"

# The answer of Shindig 2.0.2, character for character. (2.5.0-beta1 has another order of members, and nothing else.)
ANSWER = (
    '[{"result":{"photos":[{"type":"thumbnail","value":"http://127.0.0.1:9/pictures/10459228050876679741.jpg?size=small'
    '&v=1"}],"id":"10459228050876679741","hasApp":true,"name":{"formatted":"Jane Bennet","givenName":"Jane",'
    '"familyName":"Bennet"},"displayName":"Jane","thumbnailUrl":"http://127.0.0.1:9/pictures/10459228050876679741.jpg'
    '?size=small&v=1"},"id":"person"},{"result":{"totalResults":2,"sorted":false,"filtered":false,"list":[{"photos":'
    '[{"type":"thumbnail","value":"http://127.0.0.1:9/pictures/15913663323317925521.jpg?size=small&v=1"}],"id":'
    '"15913663323317925521","hasApp":true,"name":{"formatted":"Elizabeth Bennet","givenName":"Elizabeth","familyName":'
    '"Bennet"},"displayName":"Elizabeth","thumbnailUrl":"http://127.0.0.1:9/pictures/15913663323317925521.jpg?size='
    'small&v=1"},{"photos":[{"type":"thumbnail","value":"http://127.0.0.1:9/pictures/07365476160138082838.jpg?size='
    'small&v=1"}],"id":"07365476160138082838","hasApp":true,"name":{"formatted":"Lýdia 📜 O\'Bennet & \\u003cSöhne'
    '\\u003e","givenName":"Lýdia 📜","familyName":"O\'Bennet & \\u003cSöhne\\u003e"},"displayName":"Lýdia 📜",'
    '"thumbnailUrl":"http://127.0.0.1:9/pictures/07365476160138082838.jpg?size=small&v=1"}],"updatedSince":false},'
    '"id":"friends"},{"result":{"10459228050876679741":{"letters":"12"}},"id":"own"},{"result":{"15913663323317925521":'
    '{"letters":"3"},"07365476160138082838":{"letters":"7"}},"id":"theirs"}]'
)
REFUSED = (
    '[{"id":"person","error":{"message":"badRequest: Person \'13333333333333333333\' not found","code":400}},'
    '{"id":"friends","error":{"message":"internalError: fromIndex(99) \\u003e toIndex(2)","code":500}}]'
)
UNKNOWN_METHOD = '{"id":"q","error":{"message":"notImplemented: The method nothing.get is not implemented","code":501}}'


def ok(content: object) -> HttpReply:
    text = content if isinstance(content, str) else json.dumps(content)
    return HttpReply(200, {"content-type": "application/json;charset=utf-8"}, text.encode())


def parse(content: object) -> Answers:
    return parse_overview(ok(content), SHINDIG, with_appdata=True)


def pictured(user_id: str, given_name: str, family_name: str, display_name: str) -> Person:
    picture = f"{PICTURES}/{user_id}.jpg?size=small&v=1"
    return Person(user_id, given_name, family_name, display_name, picture, has_app=True)


def test_the_answer_of_shindig() -> None:
    answers = parse(ANSWER)
    assert answers.person == pictured(JANE, "Jane", "Bennet", "Jane")
    assert answers.friends.people == (
        pictured(ELIZABETH, "Elizabeth", "Bennet", "Elizabeth"),
        pictured(LYDIA, "Lýdia 📜", "O'Bennet & <Söhne>", "Lýdia 📜"),
    )
    assert answers.friends.total == 2
    assert answers.own == {JANE: {"letters": "12"}}
    assert answers.friends_appdata == {ELIZABETH: {"letters": "3"}, LYDIA: {"letters": "7"}}


def test_answers_come_in_any_order_and_wrapping() -> None:
    """`data` is 0.8's word for `result`; `entry` may stand round everything, as in the REST services."""
    answers = json.loads(ANSWER)
    older = [
        {"id": answer["id"], "data": answer["result"] if "list" in answer["result"] else {"entry": answer["result"]}}
        for answer in reversed(answers)
    ]
    assert parse(older) == parse(ANSWER)
    answers[1]["result"] = answers[1]["result"]["list"]
    bare = parse(answers)
    assert (bare.friends.people, bare.friends.total) == (parse(ANSWER).friends.people, None)


def test_without_appdata() -> None:
    answers = parse_overview(ok(json.loads(ANSWER)[:2]), SHINDIG, with_appdata=False)
    assert (answers.own, answers.friends_appdata) == ({}, {})
    with pytest.raises(RemoteGarbage):
        parse(json.loads(ANSWER)[:2])


def test_what_is_asked() -> None:
    call = get_overview(SHINDIG, LYDIA, ["letters", "best_time"], count=1000)
    assert (call.method, call.url(rpc_base_url("http://h/social/rest/"))) == ("POST", "http://h/social/rpc")
    assert dict(call.headers) == {"Content-Type": "application/json"}
    fields = ["id", "name", "displayName", "thumbnailUrl", "photos", "hasApp"]
    filtered = {"filterBy": "hasApp", "filterOp": "equals", "filterValue": "true"}
    keys = {"appId": "@app", "fields": ["letters", "best_time"]}
    themselves, friends = {"userId": LYDIA, "groupId": "@self"}, {"userId": LYDIA, "groupId": "@friends"}
    assert json.loads(call.body or b"") == [
        {"method": "people.get", "id": "person", "params": {**themselves, "fields": fields}},
        {"method": "people.get", "id": "friends", "params": {**friends, "count": 1000, **filtered, "fields": fields}},
        {"method": "appdata.get", "id": "own", "params": {**themselves, **keys}},
        {"method": "appdata.get", "id": "theirs", "params": {**friends, **keys}},
    ]


@pytest.mark.parametrize("user_id", ["", "@me", "@friends", f"{JANE},{LYDIA}", "a b"])
def test_who_cannot_be_asked_for(user_id: str) -> None:
    with pytest.raises(BadInput):
        get_overview(SHINDIG, user_id, ["letters"], count=20)
    with pytest.raises(BadInput):
        get_overview(SHINDIG, JANE, ["a b"], count=20)


@pytest.mark.parametrize(
    ("base_url", "rpc"),
    [
        ("http://h/rest", "http://h"),
        ("http://h/social/rest/", "http://h/social"),
        ("http://h/api", "http://h/api"),
        ("http://h/interest", "http://h/interest"),
    ],
)
def test_the_address_beside_the_rest_services(base_url: str, rpc: str) -> None:
    assert rpc_base_url(base_url) == rpc


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_refusal_of_shindig() -> None:
    with pytest.raises(RemoteRefused, match="Person '13333333333333333333' not found"):
        parse(REFUSED)
    with pytest.raises(RemoteUnavailable, match="fromIndex"):
        parse(json.loads(REFUSED)[1:])
    with pytest.raises(RemoteUnsupported, match=r"nothing\.get is not implemented"):
        parse([*json.loads(ANSWER), json.loads(UNKNOWN_METHOD)])


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (401, RemoteUnauthorized),
        ("401", RemoteUnauthorized),
        ("unauthorized", RemoteUnauthorized),
        (403, RemoteForbidden),
        ("forbidden", RemoteForbidden),
        (404, RemoteNotFound),
        ("limitExceeded", RemoteConflict),
        (413, RemoteQuota),
        ("notImplemented", RemoteUnsupported),
        (-32601, RemoteUnsupported),
        (-32602, RemoteRefused),
        (-32000, RemoteUnavailable),
        ("²²²", RemoteUnavailable),
        (200, RemoteGarbage),
        (302, RemoteGarbage),
        (None, RemoteGarbage),
        ([], RemoteGarbage),
    ],
)
def test_a_call_that_was_refused(code: object, raised: type[RemoteError]) -> None:
    for answer in (
        {"id": "person", "error": {"code": code, "message": "why"}},
        {"id": "person", "error": {"code": code}},
        {"id": "person", "error": {"code": code, "message": "\ud800"}},
    ):
        with pytest.raises(raised) as refused:
            parse([answer])
        assert type(refused.value) is raised


@pytest.mark.parametrize("status", [302, 400, 403, 404, 405, 415, 501])
def test_no_such_thing_at_this_address(status: int) -> None:
    with pytest.raises(RemoteUnsupported):
        parse_overview(HttpReply(status, {}, b"<html>"), SHINDIG, with_appdata=True)


@pytest.mark.parametrize(
    ("status", "raised"),
    [(401, RemoteUnauthorized), (429, RemoteUnavailable), (500, RemoteUnavailable), (503, RemoteUnavailable)],
)
def test_a_request_that_was_refused_whole(status: int, raised: type[RemoteError]) -> None:
    with pytest.raises(raised):
        parse_overview(HttpReply(status, {}, b"why"), SHINDIG, with_appdata=True)


def test_an_answer_cut_at_every_byte() -> None:
    whole = ANSWER.encode()
    for length in range(len(whole)):
        with pytest.raises(RemoteGarbage):
            parse_overview(HttpReply(200, {}, whole[:length]), SHINDIG, with_appdata=True)
    for junk in ("x", "{}", "\x00", "]", "<!-- -->"):
        with pytest.raises(RemoteGarbage):
            parse(ANSWER + junk)


@pytest.mark.parametrize(
    "content", ["", "{}", "null", "[]", "[null]", "[1]", '[{"id": 1}]', '[{"id": "person"}]', "<html>"]
)
def test_what_is_no_answer(content: str) -> None:
    with pytest.raises(RemoteGarbage):
        parse(content)


@given(st.data())
def test_an_answer_with_another_value_anywhere(data: st.DataObject) -> None:
    """Whatever stands where: a value, or one of our errors."""
    content = json.loads(ANSWER)
    place: Any = content
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=5,
        )
    )
    for dialect in (SHINDIG, GUIDE):
        with contextlib.suppress(RemoteError):
            parse_overview(ok(content), dialect, with_appdata=True)
