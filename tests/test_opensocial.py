"""The container's wire format: the guide's samples as printed there, damaged in every way, and what is refused here."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import (
    BadInput,
    HomeServerError,
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
from homeserver.protocol import opensocial
from homeserver.protocol.opensocial import DIALECTS, GUIDE, ORKUT, SHINDIG, Dialect
from homeserver.protocol.replies import date_s, excerpt, plain_text, retry_after_s

ELIZABETH, JANE, LYDIA = "15913663323317925521", "10459228050876679741", "07365476160138082838"
BASE = "http://www.orkut.com/social/rest"

# The guide's samples, character for character.

PERSON_SAMPLE = """{
  "entry": {
    "photos": [
      {
        "value": "http://www.orkut.com/img/i_nophoto64.gif",
        "type": "thumbnail"
      }
    ],
    "id": "userID",
    "thumbnailUrl": "http://www.orkut.com/img/i_nophoto64.gif",
    "name": {
      "familyName": "Bennet",
      "givenName": "Elizabeth"
    }
  }
}"""

FRIENDS_SAMPLE = """{
  "startIndex": 0,
  "totalResults": 1,
  "entry": [
    {
      "photos": [
        {
          "value": "http://www.orkut.com/img/i_nophoto64.gif",
          "type": "thumbnail"
        }
      ],
      "id": "friend1UserID",
      "thumbnailUrl": "http://www.orkut.com/img/i_nophoto64.gif",
      "name":
        {
          "familyName": "Bennet",
          "givenName": "Jane"
        }
    }
  ]
}"""

CREATE_SAMPLE = """{
  "letters": 3,
  "last_letter_date": "2008-10-30T18:30:02Z"
}"""

FRIENDS_APPDATA_SAMPLE = """{
  "entry": {
    "10459228050876679741": {
      "letters": "2",
      "last_letter_date": "2008-10-15T10:01:00Z"
    },
    "07365476160138082838": {
      "letters": "1",
      "last_letter_date": "2008-09-28T08:20:20Z"
    }
  }
}"""

RETRIEVED_SAMPLE = """{
  "entry": {
    "15913663323317925521": {
      "letters": "3",
      "last_letter_date": "2008-10-30T18:30:02Z"
    }
  }
}"""

MODIFIED_SAMPLE = """{
  "entry": {
    "15913663323317925521": {
      "letters": "4",
      "last_letter_date": "2008-10-31T20:20:01Z"
    }
  }
}"""


def ok(content: object, status: int = 200) -> HttpReply:
    text = content if isinstance(content, str) else json.dumps(content)
    return HttpReply(status, {"content-type": "application/json"}, text.encode())


# --- the guide's samples --------------------------------------------------------------------------------------------


def test_the_person_of_the_guide() -> None:
    person = opensocial.parse_person(ok(PERSON_SAMPLE))
    assert person == Person("userID", "Elizabeth", "Bennet", "", "http://www.orkut.com/img/i_nophoto64.gif")
    assert person.name == "Elizabeth Bennet"


def test_the_friends_of_the_guide() -> None:
    page = opensocial.parse_people(ok(FRIENDS_SAMPLE))
    [jane] = page.people
    assert (jane.id, jane.name, page.start, page.total) == ("friend1UserID", "Jane Bennet", 0, 1)


def test_the_appdata_of_the_guide() -> None:
    assert opensocial.parse_appdata(ok(FRIENDS_APPDATA_SAMPLE), GUIDE) == {
        JANE: {"letters": "2", "last_letter_date": "2008-10-15T10:01:00Z"},
        LYDIA: {"letters": "1", "last_letter_date": "2008-09-28T08:20:20Z"},
    }


def test_the_update_of_the_guide() -> None:
    """From the item retrieved to the body that is put, as printed."""
    item = dict(opensocial.parse_appdata(ok(RETRIEVED_SAMPLE), GUIDE)[ELIZABETH])
    item |= {"letters": "4", "last_letter_date": "2008-10-31T20:20:01Z"}
    call = opensocial.replace_appdata(GUIDE, ELIZABETH, item)
    assert json.loads(call.body or b"") == json.loads(MODIFIED_SAMPLE)
    assert call.method == "PUT"
    assert call.url(BASE) == f"{BASE}/appdata/{ELIZABETH}/@self/@app"
    assert dict(call.headers) == {"Content-Type": "application/json"}


def test_the_creation_of_the_guide() -> None:
    item = {"letters": "3", "last_letter_date": "2008-10-30T18:30:02Z"}
    call = opensocial.create_appdata(GUIDE, ELIZABETH, item)
    assert json.loads(call.body or b"") == {**json.loads(CREATE_SAMPLE), "letters": "3"}
    assert (call.method, call.url(BASE)) == ("POST", f"{BASE}/appdata/{ELIZABETH}/@app")
    opensocial.parse_written(ok(CREATE_SAMPLE, 201))


PARSERS: dict[str, Any] = {
    PERSON_SAMPLE: opensocial.parse_person,
    FRIENDS_SAMPLE: opensocial.parse_people,
    FRIENDS_APPDATA_SAMPLE: lambda reply: opensocial.parse_appdata(reply, GUIDE),
    RETRIEVED_SAMPLE: lambda reply: opensocial.parse_appdata(reply, SHINDIG),
    CREATE_SAMPLE: opensocial.parse_written,
}


@pytest.mark.parametrize("sample", PARSERS)
def test_a_sample_cut_at_every_byte(sample: str) -> None:
    parse = PARSERS[sample]
    parse(ok(sample))
    for length in range(1, len(sample)):
        with pytest.raises(RemoteGarbage) as cut:
            parse(ok(sample[:length]))
        assert cut.value.excerpt == sample[:length][:200]
    for junk in ("x", "{}", "\x00", "]", "<!-- -->"):
        with pytest.raises(RemoteGarbage):
            parse(ok(sample + junk))
    parse(ok("\ufeff \n" + sample + " \r\n"))  # a mark and blanks that some servers add are no junk


@pytest.mark.parametrize("sample", PARSERS)
@given(data=st.data())
def test_a_sample_with_another_value_anywhere(sample: str, data: st.DataObject) -> None:
    """Whatever stands where: a value, or one of our errors."""
    content = json.loads(sample)
    place: Any = content
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    place[key] = data.draw(json_values)
    for parse in PARSERS.values():
        with contextlib.suppress(RemoteError):
            parse(ok(content))


@pytest.mark.parametrize(
    "text",
    ["", " ", "null", "[]", '"x"', "1", "{}", '{"error": 1}', "<html>", "NaN", '{"entry": NaN}', "[" * 100_000, "\xff"],
)
def test_what_is_no_answer(text: str) -> None:
    reply = HttpReply(200, {}, text.encode("latin-1"))
    for parse in PARSERS.values():
        if parse is opensocial.parse_written and (text.strip() == "" or text.startswith("{}") or "error" in text):
            continue
        with pytest.raises(RemoteGarbage):
            parse(reply)


# --- people ---------------------------------------------------------------------------------------------------------


def test_a_page_of_later_containers() -> None:
    """`list` for `entry`, counts as text."""
    page = opensocial.parse_people(
        ok({"startIndex": "20", "totalResults": "81", "itemsPerPage": 20, "list": [{"id": LYDIA}]})
    )
    assert ([person.id for person in page.people], page.start, page.total) == ([LYDIA], 20, 81)


def test_one_person_where_a_list_was_due() -> None:
    assert [person.id for person in opensocial.parse_people(ok({"entry": {"id": JANE}})).people] == [JANE]
    assert opensocial.parse_person(ok({"entry": [{"id": JANE}]})).id == JANE


@pytest.mark.parametrize("total", [None, True, -1, "many", "", [], 1e300, "9" * 40])
def test_a_total_that_says_nothing(total: object) -> None:
    assert opensocial.parse_people(ok({"totalResults": total, "entry": []})).total is None


def test_an_id_is_never_rounded() -> None:
    """Two of the guide's ids exceed 63 bits; as numbers they come digit for digit."""
    for digits in (ELIZABETH, JANE, "340282366920938463463374607431768211457"):
        assert opensocial.parse_person(ok(f'{{"entry": {{"id": {digits}}}}}')).id == digits
    assert opensocial.parse_person(ok({"entry": {"id": LYDIA}})).id == LYDIA


