"""What every answer over HTTP has in common: how its beginning is shown, when it was made, when to come back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Final

EXCERPT_CHARACTERS: Final = 200

_LONGEST_WAIT_S: Final = 24 * 3600.0
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SIGNATURE: Final = re.compile(r"(oauth_signature(?:=|%3D))[^\s&\"'<>]*", re.IGNORECASE)
_MARKUP: Final = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def excerpt(body: bytes) -> str:
    """The first 200 characters of an answer, markup and all, for a person who must find out what it was."""
    return _redacted(body[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace"))[:EXCERPT_CHARACTERS]


def plain_text(body: bytes) -> str:
    """What an error page says: its first 200 characters without markup and escapes, runs of blanks as one."""
    text = unescape(_MARKUP.sub(" ", body[:65536].decode("utf-8", "replace")))
    return _redacted(" ".join(text.split()))[:EXCERPT_CHARACTERS]


def _redacted(text: str) -> str:
    """Without the signature of a request that an error page repeats."""
    return _SIGNATURE.sub(r"\1***", text)


def date_s(headers: Mapping[str, str]) -> float | None:
    """When the answer was made by the answerer's clock, in seconds since the epoch (`Date`); None if unsaid."""
    return _http_date_s(headers.get("date"))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long `Retry-After` asks to wait, in seconds from the answer, 0 to a day; None if it says nothing readable.

    A date is taken relative to the answer's own `Date`, so that a wrong clock on either side does no harm.
    """
    text = headers.get("retry-after", "").strip()
    if _DECIMAL.fullmatch(text):
        return min(float(text), _LONGEST_WAIT_S)
    until_s, made_s = _http_date_s(text), date_s(headers)
    if until_s is None or made_s is None:
        return None
    return min(max(until_s - made_s, 0.0), _LONGEST_WAIT_S)


def _http_date_s(text: str | None) -> float | None:
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
