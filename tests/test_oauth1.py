"""OAuth 1.0: published vectors, equality with oauthlib in both directions, and every way to be refused."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oauthlib.oauth1 import SIGNATURE_TYPE_QUERY, Client
from oauthlib.oauth1.rfc5849 import signature as reference

from homeserver.errors import SignatureRefused
from homeserver.model import HttpRequest, SignedCall
from homeserver.protocol import oauth1
from homeserver.protocol.oauth1 import Credentials, TrustedSigner
from tests.signed_calls import (
    APP_URL,
    BY_KEY,
    BY_SECRET,
    FORM,
    IDENTITY,
    KEY,
    KEY_NAME,
    NOW_S,
    OWNER,
    PUBLIC_PEM,
    PUBLIC_URL,
    RSA_PEM,
    SECRET,
    VIEWER,
    Request,
    container_signed,
    sign,
    step_of,
    verify,
)

# --- signing: equal to oauthlib -------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
awkward = st.sampled_from(
    ["", "a b", "+", "~", "é", "%41", "&", "=", "日本", "😀", "(')*!", "/@:", "\x00", "10459228050876679741"]
)
values = st.one_of(texts, awkward)
names = values.filter(lambda name: not name.startswith("oauth_"))
queries = st.lists(st.tuples(names, values), max_size=6)
plain = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="%"), min_size=1, max_size=30)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    origin=st.sampled_from(
        ["http://www.orkut.com", "https://Example.com:443", "http://127.0.0.1:8081", "http://[::1]:80"]
    ),
    segments=st.lists(values, max_size=3),
    pairs=queries,
    plus=st.booleans(),
    key=plain,
    secret=st.one_of(plain, texts),
    nonce=plain,
    timestamp_s=st.integers(0, 2**33),
    hashed=st.booleans(),
)
def test_a_signature_is_the_one_that_oauthlib_makes(
    *,
    method: str,
    origin: str,
    segments: list[str],
    pairs: list[tuple[str, str]],
    plus: bool,
    key: str,
    secret: str,
    nonce: str,
    timestamp_s: int,
    hashed: bool,
) -> None:
    path = "/".join(quote(segment, safe="@") for segment in segments)
    query = urlencode(pairs) if plus else "&".join(f"{oauth1.escape(n)}={oauth1.escape(v)}" for n, v in pairs)
    url = f"{origin}/{path}{'?' if query else ''}{query}"
    digest = oauth1.body_hash(b"{}") if hashed else None
    ours = oauth1.signed_url(
        method,
        url,
        Credentials(key, secret),
        timestamp_s=timestamp_s,
        nonce=nonce,
        requestor_id=OWNER,
        body_hash=digest,
    )
    client = Client(key, secret, signature_type=SIGNATURE_TYPE_QUERY, nonce=nonce, timestamp=str(timestamp_s))
    extra = f"xoauth_requestor_id={OWNER}" + (f"&oauth_body_hash={quote(digest, safe='')}" if digest else "")
    theirs, _, _ = sign(client, f"{url}{'&' if query else '?'}{extra}", method)
    assert ours.startswith(url)
    assert parameters_of(ours) == parameters_of(theirs)


def parameters_of(url: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(url.partition("?")[2], keep_blank_values=True))


@given(queries, st.booleans(), plain)
def test_oauthlib_verifies_what_we_sign(pairs: list[tuple[str, str]], with_body: bool, nonce: str) -> None:
    url = f"http://www.orkut.com/social/rest/people/{OWNER}/@friends?{urlencode(pairs)}"
    signed = oauth1.signed_url(
        "PUT" if with_body else "GET",
        url,
        Credentials(KEY, SECRET),
        timestamp_s=NOW_S,
        nonce=nonce,
        body_hash=oauth1.body_hash(b"{}") if with_body else None,
    )
    request = Request(signed, "PUT" if with_body else "GET")
    collected = reference.collect_parameters(uri_query=signed.partition("?")[2], exclude_oauth_signature=False)
    [request.signature] = [value for name, value in collected if name == "oauth_signature"]
    request.params = [pair for pair in collected if pair[0] != "oauth_signature"]
    assert reference.verify_hmac_sha1(request, SECRET)


@pytest.mark.parametrize("url", ["/people/@me", "http:///x", "mailto:x", "http://h:99999/"])
def test_what_cannot_be_signed(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
        oauth1.signed_url("GET", url, Credentials(KEY, SECRET), timestamp_s=1, nonce="n")


def test_a_secret_is_never_printed() -> None:
    assert SECRET not in repr(Credentials(KEY, SECRET)) + repr(BY_SECRET)
    verified = verify(container_signed())
    assert dict(verified.parameters)["oauth_signature"] not in repr(verified)


# --- verifying: what is accepted ------------------------------------------------------------------------------------


@given(queries, st.sampled_from(["GET", "POST form", "POST json", "POST empty", "PUT json"]), plain)
def test_we_verify_what_oauthlib_signs(pairs: list[tuple[str, str]], shape: str, nonce: str) -> None:
    assume(not any(name.startswith(("oauth_", "xoauth_", "opensocial_")) for name, _ in pairs))
    method = shape.partition(" ")[0]
    body, content_type = None, None
    if "form" in shape:
        body, content_type = urlencode(pairs) or "x=", FORM
    elif "json" in shape:
        body, content_type = '{"board": "letters", "value": "é😀"}', "application/json"
    request = container_signed(
        "/gadget/session", [*IDENTITY, *pairs], method=method, body=body, content_type=content_type, nonce=nonce
    )
    verified = verify(request)
    assert verified.call == SignedCall("orkut", OWNER, VIEWER, APP_URL, "app-7")
    assert verified.nonce == nonce
    assert set(pairs) <= set(verified.parameters)


def test_rsa_with_a_named_key() -> None:
    for name in ("xoauth_signature_publickey", "xoauth_public_key"):
        pairs = [*IDENTITY, (name, KEY_NAME)]
        verified = verify(container_signed(pairs=pairs, rsa_key=RSA_PEM, consumer_key="orkut.com"))
        assert verified.signer is BY_KEY
    both = [*IDENTITY, ("xoauth_signature_publickey", KEY_NAME), ("xoauth_public_key", KEY_NAME)]
    assert verify(container_signed(pairs=both, rsa_key=RSA_PEM, consumer_key="orkut.com")).signer is BY_KEY


def test_a_get_with_the_hash_of_nothing() -> None:
    """Shindig signs every request that is no form with `oauth_body_hash`, a GET too."""
    verify(container_signed(pairs=[*IDENTITY, ("oauth_body_hash", "2jmj7l5rSw0yVb/vlWAYkK/YBwk=")]))
    wrong = container_signed(pairs=[*IDENTITY, ("oauth_body_hash", oauth1.body_hash(b"x"))])
    assert step_of(wrong) == "wrong oauth_body_hash"


def test_the_viewer_is_optional() -> None:
    verified = verify(container_signed(pairs=[pair for pair in IDENTITY if pair[0] != "opensocial_viewer_id"]))
    assert verified.call.viewer_id is None
    assert verified.call.owner_id == OWNER


def test_identity_comes_from_the_query_only() -> None:
    request = container_signed(
        pairs=[("opensocial_app_url", APP_URL)],
        method="POST",
        body=f"opensocial_viewer_id={VIEWER}",
        content_type=FORM,
    )
    assert verify(request).call.viewer_id is None


def test_the_path_is_taken_raw() -> None:
    """A percent-escape in the path is part of what was signed, in the case in which it came."""
    for path in ("/gadget/a%2Fb", "/gadget/a%2fb", "/gadget/%C3%A9~(x)", "//gadget//x", "/gadget/a;b=c"):
        verify(container_signed(path))
    assert step_of(replace(container_signed("/a%2Fb"), target=container_signed("/a%2Fb").target.replace("%2F", "/", 1)))


def test_the_host_header_is_not_believed() -> None:
    request = container_signed(public_url="https://evil.example.org")
    request = replace(request, headers={"host": "evil.example.org", "x-forwarded-host": "evil.example.org"})
    assert step_of(request) == "wrong signature"


def test_a_public_url_with_a_path() -> None:
    """A proxy takes the prefix away; the container signed with it."""
    request = container_signed("/app/gadget/session")
    request = replace(request, target=request.target.removeprefix("/app"))
    oauth1.verify(request, public_url=f"{PUBLIC_URL}/app/", signers=[BY_SECRET], now_s=NOW_S)


def test_a_lifecycle_call_with_many_ids() -> None:
    pairs = [
        ("opensocial_app_url", APP_URL),
        ("eventtype", "event.addapp"),
        ("id", OWNER),
        ("id", VIEWER),
        ("id", OWNER),
    ]
    assert verify(container_signed("/gadget/lifecycle", pairs)).values("id") == [OWNER, VIEWER, OWNER]


def test_the_window() -> None:
    verify(container_signed(timestamp_s=NOW_S - 300))
    verify(container_signed(timestamp_s=NOW_S + 300))
    assert step_of(container_signed(timestamp_s=NOW_S - 412)) == "stale by 412 s"
    assert step_of(container_signed(timestamp_s=NOW_S + 301)) == "ahead by 301 s"


def test_a_body_without_a_hash_only_by_setting() -> None:
    request = replace(container_signed(method="POST"), body=b"{}", headers={"content-type": "application/json"})
    assert step_of(request) == "body without oauth_body_hash"
    assert step_of(replace(request, headers={})) == "body without oauth_body_hash"
    verify(request, allow_missing_body_hash=True)


def test_a_form_whose_content_type_is_spelt_otherwise() -> None:
    request = container_signed(method="POST", body="a=1&a=2&b", content_type=FORM)
    verify(replace(request, headers={"content-type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}))


# --- verifying: what is refused -------------------------------------------------------------------------------------


def test_keys_are_bound() -> None:
    """To their method and to their name."""
    assert step_of(container_signed(consumer_key="somebody")) == "unknown key"
    forged = container_signed(consumer_key="orkut.com", secret=PUBLIC_PEM)
    assert step_of(forged) == "signature method that is not this key's"
    named = [*IDENTITY, ("xoauth_public_key", "another.cer")]
    assert step_of(container_signed(pairs=named, rsa_key=RSA_PEM, consumer_key="orkut.com")) == "unknown key name"
    assert step_of(container_signed(rsa_key=RSA_PEM, consumer_key="orkut.com")) == "unknown key name"
    two = [*IDENTITY, ("xoauth_public_key", KEY_NAME), ("xoauth_signature_publickey", "another.cer")]
    assert step_of(container_signed(pairs=two, rsa_key=RSA_PEM, consumer_key="orkut.com")) == "two key names"
    assert step_of(container_signed(secret="another")) == "wrong signature"


def test_a_key_being_replaced() -> None:
    """Two keys of one consumer key without names: either holds."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1).decode()
    old = TrustedSigner.from_key("orkut.com", pem, container="orkut")
    new = TrustedSigner.from_key("orkut.com", PUBLIC_PEM, container="orkut")
    request = container_signed(rsa_key=RSA_PEM, consumer_key="orkut.com")
    verified = oauth1.verify(request, public_url=PUBLIC_URL, signers=iter([old, new]), now_s=NOW_S)
    assert verified.signer is new
    with pytest.raises(SignatureRefused):
        oauth1.verify(request, public_url=PUBLIC_URL, signers=[old], now_s=NOW_S)


