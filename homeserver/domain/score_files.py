"""Files of scores: lines of CSV or NDJSON, read strictly, and written so that a spreadsheet takes text for text.

One line is one row, also in CSV: a name holds no line break, and a quote that was never closed spoils one line, not the
rest of the file. Text is UTF-8; CSV begins with a line that names its columns.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from homeserver.domain import instants, scores
from homeserver.errors import BadInput
from homeserver.model import Board

MAX_LINE_BYTES: Final = 64 * 1024
MAX_NAME: Final = 200
EARLIEST_MS: Final = 946_684_800_000
"""2000-01-01. A time in seconds, taken for milliseconds, lies before it."""
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_DUE: Final = ("player", "value")
_KNOWN: Final = ("player", "name", "value", "time")


class FileFormat(StrEnum):
    """How rows are written down."""

    CSV = "csv"
    NDJSON = "ndjson"


# --- reading --------------------------------------------------------------------------------------------------------


class Score(NamedTuple):
    """What a line says: `value` is a score of the board in its canonical text, `at_ms` None where no time is given."""

    line: int
    player: str
    name: str
    value: str
    at_ms: int | None


class BadLine(NamedTuple):
    """A line that says nothing usable, numbered from 1, and why."""

    line: int
    reason: str


def read(lines: Iterable[bytes], form: FileFormat, board: Board, now_ms: int) -> Iterator[Score | BadLine]:
    """What each line says; empty ones are left out.

    Args:
        lines: With or without their ends. One that is longer than `MAX_LINE_BYTES` is bad.
        now_ms: A time later than this is bad.

    Raises:
        BadInput: The first line of a CSV file does not name the columns `player` and `value`, or names others than
            these, `name` and `time`.
    """
    parse: Callable[[str], Mapping[str, object]] | None = _json if form is FileFormat.NDJSON else None
    for number, line in enumerate(lines, 1):
        try:
            text = _text(line, first=number == 1)
            if not text:
                continue
            if parse is None:
                parse = _rows_of(_cells(text))
                continue
            yield _score(number, parse(text), board, now_ms)
        except BadInput as error:
            if parse is None:  # without the names of its columns, no line says anything
                raise
            yield BadLine(number, f"{error.field}: {error}" if error.field else str(error))


def _text(line: bytes, *, first: bool) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise BadInput(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        return line.decode("utf-8-sig" if first else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadInput("not UTF-8") from None


def _cells(text: str) -> list[str]:
    try:
        (cells,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        raise BadInput(f"not a line of CSV: {error}") from None
    return cells


def _rows_of(columns: Sequence[str]) -> Callable[[str], Mapping[str, object]]:
    """How to read the rows of a file with these columns."""
    if any(due not in columns for due in _DUE):
        raise BadInput(f"the first line should name the columns: {', '.join(_KNOWN)} (name and time may be left out)")
    if unknown := [column for column in columns if column not in _KNOWN]:
        raise BadInput(f"no such column: {', '.join(unknown)[:80]}; known are {', '.join(_KNOWN)}")
    if len(set(columns)) != len(columns):
        raise BadInput("the first line names a column twice")

    def row(text: str) -> Mapping[str, object]:
        cells = _cells(text)
        if len(cells) != len(columns):
            raise BadInput(f"{len(cells)} cells under {len(columns)} columns")
        return {column: cell for column, cell in zip(columns, cells, strict=True) if cell or column in _DUE}

    return row


def _json(text: str) -> Mapping[str, object]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput("not a line of JSON") from None
    if not isinstance(row, dict):
        raise BadInput("not an object")
    for name in row:
        if name not in _KNOWN:
            raise BadInput(f"no such name: {name[:80]}; known are {', '.join(_KNOWN)}")
    return {name: value for name, value in row.items() if value is not None}


def _score(line: int, row: Mapping[str, object], board: Board, now_ms: int) -> Score:
    player, name, value = row.get("player"), row.get("name", ""), row.get("value")
    if not isinstance(player, str) or not player:
        raise BadInput("the container's user id is missing, or no text", field="player")
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise BadInput(f"no text, or longer than {MAX_NAME} characters", field="name")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadInput("missing, or neither text nor a whole number", field="value")
    score = scores.read(board, value)
    return Score(line, player, name, scores.exact(score, board.decimals), _time(row.get("time"), now_ms))


def _time(given: object, now_ms: int) -> int | None:
    """Milliseconds since the epoch, from a number of them or from ISO 8601 with a zone."""
    if given is None:
        return None
    at_ms: int | None = None
    if isinstance(given, int) and not isinstance(given, bool):
        at_ms = given
    elif isinstance(given, str):
        at_ms = int(given) if _NUMBER.fullmatch(given) else instants.parse(given)
    if at_ms is None:
        raise BadInput("neither milliseconds nor ISO 8601 with a zone, such as 2026-11-22T12:00:00Z", field="time")
    if at_ms < EARLIEST_MS:
        raise BadInput("before the year 2000 (milliseconds are due, not seconds)", field="time")
    if at_ms > now_ms:
        raise BadInput("in the future", field="time")
    return at_ms


# --- writing --------------------------------------------------------------------------------------------------------

COLUMNS: Final = ("rank", "player", "name", "score", "reached")
"""Of an export, in this order. `player` is the public id."""


class Row(NamedTuple):
    """One entry of an export. `score` is the exact decimal."""

    rank: int
    player: str
    name: str
    score: str
    reached_ms: int


def head(form: FileFormat) -> str:
    """What a file begins with, before its rows."""
    return f"{','.join(COLUMNS)}\n" if form is FileFormat.CSV else ""


def written(form: FileFormat, rows: Iterable[Row]) -> str:
    """These rows as lines. Times are ISO 8601 in UTC, to the millisecond."""
    if form is FileFormat.NDJSON:
        return "".join(
            json.dumps(dict(zip(COLUMNS, (*row[:4], instants.iso(row.reached_ms)), strict=True)), ensure_ascii=False)
            + "\n"
            for row in rows
        )
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows((row.rank, row.player, safe(row.name), row.score, instants.iso(row.reached_ms)) for row in rows)
    return text.getvalue()


_FORMULA: Final = re.compile(r"\s*[=+\-@\t\r＝＋－＠]")
_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


def safe(text: str) -> str:
    """The text for a cell of a spreadsheet that must not take it for a formula: then it has a ' in front.

    Line breaks and other control characters become blanks, so that one line is one row.
    """
    plain = _BREAKS.sub(" ", text)
    return f"'{plain}" if _FORMULA.match(text) else plain
