"""`homeserver sync`: fetch players now, with a bar and a summary. Ctrl-C ends it: nothing is left half done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from homeserver import config
from homeserver.errors import BadSettings, HomeServerError, NotFound
from homeserver.progress import Bar
from homeserver.services.sync import Sync
from homeserver.serving import Say
from homeserver.storage import freshness, people, sync_tasks
from homeserver.wiring import Core, open_core, wall_clock_ms

LOOK_S: Final = 0.2
"""How often the bar is drawn."""


@dataclass(slots=True)
class Summary:
    """What came of it."""

    synced: int = 0
    changed: int = 0
    requests: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    """How many, by what went wrong."""


async def sync_one(settings: config.Settings, user_id: str, say: Say) -> bool:
    """Sync the player with this id in the container; somebody who is new becomes a player.

    Returns:
        Whether it succeeded.

    Raises:
        RemoteError: We do not know them, and the container does not say who they are.
    """
    async with open_core(settings) as core:
        name = settings.container.name
        player = await core.database.read(lambda reader: people.find_player(reader, name, user_id))
        if player is None:
            await core.container.person(user_id)  # an id that is nobody's must not become a player
            player = await core.database.write(lambda tx: people.player_of(tx, name, user_id))
        return await _sync_these(core.sync, [player], say)


async def sync_all(settings: config.Settings, say: Say) -> bool:
    """Sync everybody who has the application, with as few requests as it takes.

    Returns:
        Whether everything was answered. What was not, servers that run try again.

    Raises:
        BadSettings: The container answers only for people who run the gadget just now.
    """
    if settings.container.offline == "refused":
        raise BadSettings(
            'container.offline is "refused": players who are not running the gadget cannot be read. '
            "They are synced when they open it."
        )
    async with open_core(settings) as core:
        name = settings.container.name
        known = await core.database.read(lambda reader: freshness.ages(reader, name))
        if not known:
            raise NotFound("No player is known yet. They come with the first gadget that is opened, or by --player ID.")
        planned = await core.rounds.plan(everybody=True)
        waiting, _ = await _waiting(core, name)
        least_s = waiting / settings.sync.requests_per_second
        say(
            f"{len(known)} players: {waiting} questions ({len(planned.plan.circles)} circles of friends, "
            f"{len(planned.lists)} lists of friends). At {settings.sync.requests_per_second:g} requests a second that "
            f"takes {least_s:.0f} s or more."
        )
        return await _until_answered(core, name, waiting, say)


async def _waiting(core: Core, name: str) -> tuple[int, int]:
    """How many questions are left, and how many of them are being asked just now, by us or by a server."""
    now_ms = wall_clock_ms()
    queues = await core.database.read(lambda reader: sync_tasks.queues(reader, name, now_ms))
    running = sum(queue.running for queue in queues)
    return sum(queue.waiting for queue in queues) + running, running


async def _until_answered(core: Core, name: str, total: int, say: Say) -> bool:
    """Work on the queue with a bar until nothing can be asked any more; Ctrl-C gives back what is being asked.

    Servers that run share the work.
    """
    bar, tally = Bar("questions"), core.sync.tally
    running = asyncio.create_task(core.sync.run())
    settled = asyncio.create_task(core.sync.settled())
    left, asked_now = total, 0
    try:
        while not settled.done() or asked_now:
            await asyncio.wait({settled, running}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            left, asked_now = await _waiting(core, name)
            bar.show(max(0, total - left), total)
            if settled.done() and asked_now:
                await asyncio.sleep(LOOK_S)
    finally:
        for task in (settled, running):
            task.cancel()
        await asyncio.wait({settled, running})
        bar.end()
        say(
            f"{max(0, total - left)} of {total} questions answered, {tally.requests} requests, {tally.changed} changes."
        )
        for reason, count in tally.failed.items():
            say(f"{count} not answered: {reason}")
        if left:
            say(f"{left} stay in the queue; a server that runs goes on with them.")
    return not tally.failed and not left


async def _sync_these(sync: Sync, players: Sequence[int], say: Say) -> bool:
    summary, bar = Summary(), Bar("players")
    try:
        for done, player in enumerate(players):
            bar.show(done, len(players))
            try:
                result = await sync.sync_player(player)
            except HomeServerError as error:
                summary.failed[str(error)] = summary.failed.get(str(error), 0) + 1
                continue
            summary.synced += 1
            summary.changed += result.changed
            summary.requests += result.requests
        bar.show(len(players), len(players))
    finally:
        bar.end()
        said = f"{summary.synced} of {len(players)} players synced"
        say(f"{said}, {summary.requests} requests, {summary.changed} changes.")
        for reason, count in summary.failed.items():
            say(f"{count} not synced: {reason}")
    return not summary.failed
