"""One upload under a sender: its attempts, and how the file is followed while it still comes in.

An attempt asks for a URL and posts the file there. What counts as a failure is the storage's; these are not:

- The browser gives no byte for `IDLE_MS`, or so few that the URL would be too old at the end (`max_send_ms`). The
  request ends without its closing boundary, and the file is sent from the spool once it is whole.
- Bytes that may have been sent were taken away from the file again (`cuts`).
- It is not this user's turn, or the storage refuses everybody at the moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, NoReturn

from homeserver.clients.mesdonnees import MesDonneesClient
from homeserver.errors import HomeServerError, SealBroken, SpoolBroken, StoragePaused, TokenRefused
from homeserver.model import BrowserLeg, NowMs, StorageLeg, Upload
from homeserver.protocol.mesdonnees import SERVICE, Receipt, Ticket
from homeserver.services.secret_box import SecretBox
from homeserver.services.step_one import StepOne
from homeserver.services.upload_verdicts import Budget, Verdict
from homeserver.storage import uploads
from homeserver.storage.database import Database, Transaction
from homeserver.storage.spool import Spool

PROGRESS_MS: Final = 1000
"""How often a row is told how far its upload has come."""

TICKET_MS: Final = 10_000
"""How long an upload URL may lie about: its life is unknown, and begins when it is issued."""

IDLE_MS: Final = 10_000
"""How long the storage is kept waiting for a byte of the browser's."""

MEASURE_MS: Final = 5_000
"""How long the browser's rate is measured before anything is concluded from it."""

DEAD_MS: Final = 600_000
"""An upload of a user that was not touched for so long does not take a turn from their others."""

Sleep = Callable[[float], Awaitable[object]]


class Withdrawn(HomeServerError):
    """The upload was cancelled, or settled by somebody else, since we last looked."""

    code = "withdrawn"


class NoTurn(HomeServerError):
    """As many files of this user as may are on their way."""

    code = "no_turn"


class Starved(HomeServerError):
    """The browser is too slow, or silent."""

    code = "starved"


class StartOver(HomeServerError):
    """The file lost bytes that were sent already."""

    code = "start_over"


@dataclass(frozen=True, slots=True)
class Kit:
    """What every run needs. `user_sending`: how many files of one user are on their way at once, on all machines."""

    database: Database
    spool: Spool
    client: MesDonneesClient
    step_one: StepOne
    secret_box: SecretBox
    now_ms: NowMs
    node: str = ""
    user_sending: int = 2
    max_send_ms: int = 600_000
    sleep: Sleep = asyncio.sleep


@dataclass(slots=True)
class Begun:
    """What step one gave or refused before the sender took the upload up."""

    ticket: Ticket | None = None
    issued_ms: int = 0
    budget: Budget | None = None
    failed: Verdict | None = None


