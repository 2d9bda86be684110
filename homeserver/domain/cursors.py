"""Cursors: a place in a list and a direction, sealed into opaque text.

AES-SIV (RFC 5297) authenticates a cursor together with the scope that it was made for, and hides the player's number in
it, which never leaves the house. It needs no randomness: one place in one scope always gives the same text.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from homeserver.errors import BadCursor
from homeserver.model import Position

MIN_KEY_BYTES: Final = 16
_PLAIN: Final = struct.Struct(">cqqq")
_TAG_BYTES: Final = 16
_CHARACTERS: Final = -(-(_PLAIN.size + _TAG_BYTES) * 4 // 3)

Scope = tuple[str, ...]
"""What a cursor is bound to: the view, the board, the period, the revision of its settings."""


class Direction(Enum):
    """Which way to go on."""

    NEXT = b"n"
    PREVIOUS = b"p"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Go on in this direction with the entries strictly beyond `position`, which need not exist any more."""

    direction: Direction
    position: Position


class Cursors:
    """Seals and opens cursors under one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a cursor key has at least {MIN_KEY_BYTES} bytes")
        self._cipher = AESSIV(hmac.digest(key, b"homeserver cursors", hashlib.sha256))

    def seal(self, scope: Scope, cursor: Cursor) -> str:
        """The cursor as text that fits a URL."""
        position = cursor.position
        plain = _PLAIN.pack(cursor.direction.value, position.key, position.reached_ms, position.player)
        return _text(self._cipher.encrypt(plain, _bound(scope)))

    def open(self, scope: Scope, text: str) -> Cursor:
        """The cursor in `text`, if we made it for this very scope.

        Raises:
            BadCursor: Forged, damaged, made for something else, or made before the board's settings changed. These are
                not told apart.
        """
        try:
            direction, *position = _PLAIN.unpack(self._cipher.decrypt(_sealed(text), _bound(scope)))
            return Cursor(Direction(direction), Position(*position))
        except (ValueError, InvalidTag) as error:
            raise BadCursor(
                "this cursor is not of this list, or the board has changed; begin again without it", field="cursor"
            ) from error


def _bound(scope: Scope) -> list[bytes]:
    return [part.encode() for part in scope]


def _sealed(text: str) -> bytes:
    """The bytes in a cursor's text. ValueError where it is none: the decoder skips junk and ignores spare bits."""
    sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) == _CHARACTERS else b""
    if _text(sealed) != text:
        raise ValueError("not canonical")
    return sealed


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
