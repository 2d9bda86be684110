"""What Shindig signs, our verifier accepts, in every combination; and one changed byte anywhere it refuses."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any, Final

import pytest

from homeserver.errors import SignatureRefused
from homeserver.model import HttpRequest, SignedCall
from homeserver.protocol.oauth1 import body_hash, parse_parameters, require_app
from tests.interop import MARKS
from tests.interop.society import APP_ID, CONSUMER_KEY, CONTAINER_KEY, ELIZABETH, HMAC_SERVICE, JANE, KEY_NAME, LYDIA
from tests.interop.world import World

pytestmark = MARKS

FORM: Final = "application/x-www-form-urlencoded"
QUERIES: Final = (
    "",
    "a=1",
    "id=1&id=2&id=1",
    "empty=&bare&a=",
    "a=x%20y&b=x+y&c=x%2By",
    "name=Elo%C3%AFse&price=%E2%82%AC%F0%9F%98%80",
    "list[]=1&list[2]=a%5Bb%5D&(x)=!*'",
    "tilde=~&percent=%25&amp=%26&equals=%3D&slash=%2F&question=?",
    "b=2&a=2&a=10&A=1&a%20=3",
)
PATHS: Final = (
    "/",
    "",
    "/capture",
    "/a%20b",
    "/a%2Fb",
    "/caf%C3%A9",
    "/~tilde/-._",
    "/a;b=c,d/(e)'!*",
    "/a//b/",
    "/a+b:c@d&e=f$",
)
SENDINGS: Final[dict[str, dict[str, Any]]] = {
    "GET": {"method": "GET"},
    "POST a form": {"method": "POST", "body": "a=1&b=x+y&b=%C3%A9&empty=&tail=&", "headers": {"Content-Type": FORM}},
    "POST a form with a charset": {
        "method": "POST",
        "body": "id=1&id=2&a=%26",
        "headers": {"Content-Type": f"{FORM}; charset=UTF-8"},
    },
    "POST without a type": {"method": "POST", "body": "a=1&b=2"},
    "POST JSON": {
        "method": "POST",
        "body": '{"text": "é 😀 & <b> + %41", "n": [1]}',
        "headers": {"Content-Type": "application/json"},
    },
    "POST text": {"method": "POST", "body": "a=1&b=2", "headers": {"Content-Type": "text/plain; charset=utf-8"}},
    "POST nothing": {"method": "POST"},
    "PUT": {"method": "PUT", "body": '{"a": 1}', "headers": {"Content-Type": "application/json"}},
    "DELETE": {"method": "DELETE"},
}
SIGNINGS: Final = {"RSA-SHA1": {}, "HMAC-SHA1": {"OAUTH_SERVICE_NAME": HMAC_SERVICE}}

signings = pytest.mark.parametrize("signing", SIGNINGS)
sendings = pytest.mark.parametrize("sending", SENDINGS)


async def call_for(world: World, signing: str, sending: str, target: str = "/capture?a=1&b=") -> HttpRequest:
    """What arrives when Jane uses the gadget on Elizabeth's page."""
    return await world.captured(
        f"{world.capture.origin}{target}", owner=ELIZABETH, viewer=JANE, **SENDINGS[sending], **SIGNINGS[signing]
    )


@signings
@sendings
async def test_every_query_verifies(world: World, signing: str, sending: str) -> None:
    for query in QUERIES:
        call = await call_for(world, signing, sending, f"/capture?{query}")
        verified = world.verified(call)
        assert verified.call == SignedCall("shindig", ELIZABETH, JANE, world.gadget_url, APP_ID)
        assert verified.consumer_key == (CONTAINER_KEY if signing == "RSA-SHA1" else CONSUMER_KEY)
        arrived = Counter(verified.parameters)
        assert Counter(parse_parameters(query)) <= arrived
        if call.headers.get("content-type", "").startswith(FORM):
            assert Counter(parse_parameters(SENDINGS[sending].get("body", ""))) <= arrived


@signings
@pytest.mark.parametrize("sending", ["GET", "POST JSON"])
async def test_every_path_verifies(world: World, signing: str, sending: str) -> None:
    """The path as it travels is what was signed."""
    for path in PATHS:
        call = await call_for(world, signing, sending, path)
        assert call.target.startswith(f"{path or '/'}?")
        world.verified(call)


@signings
async def test_a_host_in_capitals(world: World, signing: str) -> None:
    port = world.capture.origin.rpartition(":")[2]
    call = await world.captured(f"http://LocalHost:{port}/capture", owner=JANE, **SIGNINGS[signing])
    world.verified(call, public_url=f"http://localhost:{port}")
    with pytest.raises(SignatureRefused):
        world.verified(call)


@signings
@sendings
async def test_what_the_container_adds(world: World, signing: str, sending: str) -> None:
    """All in the query; a hash of the body for whatever is no form, nothing included."""
    call = await call_for(world, signing, sending)
    given = dict(parse_parameters(call.target.partition("?")[2]))
    hashed = given.pop("oauth_body_hash", None)
    key_names = {"xoauth_public_key", "xoauth_signature_publickey"} if signing == "RSA-SHA1" else set()
    assert given.keys() == {
        "a",
        "b",
        "oauth_consumer_key",
        "oauth_nonce",
        "oauth_signature",
        "oauth_signature_method",
        "oauth_timestamp",
        "oauth_version",
        "opensocial_app_id",
        "opensocial_app_url",
        "opensocial_owner_id",
        "opensocial_viewer_id",
        *key_names,
    }
    assert {given[name] for name in key_names} <= {KEY_NAME}
    is_form = call.headers.get("content-type", "").startswith(FORM)
    assert is_form is (sending in {"POST a form", "POST a form with a charset", "POST without a type", "POST nothing"})
    assert hashed == (None if is_form else body_hash(call.body))