@pytest.mark.parametrize(
    "name",
    [
        "oauth_nonce",
        "oauth_consumer_key",
        "oauth_signature",
        "oauth_version",
        "opensocial_owner_id",
        "opensocial_app_url",
    ],
)
def test_a_repeated_parameter(name: str) -> None:
    request = container_signed()
    value = dict(parse_qsl(request.target.partition("?")[2]))[name]
    assert step_of(replace(request, target=f"{request.target}&{name}={quote(value)}")) == f"repeated parameter {name}"


@pytest.mark.parametrize("name", ["opensocial_viewer_id", "oauth_nonce", "xoauth_public_key"])
def test_a_parameter_in_query_and_body(name: str) -> None:
    pairs = [*IDENTITY, ("xoauth_public_key", KEY_NAME)]
    request = container_signed(pairs=pairs, method="POST", body=f"{name}=1", content_type=FORM)
    assert step_of(request) == f"parameter {name} in query and body"


@pytest.mark.parametrize("name", ["consumer_key", "signature_method", "timestamp", "nonce", "signature"])
def test_a_missing_parameter(name: str) -> None:
    request = container_signed()
    path, _, query = request.target.partition("?")
    pairs = [pair for pair in parse_qsl(query) if pair[0] != f"oauth_{name}"]
    assert step_of(replace(request, target=f"{path}?{urlencode(pairs)}")) == f"missing parameter oauth_{name}"
    emptied = [*pairs, (f"oauth_{name}", "")]
    assert step_of(replace(request, target=f"{path}?{urlencode(emptied)}")) == f"missing parameter oauth_{name}"


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        ("oauth_timestamp", "12e4", "unreadable oauth_timestamp"),
        ("oauth_timestamp", "-1", "unreadable oauth_timestamp"),
        ("oauth_timestamp", "٣", "unreadable oauth_timestamp"),
        ("oauth_timestamp", "9" * 13, "unreadable oauth_timestamp"),
        ("oauth_nonce", "n" * 256, "unreadable oauth_nonce"),
        ("oauth_nonce", "a\0b", "unreadable oauth_nonce"),
        ("oauth_version", "2.0", "unknown oauth_version"),
        ("oauth_signature", "not base64!", "unreadable oauth_signature"),
        ("oauth_signature", "é", "unreadable oauth_signature"),
        ("oauth_signature", "QQ", "unreadable oauth_signature"),
        ("oauth_signature", "QR==", "unreadable oauth_signature"),
        ("oauth_signature", "QQ==", "wrong signature"),
    ],
)
def test_an_unreadable_parameter(name: str, value: str, step: str) -> None:
    request = container_signed()
    path, _, query = request.target.partition("?")
    pairs = [(key, value if key == name else old) for key, old in parse_qsl(query)]
    assert step_of(replace(request, target=f"{path}?{urlencode(pairs)}")) == step


