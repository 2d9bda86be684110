"""Text from outside, made fit for both engines."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with U+FFFD for what PostgreSQL or UTF-8 cannot hold: NUL, and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:  # nearly all, in a tenth of the time
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def search_key(text: str) -> str:
    """What a name is searched by: no case, no accents, runs of blanks as one. Name and query both go through it."""
    bare = "".join(
        letter for letter in unicodedata.normalize("NFKD", storable(text)) if not unicodedata.combining(letter)
    )
    return " ".join(bare.casefold().split())
