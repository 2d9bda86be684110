"""Operators: accounts with a password, a role, and sessions of their own."""

from __future__ import annotations

import asyncio
import functools
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from homeserver.errors import BadInput, Conflict, NotFound, NotSignedIn
from homeserver.model import Action, NowMs, Operator, OperatorAccount, OperatorSession, Role
from homeserver.services import reasons
from homeserver.services.limits import SIGN_IN_ADDRESS, SIGN_IN_NAME, SIGN_IN_PAIR, Limits, address_group
from homeserver.storage import moderation, operators
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.sessions import new_secret, secret_hash

MAX_NAME: Final = 64
MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 1_000
HASHES_AT_ONCE: Final = 2
"""Each takes 64 MiB and all cores for a moment: a rush of sign-ins must not take the machine down."""


class Operators:
    """Makes, changes and recognises operators."""

    def __init__(
        self,
        database: Database,
        now_ms: NowMs,
        *,
        session_s: int = 12 * 3600,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._session_ms = session_s * 1000
        self._hasher = PasswordHasher() if hasher is None else hasher
        self._limits = Limits(database, now_ms)
        self._room = asyncio.Semaphore(HASHES_AT_ONCE)

    # --- accounts -----------------------------------------------------------------------------------------------------

    async def add(self, name: str, password: str, role: Role, *, actor: str | None = None) -> None:
        """Make an account. As with every change of one, `actor` says who does it, for the log; None: nobody in
        particular, such as whoever set the machine up.

        Raises:
            BadInput: The name or the password cannot be used.
            Conflict: There is an operator of that name.
        """
        if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
            raise BadInput(f"A name has 1 to {MAX_NAME} printable characters, no blanks around it.", field="name")
        password_hash = await self._hash(password)

        async def work(tx: Transaction) -> bool:
            added = await operators.add(tx, name, password_hash, role)
            if added:
                await self._log(tx, Action.ADD_OPERATOR, actor, f"{name}: {role.value}")
            return added

        if not await self._database.write(work):
            raise Conflict(f"There is an operator {name} already.")

    async def set_role(self, name: str, role: Role, *, actor: str | None = None) -> None:
        """Change what an operator may do; all their sessions end.

        Raises:
            NotFound: There is no such operator.
        """

        async def work(tx: Transaction) -> None:
            await operators.set_role(tx, (await named(tx, name)).id, role)
            await self._log(tx, Action.SET_ROLE, actor, f"{name}: {role.value}")

        await self._database.write(work)

    async def set_password(self, name: str, password: str, *, actor: str | None = None) -> None:
        """Change an operator's password; all their sessions end.

        Raises:
            BadInput: The password cannot be used.
            NotFound: There is no such operator.
        """
        password_hash = await self._hash(password)

        async def work(tx: Transaction) -> None:
            await operators.set_password(tx, (await named(tx, name)).id, password_hash)
            await self._log(tx, Action.SET_PASSWORD, actor, name)

        await self._database.write(work)

    async def remove(self, name: str, *, actor: str | None = None) -> None:
        """Remove an account; all its sessions and tokens end.

        Raises:
            NotFound: There is no such operator.
        """

        async def work(tx: Transaction) -> None:
            await operators.remove(tx, (await named(tx, name)).id)
            await self._log(tx, Action.REMOVE_OPERATOR, actor, name)

        await self._database.write(work)

    async def names(self) -> tuple[str, ...]:
        """The names of all operators, in order."""
        return tuple(await self._database.look(operators.names))

    async def accounts(self) -> tuple[OperatorAccount, ...]:
        """All accounts, by name."""
        now_ms = self._now_ms()
        return tuple(await self._database.look(lambda reader: operators.accounts(reader, now_ms)))

    async def _log(self, tx: Transaction, action: Action, actor: str | None, detail: str) -> None:
        await moderation.log(tx, reasons.unexplained(action, self._now_ms(), actor or "-", detail=detail))

    # --- sessions -----------------------------------------------------------------------------------------------------

    async def sign_in(self, name: str, password: str, remote: str) -> str:
        """Check a password; the value of a new session's cookie.

        An unknown name takes as long as a wrong password, and is answered alike.

        Args:
            remote: The address that the request came from.

        Raises:
            NotSignedIn: The name or the password is wrong.
            TooMany: Too many failures from this address, for this name from this address, or for this name, lately.
        """
        # Counted before the password is looked at, so that guesses made at the same time are counted too. The address
        # goes first: one that is refused makes no counters for the names it thinks of.
        group = address_group(remote)
        counters = ((SIGN_IN_ADDRESS, group), (SIGN_IN_PAIR, f"{group} {name}"), (SIGN_IN_NAME, name))
        for limit, who in counters:
            await self._limits.take(limit, who)
        account = await self._verified(name, password)
        if account is None:
            raise NotSignedIn("The name or the password is wrong.")
        for limit, who in counters:
            await self._limits.give_back(limit, who)
        cookie = new_secret()
        expires_ms = self._now_ms() + self._session_ms

        async def work(tx: Transaction) -> bool:
            return await operators.add_session(tx, secret_hash(cookie), account, expires_ms)

        if not await self._database.write(work):
            raise NotSignedIn("The account was changed just now. Sign in again.")
        return cookie

    async def find(self, cookie: str | None) -> Operator | None:
        """Who is signed in with this cookie, with the role that they have now."""
        if not cookie:
            return None
        token_hash = secret_hash(cookie)

        async def work(reader: Reader) -> Operator | None:
            return await operators.find_session(reader, token_hash, self._now_ms())

        return await self._database.look(work)

    async def sign_out(self, cookie: str | None) -> None:
        """End the session; a copy of its cookie is worth nothing from now on."""
        if not cookie:
            return
        token_hash = secret_hash(cookie)

        async def work(tx: Transaction) -> None:
            await operators.remove_session(tx, token_hash)

        await self._database.write(work)

    async def sessions(self, who: Operator, cookie: str | None) -> tuple[OperatorSession, ...]:
        """Where an operator is signed in, the latest first. `cookie` is of the session that asks."""
        this, now_ms = secret_hash(cookie or ""), self._now_ms()
        found = await self._database.look(lambda reader: operators.sessions_of(reader, who.id, now_ms))
        return tuple(OperatorSession(expires_ms, token_hash == this) for token_hash, expires_ms in found)

    async def end_other_sessions(self, who: Operator, cookie: str | None) -> None:
        """End all sessions of an operator but the one that asks."""
        this = secret_hash(cookie or "")
        await self._database.write(lambda tx: operators.remove_other_sessions(tx, who.id, this))

    # --- passwords ----------------------------------------------------------------------------------------------------

    async def _hash(self, password: str) -> str:
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise BadInput(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.", field="password")
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, _encoded(password))

    async def _verified(self, name: str, password: str) -> operators.Account | None:
        """The account, if the password is its own."""

        async def find(reader: Reader) -> operators.Account | None:
            return await operators.find(reader, name)

        account = await self._database.look(find)
        if len(password) > MAX_PASSWORD:
            password, account = "", None
        async with self._room:
            if account is None:
                await asyncio.to_thread(self._verify_nothing, password)
                return None
            if not await asyncio.to_thread(self._matches, account.password_hash, password):
                return None
            if not self._hasher.check_needs_rehash(account.password_hash):
                return account
            stronger = await asyncio.to_thread(self._hasher.hash, _encoded(password))
        known = account

        async def work(tx: Transaction) -> None:
            await operators.replace_hash(tx, known.operator.id, known.password_hash, stronger)

        await self._database.write(work)
        return known._replace(password_hash=stronger)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _encoded(password))
        except (VerificationError, InvalidHashError):
            return False

    def _verify_nothing(self, password: str) -> None:
        self._matches(self._nobodys_hash, password)

    @functools.cached_property
    def _nobodys_hash(self) -> str:
        """The hash of a password that nobody has."""
        return self._hasher.hash(new_secret())


def _encoded(password: str) -> bytes:
    # Half a surrogate pair, from a broken form, must not be an error of ours.
    return password.encode("utf-8", "surrogatepass")


async def named(reader: Reader, name: str) -> Operator:
    """The operator of this name.

    Raises:
        NotFound: There is none.
    """
    account = await operators.find(reader, name)
    if account is None:
        raise NotFound(f"There is no operator {name}.")
    return account.operator
