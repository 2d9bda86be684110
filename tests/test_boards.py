"""Definitions of boards: read, refused, written down, compared."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain import boards, scores
from homeserver.errors import BadInput
from homeserver.model import Board, Counts, Format, Keep, Kept, Order, Season, Span, Ties

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
    "counts": "gained",
    "largest_step": "12.50",
    "largest_gain_per_hour": 100,
    "date_field": "last_lap_date",
    "seasons": [
        {"id": "late", "title": "Late", "starts": "2026-12-01T00:00:00-03:00", "ends": "2027-01-01T03:00:00Z"},
        {"id": "early", "title": "Early", "starts": "2026-01-01T00:00:00.500Z", "ends": "2026-12-31T00:00:00Z"},
    ],
    "kept": {"week": 4},
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
        spans=(Span.ALL, Span.SEASON, Span.WEEK),
        zone="America/Sao_Paulo",
        first_weekday=6,
        decimals=2,
        format=Format.DURATION,
        minimum=50,
        maximum=360_000,
        counts=Counts.GAINED,
        largest_step=1_250,
        largest_gain_per_hour=10_000,
        date_field="last_lap_date",
        seasons=(
            Season("early", "Early", 1_767_225_600_500, 1_798_675_200_000),
            Season("late", "Late", 1_796_094_000_000, 1_798_772_400_000),
        ),
        kept=Kept(month=120, week=4, day=400),
    )


def test_a_date_and_time_of_toml_is_read_too() -> None:
    board = boards.board_from(
        {
            **LEAST,
            **tomllib.loads(
                'seasons = [{id = "x", title = "X", starts = 2026-12-01T00:00:00-03:00, ends = 2027-01-01T00:00:00Z}]'
            ),
        }
    )
    assert board.seasons == (Season("x", "X", 1_796_094_000_000, 1_798_761_600_000),)


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
        ("spans", ["all", "season"]),  # comes with the seasons
        ("counts", "lost"),
        ("largest_step", 0),
        ("largest_step", "-1"),
        ("largest_step", 1.5),
        ("largest_gain_per_hour", "0"),
        ("largest_gain_per_hour", True),
        ("date_field", "a b"),
        ("date_field", ""),
        ("date_field", "letters"),  # the field of the score
        ("kept", 5),
        ("kept", None),
        ("kept", {"day": 0}),
        ("kept", {"day": 10_001}),
        ("kept", {"season": 3}),
        ("kept", {"day": "3"}),
        ("seasons", {}),
        ("seasons", "spring"),
        ("seasons", [1]),
        ("seasons", [None]),
        ("seasons", [{}] * 201),
        ("colour", "red"),
    ],
)
def test_what_is_not_right_is_named(name: str, value: object) -> None:
    with pytest.raises(BadInput) as refused:
        boards.board_from({**LEAST, name: value})
    assert refused.value.field == name


SEASON = {"id": "x", "title": "X", "starts": "2026-12-01T00:00:00Z", "ends": "2027-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "X"),
        ("id", None),
        ("title", ""),
        ("title", "a\nb"),
        ("starts", "2026-12-01"),
        ("starts", "2026-12-01T00:00:00"),  # no zone
        ("starts", "1969-12-31T23:59:59Z"),
        ("starts", 1_796_094_000_000),
        ("starts", datetime(2026, 12, 1)),  # noqa: DTZ001 - no zone
        ("ends", "9999-12-31T23:59:59Z"),
        ("ends", "2026-12-01T00:00:00Z"),  # holds no moment
        ("ends", "2026-12-01T00:00:00-0\u0663:00"),
        ("ends", None),
        ("colour", "red"),
    ],
)
def test_what_is_not_right_about_a_season_is_named(name: str, value: object) -> None:
    with pytest.raises(BadInput, match=name) as refused:
        boards.board_from({**LEAST, "seasons": [{**SEASON, "id": "other"}, {**SEASON, name: value}]})
    assert refused.value.field == "seasons"
    if name != "colour":
        assert str(refused.value).startswith(f"number 2, {name}: ")


def test_a_season_is_there_once() -> None:
    with pytest.raises(BadInput, match="number 2, id: 'x' is there twice"):
        boards.board_from({**LEAST, "seasons": [SEASON, {**SEASON, "title": "Y"}]})


def test_a_long_difference_is_cut_short() -> None:
    served = boards.board_from(LEAST)
    asked = boards.board_from({**LEAST, "seasons": [{**SEASON, "id": f"x{number}"} for number in range(200)]})
    (said,) = boards.differences(served, asked)
    assert len(said) < 300


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
SEASONS = st.lists(
    st.builds(
        lambda id_, starts_ms, length_ms: Season(id_, "A season", starts_ms, starts_ms + length_ms),
        st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True),
        st.integers(0, boards.LAST_MS // 2),
        st.integers(1, boards.LAST_MS // 2 - 1),
    ),
    max_size=5,
    unique_by=lambda season: season.id,
).map(lambda some: tuple(sorted(some, key=lambda season: (season.starts_ms, season.ends_ms, season.id))))
DEFINITIONS = st.builds(
    Board,
    id=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True),
    title=st.just("Título"),
    field=st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True),
    order=st.sampled_from(Order),
    keep=st.sampled_from(Keep),
    ties=st.sampled_from(Ties),
    spans=st.sets(st.sampled_from(Span)).map(
        lambda some: tuple(span for span in Span if span in {Span.ALL, *some} - {Span.SEASON})
    ),
    zone=st.sampled_from(["UTC", "America/Sao_Paulo", "Europe/Paris", "Pacific/Apia"]),
    first_weekday=st.integers(0, 6),
    decimals=st.integers(0, 9),
    format=st.sampled_from(Format),
    minimum=st.none() | SCORES.filter(lambda score: score < 0),
    maximum=st.none() | SCORES.filter(lambda score: score >= 0),
    counts=st.sampled_from(Counts),
    largest_step=st.none() | st.integers(1, scores.INT64_MAX),
    largest_gain_per_hour=st.none() | st.integers(1, scores.INT64_MAX),
    date_field=st.none() | st.just("an-own.field_of.it"),
    seasons=SEASONS,
    kept=st.builds(Kept, *[st.integers(1, boards.MAX_KEPT)] * 3),
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
        "counts": Counts.REACHED,
        "largest_step": None,
        "largest_gain_per_hour": 10_001,
        "seasons": board.seasons[:1],
    }
    digests = {boards.digest(dataclasses.replace(board, **{name: value})) for name, value in others.items()}  # type: ignore[arg-type]
    assert len(digests | {boards.digest(board)}) == len(others) + 1
    renamed = tuple(dataclasses.replace(season, title="Renamed") for season in board.seasons)
    shown = dataclasses.replace(board, title="Lap", format=Format.MONEY, date_field=None, kept=Kept(), seasons=renamed)
    assert boards.digest(shown) == boards.digest(board)
    for changes in ({"id": "later"}, {"starts_ms": 1}, {"ends_ms": 2_000_000_000_000}):
        moved = (dataclasses.replace(board.seasons[0], **changes), board.seasons[1])
        assert boards.digest(dataclasses.replace(board, seasons=moved)) != boards.digest(board)


def test_differences_are_said_in_words() -> None:
    served = boards.board_from({**LEAST, "minimum": "0"})
    asked = boards.board_from(
        {**LEAST, "ties": "dense", "title": "Cartas", "largest_step": 5, "kept": {"day": 1}, "seasons": [SEASON]}
    )
    assert boards.differences(served, asked) == (
        'title is "Letters written", the settings say "Cartas"',
        'ties is "competition", the settings say "dense"',
        'minimum is "0", the settings say not set',
        'largest_step is not set, the settings say "5"',
        f"seasons is not set, the settings say {json.dumps(boards.board_to(asked)['seasons'])}",
        'kept is {"month": 120, "week": 200, "day": 400}, the settings say {"month": 120, "week": 200, "day": 1}',
    )
    assert boards.differences(served, served) == ()
