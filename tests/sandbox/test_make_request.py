"""Calls that the container makes for a gadget: signed, fenced in, and in nobody else's name."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from oauthlib import oauth1

from homeserver.sandbox import Sandbox
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from tests.clock import Clock
from tests.sandbox.home import EMPTY_HASH, FORM, Home, make_request, query_of, verify
from tests.sandboxes import Client


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


async def test_what_the_container_signs_is_what_oauthlib_signs(sandbox: Sandbox) -> None:
    """Given the same nonce and time."""
    settings = sandbox.settings
    url, headers = sandbox.container.sign_request(
        "POST", "http://127.0.0.1:8080/gadget/session?a=1&b=%20x", owner=ELIZABETH, viewer=JANE,
        signature_method="HMAC-SHA1", body=b"{}", content_type="application/json",
    )  # fmt: skip
    query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    theirs = oauth1.Client(
        settings.consumer_key, settings.consumer_secret, signature_type=oauth1.SIGNATURE_TYPE_QUERY,
        nonce=query["oauth_nonce"], timestamp=query["oauth_timestamp"],
    )  # fmt: skip
    ours = "&".join(part for part in url.split("?")[1].split("&") if not part.startswith("oauth_"))
    again, _, _ = theirs.sign(f"{url.split('?')[0]}?{ours}", "POST", body="{}", headers=headers)
    assert dict(parse_qsl(urlsplit(again).query)) == query
