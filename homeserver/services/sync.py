"""Keeping players fresh: their profile, their friends who have the application, their AppData and their friends'.

Everything that one sync brings is applied in one transaction, after all of it came: a page that failed never reads as
"they are gone". What counts as gone:

- a friend, when two completed walks in a row missed them (`people.observe_friends`);
- a value, when an answer about that player *alone* (`@self`) holds their entry without the key. A friend who is missing
  in an `@friends` answer, or is there without a key that we know, is asked for by `@self` first.

A failure about one player, 401 too, is logged and changes nothing: where the container answers only for people who run
the application just now, 401 proves nothing. Only the container's own word (a lifecycle call) says that somebody
removed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from homeserver.clients.container import ContainerClient, Overview
from homeserver.domain import claimed_dates
from homeserver.errors import HomeServerError, NotFound, RemoteError, RemoteUnavailable, TooMany
from homeserver.model import AppData, Change, NowMs, Origin, Person, SyncResult, SyncState
from homeserver.services.limits import SYNC, Limits
from homeserver.services.turns import Turns
from homeserver.storage import appdata, leaderboards, leases, people
from homeserver.storage.database import Database, Reader, Transaction

PLAYER_S: Final = 60.0
"""For one player's requests, all together."""
LEASE_S: Final = 90.0
"""For one player's sync. Longer than it may take by more than clocks of two machines may differ."""
DEBOUNCE_MS: Final = 30_000
"""Whoever was synced since is fresh enough."""
MAX_WAITING: Final = 10_000
ASKED_AT_MOST: Final = 20
"""Friends asked for by themselves in one sync, lest one strange answer lead to a request for each of a thousand."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the container said about one player, all of it. Times are when the first request of its kind was sent."""

    person: Person
    friends: Mapping[str, Person]
    people_ms: int
    values: Mapping[str, appdata.Values]
    """By user id: the player's own and their friends'."""
    values_ms: int