@pytest.mark.parametrize(
    ("person", "name"),
    [
        ({"name": {"givenName": "Jane"}}, "Jane"),
        ({"name": {"givenName": " Jane ", "familyName": ""}}, "Jane"),
        ({"displayName": "jane7"}, "jane7"),
        ({"displayName": "jane7", "name": {}}, "jane7"),
        ({"displayName": "jane7", "name": None}, "jane7"),
        ({"displayName": "jane7", "name": {"familyName": "Bennet"}}, "Bennet"),
        ({"name": {"formatted": "Jane B."}}, "Jane B."),
        ({"name": {"unstructured": "Jane B."}}, "Jane B."),
        ({"name": "Jane B."}, "Jane B."),
        ({"name": {"givenName": ["Jane"]}}, "Player"),
        ({"displayName": "a\x00b\nc\ud800"}, "a b c"),
        ({"displayName": "x" * 5000}, "x" * 200),
        ({}, "Player"),
    ],
)
def test_names(person: dict[str, object], name: str) -> None:
    assert opensocial.parse_person(ok({"entry": {"id": JANE, **person}})).name == name


@pytest.mark.parametrize(
    ("person", "url"),
    [
        ({"thumbnailUrl": "https://h/a.gif"}, "https://h/a.gif"),
        (
            {"photos": [{"type": "other", "value": "http://h/b"}, {"type": "thumbnail", "value": "http://h/c"}]},
            "http://h/c",
        ),
        ({"thumbnailUrl": "", "photos": [None, {"type": "thumbnail", "value": "http://h/c"}]}, "http://h/c"),
        ({"thumbnailUrl": "javascript:alert(1)"}, ""),
        ({"thumbnailUrl": "http://h/\n"}, ""),
        ({"thumbnailUrl": "http://h/" + "x" * 2000}, ""),
        ({"thumbnailUrl": 7, "photos": {}}, ""),
    ],
)
def test_pictures(person: dict[str, object], url: str) -> None:
    assert opensocial.parse_person(ok({"entry": {"id": JANE, **person}})).thumbnail_url == url


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("1", True),
        (0, False),
        (None, None),
        ("x", None),
    ],
)
def test_who_has_the_application(value: object, flag: bool | None) -> None:
    assert opensocial.parse_person(ok({"entry": {"id": JANE, "hasApp": value}})).has_app is flag
    assert opensocial.parse_person(ok({"entry": {"id": JANE}})).has_app is None