@pytest.mark.parametrize(
    ("target", "step"),
    [
        ("http://games.example.org/x?a=b", "target that is no path"),
        ("*", "target that is no path"),
        ("", "target that is no path"),
        ("/x?a=é", "target that is no path"),
        ("/x?a=%zz", "a percent sign that begins no escape"),
        ("/x?a=%4", "a percent sign that begins no escape"),
        ("/x?a=%ff", "a parameter that is not UTF-8"),
        ("/x?" + "a&" * 1000, "more than 1000 parameters"),
        ("/x", "missing parameter oauth_consumer_key"),
    ],
)
def test_an_unreadable_target(target: str, step: str) -> None:
    assert step_of(HttpRequest("GET", target, {})) == step


def test_an_unreadable_form() -> None:
    request = container_signed(method="POST", body="a=1", content_type=FORM)
    assert step_of(replace(request, body=b"a=\xff")) == "form that is not UTF-8"
    assert step_of(replace(request, body=b"a=%fe")) == "a parameter that is not UTF-8"
    hashed = container_signed(pairs=[*IDENTITY, ("oauth_body_hash", oauth1.body_hash(b"a=1"))], method="POST")
    assert step_of(replace(hashed, body=b"a=1", headers={"content-type": FORM})) == "oauth_body_hash beside a form"


