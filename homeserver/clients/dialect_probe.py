"""Finding out which dialect a container speaks, by reads alone. What only a write would show stays open.

What is looked at, of one person: whether several reads go in one request, under which name a list comes, and from where
`startIndex` counts (which takes somebody with a friend). The guide's dialect and Orkut's differ in writes only.
"""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.clients.container import ContainerClient
from homeserver.protocol.dialects import DIALECTS, Dialect


@dataclass(frozen=True, slots=True)
class Observed:
    """What one container was seen to do; None where it could not be seen."""

    rpc: bool
    collection: str
    first_index: int | None

    def fitting(self) -> tuple[Dialect, ...]:
        """The dialects that nothing here speaks against. A dialect may offer more than a container built on it."""
        return tuple(
            dialect
            for dialect in DIALECTS.values()
            if (dialect.rpc or not self.rpc)
            and self.collection in dialect.collections
            and self.first_index in (None, dialect.first_index)
        )

    def __str__(self) -> str:
        counts = "cannot be seen without a friend" if self.first_index is None else f"counts from {self.first_index}"
        return f"lists are {self.collection!r}, startIndex {counts}, JSON-RPC: {'yes' if self.rpc else 'no'}"


async def observe(client: ContainerClient, user_id: str) -> Observed:
    """Look at the container by three reads about one person who has the application.

    Raises:
        BadInput: Not the id of one person.
        RemoteError: It does not even answer for this person's friends.
    """
    page = await client.people_page(user_id, "@friends", count=1, fields=["id"])
    first_index = None
    if page.people:
        # Number 1 is the first person or the second one; who has no second one gets nobody.
        again = await client.people_page(user_id, "@friends", count=1, start_index=1, fields=["id"])
        first_index = int(bool(again.people) and again.people[0].id == page.people[0].id)
    return Observed(await client.offers_overview(user_id), page.collection, first_index)
