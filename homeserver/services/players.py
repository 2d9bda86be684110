"""Who a player is, for whoever shows one: from the number to the card, from the public id to the number."""

from __future__ import annotations

from typing import Final

from homeserver.errors import NotFound
from homeserver.model import PlayerCard
from homeserver.storage import people
from homeserver.storage.database import Database, Reader

_MAX_KNOWN: Final = 10_000


class Players:
    """Reads players. Writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._public_ids: dict[int, str] = {}

    async def public_id(self, player: int) -> str | None:
        """The player's public id; None where there is no such player. It changes only when they are erased, and nobody
        asks for theirs any more: the old one may go on to be told."""
        known = self._public_ids.get(player)
        if known is not None:
            return known
        found = (await self._database.glance(lambda reader: people.cards(reader, [player]))).get(player)
        if found is None:
            return None
        if len(self._public_ids) >= _MAX_KNOWN:
            self._public_ids.clear()
        self._public_ids[player] = found.id
        return found.id

    async def card(self, player: int) -> PlayerCard:
        """What others may see of a player.

        Raises:
            NotFound: There is no such player.
        """

        async def work(reader: Reader) -> PlayerCard:
            return await people.card(reader, player)

        return await self._database.glance(work)

    async def find(self, public_id: str) -> int:
        """The player behind a public id, which may be any text from outside.

        Raises:
            NotFound: There is no such player.
        """

        async def work(reader: Reader) -> int | None:
            return await people.by_public_id(reader, public_id)

        return _found(await self._database.glance(work))

    async def find_for(self, reader: int | None, public_id: str) -> int:
        """The same, for a player who looks, or a stranger.

        Raises:
            NotFound: There is no such player, or they hide themselves from all others.
        """

        async def work(db: Reader) -> int | None:
            return await people.seen_by(db, reader, public_id)

        return _found(await self._database.glance(work))


def _found(player: int | None) -> int:
    if player is None:
        raise NotFound("There is no such player.")
    return player