ALPHABET = "".join(map(chr, range(32, 127)))
SIGNED = [
    container_signed(pairs=[*IDENTITY, ("q", "a b+~é"), ("q", "")]),
    container_signed(method="POST", body="board=letters&value=4&x=a+b", content_type=FORM),
    container_signed(method="POST", body='{"board": "letters"}', content_type="application/json"),
    container_signed(pairs=[*IDENTITY, ("xoauth_public_key", KEY_NAME)], rsa_key=RSA_PEM, consumer_key="orkut.com"),
]


def meaning(request: HttpRequest) -> tuple[object, ...]:
    """What a request says, read leniently: two of the same meaning may share a signature (`%2b` is `%2B`)."""
    path, _, query = request.target.partition("?")
    body = request.body.decode()
    form = sorted(parse_qsl(body, keep_blank_values=True)) if FORM in request.headers.values() else body
    return request.method.upper(), path, sorted(parse_qsl(query, keep_blank_values=True)), form


@settings(max_examples=400)
@given(st.sampled_from(SIGNED), st.data())
def test_one_changed_character_is_refused(request: HttpRequest, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(["method", "target", "target", "target", "body"]))
    text = request.body.decode() if part == "body" else str(getattr(request, part))
    assume(text)
    changed = other_text(text, data)
    fields: dict[str, Any] = {part: changed.encode() if part == "body" else changed}
    tampered = replace(request, **fields)
    assume(meaning(tampered) != meaning(request))
    with pytest.raises(SignatureRefused):
        verify(tampered)


@pytest.mark.parametrize("request_", SIGNED)
@pytest.mark.parametrize(
    "public_url",
    ["http://games.example.org", "https://game.example.org", "https://games.example.org:8443", f"{PUBLIC_URL}/x"],
)
def test_another_public_url_is_refused(request_: HttpRequest, public_url: str) -> None:
    with pytest.raises(SignatureRefused) as refused:
        oauth1.verify(request_, public_url=public_url, signers=[BY_SECRET, BY_KEY], now_s=NOW_S)
    assert refused.value.step == "wrong signature"


