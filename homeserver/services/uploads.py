"""Uploads as their owners see them: a file is received whole, a place is asked for, it is sent in the background.

While it can still be sent, nobody is asked for the file again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Final

import structlog

from homeserver.errors import (
    BadInput,
    Conflict,
    FileRefused,
    NotFound,
    SpoolBroken,
    SpoolFull,
    TooLarge,
    WrongNode,
)
from homeserver.model import BrowserLeg, StorageLeg, Upload
from homeserver.protocol.mesdonnees import check_name, clean_media_type
from homeserver.services.limits import UPLOADS, Limits
from homeserver.services.upload_notices import Notices
from homeserver.services.upload_receiver import SILENCE_S, Receiver
from homeserver.services.upload_room import Room, RoomLimits
from homeserver.services.upload_run import Kit
from homeserver.services.upload_sender import RESCAN_S, Sender
from homeserver.services.upload_verdicts import PortalRule
from homeserver.storage import uploads
from homeserver.storage.database import Transaction, WriteWork
from homeserver.storage.spool import Appender, new_id

MAX_NAME_CHARS: Final = 255
HISTORY: Final = 50

TIDY_S: Final = 60.0
"""How often what waits too long is given up, and what nobody needs is removed."""

_log = structlog.get_logger(__name__)


class Uploads:
    """The uploads of one server. `run` must be at work for anything to be sent."""

    def __init__(
        self,
        kit: Kit,
        portal: PortalRule,
        limits: RoomLimits,
        *,
        max_sending: int = 32,
        rescan_s: float = RESCAN_S,
        tidy_s: float = TIDY_S,
        silence_s: float = SILENCE_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            kit: Its spool is prepared, and belongs to this machine, which is `node` where several share the database.
            portal: Where users may be sent by the storage's word.
            limits: How much is kept, and how long.
            max_sending: How many files this process sends at once; the others wait.
            rescan_s: See `RESCAN_S`. tidy_s: See `TIDY_S`. silence_s: See `SILENCE_S`.
        """
        self._database = kit.database
        self._spool = kit.spool
        self._box = kit.secret_box
        self._now_ms = kit.now_ms
        self._node = kit.node
        self._tidy_s = tidy_s
        self._sender = Sender(kit, portal, max_sending=max_sending, rescan_s=rescan_s, jitter=jitter)
        self._notices = Notices(kit.database)
        self._limits = Limits(kit.database, kit.now_ms)
        self._room = Room(kit.database, kit.spool, kit.now_ms, limits, kit.node)
        self._receiver = Receiver(kit.database, kit.spool, kit.now_ms, self._sender.on_bytes, silence_s=silence_s)

    async def run(self) -> None:
        """The background job: endless, to be cancelled at the end. See `Sender.run` and `Room.tidy`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sender.run())
            group.create_task(self._tidy())
            group.create_task(self._notices.run())

    async def _tidy(self) -> None:
        while True:
            try:
                await self._room.tidy()
            except Exception:
                _log.exception("uploads_not_tidied")
            await asyncio.sleep(self._tidy_s)

    async def receive(
        self, storage_user: str, token: str, name: str, media_type: str, chunks: AsyncIterator[bytes]
    ) -> Upload:
        """Take a file in whole, then ask the storage for a place for it (step one).

        Args:
            token: The storage's token of this user; kept, sealed, while the upload is under way.
            name, media_type: As the browser gave them.
            chunks: The file, as it comes in. What it raises is raised here, and nothing is kept.

        Returns:
            The upload: `waiting` when it will be sent now; else `needs_activation`, `needs_consent`, `needs_sign_in`,
            `out_of_space`, `refused` or `failed`, with the storage's code and words, and the portal's address where
            there is one to go to.

        Raises:
            BadInput: An empty file, or a name that cannot be sent.
            TooLarge: More than one file may have.
            SpoolFull: No room for it here.
            TooMany: As `declare`.
        """
        _check_name(name)
        id_, is_kept = new_id(self._node), False
        try:
            # The row is there before the writer lets go of the file: a file without a row and a writer is a leftover.
            async with self._spool.appending(id_) as appender:
                size_bytes = await _take_in(appender, chunks, await self._room.left_to(storage_user))
                upload = self._new(id_, storage_user, name, media_type, size_bytes)
                upload = replace(upload, received_bytes=size_bytes, browser=BrowserLeg.RECEIVED)
                is_kept = True
                await self._begin(upload, token)
        except BaseException:
            if not is_kept or await self._database.look(lambda reader: uploads.find(reader, id_)) is None:
                await self._spool.delete(id_)
            raise
        return await self.find(id_, storage_user)

    def _new(self, id_: str, storage_user: str, name: str, media_type: str, size_bytes: int) -> Upload:
        now_ms = self._now_ms()
        return Upload(
            id=id_,
            storage_user=storage_user,
            name=name,
            media_type=clean_media_type(media_type),
            size_bytes=size_bytes,
            received_bytes=0,
            sent_bytes=0,
            browser=BrowserLeg.DECLARED,
            storage=StorageLeg.ASKING,
            attempts=1,
            code=None,
            detail=None,
            portal_url=None,
            content_id=None,
            folder_id=None,
            created_ms=now_ms,
            updated_ms=now_ms,
        )

    # --- piece by piece -----------------------------------------------------------------------------------------------

    async def declare(self, storage_user: str, token: str, name: str, media_type: str, size_bytes: int) -> Upload:
        """Announce a file: step one is asked before a byte of it travels. `receive_part` takes the bytes.

        Args:
            token: The storage's token of this user; kept, sealed, while the upload is under way.
            name, media_type: As the browser gave them.
            size_bytes: Of the whole file.

        Returns:
            The upload: `waiting` when it will be sent; or, accepted all the same, `needs_activation`, `needs_consent`
            or `needs_sign_in`, with the storage's code and words, and the portal's address where there is one.

        Raises:
            BadInput: An empty file, or a name that cannot be sent.
            TooLarge: More than one file may have.
            SpoolFull: No room for it here: for this user, or for anybody.
            TooMany: This user declares files too fast.
            FileRefused: The storage will not have this file: no room, not this name or size, not from this user.
        """
        _check_name(name)
        _check_size(size_bytes, self._spool.file_limit_bytes)
        id_ = new_id(self._node)
        try:
            await self._begin(self._new(id_, storage_user, name, media_type, size_bytes), token)
        except SpoolFull:
            await self._spool.delete(id_)  # the claim on it
            raise
        asked = await self.find(id_, storage_user)
        if asked.storage is StorageLeg.REFUSED:
            raise FileRefused(asked.code, asked.detail or "", portal_url=asked.portal_url)
        return asked

    async def _begin(self, upload: Upload, token: str) -> None:
        await self._limits.take(UPLOADS, upload.storage_user)
        sealed = self._box.seal(token, bound_to=upload.id)
        capacity_bytes = await self._room.capacity_bytes()
        await self._sender.ask(upload, token, before=lambda tx: self._room.add(tx, upload, sealed, capacity_bytes))

    def expires_ms(self, upload: Upload) -> int:
        """When an upload is given up that has not come whole, or could not be sent, until then."""
        return upload.created_ms + self._room.keep_ms

    async def offset(self, id_: str, storage_user: str) -> int:
        """How many bytes of a file are here for good: where the next part begins.

        Raises:
            NotFound: As `find`.
            WrongNode: It lies on another machine.
            SpoolBroken: The upload is over, and nothing more of it is taken.
        """
        return (await self._open(id_, storage_user)).received_bytes

    async def receive_part(self, id_: str, storage_user: str, offset_bytes: int, chunks: AsyncIterator[bytes]) -> int:
        """Take the next bytes of a declared file. What has come is kept even where `chunks` raises.

        Args:
            offset_bytes: Where they begin; it must be where the file ends.
            chunks: The bytes. What it raises is raised here.

        Returns:
            The new offset, which is on the disk. With the last byte the file is whole.

        Raises:
            NotFound, WrongNode, SpoolBroken: As `offset`.
            Locked: Somebody else is sending bytes of this file.
            WrongOffset: The file does not end there.
            TooLarge: More bytes than were declared.
            Conflict: Nothing came for a minute. Clients of tus try that again; what is no conflict they do not.
            SpoolFull: No room for it here.
            Stopping: The server ends.
        """
        upload = await self._open(id_, storage_user)
        if upload.browser is BrowserLeg.RECEIVED and offset_bytes == upload.size_bytes:
            return offset_bytes
        return await self._receiver.take(id_, offset_bytes, chunks)

    async def _open(self, id_: str, storage_user: str) -> Upload:
        """An upload of this user whose bytes are taken here."""
        upload = await self._here(id_, storage_user)
        if upload.storage not in uploads.KEPT and upload.storage is not StorageLeg.STORED:
            raise SpoolBroken("This upload is over.")
        return upload

    async def _here(self, id_: str, storage_user: str) -> Upload:
        """An upload of this user whose file is, or was, on this machine."""
        upload = await self.find(id_, storage_user)
        if id_[: -uploads.RANDOM_CHARS] != uploads.node_prefix(self._node):
            raise WrongNode("This file lies on another machine.")
        return upload

    # --- what became of them ------------------------------------------------------------------------------------------

    async def history(self, storage_user: str, limit: int = HISTORY) -> list[Upload]:
        """A user's uploads, the newest first."""
        found = await self._database.look(lambda reader: uploads.of_user(reader, storage_user, limit))
        return [self._fresh(upload) for upload in found]

    async def watch(self, storage_user: str, after_ms: int | None = None) -> AsyncGenerator[Upload | None, None]:
        """See `Notices.watch`. What this process sends itself is as fresh as in `find`."""
        async with aclosing(self._notices.watch(storage_user, after_ms)) as changes:
            async for upload in changes:
                yield None if upload is None else self._fresh(upload)

    def close(self) -> None:
        """Let those go who look on, and end parts where they are: the server ends."""
        self._notices.close()
        self._receiver.close()

    async def find(self, id_: str, storage_user: str) -> Upload:
        """One upload of this user.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        upload = await self._database.look(lambda reader: uploads.find(reader, id_))
        if upload is None or upload.storage_user != storage_user:
            raise NotFound("There is no such upload.")
        return self._fresh(upload)

    async def send_again(
        self, id_: str, storage_user: str, token: str, *, also: WriteWork[object] | None = None
    ) -> Upload:
        """Ask again and send from the spool, by the owner's word: the obstacle is gone, or they accept a second copy.

        Args:
            also: Done in the transaction that decides it.

        Returns:
            As `receive`.

        Raises:
            NotFound: As `find`.
            Conflict: It is under way, or over.
            SpoolBroken: The file is not kept here any more.
        """
        return await self._again(id_, storage_user, token, None, also)

    async def rename_and_send(self, id_: str, storage_user: str, token: str, name: str) -> Upload:
        """Give a file another name, and send it from the spool: for one whose name the storage refused.

        Returns, Raises:
            As `send_again`. BadInput: A name that cannot be sent.
        """
        _check_name(name)
        return await self._again(id_, storage_user, token, name)

    async def send_waiting(self, storage_user: str, token: str, leg: StorageLeg) -> bool:
        """Send all that wait for one and the same thing, which is done now: activation, consent, signing in.

        The first is asked for at once. If it waits for the same again, so would the others, and they are left alone;
        otherwise they follow in the background.

        Returns:
            Whether it is still what the storage wants.
        """
        waiting = await self._database.look(lambda reader: uploads.waiting_for(reader, storage_user, leg))
        for number, id_ in enumerate(waiting):
            with suppress(Conflict, NotFound, SpoolBroken, WrongNode):
                if number == 0:
                    first = await self._again(id_, storage_user, token, None)
                    if first.storage is leg:
                        return True
                else:
                    await self._repeat(id_, storage_user, token, None)
                    self._sender.notice(id_)
        return False

    async def sign_out(self, storage_user: str) -> None:
        """Forget the tokens of this user's files that wait: these go on when they have signed in again."""
        await self._database.write(lambda tx: uploads.drop_tokens(tx, storage_user, self._now_ms()))

    async def _again(
        self, id_: str, storage_user: str, token: str, name: str | None, also: WriteWork[object] | None = None
    ) -> Upload:
        await self._repeat(id_, storage_user, token, name, also)
        await self._sender.ask(await self.find(id_, storage_user), token)
        return await self.find(id_, storage_user)

    async def _repeat(
        self, id_: str, storage_user: str, token: str, name: str | None, also: WriteWork[object] | None = None
    ) -> None:
        upload = await self._here(id_, storage_user)
        is_whole = upload.browser is BrowserLeg.RECEIVED
        if upload.storage in uploads.REPEATABLE and is_whole and await self._spool.size_bytes(id_) != upload.size_bytes:
            raise SpoolBroken("The file is not kept here any more. Choose it again.")
        sealed = self._box.seal(token, bound_to=id_)

        async def work(tx: Transaction) -> bool:
            return await uploads.repeat(tx, id_, storage_user, sealed, self._now_ms(), name=name)

        if not await self._database.write(_with(work, also)):
            raise Conflict("This file is on its way, or needs nothing more.")

    async def cancel(self, id_: str, storage_user: str, *, also: WriteWork[object] | None = None) -> Upload:
        """Give an upload up and delete the file here.

        Args:
            also: Done in the transaction that decides it.

        Raises:
            NotFound: As `find`.
            Conflict: It is over, or out whole: what the storage has cannot be taken back from here.
        """
        await self.find(id_, storage_user)

        async def work(tx: Transaction) -> bool:
            return await uploads.cancel(tx, id_, storage_user, self._now_ms())

        if not await self._database.write(_with(work, also)):
            raise Conflict("This file has been sent whole, or needs nothing more.")
        await self._sender.withdraw(id_)
        await self._spool.delete(id_)
        return await self.find(id_, storage_user)

    def _fresh(self, upload: Upload) -> Upload:
        sent_bytes = self._sender.sent_bytes(upload.id)
        if sent_bytes is None or upload.storage is not StorageLeg.SENDING:
            return upload
        return replace(upload, sent_bytes=sent_bytes)


