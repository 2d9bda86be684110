"""The background sender: brings every file that came whole to the storage, or to a state that tells its owner why not.

One upload is one task of one process (the spool's claim sees to that), and goes round until it is stored, settled or
stopped. Every step is written down before it is taken, above all `closing`, which is committed before the closing
boundary leaves: an upload found dead there may have been stored, and one found dead earlier cannot.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from homeserver.clients.mesdonnees import MesDonneesClient
from homeserver.errors import Conflict, HomeServerError, SealBroken, SpoolBroken, TokenRefused, UploadUncertain
from homeserver.model import BrowserLeg, NowMs, StorageLeg, Upload
from homeserver.protocol.mesdonnees import SERVICE, Receipt, Ticket
from homeserver.services.secret_box import SecretBox
from homeserver.services.upload_verdicts import Budget, PortalRule, Verdict, judge
from homeserver.storage import uploads
from homeserver.storage.database import Database, Reader
from homeserver.storage.spool import Spool

PROGRESS_MS: Final = 1000
"""How often a row is told how far its upload has come."""

TICKET_MS: Final = 10_000
"""How long an upload URL may lie about: its life is unknown, and begins when it is issued."""

LEFTOVER_S: Final = 3600.0
"""How long nothing must have been written to a file that no upload needs before it is taken for a crash's leftover."""

LAST_ANSWER_S: Final = 10.0
"""How long a stopping process waits for the answers to files that are out whole."""

_NEEDS_THE_FILE: Final = frozenset({StorageLeg.OUT_OF_SPACE, StorageLeg.NEEDS_NAME})

Sleep = Callable[[float], Awaitable[object]]

_log = structlog.get_logger(__name__)


class _Withdrawn(HomeServerError):
    """The upload was cancelled, or settled by somebody else, since we last looked."""

    code = "withdrawn"


@dataclass(slots=True)
class _Begun:
    """What is known of an upload before its task runs: failures so far, and perhaps a URL that is ready."""

    budget: Budget = field(default_factory=Budget)
    failed: Verdict | None = None
    ticket: Ticket | None = None
    issued_ms: int = 0


