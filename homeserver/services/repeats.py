"""Calls that their sender may repeat: what was done under a name is not done again, and is answered as it was.

The name is kept before anything is done. So a repeated call that comes while the first one is under way, or after it
was cut off by the death of its process, is refused: what became of the first is for the log to say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from homeserver.errors import BadInput, Conflict, DatabaseUnavailable, HomeServerError, TooMany
from homeserver.model import NowMs
from homeserver.services.turns import to_the_end
from homeserver.storage import operator_tokens as store
from homeserver.storage.database import Database, Transaction
from homeserver.storage.operator_tokens import Call

KEPT_MS: Final = 24 * 3600 * 1000
MAX_KEPT: Final = 10_000
"""Of one operator: a program that acts so often has an error."""
MAX_ANSWER: Final = 64 * 1024
_NAME: Final = re.compile(r"[\x21-\x7e]{1,100}")


class Answer(NamedTuple):
    """What a call was answered: a status and JSON."""

    status: int
    body: bytes


class Repeats:
    """Remembers the answers of calls, by operator and the name that they gave the call."""

    def __init__(self, database: Database, now_ms: NowMs) -> None:
        self._database = database
        self._now_ms = now_ms

    async def once(self, operator: int, name: str | None, call: bytes, do: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do it, or give the answer that it had under this name. One of more than 64 KiB is not kept: for a day, such a
        call counts as not answered.

        Args:
            name: The sender's name for the call; None: it is done whatever was done before.
            call: What the call is: method, path and body.

        Raises:
            BadInput: The name cannot be used, or is that of another call (field "Idempotency-Key").
            Conflict: The first call of this name is not answered (yet).
            TooMany: The operator has used too many names within a day.
        """
        if name is None:
            return await do()
        if not _NAME.fullmatch(name):
            raise BadInput("1 to 100 visible ASCII characters", field="Idempotency-Key")
        call_hash = hashlib.sha256(call).hexdigest()
        before = await self._database.write(lambda tx: self._begin(tx, operator, name, call_hash))
        if before is not None:
            if before.call_hash != call_hash:
                raise BadInput("another call was made under this key", field="Idempotency-Key")
            if before.status is None or before.answer is None:
                raise Conflict("The first call under this key is not answered. The log says what was done.")
            return Answer(before.status, before.answer.encode())
        try:
            answer = await do()
        except HomeServerError as error:
            if isinstance(error, DatabaseUnavailable) and error.uncertain:
                raise  # it may have been done: not even its sender's program may do it again by itself
            # What raises another of ours has changed nothing: an act is one transaction, and upkeep does what follows.
            await to_the_end(self._database.write(lambda tx: store.forget_call(tx, operator, name)))
            raise
        if len(answer.body) <= MAX_ANSWER:
            await to_the_end(
                self._database.write(lambda tx: store.end_call(tx, operator, name, answer.status, answer.body.decode()))
            )
        return answer

    async def _begin(self, tx: Transaction, operator: int, name: str, call_hash: str) -> Call | None:
        before = await store.begin_call(tx, operator, name, call_hash, self._now_ms() + KEPT_MS)
        if before is None and await store.count_calls(tx, operator) > MAX_KEPT:
            raise TooMany("Too many calls with a key of their own within a day.", wait_s=3600.0)
        return before