class Sync:
    """Syncs players of one container, now or from a queue."""

    def __init__(
        self,
        database: Database,
        client: ContainerClient,
        container: str,
        board_fields: Callable[[], Awaitable[Sequence[str]]],
        now_ms: NowMs,
        *,
        concurrency: int = 4,
    ) -> None:
        """
        Args:
            container: Our name for the client's container, as players have it.
            board_fields: The AppData keys that are worth keeping; nothing else is asked for.
            concurrency: How many players `run` syncs at the same time.
        """
        self._database = database
        self._client = client
        self._container = container
        self._board_fields = board_fields
        self._now_ms = now_ms
        self._concurrency = concurrency
        self._limits = Limits(database, now_ms)
        self._turns = Turns(database, now_ms)
        self._waiting: asyncio.Queue[int] = asyncio.Queue()
        self._queued: set[int] = set()
        """Those in `_waiting` and those being synced by this process."""

    # --- one player, now ----------------------------------------------------------------------------------------------

    async def sync_player(self, player: int) -> SyncResult:
        """Ask the container for everything about one player, and keep it.

        Raises:
            NotFound: No such player, or not one of this container; or they were erased meanwhile.
            RemoteError: Something did not come whole; nothing was changed.
        """
        container, user_id = await self._database.look(lambda reader: people.user_of(reader, player))
        if container != self._container:
            raise NotFound("The player's container is not connected.")
        began_ms = self._now_ms()
        client = self._client.counted()
        try:
            async with asyncio.timeout(PLAYER_S):
                answers = await self._ask(client, user_id)
        except TimeoutError:
            raise RemoteUnavailable("the player's data did not come in time", service="container") from None
        changed = await self._database.write(lambda tx: self._apply(tx, player, user_id, answers, began_ms))
        values = sum(value is not None for item in answers.values.values() for value in item.values())
        return SyncResult(len(answers.friends), values, len(changed), client.requests_sent)

    async def _ask(self, client: ContainerClient, user_id: str) -> _Answers:
        fields = await self._board_fields()
        people_ms = values_ms = self._now_ms()
        brought = await client.overview(user_id, fields)
        if brought is None:
            person = await client.person(user_id)
            everybody = [friend async for friend in client.friends(user_id)]
            values_ms = self._now_ms()
            # No `fields` would mean every key.
            own = await client.appdata(user_id, "@self", fields) if fields else {}
            theirs = await client.appdata(user_id, "@friends", fields) if fields else {}
            brought = Overview(person, tuple(everybody), own, theirs)
        friends = {
            friend.id: friend for friend in brought.friends if people.usable_user_id(friend.id) and friend.id != user_id
        }
        if not fields:
            return _Answers(brought.person, friends, people_ms, {}, values_ms)
        values = {user_id: _by_itself(brought.own, user_id, fields)}
        for friend_id, item in brought.friends_appdata.items():
            if friend_id in friends:
                values[friend_id] = {key: item[key] for key in fields if key in item}
        for friend_id in await self._suspected(friends, values):
            values[friend_id] = await self._asked_alone(client, friend_id, fields) or values.get(friend_id, {})
        return _Answers(brought.person, friends, people_ms, values, values_ms)

    async def _suspected(self, friends: Mapping[str, Person], values: Mapping[str, appdata.Values]) -> list[str]:
        """Friends for whom the answer lacks a value that we know: gone, or just not in the answer."""

        async def work(reader: Reader) -> list[str]:
            known = await people.known_players(reader, self._container, friends)
            keys = await appdata.keys_of(reader, known.values())
            return [
                friend_id
                for friend_id, player in known.items()
                if keys.get(player, set()) - values.get(friend_id, {}).keys()
            ]

        suspected = await self._database.read(work)
        if len(suspected) > ASKED_AT_MOST:
            _log.warning("many_values_missing", players=len(suspected), asked=ASKED_AT_MOST)
        return suspected[:ASKED_AT_MOST]

    async def _asked_alone(self, client: ContainerClient, user_id: str, fields: Sequence[str]) -> appdata.Values | None:
        try:
            return _by_itself(await client.appdata(user_id, "@self", fields), user_id, fields)
        except RemoteError as error:
            _log.info("friend_not_answered", reason=error.code)
            return None

    async def _apply(
        self, tx: Transaction, player: int, user_id: str, answers: _Answers, began_ms: int
    ) -> list[Change]:
        now_ms = self._now_ms()
        boards = await leaderboards.begin(tx)
        numbers = await people.players_of(tx, self._container, [user_id, *answers.friends])
        if numbers.get(user_id) != player:
            raise NotFound("This player was erased meanwhile.")
        # Friends who were erased are not among them: what came about them is nobody's.
        seen = {numbers[friend_id]: friend for friend_id, friend in answers.friends.items() if friend_id in numbers}
        await people.observe_people(tx, {player: answers.person, **seen}, answers.people_ms)
        await people.observe_friends(tx, player, seen, answers.people_ms)
        changed = await appdata.observe_many(
            tx,
            {numbers[each]: values for each, values in answers.values.items() if each in numbers},
            observed_ms=answers.values_ms,
            at_ms=now_ms,
            origin=Origin.READ,
            only_words=claimed_dates.only_words(each.board for each in boards),
        )
        await people.set_synced(tx, player, began_ms)
        await leaderboards.record(tx, boards, changed, now_ms)
        return changed

    # --- many players, in their turn ----------------------------------------------------------------------------------

    async def request(self, player: int) -> SyncState:
        """Have the player synced soon, unless they were just now, or wait for it already.

        Raises:
            TooMany: Asked for too often, or too many wait.
        """
        state = await self.state(player)
        if state.queued or (state.synced_ms is not None and self._now_ms() - state.synced_ms < DEBOUNCE_MS):
            return state
        await self._limits.take(SYNC, str(player))
        if len(self._queued) >= MAX_WAITING:
            raise TooMany("Too many players wait to be synced. Try again later.", wait_s=60)
        if player not in self._queued:
            self._queued.add(player)
            self._waiting.put_nowait(player)
        return SyncState(state.synced_ms, queued=True)

    async def state(self, player: int) -> SyncState:
        """When the player was last synced whole, and whether a sync of them waits or runs."""

        async def work(reader: Reader) -> SyncState:
            runs = await leases.is_held(reader, _lease(player), self._now_ms())
            return SyncState(await people.synced_ms(reader, player), player in self._queued or runs)

        return await self._database.look(work)

    async def settled(self) -> None:
        """Return when nobody waits in this process any more, and none of its syncs runs."""
        await self._waiting.join()

    async def run(self) -> None:
        """Sync those who wait, until cancelled. A failure is logged and stops nobody else."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._concurrency):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            player = await self._waiting.get()
            try:
                await self._in_turn(player)
            except HomeServerError as error:
                _log.warning("sync_failed", player=player, reason=error.code, message=str(error))
            except Exception:  # a bug, but not one that may stop the sync of everybody else
                _log.exception("sync_broke", player=player)
            finally:
                self._queued.discard(player)
                self._waiting.task_done()

    async def _in_turn(self, player: int) -> None:
        """Sync the player, unless another process is at it."""
        async with self._turns.hold(_lease(player), lease_s=LEASE_S) as turn:
            if turn is None:
                return
            result = await self.sync_player(player)
        _log.info("synced", player=player, friends=result.friends, changed=result.changed, requests=result.requests)


def _lease(player: int) -> str:
    return f"sync:{player}"


def _by_itself(answer: Mapping[str, AppData], user_id: str, fields: Sequence[str]) -> appdata.Values:
    """What an `@self` answer says of its one player: a key that is not in their entry is gone.

    An answer without their entry says nothing, and clears nothing.
    """
    if user_id not in answer:
        return {}
    return {key: answer[user_id].get(key) for key in fields}
