"""Browser sessions: a cookie that may hold a player, a storage user, or both; neither implies the other.

The cookie is random and the table holds its hash. Whenever a session comes to hold more, it gets a new cookie, so that
one planted in a browser beforehand is worth nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from homeserver.errors import BadInput, Conflict, NotFound, NotSignedIn, SealBroken
from homeserver.model import NowMs, PageSession, PlayerCard
from homeserver.protocol.mesdonnees import token_ends_ms
from homeserver.services.limits import PAGE_LINKS, Limits
from homeserver.services.secret_box import SecretBox
from homeserver.services.sign_in import SignIn
from homeserver.storage import people, sessions
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.sessions import PageRow, new_secret, secret_hash

LIFETIME_MS: Final = 14 * 24 * 3_600_000
"""From the last sign-in or redeemed link, whatever happens in between; where the settings say nothing else."""
SIGN_IN_MS: Final = 15 * 60_000
"""How long one may take to sign in, from each beginning; so long lives a session that holds nobody yet."""
LINK_MS: Final = 60_000
ENDS_SOON_MS: Final = 15 * 60_000
"""Whose token ends so soon is told."""

# A single slash first, then anything but what browsers read as a slash, drop, or split a header with.
_OWN_PATH: Final = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f-\x9f]{0,1999}")

_log = structlog.get_logger(__name__)


def own_path(back: str) -> str:
    """The path to come back to, if it is one of ours; else "/". Never another site."""
    return back if _OWN_PATH.fullmatch(back) else "/"


class PageSessions:
    """Makes, finds and ends browser sessions; links from the gadget; the storage's sign-in."""

    def __init__(
        self,
        database: Database,
        secret_box: SecretBox,
        sign_in: SignIn,
        *,
        now_ms: NowMs,
        lifetime_ms: int = LIFETIME_MS,
    ) -> None:
        self._database = database
        self._lifetime_ms = lifetime_ms
        self._box = secret_box
        self._sign_in = sign_in
        self._now_ms = now_ms
        self._limits = Limits(database, now_ms)

    async def find(self, cookie: str | None) -> PageSession | None:
        """The session of this cookie, unless it has ended."""
        row = await self._row(cookie)
        return None if row is None else _session(row)

    async def sign_out(self, cookie: str | None) -> None:
        """End the session: a copy of its cookie is worth nothing from now on, and the storage's token is gone."""
        if cookie:
            token_hash = secret_hash(cookie)
            await self._database.write(lambda tx: sessions.remove_page_session(tx, token_hash))

    # --- from the gadget ----------------------------------------------------------------------------------------------

    async def create_link(self, player: int) -> str:
        """A secret for a URL that makes a browser session hold this player: good once, for 60 s.

        Raises:
            TooMany: This player asks for links too fast.
        """
        await self._limits.take(PAGE_LINKS, str(player))
        token = new_secret()
        expires_ms = self._now_ms() + LINK_MS
        await self._database.write(lambda tx: sessions.add_page_link(tx, secret_hash(token), player, expires_ms))
        return token

    async def peek_link(self, token: str) -> PlayerCard:
        """Whose link this is; it stays good.

        Raises:
            NotFound: Never made, used, or too old.
        """

        async def work(reader: Reader) -> PlayerCard | None:
            player = await sessions.find_page_link(reader, secret_hash(token), self._now_ms())
            return None if player is None else await people.card(reader, player)

        card = await self._database.look(work)
        if card is None:
            raise NotFound("This link was used already, or is older than a minute.")
        return card

    async def redeem_link(self, token: str, cookie: str | None) -> str:
        """Use the link up; the new cookie of a session that holds its player, and what the old one held of the storage.

        Raises:
            NotFound: Never made, used, or too old.
        """
        now_ms = self._now_ms()
        fresh = new_secret()

        async def work(tx: Transaction) -> bool:
            player = await sessions.take_page_link(tx, secret_hash(token), now_ms)
            if player is None:
                return False
            old = await sessions.find_page_session(tx, secret_hash(cookie), now_ms) if cookie else None
            await self._replace(tx, old, PageRow(secret_hash(fresh), now_ms + self._lifetime_ms, player))
            return True

        if not await self._database.write(work):
            raise NotFound("This link was used already, or is older than a minute.")
        return fresh

    # --- the storage's sign-in ----------------------------------------------------------------------------------------

    async def start_sign_in(self, cookie: str | None, back: str) -> tuple[str, str]:
        """Begin to sign in at the storage.

        Args:
            back: The path of ours to show afterwards; anything else becomes "/".

        Returns:
            The cookie to set, and the address to send the browser to.
        """
        now_ms = self._now_ms()
        state, fresh = new_secret(), new_secret()

        async def work(tx: Transaction) -> str:
            if cookie and await sessions.find_page_session(tx, secret_hash(cookie), now_ms) is not None:
                used = cookie
            else:
                used = fresh
                await sessions.add_page_session(tx, PageRow(secret_hash(fresh), now_ms + SIGN_IN_MS))
            await sessions.set_sign_in(tx, secret_hash(used), state, own_path(back), now_ms + SIGN_IN_MS)
            return used

        used = await self._database.write(work)
        return used, self._sign_in.start(state)

    async def finish_sign_in(self, cookie: str | None, query: Mapping[str, str]) -> tuple[str, str]:
        """Take in what the browser brought back from the sign-in.

        Returns:
            The new cookie of a session that holds the storage user, and the old one's player; and the path to show.

        Raises:
            BadInput: This browser did not begin this sign-in, or finished it already.
            NotSignedIn: The person did not sign in, or took too long.
        """
        now_ms = self._now_ms()
        begun = None
        if cookie:
            token_hash = secret_hash(cookie)
            begun = await self._database.write(lambda tx: sessions.take_sign_in(tx, token_hash, now_ms))
        if begun is None or begun.sign_in_state is None:
            raise BadInput("This sign-in was not begun in this browser, or is finished already.", field="state")
        identity = await self._sign_in.finish(query, begun.sign_in_state)

        fresh = new_secret()
        fresh_hash = secret_hash(fresh)
        row = PageRow(
            fresh_hash,
            self._now_ms() + self._lifetime_ms,
            storage_user=identity.user,
            storage_name=identity.name,
            sealed_token=self._box.seal(identity.token, bound_to=fresh_hash),
        )

        async def work(tx: Transaction) -> None:
            # Read again: the browser may have signed out meanwhile.
            old = await sessions.find_page_session(tx, begun.token_hash, now_ms)
            await self._replace(tx, old, row)

        await self._database.write(work)
        return fresh, begun.sign_in_back or "/"

    async def storage_token(self, session: PageSession) -> str:
        """The storage's token of this session.

        Raises:
            NotSignedIn: The session holds none, or none that still opens.
        """

        async def work(reader: Reader) -> PageRow | None:
            return await sessions.find_page_session(reader, session.key, self._now_ms())

        row = await self._database.look(work)
        if row is None or row.sealed_token is None:
            raise NotSignedIn("Sign in to your storage first.")
        try:
            return self._box.open(row.sealed_token, bound_to=row.token_hash)
        except SealBroken:
            _log.warning("storage_token_does_not_open")
            raise NotSignedIn("Sign in to your storage again.") from None

    async def storage_minutes_left(self, session: PageSession) -> int | None:
        """How soon the storage's token says that it ends: whole minutes, 0 when it is over. None while that is far off.

        Its own end deletes nothing: only the storage's refusal does.
        """
        try:
            ends_ms = token_ends_ms(await self.storage_token(session))
        except NotSignedIn:
            return None
        if ends_ms is None or ends_ms - self._now_ms() > ENDS_SOON_MS:
            return None
        return max(0, ends_ms - self._now_ms()) // 60_000

    async def token_of(self, storage_user: str) -> str | None:
        """The storage's token of a user, from whichever of their sessions has not ended and holds one that opens."""
        rows = await self._database.read(lambda reader: sessions.of_storage_user(reader, storage_user))
        for row in rows:
            with contextlib.suppress(SealBroken):
                if row.expires_ms > self._now_ms():
                    return self._box.open(row.sealed_token or "", bound_to=row.token_hash)
        return None

    async def forget_token(self, storage_user: str, token: str) -> None:
        """Forget a token that the storage has refused, wherever a session of its user holds it; others they keep."""
        rows = await self._database.read(lambda reader: sessions.of_storage_user(reader, storage_user))
        for row in rows:
            try:
                is_it = self._box.open(row.sealed_token or "", bound_to=row.token_hash) == token
            except SealBroken:
                continue
            if is_it:
                await self._database.write(partial(sessions.drop_token, token_hash=row.token_hash))

    # --- linked accounts ----------------------------------------------------------------------------------------------

    async def link(self, session: PageSession) -> None:
        """Link the session's player and its storage user. They may be linked already.

        Raises:
            NotSignedIn: The session does not hold both.
            Conflict: One of them is linked to somebody else.
        """
        player, storage_user = session.player, session.storage_user
        if player is None or storage_user is None:
            raise NotSignedIn("To link the two, open this page from the game, and sign in to your storage.")
        if not await self._database.write(lambda tx: sessions.link_accounts(tx, player, storage_user)):
            raise Conflict("One of the two is linked to another account. Unlink it there first.")

    async def unlink(self, session: PageSession) -> None:
        """Remove every link of the session's player and of its storage user."""

        async def work(tx: Transaction) -> None:
            if session.player is not None:
                await sessions.unlink_player(tx, session.player)
            if session.storage_user is not None:
                await sessions.unlink_storage_user(tx, session.storage_user)

        await self._database.write(work)

    async def linked(self, session: PageSession) -> bool:
        """Whether the session holds a player and a storage user that are linked to each other."""
        player, storage_user = session.player, session.storage_user
        if player is None or storage_user is None:
            return False
        return await self._database.look(lambda reader: sessions.are_linked(reader, player, storage_user))

    # ------------------------------------------------------------------------------------------------------------------

    async def _row(self, cookie: str | None) -> PageRow | None:
        if not cookie:
            return None
        token_hash = secret_hash(cookie)
        return await self._database.glance(
            lambda reader: sessions.find_page_session(reader, token_hash, self._now_ms())
        )

    async def _replace(self, tx: Transaction, old: PageRow | None, row: PageRow) -> None:
        """Keep `row` in place of `old`, with what only `old` holds."""
        if old is not None:
            if row.player is None:
                row = replace(row, player=old.player)
            if row.storage_user is None:
                row = replace(
                    row,
                    storage_user=old.storage_user,
                    storage_name=old.storage_name,
                    sealed_token=self._sealed_anew(old, row.token_hash),
                )
            await sessions.remove_page_session(tx, old.token_hash)
        await sessions.add_page_session(tx, row)

    def _sealed_anew(self, old: PageRow, token_hash: str) -> str | None:
        """The old session's token for the new row; None where there is none, or none that opens."""
        if old.sealed_token is None:
            return None
        try:
            return self._box.seal(self._box.open(old.sealed_token, bound_to=old.token_hash), bound_to=token_hash)
        except SealBroken:
            return None


def _session(row: PageRow) -> PageSession:
    return PageSession(row.token_hash, row.player, row.storage_user, row.storage_name, row.expires_ms)
