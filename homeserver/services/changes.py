"""What version a list of a board has, and the news that it has another one, for whoever looks on.

A version is a text that is the same as long as nothing has changed that everybody sees of the list: its entries, those
of the period before (its winners are shown beside them), the board's definition, whether it takes scores, and which
period it is. Names and pictures of players are not in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import Final, NamedTuple

import structlog

from homeserver.domain import periods
from homeserver.errors import BadInput, HomeServerError, NotFound
from homeserver.model import NowMs
from homeserver.services.onlookers import Bell, Onlookers
from homeserver.storage import leaderboards as store
from homeserver.storage import versions
from homeserver.storage.database import Reader, WatchedDatabase
from homeserver.storage.leaderboards import ListName

OFTEN_S: Final = 1.0
"""News of a list are at least so far apart: changes that come between are told together."""

SELDOM_S: Final = 5.0
"""How often is looked where nothing was heard: a hint may be lost, and a period ends by itself."""

GONE: Final = "gone"
"""The version of a list whose board, or season, is no longer there."""

_MAX_KEPT: Final = 1_000

_log = structlog.get_logger(__name__)


class Key(NamedTuple):
    """A board, and a period by its id or by a span's word."""

    board: str
    period: str


class _Kept(NamedTuple):
    """A version that is right as long as the database has this stamp, and within this second: periods end."""

    stamp: int
    second: int
    version: str


class Changes:
    """Reads versions, and tells those who watch of new ones. Common errors: NotFound (no such board), BadInput (field
    "period")."""

    def __init__(self, database: WatchedDatabase, now_ms: NowMs, often_s: float = OFTEN_S) -> None:
        self._database = database
        self._now_ms = now_ms
        self._often_s = often_s
        self._kept: dict[Key, _Kept] = {}
        self._asked: dict[Key, asyncio.Future[str]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._readers: Onlookers[Key, _Reader] = Onlookers()
        self._heard = asyncio.Event()

    # --- now ----------------------------------------------------------------------------------------------------------

    async def version(self, board: str, period: str) -> str:
        """The version that the list has during this call.

        Cost: on SQLite a few microseconds, where nobody has written anything since the last time. On PostgreSQL all
        who ask at the same time share one transaction, which begins after each of them has asked.
        """
        key = Key(board, period)
        stamp = self._database.stamp()
        if stamp is None:
            return await self._shared(key)
        second = self._now_ms() // 1000
        if (kept := self._good(key, stamp, second)) is not None:
            return kept
        found = (await self._read([key]))[key]  # later than the stamp, so it is never kept for longer than it is right
        if isinstance(found, HomeServerError):
            raise found
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        self._kept[key] = _Kept(stamp, second, found)
        return found

    def known(self, board: str, period: str) -> str | None:
        """The same, where nobody has to be asked for it; None: ask."""
        stamp = self._database.stamp()
        return None if stamp is None else self._good(Key(board, period), stamp, self._now_ms() // 1000)

    def _good(self, key: Key, stamp: int, second: int) -> str | None:
        kept = self._kept.get(key)
        return kept.version if kept is not None and kept.stamp == stamp and kept.second == second else None

    async def _shared(self, key: Key) -> str:
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._answer(), name="versions")
        return await asyncio.shield(answer)

    async def _answer(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                try:
                    found: Mapping[Key, str | Exception] = await self._read(asked)
                except Exception as error:  # also a bug: it is raised to each of those who asked
                    found = dict.fromkeys(asked, error)
                except BaseException:
                    for answer in (*asked.values(), *self._asked.values()):
                        answer.cancel()
                    self._asked = {}
                    raise
                for key, answer in asked.items():
                    _settle(answer, found[key])
        finally:
            self._asking = None

    async def _read(self, keys: Collection[Key]) -> dict[Key, str | HomeServerError]:
        """The versions of these lists in one snapshot, or why there is none."""
        now_ms = self._now_ms()

        async def work(db: Reader) -> dict[Key, str | HomeServerError]:
            boards = {each.board.id: each for each in await store.boards_in_force(db)}
            found: dict[Key, str | HomeServerError] = {}
            names: dict[Key, list[ListName]] = {}
            for key in keys:
                in_force = boards.get(key.board)
                if in_force is None:
                    found[key] = NotFound("no such board")
                    continue
                try:
                    period = periods.parse(in_force.board, key.period, now_ms)
                except BadInput as error:
                    found[key] = error
                else:
                    shown = [period, periods.before(in_force.board, period)]
                    names[key] = [ListName(key.board, each.id, in_force.generation) for each in shown if each]
            lists = await versions.of_lists(db, {name for each in names.values() for name in each}) if names else {}
            for key, of_key in names.items():
                seen = ".".join(f"{list_}.{version}" for list_, version in (lists.get(name, (0, 0)) for name in of_key))
                in_force = boards[key.board]
                state = (
                    f"{in_force.revision}.{in_force.generation}.{'open' if in_force.closed_ms is None else 'closed'}"
                )
                found[key] = f"{state}.{of_key[0].period}.{seen}"
            return found

        return await self._database.look(work)

    # --- later --------------------------------------------------------------------------------------------------------

    async def watch(self, board: str, period: str, known: str | None = None) -> AsyncGenerator[str | None, None]:
        """Each new version of the list, once; of several that come together the last. Ends when the server does.

        Args:
            known: The version that the reader has. One that is there already is told at once; None: only what comes.

        Yields:
            None now and then, where nothing changed.
        """
        current = await self.version(board, period)
        reader = _Reader(current if known is None else known)
        reader.put(current)
        # No look that has begun tells this reader: it may have seen an earlier version. What comes meanwhile, the next
        # one sees.
        with self._readers.one(Key(board, period), reader):
            self._heard.set()
            while not self._readers.is_over:
                yield await reader.news()

    def close(self) -> None:
        """Let all readers go: the server ends."""
        self._readers.close()

    async def run(self) -> None:
        """Look for changes, without end, while anybody looks on."""
        await self._readers.somebody()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._database.listen(self._heard.set))
            while True:
                await self._readers.somebody()
                try:
                    async with asyncio.timeout(SELDOM_S):
                        await self._heard.wait()
                except TimeoutError:
                    pass
                self._heard.clear()
                try:
                    await self.look()
                except Exception:
                    _log.exception("board_changes_not_seen")
                await asyncio.sleep(self._often_s)

    async def look(self) -> None:
        """Tell what changed since the last time."""
        readers = self._readers.all()
        for key, found in (await self._read(readers)).items():
            for reader in readers[key]:
                reader.put(GONE if isinstance(found, HomeServerError) else found)


def _settle(answer: asyncio.Future[str], found: str | Exception) -> None:
    if answer.done():
        return
    if isinstance(found, str):
        answer.set_result(found)
        return
    answer.set_exception(found)
    answer.exception()  # whoever asked may have gone away: then nobody looks at it


class _Reader(Bell):
    """What one reader has heard, and the last version that there is."""

    def __init__(self, known: str) -> None:
        super().__init__()
        self._known = known
        self._latest = known

    def put(self, version: str) -> None:
        self._latest = version
        if version != self._known:
            self.ring()

    async def news(self) -> str | None:
        """The next version, as soon as there is one; None when there was none for a while."""
        if not await self.heard() or self._latest == self._known:
            return None
        self._known = self._latest
        return self._known
