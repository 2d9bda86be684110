"""Tables as text, a row a line: CSV that no spreadsheet takes for formulas, or NDJSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from homeserver.domain.score_files import FileFormat, safe

Cell = str | int | float | bool | None


def head(form: FileFormat, columns: Sequence[str]) -> str:
    """What a file begins with, before its rows."""
    return f"{','.join(columns)}\n" if form is FileFormat.CSV else ""


def written(form: FileFormat, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """These rows as lines. In CSV nothing (None) is an empty cell, and text that a spreadsheet would take for a formula
    has a ' in front; a decimal, which is text too, is left as it is."""
    if form is FileFormat.NDJSON:
        return "".join(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _cell(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return cell if _is_decimal(cell) else safe(cell)
    return "" if cell is None else cell


def _is_decimal(text: str) -> bool:
    """A plain number below 0 begins as a formula does, and is none."""
    digits = text.removeprefix("-").replace(".", "", 1)
    return digits.isascii() and digits.isdecimal()
