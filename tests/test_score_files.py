"""Files of scores: what a line may say, why others are refused, and what a spreadsheet makes of an export."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain import score_files
from homeserver.domain.score_files import BadLine, FileFormat, Row, Score
from homeserver.errors import BadInput
from homeserver.model import Board
from tests.clock import NOON_MS

BOARD = Board("laps", "Laps", "laps", decimals=2, minimum=-1_000, maximum=100_000)
HEAD = b"player,name,value,time\n"


def read(*lines: bytes, form: FileFormat = FileFormat.CSV) -> list[Score | BadLine]:
    return list(score_files.read(lines, form, BOARD, NOON_MS))


def reason(line: bytes, form: FileFormat = FileFormat.CSV) -> str:
    """Why the line is refused; those before and behind it are not."""
    good = b"1,,2," if form is FileFormat.CSV else b'{"player":"1","value":2}'
    first = [HEAD] if form is FileFormat.CSV else []
    *_, before, found, after = read(*first, good, line, good, form=form)
    assert isinstance(before, Score)
    assert isinstance(after, Score)
    assert isinstance(found, BadLine)
    assert found.line == len(first) + 2
    return found.reason


def test_lines_of_csv() -> None:
    assert read(
        b"\xef\xbb\xbfplayer,name,value,time\r\n",
        b"0042,Maria,12.5,2026-11-22T13:00:00+01:00\r\n",
        b"\n",
        '17,"Da Silva, ""Zé""",-3,1795348800000\n'.encode(),
        b"9,,0,",
    ) == [
        Score(2, "0042", "Maria", "12.50", NOON_MS),
        Score(4, "17", 'Da Silva, "Zé"', "-3.00", NOON_MS),
        Score(5, "9", "", "0.00", None),
    ]


def test_columns_come_in_any_order_and_some_may_be_missing() -> None:
    assert read(b"value,player", b"1,2") == [Score(2, "2", "", "1.00", None)]


def test_lines_of_ndjson() -> None:
    assert read(
        '{"player":"0042","name":"Zé","value":"12.5","time":"2026-11-22T12:00:00Z"}\n'.encode(),
        b'{"player":"17","value":-3,"time":1795348800000,"name":null}\n',
        form=FileFormat.NDJSON,
    ) == [Score(1, "0042", "Zé", "12.50", NOON_MS), Score(2, "17", "", "-3.00", NOON_MS)]


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"", ""),
        (b"player,score", "the first line should name the columns"),
        (b"1,2,3", "the first line should name the columns"),
        (b"player,value,colour", "no such column: colour"),
        (b"player,value,value", "twice"),
        (b'"player,value', "not a line of CSV"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_file_that_does_not_name_its_columns_is_refused(head: bytes, why: str) -> None:
    if not head:
        assert read() == []
        return
    with pytest.raises(BadInput, match=why):
        read(head, b"1,2")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"1,,2", "3 cells under 4 columns"),
        (b"1,,2,,", "5 cells"),
        (b'1,"open,2,', "not a line of CSV"),
        (b'1,"a"b,2,', "not a line of CSV"),
        (b"1,\xe9,2,", "not UTF-8"),
        (b",,2,", "player: the container's user id is missing"),
        (b"1,,,", "value: not a plain number"),
        (b"1,,1e3,", "value: not a plain number"),
        (b"1,, 2,", "value: not a plain number"),
        (b"1,,2.001,", "value: more than 2 digits"),
        (b"1,,1000.01,", "value: more than 1000.00"),
        (b"1,,-10.01,", "value: less than -10.00"),
        (b"1,,2,yesterday", "time: neither"),
        (b"1,,2,2026-11-22T12:00:00", "time: neither"),  # whose midday?
        (b"1,,2,2026-11-22", "time: neither"),
        (b"1,,2,-5", "time: neither"),
        (b"1,,2,1795348800", "time: before the year 2000"),  # seconds
        (b"1,,2,1795348800001", "time: in the future"),
        (b"1,,2,2026-11-22T12:00:00.001Z", "time: in the future"),
        (b"1,,2,9999-12-31T23:59:59-23:59", "time: in the future"),
        (b"1," + b"x" * 201 + b",2,", "name: no text, or longer"),
        (b"1," + b"x" * 70_000 + b",2,", "longer than 65536 bytes"),
    ],
)
def test_a_bad_line_of_csv_is_named_and_stops_nothing(line: bytes, why: str) -> None:
    assert reason(line).startswith(why)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"nonsense", "not a line of JSON"),
        (b"[1]", "not an object"),
        (b"[" * 60_000, "not a line of JSON"),
        (b'{"player":"1","value":' + b"9" * 5_000 + b"}", "not a line of JSON"),
        (b'{"player":"1","value":2,"colour":1}', "no such name: colour"),
        (b'{"player":1,"value":2}', "player: "),
        (b'{"value":2}', "player: "),
        (b'{"player":"1"}', "value: missing"),
        (b'{"player":"1","value":2.5}', "value: missing, or neither"),
        (b'{"player":"1","value":true}', "value: missing, or neither"),
        (b'{"player":"1","value":[3]}', "value: missing, or neither"),
        (b'{"player":"1","value":NaN}', "value: missing, or neither"),
        (b'{"player":"1","name":5,"value":2}', "name: "),
        (b'{"player":"1","value":2,"time":1795348800000.5}', "time: neither"),
        (b'{"player":"1","value":2,"time":true}', "time: neither"),
    ],
)
def test_a_bad_line_of_ndjson_is_named_and_stops_nothing(line: bytes, why: str) -> None:
    assert reason(line, FileFormat.NDJSON).startswith(why)


