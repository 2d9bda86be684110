"""The files in docs/deploy, read by the programs that they are for, and held against what the server really has."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from homeserver.cli import build_parser
from homeserver.services.meter import Meter
from homeserver.services.sync_report import SyncReport
from homeserver.storage.database import Database
from tests.checkout import ROOT
from tests.clock import Clock

DEPLOY: Final = ROOT / "docs" / "deploy"
ALERTS: Final = DEPLOY / "alerts.yml"
UNITS: Final = sorted(path.name for path in DEPLOY.glob("homeserver*.*"))
MOST_EXPOSED: Final = 25
"""Of 100, by systemd's own measure. A service without any of this has 96."""


async def test_every_figure_that_an_alert_names_is_one_of_metrics(database: Database, clock: Clock) -> None:
    """With every label: an alert on a state that is never said would never come."""
    report = SyncReport(database, "container", clock.now_ms, Meter(database), lambda: 0.0)
    text = (await report.metrics()).decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    named = set(re.findall(r"\bhomeserver_\w+", ALERTS.read_text()))
    assert named
    assert named <= kinds.keys()
    for name in named:
        counted = re.search(rf"(?:rate|increase)\({name}\b", ALERTS.read_text())
        assert (kinds[name] == "counter") == bool(counted), name
    states = re.findall(r'homeserver_uploads\{state="(\w+)"\}', ALERTS.read_text())
    assert states
    for state in states:
        assert f'homeserver_uploads{{state="{state}"}} 0.0' in text


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    rules = re.split(r"\n {6}- alert: ", ALERTS.read_text())[1:]
    names = [rule.partition("\n")[0] for rule in rules]
    assert len(set(names)) == len(names) > 5
    for rule in rules:
        assert re.search(r"\n {8}expr: \S", rule), rule
        assert re.search(r"\n {8}labels: \{severity: (page|warn)\}", rule), rule
        assert re.search(r'\n {10}summary: ".{20,}"', rule), rule


@pytest.mark.needs("promtool")
def test_prometheus_takes_the_alerts() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("unit", [name for name in UNITS if name.endswith(".service")])
def test_every_command_in_a_unit_is_one(unit: str) -> None:
    commands = re.findall(r"/opt/homeserver/bin/homeserver ([a-z ]*[a-z])", _text(unit))
    assert commands
    for command in commands:
        words = command.split()
        build_parser().parse_args([*words, "FILE"] if words == ["backup"] else words)


def test_roots_command_runs_as_the_server_does(tmp_path: Path) -> None:
    """What systemd-run is given is what the unit says, and words come through as they are."""
    (tmp_path / "systemd-run").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "systemd-run").chmod(0o755)
    words = ["players", "erase", "0042", "--reason", "asked for  by mail"]
    done = subprocess.run(
        [DEPLOY / "homeserver", *words], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    program = lines.index("/opt/homeserver/bin/homeserver")
    assert lines[program + 1 :] == words
    unit = dict(re.findall(r"^(\w+)=(.*)$", _text("homeserver.service"), re.MULTILINE))
    assert unit["ExecStart"] == "/opt/homeserver/bin/homeserver serve"
    assert set(lines[:program]) >= {
        f"--uid={unit['User']}",
        f"--gid={unit['Group']}",
        f"--working-directory={unit['WorkingDirectory']}",
        f"--setenv={unit['Environment']}",
        f"--property=UMask={unit['UMask']}",
        f"--property=EnvironmentFile={unit['EnvironmentFile']}",
    }


def _text(unit: str) -> str:
    return (DEPLOY / unit).read_text(encoding="utf-8")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program where they look for homeserver's, and an account that is there."""
    program = shutil.which("true")
    assert program is not None
    for unit in UNITS:
        text = _text(unit).replace("/opt/homeserver/bin/homeserver", program)
        (tmp_path / unit).write_text(re.sub(r"^(User|Group)=homeserver$", r"\1=root", text, flags=re.MULTILINE))
    return tmp_path


@pytest.mark.needs("systemd")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_unit(units: Path, unit: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(units / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.needs("systemd")
def test_systemd_finds_the_server_little_exposed(units: Path) -> None:
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={MOST_EXPOSED}",
            "--no-pager",
            str(units / "homeserver.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout
