"""An identity provider for tests, by the sandbox's own hands, and who it and we are."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from lxml import etree

from homeserver.protocol.saml_metadata import IdentityProvider, ServiceProvider
from homeserver.sandbox.saml import IdentityProviderStandIn
from homeserver.sandbox.saml_answers import Answer, SigningKey, posted, simple_signed
from homeserver.sandbox.tokens import Tokens

NOW_MS = 1_795_348_800_000
"""2026-11-22T12:00:00Z"""
TOKEN = "B64+/++AAAA=|sau=3|ted=1795352400|abcdefghijklmnopqrstuvwxyz0="
REQUEST_ID = "_request"
IDP = "http://auth.orange.fr"
SERVICE = ServiceProvider("https://home.example/sign-in/metadata", "https://home.example/sign-in/answer")
GOOD = Answer(
    issuer=IDP,
    audience=SERVICE.entity_id,
    acs_url=SERVICE.acs_url,
    request_id=REQUEST_ID,
    name_id="f92cc1834efc0f73e9c09f482fce80037a6251e7",
    now_ms=NOW_MS,
    attributes={"OrangeAPIToken": TOKEN},
)


@cache
def key(number: int) -> SigningKey:
    """One of several; 0 is the identity provider's. Its certificate ended in 2018."""
    return SigningKey.of(generate_private_key(public_exponent=65537, key_size=2048))


def provider(*numbers: int) -> IdentityProvider:
    """The identity provider with these keys pinned."""
    return IdentityProvider(IDP, f"{IDP}/sso", tuple(key(number).certificate for number in numbers or (0,)))


def metadata_file(folder: Path) -> Path:
    """A file that says who the identity provider is, as the settings name it."""
    tokens = Tokens(key=b"k", now_ms=lambda: NOW_MS, lifetime_ms=1)
    stand_in = IdentityProviderStandIn(
        "http://127.0.0.1:9", tokens, key=key(0).private, secret=b"s", now_ms=lambda: NOW_MS
    )
    path = folder / "sign-in.xml"
    path.write_bytes(stand_in.metadata())
    return path


def signed(
    answer: Answer = GOOD, /, *, assertion: bool = True, response: bool = False, sha1: bool = False, number: int = 0
) -> etree._Element:
    """The document, signed with one of the keys."""
    return answer.signed(key(number), assertion=assertion, response=response, sha1=sha1)


def form(document: etree._Element | bytes) -> dict[str, str]:
    """As a browser posts it."""
    return posted(document, "state")


def detached(
    document: etree._Element, *, sha1: bool = False, number: int = 0, relay_state: str | None = "state"
) -> dict[str, str]:
    """As a browser posts it by SimpleSign."""
    return simple_signed(document, relay_state, key(number), sha1=sha1)
