"""Who a player is, for whoever shows one: from the number to the card, from the public id to the number."""

from __future__ import annotations

from typing import Final

from homeserver.errors import BadInput, NotFound
from homeserver.model import KnownPlayer, PlayerCard
from homeserver.storage import people
from homeserver.storage.database import Database, Reader

MAX_SEARCH: Final = 255


class Players:
    """Reads players. Writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def card(self, player: int) -> PlayerCard:
        """What others may see of a player.

        Raises:
            NotFound: There is no such player.
        """

        async def work(reader: Reader) -> PlayerCard:
            return await people.card(reader, player)

        return await self._database.look(work)

    async def find(self, public_id: str) -> int:
        """The player behind a public id, which may be any text from outside.

        Raises:
            NotFound: There is no such player.
        """

        async def work(reader: Reader) -> int | None:
            return await people.by_public_id(reader, public_id)

        player = await self._database.look(work)
        if player is None:
            raise NotFound("There is no such player.")
        return player

    async def known(self, player: int) -> KnownPlayer:
        """A player as operators see them.

        Raises:
            NotFound: There is no such player.
        """
        found = await self._database.look(lambda reader: people.known(reader, [player]))
        if not found:
            raise NotFound("There is no such player.")
        return found[0]

    async def search(self, text: str, limit: int = 50) -> tuple[KnownPlayer, ...]:
        """Some players by the container's id, the public id, or a part of the name, whatever its case and accents.

        Raises:
            BadInput: Not 1 to 255 characters (field "search").
        """
        text = text.strip()
        if not 0 < len(text) <= MAX_SEARCH:
            raise BadInput(f"1 to {MAX_SEARCH} characters of a name, or an id", field="search")

        async def work(reader: Reader) -> tuple[KnownPlayer, ...]:
            return tuple(await people.known(reader, await people.search(reader, text, limit)))

        return await self._database.read(work)
