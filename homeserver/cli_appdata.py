"""The command line of `homeserver appdata ...`: its options, and what each of its actions runs."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from homeserver import config

Say = Callable[[str], None]
SettingsOf = Callable[[argparse.Namespace], config.Settings]
Run = Callable[[argparse.Namespace], Coroutine[Any, Any, None]]

_AT: Final = "2026-12-24T18:00, yearly:12-24, yearly:12-24T18:00, birthday or birthday:T18:00 (UTC); without it, now"


def add(actions: argparse._SubParsersAction[argparse.ArgumentParser], settings_of: SettingsOf, say: Say) -> None:
    """Add the actions. Each imports what it needs when it runs: `homeserver --help` answers at once."""

    async def get(options: argparse.Namespace) -> None:
        from homeserver import appdata_command  # noqa: PLC0415

        await appdata_command.get(settings_of(options), options.player, options.key, say)

    async def set_(options: argparse.Namespace) -> None:
        from homeserver import appdata_command  # noqa: PLC0415

        key, value = appdata_command.parse_pair(options.pair)
        await appdata_command.write(settings_of(options), options.player, key, value, say, at=options.at)

    async def delete(options: argparse.Namespace) -> None:
        from homeserver import appdata_command  # noqa: PLC0415

        await appdata_command.write(settings_of(options), options.player, options.key, None, say, at=options.at)

    async def show(options: argparse.Namespace) -> None:
        from homeserver import appdata_command  # noqa: PLC0415

        await appdata_command.show(settings_of(options), say)

    async def cancel(options: argparse.Namespace) -> None:
        from homeserver import appdata_command  # noqa: PLC0415

        await appdata_command.cancel(settings_of(options), options.number, say)

    parser = _action(actions, "get", "what the container holds now", get)
    parser.add_argument("player", metavar="PLAYER", help="the container's user id")
    parser.add_argument("key", metavar="KEY", nargs="?")
    parser = _action(actions, "set", "write a value", set_)
    parser.add_argument("player", metavar="PLAYER", help="the container's user id")
    parser.add_argument("pair", metavar="KEY=VALUE")
    parser.add_argument("--at", metavar="TIME", help=_AT)
    parser = _action(actions, "delete", "delete a key", delete)
    parser.add_argument("player", metavar="PLAYER", help="the container's user id")
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--at", metavar="TIME", help=_AT)
    _action(actions, "list", "what is planned, and what was done", show)
    parser = _action(actions, "cancel", "take back what is planned", cancel)
    parser.add_argument("number", metavar="NUMBER", type=int, help="as `list` shows it")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, words: str, run: Run
) -> argparse.ArgumentParser:
    def command(options: argparse.Namespace) -> int:
        asyncio.run(run(options))
        return 0

    parser = actions.add_parser(name, help=words)
    parser.set_defaults(command=command)
    return parser
