"""Where templates, static files and migrations are: at the root of a checkout, inside the package in a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_INSTALLED: Final = _PACKAGE / "_data"
ROOT: Final = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent

TEMPLATES: Final = ROOT / "templates"
STATIC: Final = ROOT / "static"
MIGRATIONS: Final = ROOT / "migrations"
LOCALE: Final = _PACKAGE / "locale"
