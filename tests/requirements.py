"""What tests need besides Python packages, whether it is here, and what a run left out for want of it.

A test says what it needs by a marker: `postgres`, `chromium`, `xmlsec`, `node`, or `needs("nginx", ...)` for the names
in `REQUIREMENTS` below. Where that is missing the test is skipped with the reason, and the end of the run counts it.
With `HOMESERVER_TESTS_REQUIRE=all`, a skip of a test with one of the four markers is a failure.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests import bare_debian, embedded_postgres


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something outside of Python. `missing` says why it is not here, or None; `demanded` ones may be insisted on."""

    title: str
    missing: Callable[[], str | None]
    demanded: bool = False


def command(name: str, package: str, *, demanded: bool = False, title: str = "") -> Requirement:
    """A program on the path, which Debian has in `package`."""

    def missing() -> str | None:
        return None if shutil.which(name) else f"not installed (apt-get install {package})"

    return Requirement(title or name, missing, demanded)


@functools.cache
def python(version: str) -> Path | None:
    """A Python of this version ("3.12") that runs, on the path or among pyenv's; None where there is none.

    Found by running it: a pyenv shim exists for versions that are not switched on, and then fails.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [Path(folder) / f"python{version}" for folder in os.get_exec_path()]
    candidates += sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))
    words = "import ensurepip, sys, venv; ensurepip.version(); print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        if not os.access(candidate, os.X_OK):
            continue
        try:
            done = subprocess.run([candidate, "-c", words], capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def java(oldest: int) -> Requirement:
    """A JDK of this release or a later one."""

    @functools.cache
    def missing() -> str | None:
        if not shutil.which("java"):
            return "not installed (apt-get install default-jdk-headless)"
        try:
            done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return "it does not run"
        found = re.search(r'version "(\d+)', done.stderr)
        if done.returncode != 0 or found is None:
            return "it does not run"
        return None if int(found[1]) >= oldest else f"the one here has release {found[1]}"

    return Requirement(f"a JDK ({oldest} or later)", missing)


def another_python(version: str) -> Requirement:
    """A Python that can make environments."""
    return Requirement(f"Python {version}", lambda: None if python(version) else "not found, or it does not run")


REQUIREMENTS: Final[dict[str, Requirement]] = {
    "postgres": Requirement("PostgreSQL", functools.cache(embedded_postgres.missing), demanded=True),
    "chromium": command("chromium", "chromium", demanded=True, title="Chromium"),
    "xmlsec": command("xmlsec1", "xmlsec1", demanded=True),
    "node": command("node", "nodejs", demanded=True, title="Node.js"),
    "jdk": java(17),
    "maven": command("mvn", "maven", title="Maven"),
    "nginx": command("nginx", "nginx"),
    "systemd": command("systemd-analyze", "systemd", title="systemd"),
    "promtool": command("promtool", "prometheus"),
    "redis": command("redis-server", "redis-server", title="Redis"),
    "debootstrap": Requirement("debootstrap", functools.cache(bare_debian.missing)),
    "python3.12": another_python("3.12"),
    "python3.13": another_python("3.13"),
}
MARKERS: Final = ("postgres", "chromium", "xmlsec", "node")
ELSEWHERE: Final = {"long": ("long test", "test-long"), "interop": ("interoperability test", "interop")}
"""Markers of tests that run only when asked for by name (`-m`): what to call them, and who asks."""

_EXCUSED: Final = pytest.StashKey[bool]()


def needed_by(item: pytest.Item) -> list[str]:
    """The names of what this test needs, in the order of the table."""
    names = {name for name in MARKERS if item.get_closest_marker(name)}
    for marker in item.iter_markers("needs"):
        names.update(marker.args)
    unknown = names - REQUIREMENTS.keys()
    if unknown:
        raise pytest.UsageError(f"{item.nodeid} needs {sorted(unknown)}; known are {sorted(REQUIREMENTS)}")
    return [name for name in REQUIREMENTS if name in names]


class LeftOut:
    """The pytest plugin: skips, insists, leaves out what has a command of its own, and says at the end what it left."""

    def __init__(self, *, insist: bool) -> None:
        self._insist = insist
        self._missing: Counter[str] = Counter()
        self._elsewhere: Counter[str] = Counter()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        if "postgres_url" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        for item in items:
            needed_by(item)  # a need that nobody knows ends the run before it begins
        for marker in ELSEWHERE:
            if marker in config.option.markexpr:
                continue
            left = [item for item in items if item.get_closest_marker(marker)]
            self._elsewhere[marker] = len(left)
            if left:
                config.hook.pytest_deselected(items=left)
                items[:] = [item for item in items if not item.get_closest_marker(marker)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        # What is not demanded comes first: a test that cannot run for want of it need not be insisted on.
        for name in sorted(needed_by(item), key=lambda name: REQUIREMENTS[name].demanded):
            requirement = REQUIREMENTS[name]
            reason = requirement.missing()
            if reason is None:
                continue
            if not requirement.demanded:
                item.stash[_EXCUSED] = True
            if not (self._insist and requirement.demanded):
                self._missing[name] += 1
            pytest.skip(f"needs {requirement.title}: {reason}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        demanded = any(REQUIREMENTS[name].demanded for name in needed_by(item)) and _EXCUSED not in item.stash
        if self._insist and demanded and report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            report.outcome = "failed"
            report.longrepr = f"{reason} (HOMESERVER_TESTS_REQUIRE=all allows no skip here)"
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.words():
            terminalreporter.write_line(line)

    def words(self) -> Iterable[str]:
        """One line for each thing that was left out."""
        for name, count in self._missing.items():
            requirement = REQUIREMENTS[name]
            yield f"Left out: {_tests(count)} for want of {requirement.title}: {requirement.missing()}."
        for marker, (noun, target) in ELSEWHERE.items():
            if self._elsewhere[marker]:
                yield f"Left out: {_tests(self._elsewhere[marker], noun)}; `make {target}` runs them."


def _tests(count: int, noun: str = "test") -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def install(config: pytest.Config) -> None:
    """Make the plugin part of this run."""
    config.addinivalue_line("markers", "needs(*names): needs the named things of tests/requirements.py")
    insist = os.environ.get("HOMESERVER_TESTS_REQUIRE", "")
    if insist not in {"", "all"}:
        raise pytest.UsageError(f"HOMESERVER_TESTS_REQUIRE is {insist!r}; it may be 'all' or absent")
    config.pluginmanager.register(LeftOut(insist=insist == "all"), "left-out")
