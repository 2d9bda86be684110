"""The rows of uploads. Each step of the storage leg names the legs it may be taken from, so that of two who act at once
(a sender and a person who cancels, say) only one succeeds; the other is told by `False`.

Beside what an `Upload` shows, a row holds what its senders agree on: `failures`, how many attempts the storage has
failed since the owner's last word; `whole_first`, that the file is not to be sent before it is whole; and `cuts`, how
often bytes were taken away from the file again, so that a sender who has read those cannot close its request.

A token lies in a row, sealed, only while the upload is under way: every step that ends or pauses it removes the token.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, cast

from homeserver.model import BrowserLeg, StorageLeg, Upload
from homeserver.storage.database import Reader, Row, Transaction
from homeserver.storage.texts import storable

UNDER_WAY: Final = frozenset({StorageLeg.ASKING, StorageLeg.WAITING, StorageLeg.SENDING, StorageLeg.CLOSING})
"""Legs in which a sender is, or will be, at work."""

REPEATABLE: Final = frozenset(
    {
        StorageLeg.NEEDS_CONSENT,
        StorageLeg.NEEDS_ACTIVATION,
        StorageLeg.NEEDS_SIGN_IN,
        StorageLeg.OUT_OF_SPACE,
        StorageLeg.NEEDS_NAME,
        StorageLeg.FAILED,
        StorageLeg.UNKNOWN,
    }
)
"""Legs in which the file is kept and waits for a word of its owner."""

CANCELLABLE: Final = (UNDER_WAY | REPEATABLE) - {StorageLeg.CLOSING}
"""When every byte is out, nothing can be taken back."""

KEPT: Final = UNDER_WAY | REPEATABLE
"""Legs in which the file is still needed."""

OPEN: Final = "storage NOT IN ('cancelled', 'expired', 'refused', 'stored')"
"""SQL for files that are needed still. As the index `uploads_open` has it, to the letter: SQLite compares the texts."""

RANDOM_CHARS: Final = 22
"""How many characters of an id are random; before them stands the node's name, where it has one."""


def node_prefix(node: str) -> str:
    """What the ids of a node's uploads begin with."""
    return f"{node}-" if node else ""


_COLUMNS: Final = (
    "upload, storage_user, name, media_type, size_bytes, received_bytes, sent_bytes, browser, storage, attempts, "
    "code, detail, portal_url, content_id, folder_id, created_ms, updated_ms"
)


def _upload(row: Row) -> Upload:
    (
        id_, storage_user, name, media_type, size_bytes, received_bytes, sent_bytes, browser, storage, attempts,
        code, detail, portal_url, content_id, folder_id, created_ms, updated_ms,
    ) = row  # fmt: skip
    return Upload(
        id=id_,
        storage_user=storage_user,
        name=name,
        media_type=media_type,
        size_bytes=size_bytes,
        received_bytes=received_bytes,
        sent_bytes=sent_bytes,
        browser=BrowserLeg(browser),
        storage=StorageLeg(storage),
        attempts=attempts,
        code=code,
        detail=detail,
        portal_url=portal_url,
        content_id=content_id,
        folder_id=folder_id,
        created_ms=created_ms,
        updated_ms=updated_ms,
    )


async def add(tx: Transaction, upload: Upload, sealed_token: str | None) -> None:
    """Keep a new upload."""
    await tx.execute(
        f"INSERT INTO uploads ({_COLUMNS}, sealed_token) "  # noqa: S608 - constants
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        upload.id,
        upload.storage_user,
        storable(upload.name),
        upload.media_type,
        upload.size_bytes,
        upload.received_bytes,
        upload.sent_bytes,
        upload.browser.value,
        upload.storage.value,
        upload.attempts,
        upload.code,
        upload.detail,
        upload.portal_url,
        upload.content_id,
        upload.folder_id,
        upload.created_ms,
        upload.updated_ms,
        sealed_token,
    )


# --- reading --------------------------------------------------------------------------------------------------------


async def find(reader: Reader, id_: str) -> Upload | None:
    """One upload, whosever it is."""
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM uploads WHERE upload = $1", storable(id_))  # noqa: S608
    return None if row is None else _upload(row)


async def sealed_token(reader: Reader, id_: str) -> str | None:
    """The token that an upload under way holds."""
    return cast("str | None", await reader.fetch_value("SELECT sealed_token FROM uploads WHERE upload = $1", id_))


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the senders of an upload agree on; see the module's words."""

    failures: int
    whole_first: bool
    cuts: int


