"""Background jobs: none dies unseen, and the process says that it is not well."""

from __future__ import annotations

import asyncio

from homeserver.services.jobs import Jobs
from tests.patience import until


async def test_a_job_runs_beside_the_context_and_is_cancelled_at_its_end() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    jobs = Jobs()
    async with jobs.running("endless", endless):
        await began.wait()
        assert jobs.dead == ()
    assert ended.is_set()
    assert jobs.dead == ()


async def test_a_job_that_fails_is_remembered_by_name() -> None:
    async def failing() -> None:
        raise ZeroDivisionError

    jobs = Jobs()
    async with jobs.running("failing", failing):
        await until_dead(jobs)
        assert jobs.dead == ("failing",)


async def test_a_job_that_just_ends_has_failed_too() -> None:
    async def short() -> None:
        return

    jobs = Jobs()
    async with jobs.running("short", short):
        await until_dead(jobs)
        assert jobs.dead == ("short",)


async def until_dead(jobs: Jobs) -> None:
    async def is_so() -> bool:
        return bool(jobs.dead)

    await until(is_so)
