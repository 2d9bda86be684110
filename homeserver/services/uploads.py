"""Uploads as their owners see them: a file is received whole, a place is asked for, it is sent in the background.

While it can still be sent, nobody is asked for the file again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from homeserver.clients.mesdonnees import MesDonneesClient
from homeserver.errors import BadInput, Conflict, NotFound, SpoolBroken
from homeserver.model import BrowserLeg, NowMs, StorageLeg, Upload
from homeserver.protocol.mesdonnees import check_name, clean_media_type
from homeserver.services.secret_box import SecretBox
from homeserver.services.upload_sender import Sender, Sleep
from homeserver.services.upload_verdicts import PortalRule
from homeserver.storage import uploads
from homeserver.storage.database import Database
from homeserver.storage.spool import Appender, Spool, new_id

MAX_NAME_CHARS: Final = 255
HISTORY: Final = 50


class Uploads:
    """The uploads of one server. `run` must be at work for anything to be sent."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        client: MesDonneesClient,
        secret_box: SecretBox,
        portal: PortalRule,
        *,
        now_ms: NowMs,
        node: str = "",
        max_sending: int = 16,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            spool: Prepared. It belongs to this machine.
            secret_box: Seals the tokens of uploads under way.
            portal: Where users may be sent by the storage's word.
            node: This machine's name (letters, digits, -), where several share the database.
            max_sending: How many files this process sends at once; the others wait.
        """
        self._database = database
        self._spool = spool
        self._box = secret_box
        self._now_ms = now_ms
        self._node = node
        self._sender = Sender(
            database,
            spool,
            client,
            secret_box,
            portal,
            now_ms=now_ms,
            node=node,
            max_sending=max_sending,
            sleep=sleep,
            jitter=jitter,
        )

    async def run(self) -> None:
        """The background job: endless, to be cancelled at the end. See `Sender.run`."""
        await self._sender.run()

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
        """
        check_name(name)
        if len(name) > MAX_NAME_CHARS:
            raise BadInput(f"The file's name is longer than {MAX_NAME_CHARS} characters.", field="content_name")
        id_ = new_id(self._node)
        try:
            # The row is there before the writer lets go of the file: a file without a row and a writer is a leftover.
            async with self._spool.appending(id_) as appender:
                size_bytes = await _take_in(appender, chunks)
                now_ms = self._now_ms()
                upload = Upload(
                    id=id_,
                    storage_user=storage_user,
                    name=name,
                    media_type=clean_media_type(media_type),
                    size_bytes=size_bytes,
                    received_bytes=size_bytes,
                    sent_bytes=0,
                    browser=BrowserLeg.RECEIVED,
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
                sealed = self._box.seal(token, bound_to=id_)
                await self._database.write(lambda tx: uploads.add(tx, upload, sealed))
        except BaseException:
            await self._spool.delete(id_)
            raise
        await self._sender.ask(upload, token)
        return await self.find(id_, storage_user)

    async def history(self, storage_user: str, limit: int = HISTORY) -> list[Upload]:
        """A user's uploads, the newest first."""
        found = await self._database.look(lambda reader: uploads.of_user(reader, storage_user, limit))
        return [self._fresh(upload) for upload in found]

    async def all_recent(self, limit: int) -> list[Upload]:
        """Everybody's uploads, the newest first: for operators."""
        found = await self._database.read(lambda reader: uploads.recent(reader, limit))
        return [self._fresh(upload) for upload in found]

    async def find(self, id_: str, storage_user: str) -> Upload:
        """One upload of this user.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        upload = await self._database.look(lambda reader: uploads.find(reader, id_))
        if upload is None or upload.storage_user != storage_user:
            raise NotFound("There is no such upload.")
        return self._fresh(upload)

    async def send_again(self, id_: str, storage_user: str, token: str) -> Upload:
        """Ask again and send from the spool, by the owner's word: the obstacle is gone, or they accept a second copy.

        Returns:
            As `receive`.

        Raises:
            NotFound: As `find`.
            Conflict: It is under way, or over.
            SpoolBroken: The file is not kept here any more.
        """
        upload = await self.find(id_, storage_user)
        if upload.storage in uploads.REPEATABLE and await self._spool.size_bytes(id_) != upload.size_bytes:
            raise SpoolBroken("The file is not kept here any more. Choose it again.")
        sealed = self._box.seal(token, bound_to=id_)
        if not await self._database.write(lambda tx: uploads.repeat(tx, id_, storage_user, sealed, self._now_ms())):
            raise Conflict("This file is on its way, or needs nothing more.")
        await self._sender.ask(upload, token)
        return await self.find(id_, storage_user)

    async def cancel(self, id_: str, storage_user: str) -> Upload:
        """Give an upload up and delete the file here.

        Raises:
            NotFound: As `find`.
            Conflict: It is over, or out whole: what the storage has cannot be taken back from here.
        """
        await self.find(id_, storage_user)
        if not await self._database.write(lambda tx: uploads.cancel(tx, id_, storage_user, self._now_ms())):
            raise Conflict("This file has been sent whole, or needs nothing more.")
        await self._sender.withdraw(id_)
        await self._spool.delete(id_)
        return await self.find(id_, storage_user)

    def _fresh(self, upload: Upload) -> Upload:
        sent_bytes = self._sender.sent_bytes(upload.id)
        if sent_bytes is None or upload.storage is not StorageLeg.SENDING:
            return upload
        return replace(upload, sent_bytes=sent_bytes)


async def _take_in(appender: Appender, chunks: AsyncIterator[bytes]) -> int:
    """Spool a file whole; its size in bytes, at least one."""
    async for chunk in chunks:
        await appender.append(chunk)
    size_bytes = await appender.finish()
    if size_bytes == 0:
        raise BadInput("The file is empty: there is nothing to store.", field="file")
    return size_bytes
