"""Looking up what is known of friends, for all who ask at about the same time at once.

Answers of a busy container come many at a time. A look of its own for each would give the interpreter away a dozen
times, and every time a thread that is writing may keep it for milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

from homeserver.storage import appdata
from homeserver.storage.database import Database

FEW: Final = 1_000
"""Friends whom one look on the event loop may bring: about a millisecond."""
LEAST: Final = 50
"""Each counts as so many at least: an answer may hold fewer friends than we know."""

Friends = Mapping[str, Mapping[str, str]]
"""Their values, by the container's user id."""


class _Wish(NamedTuple):
    player: int
    friends: int
    found: asyncio.Future[Friends]


class KnownFriends:
    """What we know of players' friends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wishes: list[_Wish] = []
        self._looking: set[asyncio.Task[None]] = set()

    async def of(self, player: int, friends: int) -> Friends:
        """What we know of this player's friends.

        Args:
            friends: About how many they are.
        """
        if friends > FEW:
            return (await self._database.read(lambda reader: appdata.of_friends(reader, [player])))[player]
        wish = _Wish(player, max(friends, LEAST), asyncio.get_running_loop().create_future())
        self._wishes.append(wish)
        if len(self._wishes) == 1:
            task = asyncio.create_task(self._look())  # it runs after all whose answers came just now
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
        return await wish.found

    async def _look(self) -> None:
        wishes, self._wishes = self._wishes, []
        while wishes:
            some = [wishes.pop()]
            room = FEW - some[0].friends
            while wishes and wishes[-1].friends <= room:
                some.append(wishes.pop())
                room -= some[-1].friends
            await self._look_for(some)

    async def _look_for(self, some: list[_Wish]) -> None:
        players = {wish.player for wish in some}
        try:
            found = await self._database.look(lambda reader: appdata.of_friends(reader, players))
        except Exception as error:
            for wish in some:
                if not wish.found.done():
                    wish.found.set_exception(error)
            return
        for wish in some:
            if not wish.found.done():
                wish.found.set_result(found[wish.player])