@pytest.mark.parametrize(
    "entry", [7, "x", [7], [{}], [{"id": None}], [{"id": ""}], [{"id": "a b"}], [{"id": "a,b"}], [[]]]
)
def test_what_is_no_person(entry: object) -> None:
    """Never read as a shorter list: somebody would seem to be gone."""
    with pytest.raises(RemoteGarbage):
        opensocial.parse_people(ok({"entry": entry}))


# --- AppData --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("5", "5"),
        ("9007199254740993", "9007199254740993"),
        ("15913663323317925521", "15913663323317925521"),
        ("1.50", "1.50"),
        ("1e3", "1e3"),
        ("-0", "-0"),
        ("true", "true"),
        ('"é\\ud83d\\ude00"', "é😀"),
        ('""', ""),
        ('" 7 "', " 7 "),
        ('{"a": [1.0, null, "x"]}', '{"a":[1.0,null,"x"]}'),
        ('"a\\ud800b"', "a\ufffdb"),
    ],
)
def test_a_value_is_the_text_in_which_it_came(dialect: Dialect, written: str, text: str) -> None:
    item = opensocial.parse_appdata(ok(f'{{"entry": {{"{LYDIA}": {{"k": {written}}}}}}}'), dialect)[LYDIA]
    assert item == {"k": text}
    assert type(item["k"]) is str


def test_a_value_is_unescaped_once() -> None:
    reply = ok({"entry": {LYDIA: {"k": "&lt;b&gt; &amp;amp; &quot;&#39; & é"}}})
    assert opensocial.parse_appdata(reply, GUIDE)[LYDIA]["k"] == "<b> &amp; \"' & é"
    assert opensocial.parse_appdata(reply, ORKUT)[LYDIA]["k"] == "<b> &amp; \"' & é"
    assert opensocial.parse_appdata(reply, SHINDIG)[LYDIA]["k"] == "&lt;b&gt; &amp;amp; &quot;&#39; & é"


