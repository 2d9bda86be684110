"""OAuth 1.0: what others published of encodings, base strings and signatures."""

from __future__ import annotations

import base64
from urllib.parse import urlencode

import pytest
from oauthlib.oauth1 import Client
from oauthlib.oauth1.rfc5849 import signature as reference

from homeserver.model import HttpRequest
from homeserver.protocol import oauth1
from homeserver.protocol.oauth1 import TrustedSigner


def hmac_of(base: str, consumer_secret: str, token_secret: str = "") -> str:
    """The reference's HMAC, which also knows token secrets: several published vectors have one."""
    client = Client("any", consumer_secret, resource_owner_secret=token_secret)
    return str(reference.sign_hmac_sha1_with_client(base, client))


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


def test_a_post_with_a_form_and_a_query() -> None:
    """Twitter's published example, of the first version of its API: a query and a form together."""
    pairs = [
        *oauth1.parse_parameters("include_entities=true"),
        *oauth1.parse_parameters("status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21"),
        ("oauth_consumer_key", "xvz1evFS4wEEPTGEFPHBog"),
        ("oauth_nonce", "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "1318622958"),
        ("oauth_token", "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"),
        ("oauth_version", "1.0"),
    ]
    base = oauth1.base_string("post", "https://api.twitter.com/1/statuses/update.json", pairs)
    secrets = ("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE")
    assert hmac_of(base, *secrets) == "tnnArxj06cWHq44gCs1OSKk/jLY="
