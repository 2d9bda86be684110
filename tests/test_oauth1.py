"""OAuth 1.0: published vectors, equality with oauthlib in both directions, and every way to be refused."""

from __future__ import annotations

import base64
import datetime
import hashlib
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oauthlib import common
from oauthlib.oauth1 import SIGNATURE_RSA, SIGNATURE_TYPE_QUERY, Client
from oauthlib.oauth1.rfc5849 import signature as reference

from homeserver.errors import BadSettings, SignatureRefused
from homeserver.model import HttpRequest, SignedCall
from homeserver.protocol import oauth1
from homeserver.protocol.oauth1 import Credentials, TrustedSigner, Verified

NOW_S = 1_225_391_402
PUBLIC_URL = "https://games.example.org"
APP_URL = "https://games.example.org/gadget.xml"
KEY = "orkut.com:623061448914"
SECRET = "uynAeXiWTisflWX99KU1D2q5"
KEY_NAME = "pub.1199819524.-1556113204990931254.cer"
FORM = "application/x-www-form-urlencoded"
OWNER, VIEWER = "15913663323317925521", "07365476160138082838"
IDENTITY = [
    ("opensocial_owner_id", OWNER),
    ("opensocial_viewer_id", VIEWER),
    ("opensocial_app_id", "app-7"),
    ("opensocial_app_url", APP_URL),
]

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)
RSA_PEM = RSA_KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC_PEM = (
    RSA_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)

BY_SECRET = TrustedSigner.from_secret(KEY, SECRET, container="orkut")
BY_KEY = TrustedSigner.from_key("orkut.com", PUBLIC_PEM, container="orkut", key_name=KEY_NAME)


sign: Any = Client.sign  # its stubs know neither all methods nor what it returns
Request: Any = common.Request


def container_signed(
    path: str = "/gadget/session",
    pairs: list[tuple[str, str]] | None = None,
    *,
    method: str = "GET",
    body: str | None = None,
    content_type: str | None = None,
    rsa_key: str | None = None,
    consumer_key: str = KEY,
    secret: str = SECRET,
    timestamp_s: int = NOW_S,
    nonce: str = "8472398472",
    public_url: str = PUBLIC_URL,
) -> HttpRequest:
    """A request as a container sends it, signed by oauthlib, which adds `oauth_body_hash` to a body that is no form."""
    client = Client(
        consumer_key,
        client_secret=None if rsa_key else secret,
        rsa_key=rsa_key,
        signature_method=SIGNATURE_RSA if rsa_key else "HMAC-SHA1",
        signature_type=SIGNATURE_TYPE_QUERY,
        timestamp=str(timestamp_s),
        nonce=nonce,
    )
    headers = {"Content-Type": content_type} if content_type else {}
    query = urlencode(IDENTITY if pairs is None else pairs)
    url, _, sent = sign(client, f"{public_url}{path}?{query}", method, body, headers)
    return HttpRequest(
        method,
        url.removeprefix(public_url),
        {name.lower(): value for name, value in headers.items()},
        (sent or "").encode() if content_type else b"",
    )


def verify(request: HttpRequest, *, now_s: float = NOW_S, allow_missing_body_hash: bool = False) -> Verified:
    return oauth1.verify(
        request,
        public_url=PUBLIC_URL,
        signers=[BY_SECRET, BY_KEY],
        now_s=now_s,
        allow_missing_body_hash=allow_missing_body_hash,
    )


def step_of(request: HttpRequest, *, now_s: float = NOW_S) -> str:
    with pytest.raises(SignatureRefused) as refused:
        verify(request, now_s=now_s)
    return refused.value.step


def hmac_of(base: str, consumer_secret: str, token_secret: str = "") -> str:
    """The reference's HMAC, which also knows token secrets: several published vectors have one."""
    client = Client("any", consumer_secret, resource_owner_secret=token_secret)
    return str(reference.sign_hmac_sha1_with_client(base, client))


# --- published vectors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("abcABC123", "abcABC123"),
        ("-._~", "-._~"),
        ("%", "%25"),
        ("+", "%2B"),
        ("&=*", "%26%3D%2A"),
        ("\n", "%0A"),
        (" ", "%20"),
        ("\x7f", "%7F"),
        ("\x80", "%C2%80"),
        ("\u3001", "%E3%80%81"),
    ],
)
def test_encoding_as_published(text: str, encoded: str) -> None:
    """wiki.oauth.net, TestCases, "Parameter Encoding"."""
    assert oauth1.escape(text) == encoded


