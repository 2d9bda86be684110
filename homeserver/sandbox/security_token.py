"""The security token (`st`) that a gadget's frame shows when it asks the container for something.

`owner:viewer:appId:appUrl:expiry:mac`, each part percent-encoded, an absent person empty; the MAC is HMAC-SHA256 of the
rest. It says who is looking at whose gadget, which a script in the frame could not be believed about.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from homeserver.model import NowMs

LIFETIME_MS: Final = 60 * 60 * 1000
MAX_CHARACTERS: Final = 4096


@dataclass(frozen=True, slots=True)
class Opened:
    """One opening of a gadget. `viewer` is None for a guest, or for somebody who does not have the application."""

    owner: str | None
    viewer: str | None
    app_id: str
    app_url: str


class SecurityTokens:
    """Issues tokens and reads them back, under one key."""

    def __init__(self, *, key: bytes, now_ms: NowMs) -> None:
        self._key = key
        self._now_ms = now_ms

    def issue(self, opened: Opened) -> str:
        """A token for `opened`, good for `LIFETIME_MS`."""
        expiry_ms = self._now_ms() + LIFETIME_MS
        parts = (opened.owner or "", opened.viewer or "", opened.app_id, opened.app_url, str(expiry_ms))
        signed = ":".join(quote(part, safe="") for part in parts)
        return f"{signed}:{self._mac(signed)}"

    def read(self, token: str) -> Opened | None:
        """What a token says; None when it is not ours, changed, or expired."""
        signed, _, mac = token.rpartition(":")
        if len(token) > MAX_CHARACTERS or not hmac.compare_digest(mac.encode(), self._mac(signed).encode()):
            return None
        owner, viewer, app_id, app_url, expiry_ms = (unquote(part) for part in signed.split(":"))
        if self._now_ms() >= int(expiry_ms):
            return None
        return Opened(owner or None, viewer or None, app_id, app_url)

    def _mac(self, signed: str) -> str:
        return hmac.digest(self._key, signed.encode(), "sha256").hex()
