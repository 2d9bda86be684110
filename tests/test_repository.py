"""What is true of the repository as a whole: where it points, what it must not hold, what its files look like."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from tests.checkout import ROOT, repository_files

LONGEST_MODULE: Final = 500
LONGEST_TEST: Final = 800  # cases in a row read well for longer
PYTHONS: Final = ("3.11", "3.12", "3.13")
# Files of others, kept as they came.
VENDORED: Final = ("static/vendor/",)

# Written in two halves, so that this file does not hold what it looks for.
HOSTS: Final = [
    first + second
    for first, second in [
        ("pypi", ".org"),
        ("python", "hosted.org"),
        ("registry", ".npmjs"),
        ("cdn.js", "delivr"),
        ("unp", "kg.com"),
        ("cdn", "js.cloudflare"),
        ("deb.", "debian.org"),
        ("archive.", "ubuntu.com"),
        ("repo.", "maven"),
        ("proxy.", "golang.org"),
        ("index", "-url"),
        ("trusted", "-host"),
    ]
]
MACHINE_PATH: Final = re.compile(r"(?<![\w./:}>-])/(?:home/\w+|root|work|Users/\w+|var/jenkins\w*)/")
SECRETS: Final = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE" + " KEY-----"),
    "a key of a cloud": re.compile(r"\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b"),
    "a token of a code host": re.compile(r"\b(?:gh[pousr]_[0-9A-Za-z]{36}|github_pat_\w{40,}|glpat-[\w-]{20})"),
    "a token of a chat or a payment service": re.compile(r"\bxox[abprs]-[\w-]{10,}|\b[sr]k_live_\w{10,}"),
    "a token of a package index": re.compile(r"\bpypi-AgE[\w-]{20,}"),
}
# Published test vectors come with their key.
MAY_HOLD_A_PUBLISHED_KEY: Final = "tests/"


FILES: Final = repository_files()
OURS: Final = [name for name in FILES if not name.startswith(VENDORED)]
MODULES: Final = [name for name in OURS if name.endswith(".py")]


def text_of(name: str) -> str | None:
    """A file's text, or None for what is no text."""
    content = (ROOT / name).read_bytes()
    if b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def test_there_are_files_to_look_at() -> None:
    assert {"pyproject.toml", "constraints.txt", "Makefile", ".ci/run", "homeserver/errors.py"} <= set(FILES)


def test_no_file_names_where_packages_are_downloaded() -> None:
    """Where an index or a mirror is, is the business of the machine that installs."""
    found = [(name, host) for name in FILES for host in HOSTS if host in (text_of(name) or "").lower()]
    assert found == []


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    found = {name: match.group() for name in OURS if (match := MACHINE_PATH.search(text_of(name) or ""))}
    assert found == {}


@pytest.mark.parametrize("kind", SECRETS)
def test_no_file_holds_a_secret(kind: str) -> None:
    found = [name for name in FILES if SECRETS[kind].search(text_of(name) or "")]
    if kind == "a private key":
        found = [name for name in found if not name.startswith(MAY_HOLD_A_PUBLISHED_KEY)]
    assert found == []


def test_no_file_is_one_that_holds_secrets_by_habit() -> None:
    habits = re.compile(
        r"(?:^|/)(?:\.env(?:\..*)?|\.netrc|\.pgpass|id_(?:rsa|ed25519|ecdsa)|.*\.(?:p12|pfx|sqlite|db))$"
    )
    assert [name for name in FILES if habits.search(name)] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_small_and_says_what_it_is(module: str) -> None:
    text = (ROOT / module).read_text(encoding="utf-8")
    lines = text.count("\n")
    longest = LONGEST_TEST if module.startswith("tests/") else LONGEST_MODULE
    assert lines < longest, f"{lines} lines: cut it in two along its subjects"
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not tree.body, "a module begins with a docstring"


def test_every_text_is_utf8_with_unix_lines() -> None:
    """Lines end in LF, the last one too, and there is no byte order mark. Pictures and fonts are no texts."""
    pictures = (".png", ".jpg", ".jpeg", ".gif", ".ico", ".webp", ".woff2", ".mo", ".gz", ".db")
    wrong = []
    for name in OURS:
        content = (ROOT / name).read_bytes()
        if name.endswith(pictures) or not content:
            continue
        if text_of(name) is None or b"\r" in content or content.startswith(b"\xef\xbb\xbf") or content[-1:] != b"\n":
            wrong.append(name)
    assert wrong == []


def test_every_folder_of_tests_is_a_package() -> None:
    """Two tests of one name in two folders would otherwise hide each other."""
    folders = {Path(name).parent for name in MODULES if name.startswith("tests/")}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()] == []


def test_what_is_run_can_be_run() -> None:
    programs = [name for name in OURS if name.startswith(".ci/") or name.endswith(".sh")]
    assert ".ci/run" in programs
    for name in programs:
        assert os.access(ROOT / name, os.X_OK), name
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("#!"), name
        assert "set -euo pipefail" in lines, name
        subprocess.run(["bash", "-n", name], cwd=ROOT, check=True)


# --- dependencies ---------------------------------------------------------------------------------------------------


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned(python: str) -> dict[NormalizedName, Version]:
    """What constraints.txt pins for a Python, by canonical name."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    answer: dict[NormalizedName, Version] = {}
    for line in constraints():
        if line.marker is None or line.marker.evaluate({key: str(value) for key, value in environment.items()}):
            (specifier,) = line.specifier
            assert specifier.operator == "==", f"{line} pins no release"
            assert canonicalize_name(line.name) not in answer, f"{line.name} is pinned twice"
            answer[canonicalize_name(line.name)] = Version(specifier.version)
    return answer


def test_constraints_are_names_and_releases_only() -> None:
    """No addresses, no hashes: they would tie an installation to one index."""
    assert [str(line) for line in constraints() if line.url or line.extras] == []
    assert "--" not in (ROOT / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_pin_all_that_the_project_asks_for(python: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        asked += extra
    releases = pinned(python)
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        assert name in releases, f"{name} is not pinned for Python {python}"
        assert requirement.specifier.contains(releases[name]), f"{requirement} is pinned to {releases[name]}"


def test_the_environment_holds_what_is_pinned() -> None:
    """What is tested is what others install."""
    here = {canonicalize_name(each.name): Version(each.version) for each in distributions()}
    python = ".".join(default_environment()["python_version"].split(".")[:2])
    wrong = {name: str(here[name]) for name, version in pinned(python).items() if here.get(name) not in {None, version}}
    assert wrong == {}


def test_every_make_target_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (declared,) = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    targets = re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE)
    explained = re.findall(r"^([a-z][a-z-]*):.*## \S", text, re.MULTILINE)
    assert set(targets) == set(declared.split())
    assert set(targets) - set(explained) == {"environment"}
    assert {"demo", "test", "test-long", "check", "clean"} <= set(explained)
