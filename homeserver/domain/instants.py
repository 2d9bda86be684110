"""Instants as text: ISO 8601 with a zone, to the millisecond. Who reads them from people, reads them here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

DAY_MS: Final = 86_400_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def parse(text: str) -> int | None:
    """Milliseconds since the epoch; None where the text is no instant, or says no zone."""
    try:
        moment = datetime.fromisoformat(text) if text.isascii() else None
    except ValueError:
        return None
    return None if moment is None else of(moment)


def of(moment: datetime) -> int | None:
    """Milliseconds since the epoch; None where it has no zone."""
    return None if moment.tzinfo is None else (moment - _EPOCH) // _MS


def iso(at_ms: int) -> str:
    """Such as `2026-11-22T12:00:00.000Z`; `parse` reads it."""
    return (_EPOCH + at_ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")