def test_a_value_is_unescaped_where_its_ampersand_came_as_an_escape() -> None:
    """As PHP with JSON_HEX_AMP and Gson write it: JSON that may stand in a page."""
    reply = ok(f'{{"entry": {{"{LYDIA}": {{"k": "\\u0026lt;b\\u0026gt;"}}}}}}')
    assert opensocial.parse_appdata(reply, GUIDE)[LYDIA]["k"] == "<b>"
    assert opensocial.parse_appdata(reply, SHINDIG)[LYDIA]["k"] == "&lt;b&gt;"


@pytest.mark.parametrize("empty", [{}, [], None])
def test_no_appdata(empty: object) -> None:
    assert opensocial.parse_appdata(ok({"entry": empty}), GUIDE) == {}
    assert opensocial.parse_appdata(ok({"entry": {LYDIA: empty}}), GUIDE) == {LYDIA: {}}
    assert opensocial.parse_appdata(ok({"entry": {LYDIA: {"k": None}}}), GUIDE) == {LYDIA: {}}


@pytest.mark.parametrize("entry", [[1], "x", 1, {LYDIA: "x"}, {LYDIA: [1]}, {"": {}}, {"a b": {}}])
def test_what_is_no_appdata(entry: object) -> None:
    with pytest.raises(RemoteGarbage):
        opensocial.parse_appdata(ok({"entry": entry}), GUIDE)


def test_a_value_that_is_all_depth() -> None:
    depth = 900
    text = f'{{"entry": {{"{LYDIA}": {{"k": {"[" * depth}{"]" * depth}}}}}}}'
    with pytest.raises(RemoteGarbage):
        opensocial.parse_appdata(ok(text), GUIDE)


# --- requests -------------------------------------------------------------------------------------------------------


def test_requests_for_people() -> None:
    assert opensocial.get_person(GUIDE, LYDIA, fields=()).url(BASE + "/") == f"{BASE}/people/{LYDIA}/@self"
    first = opensocial.get_people(GUIDE, LYDIA, "@friends", count=5, fields=[])
    assert first.url(BASE) == f"{BASE}/people/{LYDIA}/@friends?count=5"
    second = opensocial.get_people(GUIDE, LYDIA, "@all", count=20, start_index=20, has_app=True, fields=["id", "name"])
    assert second.url(BASE) == (
        f"{BASE}/people/{LYDIA}/@all?count=20&startIndex=20&filterBy=hasApp&filterOp=equals&filterValue=true"
        "&fields=id%2Cname"
    )
    for dialect in DIALECTS.values():
        asked = opensocial.get_person(dialect, LYDIA).query
        assert asked == (("fields", "id,name,displayName,thumbnailUrl,photos,hasApp"),)


def test_requests_for_appdata() -> None:
    assert opensocial.get_appdata(LYDIA, "@friends").url(BASE) == f"{BASE}/appdata/{LYDIA}/@friends/@app"
    url = opensocial.get_appdata(LYDIA, "@all", ["letters", "a.b-c_d", "letters"]).url(BASE)
    assert url == f"{BASE}/appdata/{LYDIA}/@all/@app?fields=letters%2Ca.b-c_d"


def test_writes_in_the_other_dialects() -> None:
    """Three-part and flat; Orkut's clients named the keys too."""
    item = {"letters": "4", "rank": 'é&<"'}
    for dialect, query in ((ORKUT, "?fields=letters%2Crank"), (SHINDIG, "")):
        for method, call in (
            ("POST", opensocial.create_appdata(dialect, LYDIA, item)),
            ("PUT", opensocial.replace_appdata(dialect, LYDIA, item)),
        ):
            assert (call.method, call.url(BASE)) == (method, f"{BASE}/appdata/{LYDIA}/@self/@app{query}")
            assert json.loads(call.body or b"") == item
        deleted = opensocial.delete_appdata(dialect, LYDIA, ["letters"])
        assert (deleted.method, deleted.url(BASE)) == ("DELETE", f"{BASE}/appdata/{LYDIA}/@self/@app?fields=letters")
    replaced = opensocial.replace_appdata(ORKUT, LYDIA, item, removed=["old"])
    assert replaced.query == (("fields", "letters,rank,old"),)


