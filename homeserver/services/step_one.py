"""Asking the storage for upload URLs, and knowing whose fault it is when it refuses a token.

One user refused: their token has ended, and they sign in again. Two users refused with no success between: it is our
own pair or the service. Then asking pauses, for all processes; nobody is sent to sign in, tokens stay, uploads wait,
and health is red until one trial succeeds. Refusals that lie further apart than `EVIDENCE_MS` are not taken together:
on a site with few users two tokens may simply have ended in one night.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from homeserver.clients.mesdonnees import MesDonneesClient
from homeserver.errors import StoragePaused, StorageRefused, TokenRefused
from homeserver.model import NowMs
from homeserver.protocol.mesdonnees import Ticket
from homeserver.protocol.mesdonnees_refusals import is_documented
from homeserver.storage import step_one
from homeserver.storage.database import Database, Transaction
from homeserver.storage.step_one import Refusals

EVIDENCE_MS: Final = 3_600_000
FIRST_PAUSE_MS: Final = 30_000
LONGEST_PAUSE_MS: Final = 600_000

OnRefused = Callable[[str, str], Awaitable[None]]
"""Told the user whose token was refused, and the token."""

_log = structlog.get_logger(__name__)


async def _tell_nobody(_user: str, _token: str) -> None:
    return None


class StepOne:
    """Step one of every upload, in one place."""

    def __init__(
        self, database: Database, client: MesDonneesClient, now_ms: NowMs, on_refused: OnRefused = _tell_nobody
    ) -> None:
        self._database = database
        self._client = client
        self._now_ms = now_ms
        self._on_refused = on_refused

    async def ask(self, user: str, token: str, name: str, size_bytes: int) -> Ticket:
        """Ask for a place for a file of this user.

        Raises:
            StoragePaused: Nobody is asked for at the moment; the upload waits.
            As `MesDonneesClient.ask`.
        """
        state = await self._database.look(step_one.find)
        if state is not None and state.paused and not await self._database.write(lambda tx: self._try_it(tx, user)):
            raise StoragePaused(state.code, state.detail)
        try:
            ticket = await self._client.ask(token, name, size_bytes)
        except TokenRefused as error:
            await self._refused(user, token, error)
            raise
        except StorageRefused as error:
            if is_documented(error.storage_code):  # it knows us, and whom we ask for
                await self._accepted()
            raise
        await self._accepted()
        return ticket

    async def pause(self) -> Refusals | None:
        """What the storage said when asking was paused; None while it is not."""
        state = await self._database.look(step_one.find)
        return state if state is not None and state.paused else None

    async def holds(self, user: str) -> bool:
        """Whether asking for this user would only raise `StoragePaused` now."""
        state = await self.pause()
        return state is not None and self._now_ms() < _due_ms(state, user)

    async def _try_it(self, tx: Transaction, user: str) -> bool:
        """Whether this call is the trial: one at a time, and rather not for whom the last one was refused."""
        now_ms = self._now_ms()
        state = await step_one.find(tx)
        if state is None or not state.paused:
            return True
        if now_ms < _due_ms(state, user):
            return False
        await step_one.put(tx, _again(state, now_ms))
        return True

    async def _refused(self, user: str, token: str, error: TokenRefused) -> None:
        """Say whose fault it is: return when it is this token's.

        Raises:
            StoragePaused: It is everybody's.
        """
        now_ms = self._now_ms()

        async def work(tx: Transaction) -> bool:
            await tx.lock("step one")
            state = await step_one.find(tx)
            one, text = (user, error.storage_code), error.detail
            if state is not None and state.paused:
                await step_one.put(
                    tx, Refusals(*one, text, now_ms, True, state.next_try_ms, min(state.pause_ms * 2, LONGEST_PAUSE_MS))
                )
                return True
            everybody = state is not None and state.user != user and now_ms - state.refused_ms <= EVIDENCE_MS
            await step_one.put(tx, Refusals(*one, text, now_ms, everybody, now_ms + FIRST_PAUSE_MS, FIRST_PAUSE_MS))
            return everybody

        if await self._database.write(work):
            _log.error("storage_paused", code=error.storage_code)
            raise StoragePaused(error.storage_code, error.detail) from error
        await self._on_refused(user, token)

    async def _accepted(self) -> None:
        if await self._database.look(step_one.find) is not None:
            await self._database.write(step_one.clear)


def _due_ms(state: Refusals, user: str) -> int:
    return state.next_try_ms + (state.pause_ms if user == state.user else 0)


def _again(state: Refusals, now_ms: int) -> Refusals:
    return Refusals(
        state.user, state.code, state.detail, state.refused_ms, True, now_ms + state.pause_ms, state.pause_ms
    )
