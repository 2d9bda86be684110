"""The rows of uploads, on both engines: every step from every leg."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from homeserver.model import BrowserLeg, StorageLeg, Upload
from homeserver.storage import uploads
from homeserver.storage.database import Database, Transaction

UPLOAD = Upload(
    id="a-0123456789abcdef",
    storage_user="marie",
    name="Été.jpg",
    media_type="image/jpeg",
    size_bytes=1 << 40,
    received_bytes=1 << 40,
    sent_bytes=7,
    browser=BrowserLeg.RECEIVED,
    storage=StorageLeg.ASKING,
    attempts=1,
    code="PA900",
    detail="detail",
    portal_url="https://portal.example/",
    content_id="6174",
    folder_id="3449",
    created_ms=1_000,
    updated_ms=1_000,
)


async def add(database: Database, upload: Upload = UPLOAD, sealed: str | None = "sealed") -> Upload:
    await database.write(lambda tx: uploads.add(tx, upload, sealed))
    return upload


async def row(database: Database, id_: str = UPLOAD.id) -> Upload:
    found = await database.look(lambda reader: uploads.find(reader, id_))
    assert found is not None
    return found


async def token(database: Database, id_: str = UPLOAD.id) -> str | None:
    return await database.look(lambda reader: uploads.sealed_token(reader, id_))


async def test_an_upload_comes_back_as_it_was(database: Database) -> None:
    await add(database)
    assert await row(database) == UPLOAD
    assert await token(database) == "sealed"
    bare = replace(
        UPLOAD, id="b", code=None, detail=None, portal_url=None, content_id=None, folder_id=None, name="\0x\ud800"
    )
    await add(database, bare, None)
    assert await row(database, "b") == replace(bare, name="\ufffdx\ufffd")
    assert await token(database, "b") is None
    assert await database.look(lambda reader: uploads.find(reader, "no\0thing")) is None


async def test_a_users_uploads_come_newest_first(database: Database) -> None:
    for number, user in enumerate(["marie", "paul", "marie", "marie"]):
        await add(database, replace(UPLOAD, id=f"u{number}", storage_user=user, created_ms=number))
    found = await database.look(lambda reader: uploads.of_user(reader, "marie", 2))
    assert [upload.id for upload in found] == ["u3", "u2"]
    everybodys = await database.look(lambda reader: uploads.recent(reader, 3))
    assert [upload.id for upload in everybodys] == ["u3", "u2", "u1"]


async def test_what_is_under_way_on_one_node(database: Database) -> None:
    for number, leg in enumerate(StorageLeg):
        await add(database, replace(UPLOAD, id=f"a-{number}", storage=leg, created_ms=number))
    await add(database, replace(UPLOAD, id="b-0"))
    await add(database, replace(UPLOAD, id="a-receiving", browser=BrowserLeg.RECEIVING))
    legs = list(StorageLeg)
    expected = [f"a-{legs.index(leg)}" for leg in legs if leg in uploads.UNDER_WAY]
    assert await database.read(lambda reader: uploads.under_way(reader, "a-")) == expected
    assert await database.read(lambda reader: uploads.under_way(reader, "")) == [*expected, "b-0"]


Step = Callable[[Transaction], Awaitable[bool]]
L = StorageLeg


def settle(tx: Transaction) -> Awaitable[bool]:
    return uploads.settle(
        tx, UPLOAD.id, L.OUT_OF_SPACE, code="MD327", detail="Insuff\0icient", portal_url="https://p.example/", now_ms=9
    )


@pytest.mark.parametrize(
    ("step", "allowed", "to"),
    [
        (lambda tx: uploads.begin_attempt(tx, UPLOAD.id, 9), {L.ASKING, L.WAITING, L.SENDING}, L.ASKING),
        (lambda tx: uploads.wait(tx, UPLOAD.id, "X", "y", 9), uploads.UNDER_WAY, L.WAITING),
        (lambda tx: uploads.send(tx, UPLOAD.id, 9), {L.ASKING, L.WAITING}, L.SENDING),
        (lambda tx: uploads.note_progress(tx, UPLOAD.id, 5, 9), {L.SENDING}, L.SENDING),
        (lambda tx: uploads.close(tx, UPLOAD.id, 9), {L.SENDING}, L.CLOSING),
        (lambda tx: uploads.store(tx, UPLOAD.id, "1", "2", 9), {L.CLOSING}, L.STORED),
        (settle, uploads.UNDER_WAY, L.OUT_OF_SPACE),
        (lambda tx: uploads.repeat(tx, UPLOAD.id, "marie", "new", 9), uploads.REPEATABLE, L.ASKING),
        (lambda tx: uploads.cancel(tx, UPLOAD.id, "marie", 9), uploads.CANCELLABLE, L.CANCELLED),
        (lambda tx: uploads.repeat(tx, UPLOAD.id, "paul", "new", 9), set(), L.ASKING),
        (lambda tx: uploads.cancel(tx, UPLOAD.id, "paul", 9), set(), L.CANCELLED),
    ],
)
async def test_a_step_is_taken_from_some_legs_only(
    database: Database, step: Step, allowed: set[StorageLeg], to: StorageLeg
) -> None:
    async def try_all(tx: Transaction) -> None:
        for leg in StorageLeg:
            await tx.execute("DELETE FROM uploads")
            await uploads.add(tx, replace(UPLOAD, storage=leg), "sealed")
            took = await step(tx)
            found = await uploads.find(tx, UPLOAD.id)
            assert found is not None
            assert took is (leg in allowed), leg
            assert found.storage is (to if took else leg)
            assert found.updated_ms == (9 if took else 1_000)
            if not took:
                assert found == replace(UPLOAD, storage=leg)
            # A token lies there only while the upload is under way.
            if took:
                kept = await uploads.sealed_token(tx, UPLOAD.id)
                assert (kept is not None) is (to in uploads.UNDER_WAY)

    await database.write(try_all)


async def test_what_the_steps_write_down(database: Database) -> None:
    await add(database)
    await database.write(lambda tx: uploads.begin_attempt(tx, UPLOAD.id, 2))
    assert ((await row(database)).attempts, (await row(database)).sent_bytes) == (2, 0)
    await database.write(lambda tx: uploads.begin_attempt(tx, UPLOAD.id, 2, counted=False))
    assert (await row(database)).attempts == 2
    await database.write(lambda tx: uploads.wait(tx, UPLOAD.id, "MD1", "words", 3))
    assert ((await row(database)).code, (await row(database)).detail) == ("MD1", "words")
    await database.write(lambda tx: uploads.send(tx, UPLOAD.id, 4))
    await database.write(lambda tx: uploads.note_progress(tx, UPLOAD.id, 1 << 39, 5))
    assert (await row(database)).sent_bytes == 1 << 39
    await database.write(lambda tx: uploads.close(tx, UPLOAD.id, 6))
    assert (await row(database)).sent_bytes == 1 << 40
    await database.write(lambda tx: uploads.store(tx, UPLOAD.id, "1", None, 7))
    stored = await row(database)
    assert (stored.content_id, stored.folder_id, stored.code, stored.detail, stored.portal_url) == ("1",) + (None,) * 4


async def test_an_end_keeps_the_reason_and_drops_the_token(database: Database) -> None:
    await add(database)
    await database.write(settle)
    ended = await row(database)
    assert (ended.code, ended.detail, ended.portal_url) == ("MD327", "Insuff\ufffdicient", "https://p.example/")
    assert await token(database) is None
    await database.write(lambda tx: uploads.repeat(tx, UPLOAD.id, "marie", "new", 9))
    again = await row(database)
    assert (again.attempts, again.sent_bytes, again.portal_url) == (2, 0, None)
    assert await token(database) == "new"
