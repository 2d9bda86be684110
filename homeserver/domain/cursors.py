"""Cursors: a place in a list and a direction, sealed into opaque text.

AES-SIV (RFC 5297) authenticates a cursor together with what it was made for, and hides the player's number in it, which
never leaves the house. It needs no randomness: one place in one scope always gives the same text.

Whoever pages while a day ends, or while a board is changed, has done nothing wrong, so a cursor that was right once is
told apart from one that never was. That is why the part of the scope that changes is inside and not beside.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from homeserver.errors import BadCursor, StaleCursor
from homeserver.model import Position

MIN_KEY_BYTES: Final = 16
_PLAIN: Final = struct.Struct(">cqqq8s")
_TAG_BYTES: Final = 16
_CHARACTERS: Final = -(-(_PLAIN.size + _TAG_BYTES) * 4 // 3)


class Scope(NamedTuple):
    """What a cursor is bound to."""

    view: tuple[str, ...]
    """What is looked at: the way of looking, the board, the span."""
    state: tuple[str, ...]
    """How that is at the moment: the period of the span, the settings, the generation."""


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
        plain = _PLAIN.pack(
            cursor.direction.value, position.key, position.reached_ms, position.player, _mark(scope.state)
        )
        return _text(self._cipher.encrypt(plain, _bound(scope.view)))

    def open(self, scope: Scope, text: str) -> Cursor:
        """The cursor in `text`, if we made it for this very scope.

        Raises:
            StaleCursor: We made it for this view, but in another state.
            BadCursor: Forged, damaged, or made for something else. These are not told apart.
        """
        try:
            direction, *position, mark = _PLAIN.unpack(self._cipher.decrypt(_sealed(text), _bound(scope.view)))
            cursor = Cursor(Direction(direction), Position(*position))
        except (ValueError, InvalidTag) as error:
            raise BadCursor("this cursor is not of this list; begin again without it", field="cursor") from error
        if mark != _mark(scope.state):
            raise StaleCursor(
                "this cursor is of an earlier period, or the board has changed since; begin again without it",
                field="cursor",
            )
        return cursor


def _bound(view: tuple[str, ...]) -> list[bytes]:
    return [part.encode() for part in view]


def _mark(state: tuple[str, ...]) -> bytes:
    """Eight bytes that are others for another state. Nobody can try any: they are inside of what is sealed."""
    return hashlib.sha256(json.dumps(state).encode()).digest()[:8]


def _sealed(text: str) -> bytes:
    """The bytes in a cursor's text. ValueError where it is none: the decoder skips junk and ignores spare bits."""
    sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) == _CHARACTERS else b""
    if _text(sealed) != text:
        raise ValueError("not canonical")
    return sealed


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