def other_text(text: str, data: st.DataObject) -> str:
    """The text with one character changed, added or taken away."""
    at = data.draw(st.integers(0, len(text) - 1))
    return text[:at] + data.draw(st.sampled_from(ALPHABET)) + text[at + data.draw(st.integers(0, 1)) :]


@given(st.data())
def test_one_changed_character_of_our_address_is_refused(data: st.DataObject) -> None:
    """Scheme, host and port: what the container was told to call."""
    address = "https://games.example.org:8443"
    changed = other_text(address, data)
    request = container_signed(public_url=address)
    with contextlib.suppress(ValueError):  # no address at all
        assume(reference.base_string_uri(changed) != reference.base_string_uri(address))
    with pytest.raises((SignatureRefused, ValueError)):
        oauth1.verify(request, public_url=changed, signers=[BY_SECRET, BY_KEY], now_s=NOW_S)


@given(st.data())
def test_one_changed_character_of_the_keys_is_refused(data: st.DataObject) -> None:
    """Ours or theirs: the secret, and the consumer key on either side."""
    other = other_text(SECRET, data)
    assume(other != SECRET)
    assert step_of(container_signed(secret=other)) == "wrong signature"
    stranger = TrustedSigner.from_secret(KEY, other, container="orkut")
    with pytest.raises(SignatureRefused):
        oauth1.verify(container_signed(), public_url=PUBLIC_URL, signers=[stranger], now_s=NOW_S)
    other_key = other_text(KEY, data)
    assume(other_key not in {KEY, "orkut.com"} and "%" not in other_key)
    assert step_of(container_signed(consumer_key=other_key)) == "unknown key"


@given(st.integers(NOW_S - 250, NOW_S + 250))
def test_another_timestamp_is_refused(timestamp_s: int) -> None:
    """Within the window too."""
    assume(timestamp_s != NOW_S)
    for request in SIGNED:
        later = request.target.replace(f"oauth_timestamp={NOW_S}", f"oauth_timestamp={timestamp_s}")
        assert step_of(replace(request, target=later)) == "wrong signature"


@given(st.text(max_size=60), st.binary(max_size=20))
def test_anything_else_is_refused(query: str, body: bytes) -> None:
    with pytest.raises(SignatureRefused):
        verify(HttpRequest("POST", f"/x?{query}", {"content-type": FORM}, body))


# --- our application only -------------------------------------------------------------------------------------------


def call(app_url: str | None = None, app_id: str | None = None) -> SignedCall:
    return SignedCall("orkut", OWNER, VIEWER, app_url, app_id)


def test_the_right_signature_of_another_gadget() -> None:
    pairs = [pair for pair in IDENTITY if not pair[0].startswith("opensocial_app")]
    theirs = container_signed(pairs=[*pairs, ("opensocial_app_url", "https://other.example.org/gadget.xml")])
    verified = verify(theirs)
    with pytest.raises(SignatureRefused) as refused:
        oauth1.require_app(verified.call, APP_URL, "app-7")
    assert refused.value.step == "another application"


def test_our_application_by_address_or_id() -> None:
    oauth1.require_app(call(APP_URL), APP_URL)
    oauth1.require_app(call(APP_URL, "whatever"), APP_URL, None)
    oauth1.require_app(call("https://old.example.org/gadget.xml", "app-7"), APP_URL, "app-7")
    for other in (call(APP_URL + "?x"), call(None, "app-8"), call("https://x/", "app-8"), call("x", "")):
        with pytest.raises(SignatureRefused):
            oauth1.require_app(other, APP_URL, "app-7")
    with pytest.raises(SignatureRefused):
        oauth1.require_app(call("x", None), APP_URL, None)


def test_a_call_that_names_no_application() -> None:
    with pytest.raises(SignatureRefused) as refused:
        oauth1.require_app(call(), APP_URL, "app-7")
    assert refused.value.step == "no application named"
    oauth1.require_app(call(), APP_URL, "app-7", own_app_only=True)
    with pytest.raises(SignatureRefused):
        oauth1.require_app(call("https://other.example.org/"), APP_URL, own_app_only=True)


def test_the_caller_learns_nothing() -> None:
    with pytest.raises(SignatureRefused) as refused:
        verify(container_signed(secret="another"))
    assert "wrong" not in str(refused.value)


def test_the_hash_is_sha1() -> None:
    assert base64.b64decode(oauth1.body_hash(b"x")) == hashlib.sha1(b"x").digest()