async def agreed(reader: Reader, id_: str) -> Agreed:
    """What stands in the row of an upload that is there."""
    row = await reader.fetch_one("SELECT failures, whole_first, cuts FROM uploads WHERE upload = $1", id_)
    failures, whole_first, cuts = row or (0, 0, 0)
    return Agreed(failures, bool(whole_first), cuts)


async def others_at_work(reader: Reader, storage_user: str, id_: str, since_ms: int) -> int:
    """How many other uploads of a user are asked for or sent, anywhere; what was not touched since then is dead."""
    return cast(
        "int",
        await reader.fetch_value(
            f"SELECT COUNT(*) FROM uploads WHERE storage_user = $1 AND {OPEN} "  # noqa: S608 - a constant
            "AND (storage IN ('closing', 'sending') OR (storage = 'asking' AND browser <> 'declared')) "
            "AND upload <> $2 AND updated_ms > $3",
            storable(storage_user),
            id_,
            since_ms,
        ),
    )


async def waiting_for(reader: Reader, storage_user: str, leg: StorageLeg) -> list[str]:
    """The ids of a user's open uploads in this leg, the oldest first."""
    rows = await reader.fetch(
        f"SELECT upload FROM uploads WHERE storage_user = $1 AND {OPEN} AND storage = $2 "  # noqa: S608
        "ORDER BY created_ms, upload",
        storable(storage_user),
        leg.value,
    )
    return [row[0] for row in rows]


async def newest_change_ms(reader: Reader) -> int:
    """When anything changed last; 0 where there is nothing."""
    return cast("int", await reader.fetch_value("SELECT COALESCE(MAX(updated_ms), 0) FROM uploads"))


async def changed(reader: Reader, since_ms: int, limit: int) -> list[Upload]:
    """Uploads of anybody that changed at that time or later, the earliest change first."""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM uploads WHERE updated_ms >= $1 ORDER BY updated_ms, upload LIMIT $2",  # noqa: S608
        since_ms,
        limit,
    )
    return [_upload(row) for row in rows]


async def of_user(reader: Reader, storage_user: str, limit: int) -> list[Upload]:
    """A user's uploads, the newest first."""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM uploads WHERE storage_user = $1 "  # noqa: S608
        "ORDER BY created_ms DESC, upload DESC LIMIT $2",
        storable(storage_user),
        limit,
    )
    return [_upload(row) for row in rows]


async def listed(
    reader: Reader, *, legs: Collection[StorageLeg] | None, user: str | None, before: tuple[int, str], limit: int
) -> list[Upload]:
    """Uploads in one of these legs, which are all of open files, or in any; of one user or everybody's. The newest
    first, beyond one with this time of creation and id."""
    values: list[object] = [*before, limit]
    where = ["(created_ms, upload) < ($1, $2)"]
    if user is not None:
        values.append(storable(user))
        where.append(f"storage_user = ${len(values)}")
    if legs is not None:
        values.append(_values(legs))
        where += [OPEN, f"storage IN (SELECT w.value FROM each_text(${len(values)}) AS w)"]  # noqa: S608 - words of ours
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM uploads WHERE {' AND '.join(where)} "  # noqa: S608 - words of ours
        "ORDER BY created_ms DESC, upload DESC LIMIT $3",
        *values,
    )
    return [_upload(row) for row in rows]


async def under_way(reader: Reader, node: str) -> list[str]:
    """The ids, of this node's, that a sender should be at work on: come whole, or last seen with a sender."""
    prefix = node_prefix(node)
    rows = await reader.fetch(
        f"SELECT upload FROM uploads WHERE {OPEN} AND length(upload) = $1 AND substr(upload, 1, $2) = $3 "  # noqa: S608
        "AND (storage IN ('asking', 'closing', 'sending') OR (storage = 'waiting' AND browser = 'received')) "
        "ORDER BY created_ms, upload",
        len(prefix) + RANDOM_CHARS,
        len(prefix),
        prefix,
    )
    return [row[0] for row in rows]


# --- the steps of the browser leg -----------------------------------------------------------------------------------