def test_the_override() -> None:
    """A header in the guide; Shindig reads a query parameter and no header."""
    call = opensocial.replace_appdata(GUIDE, LYDIA, {"a": "1"}, override=True)
    assert call.method == "POST"
    assert dict(call.headers) == {"Content-Type": "application/json", "X-HTTP-Method-Override": "PUT"}
    assert call.url(BASE).endswith("/@self/@app")
    call = opensocial.delete_appdata(SHINDIG, LYDIA, ["a"], override=True)
    assert (call.method, dict(call.headers)) == ("POST", {"Content-Type": "application/json"})
    assert call.url(BASE).endswith("/@self/@app?fields=a&X-HTTP-Method-Override=DELETE")


def test_an_id_in_a_path() -> None:
    assert opensocial.get_person(GUIDE, "orkut.com:é/?%~").path == "/people/orkut.com%3A%C3%A9%2F%3F%25~/@self"


@pytest.mark.parametrize(
    "user_id", ["", "@me", "@viewer", "@friends", "a,b", f"{JANE},{LYDIA}", ".", "..", "a b", "a\0", "x" * 256]
)
def test_who_cannot_be_asked_for(user_id: str) -> None:
    for call in (
        lambda: opensocial.get_person(GUIDE, user_id),
        lambda: opensocial.get_people(GUIDE, user_id, "@friends", count=20),
        lambda: opensocial.get_appdata(user_id, "@self"),
        lambda: opensocial.create_appdata(GUIDE, user_id, {}),
        lambda: opensocial.replace_appdata(GUIDE, user_id, {}),
        lambda: opensocial.delete_appdata(GUIDE, user_id),
        lambda: opensocial.check_changes(user_id, {}),
    ):
        with pytest.raises(BadInput):
            call()


def test_me_needs_a_requestor() -> None:
    with pytest.raises(BadInput) as refused:
        opensocial.get_person(GUIDE, "@me")
    assert refused.value.field == "requestor_id"
    assert opensocial.get_person(GUIDE, "@me", requestor_id=LYDIA).path == "/people/@me/@self"
    assert opensocial.get_appdata("@me", "@self", requestor_id=LYDIA).path == "/appdata/@me/@self/@app"


@pytest.mark.parametrize("selector", ["@friends", "@all", "@me", ""])
def test_a_write_to_others_is_refused_here(selector: str) -> None:
    for dialect in DIALECTS.values():
        fields = ["a"] if dialect.delete_by_fields else []
        with pytest.raises(BadInput):
            opensocial.create_appdata(dialect, LYDIA, {"a": "1"}, selector=selector)
        with pytest.raises(BadInput):
            opensocial.replace_appdata(dialect, LYDIA, {"a": "1"}, selector=selector)
        with pytest.raises(BadInput):
            opensocial.delete_appdata(dialect, LYDIA, fields, selector=selector)


@pytest.mark.parametrize("key", ["", "a b", "a,b", "é", "*", "a\n", "a" * 256])
def test_a_key_that_no_container_takes(key: str) -> None:
    for call in (
        lambda: opensocial.get_appdata(LYDIA, "@self", [key]),
        lambda: opensocial.create_appdata(GUIDE, LYDIA, {key: "1"}),
        lambda: opensocial.replace_appdata(GUIDE, LYDIA, {key: "1"}),
        lambda: opensocial.delete_appdata(ORKUT, LYDIA, [key]),
        lambda: opensocial.check_changes(LYDIA, {key: None}),
    ):
        with pytest.raises(BadInput):
            call()
    opensocial.replace_appdata(GUIDE, LYDIA, {key: "1"}, kept=[key])  # the container's own is put back all the same


def test_a_value_that_is_no_text() -> None:
    for value in (3, None, b"x", "\ud800"):
        with pytest.raises(BadInput):
            opensocial.create_appdata(GUIDE, LYDIA, {"a": value})  # type: ignore[dict-item]


def test_a_deletion_that_would_do_something_else() -> None:
    with pytest.raises(BadInput):
        opensocial.delete_appdata(GUIDE, LYDIA, ["a"])
    with pytest.raises(BadInput):
        opensocial.delete_appdata(SHINDIG, LYDIA)
    assert opensocial.delete_appdata(GUIDE, LYDIA).query == ()


