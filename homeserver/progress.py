"""A bar for commands that take their time, on the terminal of whoever is looking."""

from __future__ import annotations

import sys
import time
from typing import Final

WIDTH: Final = 30


class Bar:
    """Shows how far something is. Draws nothing where nobody looks, and the same picture only once."""

    def __init__(self, unit: str = "") -> None:
        """`unit` is a word behind the figures, such as "events"."""
        self._behind = f" {unit}" if unit else ""
        self._began_s = time.monotonic()
        self._shown: tuple[int, int] | None = None

    def show(self, done: int, total: int) -> None:
        """So many of so many are done; a `total` of 0 is all of it."""
        left_s = (time.monotonic() - self._began_s) / done * (total - done) if done else 0.0
        shown = (1000 * done // total if total else 1000, int(left_s))
        if shown == self._shown:
            return
        self._shown = shown
        filled = WIDTH * done // total if total else WIDTH
        bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}]"
        _draw(f"\r{bar} {done:,} of {total:,}{self._behind}, about {left_s:.0f} s left ")

    def end(self) -> None:
        """What is said next begins on a line of its own."""
        if self._shown is not None:
            _draw("\n")


def _draw(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(text)
        sys.stderr.flush()