@pytest.mark.parametrize(
    ("query", "normalised"),
    [
        ("name", "name="),
        ("a=b", "a=b"),
        ("a=b&c=d", "a=b&c=d"),
        ("a=x!y&a=x+y", "a=x%20y&a=x%21y"),
        ("x!y=a&x=a", "x=a&x%21y=a"),
    ],
)
def test_normalisation_as_published(query: str, normalised: str) -> None:
    """wiki.oauth.net, TestCases, "Normalize Request Parameters"."""
    assert oauth1.normalise(oauth1.parse_parameters(query)) == normalised


@pytest.mark.parametrize("url", ["http://example.com/", "http://example.com", "HTTP://EXAMPLE.com:80"])
def test_base_string_as_published(url: str) -> None:
    """wiki.oauth.net, TestCases, "Concatenate Request Elements"."""
    base = oauth1.base_string("GET", oauth1.base_string_uri(url), [("n", "v")])
    assert base == "GET&http%3A%2F%2Fexample.com%2F&n%3Dv"


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("https://Example.COM:443/A%2f/b;c?x", "https://example.com/A%2f/b;c"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("http://[0:0::1]:8080/", "http://[::1]:8080/"),
        ("http://user@h/", "http://h/"),
    ],
)
def test_the_uri_of_a_base_string(url: str, uri: str) -> None:
    assert oauth1.base_string_uri(url) == uri == reference.base_string_uri(url.partition("?")[0])


def test_the_hmac_as_published() -> None:
    """wiki.oauth.net, TestCases, "HMAC-SHA1"; ours knows no token secret, so only the first is ours to make."""
    assert base64.b64encode(oauth1._hmac_sha1("bs", "cs")).decode() == "egQqG5AJep5sJ7anhXju1unge2I="
    assert hmac_of("bs", "cs", "ts") == "VZVjXceV7JgPq/dOTnNmEfO0Fv8="


PHOTOS = "http://photos.example.net/photos"


def test_the_oauth_core_example() -> None:
    """OAuth Core 1.0, appendix A.5: our base string, signed with both secrets."""
    pairs = [
        ("file", "vacation.jpg"),
        ("size", "original"),
        ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
        ("oauth_token", "nnch734d00sl2jdk"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "1191242096"),
        ("oauth_nonce", "kllo9940pd9333jh"),
        ("oauth_version", "1.0"),
    ]
    base = oauth1.base_string("GET", oauth1.base_string_uri(PHOTOS), pairs)
    assert hmac_of(base, "kd94hf93k423kf44", "pfkkdhi9sl3r4s00") == "tR3+Ty81lMeYAr/Fid0kMTYa/WM="


RSA_VECTOR_KEY = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC0YjCwIfYoprq/FQO6lb3asXrxLlJFuCvtinTF5p0GxvQGu5O3gYytUvtC2JlYzypSRjVxwxrs"
    "uRcP3e641SdASwfrmzyvIgP08N4S0IFzEURkV1wp/IpH7kH41EtbmUmrXSwfNZsnQRE5SYSOhh+LcK2wyQkdgcMv11l4KoBkcwIDAQAB"
)
RSA_VECTOR_SIGNATURE = (
    "jvTp/wX1TYtByB1m+Pbyo0lnCOLIsyGCH7wke8AUs3BpnwZJtAuEJkvQL2/9n4s5wUmUl4aCI4BwpraNx4RtEXMe5qg5T1LVTGliMRpKasKsW//e"
    "+RinhejgCuzoH26dyF8iY2ZZ/5D1ilgeijhV/vBka5twt399mXwaYdCwFYE="
)


def test_the_rsa_vector_as_published() -> None:
    """wiki.oauth.net, TestCases, "RSA-SHA1" ("vacaction" is theirs), through the whole verifier."""
    pairs = [
        ("file", "vacaction.jpg"),
        ("size", "original"),
        ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
        ("oauth_nonce", "13917289812797014437"),
        ("oauth_signature_method", "RSA-SHA1"),
        ("oauth_timestamp", "1196666512"),
        ("oauth_version", "1.0"),
        ("oauth_signature", RSA_VECTOR_SIGNATURE),
    ]
    signer = TrustedSigner.from_key("dpf43f3p2l4k3l03", RSA_VECTOR_KEY, container="photos")
    request = HttpRequest("GET", f"/photos?{urlencode(pairs)}", {})
    verified = oauth1.verify(request, public_url="http://photos.example.net", signers=[signer], now_s=1196666512)
    assert verified.nonce == "13917289812797014437"
    assert verified.values("file") == ["vacaction.jpg"]


