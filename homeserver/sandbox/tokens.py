"""User tokens of the storage stand-in, in the shape that was captured from the service.

`B64<base64>=|sau=3|ted=<unix seconds>|<28 base64 characters>`: `ted` is the end date, the last field 20 bytes of a
keyed hash. Every token holds `+`, `/`, `=` and `|`: a caller who forgets to percent-encode it is found out at once.

Tokens are stateless: with the same key a restart keeps them valid. What a restart forgets is `Tokens.expire`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import struct
from typing import Final

from homeserver.model import NowMs

_MARK: Final = b"\xfb\xff\xbe"
"""Reads `+/++` in base64."""
_HEAD: Final = struct.Struct(">3sIQ")
_SIGNATURE_BYTES: Final = 20
_TOKEN: Final = re.compile(r"(B64([A-Za-z0-9+/]{1,400}=)\|sau=3\|ted=([0-9]{10}))\|([A-Za-z0-9+/]{27}=)", re.ASCII)


class Tokens:
    """Issues and checks user tokens.

    Args:
        key: Equal keys accept each other's tokens.
        lifetime_ms: From issue to `ted`, which counts whole seconds.
    """

    def __init__(self, *, key: bytes, now_ms: NowMs, lifetime_ms: int) -> None:
        self._key = key
        self._now_ms = now_ms
        self._lifetime_ms = lifetime_ms
        self._generations: dict[str, int] = {}

    def issue(self, user: str) -> str:
        """A new token for `user`, good until `expire(user)` or for `lifetime_ms`."""
        issued_ms = self._now_ms()
        payload = _HEAD.pack(_MARK, self._generations.get(user, 0), issued_ms) + user.encode()
        payload += b"\0" * ((2 - len(payload)) % 3)  # two bytes over a multiple of three: exactly one "="
        ends_s = (issued_ms + self._lifetime_ms) // 1000
        signed = f"B64{base64.b64encode(payload).decode()}|sau=3|ted={ends_s:010d}"
        return f"{signed}|{base64.b64encode(self._signature(signed)).decode()}"

    def user_of(self, token: str) -> str | None:
        """Whose token this is; None when it is not ours, changed, at its end, or expired by `expire`."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        signed, payload_text, ends_s, signature_text = match.groups()
        try:
            payload = base64.b64decode(payload_text, validate=True)
            signature = base64.b64decode(signature_text, validate=True)
        except binascii.Error:
            return None
        if not hmac.compare_digest(signature, self._signature(signed)):
            return None
        _, generation, _ = _HEAD.unpack_from(payload)
        user = payload[_HEAD.size :].rstrip(b"\0").decode()
        if self._now_ms() >= int(ends_s) * 1000 or generation < self._generations.get(user, 0):
            return None
        return user

    def expire(self, user: str) -> None:
        """Refuse every token that `user` has; those issued from now on are good, whatever the clock says."""
        self._generations[user] = self._generations.get(user, 0) + 1

    def _signature(self, signed: str) -> bytes:
        return hmac.digest(self._key, signed.encode(), "sha256")[:_SIGNATURE_BYTES]
