"""The storage's sign-in: an identity provider of SAML 2.0 Web SSO, as its published metadata describes it.

A request comes by HTTP-Redirect, unsigned; people choose who they are; the answer goes by the browser to the site that
asked, by HTTP-POST or POST-SimpleSign. The persistent identifier differs from site to site. The token for the Personal
APIs comes only to a site that asks for it, by a parameter that its customers are told (here `API_PARAMETER`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import zlib
from collections import deque
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final
from xml.sax.saxutils import quoteattr

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from homeserver.model import NowMs
from homeserver.sandbox.mesdonnees_space import StorageUser
from homeserver.sandbox.saml_answers import SAML, SAMLP, Answer, SigningKey, posted, simple_signed
from homeserver.sandbox.settings import new_signing_key
from homeserver.sandbox.tokens import Tokens

PATH: Final = "/mesdonnees/sso"
API_PARAMETER: Final = "personalApi"
"""Asks for the token; its value does not matter."""
TOKEN_ATTRIBUTE: Final = "OrangeAPIToken"  # noqa: S105 - a name
NAME_ATTRIBUTE: Final = "displayName"
MAX_REQUEST_BYTES: Final = 16 * 1024


class Style(StrEnum):
    """How answers are signed."""

    ASSERTION = "assertion"
    RESPONSE = "response"
    BOTH = "both"
    SIMPLE_SIGN = "simple-sign"


class Wrong(StrEnum):
    """What can be wrong with one answer. Written as a fault's `effect`: `saml=audience`."""

    AUDIENCE = "audience"
    EXPIRED = "expired"
    EARLY = "early"
    REPLAYED = "replayed"
    UNSOLICITED = "unsolicited"
    KEY = "key"
    WRAPPED = "wrapped"
    COMMENT = "comment"
    TWO_ASSERTIONS = "two-assertions"
    SHA1 = "sha1"
    CANCELLED = "cancelled"
    NO_TOKEN = "no-token"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """What a site asks for."""

    id: str
    issuer: str
    acs_url: str
    wants_token: bool


class BadRequest(Exception):
    """The request cannot be answered; the message says why."""


