"""Asking a container about one player, and keeping what it said of several in one transaction.

Everything that one question brings is applied after all of it came: a page that failed never reads as "they are gone".
What counts as gone:

- a friend, when two completed walks in a row missed them (`people.observe_friends`);
- a value, when an answer about that player *alone* (`@self`) holds their entry without the key. A friend who is missing
  in an `@friends` answer, or is there without a key that we know, is asked for by `@self` first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

import structlog

from homeserver.clients.container import ContainerClient, Overview
from homeserver.domain import claimed_dates
from homeserver.errors import RemoteError, RemoteUnauthorized
from homeserver.model import AppData, NowMs, Origin, Person, SyncResult
from homeserver.services.known_friends import Friends, KnownFriends
from homeserver.storage import appdata, freshness, leaderboards, people, sync_tasks
from homeserver.storage.appdata import Observation
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.sync_tasks import Kind, Priority, Task

ASKED_AT_MOST: Final = 20
"""Friends asked for by themselves in one sync, lest one strange answer lead to a request for each of a thousand."""

_NOTHING: Final[appdata.Values] = MappingProxyType({})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the container said about one player, all of it. Times are when the first request of its kind was sent."""

    player: int
    user_id: str
    kind: Kind
    people_ms: int
    values_ms: int
    person: Person | None = None
    friends: Mapping[str, Person] | None = None
    """All friends who have the application; None where they were not asked for."""
    values: Mapping[str, appdata.Values] = field(default_factory=dict)
    """By user id: the player's own and their friends'."""
    refused: tuple[int, ...] = ()
    """Friends for whom alone the container answered 401."""
    unasked: tuple[int, ...] = ()
    """Friends who should be asked for alone, and were too many for this time."""
    requests: int = 0
    task: Task | None = None
    """What this answers; None where nobody else could have asked the same."""
    count: int = 0
    """How many values came; `values` may leave out those that we have."""

    def result(self, changed: int) -> SyncResult:
        """The figures of it."""
        return SyncResult(len(self.friends or ()), self.count, changed, self.requests)


