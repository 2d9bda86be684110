"""When players say that they reached a score: which words are a date that may be claimed, and which are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain import claimed_dates
from homeserver.domain.claimed_dates import CLOCKS_DIFFER_MS
from homeserver.errors import BadInput
from homeserver.model import Board
from tests.clock import NOON_MS


@pytest.mark.parametrize(
    "text",
    [
        "2008-10-30T18:30:02Z",  # the guide's form
        "2008-10-30",
        "2008-10-30T18:30",
        "2008-10-30 18:30:02",
        "2008-10-30T18:30:02.123456789Z",
        "2008-10-30T18:30:02-03:00",
        "2008-10-30T18:30:02+0530",
        "2008-02-29",
        "1970-01-01",
        "2026-11-22T12:04:59Z",  # clocks differ by a little
        "2026-11-22T15:00+03:00",
        "2026-11-23",  # it has begun where days begin first
        "2026-11-23T01:59",
    ],
)
def test_a_date_that_may_be_claimed(text: str) -> None:
    assert claimed_dates.read(text, NOON_MS) == text
    assert claimed_dates.shown(text, NOON_MS) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2026-11-22T12:05:01Z", "future"),
        ("2026-11-22T15:06+03:00", "future"),
        ("2026-11-24", "future"),
        ("2026-11-23T02:06", "future"),
        ("9999-12-31T23:59:59-23:59", "future"),
        ("1969-12-31", "1970"),
        ("0001-01-01", "1970"),
        ("0001-01-01T00:00:00+23:59", "1970"),
        *(
            (junk, "not a date")
            for junk in (
                "",
                " 2008-10-30",
                "2008-10-30 ",
                "2008-10-30\n",
                "2008-10-30T",
                "2008-10-30Z",
                "2008-13-01",
                "2007-02-29",
                "0000-01-01",
                "2008-10-30T24:00",
                "2008-10-30T18:60",
                "2008-10-30T18:30:60",
                "2008-10-30T18:30:02+99:00",
                "20081030",
                "2008-W44-4",
                "30.10.2008",
                "yesterday",
                "\u0662\u0660\u0660\u0668-10-30",
                "2008-10-30T18:30:02." + "1" * 30 + "Z",
                "1225391402",
            )
        ),
    ],
)
def test_what_may_not_be_claimed(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as refused:
        claimed_dates.read(text, NOON_MS)
    assert refused.value.field == "date"
    assert claimed_dates.shown(text, NOON_MS) is None


@given(st.text(max_size=50) | st.from_regex(claimed_dates._DATE, fullmatch=True))
def test_any_text_is_a_date_or_none(text: str) -> None:
    assert claimed_dates.shown(text, NOON_MS) in {text, None}


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2050, 1, 1)),  # noqa: DTZ001 - the zone is drawn apart
    st.integers(-12 * 60, 14 * 60),
)
def test_an_instant_may_be_claimed_once_it_was(wall: datetime, offset_minutes: int) -> None:
    wall = wall.replace(microsecond=0)
    sign, size = "-" if offset_minutes < 0 else "+", abs(offset_minutes)
    text = f"{wall:%Y-%m-%dT%H:%M:%S}{sign}{size // 60:02}:{size % 60:02}"
    instant = (wall - timedelta(minutes=offset_minutes)).replace(tzinfo=UTC)
    at_ms = int(instant.timestamp()) * 1000
    assert claimed_dates.shown(text, at_ms - CLOCKS_DIFFER_MS) == text
    assert claimed_dates.shown(text, at_ms - CLOCKS_DIFFER_MS - 1) is None


def test_the_keys_of_boards() -> None:
    boards = [
        Board("a", "A", "letters", date_field="last_letter_date"),
        Board("b", "B", "words", date_field="letters"),
        Board("c", "C", "best_time"),
    ]
    assert claimed_dates.keys(boards) == ("best_time", "last_letter_date", "letters", "words")
    assert claimed_dates.only_words(boards) == {"last_letter_date"}
    assert claimed_dates.keys([]) == ()
