"""The browser's leg: bytes come in, onto the disk, and only then are they said to be here.

One upload has one writer at a time, across processes. Every second, and at the end, what has come is forced to the disk
and then written into the row; that number is the offset at which the browser goes on. Bytes behind it are those of a
process that died: they are taken away again, and the row says so first (`cuts`), because a sender may have read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from homeserver.errors import BadInput, SpoolBroken, SpoolFull, Stopping, TooLarge, WrongOffset
from homeserver.model import BrowserLeg, NowMs, StorageLeg, Upload
from homeserver.services.turns import to_the_end
from homeserver.storage import uploads
from homeserver.storage.database import Database
from homeserver.storage.spool import Appender, Spool

NOTE_MS: Final = 1000
"""How often a row is told how far its file has come; a killed process costs the browser this much."""

REST_TIMES: Final = 10
"""A slow disk is left alone for so many times as long as it took: it has others to serve."""

SILENCE_S: Final = 60.0
"""How long a browser may give no byte before its part is over, so that it may come back by another connection."""


class Receiver:
    """Takes the bytes of declared uploads."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        now_ms: NowMs,
        on_bytes: Callable[[str, bool], None],
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        """`on_bytes` is told the id of an upload, and whether more bytes may come now: at the first ones, when a part
        ends, and when the file is whole."""
        self._database = database
        self._spool = spool
        self._now_ms = now_ms
        self._on_bytes = on_bytes
        self._silence_s = silence_s
        self._patience: set[asyncio.Timeout] = set()
        self._is_over = False

    def close(self) -> None:
        """End all parts where they are: the server ends, and whoever sends them goes on with the next one."""
        self._is_over = True
        for patience in self._patience:
            if not patience.expired():  # such a part ends already
                patience.reschedule(0)

    async def take(self, id_: str, offset_bytes: int, chunks: AsyncIterator[bytes]) -> int:
        """Take a part; see `Uploads.receive_part`."""
        found = await self._find(id_)
        async with self._spool.appending(id_, create=found.received_bytes == 0) as appender:
            part = _Part(self, await self._find(id_), appender)
            await part.begin(offset_bytes)
            try:
                await self._take(part, chunks)
            finally:
                await to_the_end(part.end())
        return appender.size_bytes

    async def _take(self, part: _Part, chunks: AsyncIterator[bytes]) -> None:
        """Append all that comes.

        Raises:
            BadInput: Nothing came for `silence_s`, or little longer.
            Stopping: The server ends.
        """
        now_s = asyncio.get_running_loop().time
        heard_s = now_s()
        patience = asyncio.timeout_at(0 if self._is_over else heard_s + self._silence_s)
        self._patience.add(patience)
        try:
            async with patience:
                async for chunk in chunks:
                    if now_s() - heard_s >= self._silence_s / 8:  # a timer for each would cost more than the chunk
                        heard_s = now_s()
                        patience.reschedule(0 if self._is_over else heard_s + self._silence_s * 9 / 8)
                    await part.append(chunk)
        except TimeoutError:
            if not patience.expired():
                raise
            if self._is_over:
                raise Stopping("The server starts anew. What has come is kept: go on in a moment.") from None
            raise BadInput("The line was silent for too long.", field="file") from None
        finally:
            self._patience.discard(patience)

    async def _find(self, id_: str) -> Upload:
        upload = await self._database.look(lambda reader: uploads.find(reader, id_))
        if upload is None or upload.storage not in uploads.KEPT:
            raise SpoolBroken("This upload is over.")
        return upload


class _Part:
    """One request's bytes."""

    def __init__(self, receiver: Receiver, upload: Upload, appender: Appender) -> None:
        self._database = receiver._database  # noqa: SLF001 - one module's two halves
        self._now_ms = receiver._now_ms  # noqa: SLF001
        self._on_bytes = receiver._on_bytes  # noqa: SLF001
        self._upload = upload
        self._appender = appender
        self._note: asyncio.Task[None] | None = None
        self._noted_ms, self._rest_ms = 0, NOTE_MS
        self._is_begun = False
        self._written_bytes = upload.received_bytes

    async def begin(self, offset_bytes: int) -> None:
        """Make the file end where its row says, and see that these bytes belong there."""
        upload, appender = self._upload, self._appender
        if appender.size_bytes < upload.received_bytes:
            raise SpoolBroken("The file that was kept here is gone, or not whole. Choose it again.")
        if offset_bytes != upload.received_bytes:
            raise WrongOffset(f"The file has {upload.received_bytes} bytes here.", offset_bytes=upload.received_bytes)
        if appender.size_bytes > upload.received_bytes:
            await self._cut(upload.received_bytes)

    async def append(self, chunk: bytes) -> None:
        """Put the next bytes behind the others."""
        upload, appender = self._upload, self._appender
        if appender.size_bytes + len(chunk) > upload.size_bytes:
            raise TooLarge("These are more bytes than were declared.", limit_bytes=upload.size_bytes, field="file")
        await appender.append(chunk)
        if not self._is_begun:
            self._is_begun = True
            self._noted_ms = self._now_ms()
            self._on_bytes(upload.id, True)
        elif self._now_ms() - self._noted_ms >= self._rest_ms and (self._note is None or self._note.done()):
            self._noted_ms = self._now_ms()
            self._raise_from_note()
            self._note = asyncio.create_task(self._write_down())

    async def end(self) -> None:
        """Keep what came, for good."""
        try:
            if self._note is not None:
                await asyncio.wait({self._note})
                self._raise_from_note()
            await self._write_down()
        finally:
            self._on_bytes(self._upload.id, False)

    def _raise_from_note(self) -> None:
        if self._note is not None and (failure := self._note.exception()) is not None:
            raise failure

    async def _write_down(self) -> None:
        id_, full = self._upload.id, None
        if self._appender.size_bytes == self._written_bytes or await self._is_stored():
            return
        began_s = asyncio.get_running_loop().time()
        try:
            received_bytes = await self._appender.sync()
        except SpoolFull as error:  # what could be written whole is kept
            full = error
            await self._cut(self._appender.flushed_bytes)
            received_bytes = await self._appender.sync()
        self._rest_ms = max(NOTE_MS, int(REST_TIMES * 1000 * (asyncio.get_running_loop().time() - began_s)))
        if not await self._database.write(lambda tx: uploads.receive(tx, id_, received_bytes, self._now_ms())):
            found = await self._database.look(lambda reader: uploads.find(reader, id_))
            if found is None or found.browser is not BrowserLeg.RECEIVED:
                raise SpoolBroken("This upload is over.")
        self._written_bytes = received_bytes
        if full is not None:
            raise full

    async def _is_stored(self) -> bool:
        """Whether the sender was quicker than the disk: then nothing has to be kept any more."""
        found = await self._database.look(lambda reader: uploads.find(reader, self._upload.id))
        return found is not None and found.storage is StorageLeg.STORED

    async def _cut(self, size_bytes: int) -> None:
        id_ = self._upload.id
        if not await self._database.write(lambda tx: uploads.cut(tx, id_, self._now_ms())):
            raise SpoolBroken("This upload is over.")
        await self._appender.cut(size_bytes)
