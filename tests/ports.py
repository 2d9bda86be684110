"""Ports for servers that are told theirs, or that come back to the one they had."""

from __future__ import annotations

import itertools
import secrets
import socket
from collections.abc import Iterator
from typing import Final

_FIRST: Final = 20_000
_COUNT: Final = 12_000
"""Below 32,768, where Linux begins to give ports to outgoing connections, of which one could take it meanwhile."""


def _candidates() -> Iterator[int]:
    start = secrets.randbelow(_COUNT)
    return (_FIRST + (start + number) % _COUNT for number in itertools.count())


_CANDIDATES: Final = _candidates()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens. Each call gives another."""
    for port in _CANDIDATES:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("candidates never end")
