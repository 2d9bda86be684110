"""Definitions of boards: read, refused, written down, compared."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain import boards, scores
from homeserver.errors import BadInput
from homeserver.model import Board, Format, Keep, Order, Span, Ties

LEAST = {"id": "letters", "title": "Letters written", "field": "letters"}
WHOLE = {
    "id": "fast",
    "title": "Fastest lap",
    "field": "lap.time",
    "order": "less",
    "keep": "latest",
    "ties": "dense",
    "spans": ["all", "week"],
    "zone": "America/Sao_Paulo",
    "first_weekday": "sunday",
    "decimals": 2,
    "format": "duration",
    "minimum": "0.50",
    "maximum": "3600.00",
}


def test_what_is_left_out_has_a_default() -> None:
    assert boards.board_from(LEAST) == Board("letters", "Letters written", "letters")


def test_everything_is_read() -> None:
    assert boards.board_from(WHOLE) == Board(
        id="fast",
        title="Fastest lap",
        field="lap.time",
        order=Order.LESS,
        keep=Keep.LATEST,
        ties=Ties.DENSE,
        spans=(Span.ALL, Span.WEEK),
        zone="America/Sao_Paulo",
        first_weekday=6,
        decimals=2,
        format=Format.DURATION,
        minimum=50,
        maximum=360_000,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", ""),
        ("id", "Letters"),
        ("id", "a/b"),
        ("id", "a" * 65),
        ("id", 3),
        ("id", None),
        ("title", ""),
        ("title", " x"),
        ("title", "a\nb"),
        ("title", "x" * 201),
        ("field", ""),
        ("field", "*"),
        ("field", "a b"),
        ("field", "a,b"),
        ("order", "most"),
        ("order", 1),
        ("keep", "sum"),
        ("ties", ["dense"]),
        ("spans", []),
        ("spans", ["day"]),  # every board has all
        ("spans", ["all", "year"]),
        ("spans", "all"),
        ("spans", [["all"]]),
        ("zone", "Nowhere/City"),
        ("zone", "../etc/passwd"),
        ("zone", "/etc/localtime"),
        ("zone", "America"),
        ("zone", ""),
        ("zone", "a\x00b"),
        ("first_weekday", "Monday"),
        ("first_weekday", 0),
        ("decimals", -1),
        ("decimals", 10),
        ("decimals", True),
        ("decimals", "2"),
        ("format", "float"),
        ("minimum", 12.5),
        ("minimum", "1e3"),
        ("minimum", True),
        ("minimum", "0.5"),  # no decimals here
        ("maximum", 2**63),
        ("colour", "red"),
    ],
)
def test_what_is_not_right_is_named(name: str, value: object) -> None:
    with pytest.raises(BadInput) as refused:
        boards.board_from({**LEAST, name: value})
    assert refused.value.field == name


@pytest.mark.parametrize("name", ["id", "title", "field"])
def test_what_is_due_is_missed(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        boards.board_from({key: value for key, value in LEAST.items() if key != name})
    assert refused.value.field == name


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(BadInput) as refused:
        boards.board_from({**LEAST, "minimum": "10", "maximum": "9"})
    assert refused.value.field == "maximum"
    assert boards.board_from({**LEAST, "minimum": 9, "maximum": 9}).maximum == 9


def test_the_message_does_not_repeat_a_huge_value() -> None:
    with pytest.raises(BadInput) as refused:
        boards.board_from({**LEAST, "title": "x" * 100_000})
    assert len(str(refused.value)) < 200


SCORES = st.integers(scores.INT64_MIN, scores.INT64_MAX)
DEFINITIONS = st.builds(
    Board,
    id=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True),
    title=st.just("Título"),
    field=st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True),
    order=st.sampled_from(Order),
    keep=st.sampled_from(Keep),
    ties=st.sampled_from(Ties),
    spans=st.sets(st.sampled_from(Span)).map(lambda some: tuple(span for span in Span if span in {Span.ALL, *some})),
    zone=st.sampled_from(["UTC", "America/Sao_Paulo", "Europe/Paris", "Pacific/Apia"]),
    first_weekday=st.integers(0, 6),
    decimals=st.integers(0, 9),
    format=st.sampled_from(Format),
    minimum=st.none() | SCORES.filter(lambda score: score < 0),
    maximum=st.none() | SCORES.filter(lambda score: score >= 0),
)


@given(DEFINITIONS)
def test_what_is_written_down_as_json_is_read_back(board: Board) -> None:
    assert boards.board_from(json.loads(json.dumps(boards.board_to(board)))) == board
    assert boards.checked(board) == board


def test_a_board_made_wrong_is_found_out() -> None:
    with pytest.raises(BadInput):
        boards.checked(Board("b", "B", "f", spans=(Span.DAY,)))


def test_the_digest_changes_with_what_decides_who_stands_where() -> None:
    board = boards.board_from(WHOLE)
    others = {
        "field": "lap",
        "order": Order.MORE,
        "keep": Keep.BEST,
        "ties": Ties.ORDINAL,
        "spans": (Span.ALL,),
        "zone": "UTC",
        "first_weekday": 0,
        "decimals": 3,
        "minimum": None,
        "maximum": 1_000_000,
    }
    digests = {boards.digest(dataclasses.replace(board, **{name: value})) for name, value in others.items()}  # type: ignore[arg-type]
    assert len(digests | {boards.digest(board)}) == len(others) + 1
    assert boards.digest(dataclasses.replace(board, title="Lap", format=Format.MONEY)) == boards.digest(board)


def test_differences_are_said_in_words() -> None:
    served = boards.board_from({**LEAST, "minimum": "0"})
    asked = boards.board_from({**LEAST, "ties": "dense", "title": "Cartas"})
    assert boards.differences(served, asked) == (
        'title is "Letters written", the settings say "Cartas"',
        'ties is "competition", the settings say "dense"',
        'minimum is "0", the settings say not set',
    )
    assert boards.differences(served, served) == ()
