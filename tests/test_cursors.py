"""Cursors: read back in their own scope, refused everywhere else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain.cursors import Cursor, Cursors, Direction, Scope
from homeserver.errors import BadCursor, StaleCursor
from homeserver.model import Position

KEY = b"k" * 32
SCOPE = Scope(("all", "letters", "week"), ("week:2026-W47", "0123456789abcdef", "1"))
INT64 = st.integers(-(2**63), 2**63 - 1)
CURSORS = st.builds(Cursor, st.sampled_from(Direction), st.builds(Position, INT64, INT64, INT64))
ONE = Cursor(Direction.NEXT, Position(-215, 1_795_348_800_000, 4_711))


@given(CURSORS)
def test_a_cursor_is_read_back(cursor: Cursor) -> None:
    text = Cursors(KEY).seal(SCOPE, cursor)
    assert Cursors(KEY).open(SCOPE, text) == cursor
    assert text == Cursors(KEY).seal(SCOPE, cursor)
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in text)


def test_it_tells_nothing_of_what_is_in_it() -> None:
    text = Cursors(KEY).seal(SCOPE, ONE)
    sealed = base64.urlsafe_b64decode(text + "==")
    for number in (ONE.position.player, ONE.position.reached_ms, ONE.position.key):
        assert number.to_bytes(8, "big", signed=True) not in sealed


@pytest.mark.parametrize(("half", "error"), [("view", BadCursor), ("state", StaleCursor)])
@pytest.mark.parametrize("part", range(3))
def test_a_cursor_of_another_scope_is_refused(half: str, error: type[BadCursor], part: int) -> None:
    cursors = Cursors(KEY)
    texts = getattr(SCOPE, half)
    other = tuple(f"{text}x" if number == part else text for number, text in enumerate(texts))
    with pytest.raises(BadCursor) as refused:
        cursors.open(SCOPE._replace(**{half: other}), cursors.seal(SCOPE, ONE))
    assert type(refused.value) is error
    assert (refused.value.code, refused.value.field) == (error.code, "cursor")


def test_what_is_foreign_and_stale_is_foreign() -> None:
    cursors = Cursors(KEY)
    with pytest.raises(BadCursor) as refused:
        cursors.open(Scope(("friends", *SCOPE.view[1:]), ()), cursors.seal(SCOPE, ONE))
    assert refused.value.code == "bad_cursor"


def test_parts_of_a_scope_do_not_run_together() -> None:
    cursors = Cursors(KEY)
    for one, other in (
        (Scope(("a", "bc"), ()), Scope(("ab", "c"), ())),
        (Scope((), ("a", "bc")), Scope((), ("ab", "c"))),
        (Scope(("a",), ("b",)), Scope(("a", "b"), ())),
    ):
        with pytest.raises(BadCursor):
            cursors.open(other, cursors.seal(one, ONE))


def test_a_cursor_of_another_key_is_refused() -> None:
    with pytest.raises(BadCursor):
        Cursors(b"other key, also long").open(SCOPE, Cursors(KEY).seal(SCOPE, ONE))
    with pytest.raises(ValueError, match="16 bytes"):
        Cursors(b"short")


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_a_change_of_any_character_is_found() -> None:
    cursors = Cursors(KEY)
    text = cursors.seal(SCOPE, ONE)
    for place in range(len(text)):
        for letter in set(ALPHABET) - {text[place]}:
            with pytest.raises(BadCursor):
                cursors.open(SCOPE, text[:place] + letter + text[place + 1 :])


def test_cut_and_lengthened_cursors_are_refused() -> None:
    cursors = Cursors(KEY)
    text = cursors.seal(SCOPE, ONE)
    for end in range(len(text)):
        with pytest.raises(BadCursor):
            cursors.open(SCOPE, text[:end])
    for junk in ("A", "=", "==", "\n", " ", "\x00", "A" * 1_000_000):
        with pytest.raises(BadCursor):
            cursors.open(SCOPE, text + junk)


@given(st.text())
def test_any_text_is_refused_as_a_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        Cursors(KEY).open(SCOPE, text)
