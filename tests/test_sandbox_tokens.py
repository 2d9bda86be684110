"""Tokens of the storage stand-in."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.sandbox.tokens import Tokens
from tests.clock import Clock


def test_a_token_has_the_captured_shape(clock: Clock) -> None:
    tokens = Tokens(key=b"k", now_ms=clock.now_ms, lifetime_ms=3_600_000)
    for user in ("a", "bc", "marie", "chloé", "x" * 100):
        token = tokens.issue(user)
        assert re.fullmatch(r"B64[A-Za-z0-9+/]+=\|sau=3\|ted=\d{10}\|[A-Za-z0-9+/]{27}=", token)
        assert {"+", "/", "=", "|"} <= set(token)
        assert f"|ted={clock.now_ms() // 1000 + 3600}|" in token
        assert tokens.user_of(token) == user


def test_tokens_end(clock: Clock) -> None:
    tokens = Tokens(key=b"k", now_ms=clock.now_ms, lifetime_ms=3_600_000)
    token = tokens.issue("marie")
    clock.advance(ms=3_599_999)
    assert tokens.user_of(token) == "marie"
    clock.advance(ms=1)
    assert tokens.user_of(token) is None


def test_tokens_outlive_a_restart_and_nothing_else(clock: Clock) -> None:
    token = Tokens(key=b"k", now_ms=clock.now_ms, lifetime_ms=1000).issue("marie")
    assert Tokens(key=b"k", now_ms=clock.now_ms, lifetime_ms=9).user_of(token) == "marie"
    assert Tokens(key=b"l", now_ms=clock.now_ms, lifetime_ms=9).user_of(token) is None


@given(st.data())
def test_a_changed_token_is_refused(data: st.DataObject) -> None:
    tokens = Tokens(key=b"k", now_ms=Clock().now_ms, lifetime_ms=3_600_000)
    token = tokens.issue("marie")
    at = data.draw(st.integers(0, len(token) - 1))
    # The last character of 28 carries padding bits that base64 readers ignore.
    new = data.draw(st.characters().filter(lambda character: character != token[at]))
    if at != len(token) - 2:
        assert tokens.user_of(token[:at] + new + token[at + 1 :]) is None
    assert tokens.user_of(data.draw(st.text())) is None


@pytest.mark.parametrize(
    "token", ["", "Hjlkzjlfkzef23423kjlkjr", "B64A=|sau=3|ted=1795348800|AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "B64\ud800"]
)
def test_text_that_is_no_token(token: str, clock: Clock) -> None:
    assert Tokens(key=b"k", now_ms=clock.now_ms, lifetime_ms=9).user_of(token) is None