@dataclass(slots=True)
class Run:
    """One upload, claimed.

    `is_closing`: the closing boundary may be out; `had_turn`: it took one of its user's turns.
    """

    kit: Kit
    upload: Upload
    begun: Begun
    sent_bytes: int | None = None
    is_closing: bool = False
    had_turn: bool = False
    cuts: int = 0

    @property
    def budget(self) -> Budget:
        """The failures so far."""
        if self.begun.budget is None:
            self.begun.budget = Budget()
        return self.begun.budget

    @property
    def failed(self) -> Verdict | None:
        """What the last attempt failed with, if one did."""
        return self.begun.failed

    async def recover(self) -> None:
        """Take over what another left: nobody is at work on it but us."""
        agreed = await self.kit.database.look(lambda reader: uploads.agreed(reader, self.upload.id))
        if self.begun.budget is None:
            self.begun.budget = Budget(agreed.failures)
        if self.upload.storage is not StorageLeg.WAITING:
            await self.wait()

    async def may_send(self, *, is_growing: bool) -> bool:
        """Whether there is something to send: a whole file, or one that grows and may be sent before it is whole."""
        found = await self.kit.database.look(lambda reader: uploads.find(reader, self.upload.id))
        if found is None or found.storage not in uploads.UNDER_WAY:
            raise Withdrawn
        self.upload = found
        if found.browser is BrowserLeg.RECEIVED:
            return True
        agreed = await self.kit.database.look(lambda reader: uploads.agreed(reader, found.id))
        return is_growing and not agreed.whole_first

    async def attempt(self) -> Receipt:
        """Both steps, or the second alone where a fresh URL is at hand.

        Raises:
            NoTurn, Starved, StartOver, StoragePaused, Withdrawn: Nothing failed; see above.
            HomeServerError: The attempt failed.
        """
        upload, kit = self.upload, self.kit
        self.is_closing = False
        self.cuts = (await kit.database.look(lambda reader: uploads.agreed(reader, upload.id))).cuts
        if upload.browser is BrowserLeg.RECEIVED and await kit.spool.size_bytes(upload.id) != upload.size_bytes:
            raise SpoolBroken("The file that was kept here is gone, or not whole.")
        ticket, self.begun.ticket = self.begun.ticket, None
        if ticket is not None and not 0 <= kit.now_ms() - self.begun.issued_ms <= TICKET_MS:
            ticket = None
        if ticket is None:
            token = await self._token()
            await self._take_turn(uploads.ask)
            ticket = await kit.step_one.ask(upload.storage_user, token, upload.name, upload.size_bytes)
            await self._must(lambda tx: uploads.send(tx, upload.id, kit.now_ms()))
        else:
            await self._take_turn(uploads.send)
        self.sent_bytes = 0
        async with aclosing(self._followed()) as chunks:
            return await kit.client.send(
                ticket,
                upload.name,
                upload.media_type,
                upload.size_bytes,
                chunks,
                on_progress=self._on_progress,
                before_close=self._before_close,
            )

    def _on_progress(self, sent_bytes: int) -> None:
        self.sent_bytes = sent_bytes

    async def _take_turn(self, step: Callable[[Transaction, str, int], Awaitable[bool]]) -> None:
        """Take a step that makes the upload one of those of its user that are on their way."""
        upload, kit = self.upload, self.kit

        async def work(tx: Transaction) -> bool | None:
            await tx.lock(f"uploads of {upload.storage_user}")
            now_ms = kit.now_ms()
            others = await uploads.others_at_work(tx, upload.storage_user, upload.id, now_ms - DEAD_MS)
            return None if others >= kit.user_sending else await step(tx, upload.id, now_ms)

        taken = await kit.database.write(work)
        if taken is None:
            raise NoTurn
        if not taken:
            raise Withdrawn
        self.had_turn = True

    async def _followed(self) -> AsyncGenerator[bytes | bytearray, None]:
        """The file's pieces as they come; on the way its row hears how far they are, and we whether it is still so."""
        upload, kit = self.upload, self.kit
        began_ms = noted_ms = kit.now_ms()
        given_bytes, silent_since_ms = 0, None
        async with aclosing(kit.spool.follow(upload.id, size_bytes=upload.size_bytes)) as pieces:
            async for piece in pieces:
                now_ms = kit.now_ms()
                if now_ms - noted_ms >= PROGRESS_MS:
                    noted_ms = now_ms
                    await self._note_progress()
                if piece is not None:
                    silent_since_ms = None
                    given_bytes += len(piece)
                    yield piece
                    continue
                silent_since_ms = now_ms if silent_since_ms is None else silent_since_ms
                elapsed_ms = now_ms - began_ms
                is_slow = elapsed_ms >= MEASURE_MS and elapsed_ms * upload.size_bytes > kit.max_send_ms * given_bytes
                if is_slow or now_ms - silent_since_ms >= IDLE_MS:
                    raise Starved

    async def _note_progress(self) -> None:
        noted = await self.kit.database.write(
            lambda tx: uploads.note_progress(
                tx, self.upload.id, self.sent_bytes or 0, self.kit.now_ms(), cuts=self.cuts
            )
        )
        if not noted:
            await self._explain()

    async def _before_close(self) -> None:
        """Commit `closing`."""
        kit = self.kit
        self.is_closing = True  # first: who stops us between the commit and the boundary should wait for the answer
        try:
            closed = await kit.database.write(
                lambda tx: uploads.close(tx, self.upload.id, kit.now_ms(), cuts=self.cuts)
            )
            if not closed:
                await self._explain()
        except BaseException:
            self.is_closing = False
            raise

    async def _explain(self) -> NoReturn:
        """Raise why a step was not taken."""
        found = await self.kit.database.look(lambda reader: uploads.find(reader, self.upload.id))
        raise StartOver if found is not None and found.storage is StorageLeg.SENDING else Withdrawn

    async def _token(self) -> str:
        id_ = self.upload.id
        sealed = await self.kit.database.look(lambda reader: uploads.sealed_token(reader, id_))
        try:
            return self.kit.secret_box.open(sealed or "", bound_to=id_)
        except SealBroken:
            raise TokenRefused(None, "The token kept for this file cannot be read any more.", service=SERVICE) from None

    # --- back to waiting ----------------------------------------------------------------------------------------------

    async def wait(self, stay: StoragePaused | None = None) -> None:
        """Wait for a sender; for the end of a pause."""
        code, detail = (None, None) if stay is None else (stay.code, stay.detail)
        if stay is None and self.failed is not None:
            code, detail = self.failed.code, self.failed.detail
        await self._must(lambda tx: uploads.wait(tx, self.upload.id, code, detail, self.kit.now_ms()))

    async def wait_until_whole(self) -> None:
        """Wait for the rest of the file."""
        await self._must(lambda tx: uploads.wait_until_whole(tx, self.upload.id, self.kit.now_ms()))

    async def fail(self, verdict: Verdict) -> None:
        """Wait for another attempt; the storage failed this one."""
        self.is_closing = False
        self.begun.failed = verdict
        await self._must(lambda tx: uploads.fail(tx, self.upload.id, verdict.code, verdict.detail, self.kit.now_ms()))

    async def _must(self, step: Callable[[Transaction], Awaitable[bool]]) -> None:
        self.sent_bytes = None
        if not await self.kit.database.write(step):
            raise Withdrawn
