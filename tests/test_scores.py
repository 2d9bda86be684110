"""Scores: what is one, exactly; how it is written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain import scores
from homeserver.errors import BadInput
from homeserver.model import Board, Format, Order

INT64 = st.integers(scores.INT64_MIN, scores.INT64_MAX)
DECIMALS = st.integers(0, scores.MAX_DECIMALS)


@pytest.mark.parametrize(
    ("text", "decimals", "score"),
    [
        ("0", 0, 0),
        ("3", 0, 3),
        ("-3", 0, -3),
        ("9007199254740993", 0, 2**53 + 1),  # a double has no such number
        ("9223372036854775807", 0, 2**63 - 1),
        ("9223372036854775806", 0, 2**63 - 2),
        ("-9223372036854775808", 0, -(2**63)),
        ("12", 2, 1200),
        ("12.5", 2, 1250),
        ("12.50", 2, 1250),
        ("-0.01", 2, -1),
        ("92233720368547758.07", 2, 2**63 - 1),
    ],
)
def test_a_plain_number_is_a_score(text: str, decimals: int, score: int) -> None:
    assert scores.parse(text, decimals) == score


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " 3",
        "3 ",
        "3\n",
        "+3",
        "03",
        "00",
        "3.",
        ".5",
        "3.0",  # this board has whole numbers
        "1e3",
        "0x10",
        "1_000",
        "1,000",
        "nan",
        "inf",
        "-inf",
        "-",
        "--3",
        "-0",
        "-00",
        "\u0663",  # Arabic-Indic digit three
        "\u00b3",  # superscript three
        "\uff13",  # fullwidth digit three
        "3\x00",
        "\x003",
        "true",
        "null",
        "[3]",
        '"3"',
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
        "1" * 1_000_000,
        "\ud800",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        scores.parse(text, 0)
    assert refused.value.field == "value"


@pytest.mark.parametrize("text", ["12.505", "12.500", "-0.00", "92233720368547758.08", "1.2.3", "1.-2", "1. 2"])
def test_what_does_not_fit_the_decimals_is_refused_never_rounded(text: str) -> None:
    with pytest.raises(BadInput):
        scores.parse(text, 2)


@given(INT64, DECIMALS)
def test_the_exact_text_is_read_back_and_says_the_same_number(score: int, decimals: int) -> None:
    text = scores.exact(score, decimals)
    assert scores.parse(text, decimals) == score
    assert Decimal(text).scaleb(decimals) == score


@given(st.text(), DECIMALS)
def test_any_text_is_a_score_or_bad_input(text: str, decimals: int) -> None:
    try:
        score = scores.parse(text, decimals)
    except BadInput:
        return
    assert Decimal(text).scaleb(decimals) == score


@given(INT64, INT64)
def test_keys_sort_from_best_to_worst_within_64_bits(one: int, other: int) -> None:
    more, less = (scores.key_of(one, order) for order in (Order.MORE, Order.LESS))
    assert scores.INT64_MIN <= more <= scores.INT64_MAX
    assert (more < scores.key_of(other, Order.MORE)) == (one > other)
    assert (less < scores.key_of(other, Order.LESS)) == (one < other)
    assert [scores.score_of(more, Order.MORE), scores.score_of(less, Order.LESS)] == [one, one]


def test_neighbours_beyond_the_doubles_stay_apart() -> None:
    for score in (2**53, 2**63 - 2):
        assert scores.key_of(score, Order.MORE) != scores.key_of(score + 1, Order.MORE)


def test_the_range_of_a_board_includes_its_ends() -> None:
    board = Board("b", "B", "f", decimals=1, minimum=-5, maximum=1000)
    assert [scores.read(board, text) for text in ("-0.5", "100", "100.0")] == [-5, 1000, 1000]
    with pytest.raises(BadInput, match=r"less than -0\.5"):
        scores.read(board, "-0.6")
    with pytest.raises(BadInput, match=r"more than 100\.0"):
        scores.read(board, "100.1")


@pytest.mark.parametrize(
    ("format_", "decimals", "score", "shown"),
    [
        (Format.INTEGER, 0, 0, "0"),
        (Format.INTEGER, 0, 1032, "1,032"),
        (Format.INTEGER, 0, -1234567, "-1,234,567"),
        (Format.INTEGER, 0, 2**53 + 1, "9,007,199,254,740,993"),
        (Format.INTEGER, 2, 123450, "1,234.50"),
        (Format.MONEY, 0, 1234, "1,234.00"),
        (Format.MONEY, 1, 12345, "1,234.50"),
        (Format.MONEY, 2, -5, "-0.05"),
        (Format.MONEY, 3, 1234567, "1,234.567"),
        (Format.DURATION, 0, 59, "0:59"),
        (Format.DURATION, 0, 3723, "1:02:03"),
        (Format.DURATION, 2, 5995, "0:59.95"),
        (Format.DURATION, 0, -61, "-1:01"),
        (Format.DURATION, 0, 3_600_000, "1000:00:00"),
    ],
)
def test_display(format_: Format, decimals: int, score: int, shown: str) -> None:
    assert scores.display(score, Board("b", "B", "f", format=format_, decimals=decimals)) == shown
