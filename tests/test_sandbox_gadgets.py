"""The container's browser side: the gadget in its frame, makeRequest, who is told of what, and the pages around it."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from oauthlib.common import Request
from oauthlib.oauth1.rfc5849 import signature as rfc5849
from playwright.async_api import async_playwright, expect
from yarl import URL

from homeserver.sandbox import Sandbox
from homeserver.sandbox.gadgets import SPEC_LIFETIME_MS, UNPARSEABLE_PREFIX
from homeserver.sandbox.pages import draw_picture
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE, SandboxPerson
from homeserver.sandbox.settings import SandboxSettings, load_or_create_signing_key
from tests.clock import Clock
from tests.sandboxes import Client, sandbox_settings, serve

EMPTY_HASH = "2jmj7l5rSw0yVb/vlWAYkK/YBwk="
FORM = "application/x-www-form-urlencoded"

SPEC = """<?xml version="1.0" encoding="UTF-8"?>
<Module>
  <ModulePrefs title="Letters &amp; Co">
    <Require feature="opensocial-0.8"/>
    <Require feature="dynamic-height"/>
    <Locale><msg name="hello">Hello</msg></Locale>
    <Locale lang="pt" country="BR"><msg name="hello">Olá</msg></Locale>
    %LINKS%
  </ModulePrefs>
  <UserPref name="colour" default_value="&lt;red&gt;"/>
  <Content type="html" view="profile, home"><![CDATA[<p id="small">small</p>]]></Content>
  <Content type="html"><![CDATA[<p id="big">__MSG_hello__ __UP_colour__ __MODULE_ID__</p>]]></Content>