def test_a_wrong_selector_for_reading() -> None:
    with pytest.raises(BadInput):
        opensocial.get_people(GUIDE, LYDIA, "@self", count=1)  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        opensocial.get_appdata(LYDIA, "@me")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        opensocial.get_appdata(LYDIA, "@self", "letters")


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, "", RemoteRefused),
        (401, "OAuth authentication failure. No OAuth secret registered for orkut.com:1", RemoteUnauthorized),
        (403, "forbidden: No access to friends", RemoteForbidden),
        (403, "AppData size quota exceeded.", RemoteQuota),
        (400, "Quota exceeded", RemoteQuota),
        (404, "", RemoteNotFound),
        (405, "", RemoteRefused),
        (409, "", RemoteConflict),
        (413, "", RemoteQuota),
        (418, "", RemoteRefused),
        (429, "", RemoteUnavailable),
        (500, "<html>java.lang.IndexOutOfBoundsException</html>", RemoteUnavailable),
        (501, "", RemoteUnsupported),
        (503, "", RemoteUnavailable),
        (302, "", RemoteGarbage),
        (304, "", RemoteGarbage),
        (101, "", RemoteGarbage),
        (999, "", RemoteUnavailable),
    ],
)
def test_a_refusal(status: int, body: str, error: type[HomeServerError]) -> None:
    for parse in PARSERS.values():
        with pytest.raises(error) as refused:
            parse(HttpReply(status, {}, body.encode()))
        assert type(refused.value) is error
        assert str(status) in str(refused.value)


def test_a_refusal_keeps_the_text_of_the_page() -> None:
    """Shindig's, abridged; markup, scripts and what lies beyond 200 characters are left out."""
    page = (
        "<html><head><title>Error 401 OAuth Authentication Failure</title><style>p { x: y }</style></head>\n"
        "<body><h2>HTTP ERROR: 401</h2><p>signature_invalid</p><script>alert('x < y')</script>" + "z" * 500
    )
    with pytest.raises(RemoteUnauthorized) as refused:
        opensocial.raise_for(HttpReply(401, {}, page.encode()))
    text = str(refused.value)
    assert text.startswith("401: Error 401 OAuth Authentication Failure HTTP ERROR: 401 signature_invalid zzz")
    assert len(text) == len("401: ") + 200
    assert refused.value.service == "container"


def test_a_page_of_html_is_no_success() -> None:
    with pytest.raises(RemoteGarbage) as garbage:
        opensocial.parse_written(HttpReply(200, {}, b"<html>Please sign in to the network" + b"!" * 500))
    assert len(garbage.value.excerpt) == 200
    assert garbage.value.excerpt.startswith("<html>Please")


def test_a_signature_that_comes_back_is_not_repeated() -> None:
    body = b"GET /x?oauth_nonce=1&oauth_signature=tR3%2BTy81&oauth_signature_method=HMAC-SHA1 oauth_signature%3DtR3"
    for text in (plain_text(body), excerpt(body), plain_text(body.replace(b"=", b"&#61;"))):
        assert "tR3" not in text
        assert "oauth_signature_method=HMAC-SHA1" in text


def test_an_error_page_is_read_with_its_escapes_undone_once() -> None:
    """Jetty's, as Shindig 2.0.2 answers for somebody unknown."""
    page = b"<h2>HTTP ERROR 400 Person &apos;null&apos;&nbsp;not found</h2><td>&amp;lt;b&gt;</td>"
    assert plain_text(page) == "HTTP ERROR 400 Person 'null' not found &lt;b>"


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "999999999"}, 86400.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 30 Oct 2008 18:31:02 GMT"}, None),
        ({"retry-after": "Thu, 30 Oct 2008 18:31:02 GMT", "date": "Thu, 30 Oct 2008 18:30:02 GMT"}, 60.0),
        ({"retry-after": "Thu, 30 Oct 2008 18:29:02 GMT", "date": "Thu, 30 Oct 2008 18:30:02 GMT"}, 0.0),
        ({"retry-after": "Thu, 99 Oct 2008 18:29:02 GMT", "date": "x"}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], wait_s: float | None) -> None:
    assert retry_after_s(headers) == wait_s
    with pytest.raises(RemoteUnavailable) as refused:
        opensocial.raise_for(HttpReply(503, headers))
    assert refused.value.wait_s == wait_s


def test_the_date_of_an_answer() -> None:
    for date in ("Thu, 30 Oct 2008 18:30:02 GMT", "Thu, 30 Oct 2008 18:30:02 -0000", "Thu, 30 Oct 2008 20:30:02 +0200"):
        assert date_s({"date": date}) == 1225391402.0
    assert date_s({"date": "yesterday"}) is None
    assert date_s({"date": ""}) is None
