"""The background sender: brings every file to the storage, or to a state that tells its owner why not.

One upload is one task of one process (the spool's claim sees to that: the system lets go of it when a process dies, so
it needs no term as a lease in the database would; files are on one machine anyway). It goes round until it is stored,
settled or stopped. Every step is written down before it is taken, above all `closing`, which is committed before the
closing boundary leaves: an upload found dead there may have been stored, and one found dead earlier cannot.

A file is sent while it still comes in (`upload_run.py`). Who receives its first bytes begins; any process may take over
from one that died.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog

from homeserver.errors import HomeServerError, Locked, StoragePaused, UploadUncertain
from homeserver.model import BrowserLeg, StorageLeg, Upload
from homeserver.protocol.mesdonnees import SERVICE, Receipt
from homeserver.services.turns import to_the_end
from homeserver.services.upload_run import Begun, Kit, NoTurn, Run, StartOver, Starved, Withdrawn
from homeserver.services.upload_verdicts import PortalRule, Verdict, judge
from homeserver.storage import uploads
from homeserver.storage.database import Reader, Transaction

RESCAN_S: Final = 5.0
"""How often a process looks for uploads that nobody sends: those of another that died, or that a pause held up."""

LAST_ANSWER_S: Final = 10.0
"""How long a stopping process waits for the answers to files that are out whole."""

_MOST_BEGUN: Final = 10_000
_NEEDS_THE_FILE: Final = frozenset({StorageLeg.OUT_OF_SPACE, StorageLeg.NEEDS_NAME})

_log = structlog.get_logger(__name__)


class Sender:
    """Sends the uploads of one spool, `max_sending` at once."""

    def __init__(
        self,
        kit: Kit,
        portal: PortalRule,
        *,
        max_sending: int = 32,
        rescan_s: float = RESCAN_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._kit = kit
        self._portal = portal
        self._max_sending = max_sending
        self._rescan_s = rescan_s
        self._jitter = jitter
        self._queue: deque[str] = deque()
        self._queued: set[str] = set()
        self._filled = asyncio.Event()
        self._begun: dict[str, Begun] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, Run] = {}
        self._again: set[str] = set()
        self._growing: set[str] = set()
        self._held_up: dict[str, set[str]] = defaultdict(set)

    # --- step one, while its owner waits ------------------------------------------------------------------------------

    async def ask(
        self, upload: Upload, token: str, *, before: Callable[[Transaction], Awaitable[None]] | None = None
    ) -> None:
        """Step one of a first attempt: the upload is then with the sender, or settled. Its row says `asking`.

        Whatever else happens, a cancelled request included, the sender goes on with it once bytes are there.

        Args:
            before: Writes that row, where there is none yet. What it raises is raised here.
        """
        begun = Begun()
        done = before is not None
        try:
            if (ending := self._running.get(upload.id)) is not None:
                await asyncio.wait({ending})  # its row is settled, else nobody would ask: it only has to leave
            async with self._kit.spool.claimed(upload.id):  # before others can see the row
                if before is not None:
                    await self._kit.database.write(before)
                    done = False
                done = await self._ask(upload, token, begun)
        except Locked:
            _log.info("upload_left_to_another", upload=upload.id)
        except Withdrawn:
            done = True
        finally:
            if not done:
                self._keep(upload.id, begun)
                if upload.browser is BrowserLeg.RECEIVED or upload.id in self._growing:
                    self.notice(upload.id)

    async def _ask(self, upload: Upload, token: str, begun: Begun) -> bool:
        """Whether that was all: the upload is settled."""
        run = Run(self._kit, upload, begun)
        try:
            begun.ticket = await self._kit.step_one.ask(upload.storage_user, token, upload.name, upload.size_bytes)
            begun.issued_ms = self._kit.now_ms()
            await run.wait()
        except StoragePaused as stay:
            await run.wait(stay)
        except HomeServerError as error:
            return not await self._judged(upload.id, run, error)
        return False

    def _keep(self, id_: str, begun: Begun) -> None:
        """Until its bytes come. Whoever never sends them must not fill the memory: a ticket is only a shortcut."""
        self._begun[id_] = begun
        while len(self._begun) > _MOST_BEGUN:
            del self._begun[next(iter(self._begun))]

    # --- what the browser's leg says --------------------------------------------------------------------------------

    def on_bytes(self, id_: str, is_growing: bool) -> None:
        """Bytes of an upload have come, and more may come now; or a part has ended, perhaps the last."""
        if is_growing:
            self._growing.add(id_)
        else:
            self._growing.discard(id_)
        self.notice(id_)

    def notice(self, id_: str) -> None:
        """Look at an upload: there may be something to send."""
        if id_ in self._running:
            self._again.add(id_)
        elif id_ not in self._queued:
            self._queued.add(id_)
            self._queue.append(id_)
            self._filled.set()

    def sent_bytes(self, id_: str) -> int | None:
        """How much of an upload is out, if this process sends it: newer than its row."""
        run = self._runs.get(id_)
        return None if run is None else run.sent_bytes

    async def withdraw(self, id_: str) -> None:
        """Stop sending an upload whose row says that it is over."""
        self._begun.pop(id_, None)
        run = self._runs.get(id_)
        if (task := self._running.get(id_)) is not None and not (run is not None and run.is_closing):
            task.cancel()
            await asyncio.wait({task})

    # --- the background -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send until cancelled, what earlier and other processes left included. Then what is out whole may end.

        Those that are stopped go on at the next start.
        """
        workers = [asyncio.create_task(self._work()) for _ in range(self._max_sending)]
        try:
            await asyncio.gather(self._rescan(), *workers)
        finally:
            for worker in workers:
                worker.cancel()
            await self._stop()

    async def _rescan(self) -> None:
        async def work(reader: Reader) -> list[str]:
            return await uploads.under_way(reader, self._kit.node)

        while True:
            try:
                for id_ in await self._kit.database.read(work):
                    if id_ not in self._running:
                        self.notice(id_)
            except Exception:  # a database that is away comes back
                _log.exception("uploads_not_seen")
            await asyncio.sleep(self._rescan_s)

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            id_ = self._queue.popleft()
            self._queued.discard(id_)
            if id_ in self._running:
                self._again.add(id_)
                continue
            task = asyncio.create_task(self._deliver_watched(id_))
            self._running[id_] = task
            task.add_done_callback(partial(self._forget, id_))
            await asyncio.wait({task})  # not cancelled with this worker: `_stop` decides

    def _forget(self, id_: str, _: asyncio.Task[None]) -> None:
        self._running.pop(id_, None)
        run = self._runs.pop(id_, None)
        if id_ in self._again:
            self._again.discard(id_)
            self.notice(id_)
        if run is not None and run.had_turn:
            for other in sorted(self._held_up.pop(run.upload.storage_user, ())):
                self.notice(other)

    async def _stop(self) -> None:
        closing = {id_ for id_, run in self._runs.items() if run.is_closing}
        last = [task for id_, task in self._running.items() if id_ in closing]
        rest = [task for id_, task in self._running.items() if id_ not in closing]
        for task in rest:
            task.cancel()
        if last:
            await asyncio.wait(last, timeout=LAST_ANSWER_S)
        for task in last:
            task.cancel()
        if rest or last:
            await asyncio.wait([*rest, *last])

    async def _deliver_watched(self, id_: str) -> None:
        try:
            upload = await self._under_way(id_)
            if upload is None or not await self._is_worth_a_claim(upload):
                return
            async with self._kit.spool.claimed(id_):
                upload = await self._under_way(id_)
                if upload is not None:
                    await self._deliver(upload)
        except Locked:
            _log.debug("upload_left_to_another", upload=id_)
        except Withdrawn:
            _log.info("upload_withdrawn", upload=id_)
        except Exception:
            _log.exception("upload_stopped", upload=id_)
            await self._give_up(id_)

    async def _under_way(self, id_: str) -> Upload | None:
        upload = await self._kit.database.look(lambda reader: uploads.find(reader, id_))
        return upload if upload is not None and upload.storage in uploads.UNDER_WAY else None

    async def _is_worth_a_claim(self, upload: Upload) -> bool:
        """Not where there is nothing to do: a claim costs a file, and whoever waits is looked at every few seconds."""
        if upload.storage is not StorageLeg.WAITING:
            return True
        if upload.browser is not BrowserLeg.RECEIVED and upload.id not in self._growing:
            return False
        return not await self._kit.step_one.holds(upload.storage_user)

    async def _deliver(self, upload: Upload) -> None:
        """Go round until the upload is stored or settled, or has to wait for something that takes long."""
        id_ = upload.id
        if upload.storage is StorageLeg.CLOSING:
            dead = UploadUncertain("The server stopped while it waited for the storage's answer.", service=SERVICE)
            await self._settle(id_, judge(dead))
            return
        run = self._runs[id_] = Run(self._kit, upload, self._begun.get(id_) or Begun())
        try:
            await self._go_round(id_, run)
        except asyncio.CancelledError:
            if not run.is_closing:  # the closing boundary never left, whatever the row says
                await to_the_end(self._hand_over(run))
            raise
        finally:
            if run.begun.ticket is None:
                self._begun.pop(id_, None)

    async def _hand_over(self, run: Run) -> None:
        """Let whoever looks next begin anew: this process stops sending."""
        try:
            await run.wait()
        except Withdrawn:  # it was stopped because it is over
            return
        except Exception:  # its row says `sending`, and whoever looks next takes it up all the same
            _log.exception("upload_not_handed_over", upload=run.upload.id)

    async def _go_round(self, id_: str, run: Run) -> None:
        upload = run.upload
        await run.recover()
        if run.failed is not None:
            await self._kit.sleep(run.budget.wait_s(run.failed, self._jitter()))
        while await run.may_send(is_growing=id_ in self._growing):
            try:
                receipt = await run.attempt()
            except NoTurn:
                self._held_up[upload.storage_user].add(id_)
                await run.wait()
                return
            except Starved:
                await run.wait_until_whole()
            except StartOver:
                await run.wait()
            except StoragePaused as stay:
                await run.wait(stay)
                return
            except Withdrawn:
                raise
            except HomeServerError as error:
                if not await self._judged(id_, run, error):
                    return
                await self._kit.sleep(run.budget.wait_s(judge(error), self._jitter()))
            else:
                await self._store(id_, receipt)
                return

    async def _judged(self, id_: str, run: Run, error: HomeServerError) -> bool:
        """Settle the upload, or have it wait for another attempt: then True."""
        verdict = judge(error)
        if not run.budget.allows_retry(verdict):
            await self._settle(id_, verdict)
            return False
        _log.warning("upload_attempt_failed", upload=id_, code=verdict.code)
        await run.fail(verdict)
        return True

    # --- what is written down -----------------------------------------------------------------------------------------

    async def _settle(self, id_: str, verdict: Verdict) -> None:
        leg, portal_url = verdict.leg, self._portal.address_for(verdict)
        if leg in _NEEDS_THE_FILE:
            upload = await self._under_way(id_)
            if upload is not None and upload.browser is BrowserLeg.DECLARED:
                leg = StorageLeg.REFUSED  # nothing is kept yet that could be sent later
        _log.warning("upload_settled", upload=id_, leg=leg.value, code=verdict.code)
        settled = await self._kit.database.write(
            lambda tx: uploads.settle(
                tx,
                id_,
                leg,
                code=verdict.code,
                detail=verdict.detail,
                portal_url=portal_url,
                now_ms=self._kit.now_ms(),
            )
        )
        if not settled:
            raise Withdrawn
        if leg not in uploads.KEPT:
            await self._kit.spool.delete(id_)

    async def _store(self, id_: str, receipt: Receipt) -> None:
        stored = await self._kit.database.write(
            lambda tx: uploads.store(tx, id_, receipt.content_id, receipt.folder_id, self._kit.now_ms())
        )
        if not stored:
            raise Withdrawn
        _log.info("upload_stored", upload=id_)
        await self._kit.spool.delete(id_)

    async def _give_up(self, id_: str) -> None:
        """Settle an upload that an error of ours stopped. If even that fails, the next start takes it up."""
        run = self._runs.get(id_)
        leg = StorageLeg.UNKNOWN if run is not None and run.is_closing else StorageLeg.FAILED
        try:
            await self._settle(id_, Verdict(leg, 0, HomeServerError.code, "An error of this site stopped it."))
        except Exception:
            _log.exception("upload_not_settled", upload=id_)