async def receive(tx: Transaction, id_: str, received_bytes: int, now_ms: int) -> bool:
    """So many bytes are on the disk for good; all of them, it may be. False where the file is not wanted any more."""
    return await _step(
        tx,
        "UPDATE uploads SET received_bytes = $1, updated_ms = $2, "  # noqa: S608 - a constant
        "browser = CASE WHEN size_bytes = $1 THEN 'received' ELSE 'receiving' END "
        f"WHERE upload = $3 AND browser <> 'received' AND {OPEN}",
        received_bytes,
        now_ms,
        id_,
    )


async def cut(tx: Transaction, id_: str, now_ms: int) -> bool:
    """The file is about to lose what stands behind its `received_bytes`, so nobody who has read more may go on."""
    return await _step(
        tx,
        f"UPDATE uploads SET cuts = cuts + 1, updated_ms = $1 WHERE upload = $2 AND browser <> 'received' AND {OPEN}",  # noqa: S608 - a constant
        now_ms,
        id_,
    )


# --- the steps of the storage leg -----------------------------------------------------------------------------------


async def ask(tx: Transaction, id_: str, now_ms: int) -> bool:
    """Ask for a URL."""
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'asking', sent_bytes = 0, updated_ms = $1 "
        "WHERE upload = $2 AND storage IN ('asking', 'waiting')",
        now_ms,
        id_,
    )


async def wait(tx: Transaction, id_: str, code: str | None, detail: str | None, now_ms: int) -> bool:
    """Wait for a sender, or for the time of the next attempt; `code` and `detail` say what was wrong with the last."""
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'waiting', code = $1, detail = $2, sent_bytes = 0, updated_ms = $3 "
        "WHERE upload = $4 AND storage IN (SELECT w.value FROM each_text($5) AS w)",
        code,
        _kept(detail),
        now_ms,
        id_,
        _values(UNDER_WAY),
    )


async def fail(tx: Transaction, id_: str, code: str | None, detail: str | None, now_ms: int) -> bool:
    """The storage failed an attempt, and another follows; as `wait`."""
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'waiting', attempts = attempts + 1, failures = failures + 1, code = $1, "
        "detail = $2, sent_bytes = 0, updated_ms = $3 "
        "WHERE upload = $4 AND storage IN (SELECT w.value FROM each_text($5) AS w)",
        code,
        _kept(detail),
        now_ms,
        id_,
        _values(UNDER_WAY),
    )


async def wait_until_whole(tx: Transaction, id_: str, now_ms: int) -> bool:
    """Wait for the rest of the file before anything more of it is sent."""
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'waiting', whole_first = 1, sent_bytes = 0, updated_ms = $1 "
        "WHERE upload = $2 AND storage IN ('asking', 'sending', 'waiting')",
        now_ms,
        id_,
    )


async def send(tx: Transaction, id_: str, now_ms: int) -> bool:
    """Begin to send the bytes."""
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'sending', sent_bytes = 0, updated_ms = $1 "
        "WHERE upload = $2 AND storage IN ('asking', 'waiting')",
        now_ms,
        id_,
    )


async def note_progress(tx: Transaction, id_: str, sent_bytes: int, now_ms: int, *, cuts: int) -> bool:
    """How much is out. As in `close`, False where it is time to stop."""
    return await _step(
        tx,
        "UPDATE uploads SET sent_bytes = $1, updated_ms = $2 WHERE upload = $3 AND storage = 'sending' AND cuts = $4",
        sent_bytes,
        now_ms,
        id_,
        cuts,
    )


async def close(tx: Transaction, id_: str, now_ms: int, *, cuts: int) -> bool:
    """Every byte is out, and the closing boundary may follow once this is committed.

    Not where bytes were taken away from the file again since `cuts` was read. Whoever has sent all bytes has had all of
    them, so the file has come whole, whether its receiver has got round to saying so or not.
    """
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'closing', sent_bytes = size_bytes, browser = 'received', "
        "received_bytes = size_bytes, updated_ms = $1 WHERE upload = $2 AND storage = 'sending' AND cuts = $3",
        now_ms,
        id_,
        cuts,
    )


async def store(tx: Transaction, id_: str, content_id: str, folder_id: str | None, now_ms: int) -> bool:
    """The storage has it."""
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'stored', content_id = $1, folder_id = $2, code = NULL, detail = NULL, "
        "portal_url = NULL, sealed_token = NULL, updated_ms = $3 WHERE upload = $4 AND storage = 'closing'",
        storable(content_id),
        _kept(folder_id),
        now_ms,
        id_,
    )


