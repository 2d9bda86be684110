"""The documentation stays true: its commands exist, its links lead somewhere, its settings are settings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from homeserver.cli import build_parser
from homeserver.config import Section, Settings

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS: Final = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def commands(text: str, program: str) -> list[list[str]]:
    """Every call of a program in code, as words; comments left out."""
    code = re.findall(r"```\n?(.*?)```|`([^`\n]+)`", text, re.DOTALL)
    lines = [line for block in code for part in block for line in part.splitlines()]
    found = []
    for line in lines:
        words = shlex.split(line.partition(" #")[0].partition(">")[0].partition("&&")[0]) if program in line else []
        if words and words[0].rsplit("/", 1)[-1] == program:
            found.append(words[1:])
    return found


@pages
def test_every_command_is_one(page: Path) -> None:
    parser = build_parser()
    for words in commands(page.read_text(), "homeserver"):
        if words:
            parser.parse_args(words)  # exits where it is not understood


@pages
def test_every_make_target_exists(page: Path) -> None:
    assert {words[0] for words in commands(page.read_text(), "make") if words} <= TARGETS


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pages
def test_every_setting_is_one(page: Path) -> None:
    sections = {
        name: {field.alias or key for key, field in info.annotation.model_fields.items()}
        for name, info in Settings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }
    named = re.findall(r"`(\w+)\.(\w+)", page.read_text()) + re.findall(r"HOMESERVER_([A-Z]+)__(\w+)", page.read_text())
    for section, key in named:
        if section.lower() in sections:
            assert key.lower() in sections[section.lower()], f"{section}.{key}"


def test_the_two_commands_are_in_the_readme() -> None:
    assert {tuple(words) for words in commands(PAGES[0].read_text(), "make")} >= {("demo",), ("test",)}