class IdentityProviderStandIn:
    """Reads requests and makes answers; the pages are in `mesdonnees_pages.py`.

    Attributes:
        style: How answers are signed; tests change it.
        sha1: Sign with RSA-SHA1, as the service of 2008 did.
        requests: The last ones that were read.
    """

    def __init__(self, public_url: str, tokens: Tokens, *, key: RSAPrivateKey | None, secret: bytes, now_ms: NowMs):
        self.public_url = public_url
        self.style = Style.ASSERTION
        self.sha1 = False
        self.requests: deque[SignInRequest] = deque(maxlen=100)
        self._tokens = tokens
        self._private = key
        self._secret = secret
        self._now_ms = now_ms
        self._last_id = ""

    @property
    def entity_id(self) -> str:
        return f"{self.public_url}/mesdonnees"

    @property
    def sso_url(self) -> str:
        return f"{self.public_url}{PATH}"

    @cached_property
    def key(self) -> SigningKey:
        return SigningKey.of(self._private or new_signing_key())

    def metadata(self) -> bytes:
        """What a site has to know about it."""
        certificate = base64.b64encode(self.key.certificate.public_bytes(Encoding.DER)).decode()
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" '
            f"entityID={quoteattr(self.entity_id)}>\n"
            f'<IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="{SAMLP}">\n'
            '<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data>'
            f"<X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>\n"
            "<NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</NameIDFormat>\n"
            '<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
            f"Location={quoteattr(self.sso_url)}/>\n"
            "</IDPSSODescriptor>\n</EntityDescriptor>\n"
        ).encode()

    def read(self, query: Mapping[str, str]) -> SignInRequest:
        """The request in an address's query, or in the fields of our own sign-in form.

        Raises:
            BadRequest: It is none, or is not for us.
        """
        root = _inflated(query.get("SAMLRequest", ""))
        issuer = root.findtext(f"{{{SAML}}}Issuer") or ""
        if root.tag != f"{{{SAMLP}}}AuthnRequest" or root.get("Version") != "2.0" or not issuer:
            raise BadRequest("it is no AuthnRequest of SAML 2.0")
        if root.get("Destination", self.sso_url) != self.sso_url:
            raise BadRequest("it is meant for another address")
        identifier, acs_url = root.get("ID", ""), root.get("AssertionConsumerServiceURL", "")
        if not identifier[:1].isalpha() and identifier[:1] != "_":
            raise BadRequest("its ID is no NCName")
        request = SignInRequest(identifier, issuer, acs_url, API_PARAMETER in query)
        self.requests.append(request)
        return request

    def name_id(self, user: StorageUser, issuer: str) -> str:
        """Opaque, the same each time, another one for each site."""
        return hmac.digest(self._secret, f"{issuer}\0{user.id}".encode(), hashlib.sha1).hex()

    def answer(
        self, request: SignInRequest, user: StorageUser, relay_state: str | None, wrong: str = ""
    ) -> dict[str, str]:
        """The fields of the form that the browser posts to the site.

        Args:
            wrong: One of `Wrong`, or nothing.
        """
        attributes = {NAME_ATTRIBUTE: user.name}
        if request.wants_token and wrong != Wrong.NO_TOKEN:
            attributes[TOKEN_ATTRIBUTE] = self._tokens.issue(user.id)
        fresh_id = f"_{secrets.token_hex(16)}"
        said = _with(
            Answer(
                issuer=self.entity_id,
                audience=request.issuer,
                acs_url=request.acs_url,
                request_id=request.id,
                name_id=self.name_id(user, request.issuer),
                now_ms=self._now_ms(),
                attributes=attributes,
                assertion_id=self._last_id if wrong == Wrong.REPLAYED and self._last_id else fresh_id,
            ),
            wrong,
        )
        self._last_id = said.assertion_id
        key = SigningKey.of(new_signing_key()) if wrong == Wrong.KEY else self.key
        sha1 = self.sha1 or wrong == Wrong.SHA1
        if self.style is Style.SIMPLE_SIGN and wrong not in {Wrong.WRAPPED, Wrong.COMMENT, Wrong.TWO_ASSERTIONS}:
            return simple_signed(said.document(), relay_state, key, sha1=sha1)
        document = said.signed(
            key,
            assertion=self.style is not Style.RESPONSE,
            response=self.style in {Style.RESPONSE, Style.BOTH},
            sha1=sha1,
        )
        return posted(_tampered(document, said, wrong), relay_state)


def _inflated(text: str) -> etree._Element:
    try:
        packed = base64.b64decode(text, validate=True)
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        raw = inflater.decompress(packed, MAX_REQUEST_BYTES)
        if not raw or not inflater.eof:
            raise BadRequest("it is empty, cut off, or too long")
        return etree.fromstring(raw, etree.XMLParser(resolve_entities=False, no_network=True))
    except (binascii.Error, ValueError, zlib.error, etree.XMLSyntaxError):
        raise BadRequest("it cannot be read") from None


def _with(answer: Answer, wrong: str) -> Answer:
    match wrong:
        case Wrong.AUDIENCE:
            return answer.but(audience="https://another.example")
        case Wrong.EXPIRED:
            return answer.but(now_ms=answer.now_ms - 3_600_000)
        case Wrong.EARLY:
            return answer.but(now_ms=answer.now_ms + 3_600_000, begins_ms=0)
        case Wrong.UNSOLICITED:
            return answer.but(request_id=None)
        case Wrong.CANCELLED:
            return answer.but(status="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed")
        case _:
            return answer


def _tampered(document: etree._Element, answer: Answer, wrong: str) -> etree._Element | bytes:
    """As an attacker would change a good answer on its way, who wants to be somebody else."""
    evil = answer.but(name_id="somebody-else", assertion_id="_evil").document()[2]
    match wrong:
        case Wrong.WRAPPED:
            genuine = document[2]
            document.replace(genuine, evil)
            evil.append(deepcopy(genuine))
            return document
        case Wrong.COMMENT:
            half = len(answer.name_id) // 2
            name = answer.name_id
            return etree.tostring(document).replace(name.encode(), f"{name[:half]}<!---->{name[half:]}".encode())
        case Wrong.TWO_ASSERTIONS:
            document.insert(2, evil)
            return document
        case _:
            return document
