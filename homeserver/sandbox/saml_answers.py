"""Answers of a SAML identity provider, right or wrong in one thing, signed in every way that the bindings know.

Source: SAML V2.0 core and bindings (OASIS, 2005), HTTP POST "SimpleSign" (OASIS, 2008).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self
from xml.sax.saxutils import escape, quoteattr

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.signer import XMLSigner

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
RSA_SHA1: Final = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
RSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and the certificate that shows it."""

    private: RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate

    @classmethod
    def of(cls, private: RSAPrivateKey) -> Self:
        """With a certificate that ended long ago, as that of the service itself."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authentication API")])
        begins, ends = datetime(2008, 2, 21, tzinfo=UTC), datetime(2018, 2, 18, tzinfo=UTC)
        builder = x509.CertificateBuilder(name, name, private.public_key(), 1, begins, ends)
        return cls(private, builder.sign(private, hashes.SHA256()))


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says. Whoever wants a wrong one replaces what should be wrong. Times are milliseconds."""

    issuer: str
    audience: str | None
    acs_url: str
    request_id: str | None
    name_id: str
    now_ms: int
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)
    response_issuer: str | None = None
    """As `issuer` where it is None."""
    destination: str | None = ""
    """As `acs_url` where it is empty; None leaves it out."""
    response_to: str | None = ""
    """Of the response; as `request_id` where it is empty."""
    begins_ms: int = -5_000
    """From now on, as all of these."""
    ends_ms: int = 300_000
    confirmed_until_ms: int = 300_000
    session_until_ms: int | None = None
    name_format: str = PERSISTENT
    status: str = SUCCESS
    assertion_id: str = "_assertion"

    def but(self, **changes: Any) -> Answer:
        """The same with these changes."""
        return replace(self, **changes)

    def document(self) -> etree._Element:
        """The response, unsigned."""
        destination = self.acs_url if self.destination == "" else self.destination
        response_to = self.request_id if self.response_to == "" else self.response_to
        session = None if self.session_until_ms is None else self._at(self.session_until_ms)
        attributes = "".join(
            f"<saml:Attribute Name={quoteattr(name)}><saml:AttributeValue>{escape(value)}</saml:AttributeValue>"
            "</saml:Attribute>"
            for name, value in self.attributes.items()
        )
        audience = "" if self.audience is None else f"<saml:Audience>{escape(self.audience)}</saml:Audience>"
        restriction = f"<saml:AudienceRestriction>{audience}</saml:AudienceRestriction>" if audience else ""
        return etree.fromstring(
            f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="_response" Version="2.0" '
            f'IssueInstant="{self._at(0)}"{_optional("Destination", destination)}'
            f"{_optional('InResponseTo', response_to)}>"
            f"<saml:Issuer>{escape(self.response_issuer or self.issuer)}</saml:Issuer>"
            f"<samlp:Status><samlp:StatusCode Value={quoteattr(self.status)}/></samlp:Status>"
            f'<saml:Assertion ID={quoteattr(self.assertion_id)} Version="2.0" IssueInstant="{self._at(0)}">'
            f"<saml:Issuer>{escape(self.issuer)}</saml:Issuer>"
            f"<saml:Subject><saml:NameID Format={quoteattr(self.name_format)}>{escape(self.name_id)}</saml:NameID>"
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
            f"<saml:SubjectConfirmationData Recipient={quoteattr(self.acs_url)}"
            f"{_optional('InResponseTo', self.request_id)} "
            f'NotOnOrAfter="{self._at(self.confirmed_until_ms)}"/></saml:SubjectConfirmation></saml:Subject>'
            f'<saml:Conditions NotBefore="{self._at(self.begins_ms)}" NotOnOrAfter="{self._at(self.ends_ms)}">'
            f"{restriction}</saml:Conditions>"
            f'<saml:AuthnStatement AuthnInstant="{self._at(0)}"{_optional("SessionNotOnOrAfter", session)}>'
            "<saml:AuthnContext><saml:AuthnContextClassRef>"
            "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
            "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
            f"<saml:AttributeStatement>{attributes}</saml:AttributeStatement></saml:Assertion></samlp:Response>"
        )

    def signed(
        self, key: SigningKey, *, assertion: bool = True, response: bool = False, sha1: bool = False
    ) -> etree._Element:
        """The response with XML signatures. The assertion's is made first, as the response's covers it."""
        root = self.document()
        if assertion:
            sign(root[2], key, sha1=sha1)
        if response:
            sign(root, key, sha1=sha1)
        return root

    def _at(self, ms: int) -> str:
        return (_EPOCH + timedelta(milliseconds=self.now_ms + ms)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _optional(name: str, value: str | None) -> str:
    return "" if value is None else f" {name}={quoteattr(value)}"


class _Signer(XMLSigner):
    """Signs with SHA-1 too, as services of 2008 do."""

    def check_deprecated_methods(self) -> None:
        """All are admitted here."""


def sign(element: etree._Element, key: SigningKey, *, sha1: bool = False) -> None:
    """Sign an element of a response in place; the signature follows its Issuer, as the schema has it."""
    signer = _Signer(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=SignatureMethod.RSA_SHA1 if sha1 else SignatureMethod.RSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA1 if sha1 else DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signed = signer.sign(
        deepcopy(element),
        key=key.private,
        cert=[key.certificate],
        reference_uri=f"#{element.get('ID')}",
        id_attribute="ID",
    )
    signature = signed.find(f"{{{DS}}}Signature")
    if signature is None:
        raise RuntimeError("the library left no signature")
    element[0].addnext(signature)


def posted(document: etree._Element | bytes, relay_state: str | None) -> dict[str, str]:
    """The fields of the form by which a browser brings it."""
    raw = document if isinstance(document, bytes) else etree.tostring(document)
    fields = {"SAMLResponse": base64.b64encode(raw).decode()}
    return fields if relay_state is None else {**fields, "RelayState": relay_state}


def simple_signed(
    document: etree._Element, relay_state: str | None, key: SigningKey, *, sha1: bool = False
) -> dict[str, str]:
    """The same with a detached signature over the fields' plain texts."""
    algorithm = RSA_SHA1 if sha1 else RSA_SHA256
    relay = "" if relay_state is None else f"&RelayState={relay_state}"
    octets = b"SAMLResponse=" + etree.tostring(document) + f"{relay}&SigAlg={algorithm}".encode()
    digest = hashes.SHA1() if sha1 else hashes.SHA256()  # noqa: S303 - the service is of 2008
    signature = base64.b64encode(key.private.sign(octets, PKCS1v15(), digest)).decode()
    return {**posted(document, relay_state), "SigAlg": algorithm, "Signature": signature}
