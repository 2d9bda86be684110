"""The identity provider's metadata, and ours."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from homeserver.errors import BadSettings
from homeserver.protocol.saml_metadata import (
    IdentityProvider,
    ServiceProvider,
    metadata,
    read_certificates,
    read_metadata,
)
from tests.saml_kit import SERVICE, key

DER = base64.b64encode(key(0).certificate.public_bytes(Encoding.DER)).decode()
NS = (
    'xmlns="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" '
    'xmlns:x="urn:example:other"'
)


def key_descriptor(use: str = ' use="signing"', certificate: str = DER) -> str:
    return (
        f"<KeyDescriptor{use}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n {certificate} \n</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo></KeyDescriptor>"
    )


def described(entity_id: str = "http://auth.orange.fr", keys: str = "", services: str | None = None) -> str:
    """In the form of the service's published metadata."""
    redirect = (
        '<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
        'Location="http://auth.orange.fr/sso"/>'
    )
    return (
        f'<EntityDescriptor {NS} entityID="{entity_id}"><IDPSSODescriptor WantAuthnRequestsSigned="false" '
        'protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" errorURL="http://www.orange.fr/">'
        f"{keys or key_descriptor()}<x:Extension/>{redirect if services is None else services}"
        "</IDPSSODescriptor></EntityDescriptor>"
    )


def test_metadata_as_the_service_publishes_it() -> None:
    provider = read_metadata(described().encode())
    assert (provider.entity_id, provider.sso_url) == ("http://auth.orange.fr", "http://auth.orange.fr/sso")
    assert provider.certificates == (key(0).certificate,)


def test_several_keys_and_one_that_is_not_for_signing() -> None:
    second = base64.b64encode(key(1).certificate.public_bytes(Encoding.DER)).decode()
    keys = key_descriptor() + key_descriptor("", second) + key_descriptor(' use="encryption"', "none of ours")
    assert read_metadata(described(keys=keys).encode()).certificates == (key(0).certificate, key(1).certificate)


def test_one_of_several_providers() -> None:
    both = f"<EntitiesDescriptor {NS}>{described()}{described('http://auth-int.orange.fr')}</EntitiesDescriptor>"
    assert read_metadata(both.encode(), "http://auth-int.orange.fr").entity_id == "http://auth-int.orange.fr"
    with pytest.raises(BadSettings, match="describes 2 identity providers"):
        read_metadata(both.encode())


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "not XML"),
        ("<a/>", "describes 0"),
        ("<!DOCTYPE a []>" + described(), "DTD"),
        (described(services=""), "no address for sign-ins"),
        (described(keys=key_descriptor(certificate="AAAA")), "certificate in the metadata cannot be read"),
        (described(keys="<x:none/>"), "has an entity id, an address for sign-ins, and a certificate"),
        (described(entity_id=""), "has an entity id"),
        (" " * 1_048_577, "more than 1048576 bytes"),
    ],
)
def test_what_cannot_be_used_is_named(document: str, said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        read_metadata(document.encode())


def test_keys_too_weak_or_of_another_kind() -> None:
    name = x509.Name([])
    for private in (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256R1())):
        begins, ends = key(0).certificate.not_valid_before_utc, key(0).certificate.not_valid_after_utc
        builder = x509.CertificateBuilder(name, name, private.public_key(), 1, begins, ends)
        certificate = builder.sign(private, hashes.SHA256())
        if isinstance(private, rsa.RSAPrivateKey):
            assert IdentityProvider("x", "y", (certificate,)).certificates  # the service's own is of that age
        else:
            with pytest.raises(BadSettings, match="RSA"):
                IdentityProvider("x", "y", (certificate,))


def test_certificates_in_a_file() -> None:
    pem = b"".join(key(number).certificate.public_bytes(Encoding.PEM) for number in (0, 1))
    assert read_certificates(pem) == (key(0).certificate, key(1).certificate)
    with pytest.raises(BadSettings):
        read_certificates(b"nothing")


def test_our_own_metadata() -> None:
    root = etree.fromstring(metadata(ServiceProvider("https://a.example/?x=1&y", SERVICE.acs_url)))
    assert root.get("entityID") == "https://a.example/?x=1&y"
    services = root.findall(".//{*}AssertionConsumerService")
    assert [(each.get("index"), each.get("isDefault"), each.get("Location")) for each in services] == [
        ("0", "true", SERVICE.acs_url),
        ("1", None, SERVICE.acs_url),
    ]
    assert [(each.get("Binding") or "").rpartition(":")[2] for each in services] == [
        "HTTP-POST",
        "HTTP-POST-SimpleSign",
    ]