@given(st.lists(st.binary(max_size=60)), st.sampled_from(FileFormat))
def test_any_bytes_are_scores_or_bad_lines(lines: list[bytes], form: FileFormat) -> None:
    for found in read(*([HEAD] if form is FileFormat.CSV else []), *lines, form=form):
        assert isinstance(found, Score | BadLine)


# --- writing ----------------------------------------------------------------------------------------------------------

ROWS = [
    Row(1, "ab12", "=1+1", "-12.50", NOON_MS),
    Row(2, "cd34", 'Zé, "o bom"', "0.00", NOON_MS + 7),
    Row(2, "ef56", "two\nlines", "0.00", NOON_MS),
]


def test_csv_has_stable_columns_and_numbers_stay_numbers() -> None:
    assert score_files.head(FileFormat.CSV) == "rank,player,name,score,reached\n"
    assert score_files.written(FileFormat.CSV, ROWS) == (
        "1,ab12,'=1+1,-12.50,2026-11-22T12:00:00.000Z\n"
        '2,cd34,"Zé, ""o bom""",0.00,2026-11-22T12:00:00.007Z\n'
        "2,ef56,two lines,0.00,2026-11-22T12:00:00.000Z\n"
    )


def test_ndjson_has_the_same_and_text_as_it_is() -> None:
    assert score_files.head(FileFormat.NDJSON) == ""
    lines = score_files.written(FileFormat.NDJSON, ROWS).splitlines()
    assert [*json.loads(lines[0]).items()] == [
        ("rank", 1),
        ("player", "ab12"),
        ("name", "=1+1"),
        ("score", "-12.50"),
        ("reached", "2026-11-22T12:00:00.000Z"),
    ]
    assert json.loads(lines[2])["name"] == "two\nlines"


@pytest.mark.parametrize("name", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "  =1", "\n=1", "＝1", "－1"])
def test_a_name_that_a_spreadsheet_would_run_is_made_text(name: str) -> None:
    assert score_files.safe(name).startswith("'")


@given(st.text())
def test_any_name_is_one_cell_of_one_line(name: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    text = score_files.written(FileFormat.CSV, [Row(1, "ab12", name, "5", NOON_MS)])
    ((_, _, cell, _, _),) = csv.reader(io.StringIO(text, newline=""))
    assert cell[:1] not in {"=", "+", "-", "@", "\t", "\r"}
    assert len(text.splitlines()) == 1