</Module>
"""


@dataclass(slots=True)
class Home:
    """A home server that writes down what it is asked. Set `spec` and `answer` to choose what it says."""

    server: TestServer
    spec: bytes = SPEC.replace("%LINKS%", "").encode()
    spec_status: int = 200
    spec_asked: int = 0
    answer: web.Response | None = None
    calls: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)
    """Method, raw target, headers, body."""

    @property
    def origin(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    async def give_spec(self, request: web.Request) -> web.Response:
        self.spec_asked += 1
        return web.Response(status=self.spec_status, body=self.spec, content_type="text/xml")

    async def write_down(self, request: web.Request) -> web.Response:
        self.calls.append((request.method, request.raw_path, request.headers, await request.read()))
        answer, self.answer = self.answer, None
        return answer or web.json_response({"ok": True})


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    app = web.Application()
    server = TestServer(app)
    home = Home(server)
    app.router.add_get("/gadget.xml", home.give_spec)
    app.router.add_route("*", "/{path:.*}", home.write_down)
    await server.start_server()
    yield home
    await server.close()


@pytest.fixture
async def sandbox(home: Home, clock: Clock, unused_tcp_port: int) -> Sandbox:
    return Sandbox(
        sandbox_settings(
            clock.now_ms,
            gadget_url=f"{home.origin}/gadget.xml",
            public_url=f"http://localhost:{unused_tcp_port}",
        )
    )


@pytest.fixture
async def browser(sandbox: Sandbox) -> AsyncIterator[Client]:
    client = await serve(sandbox, urlsplit(sandbox.settings.public_url).port)
    yield client
    await client.close()


@pytest.fixture
def token(sandbox: Sandbox) -> str:
    """Elizabeth looks at her own gadget."""
    return sandbox.gadgets.token_for(ELIZABETH, ELIZABETH)


def frame_path(sandbox: Sandbox, token: str, **more: str) -> str:
    return "/gadgets/ifr?" + urlencode({"url": sandbox.settings.gadget_url, "st": token, "view": "canvas", **more})


async def text_of(response: ClientResponse) -> str:
    async with response:
        return await response.text()


async def make_request(browser: Client, token: str, url: str, **parameters: str) -> dict[str, Any]:
    """What gadgets.io.makeRequest posts, and what the container answers about `url`."""
    response = await browser.post("/gadgets/makeRequest", data={"st": token, "url": url, **parameters})
    text = await text_of(response)
    assert response.status == 200, text
    assert text.startswith(UNPARSEABLE_PREFIX)
    answer: dict[str, Any] = json.loads(text.removeprefix(UNPARSEABLE_PREFIX))[url]
    return answer


def query_of(target: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))


def verify(home: Home, settings: SandboxSettings, certificate_pem: str) -> dict[str, str]:
    """Check the signature of the last call that arrived, with oauthlib, from what travelled; return its query."""
    method, target, headers, body = home.calls[-1]
    is_form = headers.get("Content-Type", "") == FORM
    query = query_of(target)
    parameters = rfc5849.collect_parameters(urlsplit(target).query, body=body.decode() if is_form else None)
    uri = rfc5849.base_string_uri(home.origin + target.partition("?")[0])
    normalized = rfc5849.normalize_parameters(parameters)  # type: ignore[arg-type]  # the stub says dict
    base_string = rfc5849.signature_base_string(method, uri, normalized)  # type: ignore[arg-type]  # any method
    if query["oauth_signature_method"] == "RSA-SHA1":
        assert query["oauth_consumer_key"] == settings.container_domain
        key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 2048
        key.verify(base64.b64decode(query["oauth_signature"]), base_string.encode(), padding.PKCS1v15(), hashes.SHA1())
    else:
        assert query["oauth_consumer_key"] == settings.consumer_key
        request: Any = Request(home.origin + target.partition("?")[0], method)  # type: ignore[arg-type]
        request.params, request.signature = parameters, query["oauth_signature"]
        assert rfc5849.verify_hmac_sha1(request, settings.consumer_secret, "")
    return query


# --- makeRequest -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["", "HMAC"])
@pytest.mark.parametrize(
    ("method", "content_type", "body", "body_hash"),
    [
        ("GET", "", "", EMPTY_HASH),
        ("DELETE", "", "", EMPTY_HASH),
        ("POST", "", "a=1&b=x%20y+z&a=2&", None),
        ("POST", "", "", None),
        ("POST", FORM, "name=%C3%A9", None),
        ("POST", "text/plain", "Hello World!", "Lve95gjOVATpfV8EL5X4nxwjKHE="),
        ("PUT", "application/json", '{"fox": "\N{FOX FACE}"}', "sNt++XNy+D0z3eBJhPLqWGinUg4="),
    ],
)
async def test_a_signed_call_verifies(
    browser: Client, sandbox: Sandbox, home: Home, token: str, *, service: str, method: str, content_type: str,
    body: str, body_hash: str | None,
) -> None:  # fmt: skip
    url = f"{home.origin}/a%20b/%2F~/%C3%A9?x=1&x=&y=a+b%20c&z[]=%5B~*'()"
    answer = await make_request(
        browser, token, url, httpMethod=method, authz="signed", postData=body, OAUTH_SERVICE_NAME=service,
        headers=urlencode({"Content-Type": content_type} if content_type else {}),
    )  # fmt: skip
    assert (answer["rc"], json.loads(answer["body"])) == (200, {"ok": True})
    query = verify(home, sandbox.settings, sandbox.certificate_pem)
    arrived, target, headers, received = home.calls[-1]
    assert (arrived, received.decode()) == (method, body)
    assert target.startswith("/a%20b/%2F~/%C3%A9?x=1&x=&y=a+b%20c&")
    assert query["opensocial_owner_id"] == query["opensocial_viewer_id"] == ELIZABETH
    assert query["opensocial_app_id"] == sandbox.settings.app_id
    assert query["opensocial_app_url"] == sandbox.settings.gadget_url
    assert query["xoauth_signature_publickey"] == query["xoauth_public_key"] == sandbox.settings.key_name
    assert (query["oauth_version"], query.get("oauth_body_hash")) == ("1.0", body_hash)
    if method == "POST" and not content_type:
        assert headers["Content-Type"] == FORM


async def test_a_changed_call_does_not_verify(browser: Client, sandbox: Sandbox, home: Home, token: str) -> None:
    await make_request(browser, token, f"{home.origin}/session?x=1", authz="signed")
    method, target, headers, body = home.calls[-1]
    home.calls.append((method, target.replace("x=1", "x=2"), headers, body))
    with pytest.raises(InvalidSignature):
        verify(home, sandbox.settings, sandbox.certificate_pem)


async def test_an_unsigned_call_carries_nothing_of_the_container(browser: Client, home: Home, token: str) -> None:
    await make_request(browser, token, f"{home.origin}/x?a=1", httpMethod="POST", postData="b=2")
    assert home.calls[-1][1] == "/x?a=1"
    assert home.calls[-1][2]["Content-Type"] == FORM


@pytest.mark.parametrize(
    ("owner", "viewer", "expected"),
    [
        (ELIZABETH, JANE, (ELIZABETH, JANE)),
        (ELIZABETH, None, (ELIZABETH, None)),
        (ELIZABETH, CHARLOTTE, (ELIZABETH, None)),
    ],
)
async def test_identity_comes_from_the_token(
    browser: Client, sandbox: Sandbox, home: Home, *, owner: str, viewer: str | None, expected: tuple[str, str | None]
) -> None:
    sandbox.container.remove_app(CHARLOTTE)
    token = sandbox.gadgets.token_for(owner, viewer)
    await make_request(browser, token, f"{home.origin}/x", authz="signed")
    query = verify(home, sandbox.settings, sandbox.certificate_pem)
    assert (query.get("opensocial_owner_id"), query.get("opensocial_viewer_id")) == expected
    await make_request(browser, token, f"{home.origin}/x", authz="signed", signOwner="false", signViewer="false")
    assert not {"opensocial_owner_id", "opensocial_viewer_id"} & set(query_of(home.calls[-1][1]))


@pytest.mark.parametrize(
    "name", ["opensocial_viewer_id", "oauth_nonce", "xoauth_requestor_id", "OpenSocial_x", "oauthx"]
)
async def test_a_gadget_cannot_choose_the_container_s_parameters(
    browser: Client, home: Home, token: str, name: str
) -> None:
    in_query = await make_request(browser, token, f"{home.origin}/x?{name}=1", authz="signed")
    in_body = await make_request(
        browser, token, f"{home.origin}/x", authz="signed", httpMethod="POST", postData=f"{name}=1"
    )
    assert (in_query["rc"], in_body["rc"], home.calls) == (403, 403, [])


@pytest.mark.parametrize(
    ("url", "rc"),
    [
        ("http://example.com/", 403),
        ("http://169.254.169.254/latest", 403),
        ("http://10.0.0.1/", 403),
        ("http://localhost.example.com/", 403),
        ("http://user@127.0.0.1:1/", 403),
        ("file:///etc/passwd", 403),
        ("ftp://127.0.0.1/", 403),
        ("//127.0.0.1/", 403),
        ("http://127.0.0.1:999999/", 400),
        ("http://[::1/", 400),
        ("", 403),
        ("http://127.0.0.1:1/", 502),
    ],
)
@pytest.mark.parametrize("authz", ["none", "signed"])
async def test_only_this_machine_is_called(browser: Client, token: str, url: str, rc: int, authz: str) -> None:
    assert (await make_request(browser, token, url, authz=authz))["rc"] == rc


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_the_sandbox_does_not_sign_for_itself(browser: Client, sandbox: Sandbox, token: str, host: str) -> None:
    url = f"http://{host}:{urlsplit(sandbox.settings.public_url).port}/social/rest/people/{JANE}/@self"
    assert (await make_request(browser, token, url, authz="signed", OAUTH_SERVICE_NAME="HMAC"))["rc"] == 403


async def test_a_redirect_is_handed_to_the_gadget(browser: Client, home: Home, token: str) -> None:
    home.answer = web.Response(status=302, headers={"Location": f"{home.origin}/elsewhere"})
    answer = await make_request(browser, token, f"{home.origin}/x", authz="signed")
    assert (answer["rc"], answer["headers"]["location"], len(home.calls)) == (302, [f"{home.origin}/elsewhere"], 1)


async def test_headers_pass_except_those_that_are_not_the_gadget_s(browser: Client, home: Home, token: str) -> None:
    chosen = {
        "X-Mine": "é",
        "Host": "evil.example",
        "Cookie": "a=b",
        "X-Forwarded-For": "1.2.3.4",
        "Content-Length": "9",
    }
    home.answer = web.Response(text="x", headers={"X-Theirs": "1", "Set-Cookie": "a=b"})
    answer = await make_request(browser, token, f"{home.origin}/x", headers=urlencode(chosen))
    arrived = home.calls[-1][2]
    assert arrived["X-Mine"] == "é"
    assert arrived["Host"] == urlsplit(home.origin).netloc
    assert not {"Cookie", "X-Forwarded-For"} & set(arrived)
    assert answer["headers"]["x-theirs"] == ["1"]
    assert "set-cookie" not in answer["headers"]
    for wrong in ({"X-Mine": "a\r\nX-Other: b"}, {"X Mine": "a"}):
        assert (await make_request(browser, token, f"{home.origin}/x", headers=urlencode(wrong)))["rc"] == 400


@pytest.mark.parametrize(
    ("parameters", "rc"),
    [
        ({"httpMethod": "TRACE"}, 400),
        ({"authz": "oauth"}, 501),
        ({"authz": "signed", "OAUTH_SERVICE_NAME": "other"}, 403),
    ],
)
async def test_what_makerequest_does_not_do(
    browser: Client, home: Home, token: str, parameters: dict[str, str], rc: int
) -> None:
    answer = await make_request(browser, token, f"{home.origin}/x", **parameters)
    assert (answer["rc"], len(answer["errors"]), home.calls) == (rc, 1, [])


async def test_an_answer_that_is_too_large_is_not_passed_on(browser: Client, home: Home, token: str) -> None:
    home.answer = web.Response(body=b"x" * (1024 * 1024 + 1))
    answer = await make_request(browser, token, f"{home.origin}/x")
    assert (answer["rc"], answer["body"]) == (502, "")


async def test_the_token_is_needed_and_ends(browser: Client, home: Home, token: str, clock: Clock) -> None:
    for wrong in ("", "x", token[:-1], token.replace(ELIZABETH, JANE), "x" * 5000, ":" * 6):
        response = await browser.post("/gadgets/makeRequest", data={"st": wrong, "url": f"{home.origin}/x"})
        assert response.status == 403
    assert (await make_request(browser, token, f"{home.origin}/x"))["rc"] == 200
    clock.advance(hours=1)
    assert (await browser.post("/gadgets/makeRequest", data={"st": token, "url": f"{home.origin}/x"})).status == 403
    assert len(home.calls) == 1


async def test_other_sites_cannot_post_here(browser: Client, home: Home, token: str, sandbox: Sandbox) -> None:
    form = {"st": token, "url": f"{home.origin}/x"}
    for origin in ("http://evil.example", "null", home.origin):
        headers = {"Origin": origin}
        assert (await browser.post("/gadgets/makeRequest", data=form, headers=headers)).status == 403
        removal = await browser.post(f"/people/{JANE}/application", data={"action": "remove"}, headers=headers)
        assert (removal.status, sandbox.container.has_app(JANE)) == (403, True)
    own = {"Origin": str(browser.make_url("")).rstrip("/")}
    assert (await browser.post("/gadgets/makeRequest", data=form, headers=own)).status == 200


# --- the frame -------------------------------------------------------------------------------------------------------


async def test_the_frame_shows_the_content_of_its_view(browser: Client, sandbox: Sandbox, token: str) -> None:
    canvas = await browser.get(frame_path(sandbox, token))
    text = await text_of(canvas)
    assert canvas.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert '<p id="big">Hello &lt;red&gt; 0</p>' in text
    assert "<title>Letters &amp; Co</title>" in text
    profile = await text_of(await browser.get(frame_path(sandbox, token, view="profile")))
    assert '<p id="small">' in profile
    assert '<p id="big">' not in profile
    brazil = await text_of(await browser.get(frame_path(sandbox, token, lang="pt", country="BR")))
    assert ">Olá " in brazil


async def test_opening_the_gadget_is_running_the_application(
    browser: Client, sandbox: Sandbox, token: str, clock: Clock
) -> None:
    assert not sandbox.container.is_online(ELIZABETH)
    await browser.get(frame_path(sandbox, token))
    assert sandbox.container.is_online(ELIZABETH)
    clock.advance(ms=sandbox.settings.online_for_ms)
    assert not sandbox.container.is_online(ELIZABETH)


async def test_the_frame_needs_its_token(browser: Client, sandbox: Sandbox, home: Home, token: str) -> None:
    for path in (
        frame_path(sandbox, ""),
        frame_path(sandbox, token + "0"),
        frame_path(sandbox, token, url=f"{home.origin}/other.xml"),
    ):
        assert (await browser.get(path)).status == 403
    assert home.spec_asked == 0


async def test_a_changed_specification_shows_after_a_minute_or_at_once(
    browser: Client, sandbox: Sandbox, home: Home, token: str, clock: Clock
) -> None:
    await browser.get(frame_path(sandbox, token))
    home.spec = home.spec.replace(b"small", b"tiny").replace(b'id="big"', b'id="new"')
    assert 'id="big"' in await text_of(await browser.get(frame_path(sandbox, token)))
    assert 'id="new"' in await text_of(await browser.get(frame_path(sandbox, token, nocache="1")))
    home.spec = home.spec.replace(b'id="new"', b'id="newer"')
    clock.advance(ms=SPEC_LIFETIME_MS)
    assert 'id="newer"' in await text_of(await browser.get(frame_path(sandbox, token)))
    assert home.spec_asked == 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<Module>", '<!DOCTYPE Module [<!ENTITY x SYSTEM "file:///etc/passwd">]><Module>', "document type"),
        ("</Module>", "", "well-formed"),
        ('feature="dynamic-height"', 'feature="flash"', "does not have the feature flash"),
        ("Module>", "Modules>", "needs a Module"),
        ('title="Letters &amp; Co"', "", "needs a Module"),
        ("Content", "Contents", "has no Content"),
        ('view="profile, home"', 'type="java"', "well-formed"),
        ('<Content type="html">', '<Content type="html" view="home">', "no Content for the view canvas"),
        ('<Content type="html">', '<Content type="flash">', "has the type flash"),
    ],
)
async def test_a_specification_that_cannot_be_used_is_explained(
    browser: Client, sandbox: Sandbox, home: Home, token: str, *, old: str, new: str, words: str
) -> None:
    home.spec = home.spec.decode().replace(old, new).encode()
    response = await browser.get(frame_path(sandbox, token))
    text = await text_of(response)
    assert (response.status, words in text) == (502, True), text
    assert "root:" not in text


async def test_a_specification_that_cannot_be_had_is_explained(
    browser: Client, sandbox: Sandbox, home: Home, token: str
) -> None:
    home.spec_status = 500
    assert "answered 500" in await text_of(await browser.get(frame_path(sandbox, token)))
    home.spec_status, home.spec = 200, b" " * (512 * 1024 + 1)
    assert "larger than" in await text_of(await browser.get(frame_path(sandbox, token)))
    await home.server.close()
    assert "no usable answer" in await text_of(await browser.get(frame_path(sandbox, token)))


async def test_a_content_may_be_an_address(browser: Client, sandbox: Sandbox, home: Home, token: str) -> None:
    address = f'<Content type="url" href="{home.origin}/page">'
    home.spec = home.spec.replace(b'<Content type="html">', address.encode())
    response = await browser.get(frame_path(sandbox, token), allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, f"{home.origin}/page")


async def test_settings_in_the_frame_cannot_end_their_script(browser: Client, sandbox: Sandbox, home: Home) -> None:
    home.spec = home.spec.replace(b"&lt;red&gt;", b"&lt;/script&gt;&lt;script&gt;alert(1)")
    text = await text_of(await browser.get(frame_path(sandbox, sandbox.gadgets.token_for(JANE, None))))
    told = text.partition('id="gadget-settings">')[2].partition("</script>")[0]
    assert json.loads(told)["preferences"] == {"colour": "</script><script>alert(1)"}


# --- who has the application -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ("", ("GET", "/gadget/lifecycle")),
        ('<Link rel="event" href="%HOME%/told"/>', ("GET", "/told")),
        ('<Link rel="event" href="%HOME%/told"/><Link rel="event.removeapp" href="%HOME%/gone?x=1" method="POST"/>',
         ("POST", "/gone?x=1&")),
    ],
)  # fmt: skip
async def test_the_home_server_is_told_who_removed_the_application(
    browser: Client, sandbox: Sandbox, home: Home, links: str, expected: tuple[str, str]
) -> None:
    home.spec = SPEC.replace("%LINKS%", links.replace("%HOME%", home.origin)).encode()
    response = await browser.post(f"/people/{CHARLOTTE}/application", data={"action": "remove"})
    assert "The home server was told (200)" in await text_of(response)
    assert not sandbox.container.has_app(CHARLOTTE)
    query = verify(home, sandbox.settings, sandbox.certificate_pem)
    method, target, _, body = home.calls[-1]
    assert (method, target.startswith(expected[1])) == (expected[0], True)
    said = query if method == "GET" else dict(parse_qsl(body.decode()))
    assert (said["eventtype"], said["id"]) == ("event.removeapp", "07365476160138082838")


async def test_adding_the_application_is_told_too(browser: Client, sandbox: Sandbox, home: Home) -> None:
    sandbox.container.remove_app(JANE)
    page = await text_of(await browser.get(f"/play?viewer={JANE}"))
    assert "has not added the application" in page
    assert "<iframe" not in page
    page = await text_of(await browser.post(f"/people/{JANE}/application", data={"action": "add"}))
    assert sandbox.container.has_app(JANE)
    assert "<iframe" in page
    assert query_of(home.calls[-1][1])["eventtype"] == "event.addapp"
    assert [(told.event, told.person_id, told.status) for told in sandbox.gadgets.told] == [("event.addapp", JANE, 200)]


async def test_a_home_server_that_cannot_be_told_stops_nobody(browser: Client, sandbox: Sandbox, home: Home) -> None:
    home.answer = web.Response(status=401)
    page = await text_of(await browser.post(f"/people/{JANE}/application", data={"action": "remove"}))
    assert "answered 401" in page
    await home.server.close()
    page = await text_of(await browser.post(f"/people/{CHARLOTTE}/application", data={"action": "remove"}))
    assert "could not be told: no usable answer" in page
    assert not sandbox.container.has_app(CHARLOTTE)


async def test_an_unknown_change_is_refused(browser: Client) -> None:
    assert (await browser.post(f"/people/{JANE}/application", data={"action": "sell"})).status == 400
    assert (await browser.post("/people/nobody/application", data={"action": "add"})).status == 404


# --- pages -----------------------------------------------------------------------------------------------------------


async def test_the_list_shows_everybody_and_trusts_no_name(browser: Client, sandbox: Sandbox) -> None:
    response = await browser.get("/")
    text = await text_of(response)
    assert text.count('class="id"') == len(sandbox.container.people) == 120
    assert "&lt;b&gt;Tom&lt;/b&gt; &lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text
    assert "(no name)" in text
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_list_can_be_searched(browser: Client) -> None:
    assert "Charlotte Lucas" in await text_of(await browser.get("/?q=CHARLOTTE"))
    assert (await text_of(await browser.get("/?q=07365476160138082838"))).count('class="id"') == 1
    assert "Nobody is called “&lt;i&gt;”" in await text_of(await browser.get("/?q=<i>"))


async def test_the_page_around_the_gadget_frames_it_with_a_token(browser: Client, sandbox: Sandbox, token: str) -> None:
    page = await text_of(await browser.get(f"/play?viewer={JANE}&owner={ELIZABETH}&view=profile&lang=pt-BR"))
    address = page.partition('<iframe id="gadget" src="')[2].partition('"')[0].replace("&amp;", "&")
    query = query_of(address)
    assert (query["view"], query["lang"], query["country"]) == ("profile", "pt", "BR")
    assert query["st"].startswith(f"{ELIZABETH}:{JANE}:")
    assert (await browser.get(URL(address, encoded=True))).status == 200
    guest = await text_of(await browser.get(f"/play?owner={ELIZABETH}&bpc=1"))
    assert "Seen by a guest" in guest
    assert "nocache=1" in guest


@pytest.mark.parametrize(
    "query", ["", "viewer=nobody", f"viewer={ELIZABETH}&view=attic", f"viewer={ELIZABETH}&lang=xx"]
)
async def test_a_page_of_nobody_is_refused(browser: Client, query: str) -> None:
    assert (await browser.get(f"/play?{query}")).status == 400


async def test_every_person_s_page_opens(browser: Client, sandbox: Sandbox) -> None:
    for person_id in sandbox.container.people:
        assert (await browser.get("/play", params={"viewer": person_id})).status == 200
        assert (await browser.get(f"/pictures/{person_id}.svg")).status == 200
    assert (await browser.get("/pictures/nobody.svg")).status == 404


def test_a_picture_escapes_what_it_shows() -> None:
    picture = draw_picture(SandboxPerson("1", '"><script>', "& Co"))
    assert "<script>" not in picture
    assert "&amp; Co" in picture


async def test_the_certificate_is_the_signing_key_s(browser: Client, sandbox: Sandbox) -> None:
    response = await browser.get(f"/opensocial/certificates/{sandbox.settings.key_name}")
    text = await text_of(response)
    assert text == sandbox.certificate_pem
    key = x509.load_pem_x509_certificate(text.encode()).public_key()
    assert key == sandbox.settings.signing_key.public_key()
    assert (await browser.get("/opensocial/certificates/other.cer")).status == 404


def test_the_signing_key_is_made_once(tmp_path: Any) -> None:
    path = tmp_path / "keys" / "sandbox.pem"
    first = load_or_create_signing_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_signing_key(path).private_numbers() == first.private_numbers()
    other = tmp_path / "other.pem"
    other.write_text("-----BEGIN NOTHING-----")
    with pytest.raises(ValueError, match="PEM"):
        load_or_create_signing_key(other)


def test_settings_do_not_show_their_secrets() -> None:
    settings = sandbox_settings(Clock().now_ms)
    assert settings.consumer_secret not in repr(settings)
    assert settings.service_password not in repr(settings)
    assert settings.home_url == "http://127.0.0.1:8080"
    assert settings.derive_key("a") != settings.derive_key("b")


# --- in a browser ----------------------------------------------------------------------------------------------------

SCRIPT = """<div id="out" style="height: 700px; margin: 20px 0"></div><script>
gadgets.util.registerOnLoadHandler(function () {
  var parameters = {}, P = gadgets.io.RequestParameters;
  parameters[P.AUTHORIZATION] = gadgets.io.AuthorizationType.SIGNED;
  parameters[P.METHOD] = gadgets.io.MethodType.POST;
  parameters[P.CONTENT_TYPE] = gadgets.io.ContentType.JSON;
  parameters[P.POST_DATA] = gadgets.io.encodeValues({a: "b c", "\\u00e9": "&"});
  parameters[P.HEADERS] = {"X-Mine": "1"};
  gadgets.io.makeRequest("%HOME%/session", function (answer) {
    gadgets.io.makeRequest("http://example.com/", function (refused) {
      document.getElementById("out").textContent = JSON.stringify([
        answer.rc, answer.data, answer.errors, refused.rc, refused.errors.length > 0,
        gadgets.views.getCurrentView().getName(), gadgets.util.escapeString("<&\\"'>"),
        gadgets.util.unescapeString("&#60;&#128522;"), new gadgets.Prefs().getString("colour"),
        new gadgets.Prefs().getMsg("hello"), new gadgets.Prefs().getLang()
      ]);
      gadgets.window.setTitle("Letters");
      gadgets.window.adjustHeight();
    });
  }, parameters);
});
</script>"""


@pytest.mark.chromium
@pytest.mark.usefixtures("browser")
async def test_a_gadget_runs_in_a_real_browser(sandbox: Sandbox, home: Home) -> None:
    content = f'<p id="big">__MSG_hello__</p>{SCRIPT.replace("%HOME%", home.origin)}'
    home.spec = home.spec.replace(b'<p id="big">__MSG_hello__ __UP_colour__ __MODULE_ID__</p>', content.encode())
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await chromium.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{sandbox.settings.public_url}/play?viewer={JANE}&owner={ELIZABETH}&lang=pt-BR")
        out = page.frame_locator("#gadget").locator("#out")
        await expect(out).to_contain_text("canvas")
        said = json.loads(await out.inner_text())
        await expect(page.locator("#gadget")).to_have_attribute("title", "Letters")
        height_px = int(await page.locator("#gadget").get_attribute("height") or 0)
        await chromium.close()
    assert said == [
        200, {"ok": True}, [], 403, True, "canvas", "&#60;&#38;&#34;&#39;&#62;", "<\N{SMILING FACE WITH SMILING EYES}",
        "<red>", "Olá", "pt",
    ]  # fmt: skip
    assert 740 <= height_px <= 860
    assert complaints == []
    query = verify(home, sandbox.settings, sandbox.certificate_pem)
    assert (query["opensocial_owner_id"], query["opensocial_viewer_id"]) == (ELIZABETH, JANE)
    _, _, headers, body = home.calls[-1]
    assert (body, headers["X-Mine"]) == (b"a=b%20c&%C3%A9=%26&", "1")
