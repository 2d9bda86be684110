"""Whose keys are trusted: from a certificate or a bare key, by consumer key and key name."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from homeserver.errors import BadSettings, SignatureRefused
from homeserver.protocol import oauth1
from homeserver.protocol.oauth1 import TrustedSigner
from tests.signed_calls import (
    IDENTITY,
    KEY,
    NOW_S,
    PUBLIC_PEM,
    PUBLIC_URL,
    RSA_KEY,
    RSA_PEM,
    container_signed,
)


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


def another_key() -> tuple[str, str]:
    """A private key and its public one, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def test_a_key_is_chosen_by_consumer_key_and_key_name() -> None:
    """A container that changes its key says by name which one it signed with; other containers have names of theirs."""
    other_private, other_public = another_key()
    signers = [
        TrustedSigner.from_key("orkut.com", PUBLIC_PEM, container="orkut", key_name="old.cer"),
        TrustedSigner.from_key("orkut.com", other_public, container="orkut", key_name="new.cer"),
        TrustedSigner.from_key("hi5.com", other_public, container="hi5", key_name="old.cer"),
    ]

    def container_of(consumer_key: str, name: str, private: str) -> str:
        request = container_signed(
            pairs=[*IDENTITY, ("xoauth_signature_publickey", name)], rsa_key=private, consumer_key=consumer_key
        )
        return oauth1.verify(request, public_url=PUBLIC_URL, signers=signers, now_s=NOW_S).call.container

    assert container_of("orkut.com", "old.cer", RSA_PEM) == "orkut"
    assert container_of("orkut.com", "new.cer", other_private) == "orkut"
    assert container_of("hi5.com", "old.cer", other_private) == "hi5"
    for consumer_key, name, private, step in (
        ("orkut.com", "new.cer", RSA_PEM, "wrong signature"),
        ("orkut.com", "old.cer", other_private, "wrong signature"),
        ("hi5.com", "old.cer", RSA_PEM, "wrong signature"),
        ("hi5.com", "new.cer", other_private, "unknown key name"),
    ):
        with pytest.raises(SignatureRefused) as refused:
            container_of(consumer_key, name, private)
        assert refused.value.step == step


def test_a_bare_public_key_of_1024_bits() -> None:
    """In PEM, and as its base64 alone."""
    assert RSA_KEY.key_size == 1024
    bare = "".join(line for line in PUBLIC_PEM.splitlines() if not line.startswith("-----"))
    request = container_signed(rsa_key=RSA_PEM, consumer_key="orkut.com")
    for key in (PUBLIC_PEM, bare, certificate(days_ago=400)):
        signer = TrustedSigner.from_key("orkut.com", key, container="orkut")
        assert oauth1.verify(request, public_url=PUBLIC_URL, signers=[signer], now_s=NOW_S).signer is signer
