"""The background jobs of this process: each runs beside the server, and none dies unseen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import structlog

log: Final = structlog.get_logger(__name__)

Job = Callable[[], Awaitable[None]]


class Jobs:
    """Runs endless jobs and remembers which of them ended."""

    def __init__(self) -> None:
        self._dead: list[str] = []

    @property
    def dead(self) -> Sequence[str]:
        """The names of the jobs that ended although they should not; health turns red with the first."""
        return tuple(self._dead)

    @contextlib.asynccontextmanager
    async def running(self, name: str, job: Job) -> AsyncIterator[None]:
        """Run a job beside whatever happens inside the context; it is cancelled at the end.

        A job that ends before that has failed, by an exception or not: it is logged at once.
        """

        async def watched() -> None:
            try:
                await job()
            except Exception:
                self._dead.append(name)
                log.exception("job_failed", job=name)
            else:
                self._dead.append(name)
                log.error("job_ended", job=name)

        task = asyncio.create_task(watched(), name=name)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