def _with(work: WriteWork[bool], also: WriteWork[object] | None) -> WriteWork[bool]:
    """The work, and what else is to be done in its transaction where it changes anything."""

    async def both(tx: Transaction) -> bool:
        changed = await work(tx)
        if changed and also is not None:
            await also(tx)
        return changed

    return both


def _check_name(name: str) -> None:
    check_name(name)
    if len(name) > MAX_NAME_CHARS:
        raise BadInput(f"The file's name is longer than {MAX_NAME_CHARS} characters.", field="content_name")


def _check_size(size_bytes: int, limit_bytes: int) -> None:
    if size_bytes < 1:
        raise BadInput("The file is empty: there is nothing to store.", field="file")
    if size_bytes > limit_bytes:
        raise TooLarge(
            f"The file is larger than the {limit_bytes} bytes that are taken here.",
            limit_bytes=limit_bytes,
            field="file",
        )


async def _take_in(appender: Appender, chunks: AsyncIterator[bytes], most_bytes: int) -> int:
    """Spool a file whole; its size in bytes, at least one."""
    async for chunk in chunks:
        if appender.size_bytes + len(chunk) > most_bytes:
            raise SpoolFull("Too many of your files wait here already: let some be stored first, or cancel them.")
        await appender.append(chunk)
    size_bytes = await appender.sync()
    if size_bytes == 0:
        raise BadInput("The file is empty: there is nothing to store.", field="file")
    return size_bytes
