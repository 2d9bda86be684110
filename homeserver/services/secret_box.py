"""Keys for each purpose from the one secret of the settings, and sealing what must not lie readable in the database."""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from homeserver.errors import SealBroken

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SALT: Final = b"homeserver"


def derive(secret_key: str, purpose: str) -> bytes:
    """The key for one purpose: 32 bytes by HKDF-SHA256. One purpose's key tells nothing of another's, or the secret."""
    return HKDF(SHA256(), KEY_BYTES, _SALT, purpose.encode()).derive(secret_key.encode())


class SecretBox:
    """Seals texts with AES-256-GCM. The first key seals, all open: so a key is replaced while both are given."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys` have 32 bytes each, as `derive` gives them; at least one."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a secret box needs keys of {KEY_BYTES} bytes")
        self._ciphers = tuple(AESGCM(key) for key in keys)

    def seal(self, text: str, *, bound_to: str = "") -> str:
        """A text that only this box opens, and only for the same `bound_to` (the row it lies in, say)."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[0].encrypt(nonce, text.encode(), bound_to.encode())
        return urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, bound_to: str = "") -> str:
        """The text that was sealed.

        Raises:
            SealBroken: It was not sealed here, not for this, or it was changed.
        """
        return self._opened(sealed, bound_to)[0]

    def resealed(self, sealed: str, *, bound_to: str = "") -> str | None:
        """The same text sealed with the first key; None where it is that already.

        Raises:
            SealBroken: As `open`.
        """
        text, number = self._opened(sealed, bound_to)
        return self.seal(text, bound_to=bound_to) if number else None

    def _opened(self, sealed: str, bound_to: str) -> tuple[str, int]:
        """The text, and which key opened it."""
        try:
            content = urlsafe_b64decode(sealed.encode("ascii"))
        except ValueError:
            raise SealBroken("this is nothing that was sealed") from None
        nonce, content = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
        for number, cipher in enumerate(self._ciphers):
            try:
                return cipher.decrypt(nonce, content, bound_to.encode()).decode(), number
            except (InvalidTag, ValueError):
                continue
        raise SealBroken("no key opens it: the secret key was replaced, or the text was changed")
