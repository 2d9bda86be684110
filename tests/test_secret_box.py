"""Keys by purpose, and what is sealed with them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import SealBroken
from homeserver.services.secret_box import SecretBox, derive

OLD, NEW = derive("the old secret", "tokens"), derive("the new secret", "tokens")


def test_each_purpose_and_each_secret_has_its_own_key_always_the_same() -> None:
    assert derive("secret", "cursors").hex() == derive("secret", "cursors").hex()
    assert len({derive("secret", "cursors"), derive("secret", "tokens"), derive("secret2", "tokens")}) == 3


def test_the_keys_never_change() -> None:
    """Whatever is sealed in a database today opens with tomorrow's version."""
    assert derive("secret", "tokens").hex() == "d57dbc0d2fafacda9e7fda39be5ddde9e8e57d0d42b68d922e1db351f4e3f8fd"


@given(st.text(), st.text())
def test_what_is_sealed_opens(text: str, bound_to: str) -> None:
    box = SecretBox([NEW])
    assert box.open(box.seal(text, bound_to=bound_to), bound_to=bound_to) == text


def test_sealing_twice_gives_two_texts_and_neither_shows_the_secret() -> None:
    box = SecretBox([NEW])
    first, second = box.seal("B64secret|sau=3"), box.seal("B64secret|sau=3")
    assert first != second
    assert b"B64secret" not in urlsafe_b64decode(first)


def test_a_replaced_key_still_opens_and_no_longer_seals() -> None:
    sealed = SecretBox([OLD]).seal("token")
    both = SecretBox([NEW, OLD])
    assert both.open(sealed) == "token"
    assert SecretBox([NEW]).open(both.seal("token")) == "token"
    with pytest.raises(SealBroken):
        SecretBox([NEW]).open(sealed)


def test_a_text_moved_to_another_row_does_not_open() -> None:
    box = SecretBox([NEW])
    with pytest.raises(SealBroken):
        box.open(box.seal("token", bound_to="mine"), bound_to="yours")


def test_one_changed_bit_anywhere_is_noticed() -> None:
    box = SecretBox([NEW])
    content = urlsafe_b64decode(box.seal("token"))
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        with pytest.raises(SealBroken):
            box.open(urlsafe_b64encode(bytes(changed)).decode())


@pytest.mark.parametrize("junk", ["", "x", "é", "AAAA", "A" * 1000, "\x00"])
def test_junk_does_not_open(junk: str) -> None:
    with pytest.raises(SealBroken):
        SecretBox([NEW, OLD]).open(junk)


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b""]])
def test_a_box_without_proper_keys_cannot_be_made(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SecretBox(keys)


def test_only_what_an_older_key_sealed_is_sealed_anew() -> None:
    both = SecretBox([NEW, OLD])
    anew = both.resealed(SecretBox([OLD]).seal("token", bound_to="mine"), bound_to="mine")
    assert anew is not None
    assert SecretBox([NEW]).open(anew, bound_to="mine") == "token"
    assert both.resealed(anew, bound_to="mine") is None
    with pytest.raises(SealBroken):
        both.resealed(anew, bound_to="yours")
