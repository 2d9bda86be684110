"""Changing the secret key: while both are given everything opens, and afterwards nothing needs the old one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from homeserver.errors import SealBroken
from homeserver.services import key_rotation
from homeserver.services.key_rotation import PURPOSES, rotate
from homeserver.services.secret_box import SecretBox, derive
from homeserver.storage import seals, sessions, sign_ins, uploads
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.seals import Place, Sealed
from homeserver.storage.sessions import PageRow
from tests.clock import Clock
from tests.uploads.test_rows import UPLOAD

OLD, NEW, OTHER = "the secret key of before", "the secret key from now on", "a key that nobody has any more"


def boxes(*secrets: str) -> dict[str, SecretBox]:
    return {purpose: SecretBox([derive(secret, purpose) for secret in secrets]) for purpose in PURPOSES}


async def fill(database: Database, secret: str, name: str, until_ms: int) -> None:
    """A session, an upload and a sign-in of one person, sealed with one key; and a session with nothing sealed."""
    made = boxes(secret)
    session, upload, ticket = f"session {name}", f"upload {name}", f"ticket {name}"

    async def work(tx: Transaction) -> None:
        sealed = made["page sessions"].seal(f"token {name}", bound_to=session)
        await sessions.add_page_session(tx, PageRow(session, until_ms, None, name, name, sealed))
        await sessions.add_page_session(tx, PageRow(f"empty {name}", until_ms))
        row = replace(UPLOAD, id=upload)
        await uploads.add(tx, row, made["uploads"].seal(f"token {name}", bound_to=upload))
        await sign_ins.add_ticket(tx, ticket, made["sign-in"].seal(f"token {name}", bound_to=ticket), until_ms)

    await database.write(work)


async def tokens(database: Database, *secrets: str) -> set[str]:
    """What opens with these keys."""
    found = set()
    for purpose, place in PURPOSES.items():
        for each in await all_of(database, place):
            try:
                found.add(f"{purpose}: {boxes(*secrets)[purpose].open(each.text, bound_to=each.row)}")
            except SealBroken:
                continue
    return found


async def all_of(database: Database, place: Place) -> list[Sealed]:
    return await database.read(lambda reader: seals.some(reader, place, "", 10_000))


def of(*names: str) -> set[str]:
    return {f"{purpose}: token {name}" for purpose in PURPOSES for name in names}


async def test_what_the_old_key_sealed_opens_before_and_after(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "AT_ONCE", 2)
    until_ms = clock.now_ms() + 3_600_000
    for name in ("ana", "bruno", "carla", "dora", "eva"):
        await fill(database, OLD, name, until_ms)
    await fill(database, NEW, "new", until_ms)
    await fill(database, OTHER, "lost", until_ms)
    everybody = of("ana", "bruno", "carla", "dora", "eva", "new")
    assert await tokens(database, NEW, OLD) == everybody
    assert await tokens(database, NEW) == of("new")
    seen: list[tuple[int, int]] = []
    done = await rotate(database, boxes(NEW, OLD), lambda *at: seen.append(at))
    assert (done.resealed, done.new, done.lost) == (15, 3, 3)
    assert seen[-1] == (21, 21)
    assert await tokens(database, NEW) == everybody
    assert await tokens(database, OLD) == set()
    again = await rotate(database, boxes(NEW, OLD))
    assert (again.resealed, again.new, again.lost) == (0, 18, 3)


async def test_who_signs_out_meanwhile_stays_signed_out(database: Database, clock: Clock) -> None:
    """And a token that a server has put there since is not replaced by the one of before."""
    await fill(database, OLD, "ana", clock.now_ms() + 3_600_000)
    (old,) = await all_of(database, Place.PAGE_SESSIONS)
    fresh = Sealed(old.row, boxes(NEW)["page sessions"].seal("newer", bound_to=old.row))
    assert await database.write(lambda tx: seals.replace(tx, Place.PAGE_SESSIONS, old, fresh.text))
    assert not await database.write(lambda tx: seals.replace(tx, Place.PAGE_SESSIONS, old, "stale"))
    assert await all_of(database, Place.PAGE_SESSIONS) == [fresh]
    await database.write(lambda tx: sessions.drop_token(tx, old.row))
    assert not await database.write(lambda tx: seals.replace(tx, Place.PAGE_SESSIONS, fresh, "stale"))
    assert await all_of(database, Place.PAGE_SESSIONS) == []


def test_every_purpose_of_a_box_is_known_here() -> None:
    """One that is added is rotated, too."""
    wiring = Path(key_rotation.__file__).parent.parent / "wiring.py"
    used = set(re.findall(r'secret_box\(settings, "([^"]+)"\)', wiring.read_text()))
    assert used == set(PURPOSES)


async def test_every_column_with_something_sealed_is_known_here(database: Database) -> None:
    """By their names, as all tables have them."""

    async def work(reader: Reader) -> None:
        for place in Place:
            table, name, column = place.value
            await reader.fetch(f"SELECT {name}, {column} FROM {table}")

    await database.read(work)
    migration = next((Path(key_rotation.__file__).parents[2] / "migrations" / "versions").glob("0001_*.py")).read_text()
    assert len(re.findall(r"^\s+sealed\w* ", migration, re.MULTILINE)) == len(Place)