class Asker:
    """Asks one container."""

    def __init__(
        self,
        database: Database,
        client: ContainerClient,
        container: str,
        board_fields: Callable[[], Awaitable[Sequence[str]]],
        now_ms: NowMs,
    ) -> None:
        self._database = database
        self._client = client
        self._container = container
        self._board_fields = board_fields
        self._now_ms = now_ms
        self._known = KnownFriends(database)

    async def ask(self, player: int, user_id: str, kind: Kind, task: Task | None = None) -> Answers:
        """Ask one question, with all the requests that it takes.

        Raises:
            RemoteError: Something did not come whole.
        """
        client = self._client.counted()
        now_ms = self._now_ms()
        brought = Answers(player, user_id, kind, now_ms, now_ms)
        if kind is Kind.FRIENDS:
            friends = _friends_in(await client.friend_list(user_id), user_id)
            return _with(brought, client, task, friends=friends)
        fields = await self._board_fields()
        if kind is Kind.WHOLE:
            return await self._whole(client, brought, fields, task)
        if not fields:
            return _with(brought, client, task)
        if kind is Kind.ALONE:
            own = by_itself(await client.appdata(user_id, "@self", fields), user_id, fields)
            return _with(brought, client, task, values={user_id: own})
        theirs = await client.appdata(user_id, "@friends", fields)
        known = await self._known.of(player, len(theirs))
        values, same = _unlike(theirs, known, user_id, fields)
        lacking = [id_ for id_, item in values.items() if id_ in known and _lacks(item, known[id_].keys(), fields)]
        lacking += [id_ for id_ in known.keys() - theirs.keys() if _lacks(_NOTHING, known[id_].keys(), fields)]
        suspected: Mapping[str, int] = {}
        if lacking:
            suspected = await self._database.read(lambda reader: people.known_players(reader, self._container, lacking))
        refused, unasked = await self._ask_suspected(client, suspected, values, fields)
        gone = sum(value is None for id_ in suspected for value in values.get(id_, _NOTHING).values())
        came = same + sum(map(len, values.values())) - gone
        news = _news(values, known)
        return _with(brought, client, task, values=news, refused=refused, unasked=unasked, count=came)

    async def _whole(
        self, client: ContainerClient, brought: Answers, fields: Sequence[str], task: Task | None
    ) -> Answers:
        user_id = brought.user_id
        values_ms = brought.people_ms
        found = await client.overview(user_id, fields)
        if found is None:
            person = await client.person(user_id)
            everybody = await client.friend_list(user_id)
            values_ms = self._now_ms()
            # No `fields` would mean every key.
            own = await client.appdata(user_id, "@self", fields) if fields else {}
            theirs = await client.appdata(user_id, "@friends", fields) if fields else {}
            found = Overview(person, tuple(everybody), own, theirs)
        friends = _friends_in(found.friends, user_id)
        values: dict[str, appdata.Values] = {}
        refused: tuple[int, ...] = ()
        unasked: tuple[int, ...] = ()
        if fields:
            values[user_id] = by_itself(found.own, user_id, fields)
            for friend_id, item in found.friends_appdata.items():
                if friend_id in friends:
                    values[friend_id] = {key: item[key] for key in fields if key in item}
            suspected = await self._database.read(lambda reader: self._suspected(reader, friends, values, fields))
            refused, unasked = await self._ask_suspected(client, suspected, values, fields)
        return _with(
            brought,
            client,
            task,
            values_ms=values_ms,
            person=found.person,
            friends=friends,
            values=values,
            refused=refused,
            unasked=unasked,
        )

    async def _suspected(
        self,
        reader: Reader,
        friends: Collection[str],
        values: Mapping[str, appdata.Values],
        fields: Sequence[str],
    ) -> dict[str, int]:
        known = await people.known_players(reader, self._container, friends)
        keys = await appdata.keys_of(reader, known.values())
        return {
            id_: player
            for id_, player in known.items()
            if _lacks(values.get(id_, _NOTHING), keys.get(player, set()), fields)
        }

    async def _ask_suspected(
        self,
        client: ContainerClient,
        suspected: Mapping[str, int],
        values: dict[str, appdata.Values],
        fields: Sequence[str],
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ask alone for those for whom the answer lacks a value that we know: gone, or just not in the answer.

        Args:
            suspected: Their player numbers by user id.
            values: What is found is put here.

        Returns:
            Those for whom the container answered 401, and those who were too many to be asked for.
        """
        if len(suspected) > ASKED_AT_MOST:
            _log.warning("many_values_missing", players=len(suspected), asked=ASKED_AT_MOST)
        refused: list[int] = []
        for friend_id in list(suspected)[:ASKED_AT_MOST]:
            try:
                alone = by_itself(await client.appdata(friend_id, "@self", fields), friend_id, fields)
            except RemoteError as error:
                _log.info("friend_not_answered", reason=error.code)
                if isinstance(error, RemoteUnauthorized):
                    refused.append(suspected[friend_id])
                continue
            values[friend_id] = alone or values.get(friend_id, {})
        return tuple(refused), tuple(suspected.values())[ASKED_AT_MOST:]


def _with(
    brought: Answers,
    client: ContainerClient,
    task: Task | None,
    *,
    values_ms: int | None = None,
    person: Person | None = None,
    friends: Mapping[str, Person] | None = None,
    values: Mapping[str, appdata.Values] | None = None,
    refused: tuple[int, ...] = (),
    unasked: tuple[int, ...] = (),
    count: int | None = None,
) -> Answers:
    return Answers(
        brought.player,
        brought.user_id,
        brought.kind,
        brought.people_ms,
        brought.values_ms if values_ms is None else values_ms,
        person,
        friends,
        values or {},
        refused,
        unasked,
        client.requests_sent,
        task,
        sum(value is not None for item in (values or {}).values() for value in item.values())
        if count is None
        else count,
    )


def _friends_in(found: Iterable[Person], user_id: str) -> dict[str, Person]:
    return {friend.id: friend for friend in found if people.usable_user_id(friend.id) and friend.id != user_id}


def _unlike(
    answer: Mapping[str, AppData], known: Friends, user_id: str, fields: Sequence[str]
) -> tuple[dict[str, appdata.Values], int]:
    """What an `@friends` answer says of friends, but for those of whom it says what we have; and how many values those
    have. Keys that were not asked for, and ids that are none, are left out.
    """
    wanted = frozenset(fields)
    have = known.get
    unlike = {friend_id: item for friend_id, item in answer.items() if have(friend_id) != item}  # a few of them
    same = sum(map(len, answer.values())) - sum(map(len, unlike.values()))
    values: dict[str, appdata.Values] = {}
    for friend_id, item in unlike.items():
        if friend_id in known or (friend_id != user_id and people.usable_user_id(friend_id)):
            values[friend_id] = item if wanted.issuperset(item) else {key: item[key] for key in fields if key in item}
    return values, same


def _lacks(came: appdata.Values, known: Set[str], fields: Sequence[str]) -> bool:
    """Whether a key of the fields is known, and has not come."""
    return not known <= came.keys() and any(key in known and key not in came for key in fields)


def _news(values: Mapping[str, appdata.Values], known: Friends) -> dict[str, appdata.Values]:
    """What is not as we have it: most is, and no transaction has to look at that again."""
    news: dict[str, appdata.Values] = {}
    for friend_id, item in values.items():
        have = known.get(friend_id)
        if have is None:
            news[friend_id] = item
        elif item != have and not item.items() <= have.items():
            news[friend_id] = {key: value for key, value in item.items() if have.get(key) != value}
    return news


def by_itself(answer: Mapping[str, AppData], user_id: str, fields: Sequence[str]) -> appdata.Values:
    """What an `@self` answer says of its one player: a key that is not in their entry is gone.

    An answer without their entry says nothing, and clears nothing.
    """
    if user_id not in answer:
        return {}
    return {key: answer[user_id].get(key) for key in fields}


# --- keeping it -------------------------------------------------------------------------------------------------------


class Applied(NamedTuple):
    """What keeping several answers did."""

    changed: dict[int, int]
    """How many values changed, by the answer's place among them, for those that were kept."""
    returned: list[int]
    """Who was known to be without the application, and has it again."""


async def apply(
    tx: Transaction, container: str, answers: Sequence[Answers], *, holder: str, now_ms: int, offline: bool
) -> Applied:
    """Keep these answers, all in this transaction; what is unchanged is not written.

    An answer whose task another process has taken over meanwhile is dropped, and so is one about a player who was
    erased meanwhile. Friends who were too many to be asked for are put into the queue, where `offline` players can be
    asked for at all.
    """
    boards = await leaderboards.begin(tx)
    made = {answer.user_id for answer in answers} | {friend for answer in answers for friend in answer.friends or ()}
    mentioned = {user_id for answer in answers for user_id in answer.values} - made
    numbers = await people.players_of(tx, container, made)
    numbers |= await people.known_players(tx, container, mentioned)
    ours = await sync_tasks.finish(tx, holder, [answer.task for answer in answers if answer.task is not None])
    kept = {
        place: answer
        for place, answer in enumerate(answers)
        if (answer.task is None or answer.task in ours) and numbers.get(answer.user_id) == answer.player
    }
    subjects = {answer.player for answer in kept.values()}
    friends = {numbers[friend] for answer in kept.values() for friend in answer.friends or () if friend in numbers}
    await people.hold(tx, subjects, friends)
    returned = await people.observe_each(tx, _newest_people(kept.values(), numbers))
    for answer in sorted(kept.values(), key=lambda one: (one.player, one.people_ms)):
        if answer.friends is not None:
            seen = [numbers[friend] for friend in answer.friends if friend in numbers]
            await people.observe_friends(tx, answer.player, seen, answer.people_ms)
    words = claimed_dates.only_words(each.board for each in boards)
    found = await appdata.observe_all(tx, _observations(kept.values(), numbers, now_ms, words))
    changed = list(chain.from_iterable(found))
    asked: dict[int, freshness.Asked] = {}
    for answer in kept.values():
        one = _asked(answer)
        asked[one.player] = one.later(asked[one.player]) if one.player in asked else one
    await freshness.set_asked(tx, asked.values())
    if unasked := {player for answer in kept.values() for player in answer.unasked if offline}:
        wanted = [(player, Kind.ALONE) for player in unasked]
        await sync_tasks.add(tx, container, wanted, priority=Priority.ROUND, now_ms=now_ms)
    await leaderboards.record(tx, boards, changed, now_ms)
    by_player: dict[int, int] = {}
    for change in changed:
        by_player[change.player] = by_player.get(change.player, 0) + 1
    by_place = {
        place: sum(by_player.pop(numbers[user_id], 0) for user_id in answer.values if user_id in numbers)
        for place, answer in kept.items()
    }
    return Applied(by_place, returned)


def _newest_people(kept: Collection[Answers], numbers: Mapping[str, int]) -> dict[int, tuple[Person, int]]:
    found: dict[int, tuple[Person, int]] = {}
    for answer in kept:
        said = dict(answer.friends or {})
        if answer.person is not None:
            said[answer.user_id] = answer.person
        for user_id, person in said.items():
            player = numbers.get(user_id)
            if player is not None and (player not in found or found[player][1] <= answer.people_ms):
                found[player] = (person, answer.people_ms)
    return found


def _observations(
    kept: Iterable[Answers], numbers: Mapping[str, int], now_ms: int, words: Collection[str]
) -> list[Observation]:
    """What was observed of whom, in the order in which it was asked for."""
    return [
        Observation(numbers[user_id], values, answer.values_ms, now_ms, Origin.READ, words)
        for answer in sorted(kept, key=lambda one: one.values_ms)
        for user_id, values in answer.values.items()
        if user_id in numbers
    ]


def _asked(answer: Answers) -> freshness.Asked:
    whole = answer.kind is Kind.WHOLE
    return freshness.Asked(
        answer.player,
        answer.people_ms if whole else None,
        answer.values_ms if whole or answer.kind is Kind.AROUND else None,
        answer.values_ms if whole or answer.kind is Kind.ALONE else None,
    )
