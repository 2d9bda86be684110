"""The keys that may sign calls to us. Source: OpenSocial's gadgets.io, "Validating signed requests"."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from homeserver.errors import BadSettings

_SMALLEST_KEY_BITS: Final = 1024


class SignatureMethod(StrEnum):
    """How a request may be signed here."""

    RSA_SHA1 = "RSA-SHA1"
    HMAC_SHA1 = "HMAC-SHA1"


@dataclass(frozen=True, slots=True)
class TrustedSigner:
    """A key that may sign calls to us, and the one container that it speaks for.

    A consumer key is bound to its method, so that nobody can pass off a public certificate as an HMAC secret, and to
    its key name where `key_name` is given (`xoauth_signature_publickey`); without one every name is accepted.
    """

    consumer_key: str
    method: SignatureMethod
    container: str
    key_name: str | None = None
    public_key: RSAPublicKey | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    own_app_only: bool = False
    """This consumer key signs for our application alone, so a call that names no application is ours."""

    def __post_init__(self) -> None:
        rsa = self.method is SignatureMethod.RSA_SHA1
        if not self.consumer_key or (self.public_key is not None) is not rsa or bool(self.secret) is rsa:
            raise BadSettings(
                "a trusted signer needs a consumer key, and a public key (RSA-SHA1) or a secret (HMAC-SHA1)"
            )

    @classmethod
    def from_secret(
        cls, consumer_key: str, secret: str, *, container: str, key_name: str | None = None, own_app_only: bool = False
    ) -> Self:
        """A signer with HMAC-SHA1.

        Raises:
            BadSettings: The key or the secret is empty.
        """
        return cls(consumer_key, SignatureMethod.HMAC_SHA1, container, key_name, None, secret, own_app_only)

    @classmethod
    def from_key(
        cls, consumer_key: str, key: str, *, container: str, key_name: str | None = None, own_app_only: bool = False
    ) -> Self:
        """A signer with RSA-SHA1, from a certificate or a bare public key.

        Args:
            key: PEM (`CERTIFICATE`, `PUBLIC KEY` or `RSA PUBLIC KEY`), or the base64 of a bare public key alone. The
                key is pinned: a certificate's dates, names and chain are not looked at. (Orkut's expired in 2009.)

        Raises:
            BadSettings: Not an RSA key of at least 1024 bits.
        """
        return cls(consumer_key, SignatureMethod.RSA_SHA1, container, key_name, _load_key(key), None, own_app_only)


def _load_key(text: str) -> RSAPublicKey:
    content = text.strip().encode()
    key: object
    try:
        if b"-----BEGIN CERTIFICATE-----" in content:
            key = x509.load_pem_x509_certificate(content).public_key()
        elif b"-----BEGIN" in content:
            key = load_pem_public_key(content)
        else:
            key = load_der_public_key(b64decode(b"".join(content.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadSettings("a trusted signer's key is neither a PEM certificate nor a PEM public key") from error
    if not isinstance(key, RSAPublicKey) or key.key_size < _SMALLEST_KEY_BITS:
        raise BadSettings(f"a trusted signer's key must be RSA with at least {_SMALLEST_KEY_BITS} bits")
    return key
