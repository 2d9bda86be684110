"""The wheel: what is in it, and that it serves pages from an environment that knows nothing of this checkout."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from homeserver import __version__
from tests.patience import PATIENCE_S
from tests.saml_kit import metadata_file

ROOT: Final = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built with what the environment already holds."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of the checkout, to work in."""
    return tmp_path_factory.mktemp("elsewhere")


def what_it_needs(package: Distribution) -> dict[str, Distribution]:
    """What pip would install beside this one, by canonical name, as it lies in this environment."""
    found: dict[str, Distribution] = {}
    waiting = [(package, frozenset[str]())]
    seen = set()
    while waiting:
        each, extras = waiting.pop()
        for requirement in map(Requirement, each.requires or ()):
            marker = requirement.marker
            if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                continue
            name, its_extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if (name, its_extras) not in seen:
                seen.add((name, its_extras))
                found[name] = distribution(name)
                waiting.append((found[name], its_extras))
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of a new environment that holds the wheel and what the wheel asks for, and nothing else.

    What it asks for is linked from this environment, so that nothing is downloaded. What only developers have is not
    there: a server that needs some of it does not start.
    """
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, cwd=folder)
    (package,) = distributions(name="homeserver", path=[str(packages)])
    for each in what_it_needs(package).values():
        for top in {file.parts[0] for file in each.files or ()} - {"..", "__pycache__"}:
            (packages / top).symlink_to(Path(str(each.locate_file(top))).resolve())
    return folder / "bin"


def environment(**more: str) -> dict[str, str]:
    """What a process of the new environment is given: nothing that leads back here."""
    return {"PATH": os.defpath, "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8", **more}


def run(program: Path, *arguments: str, folder: Path, **variables: str) -> str:
    """Run to the end, and give what it said."""
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def data_files(*folders: str) -> set[str]:
    """The checkout's files in these folders that belong into the wheel."""
    command = ["git", "ls-files", "-z", "--cached", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout: no git here that could say what belongs to it")
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_holds_the_package_and_what_lies_beside_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    beside = data_files("templates", "static", "migrations")
    assert any(name.startswith("migrations/versions/") for name in beside)
    assert any(name.startswith("templates/") for name in beside)
    assert {f"homeserver/_data/{name}" for name in beside} <= names
    assert data_files("homeserver") <= names
    assert not [
        name for name in names if name.startswith(("tests/", "benchmarks/", "scripts/")) or "__pycache__" in name
    ]


def test_the_wheel_says_what_it_needs_and_brings_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"homeserver-{__version__}.dist-info/METADATA").decode()
        commands = archive.read(f"homeserver-{__version__}.dist-info/entry_points.txt").decode()
    assert "Requires-Python: >=3.11" in metadata
    assert "Requires-Dist: aiohttp>=" in metadata
    assert "homeserver = homeserver.cli:main" in commands


def test_the_installed_package_knows_its_own_files(installed: Path, elsewhere: Path) -> None:
    words = "import homeserver, homeserver.paths as p; print(homeserver.__file__); print(p.ROOT, p.MIGRATIONS.is_dir())"
    package, _, data = run(installed / "python", "-c", words, folder=elsewhere).partition("\n")
    assert Path(package).is_relative_to(installed.parent)
    assert data.split() == [str(Path(package).parent / "_data"), "True"]


def test_the_installed_command_says_its_version(installed: Path, elsewhere: Path) -> None:
    assert run(installed / "homeserver", "--version", folder=elsewhere).split()[-1] == __version__


@contextmanager
def serving(program: Path, folder: Path, **variables: str) -> Iterator[str]:
    """Run `homeserver serve` on a free port; gives its address, and stops it at the end."""
    log = folder / "serve.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [program, "serve"],
            cwd=folder,
            env=environment(HOMESERVER_SERVER__PORT="0", **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as server,
    ):
        assert server.stdout is not None
        watchdog = signal.signal(signal.SIGALRM, lambda *_: server.kill())
        signal.alarm(PATIENCE_S)
        said = ""
        try:
            for line in server.stdout:
                said += line
                if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            else:
                pytest.fail(f"the server ended before it listened:\n{said}{log.read_text()}")
            signal.alarm(0)
            yield address.group()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, watchdog)
            server.terminate()
            server.stdout.read()
        assert server.wait(PATIENCE_S) == 0, log.read_text()


def test_the_installed_server_migrates_starts_and_serves_pages(installed: Path, elsewhere: Path) -> None:
    program = installed / "homeserver"
    settings = elsewhere / "f.toml"
    settings.write_text(run(program, "config", "example", folder=elsewhere))
    variables = {
        "HOMESERVER_CONFIG": str(settings),
        "HOMESERVER_DATABASE__URL": f"sqlite:///{elsewhere / 'homeserver.db'}",
        # The container of the example is a real one; the server of a test calls nobody.
        "HOMESERVER_CONTAINER__BASE_URL": "http://127.0.0.1:9/social/rest",
        "HOMESERVER_SIGN_IN__METADATA": str(metadata_file(elsewhere)),
    }
    run(program, "migrate", folder=elsewhere, **variables)
    assert (elsewhere / "homeserver.db").is_file()
    with serving(program, elsewhere, **variables) as address:
        for path in ("/healthz", "/"):
            with urllib.request.urlopen(address + path, timeout=PATIENCE_S) as answer:
                assert answer.status == 200, path
                body = answer.read().decode()
        assert "<html" in body
        style = re.search(r'href="(/static/[^"]+\.css[^"]*)"', body)
        assert style, "the page has no style sheet of its own"
        with urllib.request.urlopen(address + style.group(1), timeout=PATIENCE_S) as answer:
            assert answer.headers.get_content_type() == "text/css"
