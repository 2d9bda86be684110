"""`homeserver sync`: fetch players now, one after the other, with a bar and a summary. Ctrl-C ends it between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from homeserver import config
from homeserver.errors import BadSettings, HomeServerError, NotFound
from homeserver.progress import Bar
from homeserver.services.sync import Sync
from homeserver.serving import Say
from homeserver.storage import people
from homeserver.wiring import open_core


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
    """Sync everybody who has the application, those who waited longest first.

    Returns:
        Whether all succeeded.

    Raises:
        BadSettings: The container answers only for people who run the gadget just now.
    """
    if settings.container.offline == "refused":
        raise BadSettings(
            'container.offline is "refused": players who are not running the gadget cannot be read. '
            "They are synced when they open it."
        )
    async with open_core(settings) as core:
        players = await core.database.read(lambda reader: people.stalest(reader, settings.container.name))
        if not players:
            raise NotFound("No player is known yet. They come with the first gadget that is opened, or by --player ID.")
        return await _sync_these(core.sync, players, say)


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
