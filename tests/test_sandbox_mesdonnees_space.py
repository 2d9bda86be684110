"""The storage stand-in's own rules: nothing in it grows without an end."""

from __future__ import annotations

import pytest

from homeserver.sandbox import mesdonnees_space
from homeserver.sandbox.mesdonnees_space import StorageSpace
from tests.clock import Clock


@pytest.fixture
def space(clock: Clock) -> StorageSpace:
    return StorageSpace(now_ms=clock.now_ms, quota_bytes=1 << 30, url_lifetime_ms=1000)


def store(space: StorageSpace, name: str) -> None:
    ticket = space.take(space.issue(space.users["marie"], name, 1).id)
    assert ticket is not None
    assert space.store(ticket, sha256="", media_type="a/b", filename=name)


def test_a_name_stored_twice_is_the_later_file(space: StorageSpace) -> None:
    for name in ("a", "b", "a"):
        store(space, name)
    assert [file.content_id for file in space.received] == ["6174", "6175", "6176"]
    assert {name: file.content_id for name, file in space.files.items()} == {"b": "6175", "a": "6176"}


def test_the_newest_files_are_kept(space: StorageSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesdonnees_space, "MAX_FILES_LISTED", 2)
    for name in ("a", "b", "a", "c"):
        store(space, name)
    assert list(space.files) == ["a", "c"]


def test_the_newest_tickets_are_kept(space: StorageSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesdonnees_space, "MAX_OPEN_TICKETS", 2)
    tickets = [space.issue(space.users["marie"], "a", 1) for _ in range(3)]
    assert [space.take(ticket.id) is not None for ticket in tickets] == [False, True, True]


def test_tickets_past_their_time_make_room(space: StorageSpace, clock: Clock) -> None:
    old = space.issue(space.users["marie"], "old", 1)
    assert space.peek_name(old.id) == "old"
    clock.advance(ms=1000)
    space.issue(space.users["marie"], "new", 1)
    assert space.peek_name(old.id) == ""


def test_a_repr_shows_no_secret(space: StorageSpace) -> None:
    ticket = space.issue(space.users["marie"], "a", 1)
    assert ticket.cookie not in repr(ticket)
    assert ticket.id not in repr(ticket)