async def settle(
    tx: Transaction,
    id_: str,
    leg: StorageLeg,
    *,
    code: str | None,
    detail: str | None,
    portal_url: str | None,
    now_ms: int,
) -> bool:
    """End or pause an upload under way.

    An upload asks for one new sign-in. If its token is refused as well, the upload has failed, with the storage's own
    code and words for it: another sign-in would be a guess.
    """
    return await _step(
        tx,
        "UPDATE uploads SET storage = CASE WHEN CAST($1 AS TEXT) = 'needs_sign_in' AND token_refusals > 0 "
        "THEN 'failed' ELSE CAST($1 AS TEXT) END, token_refusals = token_refusals + "
        "CASE WHEN CAST($1 AS TEXT) = 'needs_sign_in' THEN 1 ELSE 0 END, "
        "code = $2, detail = $3, portal_url = $4, sealed_token = NULL, updated_ms = $5 "
        "WHERE upload = $6 AND storage IN (SELECT w.value FROM each_text($7) AS w)",
        leg.value,
        code,
        _kept(detail),
        portal_url,
        now_ms,
        id_,
        _values(UNDER_WAY),
    )


async def expire(tx: Transaction, id_: str, now_ms: int) -> bool:
    """End an upload that has waited too long."""
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'expired', portal_url = NULL, sealed_token = NULL, updated_ms = $1 "
        "WHERE upload = $2 AND storage IN (SELECT w.value FROM each_text($3) AS w)",
        now_ms,
        id_,
        _values(KEPT - {StorageLeg.SENDING, StorageLeg.CLOSING}),
    )


async def drop_tokens(tx: Transaction, storage_user: str, now_ms: int) -> int:
    """Forget the tokens of a user's uploads that wait, so that these need another sign-in; how many did."""
    return await tx.execute(
        "UPDATE uploads SET storage = 'needs_sign_in', code = NULL, detail = NULL, sealed_token = NULL, "  # noqa: S608
        f"updated_ms = $1 WHERE storage_user = $2 AND {OPEN} AND storage IN ('asking', 'waiting')",
        now_ms,
        storable(storage_user),
    )


async def prune(tx: Transaction, before_ms: int) -> int:
    """Forget what ended before then; how many."""
    return await tx.execute(f"DELETE FROM uploads WHERE updated_ms < $1 AND NOT ({OPEN})", before_ms)  # noqa: S608


async def forget_ended(tx: Transaction, storage_user: str) -> int:
    """Forget a user's uploads that have ended; how many."""
    return await tx.execute(
        f"DELETE FROM uploads WHERE storage_user = $1 AND NOT ({OPEN})",  # noqa: S608
        storable(storage_user),
    )


# --- by the owner's word --------------------------------------------------------------------------------------------


async def repeat(
    tx: Transaction, id_: str, storage_user: str, sealed: str, now_ms: int, *, name: str | None = None
) -> bool:
    """Ask again for an upload that waits for its owner's word; with a new token, and perhaps another name."""
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'asking', attempts = attempts + 1, failures = 0, sent_bytes = 0, "
        "portal_url = NULL, sealed_token = $1, updated_ms = $2, name = COALESCE($3, name) "
        "WHERE upload = $4 AND storage_user = $5 AND storage IN (SELECT w.value FROM each_text($6) AS w)",
        sealed,
        now_ms,
        _kept(name),
        id_,
        storage_user,
        _values(REPEATABLE),
    )


async def cancel(tx: Transaction, id_: str, storage_user: str, now_ms: int) -> bool:
    """Give an upload up."""
    return await _step(
        tx,
        "UPDATE uploads SET storage = 'cancelled', portal_url = NULL, sealed_token = NULL, updated_ms = $1 "
        "WHERE upload = $2 AND storage_user = $3 AND storage IN (SELECT w.value FROM each_text($4) AS w)",
        now_ms,
        id_,
        storage_user,
        _values(CANCELLABLE),
    )


async def _step(tx: Transaction, sql: str, *values: object) -> bool:
    return await tx.execute(sql, *values) == 1


def _values(legs: Collection[StorageLeg]) -> list[str]:
    return sorted(leg.value for leg in legs)


def _kept(text: str | None) -> str | None:
    return None if text is None else storable(text)