@signings
async def test_owner_and_viewer_as_the_gadget_asks(world: World, signing: str) -> None:
    for sign_owner, sign_viewer in (("true", "false"), ("false", "true"), ("false", "false")):
        call = await world.captured(
            f"{world.capture.origin}/capture",
            owner=LYDIA,
            viewer=ELIZABETH,
            signOwner=sign_owner,
            signViewer=sign_viewer,
            **SIGNINGS[signing],
        )
        verified = world.verified(call)
        assert verified.call.owner_id == (LYDIA if sign_owner == "true" else None)
        assert verified.call.viewer_id == (ELIZABETH if sign_viewer == "true" else None)
        anybody = "true" in {sign_owner, sign_viewer}
        assert verified.call.app_url == (world.gadget_url if anybody else None)
        if not anybody:  # then the container does not say for which gadget it signs, and the call proves nothing
            with pytest.raises(SignatureRefused):
                require_app(verified.call, world.gadget_url, APP_ID)


@pytest.mark.parametrize("name", ["opensocial_viewer_id", "oauth_nonce", "xoauth_requestor_id"])
async def test_a_gadget_cannot_name_somebody_else(world: World, name: str) -> None:
    """The container refuses such a parameter in the query and in a form; nothing is sent."""
    url = f"{world.capture.origin}/capture"
    before = len(world.capture.calls)
    in_query = await world.make_request(f"{url}?{name}={LYDIA}", owner=JANE)
    in_form = await world.make_request(url, "POST", f"{name}={LYDIA}", owner=JANE, headers={"Content-Type": FORM})
    assert (in_query.status, in_form.status) == (403, 403)
    assert len(world.capture.calls) == before


async def test_a_name_that_the_container_does_not_sign(world: World) -> None:
    """Letters, digits and a few signs only: another name is refused before anything is sent. Values may be anything."""
    before = len(world.capture.calls)
    for query in ("%E2%82%AC=1", "a%26b=1", "a%3Db=1", "%3C=1"):
        assert (await world.make_request(f"{world.capture.origin}/capture?{query}", owner=JANE)).status == 403, query
    assert len(world.capture.calls) == before


# --- what must be refused -------------------------------------------------------------------------------------------


def changed(content: bytes) -> list[bytes]:
    """Copies of `content`, each with one byte changed."""
    return [content[:at] + (b"x" if byte != ord("x") else b"y") + content[at + 1 :] for at, byte in enumerate(content)]


@signings
@pytest.mark.parametrize("sending", ["GET", "POST a form", "POST JSON", "PUT"])
async def test_one_changed_byte_is_refused_wherever_it_is(world: World, signing: str, sending: str) -> None:
    call = await call_for(world, signing, sending, "/caf%C3%A9/x?id=1&id=2&empty=&price=%E2%82%AC+b")
    world.verified(call)
    copies = [replace(call, target=target.decode()) for target in changed(call.target.encode())]
    copies += [replace(call, body=body) for body in changed(call.body)]
    copies += [replace(call, method=method) for method in ("HEAD", "PATCH", f"{call.method}X")]
    copies += [replace(call, body=call.body + b"&"), replace(call, body=call.body[:-1])] if sending == "PUT" else []
    copies += [replace(call, target=f"{call.target}&more=1"), replace(call, target=call.target.replace("/x?", "/X?"))]
    for copy in copies:
        with pytest.raises(SignatureRefused):
            world.verified(copy)
    for moved in ("http://127.0.0.1:1", "http://localhost:80", world.capture.origin.replace("http:", "https:")):
        with pytest.raises(SignatureRefused):
            world.verified(call, public_url=moved)


@signings
async def test_a_body_passed_off_as_another_kind_is_refused(world: World, signing: str) -> None:
    form = await call_for(world, signing, "POST a form")
    text = await call_for(world, signing, "POST text")
    for call, media_type in ((form, "text/plain"), (form, ""), (text, FORM)):
        with pytest.raises(SignatureRefused):
            world.verified(replace(call, headers={**call.headers, "content-type": media_type}))


@signings
async def test_another_time_is_refused(world: World, signing: str) -> None:
    call = await call_for(world, signing, "GET")
    world.verified(call, now_s=time.time() + 290)
    for now_s, step in ((time.time() + 320, "stale by"), (time.time() - 320, "ahead by")):
        with pytest.raises(SignatureRefused) as refused:
            world.verified(call, now_s=now_s)
        assert refused.value.step.startswith(step)


async def test_keys_are_not_mixed_up(world: World) -> None:
    """Neither by method, nor by name, nor with a key that only looks like the right one."""
    rsa, hmac = world.signers
    for signing, signers, step in (
        ("RSA-SHA1", [hmac], "unknown key"),
        ("HMAC-SHA1", [rsa], "unknown key"),
        ("RSA-SHA1", [replace(rsa, key_name="another.cer")], "unknown key name"),
        ("RSA-SHA1", [replace(hmac, consumer_key=CONTAINER_KEY)], "signature method that is not this key's"),
        ("HMAC-SHA1", [replace(hmac, secret="another")], "wrong signature"),
        ("RSA-SHA1", [], "unknown key"),
    ):
        call = await call_for(world, signing, "GET")
        with pytest.raises(SignatureRefused) as refused:
            world.verified(call, signers=signers)
        assert refused.value.step == step
