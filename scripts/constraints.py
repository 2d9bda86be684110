"""Write constraints.txt anew: the newest releases that pyproject.toml allows, for each Python that is supported.

Asks pip what it would install, for every Python that is found here, and installs nothing. A package (or a release of
it) that only some Pythons get is marked so. Names and versions are all that is kept: no addresses, no hashes.
"""

from __future__ import annotations

# ruff: noqa: S603, T201 - this runs pip, and speaks to the one who called it
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.requirements import python

ROOT: Final = Path(__file__).resolve().parent.parent
VERSIONS: Final = ("3.11", "3.12", "3.13")
# Hatchling asks for this one only while it makes an editable installation, so that no resolution shows it.
BUILD_ONLY: Final = ("editables",)
HEAD: Final = """\
# The release of every package that homeserver is installed and tested with, on Python {versions}.
# Renewed by `make constraints`, then proven by `make test`. pyproject.toml says what is needed, this file which one.
"""


def resolve(interpreter: Path) -> dict[str, str]:
    """Name and version of everything that an empty environment of this interpreter would get."""
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "--disable-pip-version-check"]
    command = [*pip, "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-", ".[dev]", *BUILD_ONLY]
    report = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    found = {item["metadata"]["name"]: item["metadata"]["version"] for item in report["install"]}
    del found["homeserver"]
    return found


def lines(resolved: dict[str, dict[str, str]]) -> list[str]:
    """One line a package; one for each group of Pythons where they do not all get the same."""
    answer = []
    for name in sorted({name for found in resolved.values() for name in found}, key=str.lower):
        pythons: dict[str, list[str]] = {}
        for version, found in resolved.items():
            if name in found:
                pythons.setdefault(found[name], []).append(version)
        for release, those in pythons.items():
            marker = "" if len(those) == len(resolved) else " or ".join(f'python_version == "{one}"' for one in those)
            answer.append(f"{name}=={release}" + (f" ; {marker}" if marker else ""))
    return answer


def main() -> None:
    """Ask for every Python, then write."""
    resolved = {}
    for version in VERSIONS:
        interpreter = python(version)
        if interpreter is None:
            sys.exit(f"Python {version} is not here; constraints.txt is left as it is")
        print(f"Asking what Python {version} would get ...", flush=True)
        resolved[version] = resolve(interpreter)
    text = HEAD.format(versions=", ".join(VERSIONS)) + "\n".join(lines(resolved)) + "\n"
    (ROOT / "constraints.txt").write_text(text, encoding="utf-8")
    print(f"constraints.txt holds {len(text.splitlines()) - 2} lines.")


if __name__ == "__main__":
    main()
