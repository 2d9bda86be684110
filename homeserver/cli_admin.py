"""The command line of operators' accounts: `homeserver admin add`, `role`, `password`, `remove`, `list`."""

from __future__ import annotations

import argparse
import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from homeserver import config
from homeserver.errors import BadSettings
from homeserver.model import Role

if TYPE_CHECKING:
    from homeserver.services.operators import Operators

T = TypeVar("T")
SettingsOf = Callable[[argparse.Namespace], config.Settings]
Say = Callable[[str], None]


def add(
    parser: argparse.ArgumentParser, settings_of: SettingsOf, say: Say
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Add the actions; each imports what it needs when it runs. Their parsers."""
    account = _Account(settings_of, say)
    admin = parser.add_subparsers(metavar="ACTION", required=True)
    added = admin.add_parser("add", help="make an account; asks for the password")
    added.add_argument("name")
    added.add_argument("--role", type=Role, choices=list(Role), default=Role.VIEW, metavar="|".join(Role))
    added.add_argument("--password-file", type=Path, help="read the password from a file instead of asking")
    added.set_defaults(command=account.add)
    password = admin.add_parser("password", help="give an account another password; its sessions end")
    password.add_argument("name")
    password.add_argument("--password-file", type=Path, help="read the password from a file instead of asking")
    password.set_defaults(command=account.password)
    role = admin.add_parser("role", help="change what an account may do; its sessions end")
    role.add_argument("name")
    role.add_argument("role", type=Role, choices=list(Role), metavar="|".join(Role))
    role.set_defaults(command=account.role)
    remove = admin.add_parser("remove", help="remove an account; its sessions end")
    remove.add_argument("name")
    remove.set_defaults(command=account.remove)
    admin.add_parser("list", help="name all accounts").set_defaults(command=account.list)
    for changing in (added, password, role, remove):
        changing.add_argument("--by", help="who does it, for the log (the user of this machine who is signed in)")
    return admin


class _Account:
    """What the actions run."""

    def __init__(self, settings_of: SettingsOf, say: Say) -> None:
        self._settings_of = settings_of
        self._say = say

    def add(self, options: argparse.Namespace) -> int:
        """`admin add`."""
        settings, password = self._settings_of(options), _new_password(options.password_file)
        with_operators(
            settings, lambda operators: operators.add(options.name, password, options.role, actor=actor_of(options))
        )
        self._say(f"{options.name} may sign in at {settings.server.public_url}/admin ({options.role.value}).")
        return 0

    def password(self, options: argparse.Namespace) -> int:
        """`admin password`."""
        settings, password = self._settings_of(options), _new_password(options.password_file)
        with_operators(
            settings, lambda operators: operators.set_password(options.name, password, actor=actor_of(options))
        )
        self._say(f"{options.name} has the new password, and is signed out everywhere.")
        return 0

    def role(self, options: argparse.Namespace) -> int:
        """`admin role`."""
        with_operators(
            self._settings_of(options),
            lambda operators: operators.set_role(options.name, options.role, actor=actor_of(options)),
        )
        self._say(f"{options.name} may {options.role.value} now, and is signed out everywhere.")
        return 0

    def remove(self, options: argparse.Namespace) -> int:
        """`admin remove`."""
        with_operators(
            self._settings_of(options), lambda operators: operators.remove(options.name, actor=actor_of(options))
        )
        self._say(f"{options.name} is no operator any more.")
        return 0

    def list(self, options: argparse.Namespace) -> int:
        """`admin list`."""
        for name in with_operators(self._settings_of(options), lambda operators: operators.names()):
            self._say(name)
        return 0


def actor_of(options: argparse.Namespace) -> str:
    """Who does it, for the log.

    Raises:
        BadSettings: Nobody says, and this machine has no name for its user.
    """
    try:
        return options.by or getpass.getuser()
    except (KeyError, OSError) as error:  # a container's user without a name
        raise BadSettings("--by: say who does it; this machine has no name for its user.") from error


def user() -> str:
    """The user of this machine who is signed in, or "-" where it has no name for them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "-"


def with_operators(settings: config.Settings, work: Callable[[Operators], Awaitable[T]]) -> T:
    """Open the database for one thing about the operators' accounts."""
    from homeserver.services.operators import Operators  # noqa: PLC0415
    from homeserver.wiring import database_of, wall_clock_ms  # noqa: PLC0415

    async def opened() -> T:
        async with database_of(settings) as database:
            return await work(Operators(database, wall_clock_ms))

    return asyncio.run(opened())


def _new_password(file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BadSettings(f"--password-file: {file} cannot be read: {error}") from error
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise BadSettings("The two passwords differ.")
    return password
