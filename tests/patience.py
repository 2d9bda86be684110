"""How long tests wait for what comes about by itself, and how: far longer than it takes, also where much else runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from homeserver.sandbox.faults import Planned

PATIENCE_S: Final = 60
"""Only a test that fails waits as long as this."""
_LONGEST_PAUSE_S: Final = 0.05

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], good: Callable[[T], bool] = bool) -> T:
    """What `look` finds, as soon as it is good: the other side works at its own pace, and does not tell.

    Raises:
        TimeoutError: It was not good for `PATIENCE_S`.
    """
    pause_s = 0.001
    async with asyncio.timeout(PATIENCE_S):
        while not good(found := await look()):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return found


async def reached(*holds: Planned) -> None:
    """Return when a request has come to each of these.

    Raises:
        TimeoutError: None came for `PATIENCE_S`.
    """
    async with asyncio.timeout(PATIENCE_S):
        for hold in holds:
            await hold.reached.wait()
