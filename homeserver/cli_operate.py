"""The command line of `homeserver backup`, `restore` and `keys`: options, and what each runs."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path

from homeserver import config

Say = Callable[[str], None]
SettingsOf = Callable[[argparse.Namespace], config.Settings]


def add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    settings_of: SettingsOf,
    agreed: Callable[[argparse.Namespace], bool],
    say: Say,
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Add the commands; the actions of `keys`. Each imports what it needs when it runs."""

    def backup(options: argparse.Namespace) -> int:
        from homeserver import operate_command  # noqa: PLC0415

        asyncio.run(operate_command.backup(settings_of(options), options.file, say))
        return 0

    def restore(options: argparse.Namespace) -> int:
        from homeserver import operate_command  # noqa: PLC0415

        if options.check:
            operate_command.check(options.file, say)
            return 0
        done = asyncio.run(
            operate_command.restore(
                settings_of(options), options.file, say, replace=options.replace, agreed=lambda: agreed(options)
            )
        )
        return 0 if done else 1

    def rotate(options: argparse.Namespace) -> int:
        from homeserver import operate_command  # noqa: PLC0415

        return 0 if asyncio.run(operate_command.rotate(settings_of(options), say)) else 1

    parser = commands.add_parser("backup", help="write the database into a file, while servers run")
    parser.add_argument("file", metavar="FILE", type=Path, help="a new one; backups never replace another")
    parser.set_defaults(command=backup)

    parser = commands.add_parser("restore", help="let the database be what it was, while no server runs")
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--replace", action="store_true", help="what is in the database now may go")
    parser.add_argument("--check", action="store_true", help="only say whether the file is whole")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(command=restore)

    keys = commands.add_parser("keys", help="about server.secret_key").add_subparsers(metavar="ACTION", required=True)
    keys.add_parser("rotate", help="seal anew what the old secret key sealed").set_defaults(command=rotate)
    return keys
