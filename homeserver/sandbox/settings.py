"""What the sandbox is told when it starts, and the keys that it makes for itself."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from homeserver.model import NowMs
from homeserver.sandbox.files import kept

SIGNING_KEY_BITS: Final = 2048


def wall_clock_ms() -> int:
    """The machine's clock, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_signing_key() -> rsa.RSAPrivateKey:
    """A fresh RSA key for the container's signatures (about a tenth of a second)."""
    return rsa.generate_private_key(public_exponent=65537, key_size=SIGNING_KEY_BITS)


def load_or_create_signing_key(path: Path) -> rsa.RSAPrivateKey:
    """The key in `path` (PEM, PKCS#8), made there on the first call and readable by its owner only.

    Keeping it lets a sandbox restart without its trusting servers having to learn a new certificate.

    Raises:
        ValueError: The file holds something other than an unencrypted RSA private key.
        OSError: It cannot be read or written.
    """
    loaded = load_pem_private_key(kept(path, _new_pem), password=None)
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise ValueError(f"{path} holds no RSA private key")  # noqa: TRY004 - the file's content is at fault
    return loaded


def _new_pem() -> bytes:
    return new_signing_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Everything that the stand-ins need to know. URLs are without a slash at their end.

    The credentials are a sandbox's, yet no `repr` shows them: code that prints settings is the same everywhere.
    """

    public_url: str = "http://localhost:8081"
    """Where browsers and the home server reach this sandbox; a loopback name."""
    seed: int = 1
    """Decides people, friendships and scores, and the keys that must survive a restart."""
    now_ms: NowMs = wall_clock_ms

    # --- the container
    consumer_key: str = "sandbox.example:623061448914"
    consumer_secret: str = field(default="sandbox-consumer-secret", repr=False)
    gadget_url: str = "http://127.0.0.1:8080/gadget.xml"
    """The application's address: the URL of its specification. The home server's origin is read off it."""
    app_id: str = "623061448914"
    container_domain: str = "sandbox.example"
    """`oauth_consumer_key` of calls signed with RSA-SHA1."""
    signing_key: rsa.RSAPrivateKey = field(default_factory=new_signing_key, repr=False)
    key_name: str = "pub.sandbox.cer"
    """`xoauth_signature_publickey`, and the certificate's file name."""
    offline: bool = True
    """Whether the home server may read and write for people who have not opened the gadget lately."""
    online_for_ms: int = 30 * 60 * 1000
    """How long somebody counts as running the application after opening it; matters where `offline` is False."""

    # --- the storage
    service_id: str = "sandbox-service"
    service_password: str = field(default="sandbox-service-password", repr=False)
    upload_url_lifetime_ms: int = 10 * 60 * 1000
    saml_key: rsa.RSAPrivateKey | None = field(default=None, repr=False)
    """Signs the sign-in's answers; made at the first use where it is None."""
    token_lifetime_ms: int = 8 * 60 * 60 * 1000
    quota_bytes: int = 1 << 30
    """How much one storage user may keep."""

    @property
    def home_url(self) -> str:
        """The home server's origin, such as `http://127.0.0.1:8080`."""
        scheme, _, rest = self.gadget_url.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"

    def derive_key(self, purpose: str) -> bytes:
        """32 bytes that depend on the seed and the purpose only, so that they are the same after a restart.

        Whoever knows the seed knows them: good for a sandbox's tokens, for nothing else.
        """
        return hmac.digest(f"homeserver sandbox {self.seed}".encode(), purpose.encode(), hashlib.sha256)