@pytest.mark.parametrize(
    ("method", "url", "pairs", "token_secret", "expected"),
    [
        (
            "POST",
            "https://photos.example.net/initiate",
            [
                ("oauth_timestamp", "137131200"),
                ("oauth_nonce", "wIjqoS"),
                ("oauth_callback", "http://printer.example.com/ready"),
            ],
            "",
            "74KNZJeDHnMBp0EMJ9ZHt/XKycU=",
        ),
        (
            "POST",
            "https://photos.example.net/token",
            [
                ("oauth_timestamp", "137131201"),
                ("oauth_nonce", "walatlh"),
                ("oauth_token", "hh5s93j4hdidpola"),
                ("oauth_verifier", "hfdp7dh39dks9884"),
            ],
            "hdhd0244k9j7ao03",
            "gKgrFCywp7rO0OXSjdot/IHF7IU=",
        ),
        (
            "GET",
            "http://photos.example.net/photos?file=vacation.jpg&size=original",
            [("oauth_timestamp", "137131202"), ("oauth_nonce", "chapoH"), ("oauth_token", "nnch734d00sl2jdk")],
            "pfkkdhi9sl3r4s00",
            "MdpQcU8iPSUjWoN/UDMsK2sui9I=",
        ),
    ],
)
def test_the_rfc_example(method: str, url: str, pairs: list[tuple[str, str]], token_secret: str, expected: str) -> None:
    """RFC 5849, section 1.2, its three requests."""
    pairs = [
        *oauth1.parse_parameters(url.partition("?")[2]),
        *pairs,
        ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
        ("oauth_signature_method", "HMAC-SHA1"),
    ]
    base = oauth1.base_string(method, oauth1.base_string_uri(url), pairs)
    assert hmac_of(base, "kd94hf93k423kf44", token_secret) == expected


def test_the_rfc_base_string() -> None:
    """RFC 5849, section 3.4.1. (The signature printed there does not follow from the secrets printed beside it.)"""
    pairs = [
        *oauth1.parse_parameters("b5=%3D%253D&a3=a&c%40=&a2=r%20b"),
        *oauth1.parse_parameters("c2&a3=2+q"),
        ("oauth_consumer_key", "9djdj82h48djs9d2"),
        ("oauth_token", "kkk9d7dh3k39sjv7"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131201"),
        ("oauth_nonce", "7d8f3e4a"),
    ]
    base = oauth1.base_string("POST", "http://example.com/request", pairs)
    assert base == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26"
        "c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26"
        "oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
    )
    assert hmac_of(base, "j49sk3j29djd", "dh893hdasih9") == "r6/TJjbCOr97/+UU0NsvSne7s5g="


def test_body_hashes_as_published() -> None:
    assert oauth1.body_hash(b"") == "2jmj7l5rSw0yVb/vlWAYkK/YBwk="
    assert oauth1.body_hash(b"Hello World!") == "Lve95gjOVATpfV8EL5X4nxwjKHE="


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
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from(ALPHABET)) + text[at + data.draw(st.integers(0, 1)) :]
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


@given(st.text(max_size=60), st.binary(max_size=20))
def test_anything_else_is_refused(query: str, body: bytes) -> None:
    with pytest.raises(SignatureRefused):
        verify(HttpRequest("POST", f"/x?{query}", {"content-type": FORM}, body))


# --- whom we trust --------------------------------------------------------------------------------------------------


def certificate(*, days_ago: int = 5000) -> str:
    """Self-signed, of 1024 bits, expired long ago: as Orkut's own."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lryan")])
    begins = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days_ago)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(RSA_KEY.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=365))
        .sign(RSA_KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


def test_a_key_from_an_expired_certificate() -> None:
    signer = TrustedSigner.from_key("orkut.com", certificate(), container="orkut")
    request = container_signed(rsa_key=RSA_PEM, consumer_key="orkut.com")
    assert oauth1.verify(request, public_url=PUBLIC_URL, signers=[signer], now_s=NOW_S).signer is signer


def test_unusable_keys() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    elliptic = curve.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    for key in (
        "",
        "nonsense",
        "AAAA",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        RSA_PEM,
        elliptic,
    ):
        with pytest.raises(BadSettings):
            TrustedSigner.from_key("orkut.com", key, container="orkut")
    with pytest.raises(BadSettings):
        TrustedSigner.from_secret(KEY, "", container="orkut")
    with pytest.raises(BadSettings):
        TrustedSigner("", oauth1.SignatureMethod.HMAC_SHA1, "orkut", secret="x")
    with pytest.raises(BadSettings):
        TrustedSigner("k", oauth1.SignatureMethod.RSA_SHA1, "orkut", secret="x")


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
