"""A demo of a test's own: the product with its sandbox on free ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from homeserver.demo import Demo, prepare, running


@asynccontextmanager
async def running_demo(folder: Path) -> AsyncIterator[Demo]:
    """Up and answering inside the context; everything that it keeps is in `folder`."""
    demo = await asyncio.to_thread(prepare, folder, 0, 0)
    async with running(demo):
        yield demo
