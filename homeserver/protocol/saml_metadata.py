"""Who the two sides of a SAML sign-in are: the identity provider that we trust, and we ourselves.

Source: Metadata for SAML V2.0 (OASIS, 2005).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import quoteattr

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from lxml import etree

from homeserver.errors import BadSettings

PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
SIMPLE_SIGN: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST-SimpleSign"
REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"

MAX_METADATA_BYTES: Final = 1024 * 1024
SMALLEST_KEY_BITS: Final = 1024
"""The service's certificate of 2008 is of that age."""

_METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
_DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
_PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """Who vouches for people. Its keys are pinned; several while they are changed."""

    entity_id: str
    sso_url: str
    """Where a request goes, by HTTP-Redirect."""
    certificates: tuple[x509.Certificate, ...]

    def __post_init__(self) -> None:
        if not self.entity_id or not self.sso_url or not self.certificates:
            raise BadSettings("an identity provider has an entity id, an address for sign-ins, and a certificate")
        for certificate in self.certificates:
            key = certificate.public_key()
            if not isinstance(key, RSAPublicKey) or key.key_size < SMALLEST_KEY_BITS:
                raise BadSettings(f"an identity provider's key must be RSA with at least {SMALLEST_KEY_BITS} bits")


@dataclass(frozen=True, slots=True)
class ServiceProvider:
    """We: our name, and where answers are posted."""

    entity_id: str
    acs_url: str


def read_metadata(document: bytes, entity_id: str | None = None) -> IdentityProvider:
    """The identity provider that a metadata document describes.

    Args:
        entity_id: Which one, where the document describes several.

    Raises:
        BadSettings: Not metadata, or not of exactly one identity provider that has what we need; in words.
    """
    if len(document) > MAX_METADATA_BYTES:
        raise BadSettings(f"the metadata has more than {MAX_METADATA_BYTES} bytes")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadSettings("the metadata is not XML") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadSettings("the metadata has a DTD")
    found = [
        (entity, role)
        for entity in root.iter(f"{{{_METADATA}}}EntityDescriptor")
        if entity_id is None or entity.get("entityID") == entity_id
        for role in entity.findall(f"{{{_METADATA}}}IDPSSODescriptor")
    ]
    if len(found) != 1:
        raise BadSettings(f"the metadata describes {len(found)} identity providers, where one is due")
    entity, role = found[0]
    addresses = [
        service.get("Location", "")
        for service in role.findall(f"{{{_METADATA}}}SingleSignOnService")
        if service.get("Binding") == REDIRECT
    ]
    if not addresses:
        raise BadSettings("the metadata names no address for sign-ins by HTTP-Redirect")
    return IdentityProvider(entity.get("entityID", ""), addresses[0], _certificates(role))


def _certificates(role: etree._Element) -> tuple[x509.Certificate, ...]:
    """Those of the keys for signing: all that are not said to be for encryption."""
    texts = [
        certificate.text or ""
        for key in role.findall(f"{{{_METADATA}}}KeyDescriptor")
        if key.get("use", "signing") == "signing"
        for certificate in key.iter(f"{{{_DSIG}}}X509Certificate")
    ]
    try:
        return tuple(x509.load_der_x509_certificate(base64.b64decode("".join(text.split()))) for text in texts)
    except (binascii.Error, ValueError) as error:
        raise BadSettings("a certificate in the metadata cannot be read") from error


def read_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file.

    Raises:
        BadSettings: There is none in it.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise BadSettings("no certificate in PEM form") from error


def metadata(service: ServiceProvider, bindings: Sequence[str] = (POST, SIMPLE_SIGN)) -> bytes:
    """Our own description, for the identity provider's operators."""
    consumers = "".join(
        f"<md:AssertionConsumerService Binding={quoteattr(binding)} Location={quoteattr(service.acs_url)} "
        f'index="{index}"{" isDefault=" + chr(34) + "true" + chr(34) if not index else ""}/>'
        for index, binding in enumerate(bindings)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<md:EntityDescriptor xmlns:md="{_METADATA}" entityID={quoteattr(service.entity_id)}>'
        f'<md:SPSSODescriptor AuthnRequestsSigned="false" WantAssertionsSigned="true" '
        f'protocolSupportEnumeration="{_PROTOCOL}"><md:NameIDFormat>{PERSISTENT}</md:NameIDFormat>'
        f"{consumers}</md:SPSSODescriptor></md:EntityDescriptor>\n"
    ).encode()
