"""What is kept of the person who asks: how much, all of it as one document, where they are signed in, and its end.

A browser session may hold a player and a storage user. Each is shown, given out and erased by itself; neither learns
of the other more than that the two are linked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import orjson

from homeserver.domain import scores
from homeserver.errors import NotFound, NotSignedIn
from homeserver.model import Board, NowMs, PageSession
from homeserver.protocol.gadget import iso
from homeserver.services.delisting import Delisting
from homeserver.services.limits import EXPORTS, HIDING, Limits
from homeserver.services.moderation import Moderation
from homeserver.storage import leaderboards, people, personal, sessions, uploads, uploads_kept
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.personal import KINDS, UPLOADS, Kind

SELF: Final = "self"
"""Who acted, in the log, when somebody erases, hides or shows themselves."""
_REASON: Final = "by themselves, on the privacy page"
_ROWS: Final = 500
"""Read at a time."""
_ID_CHARS: Final = 16
_OF_KEYS: Final = frozenset({"places", "found_right"})
_OF_SCORES: Final = frozenset({"accepted", "doubted"})


@dataclass(frozen=True, slots=True)
class SignedIn:
    """One browser in which this person is signed in. `id` names it among theirs, and opens nothing."""

    id: str
    is_this: bool
    as_player: bool
    in_storage: bool
    since_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Kept:
    """How many rows are kept by kind (see `storage.personal`), and how much room open files take.

    `withdrawn_ms` is since when they have hidden themselves; None: they have not.
    """

    player: Mapping[str, int] = field(default_factory=dict)
    uploads: int = 0
    open_files: int = 0
    open_bytes: int = 0
    browsers: tuple[SignedIn, ...] = ()
    withdrawn_ms: int | None = None


class OwnData:
    """Everything of one person, for themselves. `session` is the browser's, by which they are known."""

    def __init__(
        self, database: Database, moderation: Moderation, delisting: Delisting, now_ms: NowMs, *, session_ms: int
    ) -> None:
        """`session_ms`: how long a browser's session lasts from its beginning; see `PageSessions`."""
        self._session_ms = session_ms
        self._database = database
        self._moderation = moderation
        self._delisting = delisting
        self._now_ms = now_ms
        self._limits = Limits(database, now_ms)

    async def kept(self, session: PageSession) -> Kept:
        """How much is kept.

        Cost: reads the index of everything of this person.
        """
        player, user = session.player, session.storage_user

        async def work(reader: Reader) -> Kept:
            counts = {kind.name: await personal.count(reader, kind, player) for kind in KINDS} if player else {}
            kept = Kept(counts, withdrawn_ms=await people.withdrawn_ms(reader, player) if player else None)
            if user is None:
                return kept
            return replace(
                kept,
                uploads=await personal.count(reader, UPLOADS, user),
                open_files=await uploads_kept.kept_files(reader, user),
                open_bytes=await uploads_kept.kept_bytes(reader, user),
            )

        return replace(await self._database.read(work), browsers=await self.browsers(session))

    # --- to take along ------------------------------------------------------------------------------------------------

    async def export(self, session: PageSession) -> AsyncGenerator[bytes, None]:
        """One JSON document with everything that is kept, in parts; the first comes when the database has answered.

        Of others it has what this person sees anyway: ids and names of friends. What lets its holder in (tokens,
        cookies, links) is left out, and so are the names of operators and their reasons, which may speak of others.
        Each part is as of its own moment: what changes meanwhile may be there as it was or as it is.

        Raises:
            NotSignedIn: The session holds nobody. TooMany: They ask for it all the time.
        """
        player, user = session.player, session.storage_user
        if player is None and user is None:
            raise NotSignedIn("Nobody is signed in here.")
        await self._limits.take(EXPORTS, f"player {player}" if user is None else f"user {user}")
        boards = {each.board.id: each.board for each in await self._database.read(leaderboards.boards_in_force)}
        yield b'{"made":' + orjson.dumps(iso(self._now_ms()))
        if player is not None:
            async for part in self._part("player", KINDS, player, boards):
                yield part
        if user is not None:
            said = {"user": user, "name": session.storage_name}
            yield b',"storage_user":' + orjson.dumps(said)
            async for part in self._part("storage", (UPLOADS,), user, boards):
                yield part
        yield b"}\n"

    async def _part(
        self, name: str, kinds: Iterable[Kind], of: int | str, boards: Mapping[str, Board]
    ) -> AsyncIterator[bytes]:
        yield b"," + orjson.dumps(name) + b":{"
        for number, kind in enumerate(kinds):
            yield (b"," if number else b"") + orjson.dumps(kind.name) + b":"
            if not kind.members:
                yield orjson.dumps(await self._database.read(partial(personal.count, kind=kind, of=of)))
                continue
            yield b"["
            after, comma = kind.start, b""
            while rows := await self._database.read(partial(personal.some, kind=kind, of=of, after=after, limit=_ROWS)):
                after = tuple(rows[-1][: len(kind.order)])
                said = (_said(kind, row[len(kind.order) :], boards) for row in rows)
                yield comma + b",".join(orjson.dumps(each) for each in said)
                comma = b","
                if len(rows) < _ROWS:
                    break
            yield b"]"
        yield b"}"

    # --- where they are signed in -------------------------------------------------------------------------------------

    async def browsers(self, session: PageSession) -> tuple[SignedIn, ...]:
        """Every browser that holds this session's player or its storage user, this one first, then the newest."""
        rows = await self._database.look(partial(self._rows, session=session))
        found = [
            SignedIn(
                _id(row.token_hash),
                row.token_hash == session.key,
                row.player is not None and row.player == session.player,
                row.storage_user is not None and row.storage_user == session.storage_user,
                row.expires_ms - self._session_ms,
                row.expires_ms,
            )
            for row in rows
        ]
        return tuple(sorted(found, key=lambda each: (not each.is_this, -each.since_ms, each.id)))

    async def _rows(self, reader: Reader, session: PageSession) -> list[sessions.PageRow]:
        return await sessions.of_person(reader, session.player, session.storage_user, self._now_ms())

    async def end(self, session: PageSession, id_: str) -> None:
        """Sign out another browser, or this one. What it waited to send needs another sign-in.

        Raises:
            NotFound: None of theirs is called so; it may have ended meanwhile.
        """

        async def work(tx: Transaction) -> bool:
            for row in await self._rows(tx, session):
                if _id(row.token_hash) == id_:
                    await sessions.remove_page_session(tx, row.token_hash)
                    if row.storage_user is not None:
                        await uploads.drop_tokens(tx, row.storage_user, self._now_ms())
                    return True
            return False

        if not await self._database.write(work):
            raise NotFound("This sign-in has ended already.")

    async def end_gadget(self, session: PageSession) -> None:
        """End every token of the gadget that this player has; an open gadget asks its container for another."""
        player = session.player
        if player is not None:
            await self._database.write(lambda tx: sessions.remove_gadget_sessions_of(tx, player))

    # --- who sees them ------------------------------------------------------------------------------------------------

    async def hide(self, session: PageSession, *, hidden: bool) -> None:
        """Hide the session's player from all others, or show them again; see `Delisting.decide`.

        Raises:
            NotSignedIn: The session holds no player. TooMany: They change it all the time.
        """
        player = _player(session)
        await self._limits.take(HIDING, str(player))
        await self._delisting.decide(player, hidden=hidden, actor=SELF, reason=_REASON)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def erase(self, session: PageSession) -> None:
        """Erase the session's player, for good; see `Moderation.erase`. What the storage user has stays.

        Raises:
            NotSignedIn: The session holds no player.
        """
        await self._moderation.erase(_player(session), actor=SELF, reason=_REASON)

    async def forget_uploads(self, session: PageSession) -> int:
        """Forget the storage user's uploads that have ended; how many. The files in the storage stay.

        Raises:
            NotSignedIn: The session holds no storage user.
        """
        user = session.storage_user
        if user is None:
            raise NotSignedIn("Sign in to Mes Données first.")
        return await self._database.write(lambda tx: uploads.forget_ended(tx, user))


def _player(session: PageSession) -> int:
    if session.player is None:
        raise NotSignedIn("Open this page from the gadget first.")
    return session.player


def _id(token_hash: str) -> str:
    return token_hash[:_ID_CHARS]


def _said(kind: Kind, row: Iterable[Any], boards: Mapping[str, Board]) -> dict[str, Any]:
    """A row as it goes out: times by ISO 8601, scores as their board writes them."""
    said = dict(zip(kind.members, row, strict=True))
    board = boards.get(said.get("board") or "")
    if board is not None and kind.name in _OF_KEYS:
        said["score"] = scores.exact(scores.score_of(said.pop("key"), board.order), board.decimals)
    elif board is not None and kind.name in _OF_SCORES:
        said["score"] = scores.exact(said["score"], board.decimals)
    return {
        name.removesuffix("_ms"): iso(value) if name.endswith("_ms") and value is not None else value
        for name, value in said.items()
    }
