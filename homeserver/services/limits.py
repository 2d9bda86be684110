"""Who may do what how often. The counters are in the database, so all processes count together."""

from __future__ import annotations

import ipaddress
from typing import Final

from homeserver.errors import TooMany
from homeserver.model import NowMs
from homeserver.storage import limits
from homeserver.storage.database import Database, Transaction
from homeserver.storage.limits import Limit

_MINUTE_MS: Final = 60_000

SIGN_IN_PAIR: Final = Limit("sign-in-pair", 10, 15 * _MINUTE_MS)
"""For a name from one address: whoever guesses must not lock out the operator, who comes from another."""
SIGN_IN_NAME: Final = Limit("sign-in-name", 100, 15 * _MINUTE_MS)
SIGN_IN_ADDRESS: Final = Limit("sign-in-address", 30, 15 * _MINUTE_MS)
SYNC: Final = Limit("sync", 10, 5 * _MINUTE_MS)
SCORES: Final = Limit("scores", 60, _MINUTE_MS)
PAGE_LINKS: Final = Limit("page-links", 20, 5 * _MINUTE_MS)
UPLOADS: Final = Limit("uploads", 300, 10 * _MINUTE_MS)
EXPORTS: Final = Limit("exports", 10, 60 * _MINUTE_MS)
"""Of everything that is kept of somebody, by themselves."""
HIDING: Final = Limit("hiding", 20, 60 * _MINUTE_MS)
"""Of players who hide themselves and show themselves again: each time they are replayed on every board."""
GADGET_SESSIONS: Final = Limit("gadget-sessions", 60, 5 * _MINUTE_MS)


class Limits:
    """Counts uses, and refuses one too many."""

    def __init__(self, database: Database, now_ms: NowMs) -> None:
        self._database = database
        self._now_ms = now_ms

    async def take(self, limit: Limit, who: str) -> None:
        """Count one use.

        Raises:
            TooMany: There were as many already in this window.
        """

        async def work(tx: Transaction) -> int:
            return await limits.take(tx, limit, who, self._now_ms())

        refuse(await self._database.write(work))

    async def give_back(self, limit: Limit, who: str) -> None:
        """Uncount one use that turned out not to count."""

        async def work(tx: Transaction) -> None:
            await limits.give_back(tx, limit, who)

        await self._database.write(work)


def refuse(wait_ms: int) -> None:
    """Raise TooMany where `limits.take` gave a time to wait. Outside of a transaction that must not be undone."""
    if wait_ms:
        raise TooMany("That was asked too often. Wait a little and try again.", wait_s=wait_ms / 1000)


def address_group(remote: str) -> str:
    """Whom an address stands for: an IPv6 network of /64, since one subscriber has all of it; else itself."""
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
