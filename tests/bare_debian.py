"""A bare Debian in a folder, made by debootstrap: what a fresh machine has, and Python 3 and make.

Its processes have the network of this machine, and reach the mirrors as this machine does: proxies, the package index
and certificates are read from its settings. Its mounts are seen by its processes alone and end with them.
"""

from __future__ import annotations

import ast
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

CHECKOUT: Final = "/srv/homeserver"
NOBODY: Final = 65534
PACKAGES: Final = ("make", "python3")
FIRST_RELEASE: Final = 12
"""Debian 12 is the first with a Python 3.11."""

_LUGGAGE: Final = "srv/machine"
_MOUNT_AND_ENTER: Final = 'mount -t proc proc "$0/proc" && exec chroot "$@"'
_CLIENT_SETTING: Final = re.compile(r"(?i)(?:https?|no|all|ftp)_proxy|(?:SSL_CERT_FILE|REQUESTS_CA_BUNDLE)")
_APT_SETTING: Final = re.compile(r'(Acquire::(?:https?::|Check-)\S+) "(.+)";')
_MADE_WITHIN_S: Final = 600


class CannotMake(Exception):
    """Why debootstrap did not make a Debian here."""


def missing() -> str | None:
    """Why this machine can make no bare Debian, or None."""
    if not shutil.which("debootstrap"):
        return "not installed (apt-get install debootstrap)"
    if os.geteuid() != 0:
        return "it needs root"
    try:
        here = platform.freedesktop_os_release()
    except OSError:
        here = {}
    if here.get("ID") != "debian" or "VERSION_CODENAME" not in here:
        return "this is no Debian"
    if int(here.get("VERSION_ID", FIRST_RELEASE)) < FIRST_RELEASE:
        return f"Debian {here['VERSION_ID']} has no Python 3.11"
    enter = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False, timeout=30)
    return None if enter.returncode == 0 else "nobody may mount anything here"


class BareDebian:
    """A Debian that was made in `root`. Commands run in `CHECKOUT`, where the caller puts one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkout = root / CHECKOUT.lstrip("/")
        self._variables: dict[str, str] = {}

    def prepare(self) -> None:
        """Give it this machine's way to the network.

        Raises:
            CannotMake: There is no mirror in apt's settings, or debootstrap did not end well.
        """
        codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
        apt = dict(_APT_SETTING.findall(_words("apt-config", "dump", "Acquire")))
        proxy = {"http_proxy": apt["Acquire::http::Proxy"]} if "Acquire::http::Proxy" in apt else {}
        make = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        done = subprocess.run(
            [*make, codename, self.root, _mirror(codename)],
            env={**proxy, **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_MADE_WITHIN_S,
        )
        if done.returncode != 0:
            raise CannotMake("\n".join(done.stdout.splitlines()[-2:]))
        self.root.chmod(0o755)  # a temporary folder is its owner's alone; a Debian's root is everybody's
        shutil.copyfile("/etc/hosts", self.root / "etc/hosts")
        settings = "".join(f'{name} "{self._carry(value)}";\n' for name, value in apt.items())
        (self.root / "etc/apt/apt.conf.d/90machine").write_text(settings)
        found = {**_pip_settings(), **{name: value for name, value in os.environ.items() if _is_client_setting(name)}}
        self._variables = {name: self._carry(value) for name, value in found.items()}

    def run(self, *command: str, user: int = 0) -> tuple[int, str]:
        """The exit status and the words of a command that ends by itself."""
        with self.start(*command, user=user) as process:
            words = _output(process).read()
            return process.wait(), words

    @contextmanager
    def start(self, *command: str, user: int = 0, within_s: int = _MADE_WITHIN_S) -> Iterator[subprocess.Popen[str]]:
        """A command that runs while the context lasts, at most for this time, with what it says as `stdout`."""
        mine = ["unshare", "--mount", "sh", "-c", _MOUNT_AND_ENTER, str(self.root)]
        there = [f"--userspec={user}:{user}", str(self.root), "env", "--default-signal=INT", f"--chdir={CHECKOUT}"]
        process = subprocess.Popen(
            [*mine, *there, *command],
            env={
                **self._variables,
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root" if user == 0 else "/nonexistent",
                "LANG": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        watchdog = threading.Timer(within_s, _end, [process])
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            _end(process)
            process.wait()
            _output(process).close()

    def _carry(self, value: str) -> str:
        """The same setting for in there: files and folders that it names are copied, and named as they are there."""
        return " ".join(self._carry_path(word) if word.startswith("/") else word for word in value.split(" "))

    def _carry_path(self, name: str) -> str:
        source = Path(name)
        target = self.root / _LUGGAGE / name.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        else:
            return name
        return "/" + str(target.relative_to(self.root))


def until(process: subprocess.Popen[str], words: str) -> str:
    """What a process says up to the line that has these words, or to its end."""
    said = ""
    for line in _output(process):
        said += line
        if words in line:
            break
    return said


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Ctrl-C: the signal goes to all that the command started. Its exit status, and what it said after that."""
    os.killpg(process.pid, signal.SIGINT)
    words = _output(process).read()
    return process.wait(), words


def _output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _words(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def _mirror(codename: str) -> str:
    """Where apt has this Debian from."""
    listing = _words(
        "apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Identifier: Packages"
    )
    for line in listing.splitlines():
        if line.startswith(f"{codename} main "):
            return line.split()[2]
    raise CannotMake(f"apt has no mirror of {codename} here")


def _pip_settings() -> Mapping[str, str]:
    """pip's settings of this machine, from its files and variables, as variables."""
    answer = {}
    listing = _words(sys.executable, "-m", "pip", "config", "list")
    for name, value in re.findall(r"^\S*\.([a-z-]+)=('.*'|\".*\")$", listing, re.MULTILINE):
        answer[f"PIP_{name.upper().replace('-', '_')}"] = str(ast.literal_eval(value))
    return answer


def _is_client_setting(name: str) -> bool:
    return _CLIENT_SETTING.fullmatch(name) is not None
