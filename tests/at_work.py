"""Jobs that go on beside a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def at_work(job: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """It runs inside of the context, does not end by itself, and has ended afterwards."""
    task = asyncio.create_task(job)
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})
