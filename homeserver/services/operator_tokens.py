"""Personal tokens of operators, for programs: each has a role not above its owner's, ends, and may be revoked."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from homeserver.domain.instants import DAY_MS
from homeserver.errors import BadInput, Conflict, Forbidden, NotFound
from homeserver.model import AccessToken, Action, NewToken, NowMs, Operator, Role
from homeserver.services import reasons
from homeserver.services.operators import named
from homeserver.storage import moderation
from homeserver.storage import operator_tokens as store
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.sessions import new_secret, secret_hash

PREFIX: Final = "hsa_"
"""So that whoever finds one in a file knows what it is."""
MAX_NAME: Final = 64
MAX_DAYS: Final = 366
MAX_TOKENS: Final = 50
USED_MS: Final = 60_000
"""So exactly is known when a token was last used."""


class OperatorTokens:
    """Makes, lists, revokes and recognises tokens.

    Common errors: NotFound (no such operator).
    """

    def __init__(self, database: Database, now_ms: NowMs) -> None:
        self._database = database
        self._now_ms = now_ms

    async def add(self, owner: str, name: str, role: Role, *, days: int = 90, actor: str | None = None) -> NewToken:
        """Make a token of the operator `owner`, good for so many days. It is shown this once.

        Args:
            actor: Who does it, for the log; None: the owner.

        Raises:
            BadInput: The name cannot be used, or `days` is not 1 to 366 (fields "name", "days").
            Forbidden: The role is above the owner's.
            Conflict: The owner has 50 tokens already.
        """
        name = name.strip()
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise BadInput(f"1 to {MAX_NAME} printable characters", field="name")
        if not 1 <= days <= MAX_DAYS:
            raise BadInput(f"1 to {MAX_DAYS} days", field="days")
        now_ms = self._now_ms()
        token = PREFIX + new_secret()
        listed = AccessToken(secrets.token_hex(6), name, role, now_ms, now_ms + days * DAY_MS, None)
        detail = f"{owner}: {name} ({role.value}, {listed.id})"
        act = reasons.unexplained(Action.ADD_TOKEN, now_ms, actor or owner, detail=detail)

        async def work(tx: Transaction) -> None:
            found = await named(tx, owner)
            if not found.role.allows(role):
                raise Forbidden(f"{owner} may {found.role.value}, so a token of theirs may not {role.value}.")
            if len(await store.of_operator(tx, found.id, now_ms)) >= MAX_TOKENS:
                raise Conflict(f"{owner} has {MAX_TOKENS} tokens. Revoke one first.")
            await store.add(tx, secret_hash(token), found.id, listed)
            await moderation.log(tx, act)

        await self._database.write(work)
        return NewToken(token, listed)

    async def listed(self, owner: str) -> tuple[AccessToken, ...]:
        """The tokens of an operator that have not ended, the newest first."""
        now_ms = self._now_ms()

        async def work(reader: Reader) -> list[AccessToken]:
            return await store.of_operator(reader, (await named(reader, owner)).id, now_ms)

        return tuple(await self._database.look(work))

    async def revoke(self, owner: str, token_id: str, *, actor: str | None = None) -> None:
        """End a token at once.

        Raises:
            NotFound: The operator has no such token.
        """
        detail = f"{owner}: {token_id}"
        act = reasons.unexplained(Action.REVOKE_TOKEN, self._now_ms(), actor or owner, detail=detail)

        async def work(tx: Transaction) -> None:
            if not await store.revoke(tx, (await named(tx, owner)).id, token_id):
                raise NotFound(f"{owner} has no such token.")
            await moderation.log(tx, act)

        await self._database.write(work)

    async def find(self, token: str) -> Operator | None:
        """Whose token this is, with what both the token and its owner may do now; None if it is not good (any more)."""
        if not token.startswith(PREFIX):
            return None
        token_hash, now_ms = secret_hash(token), self._now_ms()
        found = await self._database.look(lambda reader: store.find(reader, token_hash, now_ms))
        if found is None:
            return None
        if found.used_ms is None or found.used_ms <= now_ms - USED_MS:
            await self._database.write(lambda tx: store.set_used(tx, token_hash, now_ms))
        own = found.operator
        return replace(own, role=found.role if own.role.allows(found.role) else own.role)
