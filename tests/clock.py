"""A clock that the test moves."""

from __future__ import annotations

from typing import Final

NOON_MS: Final = 1_795_348_800_000
"""2026-11-22T12:00:00Z, a Sunday."""


class Clock:
    """Stands still until told otherwise. Hand `clock.now_ms` to whatever takes a `NowMs`."""

    def __init__(self, start_ms: int = NOON_MS) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._now_ms

    def advance(self, *, ms: int = 0, s: int = 0, minutes: int = 0, hours: int = 0, days: int = 0) -> None:
        """Move by the sum of the given spans; a negative one moves back, as an operator's clock may."""
        self._now_ms += ms + 1_000 * (s + 60 * (minutes + 60 * (hours + 24 * days)))

    def set(self, ms: int) -> None:
        """Move to a moment: milliseconds since the epoch."""
        self._now_ms = ms