class Sender:
    """Sends the uploads of one spool, `max_sending` at once."""

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
        self._database = database
        self._spool = spool
        self._client = client
        self._box = secret_box
        self._portal = portal
        self._now_ms = now_ms
        self._node = node
        self._max_sending = max_sending
        self._sleep = sleep
        self._jitter = jitter
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._begun: dict[str, _Begun] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._closing: set[str] = set()
        self._sent_bytes: dict[str, int] = {}

    # --- step one, while its owner waits ------------------------------------------------------------------------------

    async def ask(self, upload: Upload, token: str) -> None:
        """Step one of a first attempt: the upload is then with the sender, or settled. It is `asking` now.

        Whatever else happens, a cancelled request included, the sender goes on with it, once it is whole.
        """
        begun = _Begun()
        done = False
        try:
            if (ending := self._running.get(upload.id)) is not None:
                await asyncio.wait({ending})  # its row is settled, else nobody would ask: it only has to leave
            async with self._spool.claimed(upload.id):
                done = await self._ask(upload, token, begun)
                upload = await self._under_way(upload.id) or upload
        except Conflict:
            _log.info("upload_left_to_another", upload=upload.id)
        except _Withdrawn:
            done = True
        finally:
            if not done:
                self._begun[upload.id] = begun
                if upload.browser is BrowserLeg.RECEIVED:
                    self.notice(upload.id)

    async def _ask(self, upload: Upload, token: str, begun: _Begun) -> bool:
        """Whether that was all: the upload is settled."""
        try:
            begun.ticket = await self._client.ask(token, upload.name, upload.size_bytes)
            begun.issued_ms = self._now_ms()
        except HomeServerError as error:
            begun.failed = judge(error)
            if not begun.budget.allows_retry(begun.failed):
                await self._settle(upload.id, begun.failed)
                return True
        await self._wait(upload.id, begun.failed)
        return False

    def notice(self, id_: str) -> None:
        """Have an upload sent that has come whole."""
        self._queue.put_nowait(id_)

    # --- the background -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take up what an earlier process left, then send until cancelled. Then uploads that are out whole may end.

        Those that are stopped go on at the next start.
        """
        await self._recover()
        workers = [asyncio.create_task(self._work()) for _ in range(self._max_sending)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await self._stop()

    def sent_bytes(self, id_: str) -> int | None:
        """How much of an upload is out, if this process sends it: newer than its row."""
        return self._sent_bytes.get(id_)

    async def withdraw(self, id_: str) -> None:
        """Stop sending an upload whose row says that it was cancelled."""
        if (task := self._running.get(id_)) is not None and id_ not in self._closing:
            task.cancel()
            await asyncio.wait({task})

    async def _recover(self) -> None:
        async def work(reader: Reader) -> list[str]:
            return await uploads.under_way(reader, self._node)

        for id_ in await self._database.read(work):
            self._queue.put_nowait(id_)
        for id_ in await self._spool.ids(untouched_s=LEFTOVER_S):
            if not await self._is_needed(id_):
                try:
                    async with self._spool.appending(id_):  # nobody receives it, so look again: it may be new
                        if not await self._is_needed(id_):
                            await self._spool.delete(id_)
                except Conflict:
                    continue

    async def _is_needed(self, id_: str) -> bool:
        upload = await self._database.look(lambda reader: uploads.find(reader, id_))
        return upload is not None and upload.storage in uploads.KEPT

    async def _work(self) -> None:
        while True:
            id_ = await self._queue.get()
            while (ending := self._running.get(id_)) is not None:
                await asyncio.wait({ending})
            task = asyncio.create_task(self._deliver_watched(id_))
            self._running[id_] = task
            task.add_done_callback(partial(self._forget, id_))
            await asyncio.wait({task})  # not cancelled with this worker: `_stop` decides

    def _forget(self, id_: str, _: asyncio.Task[None]) -> None:
        self._running.pop(id_, None)
        self._sent_bytes.pop(id_, None)
        self._closing.discard(id_)

    async def _stop(self) -> None:
        last = [task for id_, task in self._running.items() if id_ in self._closing]
        rest = [task for task in self._running.values() if task not in last]
        for task in rest:
            task.cancel()
        if last:
            await asyncio.wait(last, timeout=LAST_ANSWER_S)
        for task in last:
            task.cancel()
        if rest or last:
            await asyncio.wait([*rest, *last])

    async def _deliver_watched(self, id_: str) -> None:
        begun = self._begun.pop(id_, None) or _Begun()
        try:
            if not await self._under_way(id_):
                return  # cancelled while it waited; a claim would leave a file behind
            async with self._spool.claimed(id_):
                await self._deliver(id_, begun)
        except (Conflict, _Withdrawn):
            _log.info("upload_left_to_another", upload=id_)
        except Exception:
            _log.exception("upload_stopped", upload=id_)
            await self._give_up(id_)

    async def _under_way(self, id_: str) -> Upload | None:
        upload = await self._database.look(lambda reader: uploads.find(reader, id_))
        return upload if upload is not None and upload.storage in uploads.UNDER_WAY else None

    async def _deliver(self, id_: str, begun: _Begun) -> None:
        """Go round until the upload is stored or settled."""
        upload = await self._under_way(id_)
        if upload is None:
            return
        if upload.browser is not BrowserLeg.RECEIVED:
            await self._wait(id_, None)
            return
        if upload.storage is StorageLeg.CLOSING:
            dead = UploadUncertain("The server stopped while it waited for the storage's answer.", service=SERVICE)
            await self._settle(id_, judge(dead))
            return
        if begun.failed is not None:
            await self._sleep(begun.budget.wait_s(begun.failed, self._jitter()))
        while True:
            try:
                receipt = await self._attempt(upload, begun)
                break
            except _Withdrawn:
                raise
            except HomeServerError as error:
                self._closing.discard(id_)
                verdict = judge(error)
            if not begun.budget.allows_retry(verdict):
                await self._settle(id_, verdict)
                return
            await self._wait(id_, verdict)
            await self._sleep(begun.budget.wait_s(verdict, self._jitter()))
        await self._store(id_, receipt)

    async def _attempt(self, upload: Upload, begun: _Begun) -> Receipt:
        """Both steps, or the second alone where a fresh URL is at hand."""
        id_ = upload.id
        if await self._spool.size_bytes(id_) != upload.size_bytes:
            raise SpoolBroken("The file that was kept here is gone, or not whole.")
        ticket, begun.ticket = begun.ticket, None
        fresh = ticket is not None and 0 <= self._now_ms() - begun.issued_ms <= TICKET_MS
        if ticket is None or not fresh:
            counted = ticket is None
            token = await self._token(id_)
            await self._must(
                self._database.write(lambda tx: uploads.begin_attempt(tx, id_, self._now_ms(), counted=counted))
            )
            ticket = await self._client.ask(token, upload.name, upload.size_bytes)
        cuts = await self._database.look(lambda reader: uploads.cuts(reader, id_))
        await self._must(self._database.write(lambda tx: uploads.send(tx, id_, self._now_ms())))
        self._sent_bytes[id_] = 0

        async def before_close() -> None:
            self._closing.add(id_)  # first: who stops us between the commit and the boundary should wait for the answer
            try:
                await self._must(self._database.write(lambda tx: uploads.close(tx, id_, self._now_ms(), cuts=cuts)))
            except BaseException:
                self._closing.discard(id_)
                raise

        async with aclosing(self._followed(upload)) as chunks:
            return await self._client.send(
                ticket,
                upload.name,
                upload.media_type,
                upload.size_bytes,
                chunks,
                on_progress=lambda sent_bytes: self._sent_bytes.__setitem__(id_, sent_bytes),
                before_close=before_close,
            )

    async def _followed(self, upload: Upload) -> AsyncGenerator[bytes, None]:
        """The file's pieces; on the way its row hears how far they have come, and we hear when it was cancelled."""
        id_, noted_ms = upload.id, self._now_ms()
        async with aclosing(self._spool.chunks(id_, size_bytes=upload.size_bytes)) as chunks:
            async for chunk in chunks:
                if self._now_ms() - noted_ms >= PROGRESS_MS:
                    noted_ms = self._now_ms()
                    await self._note_progress(id_, self._sent_bytes.get(id_, 0))
                yield chunk

    async def _token(self, id_: str) -> str:
        sealed = await self._database.look(lambda reader: uploads.sealed_token(reader, id_))
        try:
            return self._box.open(sealed or "", bound_to=id_)
        except SealBroken:
            raise TokenRefused(None, "The token kept for this file cannot be read any more.", service=SERVICE) from None

    # --- what is written down -----------------------------------------------------------------------------------------

    async def _must(self, step: Awaitable[bool]) -> None:
        if not await step:
            raise _Withdrawn("the upload is not where it was")

    async def _note_progress(self, id_: str, sent_bytes: int) -> None:
        await self._must(self._database.write(lambda tx: uploads.note_progress(tx, id_, sent_bytes, self._now_ms())))

    async def _wait(self, id_: str, verdict: Verdict | None) -> None:
        code, detail = (None, None) if verdict is None else (verdict.code, verdict.detail)
        if verdict is not None:
            _log.warning("upload_attempt_failed", upload=id_, code=code)
        await self._must(self._database.write(lambda tx: uploads.wait(tx, id_, code, detail, self._now_ms())))

    async def _settle(self, id_: str, verdict: Verdict) -> None:
        portal_url = self._portal.address_for(verdict)
        if verdict.leg in _NEEDS_THE_FILE and await self._is_declared(id_):
            verdict = replace(verdict, leg=StorageLeg.REFUSED)  # nothing is kept yet that could be sent later
        _log.warning("upload_settled", upload=id_, leg=verdict.leg.value, code=verdict.code)
        await self._must(
            self._database.write(
                lambda tx: uploads.settle(
                    tx,
                    id_,
                    verdict.leg,
                    code=verdict.code,
                    detail=verdict.detail,
                    portal_url=portal_url,
                    now_ms=self._now_ms(),
                )
            )
        )
        if verdict.leg not in uploads.KEPT:
            await self._spool.delete(id_)

    async def _is_declared(self, id_: str) -> bool:
        upload = await self._under_way(id_)
        return upload is not None and upload.browser is BrowserLeg.DECLARED

    async def _store(self, id_: str, receipt: Receipt) -> None:
        await self._must(
            self._database.write(
                lambda tx: uploads.store(tx, id_, receipt.content_id, receipt.folder_id, self._now_ms())
            )
        )
        _log.info("upload_stored", upload=id_)
        await self._spool.delete(id_)

    async def _give_up(self, id_: str) -> None:
        """Settle an upload that an error of ours stopped. If even that fails, the next start takes it up."""
        leg = StorageLeg.UNKNOWN if id_ in self._closing else StorageLeg.FAILED
        try:
            await self._settle(id_, Verdict(leg, 0, HomeServerError.code, "An error of this site stopped it."))
        except Exception:
            _log.exception("upload_not_settled", upload=id_)
