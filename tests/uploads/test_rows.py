"""The rows of uploads, on both engines: every step from every leg."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from homeserver.model import BrowserLeg, StorageLeg, Upload
from homeserver.storage import uploads, uploads_kept
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
    everybodys = await database.look(
        lambda reader: uploads.listed(reader, legs=None, user=None, before=(9, ""), limit=3)
    )
    assert [upload.id for upload in everybodys] == ["u3", "u2", "u1"]


async def test_what_is_under_way_on_one_node(database: Database) -> None:
    def named(prefix: str, tail: str) -> str:
        return prefix + tail.rjust(uploads.RANDOM_CHARS, "-")

    for number, leg in enumerate(StorageLeg):
        whole = replace(UPLOAD, id=named("a-", leg.value), storage=leg, created_ms=number)
        await add(database, whole)
        await add(database, replace(whole, id=named("a-", f"r.{leg.value}"), browser=BrowserLeg.RECEIVING))
        await add(database, replace(whole, id=named("a-b-", leg.value)))
    await add(database, replace(UPLOAD, id=named("", "0")))
    expected = ["asking", "r.asking", "waiting", "sending", "r.sending", "closing", "r.closing"]
    found = await database.read(lambda reader: uploads.under_way(reader, "a"))
    assert found == [named("a-", tail) for tail in expected]
    assert await database.read(lambda reader: uploads.under_way(reader, "")) == [named("", "0")]


async def test_what_is_kept_takes_room_from_its_user_and_its_node(database: Database) -> None:
    for number, leg in enumerate(StorageLeg):
        id_ = f"a-{number:022}"
        await add(database, replace(UPLOAD, id=id_, storage=leg, size_bytes=1 << number))
    await add(database, replace(UPLOAD, id="b-" + "0" * 22, size_bytes=1 << 40))
    await add(database, replace(UPLOAD, id="a-" + "x" * 22, storage_user="paul", size_bytes=1 << 41))
    kept = sum(1 << number for number, leg in enumerate(StorageLeg) if leg in uploads.KEPT)
    assert await database.read(lambda reader: uploads_kept.kept_bytes(reader, "marie")) == kept + (1 << 40)
    assert await database.read(lambda reader: uploads_kept.kept_bytes_on(reader, "a")) == kept + (1 << 41)
    assert await database.read(lambda reader: uploads_kept.kept_bytes(reader, "nobody")) == 0


async def test_received_is_written_down_while_the_file_is_wanted(database: Database) -> None:
    async def try_all(tx: Transaction) -> None:
        for leg in StorageLeg:
            await tx.execute("DELETE FROM uploads")
            await uploads.add(tx, replace(UPLOAD, storage=leg, size_bytes=9, browser=BrowserLeg.DECLARED), "sealed")
            assert await uploads.receive(tx, UPLOAD.id, 5, 2) is (leg in uploads.KEPT)
            if leg not in uploads.KEPT:
                assert not await uploads.cut(tx, UPLOAD.id, 3)
                continue
            found = await uploads.find(tx, UPLOAD.id)
            assert found is not None
            assert (found.browser, found.received_bytes, found.updated_ms) == (BrowserLeg.RECEIVING, 5, 2)
            assert await uploads.cut(tx, UPLOAD.id, 3)
            assert await uploads.receive(tx, UPLOAD.id, 9, 4)
            found = await uploads.find(tx, UPLOAD.id)
            assert found is not None
            assert (found.browser, found.received_bytes, found.storage) == (BrowserLeg.RECEIVED, 9, leg)
            assert not await uploads.receive(tx, UPLOAD.id, 5, 5)  # whole is whole
            assert not await uploads.cut(tx, UPLOAD.id, 5)

    await database.write(try_all)


async def test_nobody_closes_what_was_cut(database: Database) -> None:
    receiving = replace(UPLOAD, storage=L.SENDING, browser=BrowserLeg.RECEIVING, size_bytes=9, received_bytes=5)
    await add(database, receiving)
    assert await database.write(lambda tx: uploads.cut(tx, UPLOAD.id, 3))
    assert not await database.write(lambda tx: uploads.note_progress(tx, UPLOAD.id, 7, 4, cuts=0))
    assert not await database.write(lambda tx: uploads.close(tx, UPLOAD.id, 5, cuts=0))
    assert await database.write(lambda tx: uploads.close(tx, UPLOAD.id, 6, cuts=1))
    closed = await row(database)
    assert (closed.browser, closed.received_bytes, closed.sent_bytes) == (BrowserLeg.RECEIVED, 9, 9)
    assert not await database.write(lambda tx: uploads.receive(tx, UPLOAD.id, 9, 7))


Step = Callable[[Transaction], Awaitable[bool]]
L = StorageLeg


def settle(tx: Transaction) -> Awaitable[bool]:
    return uploads.settle(
        tx, UPLOAD.id, L.OUT_OF_SPACE, code="MD327", detail="Insuff\0icient", portal_url="https://p.example/", now_ms=9
    )


@pytest.mark.parametrize(
    ("step", "allowed", "to"),
    [
        (lambda tx: uploads.ask(tx, UPLOAD.id, 9), {L.ASKING, L.WAITING}, L.ASKING),
        (lambda tx: uploads.fail(tx, UPLOAD.id, "X", "y", 9), uploads.UNDER_WAY, L.WAITING),
        (lambda tx: uploads.wait_until_whole(tx, UPLOAD.id, 9), {L.ASKING, L.SENDING, L.WAITING}, L.WAITING),
        (lambda tx: uploads.expire(tx, UPLOAD.id, 9), uploads.KEPT - {L.SENDING, L.CLOSING}, L.EXPIRED),
        (lambda tx: uploads.wait(tx, UPLOAD.id, "X", "y", 9), uploads.UNDER_WAY, L.WAITING),
        (lambda tx: uploads.send(tx, UPLOAD.id, 9), {L.ASKING, L.WAITING}, L.SENDING),
        (lambda tx: uploads.note_progress(tx, UPLOAD.id, 5, 9, cuts=0), {L.SENDING}, L.SENDING),
        (lambda tx: uploads.close(tx, UPLOAD.id, 9, cuts=0), {L.SENDING}, L.CLOSING),
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
    await database.write(lambda tx: uploads.ask(tx, UPLOAD.id, 2))
    assert ((await row(database)).attempts, (await row(database)).sent_bytes) == (1, 0)
    await database.write(lambda tx: uploads.fail(tx, UPLOAD.id, "MD1", "words", 3))
    failed = await row(database)
    assert (failed.attempts, failed.code, failed.detail) == (2, "MD1", "words")
    await database.write(lambda tx: uploads.wait_until_whole(tx, UPLOAD.id, 3))
    assert await database.look(lambda reader: uploads.agreed(reader, UPLOAD.id)) == uploads.Agreed(1, True, 0)
    await database.write(lambda tx: uploads.send(tx, UPLOAD.id, 4))
    await database.write(lambda tx: uploads.note_progress(tx, UPLOAD.id, 1 << 39, 5, cuts=0))
    assert (await row(database)).sent_bytes == 1 << 39
    await database.write(lambda tx: uploads.close(tx, UPLOAD.id, 6, cuts=0))
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
    assert again.name == UPLOAD.name
    assert (again.attempts, again.sent_bytes, again.portal_url) == (2, 0, None)
    assert await token(database) == "new"


async def test_a_file_is_sent_again_under_another_name(database: Database) -> None:
    await add(database, replace(UPLOAD, storage=L.NEEDS_NAME))
    await database.write(lambda tx: uploads.repeat(tx, UPLOAD.id, "marie", "new", 9, name="Hiver\0.jpg"))
    assert (await row(database)).name == "Hiver\ufffd.jpg"
