"""The set-up: which Python it takes, when it installs again, and what it says to people who lack something.

The quick tests give `scripts/environment.sh` interpreters of their own making, so that nothing is downloaded. The long
ones make real environments with the other Pythons of this machine and run the suite in them.
"""

from __future__ import annotations

import faulthandler
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeGuard

import pytest

from tests import requirements
from tests.checkout import ROOT, copy_checkout

SUITE_WITHIN_S: Final = 3_600

# Answers what environment.sh asks of a Python. It leaves a copy of itself in the environment that it makes, and
# writes down what its pip is told to do.
FAKE_PYTHON: Final = """#!/bin/sh
case "$*" in
    --version) echo "Python {version}" ;;
    *version_info*) exit {too_old} ;;
    *ensurepip*) exit {no_venv} ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "{version}" >.venv/made-with ;;
    "-m pip --version" | "-c ") ;;
    "-m pip install"*) echo "Collecting something"; echo "$*" >>pip-was-told; exit "${{PIP_STATUS:-0}}" ;;
    *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""
SHIM: Final = "#!/bin/sh\necho 'not switched on' >&2\nexit 127\n"


def fake(version: str, *, too_old: bool = False, no_venv: bool = False) -> str:
    return FAKE_PYTHON.format(version=version, too_old=int(too_old), no_venv=int(no_venv))


class Checkout:
    """A folder that has of this repository what environment.sh reads, and a path that offers the given programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.shelf = folder / "shelf"
        (self.folder / "scripts").mkdir(parents=True)
        self.shelf.mkdir()
        for script in ("environment.sh", "debian-packages.sh"):
            shutil.copy(ROOT / "scripts" / script, self.folder / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            (self.folder / name).write_text(f"# {name}\n")
        for program in ("bash", "cat", "cksum", "cp", "date", "dirname", "env", "flock", "mkdir", "rm", "tail"):
            found = shutil.which(program)
            if found is not None:
                (self.shelf / program).symlink_to(found)
        # Nobody special, so that nothing is installed on the machine that runs this test.
        self.offer("id", "#!/bin/sh\necho 1000\n")

    def offer(self, name: str, text: str, shelf: str = "shelf") -> None:
        program = self.shelf.parent / shelf / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)

    def run(self, *arguments: str, shelves: tuple[str, ...] = ("shelf",), **variables: str) -> tuple[int, str]:
        path = os.pathsep.join(str(self.shelf.parent / shelf) for shelf in shelves)
        done = subprocess.run(
            [self.folder / "scripts/environment.sh", *arguments],
            env={"PATH": path, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout

    @property
    def made_with(self) -> str:
        return (self.folder / ".venv/made-with").read_text().strip()

    @property
    def installations(self) -> list[str]:
        told = self.folder / "pip-was-told"
        return told.read_text().splitlines() if told.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_python_that_works_is_taken(checkout: Checkout) -> None:
    """A pyenv shim for a version that is not switched on, a Python too old, then one on a later shelf."""
    checkout.offer("python3.11", SHIM)
    checkout.offer("python3", fake("3.10.1", too_old=True))
    checkout.offer("python3.11", fake("3.11.2"), shelf="second")
    checkout.offer("python3.12", fake("3.12.1"), shelf="second")
    status, words = checkout.run(shelves=("shelf", "second"))
    assert status == 0, words
    assert checkout.made_with == "3.11.2"
    assert "Python 3.11.2" in words


def test_a_python_of_ones_own_choice(checkout: Checkout) -> None:
    checkout.offer("python3.11", fake("3.11.2"))
    checkout.offer("python3.13", fake("3.13.0"))
    assert checkout.run(PYTHON="python3.13")[0] == 0
    assert checkout.made_with == "3.13.0"


def test_the_pinned_releases_are_installed(checkout: Checkout) -> None:
    checkout.offer("python3", fake("3.11.2"))
    assert checkout.run("dev")[0] == 0
    (told,) = checkout.installations
    assert "-c constraints.txt" in told
    assert told.endswith("-e .[dev]")


def test_the_second_run_does_nothing(checkout: Checkout) -> None:
    checkout.offer("python3", fake("3.11.2"))
    assert checkout.run("dev")[0] == 0
    assert checkout.run("dev") == (0, "")
    assert checkout.run() == (0, ""), "what developers have is enough to run it"
    assert len(checkout.installations) == 1


def test_a_developer_gets_what_was_not_needed_to_run_it(checkout: Checkout) -> None:
    checkout.offer("python3", fake("3.11.2"))
    checkout.run()
    checkout.run("dev")
    assert [told.rpartition(" ")[2] for told in checkout.installations] == [".", ".[dev]"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_it_installs_again_when_what_it_depends_on_changed(checkout: Checkout, name: str) -> None:
    checkout.offer("python3", fake("3.11.2"))
    checkout.run()
    (checkout.folder / ".venv/kept").touch()
    (checkout.folder / name).write_text("# changed\n")
    assert checkout.run()[0] == 0
    assert len(checkout.installations) == 2
    assert (checkout.folder / ".venv/kept").exists()


def test_an_environment_that_was_left_half_made_is_made_anew(checkout: Checkout) -> None:
    checkout.offer("python3", fake("3.11.2"))
    status, words = checkout.run(PIP_STATUS="1")
    assert status != 0
    assert "The packages could not be installed" in words
    (checkout.folder / ".venv/left-over").touch()
    status, words = checkout.run()
    assert status == 0
    assert "made anew" in words
    assert not (checkout.folder / ".venv/left-over").exists()


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    checkout.offer("python3", fake("3.11.2"))
    checkout.run()
    (checkout.folder / ".venv/bin/python").write_text(SHIM)
    assert checkout.run()[0] == 0
    assert len(checkout.installations) == 2
    assert checkout.run() == (0, "")


def test_an_environment_that_came_from_another_folder_is_made_anew(checkout: Checkout) -> None:
    """Its programs name their interpreter by its full path."""
    checkout.offer("python3", fake("3.11.2"))
    checkout.run()
    (checkout.folder / ".venv/left-over").touch()
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    assert checkout.run()[0] == 0
    assert not (checkout.folder / ".venv/left-over").exists()


def test_without_a_python_it_says_what_is_needed(checkout: Checkout) -> None:
    checkout.offer("python3", fake("3.9.2", too_old=True))
    status, words = checkout.run()
    assert status == 1
    assert "needs Python 3.11 or later" in words


def test_without_venv_a_user_is_told_the_one_command(checkout: Checkout) -> None:
    checkout.offer("python3", fake("3.11.2", no_venv=True))
    status, words = checkout.run()
    assert status == 1
    assert words.splitlines()[-1] == "sudo apt-get install python3-venv"


def test_without_venv_root_gets_it_from_debian(checkout: Checkout) -> None:
    checkout.offer("id", "#!/bin/sh\necho 0\n")
    checkout.offer("python3", fake("3.11.2", no_venv=True))
    repaired = checkout.shelf / "repaired"
    repaired.write_text(fake("3.11.2"))
    checkout.offer(
        "apt-get",
        f'#!/bin/sh\ncase "$*" in *" install "*python3-venv) cp "{repaired}" "{checkout.shelf}/python3" ;; esac\n',
    )
    status, words = checkout.run()
    assert status == 0, words
    assert "Installing Debian's python3-venv" in words
    assert checkout.made_with == "3.11.2"


def test_an_unknown_word_is_refused(checkout: Checkout) -> None:
    assert checkout.run("developer")[0] == 1


# --- long: other Pythons --------------------------------------------------------------------------------------------

OTHER_PYTHONS: Final = [pytest.param(each, marks=pytest.mark.needs(f"python{each}")) for each in ("3.12", "3.13")]
MAKE_AND_TEST: Final = (
    'scripts/environment.sh dev && exec .venv/bin/pytest -q --maxfail=5 -m "not chromium and not long"'
)


@dataclass(frozen=True, slots=True)
class Suite:
    """The suite at work with another Python, and the file that holds what it says."""

    process: subprocess.Popen[bytes]
    words: Path


@pytest.fixture(scope="module")
def suites(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Suite]]:
    """By Python, all that this run asks for and that are here. They work at once: one alone leaves a processor idle."""
    asked = [str(item.callspec.params["version"]) for item in request.session.items if _wants_suites(item)]
    started: dict[str, Suite] = {}
    try:
        for version in asked:
            if interpreter := requirements.python(version):
                started[version] = start_suite(interpreter, tmp_path_factory.mktemp(f"python{version}-"))
        yield started
    finally:
        for suite in started.values():
            suite.process.terminate()
            suite.process.wait()


def _wants_suites(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and "suites" in item.fixturenames


def start_suite(interpreter: Path, folder: Path) -> Suite:
    """In a copy of this checkout, from an environment made there; what needs a browser is the same for all Pythons."""
    copy = copy_checkout(folder / "checkout")
    if (ROOT / ".git").exists():
        subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
        subprocess.run(["git", "add", "-A"], cwd=copy, check=True)
    with (folder / "words").open("wb") as words:
        process = subprocess.Popen(
            ["bash", "-c", MAKE_AND_TEST],
            cwd=copy,
            env={**os.environ, "PYTHON": str(interpreter)},
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
        )
    return Suite(process, folder / "words")


@pytest.mark.long
@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_the_suite_passes_with_another_python(version: str, suites: dict[str, Suite]) -> None:
    suite = suites[version]
    faulthandler.cancel_dump_traceback_later()  # this takes as long as a test that hangs
    status = suite.process.wait(timeout=SUITE_WITHIN_S)
    words = suite.words.read_text()
    assert status == 0, words[-10_000:]
    assert f"with Python {version}." in words
    assert re.search(r"^\d{3,} passed", words, re.MULTILINE)
    if requirements.REQUIREMENTS["postgres"].missing() is None:
        assert "for want of PostgreSQL" not in words
