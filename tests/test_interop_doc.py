"""`docs/interop.md` says only what a test shows: the tests that it names exist, and so do the releases."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from tests.interop.shindig import JETTY, SHINDIGS

ROOT: Final = Path(__file__).resolve().parent.parent
DOCUMENT: Final = (ROOT / "docs" / "interop.md").read_text(encoding="utf-8")
NAMED: Final = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", DOCUMENT)))
ROWS: Final = [
    line for line in DOCUMENT.partition("## Where")[2].splitlines() if line.startswith("|") and "Shown by" not in line
]


def test_differences_are_named() -> None:
    assert len(NAMED) > 25


@pytest.mark.parametrize("row", [row for row in ROWS if not row.startswith("|---")])
def test_every_difference_has_its_five_words(row: str) -> None:
    """What it is, the one side, the other, ours, and the test; or a dash where there is none."""
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 5
    assert all(cells)
    assert cells[4] == "-" or re.fullmatch(r"`test_\w+\.py::test_\w+`", cells[4])


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_document_names_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / "interop" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}


def test_the_releases_are_those_that_are_run() -> None:
    for artifact in (JETTY, *SHINDIGS.values()):
        assert f"| `{artifact.group}:{artifact.name}` ({artifact.packaging}) | {artifact.version}" in DOCUMENT
