"""A clock that is not set back by moments.

Machines correct their clocks by seconds, at midnight too. A score that came just then would reopen a day that is over,
and whose winners were shown. So for a few seconds this clock stands still instead. It follows one that is set back by
more: that one was wrong, and whatever waits for a time would wait for as long.

Clocks of two machines differ all the same, and what counts where is decided once, by the clock of the one that took it.
"""

from __future__ import annotations

import threading
from typing import Final

from homeserver.model import NowMs

MOST_MS: Final = 10_000


class SteadyClock:
    """The given clock, which stands still where it goes back by `MOST_MS` or less. Safe among threads."""

    def __init__(self, now_ms: NowMs) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._last_ms = now_ms()

    def __call__(self) -> int:
        """Milliseconds since the epoch."""
        with self._lock:
            now_ms = self._now_ms()
            if not self._last_ms - MOST_MS <= now_ms < self._last_ms:
                self._last_ms = now_ms
            return self._last_ms
