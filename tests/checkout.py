"""The files of this repository, and a copy of them: what somebody gets who clones it now."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
# Folders that git would leave out, for where there is no git.
NOT_OURS: Final = {".git", ".venv", "build", "dist", "var", "__pycache__", ".hypothesis"} | {
    f".{tool}_cache" for tool in ("mypy", "pytest", "ruff")
}


def repository_files() -> list[str]:
    """Every file that is in the repository or about to be, as a path from its root; without git, every file here."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
        names = done.stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, inside, files in os.walk(ROOT):
            inside[:] = [name for name in inside if name not in NOT_OURS]
            names += [str((Path(folder) / name).relative_to(ROOT)) for name in files]
    return sorted(name for name in names if name and (ROOT / name).is_file())


def copy_checkout(folder: Path) -> Path:
    """Make this folder a checkout without an environment: the repository's files, those not committed yet included."""
    for name in repository_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder
