"""`homeserver appdata`: a player's AppData in the container, read and written now, or written at a time."""

from __future__ import annotations

from datetime import UTC, datetime

from homeserver import config
from homeserver.errors import BadInput, NotFound
from homeserver.serving import Say
from homeserver.storage import people
from homeserver.storage.appdata_writes import Write
from homeserver.wiring import Core, open_core

SHOWN = 100


async def get(settings: config.Settings, user_id: str, key: str | None, say: Say) -> None:
    """Say what the container holds for a player now.

    Raises:
        NotFound: There is no such key.
        RemoteError: The container does not answer for them.
    """
    async with open_core(settings) as core:
        items = await core.container.appdata(user_id, "@self", [key] if key else [])
    values = items.get(user_id, {})
    if key is not None and key not in values:
        raise NotFound(f"{user_id} has no {key}.")
    for name in sorted(values):
        say(values[name] if key else f"{name}={values[name]}")


async def write(
    settings: config.Settings, user_id: str, key: str, value: str | None, say: Say, *, at: str | None = None
) -> None:
    """Write a value (None deletes the key), now or at a time.

    Raises:
        BadInput: A key, value or time that is none.
        NotFound: Nobody with this id is a player.
        RemoteError: The container did not take it.
    """
    async with open_core(settings) as core:
        player = await _player(core, settings.container.name, user_id)
        if at is not None:
            due_ms = await core.timed_writes.plan(player, key, value, at)
            say(f"Planned for {_time(due_ms)}.")
            return
        await core.timed_writes.write_now(player, key, value)
        say("The container has it." if value is not None else "The container has it no more.")


async def show(settings: config.Settings, say: Say) -> None:
    """Say what is planned, what was done, and whom no birthday rule can reach."""
    async with open_core(settings) as core:
        for one in await core.timed_writes.recent(SHOWN):
            _, user_id = await core.database.look(lambda reader, one=one: people.user_of(reader, one.player))  # type: ignore[misc]
            say(f"{one.id:>6}  {_time(one.due_ms)}  {one.state.value:<8}{user_id}  {_words(one)}")
        if settings.appdata_rules:
            count, some = await core.timed_writes.without_birthday()
            if count:
                say(f"{count} players have no known birthday, so no rule reaches them: {', '.join(some)}")


async def cancel(settings: config.Settings, id_: int, say: Say) -> None:
    """Take back a planned write.

    Raises:
        NotFound: There is none that waits.
    """
    async with open_core(settings) as core:
        await core.timed_writes.cancel(id_)
    say("Taken back.")


def parse_pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE`.

    Raises:
        BadInput: There is no "=".
    """
    key, separator, value = text.partition("=")
    if not separator:
        raise BadInput("Write KEY=VALUE.", field="key")
    return key, value


async def _player(core: Core, container: str, user_id: str) -> int:
    player = await core.database.read(lambda reader: people.find_player(reader, container, user_id))
    if player is None:
        raise NotFound("Nobody with this id is a player yet. `homeserver sync --player ID` makes them one.")
    return player


def _words(one: Write) -> str:
    what = f"{one.key} deleted" if one.value is None else f"{one.key}={one.value}"
    every = f"  ({one.rule})" if one.rule else ""
    failed = f"  attempt {one.attempts}: {one.detail}" if one.detail else ""
    return f"{what}{every}{failed}"


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
